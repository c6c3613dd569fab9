//! `udevadm`, ours and Debian's, and machines for them: this one, one that is made up, and one that natsdev handles.

#![allow(dead_code, unreachable_pub, reason = "every test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use lunix_uevent::Uevent;

use crate::rig::sysfs::FakeSysfs;
use crate::rig::{World, event, stick};

pub fn ours(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lunix"));
    command.arg("udevadm").args(args);
    command
}

/// Debian's, which takes any folder for sysfs, and only says what scripts read.
pub fn theirs(args: &[&str]) -> Command {
    let mut command = Command::new("udevadm");
    command.args(args).env("SYSTEMD_DEVICE_VERIFY_SYSFS", "0").env("SYSTEMD_COLORS", "0");
    command.env("SYSTEMD_PAGER", "cat").env("SYSTEMD_LOG_LEVEL", "crit");
    command
}

/// Whether there is one to compare with.
pub fn has_theirs(name: &str) -> bool {
    let output = theirs(&["--version"]).output();
    let is_there = output.is_ok_and(|output| output.status.success());
    if !is_there {
        eprintln!("SKIPPED {name}: no udevadm to compare with");
    }
    is_there
}

pub fn said(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

pub fn mount(args: &[&dyn AsRef<OsStr>]) {
    let status = Command::new("mount").args(args.iter().map(AsRef::as_ref)).status().unwrap();
    assert!(status.success(), "mount");
}

/// Lists of links and tags are sets in libudev: in any order.
pub fn without_order(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut links = Vec::new();
    for line in text.lines() {
        if line.starts_with("S: ") {
            links.push(line.to_owned());
            continue;
        }
        links.sort();
        lines.append(&mut links);
        let list = [("DEVLINKS=", ' '), ("TAGS=", ':')].into_iter().find_map(|(key, by)| {
            let (head, list) = line.split_once(key)?;
            let mut parts: Vec<_> = list.trim_matches('\'').split(by).collect();
            parts.sort_unstable();
            Some(format!("{head}{key}{parts:?}"))
        });
        lines.push(list.unwrap_or_else(|| line.to_owned()));
    }
    lines.append(&mut links);
    lines
}

/// What both say, ours between two of theirs that are of the same length: devices come and go meanwhile.
fn both(args: &[&str]) -> [(Option<i32>, String); 3] {
    for _ in 0..20 {
        let answers = [theirs(args), ours(args), theirs(args)].map(said);
        let [before, _, after] = &answers;
        if before.0 == after.0 && before.1.lines().count() == after.1.lines().count() {
            return answers;
        }
    }
    panic!("{args:?}: this machine changes all the time");
}

/// What differs, but for what changes from one moment to the next.
fn difference(args: &[&str]) -> Option<String> {
    let [before, own, after] = both(args);
    if own.0 != before.0 {
        return Some(format!("{:?} for {:?}", own.0, before.0));
    }
    let mut texts = [before, own, after].map(|(_, text)| without_order(&text));
    if args.contains(&"symlink") {
        for line in texts.iter_mut().flatten() {
            let mut links: Vec<_> = line.split(' ').collect();
            links.sort_unstable();
            *line = links.join(" ");
        }
    }
    let [before, own, after] = texts;
    if own.len() != before.len() {
        return Some(format!("{own:#?}\nfor\n{before:#?}"));
    }
    let differ = |((own, before), after): &((&String, &String), &String)| own != before && before == after;
    let found = own.iter().zip(&before).zip(&after).find(differ);
    found.map(|((own, before), _)| format!("ours   {own}\ntheirs {before}"))
}

/// Compares all that is said. What changes by itself may look like a difference once, and not always.
pub fn assert_same(args: &[&str]) {
    let last = (0..5).try_fold(String::new(), |_, _| difference(args));
    if let Some(difference) = last {
        panic!("{args:?}\n{difference}");
    }
}

/// An entry in the database, and its tags.
pub fn remember(id: &str, lines: &str) {
    fs::create_dir_all("/run/udev/data").unwrap();
    fs::write(Path::new("/run/udev/data").join(id), lines).unwrap();
    for tag in lines.lines().filter_map(|line| line.strip_prefix("G:")) {
        let folder = Path::new("/run/udev/tags").join(tag);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(id), "").unwrap();
    }
}

