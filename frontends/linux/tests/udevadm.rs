//! `udevadm`: what it says of made-up devices, to the letter, and what it has natsdev do.

#![cfg(feature = "udevadm")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod rig;
mod udevadm_rig;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rig::{World, event, inside, wait};
use udevadm_rig::{
    add, assert_same, disk, handle, has_theirs, made_up, mount, ours, remember, said, theirs, without_order,
};

#[test]
fn what_is_known_of_a_device_is_told() {
    if !inside("what_is_known_of_a_device_is_told") {
        return;
    }
    made_up();
    let sda = disk();
    let told = |args: &[&str]| {
        let (code, text) = said(ours(&[&["info"], args].concat()));
        assert_eq!(code, Some(0), "{args:?}");
        text
    };
    let null = "P: /devices/virtual/mem/null\nM: null\nU: mem\nD: c 1:3\nN: null\nL: 0\nE: DEVPATH=/devices/virtual/mem/null\n\
                E: SUBSYSTEM=mem\nE: DEVNAME=/dev/null\nE: DEVMODE=0666\nE: MAJOR=1\nE: MINOR=3\nE: USEC_INITIALIZED=5\n\
                E: A=b\nE: TAGS=:power-switch:\n\n";
    assert_eq!(told(&["/sys/class/mem/null"]), null);
    assert_eq!(told(&["--path=/devices/virtual/mem/null"]), null);
    let by_node = told(&["--name=null"]);
    assert!(by_node.contains("E: DEVMODE=0666\nE: MAJOR=1\nE: MINOR=3\nE: SUBSYSTEM=mem\n"), "{by_node}");

    assert_eq!(told(&["-q", "path", "/sys/class/block/sda"]), format!("{sda}\n"));
    assert_eq!(told(&["-q", "name", "-p", "class/block/sda"]), "sda\n");
    assert_eq!(told(&["-rq", "name", "-n", "block/8:0"]), "/dev/sda\n");
    assert_eq!(told(&["-q", "symlink", "-p", &sda]), "disk/by-id/usb-a mine\n");
    assert_eq!(told(&["-q", "symlink", "--root", "-p", &sda]), "/dev/disk/by-id/usb-a /dev/mine\n");
    let known = told(&["-q", "property", "-p", &sda]);
    for line in [
        "USEC_INITIALIZED=1234567",
        "TAGS=:seat:old:",
        "CURRENT_TAGS=:seat:",
        "DEVLINKS=/dev/disk/by-id/usb-a /dev/mine",
    ] {
        assert!(known.lines().any(|known| known == line), "{line} in {known}");
    }
    assert!(!known.contains("ID_EMPTY"), "{known}");
    let only = ["-q", "property", "--property=ID_MODEL,ID_BUS", "-p", &sda];
    assert_eq!(told(&only), "ID_BUS=usb\nID_MODEL=DataTraveler it's\n");
    assert_eq!(told(&[&only[..], &["--value"]].concat()), "usb\nDataTraveler it's\n");
    assert_eq!(
        told(&[&only[..], &["-P", "X_"]].concat()),
        "X_ID_BUS='usb'\nX_ID_MODEL='DataTraveler it's'\n"
    );

    let walk = told(&["-a", "-p", "/class/mem/null"]);
    let (_, walk) = walk.split_once("single parent device.\n\n").unwrap();
    assert_eq!(
        walk,
        "  looking at device '/devices/virtual/mem/null':\n    KERNEL==\"null\"\n    SUBSYSTEM==\"mem\"\n    DRIVER==\"\"\n    \
         ATTR{power/control}==\"auto\"\n    ATTR{reset}==\"(not readable)\"\n    ATTR{size}==\"7\"\n\n"
    );
    let all = told(&["-e"]);
    let devices = all.lines().filter(|line| line.starts_with("P: ")).count();
    assert_eq!((devices, all.matches("\n\n").count()), (devices, devices), "an empty line ends each");
    assert!(all.contains(null) && all.contains(&format!("P: {sda}\nM: sda\n")));

    remember("c9:9", "E:KEPT=1\n");
    fs::set_permissions("/run/udev/data/c9:9", fs::Permissions::from_mode(0o1644)).unwrap();
    fs::create_dir_all("/run/udev/links/mine").unwrap();
    fs::write("/run/udev/links/mine/b8:0", "").unwrap();
    assert_eq!(told(&["--cleanup-db"]), "");
    let left =
        |folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(left("/run/udev/data"), ["c9:9"]);
    assert!(left("/run/udev/links").is_empty() && left("/run/udev/tags").is_empty());
}

