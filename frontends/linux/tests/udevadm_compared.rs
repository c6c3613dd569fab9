//! `udevadm` beside Debian's, about the devices of this machine and others: the same output, and the same exit codes.

#![cfg(feature = "udevadm")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod rig;
mod udevadm_rig;

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rig::{World, event, inside};
use udevadm_rig::{
    add, assert_same, handle, has_theirs, made_up, mount, ours, remember, said, theirs, without_order,
};

#[test]
fn the_same_is_told_as_debians_tells() {
    let name = "the_same_is_told_as_debians_tells";
    if !inside(name) || !has_theirs(name) {
        return;
    }
    mount(&[&"-t", &"tmpfs", &"run", &"/run"]);
    let (_, all) = said(theirs(&["info", "-e"]));
    let devpaths: Vec<String> =
        all.lines().filter_map(|line| Some(format!("/sys{}", line.strip_prefix("P: ")?))).collect();
    // Of every kind of device, some are remembered; every third one has tags, and every fourth one links.
    let ids = all.split("\n\n").filter_map(|text| {
        let value = |letter: &str| text.lines().find_map(|line| line.strip_prefix(letter));
        let number = value("D: ").map(|number| number.replace(' ', ""));
        number.or_else(|| Some(format!("+{}:{}", value("U: ")?, value("P: ")?.rsplit('/').next()?)))
    });
    for (index, id) in ids.enumerate().filter(|(index, id)| index % 5 != 0 && !id.starts_with("+net:")) {
        let mut lines = format!(
            "I:{index}7\nE:ID_INDEX={index}\nE:DRIVER=none\nE:ID_EMPTY=\nE:ID_TEXT=a b=c \u{e4}\\x20\n"
        );
        if index % 4 == 0 {
            lines += &format!("L:{}\nS:disk/by-index/{index}\nS:z{index}\n", index % 7);
        }
        if index % 3 == 0 {
            lines += "G:seat\nG:uaccess\nQ:seat\n";
        }
        remember(&id, &(lines + "V:1\n"));
    }
    remember("n1", "I:1\nE:ID_NET=lo\nG:systemd\nQ:systemd\nV:1\n");

    assert_same(&["info", "-e"]);
    let mut compared = 1;
    let queries: [&[&str]; 8] = [
        &["-q", "all"],
        &["-q", "property"],
        &["-q", "path"],
        &["-q", "symlink"],
        &["-q", "symlink", "-r"],
        &["-x", "-q", "property"],
        &["-P", "P_", "-q", "env", "--property=DEVPATH,ID_INDEX,DEVNAME,TAGS"],
        &["--value", "-q", "property", "--property", "ID_TEXT"],
    ];
    let devpaths: Vec<&str> = devpaths.iter().map(String::as_str).collect();
    for query in queries {
        assert_same(&[&["info"], query, &devpaths].concat());
        compared += devpaths.len();
    }
    for devpath in devpaths.iter().step_by(devpaths.len() / 500 + 1) {
        assert_same(&["info", "-a", devpath]);
        compared += 1;
    }
    let with_node = devpaths.iter().filter(|devpath| Path::new(devpath).join("dev").exists());
    let with_node: Vec<&str> = with_node.copied().collect();
    assert_same(&[&["info", "-q", "name"], with_node.as_slice()].concat());
    assert_same(&[&["info", "-rq", "name"], with_node.as_slice()].concat());
    compared += 2 * with_node.len();
    let folders = ["bus", "class", "module"].into_iter().flat_map(|folder| {
        let entries = fs::read_dir(Path::new("/sys").join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
    });
    let drivers = fs::read_dir("/sys/bus/pci/drivers").into_iter().flatten();
    let drivers = drivers.map(|entry| entry.unwrap().path().to_str().unwrap().to_owned());
    for folder in folders.chain(drivers) {
        assert_same(&["info", "-q", "all", &folder]);
        compared += 1;
        // Above a class are all of them, and who reads all of their files has one zram disk more (`hot_add`).
        if !folder.starts_with("/sys/class/") {
            assert_same(&["info", "-a", &folder]);
            compared += 1;
        }
    }
    eprintln!("{name}: {compared} answers about {} devices", devpaths.len());
}

/// Which devices would be asked for.
const FILTERS: &[&[&str]] = &[
    &[],
    &["--type=devices"],
    &["--type=subsystems"],
    &["--type=all"],
    &["-t", "subsystems", "-s", "module"],
    &["-t", "subsystems", "-s", "drivers", "-y", "[a-m]*"],
    &["-t", "subsystems", "-S", "drivers"],
    &["-t", "all", "-s", "pci", "-s", "module"],
    &["-s", "block"],
    &["-s", "block", "-s", "mem"],
    &["-s", "b*", "-S", "bdi"],
    &["-S", "tty", "-S", "acpi"],
    &["-s", "nothing"],
    &["--subsystem-match=tty", "--sysname-match=tty[0-9]"],
    &["--sysname-match=*0"],
    &["-y", "null", "-y", "zero"],
    &["-a", "dev"],
    &["-a", "dev=1:*"],
    &["-a", "dev=1:*", "-a", "dev=4:?"],
    &["-a", "dev=1:3", "-a", "dev"],
    &["-a", "size", "-A", "size=0"],
    &["-A", "dev"],
    &["-a", "subsystem=net"],
    &["-a", "driver=*"],
    &["-a", "power/control=auto"],
    &["--attr-nomatch=dev", "-s", "pci"],
    &["-p", "MAJOR=1"],
    &["-p", "MAJOR=1", "-p", "MAJOR=7"],
    &["-p", "MA*R=[14]", "-s", "mem"],
    &["-p", "ID_TEXT=a*"],
    &["-p", "DEVNAME=/dev/*", "-p", "INTERFACE=lo"],
    &["-p", "MAJOR"],
    &["-g", "seat"],
    &["-g", "seat", "-g", "uaccess"],
    &["-g", "seat", "-g", "nothing"],
    &["-g", "seat", "-s", "block"],
    &["-g", "seat", "-b", "/sys/devices/virtual"],
    &["-b", "/sys/devices/virtual/mem/null"],
    &["-b", "/devices/pci0000:00"],
    &["-b", "class/mem/null", "-b", "class/mem/zero"],
    &["--name-match=null"],
    &["--name-match=/dev/null", "--name-match=zero"],
    &["/sys/class/mem/null"],
    &["/dev/null", "/dev/full"],
    &["/sys/devices/pci0000:00", "-s", "pci"],
    &["/sys/devices/pci0000:00", "-a", "vendor=0x1*"],
    &["--initialized-match"],
    &["--initialized-nomatch"],
    &["--initialized-match", "--initialized-nomatch", "-s", "mem"],
    &["--prioritized-subsystem=net"],
    &["--prioritized-subsystem=net,block"],
    &["--prioritized-subsystem=block", "--prioritized-subsystem=mem", "-S", "acpi"],
    &["--action=add", "-s", "mem"],
    &["-c", "remove", "-q", "-s", "mem"],
    &["--dry", "--verb", "--subsystem-m", "mem"],
];

#[test]
fn the_same_devices_are_asked_for_as_by_debians() {
    let name = "the_same_devices_are_asked_for_as_by_debians";
    if !inside(name) || !has_theirs(name) {
        return;
    }
    mount(&[&"-t", &"tmpfs", &"run", &"/run"]);
    remember("c1:3", "I:5\nE:ID_TEXT=abc\nG:seat\nG:uaccess\nQ:seat\nV:1\n");
    remember("c1:5", "I:6\nE:ID_TEXT=b\nG:uaccess\nV:1\n");
    remember("b7:0", "I:7\nE:ID_TEXT=a\nG:seat\nV:1\n");
    remember("n1", "I:8\nG:seat\nV:1\n");
    for id in ["+pci:0000:00:01.0", "+drivers:pci:nvme", "+module:loop"] {
        remember(id, "I:9\nG:seat\nG:uaccess\nV:1\n");
    }
    let (mut filters, mut devices) = (0, 0);
    let mut same = |filter: &[&str]| {
        let args = [&["trigger", "--dry-run", "--verbose"], filter].concat();
        assert_same(&args);
        devices += said(ours(&args)).1.lines().count();
        filters += 1;
    };
    FILTERS.iter().for_each(|filter| same(filter));
    // And of a machine with disks, as it is made up here.
    made_up();
    FILTERS
        .iter()
        .filter(|filter| !filter.iter().any(|arg| arg.contains("pci0000")))
        .for_each(|filter| same(filter));
    eprintln!("{name}: {filters} lists of {devices} devices");
}

/// What is wrong, or asked for nothing; and the exit code.
const MISTAKES: &[(&[&str], i32)] = &[
    (&[], 1),
    (&["--version"], 0),
    (&["version"], 0),
    (&["-V"], 0),
    (&["--nonsense"], 1),
    (&["nonsense"], 1),
    (&["info"], 1),
    (&["info", "--version"], 0),
    (&["info", "lo"], 1),
    (&["info", "/dev/nothing"], 1),
    (&["info", "/sys"], 1),
    (&["info", "/sys/devices"], 1),
    (&["info", "/sys/class/mem/nothing"], 1),
    (&["info", "/class/mem/null"], 1),
    (&["info", "/etc"], 1),
    (&["info", "/dev"], 1),
    (&["info", "-q", "nonsense", "/dev/null"], 1),
    (&["info", "-q", "name", "/sys/class/net/lo"], 1),
    (&["info", "-q", "path", "/dev/null", "/dev/nothing", "/dev/zero"], 1),
    (&["info", "-q", "path", "-n", "null", "-n", "zero"], 0),
    (&["info", "-q", "path", "-n", "/dev/null", "/dev/null", "/dev/zero"], 0),
    (&["info", "-q", "path", "-p", "/sys/class/net/lo", "-n", "null"], 0),
    (&["info", "-a", "/dev/null", "/dev/zero"], 1),
    (&["info", "-x", "--value", "/dev/null"], 1),
    (&["info", "-a", "-q", "path", "/dev/null"], 0),
    (&["info", "-d", "/etc"], 0),
    (&["info", "-x", "-d", "/etc"], 0),
    (&["info", "-P", "A_", "-d", "/etc"], 0),
    (&["info", "-d", "/nothing"], 1),
    (&["info", "-d", "/etc", "/dev/null"], 1),
    (&["info", "-q", "path", "sys-class-net-lo.device"], 0),
    (&["info", "-q", "path", "dev-null.device"], 0),
    (&["info", "-q", "path", "/dev/char/1:3"], 0),
    (&["info", "-q", "path", "/dev/char/250:1"], 1),
    (&["info", "-q", "path", "/dev/block/1:3"], 1),
    (&["info", "--property=", "-q", "property", "/dev/null"], 0),
    (&["info", "--quer=path", "/dev/null"], 0),
    (&["info", "--ex", "/dev/null"], 1),
    (&["info", "-w0", "-q", "path", "/dev/null"], 0),
    (&["info", "-w0.01", "/dev/null"], 1),
    (&["trigger", "--type=nonsense"], 1),
    (&["trigger", "--action=nonsense"], 1),
    (&["trigger", "--action=help"], 0),
    (&["trigger", "--dry-run", "/dev/nothing"], 1),
    (&["trigger", "--dry-run", "/class/mem/null"], 1),
    (&["trigger", "--dry-run", "--name-match=nothing"], 1),
    (&["trigger", "--dry-run", "--parent-match=/class/nothing"], 1),
    (&["trigger", "--dry-run", "--wait-daemon"], 1),
    (&["trigger", "--nonsense"], 1),
    (&["settle"], 0),
    (&["settle", "--timeout=1"], 0),
    (&["settle", "--timeout=nonsense"], 1),
    (&["settle", "--nonsense"], 1),
    (&["monitor", "--nonsense"], 1),
    (&["control"], 1),
    (&["control", "--nonsense"], 1),
    (&["control", "--reload"], 1),
    (&["control", "--reload-rules"], 1),
    (&["control", "-R"], 1),
    (&["control", "--ping"], 1),
    (&["control", "--exit"], 1),
    (&["control", "--log-level=nonsense"], 1),
    (&["control", "--log-priority=debug"], 1),
    (&["control", "--timeout=5"], 0),
    (&["control", "--children-max=4"], 1),
    (&["control", "extra"], 1),
    (&["test"], 1),
    (&["test", "--action=help"], 0),
    (&["test", "--action=nonsense", "/dev/null"], 1),
    (&["test", "--resolve-names=nonsense", "/dev/null"], 1),
    (&["test", "/dev/nothing"], 1),
    (&["test-builtin"], 1),
    (&["test-builtin", "path_id"], 1),
    (&["test-builtin", "nonsense", "/sys/class/net/lo"], 1),
    (&["test-builtin", "path_id", "/sys/class/net/nothing"], 1),
    (&["test-builtin", "path_id", "/sys/class/net/lo"], 1),
    (&["test-builtin", "-a", "help"], 0),
    (&["hwdb"], 1),
];

#[test]
fn mistakes_end_as_with_debians() {
    let name = "mistakes_end_as_with_debians";
    if !inside(name) {
        return;
    }
    mount(&[&"-t", &"tmpfs", &"run", &"/run"]);
    let compares = has_theirs(name);
    for (args, code) in MISTAKES {
        let output = ours(args).output().unwrap();
        assert_eq!(output.status.code(), Some(*code), "{args:?}: {output:?}");
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(complaint.lines().count(), usize::from(*code != 0), "{args:?}: {complaint}");
        if compares {
            assert_eq!(
                said(theirs(args)),
                (Some(*code), String::from_utf8(output.stdout).unwrap()),
                "{args:?}"
            );
        }
    }
    eprintln!("{name}: {} command lines", MISTAKES.len());
    // What natsdev does not do is said, before anything is done.
    for flag in ["--stop-exec-queue", "--start-exec-queue", "--property=A=b", "--children-max=4"] {
        let output = ours(&["control", "--reload", flag]).output().unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), complaint.lines().count()), (Some(1), 1));
        assert!(complaint.contains("natsdev has nothing of that kind"), "{complaint}");
    }
}

