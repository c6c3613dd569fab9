//! The machine with lunix in it: natsd, natsdev, natstoast and natsmount under busybox, reachable from this machine.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::guest::{self, Programs, READY, Role};
use super::kernel::Kernel;
use super::qemu::{Machine, Qemu};
use crate::paths::Scratch;
use crate::{compile, nats};

/// The daemons in the guest, in the order of their start. Each says what it does on the console.
const DAEMONS: &[(&str, &str)] = &[
    // The host's clients come through QEMU's network, which is not the guest's loopback.
    ("natsd", "-a 0.0.0.0 --socket /run/natsd.sock -c /run/natsd.conf"),
    ("natsdev", ""),
    ("natstoast", ""),
    // Without rules it mounts what it is asked for.
    ("natsmount", ""),
];

/// What answers only when its daemon has the present state.
const ANSWERS: &[&str] = &["hardware.list", "toast.list", "volume.list"];

/// MiB: what the target has, and what Debian's big kernel needs besides.
pub const MEMORY: u32 = 256;

const BOOT: Duration = Duration::from_secs(180);
/// For one question, before it is asked again.
const ASK: Duration = Duration::from_millis(500);

/// A running guest.
pub struct Guest {
    /// The machine.
    pub qemu: Qemu,
    /// Where its image and the sticks are.
    pub scratch: Scratch,
}

impl Guest {
    /// Boots and waits until every daemon answers. `append` goes to the kernel, `script` is run in the guest
    /// after the daemons were started, `watch` sees the console as [`Qemu::start`] says. With a port for it, natsws
    /// runs, too.
    pub fn boot(
        append: &str,
        script: &str,
        page: Option<u16>,
        watch: impl FnMut(&[u8]) + Send + 'static,
    ) -> Result<Self> {
        let program = compile::size()?;
        let bridge = page.map(|_| compile::size_of(compile::Programs::Web)).transpose()?;
        let kernel = Kernel::fetch()?;
        let scratch = Scratch::new()?;
        let initramfs = scratch.path().join("initramfs");
        let mut init = String::from("echo 'identity { others: all }' > /run/natsd.conf\n");
        for (name, arguments) in DAEMONS {
            writeln!(init, "{name} {arguments} &")?;
        }
        if bridge.is_some() {
            writeln!(init, "natsws --listen 0.0.0.0:8080 --anonymous &")?;
        }
        write!(init, "echo {READY}\n{script}\nwhile wait; do sleep 3600; done\n")?;
        let programs = Programs { lunix: Some(&program), bridge: bridge.as_deref() };
        guest::write(&initramfs, &kernel, programs, &Role::Script(&init))?;
        let kernel = kernel.image();
        let machine =
            Machine { kernel: &kernel, initramfs: &initramfs, append, parts: &[], memory: MEMORY, page };
        let qemu = Qemu::start(&machine, watch)?;
        let guest = Self { qemu, scratch };
        guest.settle().with_context(|| format!("the guest's console:\n{}", guest.console()))?;
        Ok(guest)
    }

    fn settle(&self) -> Result<()> {
        self.qemu.log.wait(BOOT, |line| line.contains(READY))?;
        let deadline = Instant::now() + BOOT;
        let mut client = self.client()?;
        for subject in ANSWERS {
            // Nobody answers before the daemon has subscribed, and where `lunix watch` listens to everything the
            // server cannot say so.
            while !matches!(client.request(subject, "", ASK), Ok(Some(_))) {
                if Instant::now() >= deadline {
                    bail!("nobody answers {subject}");
                }
                thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// A client of the guest's server.
    pub fn client(&self) -> Result<nats::Client> {
        nats::Client::connect(self.qemu.nats_port, BOOT)
    }

    /// The last of what the guest wrote, for showing after a failure.
    pub fn console(&self) -> String {
        self.qemu.log.tail(60).iter().fold(String::new(), |text, line| text + "  > " + line + "\n")
    }
}