#[test]
fn devices_are_asked_for_by_what_they_are() {
    if !inside("devices_are_asked_for_by_what_they_are") {
        return;
    }
    made_up();
    let sda = &*disk();
    let asked = |args: &[&str]| {
        let (code, text) = said(ours(&[&["trigger", "-nv"], args].concat()));
        assert_eq!(code, Some(0), "{args:?}");
        text.lines().map(|line| line.strip_prefix("/sys").unwrap().to_owned()).collect::<Vec<_>>()
    };
    let sda1 = &*format!("{sda}/sda1");
    let null = "/devices/virtual/mem/null";
    assert_eq!(asked(&["-s", "block"]), [sda, sda1]);
    assert_eq!(asked(&["-s", "b?ock", "-y", "sd*", "-a", "size=6[0-9]*", "-A", "partition"]), [sda]);
    assert_eq!(asked(&["-p", "DEVT*=part*"]), [sda1]);
    assert_eq!(asked(&["-p", "A=b", "-p", "DEVNAME=/dev/sda"]), [sda, null]);
    assert_eq!(asked(&["-g", "seat"]), [sda]);
    assert_eq!(asked(&["--initialized-match"]), [sda, null]);
    assert_eq!(asked(&["--initialized-nomatch", "-s", "block"]), [sda1]);
    assert_eq!(asked(&["--name-match=block/8:0", "-s", "block"]), [sda, sda1]);
    assert_eq!(asked(&["-b", sda]), [sda, sda1]);
    assert_eq!(
        asked(&["--type=subsystems"]),
        ["/bus/pci", "/bus/pci/drivers", "/bus/pci/drivers/nvme", "/module/loop"]
    );
    assert_eq!(asked(&["/sys/class/mem/null", "--prioritized-subsystem=net"]), [null]);
    assert_eq!(
        asked(&["--prioritized-subsystem=net", "-S", "usb", "-S", "scsi*"])[0],
        "/devices/virtual/net/lo"
    );
    let all = asked(&[]);
    assert!(
        all.iter().collect::<BTreeSet<_>>().len() == all.len() && all.contains(&sda.to_owned()),
        "{all:?}"
    );
    let place = |devpath: &str| all.iter().position(|known| known == devpath).unwrap();
    assert!(place(sda) < place(sda1));

    // Not only said. This kernel takes no notice of it.
    let uevent = Path::new("/sys").join(&sda[1..]).join("uevent");
    assert_eq!(said(ours(&["trigger", "-c", "add", "-y", "sda"])), (Some(0), String::new()));
    assert!(fs::read_to_string(&uevent).unwrap().starts_with("add"));
    let (code, text) = said(ours(&["trigger", "--uuid", "-y", "sda"]));
    assert_eq!((code, text.len()), (Some(0), 37));
    assert!(fs::read_to_string(&uevent).unwrap().starts_with(format!("change {text}").trim_end()));
}

fn output(mut command: Command) -> Output {
    command.output().unwrap()
}