pub const DISK: &str = "S:disk/by-id/usb-a\nS:mine\nL:-5\nI:1234567\nE:ID_BUS=usb\nE:ID_EMPTY=\nE:ID_MODEL=DataTraveler it's\n\
                    G:seat\nG:old\nQ:seat\nV:1\n";

/// /sys is a stick, and /run remembers its disk.
pub fn made_up() {
    // It goes with the namespace.
    mount(&[&"-t", &"tmpfs", &"run", &"/run"]);
    let sysfs = FakeSysfs::new("/run/made-up".into());
    for message in stick("2-1", "sda").0 {
        sysfs.apply(&Uevent::parse(&message).unwrap());
    }
    let more = event(
        "add",
        "/devices/virtual/mem/null",
        &[("SUBSYSTEM", "mem"), ("MAJOR", "1"), ("MINOR", "3"), ("DEVNAME", "null"), ("DEVMODE", "0666")],
    );
    sysfs.apply(&Uevent::parse(&more).unwrap());
    let net = event(
        "add",
        "/devices/virtual/net/lo",
        &[("SUBSYSTEM", "net"), ("INTERFACE", "lo"), ("IFINDEX", "1")],
    );
    sysfs.apply(&Uevent::parse(&net).unwrap());
    let null = sysfs.root.join("devices/virtual/mem/null");
    fs::create_dir(null.join("power")).unwrap();
    for (file, text) in [
        ("dev", "1:3\n"),
        ("size", "7\n"),
        ("power/control", "auto\n\n"),
        ("path", "/x\n"),
        ("odd", "\x01\n"),
    ] {
        fs::write(null.join(file), text).unwrap();
    }
    fs::write(null.join("reset"), "").unwrap();
    fs::set_permissions(null.join("reset"), fs::Permissions::from_mode(0o200)).unwrap();
    symlink("../../../../module/mem", null.join("module")).unwrap();
    fs::create_dir_all(sysfs.root.join("bus/pci/drivers/nvme")).unwrap();
    fs::create_dir_all(sysfs.root.join("module/loop")).unwrap();
    mount(&[&"--bind", &sysfs.root, &"/sys"]);
    remember("b8:0", DISK);
    remember("c1:3", "I:5\nE:A=b\nG:power-switch\n");
}

/// Where the disk of the captured stick is.
pub fn disk() -> String {
    let found = fs::canonicalize("/sys/class/block/sda").unwrap();
    found.to_str().unwrap().strip_prefix("/sys").unwrap().to_owned()
}

/// Rules in a folder of the world, and natsdev, found where everybody looks for it.
pub fn handle(world: &mut World, rules: &str) {
    let folder = world.folder.join("rules");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("50-test.rules"), rules).unwrap();
    fs::create_dir_all(world.folder.join("run/udev")).unwrap();
    mount(&[&"--bind", &world.folder.join("run"), &"/run"]);
    mount(&[&"--bind", &world.sysfs.root, &"/sys"]);
    let (folder, root) = (folder.to_str().unwrap().to_owned(), world.folder.to_str().unwrap().to_owned());
    world.start_natsdev(&["--manage", "yes", "--rules", &folder, "--root", &root]);
    world.wait_for_log("handled by the rules");
}

pub fn add(name: &str, minor: &str) -> Vec<u8> {
    let of = [("SUBSYSTEM", "mem"), ("MAJOR", "1"), ("MINOR", minor), ("DEVNAME", name)];
    event("add", &format!("/devices/virtual/mem/{name}"), &of)
}
