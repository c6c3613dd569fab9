//! Debian with systemd as process 1, and natsdev in the place of systemd-udevd: the machine comes up, and what systemd
//! knows of devices it knows from natsdev.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::gate::Run;
use crate::compile;
use crate::paths::{Scratch, root};
use crate::vm::debian::Root;
use crate::vm::kernel::Kernel;
use crate::vm::part::Part;
use crate::vm::rooted::{Boot, Extra, Rooted};
use crate::vm::stick::{Layout, Stick};

/// From power on to the login prompt, on an emulated processor.
const BOOT: Duration = Duration::from_secs(240);

/// For a command that waits for hardware.
const NOTICED: Duration = Duration::from_secs(120);

/// Before process 1: what docs/natsdev.md says, to the letter.
const INSTALL: &str = "\
#!/bin/sh
systemctl --root=/ enable natsdev.service
systemctl --root=/ mask systemd-udevd-kernel.socket systemd-udevd-control.socket
exec /sbin/init
";

/// The interface is called as systemd 252 would call it: where the card is, and not by whom it was found first.
const INTERFACE: &str = "enp0s1";

pub(super) fn check(run: &mut Run) -> Result<()> {
    let kernel = Kernel::fetch()?;
    let debian = match Root::fetch(&kernel) {
        Ok(root) => root,
        Err(error) => {
            run.skip("natsdev under systemd", &format!("no Debian root can be made: {error:#}"));
            return Ok(());
        }
    };
    let scratch = Scratch::new()?;
    let sticks = [
        Stick::make(&scratch, 1, Layout::Partition)?,
        Stick::make(&scratch, 2, Layout::Whole)?,
        Stick::make(&scratch, 3, Layout::Partition)?,
    ];
    let mut guest = boot(&kernel, &debian, &scratch, &sticks, &compile::size()?)?;
    let begin = Instant::now();
    match arrive(&mut guest) {
        Ok(()) => run.pass("the login prompt"),
        Err(error) => {
            run.fail("the login prompt", &format!("{error:#}; the console:\n{}", guest.console()));
            return Ok(());
        }
    }
    run.write(&format!("logged in after {:?}", begin.elapsed()));
    for (name, check) in CHECKS {
        match check(&mut guest, &sticks) {
            Ok(()) => run.pass(name),
            Err(error) => run.fail(name, &format!("{error:#}")),
        }
    }
    for line in guest
        .run("journalctl -b -u natsdev --no-pager -o cat | tail -n 20; systemd-analyze 2>&1 | head -n 3")?
    {
        run.write(&format!("> {line}"));
    }
    Ok(())
}

fn boot(
    kernel: &Kernel,
    debian: &Root,
    scratch: &Scratch,
    sticks: &[Stick; 3],
    program: &Path,
) -> Result<Rooted> {
    let unit = root().join("packaging/systemd/natsdev.service");
    let fstab = format!(
        "LABEL={} /srv/label vfat ro 0 0\nUUID={} /srv/uuid vfat ro 0 0\n",
        sticks[0].label, sticks[1].uuid
    );
    let extras = [
        Extra::Copy("usr/bin/lunix", 0o755, program.to_owned()),
        Extra::Link("usr/bin/natsdev", "lunix"),
        Extra::Copy("etc/systemd/system/natsdev.service", 0o644, unit),
        Extra::Text("etc/fstab", 0o644, fstab),
        Extra::Text("srv/label/empty", 0o644, String::new()),
        Extra::Text("srv/uuid/empty", 0o644, String::new()),
        Extra::Text("install", 0o755, INSTALL.to_owned()),
    ];
    let parts = [Part::stick(&sticks[0], "1"), Part::stick(&sticks[1], "2")];
    let parts: Vec<&Part> = parts.iter().collect();
    let boot = Boot { extras: &extras, init: "/install", append: "quiet loglevel=3", parts: &parts };
    Rooted::boot(kernel, debian, scratch, &boot)
}

/// Waits for the prompt and logs in.
fn arrive(guest: &mut Rooted) -> Result<()> {
    // What is typed before a prompt is thrown away.
    guest.qemu.log.prompt(BOOT, |line| line.contains(" login: "))?;
    guest.qemu.console.write_all(b"root\n").context("write to the console")?;
    guest.run_for("stty -echo; export PS1= SYSTEMD_PAGER= SYSTEMD_COLORS=0", NOTICED)?;
    guest.run("true").map(drop)
}

type Check = fn(&mut Rooted, &[Stick; 3]) -> Result<()>;