#[test]
fn the_daemon_is_told_and_waited_for() {
    let name = "the_daemon_is_told_and_waited_for";
    if !inside(name) {
        return;
    }
    let mut world = World::new();
    // The slow ones wait until the test lets them go on.
    let go = Path::new("/run/go");
    handle(
        &mut world,
        "KERNEL==\"slow*\", RUN+=\"/bin/sh -c 'until [ -e /run/go ]; do sleep 0.01; done'\"\n",
    );
    let told = |args: &[&str]| output(ours(args)).status.code();
    let all: &[fn(&[&str]) -> Command] = if has_theirs(name) { &[ours, theirs] } else { &[ours] };
    for (round, ask) in all.iter().enumerate() {
        let minors = [30, 31, 32].map(|minor| minor + 3 * round);
        minors.iter().for_each(|minor| world.happen(&add(&format!("slow{minor}"), &minor.to_string())));
        let told = |args: &[&str]| output(ask(args)).status.code();
        assert_eq!(told(&["settle", "--timeout=0"]), Some(1));
        assert_eq!(told(&["settle", "--timeout=0", "--exit-if-exists=/dev/null"]), Some(0));
        fs::write(go, "").unwrap();
        assert_eq!(told(&["settle", "--timeout=20s"]), Some(0));
        for minor in minors {
            assert!(Path::new(&format!("/run/udev/data/c1:{minor}")).exists(), "{minor}");
        }
        assert_eq!(told(&["control", "--ping"]), Some(0));
        fs::remove_file(go).unwrap();
    }

    fs::write(
        world.folder.join("rules/50-test.rules"),
        "KERNEL==\"x\", MODE=\"0600\"\n\nKERNEL==\"new\", ENV{SEEN}=\"1\"\n",
    )
    .unwrap();
    assert_eq!(told(&["control", "--reload-rules", "--timeout=5"]), Some(0));
    world.wait_for_log("2 rules from now on");
    assert_eq!(told(&["control", "--log-level=err", "-R"]), Some(0));
    assert_eq!(told(&["control", "-l", "info", "-R"]), Some(0));
    world.wait_for_nth_log("2 rules from now on", 2);
    assert_eq!(
        world.log().matches("rules from now on").count(),
        2,
        "nothing was said at the level of errors"
    );

    // A device that nobody has handled yet is waited for.
    world.appear(&[add("new", "40")]);
    assert_eq!(told(&["info", "-w0.05", "-q", "path", "/sys/class/mem/new"]), Some(1));
    let waits =
        ours(&["info", "-w", "-q", "property", "/sys/class/mem/new"]).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    world.kernel.inject(&add("new", "40"));
    let waited = waits.wait_with_output().unwrap();
    assert!(waited.status.success());
    assert!(String::from_utf8(waited.stdout).unwrap().contains("SEEN=1"));

    // The kernel does not say what it is asked for here: the test does, with the number that it was asked for.
    let mut asks = ours(&["trigger", "--settle", "--uuid", "--verbose", "/sys/class/mem/new"]);
    let asks = asks.stdout(Stdio::piped()).spawn().unwrap();
    let file = world.sysfs.root.join("devices/virtual/mem/new/uevent");
    let asked =
        || fs::read_to_string(&file).unwrap_or_default().lines().next().unwrap_or_default().to_owned();
    wait(|| asked().starts_with("change ") && asked().len() >= 43, || "the question".to_owned());
    let uuid = asked()[7..43].to_owned();
    let of = [("SUBSYSTEM", "mem"), ("SYNTH_UUID", "0f8fad5b-d9cb-469f-a165-70867728950e")];
    world.kernel.inject(&event("change", "/devices/virtual/mem/new", &of));
    world.kernel.inject(&event(
        "change",
        "/devices/virtual/mem/new",
        &[("SUBSYSTEM", "mem"), ("SYNTH_UUID", &uuid)],
    ));
    let asked = asks.wait_with_output().unwrap();
    assert!(asked.status.success());
    let path = "/sys/devices/virtual/mem/new";
    assert_eq!(
        String::from_utf8(asked.stdout).unwrap(),
        format!("{path}\n{uuid}\nsettle {path}\nsettle {uuid}\n")
    );

    assert_eq!(told(&["control", "--exit"]), Some(0));
    wait(|| !Path::new("/run/udev/control").exists(), || "the end of natsdev".to_owned());
    assert_eq!(told(&["control", "--reload"]), Some(1));
}

