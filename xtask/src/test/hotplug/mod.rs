//! On a real kernel with all of Debian's modules and rules: natsdev as the only manager of devices, then systemd-udevd
//! on the same machine, and what differs.

mod facts;
mod heard;
mod known;
mod tar;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use self::facts::Facts;
use super::gate::Run;
use crate::paths::{Scratch, target};
use crate::vm::debian::Root;
use crate::vm::kernel::Kernel;
use crate::vm::part::Part;
use crate::vm::rooted::{Boot, Extra, Rooted};
use crate::vm::stick::{Layout, Stick};
use crate::{compile, shell};

/// From a device's way in or out to the end of all that follows from it, on an emulated processor.
const NOTICED: Duration = Duration::from_secs(240);

/// Who handles the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    Natsdev,
    Udevd,
}

impl Manager {
    fn name(self) -> &'static str {
        match self {
            Self::Natsdev => "natsdev",
            Self::Udevd => "systemd-udevd",
        }
    }

    /// What starts it and has it handle what is there already.
    fn start(self) -> &'static str {
        match self {
            Self::Natsdev => {
                "natsdev --manage yes --coldplug trigger > /run/manager.log 2>&1 & \
                 until [ -S /run/udev/control ]; do usleep 20000; done; udevadm settle"
            }
            Self::Udevd => {
                "/usr/lib/systemd/systemd-udevd --daemon > /run/manager.log 2>&1 && \
                 udevadm trigger --type=subsystems --action=add && \
                 udevadm trigger --type=devices --action=add && udevadm settle"
            }
        }
    }
}

