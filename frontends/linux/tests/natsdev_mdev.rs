//! `mdev.conf`: mistakes in it, what names may not do, and what the daemon makes of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod mdev_rig;
mod rig;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use mdev_rig::{ADD, Machine, REMOVE, SDA, devices, nodes, text};
use rig::{Client, World, event, inside_as_root};
use rustix::fs::FileType;

#[test]
fn every_mistake_is_said_and_nothing_is_done() {
    let machine = Machine::new("mistakes");
    devices(&machine);
    let conf = "# fine\nsd[a 0:0 660\nsda nobody:0 660\nsda 0:nogroup 888 =../x @\n  @8 0:0 660\n$X 0:0 660\n\
                A=(;*x 0:0 660 >/etc/x echo\nsda\nsda 0:0 660 !@echo\nsda 0:0 660 modprobe\nsda 0:0 660 = \nsda 0:0 \\";
    machine.conf(conf);
    let path = machine.0.join("etc/mdev.conf");
    let path = path.to_str().unwrap();
    let expected = [
        "2:3: expected ']' for this '[', found '[a'",
        "3:5: expected a user as USER:GROUP: a number, or a name of /etc/passwd, found 'nobody'",
        "4:7: expected a group: a number, or a name of /etc/group, found 'nogroup'",
        "4:15: expected permissions as octal digits such as 660, found '888'",
        "4:20: expected a path below /dev, such as disk/%1 or input/, found '../x'",
        "4:26: expected a command, found the end of the line",
        "5:3: expected @MAJOR,MINOR or @MAJOR,FIRST-LAST, found '@8'",
        "6:1: expected $VARIABLE=REGEX, found '$X'",
        "7:3: expected ')' for this '(', found '('",
        "7:5: expected something that is to be repeated, found '*x'",
        "7:17: expected a path below /dev, such as disk/%1 or input/, found '/etc/x'",
        "7:24: expected =PATH, >PATH, ! or a command after @, $ or *, found 'echo'",
        "8:4: expected a user as USER:GROUP: a number, or a name of /etc/passwd, found the end of the line",
        "8:4: expected permissions as octal digits such as 660, found the end of the line",
        "9:14: expected a space after '!', found '@echo'",
        "10:13: expected =PATH, >PATH, ! or a command after @, $ or *, found 'modprobe'",
        "11:14: expected a path below /dev, such as disk/%1 or input/, found the end of the line",
        "12:8: expected another line after '\\', found the end",
    ];
    let expected: Vec<_> = expected.iter().map(|line| format!("{path}:{line}")).collect();
    let root = machine.0.to_str().unwrap();
    let check = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_lunix"))
            .args([&["natsdev", "--root", root, "--mdev-conf", path], arguments].concat())
            .output()
            .unwrap()
    };
    for output in [
        machine.mdev(&[], &[ADD, SDA]),
        machine.mdev(&["-s"], &[]),
        check(&["--check-config"]),
        check(&["test", "/block/sda"]),
    ] {
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(text(&output.stderr).lines().collect::<Vec<_>>(), expected);
    }
    assert_eq!(machine.listing(), "");
    machine.conf("sda root:disk 660\n");
    assert_eq!(check(&["--check-config"]).status.code(), Some(0));
    fs::remove_file(path).unwrap();
    let other = machine.mdev(&["--conf", "/nowhere/mdev.conf"], &[ADD, SDA]);
    assert_eq!(other.status.code(), Some(2));
    for (arguments, variables, says) in [
        (&[][..], &[ADD][..], "mdev: expected -s, or ACTION and DEVPATH in the environment (see --help)\n"),
        (&["-d"], &[], "mdev: -d: expected -f as well: whoever starts it has it in the background\n"),
    ] {
        let output = machine.mdev(arguments, variables);
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(2), says));
    }
}