const CHECKS: &[(&str, Check)] = &[
    ("no unit has failed", no_unit_has_failed),
    ("natsdev is the only one who handles devices", natsdev_alone),
    ("fstab mounts by label and by UUID", mounts),
    ("units of devices are active", device_units),
    ("nodes of modules that are not loaded are for everybody", static_nodes),
    ("the network interface has its name", interface),
    ("logind knows what belongs to the seat", seat),
    ("a stick that comes has a unit, and none when it has gone", hotplug),
    ("natsdev starts again, and systemd reads its units again", restart),
];

fn no_unit_has_failed(guest: &mut Rooted, _: &[Stick; 3]) -> Result<()> {
    // It answers when no job is left, and ends with 0 only if all is well.
    let state = guest.run_for("systemctl is-system-running --wait; systemctl --failed --no-legend", BOOT)?;
    ensure!(state == ["running"], "{}", state.join("\n"));
    guest.run("systemctl is-active multi-user.target sysinit.target local-fs.target").map(drop)
}

fn natsdev_alone(guest: &mut Rooted, _: &[Stick; 3]) -> Result<()> {
    for name in ["natsdev", "systemd-udevd", "systemd-udev-trigger", "systemd-udev-settle"] {
        let program = guest.run(&format!("readlink /proc/$(systemctl show -P MainPID {name})/exe"))?;
        ensure!(program == ["/usr/bin/lunix"], "{name} is {}", program.join("\n"));
    }
    let others = guest.run("readlink /proc/*/exe || true")?;
    // systemd-udevd is a name of udevadm.
    ensure!(!others.iter().any(|program| program.contains("udev")), "systemd-udevd runs, too");
    guest.run("udevadm settle && udevadm info /dev/nvme0n1 > /dev/null").map(drop)
}

fn mounts(guest: &mut Rooted, sticks: &[Stick; 3]) -> Result<()> {
    for (folder, stick) in ["label", "uuid"].into_iter().zip(sticks) {
        let text = guest.run(&format!("cat /srv/{folder}/README.TXT"))?;
        ensure!(text == [format!("This is {}.", stick.label)], "/srv/{folder} has {}", text.join("\n"));
    }
    Ok(())
}

fn device_units(guest: &mut Rooted, sticks: &[Stick; 3]) -> Result<()> {
    let uuid = sticks[1].uuid.replace('-', "\\x2d");
    let units = [
        format!("'{}'", label_unit(&sticks[0])),
        format!("'dev-disk-by\\x2duuid-{uuid}.device'"),
        "dev-nvme0n1.device".to_owned(),
        "dev-ttyS0.device".to_owned(),
        format!("sys-subsystem-net-devices-{INTERFACE}.device"),
    ];
    guest.run(&format!("systemctl is-active {}", units.join(" "))).map(drop)
}

fn label_unit(stick: &Stick) -> String {
    format!("dev-disk-by\\x2dlabel-{}.device", stick.label)
}

fn static_nodes(guest: &mut Rooted, _: &[Stick; 3]) -> Result<()> {
    let modes = guest.run("stat -c '%a %U:%G' /dev/fuse /dev/net/tun /dev/vhost-net")?;
    ensure!(modes == ["666 root:root", "666 root:root", "660 root:kvm"], "they have {}", modes.join(", "));
    Ok(())
}

fn interface(guest: &mut Rooted, _: &[Stick; 3]) -> Result<()> {
    let names = guest.run("ls -1 /sys/class/net")?;
    ensure!(names == [INTERFACE, "lo"], "interfaces are {}", names.join(" "));
    Ok(())
}

fn seat(guest: &mut Rooted, _: &[Stick; 3]) -> Result<()> {
    let tree = guest.run("loginctl seat-status seat0 --no-pager")?.join("\n");
    ensure!(tree.contains("input:input"), "{tree}");
    Ok(())
}

fn hotplug(guest: &mut Rooted, sticks: &[Stick; 3]) -> Result<()> {
    let [.., stick] = sticks;
    let part = Part::stick(stick, "3");
    let unit = label_unit(stick);
    part.plug(&mut guest.qemu.qmp)?;
    // Ends when the device is there.
    guest.run_for(&format!("systemctl start '{unit}'"), NOTICED)?;
    Part::unplug(&[&part], &mut guest.qemu.qmp)?;
    guest.run_for(&format!("while systemctl -q is-active '{unit}'; do sleep 0.2; done"), NOTICED)?;
    guest.run("udevadm settle && ! ls /dev/disk/by-label/LUNIX003").map(drop)
}

fn restart(guest: &mut Rooted, sticks: &[Stick; 3]) -> Result<()> {
    let unit = label_unit(&sticks[0]);
    guest.run_for(
        &format!("systemctl restart natsdev && systemctl daemon-reload && systemctl is-active '{unit}'"),
        NOTICED,
    )?;
    mounts(guest, sticks)?;
    no_unit_has_failed(guest, sticks)
}