/// Process 1: mounts what a system mounts, makes the nodes of modules that are not loaded as `kmod static-nodes` says, and
/// does what is said on the console.
const INIT: &str = "\
#!/bin/sh
export PATH=/lunix:/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
while read -r module node number; do
  [ \"$module\" = '#' ] && continue
  pair=${number#?}
  mkdir -p \"/dev/$(dirname \"$node\")\"
  mknod -m 600 \"/dev/$node\" \"${number%%[0-9]*}\" \"${pair%:*}\" \"${pair#*:}\"
done < /lib/modules/$(uname -r)/modules.devname
stty -F /dev/ttyS0 -echo
exec < /dev/ttyS0 > /dev/ttyS0 2>&1
echo the shell is here
while :; do setsid sh; done
";

/// `present N`: waits until the kernel and the drivers know so many sticks, keyboards, adapters and interfaces.
const PRESENT: &str = "\
#!/bin/sh
until [ $((tries += 1)) -gt 600 ]; do
  found=\"$(ls -d /sys/class/block/sd* 2>/dev/null | wc -l)\"
  found=\"$found $(ls -d /sys/bus/hid/devices/*/input/input*/event* 2>/dev/null | wc -l)\"
  found=\"$found $(ls -d /sys/class/tty/ttyUSB* 2>/dev/null | wc -l)\"
  found=\"$found $(ls -d /sys/class/net/* | wc -l)\"
  found=\"$found $(ls -d /sys/bus/usb/devices/usb* 2>/dev/null | wc -l)\"
  [ \"$found\" = \"$*\" ] && udevadm settle && exit 0
  usleep 200000
done
echo \"there are $found instead of $*\"
exit 1
";

/// What the machine meets.
struct Hardware {
    /// From the start: a hub with three sticks, a keyboard, an adapter for a serial line.
    cold: Vec<Part>,
    /// Later: a second network card, a second controller for USB and a keyboard on it.
    hot: Vec<Part>,
}

impl Hardware {
    fn new(scratch: &Scratch) -> Result<Self> {
        let mut cold =
            vec![Part::new(json!({ "driver": "usb-hub", "id": "hub", "bus": "usb.0", "port": "1" }))];
        for (number, layout) in [(1, Layout::Partition), (2, Layout::Whole), (3, Layout::Partition)] {
            let stick = Stick::make(scratch, number, layout)?;
            cold.push(Part::stick(&stick, &format!("1.{number}")));
        }
        cold.push(keyboard("keyboard", "usb.0", "2"));
        cold.push(Part::new(json!({ "driver": "usb-serial", "id": "serial", "bus": "usb.0", "port": "3",
                                    "chardev": "nobody", "always-plugged": true })));
        let hot = vec![
            Part::new(json!({ "driver": "virtio-net-pci", "id": "net", "bus": "slot1", "netdev": "second",
                              "mac": "52:54:00:12:34:99" })),
            Part::new(json!({ "driver": "qemu-xhci", "id": "more", "bus": "slot2" })),
        ];
        Ok(Self { cold, hot })
    }
}

fn keyboard(id: &str, bus: &str, port: &str) -> Part {
    Part::new(json!({ "driver": "usb-kbd", "id": id, "bus": bus, "port": port }))
}

/// What was found, one after the other.
struct Story {
    phases: Vec<(&'static str, Facts)>,
}

pub(super) fn check(run: &mut Run) -> Result<()> {
    let kernel = Kernel::fetch()?;
    let root = match Root::fetch(&kernel) {
        Ok(root) => root,
        Err(error) => {
            let why = format!("no Debian root can be made: {error:#}");
            run.skip("natsdev and systemd-udevd on the same machine", &why);
            return Ok(());
        }
    };
    let scratch = Scratch::new()?;
    let program = compile::size()?;
    let table = hardware_table(&program, &root, &scratch)?;
    let ours = story(run, Manager::Natsdev, &kernel, &root, &program, &table)?;
    let theirs = story(run, Manager::Udevd, &kernel, &root, &program, &table)?;
    let mut used = Vec::new();
    for ((phase, ours), (_, theirs)) in ours.phases.iter().zip(&theirs.phases) {
        used.extend(compare(run, phase, ours, theirs));
    }
    match known::stale(&used).as_slice() {
        [] => run.pass("what is explained is there"),
        _ if run.failed() > 0 => {}
        stale => run.fail("what is explained is there", &format!("nothing is as {}", stale.join(", or as "))),
    }
    Ok(())
}

/// natsdev's table of what Debian knows of hardware.
fn hardware_table(program: &Path, root: &Root, scratch: &Scratch) -> Result<std::path::PathBuf> {
    shell::quiet(
        Command::new(program)
            .args(["natsdev", "hwdb", "update", "--skip-mistakes", "--root"])
            .arg(root.udev()),
    )?;
    let made = ["etc", "usr/lib"].map(|folder| root.udev().join(folder).join("udev/hwdb.lunix"));
    let table = scratch.path().join("hwdb.lunix");
    let made = made.iter().find(|file| file.exists()).context("natsdev made no table of hardware")?;
    fs::rename(made, &table).or_else(|_| fs::copy(made, &table).map(drop))?;
    Ok(table)
}

fn story(
    run: &mut Run,
    manager: Manager,
    kernel: &Kernel,
    root: &Root,
    program: &Path,
    table: &Path,
) -> Result<Story> {
    let scratch = Scratch::new()?;
    let hardware = Hardware::new(&scratch)?;
    let extras = [
        Extra::Copy("lunix/busybox", 0o755, crate::vm::guest::busybox()?),
        Extra::Link("lunix/usleep", "busybox"),
        Extra::Copy("lunix/lunix", 0o755, program.to_owned()),
        Extra::Link("lunix/natsdev", "lunix"),
        Extra::Copy("etc/udev/hwdb.lunix", 0o644, table.to_owned()),
        Extra::Text("lunix/init", 0o755, INIT.to_owned()),
        Extra::Text("lunix/present", 0o755, PRESENT.to_owned()),
        Extra::Text("lunix/dump", 0o755, facts::DUMP.to_owned()),
    ];
    let parts: Vec<&Part> = hardware.cold.iter().collect();
    let boot = Boot { extras: &extras, init: "/lunix/init", append: "quiet loglevel=3", parts: &parts };
    let mut guest = Rooted::boot(kernel, root, &scratch, &boot)?;
    let name = |what: &str| format!("{}: {what}", manager.name());
    guest
        .qemu
        .log
        .wait(NOTICED, |line| line.contains("the shell is here"))
        .with_context(|| guest.console())?;
    let mut phases = Vec::new();
    let result = (|| -> Result<()> {
        let begin = std::time::Instant::now();
        guest.run_for(manager.start(), NOTICED)?;
        run.write(&format!("{}: settled after {:?}", manager.name(), begin.elapsed()));
        guest.run_for("present 5 1 1 2 2", NOTICED)?;
        phases.push(("coldplug", dump(&mut guest, manager, "coldplug")?));
        drivers(&phases[0].1)?;
        run.pass(&name("coldplug"));
        heard::listen(&mut guest)?;
        let cold: Vec<&Part> = hardware.cold.iter().rev().collect();
        Part::unplug(&cold, &mut guest.qemu.qmp)?;
        guest.run_for("present 0 0 0 2 2", NOTICED)?;
        phases.push(("everything out", dump(&mut guest, manager, "out")?));
        run.pass(&name("everything out"));
        for part in hardware.cold.iter().chain(&hardware.hot) {
            part.plug(&mut guest.qemu.qmp)?;
        }
        keyboard("more-keyboard", "more.0", "1").plug(&mut guest.qemu.qmp)?;
        guest.run_for("present 5 2 1 3 4", NOTICED)?;
        phases.push(("everything in", dump(&mut guest, manager, "in")?));
        run.pass(&name("everything in"));
        // A port lets go of its card five seconds later. QEMU never says so of a controller for USB.
        for part in &hardware.hot {
            part.release(&mut guest.qemu.qmp)?;
        }
        guest.run_for("present 5 1 1 2 2", NOTICED)?;
        phases.push(("cards out", dump(&mut guest, manager, "cards-out")?));
        run.pass(&name("cards out"));
        let heard = heard::end(&mut guest)?;
        keep(manager, "libinput", &heard.libinput.join("\n"))?;
        keep(manager, "monitor", &heard.monitor.join("\n"))?;
        heard.keyboards()?;
        run.pass(&name("libinput sees keyboards come and go"));
        phases.push(("what udevadm monitor hears", heard.events()?));
        Ok(())
    })();
    if let Ok(log) = guest.run("tail -n 40 /run/manager.log") {
        log.iter().for_each(|line| run.write(&format!("{}> {line}", manager.name())));
    }
    if let Err(error) = result {
        run.fail(&name("plugging"), &format!("{error:#}"));
    }
    Ok(Story { phases })
}

/// Nothing but the modules of the root's disk was loaded by hand.
fn drivers(facts: &Facts) -> Result<()> {
    const DRIVERS: [&str; 8] = [
        "xhci_pci",
        "usb_storage",
        "sd_mod",
        "usbhid",
        "hid_generic",
        "ftdi_sio",
        "virtio_pci",
        "virtio_net",
    ];
    for module in DRIVERS {
        ensure!(facts.contains_key(&format!("module {module}")), "the module {module} is not loaded");
    }
    Ok(())
}

fn dump(guest: &mut Rooted, manager: Manager, phase: &str) -> Result<Facts> {
    let lines = guest.run_for("dump", NOTICED)?;
    let facts = facts::of(&tar::read(&tar::unpack(&lines)?)?)?;
    keep(
        manager,
        phase,
        &facts.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>(),
    )?;
    ensure!(facts.len() > 500, "only {} facts in {phase}", facts.len());
    Ok(facts)
}

/// For a person to look at after a failure.
fn keep(manager: Manager, what: &str, text: &str) -> Result<()> {
    let folder = target().join("test-logs/hotplug");
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join(format!("{what}.{}", manager.name())), text)?)
}

/// Answers what explained a difference.
fn compare(run: &mut Run, phase: &str, ours: &Facts, theirs: &Facts) -> Vec<&'static known::Known> {
    let differences = facts::differences(ours, theirs);
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut used, mut unknown) = (Vec::new(), Vec::new());
    for difference in &differences {
        match known::explanation(difference) {
            Some(known) => {
                *reasons.entry(known.reason).or_default() += 1;
                used.push(known);
            }
            None => unknown.push(difference),
        }
    }
    run.write(&format!(
        "{phase}: {} facts of natsdev, {} of systemd-udevd, {} differ, {} of them unexplained",
        ours.len(),
        theirs.len(),
        differences.len(),
        unknown.len()
    ));
    reasons.iter().for_each(|(reason, count)| run.write(&format!("  {count}: {reason}")));
    unknown.iter().for_each(|difference| run.write(difference));
    match unknown.len() {
        0 => run.pass(&format!("{phase}: as systemd-udevd does it")),
        count => run.fail(&format!("{phase}: as systemd-udevd does it"), &format!("{count} differences")),
    }
    used
}