#[test]
fn no_name_leads_out_of_dev_and_none_is_a_command() {
    if !nodes("no_name_leads_out_of_dev_and_none_is_a_command") {
        return;
    }
    let machine = Machine::new("hostile");
    machine.conf(
        "$KIND=own(.*) 0:0 600 *echo \"<$MDEV>\"\n$KIND=.* 0:0 600 =x/%0 *echo \"<$MDEV>\"\n\
         (.*) 0:0 600 >in/%1 *echo \"<$MDEV>\"\n",
    );
    let files = || {
        let mut files: Vec<_> =
            fs::read_dir(&machine.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.extend(fs::read_dir(machine.0.join("etc")).unwrap().map(|entry| entry.unwrap().file_name()));
        files.sort();
        files
    };
    assert!(machine.mdev(&[], &[ADD, ("DEVPATH", "/x"), ("KIND", "none")]).status.success());
    let before = files();
    for name in ["../etc/x", "a/../../etc/x", "/etc/x", "..", "a//b", ".", "in/../../x", "a/."] {
        for kind in [&[][..], &[("KIND", "own")], &[("KIND", name)]] {
            let event =
                [&[ADD, ("DEVPATH", "/class/x/y"), ("MAJOR", "1"), ("MINOR", "3"), ("DEVNAME", name)], kind];
            let output = machine.mdev(&[], &event.concat());
            assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""), "{name}");
            assert!(text(&output.stderr).contains("leads out of /dev"), "{}", text(&output.stderr));
        }
    }
    for name in [
        "$(touch pwned)",
        "`touch pwned`",
        "; touch pwned",
        "\" && touch pwned",
        "a b\n> c",
        "'",
        "\\",
        "-rf",
    ] {
        let event = [ADD, ("DEVPATH", "/class/x/y"), ("MAJOR", "1"), ("MINOR", "3"), ("DEVNAME", name)];
        let output = machine.mdev(&[], &event);
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout).trim_end().replace("\\\\", "\\"), format!("<in/{name}>"));
        assert_eq!(fs::read_link(machine.0.join("dev").join(name)).unwrap(), Path::new("in").join(name));
        assert!(machine.mdev(&[], &[&[REMOVE], &event[1..]].concat()).status.success());
    }
    assert_eq!((files(), machine.listing()), (before, String::new()));

    // An interface may have any name; its end is not that of a node.
    machine.conf("");
    machine.node("null", FileType::CharacterDevice, (1, 3));
    let gone = [REMOVE, ("DEVPATH", "/devices/virtual/net/null"), ("SUBSYSTEM", "net")];
    assert!(machine.mdev(&[], &gone).status.success());
    let other = [&gone[..], &[("MAJOR", "1"), ("MINOR", "5")]].concat();
    assert_eq!(machine.mdev(&[], &other).status.code(), Some(1));
    assert_eq!(machine.listing(), "null c1,3 600 0:0");
}

#[test]
fn nodes_of_the_kernel_are_moved() {
    if !nodes("nodes_of_the_kernel_are_moved") {
        return;
    }
    let machine = Machine::new("devtmpfs");
    devices(&machine);
    let mount = format!("22 1 0:5 / {} rw - devtmpfs dev rw\n", machine.0.join("dev").display());
    fs::create_dir_all(machine.0.join("proc/self")).unwrap();
    fs::write(machine.0.join("proc/self/mountinfo"), mount).unwrap();
    machine.conf("sda 1:1 640 =disk/\nhdb 1:1 640 >disk/%0\nttyS0 1:1 600 !\n.* 2:2 600\n");
    for (path, name, kind, number) in [
        ("/block/sda", "sda", FileType::BlockDevice, (8, 0)),
        ("/block/hdb", "hdb", FileType::BlockDevice, (3, 64)),
        ("/class/tty/ttyS0", "ttyS0", FileType::CharacterDevice, (4, 64)),
        ("/class/tty/capi", "capi", FileType::CharacterDevice, (191, 0)),
    ] {
        machine.node(name, kind, number);
        assert!(machine.mdev(&[], &[ADD, ("DEVPATH", path)]).status.success());
    }
    let expected = "capi c191,0 600 2:2\ndisk/hdb b3,64 640 1:1\ndisk/sda b8,0 640 1:1\nhdb -> disk/hdb\nttyS0 c4,64 600 0:0";
    assert_eq!(machine.listing(), expected);
    for path in ["/block/sda", "/block/hdb"] {
        assert!(machine.mdev(&[], &[REMOVE, ("DEVPATH", path)]).status.success());
    }
    assert_eq!(machine.listing(), "capi c191,0 600 2:2\nttyS0 c4,64 600 0:0");
}