struct Monitor(Child, Lines<BufReader<ChildStdout>>);

impl Monitor {
    /// Listens by the time that this returns.
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.by_ref().map(Result::unwrap).find(|line| line.is_empty()).unwrap();
        Self(child, lines)
    }

    /// All until `last` was said for the `times`th time, and its properties; without times.
    fn until(&mut self, last: &str, mut times: usize, with_properties: bool) -> Vec<String> {
        let mut heard = Vec::new();
        for line in self.1.by_ref().map(Result::unwrap) {
            times = times.saturating_sub(line.ends_with(last).into());
            let is_end = times == 0 && (!with_properties || line.is_empty());
            let line = match line.split_once('[').zip(line.split_once("] ")) {
                Some(((kind, _), (_, rest))) => format!("{kind} {rest}"),
                None => line,
            };
            if !line.starts_with("USEC_INITIALIZED=") {
                heard.push(line);
            }
            if is_end {
                break;
            }
        }
        without_order(&heard.join("\n"))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn events_are_shown_as_debians_shows_them() {
    let name = "events_are_shown_as_debians_shows_them";
    if !inside(name) {
        return;
    }
    let mut world = World::new();
    let rules = "KERNEL==\"tag*\", TAG+=\"seat\", TAG+=\"other\", SYMLINK+=\"a/%k\", ENV{NICE}=\"a=b c\"\n";
    handle(&mut world, rules);
    let variants: [&[&str]; 9] = [
        &[],
        &["--property"],
        &["--kernel"],
        &["-k", "-p"],
        &["--udev", "--environment"],
        &["-u", "-s", "mem"],
        &["--subsystem-match=net", "--subsystem-match=block/disk"],
        &["-p", "-t", "seat"],
        &["-t", "none", "-t", "other", "-s", "mem"],
    ];
    let compares = has_theirs(name);
    let mut monitors = Vec::new();
    for variant in variants {
        let args = [&["monitor"], variant].concat();
        let other = compares.then(|| {
            let mut command = Command::new("stdbuf");
            command.args(["-oL", "udevadm"]).args(&args).env("SYSTEMD_DEVICE_VERIFY_SYSFS", "0");
            Monitor::start(command)
        });
        monitors.push((variant, Monitor::start(ours(&args)), other));
    }
    world.happen(&add("plain", "20"));
    world.happen(&add("tagged", "21"));
    world.happen(&event(
        "add",
        "/devices/virtual/net/eth7",
        &[("SUBSYSTEM", "net"), ("INTERFACE", "eth7"), ("IFINDEX", "7")],
    ));
    world.happen(&event("change", "/devices/virtual/mem/tagged", &[("SUBSYSTEM", "mem"), ("ODD", "a\nb")]));
    world.kernel.inject(&event("offline", "/devices/virtual/mem/plain", &[("SUBSYSTEM", "mem")]));
    for devtype in ["partition", "disk"] {
        let of = [("SUBSYSTEM", "block"), ("DEVTYPE", devtype)];
        world.happen(&event("add", &format!("/devices/virtual/block/{devtype}"), &of));
        // Devices are handled at the same time: the last one comes when all others are done.
        assert!(ours(&["settle"]).status().unwrap().success());
    }
    let mut lines = 0;
    for (variant, own, other) in &mut monitors {
        let with_properties = ["-p", "--property", "--environment"].iter().any(|flag| variant.contains(flag));
        let (last, times) = match variant {
            [] | ["--property"] => ("/devices/virtual/block/disk (block)", 2),
            ["--kernel" | "-k" | "--udev", ..] => ("/devices/virtual/block/disk (block)", 1),
            ["--subsystem-match=net", _] => ("/devices/virtual/block/disk (block)", 2),
            ["-u", ..] => ("offline  /devices/virtual/mem/plain (mem)", 1),
            _ => ("change   /devices/virtual/mem/tagged (mem)", 1),
        };
        let mut heard = own.until(last, times, with_properties);
        assert!(!heard.is_empty());
        if let Some(other) = other {
            let mut expected = other.until(last, times, with_properties);
            // The two groups are two sockets: what comes first of both is nobody's to say.
            heard.sort();
            expected.sort();
            lines += heard.len();
            assert_eq!(heard, expected, "{variant:?}");
        }
    }
    eprintln!("{name}: {lines} lines of {} monitors", monitors.len());
    // It ends when it is told to.
    let (_, own, _) = &mut monitors[0];
    let pid = rustix::process::Pid::from_child(&own.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(own.0.wait().unwrap().code(), Some(0));
}