#[test]
fn rules_and_builtins_are_tested_in_udevs_words() {
    let name = "rules_and_builtins_are_tested_in_udevs_words";
    if !inside(name) {
        return;
    }
    made_up();
    fs::create_dir_all("/run/udev/rules.d").unwrap();
    let rules = "KERNEL==\"null\", SYMLINK+=\"nothing\", TAG+=\"seat\", ENV{NICE}=\"yes\", RUN+=\"/bin/true %k\"\nKERNAL==\"x\"\n";
    fs::write("/run/udev/rules.d/01-test.rules", rules).unwrap();
    let (code, text) = said(ours(&["test", "--action=change", "/class/mem/null"]));
    assert_eq!(code, Some(0));
    let (head, text) = text.split_once("\n\n").unwrap();
    assert!(head.starts_with("This program is for debugging only"));
    for line in [
        "ACTION=change",
        "NICE=yes",
        "DEVLINKS=/dev/nothing",
        "TAGS=:power-switch:seat:",
        "CURRENT_TAGS=:seat:",
        "run: '/bin/true null'",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} in {text}");
    }
    if has_theirs(name) {
        // Debian's makes links and sets permissions although it is only asked.
        mount(&[&"--rbind", &"/dev", &"/dev"]);
        mount(&[&"-o", &"remount,bind,ro", &"/dev"]);
        let sorted = |text: &str| {
            let lines = without_order(text).into_iter().filter(|line| !line.starts_with("USEC_INITIALIZED="));
            lines.collect::<BTreeSet<_>>()
        };
        for (action, device) in
            [("add", "/dev/null"), ("change", "/class/mem/null"), ("remove", "/sys/class/mem/null")]
        {
            let args = ["test", "-a", action, device];
            let (own, other) = (said(ours(&args)), said(theirs(&args)));
            assert_eq!((own.0, sorted(&own.1)), (other.0, sorted(&other.1)), "{device}");
        }
        let sda = disk();
        for builtin in ["path_id", "usb_id", "input_id"] {
            for device in [&sda, "/class/mem/null", "/sys/class/net/lo"] {
                assert_same(&["test-builtin", builtin, device]);
            }
        }
    }
    let verified = output(ours(&["verify", "/run/udev/rules.d/01-test.rules"]));
    assert_eq!(verified.status.code(), Some(1));
    let mistake = "/run/udev/rules.d/01-test.rules:2:1: KERNAL: unknown key, did you mean 'KERNEL'?\n";
    assert_eq!(String::from_utf8(verified.stderr).unwrap(), mistake);
    fs::write("/run/udev/rules.d/01-test.rules", "KERNEL==\"x\", MODE=\"0600\"\n").unwrap();
    assert_eq!(said(ours(&["verify", "/run/udev/rules.d"])), (Some(0), String::new()));

    let root = std::env::temp_dir().join(format!("lunix-udevadm-hwdb-{}", std::process::id()));
    fs::create_dir_all(root.join("etc/udev/hwdb.d")).unwrap();
    fs::write(root.join("etc/udev/hwdb.d/20.hwdb"), "usb:v1D6B*\n ID_VENDOR=Linux\n").unwrap();
    let root = root.to_str().unwrap();
    let (code, text) = said(ours(&["hwdb", "-r", root, "--update", "--strict", "--test=usb:v1D6Bp0002"]));
    assert_eq!((code, text.as_str()), (Some(0), "ID_VENDOR=Linux\n"));
    assert_eq!(said(ours(&["hwdb", "-r", root, "-t", "pci:v1"])), (Some(0), String::new()));
    fs::remove_dir_all(root).unwrap();
}