#[test]
fn a_device_is_told_what_the_lines_make_of_it() {
    let machine = Machine::new("test");
    machine.device("/devices/pci0/block/sda", "8:0");
    let folder = machine.0.join("sys/devices/pci0/block/sda");
    fs::write(folder.join("uevent"), "MAJOR=8\nMINOR=0\nDEVNAME=sda\n").unwrap();
    machine.conf("-.* 0:0 660 *logger $MDEV\nsd(.) play:disk 640 >disk/%1 @echo new\n");
    let path = machine.0.join("etc/mdev.conf");
    let (root, path) = (machine.0.to_str().unwrap(), path.to_str().unwrap());
    let test = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_lunix"))
            .args(["natsdev", "test", "/devices/pci0/block/sda", "--root", root, "--mdev-conf", path])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let expected = format!(
        "{path}:1: node /dev/sda owner 0 group 0 mode 0660\n{path}:1: run logger $MDEV with MDEV=sda\n{path}:2: node /dev/disk/a owner 31 group 6 mode 0640\n\
         {path}:2: link /dev/sda\n{path}:2: run echo new with MDEV=disk/a\n"
    );
    assert_eq!(test(&[]), expected);
    assert_eq!(test(&["--action", "change"]), format!("{path}:1: run logger $MDEV with MDEV=sda\n"));
    assert_eq!(machine.listing(), "");
}

#[test]
fn the_daemon_handles_devices_by_it() {
    if !inside_as_root("the_daemon_handles_devices_by_it") || !nodes("the_daemon_handles_devices_by_it") {
        return;
    }
    let mut world = World::new();
    let conf = world.folder.join("mdev.conf");
    let ran = world.folder.join("ran");
    let text = "zero 1:2 640 >mine/%0\n-.* 0:0 600 *echo $ACTION $MDEV $HOME >> RAN\n@1,9 0:0 604\n";
    fs::write(&conf, text.replace("RAN", ran.to_str().unwrap())).unwrap();
    let node = |action: &str, name: &str, minor: &str| {
        let path = format!("/devices/virtual/mem/{name}");
        event(action, &path, &[("SUBSYSTEM", "mem"), ("MAJOR", "1"), ("MINOR", minor), ("DEVNAME", name)])
    };
    // What was there before is handled, too.
    world.appear(&[node("add", "zero", "5")]);
    let client = Client::connect();
    let (root, path) = (world.folder.to_str().unwrap().to_owned(), conf.to_str().unwrap().to_owned());
    world.start_natsdev(&["--manage", "yes", "--root", &root, "--mdev-conf", &path]);
    world.wait_for_log("handled by the rules");
    client.about("hardware.mem.add", "/devices/virtual/mem/zero");
    let mode = |name: &str| {
        let meta = fs::symlink_metadata(world.folder.join("dev").join(name)).ok()?;
        Some((meta.permissions().mode() & 0o7777, meta.uid(), meta.gid()))
    };
    assert_eq!(mode("mine/zero"), Some((0o640, 1, 2)));
    assert_eq!(fs::read_link(world.folder.join("dev/zero")).unwrap(), Path::new("mine/zero"));

    // What is there at the start may be said twice, as it is found and as it is announced.
    let happen = |world: &mut World, action: &str, name: &str, minor: &str| {
        let subject = format!("hardware.mem.{action}");
        let count = || client.order(&subject).iter().filter(|path| path.ends_with(name)).count();
        let before = count();
        world.happen(&node(action, name, minor));
        rig::wait(|| count() > before, || format!("{subject} of {name}"));
    };
    happen(&mut world, "add", "urandom", "9");
    let mode = |world: &World, name: &str| {
        let meta = fs::symlink_metadata(world.folder.join("dev").join(name)).ok()?;
        Some((meta.permissions().mode() & 0o7777, meta.uid(), meta.gid()))
    };
    assert_eq!(mode(&world, "urandom"), Some((0o604, 0, 0)));
    assert_eq!(fs::read_to_string(&ran).unwrap(), "add urandom /\n");
    happen(&mut world, "remove", "urandom", "9");
    assert_eq!(mode(&world, "urandom"), None);
    assert_eq!(fs::read_to_string(&ran).unwrap(), "add urandom /\nremove urandom /\n");

    // With mistakes, the old lines stay.
    fs::write(&conf, "zero 1:2\n").unwrap();
    world.signal_natsdev(rustix::process::Signal::HUP);
    world.wait_for_log("the old ones stay");
    world.wait_for_log("mdev.conf:1:9: expected permissions");
    happen(&mut world, "remove", "zero", "5");
    assert_eq!((mode(&world, "zero"), mode(&world, "mine/zero")), (None, None));
    fs::write(&conf, "zero 3:4 600\n").unwrap();
    world.signal_natsdev(rustix::process::Signal::HUP);
    world.wait_for_log("1 rules from now on");
    happen(&mut world, "add", "zero", "5");
    assert_eq!(mode(&world, "zero"), Some((0o600, 3, 4)));
}
