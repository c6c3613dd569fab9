//! Rules at work in the running daemon: what they want is done before a device is said to be there.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod rig;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use lunix_uevent::monitor::Message;
use rig::{Client, World, event, inside, inside_as_root, wait};
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with, sockopt};

const MEM: (&str, &str) = ("SUBSYSTEM", "mem");

/// Rules in a folder of the world.
fn write_rules(world: &World, rules: &str) -> PathBuf {
    let folder = world.folder.join("rules");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(world.folder.join("run/udev")).unwrap();
    fs::write(folder.join("50-test.rules"), rules.replace("FOLDER", world.folder.to_str().unwrap())).unwrap();
    folder
}

fn start(world: &mut World, rules: &Path) {
    let (rules, root) = (rules.to_str().unwrap().to_owned(), world.folder.to_str().unwrap().to_owned());
    world.start_natsdev(&["--manage", "yes", "--rules", &rules, "--root", &root]);
    world.wait_for_log("handled by the rules");
}

fn node(action: &str, name: &str, minor: &str) -> Vec<u8> {
    let path = format!("/devices/virtual/mem/{name}");
    event(action, &path, &[MEM, ("MAJOR", "1"), ("MINOR", minor), ("DEVNAME", name)])
}

fn link(world: &World, name: &str) -> Option<PathBuf> {
    fs::read_link(world.folder.join("dev").join(name)).ok()
}

/// A user of libudev.
struct Libudev(OwnedFd);

impl Libudev {
    fn new() -> Self {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            Some(KOBJECT_UEVENT),
        );
        let socket = socket.unwrap();
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(rig::PATIENCE)).unwrap();
        bind(&socket, &SocketAddrNetlink::new(0, 2)).unwrap();
        Self(socket)
    }

    /// The next message, as lines.
    fn next(&self) -> Vec<String> {
        let mut buffer = vec![0; 8192];
        let (len, _) = recv(&self.0, &mut buffer[..], RecvFlags::empty()).unwrap();
        let message = Message::parse(&buffer[..len]).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        message.properties().map(|(key, value)| format!("{}={}", text(key), text(value))).collect()
    }
}

#[test]
fn a_device_is_said_when_the_rules_have_had_their_say() {
    if !inside("a_device_is_said_when_the_rules_have_had_their_say") {
        return;
    }
    let mut world = World::new();
    let rules = write_rules(
        &world,
        "SUBSYSTEM!=\"mem\", GOTO=\"end\"\n\
         SYMLINK+=\"mine/$kernel\", ENV{NICE}=\"yes\", TAG+=\"seat\"\n\
         ACTION==\"add\", RUN+=\"/bin/sh -c 'echo $env{DEVLINKS} >> FOLDER/ran'\"\n\
         ACTION==\"remove\", RUN+=\"/bin/sh -c 'echo gone >> FOLDER/ran'\"\n\
         LABEL=\"end\"\n",
    );
    world.appear(&[node("add", "old", "8")]);
    let listener = Libudev::new();
    let client = Client::connect();
    start(&mut world, &rules);
    // It was there before, and is said to those who connect.
    assert_eq!(link(&world, "mine/old").as_deref(), Some(Path::new("../old")));
    client.about("hardware.mem.add", "/devices/virtual/mem/old");
    assert!(listener.next().contains(&"DEVLINKS=/dev/mine/old".to_owned()));

    world.happen(&node("add", "new", "9"));
    let said = client.about("hardware.mem.add", "/devices/virtual/mem/new");
    assert_eq!(said["devnode"], "/dev/new");
    assert_eq!(link(&world, "mine/new").as_deref(), Some(Path::new("../new")));
    assert_eq!(link(&world, "char/1:9").as_deref(), Some(Path::new("../new")));
    let entry = fs::read_to_string(world.folder.join("run/udev/data/c1:9")).unwrap();
    assert!(entry.contains("S:mine/new\n") && entry.contains("E:NICE=yes\n"), "{entry}");
    let heard = listener.next();
    for property in ["ACTION=add", "NICE=yes", "TAGS=:seat:", "CURRENT_TAGS=:seat:", "DEVLINKS=/dev/mine/new"]
    {
        assert!(heard.contains(&property.to_owned()), "{property} in {heard:?}");
    }
    assert_eq!(fs::read_to_string(world.folder.join("ran")).unwrap().lines().count(), 2);

    world.happen(&node("remove", "new", "9"));
    client.about("hardware.mem.remove", "/devices/virtual/mem/new");
    assert_eq!((link(&world, "mine/new"), link(&world, "char/1:9")), (None, None));
    assert!(!world.folder.join("run/udev/data/c1:9").exists());
    assert!(listener.next().contains(&"ACTION=remove".to_owned()));
    assert!(fs::read_to_string(world.folder.join("ran")).unwrap().ends_with("gone\n"));
    wait(|| !world.folder.join("run/udev/queue").exists(), || "the end of the queue".to_owned());
}

#[test]
fn what_a_device_waits_for_holds_up_only_its_own() {
    if !inside("what_a_device_waits_for_holds_up_only_its_own") {
        return;
    }
    let mut world = World::new();
    // The slow one waits until the test lets it go on.
    let rules = write_rules(
        &world,
        "KERNEL==\"slow\", PROGRAM=\"/bin/sh -c 'read x < FOLDER/gate; echo $x'\", ENV{GATE}=\"%c\"\n",
    );
    let gate = world.folder.join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let client = Client::connect();
    start(&mut world, &rules);
    let slow = "/devices/virtual/mem/slow";
    let part = "/devices/virtual/mem/slow/part";
    world.happen(&event("add", slow, &[MEM]));
    world.happen(&event("add", part, &[MEM]));
    for number in 0..20 {
        world.happen(&event("add", &format!("/devices/virtual/mem/n{number}"), &[MEM]));
    }
    for number in 0..20 {
        client.about("hardware.mem.add", &format!("/devices/virtual/mem/n{number}"));
    }
    assert_eq!(client.count("hardware.mem.add"), 20);
    assert!(world.folder.join("run/udev/queue").exists());
    fs::write(&gate, "open\n").unwrap();
    client.about("hardware.mem.add", part);
    client.about("hardware.mem.add", slow);
    let order = client.order("hardware.mem.add");
    let at = |path: &str| order.iter().position(|known| known == path).unwrap();
    assert!(at(slow) < at(part));
    assert!(
        fs::read_to_string(world.folder.join("run/udev/data/+mem:slow")).unwrap().contains("E:GATE=open")
    );
}

#[test]
fn who_asks_during_the_first_pass_is_answered_at_its_end() {
    if !inside("who_asks_during_the_first_pass_is_answered_at_its_end") {
        return;
    }
    let mut world = World::new();
    let rules = write_rules(&world, "KERNEL==\"slow\", PROGRAM=\"/bin/sh -c 'read x < FOLDER/gate'\"\n");
    let gate = world.folder.join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    world.appear(&[node("add", "fast", "8"), node("add", "slow", "9")]);
    let socket = world.folder.join("supervisor");
    let supervisor = UnixDatagram::bind(&socket).unwrap();
    supervisor.set_read_timeout(Some(rig::PATIENCE)).unwrap();
    let mut client = Client::connect();
    let (rules, root) = (rules.to_str().unwrap().to_owned(), world.folder.to_str().unwrap().to_owned());
    let flags = ["--manage", "yes", "--rules", &rules, "--root", &root];
    world.spawn_natsdev(&flags, &socket);

    let mut said = [0; 64];
    let len = supervisor.recv(&mut said).unwrap();
    assert_eq!(&said[..len], b"READY=1\n");
    world.wait_for_answers();
    let list = client.send_request("hardware.list", "");
    let stats = client.request("natsdev.stats", "");
    assert!(stats.get("known_us").is_none(), "{stats}");
    assert_eq!(client.answer(&list, Duration::ZERO), None);
    assert_eq!(client.count("hardware.mem.add"), 0);
    assert!(world.folder.join("run/udev/queue").exists());

    fs::write(&gate, "open\n").unwrap();
    let list = client.answer(&list, rig::PATIENCE).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 2, "{list}");
    assert_eq!(client.nth("hardware.snapshot.end", 1)["devices"], 2);
    assert!(client.request("natsdev.stats", "")["known_us"].is_u64());
    assert_eq!(client.count("uevent."), 0, "what natsdev has asked for itself is no news");

    // With `--settle`, the end of the pass is what makes it ready.
    world.kill_natsdev();
    world.spawn_natsdev(&[&flags[..], &["--settle"]].concat(), &socket);
    world.wait_for_answers();
    supervisor.set_nonblocking(true).unwrap();
    assert!(supervisor.recv(&mut said).is_err());
    supervisor.set_nonblocking(false).unwrap();
    fs::write(&gate, "open\n").unwrap();
    assert!(supervisor.recv(&mut said).is_ok());
}

#[test]
fn rules_with_mistakes_are_refused_whole_and_the_old_ones_stay() {
    if !inside("rules_with_mistakes_are_refused_whole_and_the_old_ones_stay") {
        return;
    }
    let mut world = World::new();
    let rules = write_rules(&world, "SUBSYSTEM==\"mem\", SYMLINK+=\"one/%k\"\n");
    let client = Client::connect();
    start(&mut world, &rules);
    write_rules(&world, "SUBSYSTEM==\"mem\", SYMLINK+=\"two/%k\"\nKERNAL==\"x\", MODE=\"1\"\nGOTO=\"no\"\n");
    world.signal_natsdev(rustix::process::Signal::HUP);
    world.wait_for_log("the old ones stay");
    world.wait_for_log("50-test.rules:2:1: KERNAL: unknown key");
    world.wait_for_log("50-test.rules:3:");
    world.happen(&node("add", "a", "8"));
    client.about("hardware.mem.add", "/devices/virtual/mem/a");
    assert!(link(&world, "one/a").is_some() && link(&world, "two/a").is_none());
    write_rules(&world, "SUBSYSTEM==\"mem\", SYMLINK+=\"two/%k\"\n");
    world.signal_natsdev(rustix::process::Signal::HUP);
    world.wait_for_log("1 rules from now on");
    world.happen(&node("add", "b", "9"));
    client.about("hardware.mem.add", "/devices/virtual/mem/b");
    assert!(link(&world, "one/b").is_none() && link(&world, "two/b").is_some());
}

#[test]
fn what_went_while_it_was_killed_is_cleaned_up() {
    if !inside("what_went_while_it_was_killed_is_cleaned_up") {
        return;
    }
    let mut world = World::new();
    let rules =
        write_rules(&world, "SUBSYSTEM==\"mem\", SYMLINK+=\"by/%k\", SYMLINK+=\"last\", TAG+=\"t\"\n");
    let client = Client::connect();
    start(&mut world, &rules);
    for (name, minor) in [("a", "1"), ("b", "2"), ("c", "3")] {
        world.happen(&node("add", name, minor));
        client.about("hardware.mem.add", &format!("/devices/virtual/mem/{name}"));
    }
    world.kill_natsdev();
    world.appear(&[node("remove", "b", "2"), node("remove", "c", "3"), node("add", "d", "4")]);
    start(&mut world, &rules);
    let links: Vec<_> = ["by/a", "by/b", "by/c", "by/d"].map(|name| link(&world, name).is_some()).into();
    assert_eq!(links, [true, false, false, true]);
    assert!(link(&world, "last").is_some_and(|target| target == Path::new("a") || target == Path::new("d")));
    assert!(!world.folder.join("run/udev/data/c1:2").exists());
}

#[test]
fn udevadm_finds_whom_it_looks_for() {
    if !inside("udevadm_finds_whom_it_looks_for") {
        return;
    }
    let udevadm = |arguments: &[&str]| Command::new("udevadm").args(arguments).output();
    if udevadm(&["--version"]).is_err() {
        eprintln!("SKIPPED udevadm_finds_whom_it_looks_for: no udevadm");
        return;
    }
    let mut world = World::new();
    let rules = write_rules(
        &world,
        "SUBSYSTEM==\"mem\", ENV{NICE}=\"yes\", TAG+=\"seat\"\nKERNEL==\"slow\", RUN+=\"/bin/sleep 0.3\"\n",
    );
    let mounted =
        Command::new("mount").arg("--bind").arg(world.folder.join("run")).arg("/run").status().unwrap();
    assert!(mounted.success());
    let client = Client::connect();
    start(&mut world, &rules);

    // A ping is answered when all that has happened is known, and then the queue says how long it takes.
    for number in 0..20 {
        world.happen(&event("add", &format!("/devices/virtual/mem/n{number}"), &[MEM]));
    }
    world.happen(&event("add", "/devices/virtual/mem/slow", &[MEM]));
    let settled = udevadm(&["settle", "--timeout=20"]).unwrap();
    assert!(settled.status.success(), "{settled:?}");
    assert!(!world.folder.join("run/udev/queue").exists());
    assert!(world.folder.join("run/udev/data/+mem:slow").exists());

    let mut monitor = Command::new("stdbuf")
        .args(["-oL", "udevadm", "monitor", "--udev", "--property", "--tag-match=seat"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(monitor.stdout.take().unwrap()).lines().map_while(Result::ok);
    lines.by_ref().find(|line| line.contains("will print the received events")).unwrap();
    lines.by_ref().find(|line| line.starts_with("UDEV")).unwrap();
    world.happen(&event("change", "/devices/virtual/mem/n7", &[MEM]));
    let heard: Vec<_> =
        lines.skip_while(|line| !line.contains("change")).take_while(|line| !line.is_empty()).collect();
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    for property in ["ACTION=change", "DEVPATH=/devices/virtual/mem/n7", "NICE=yes", "TAGS=:seat:"] {
        assert!(heard.iter().any(|line| line == property), "{property} in {heard:?}");
    }

    write_rules(&world, "SUBSYSTEM==\"mem\", ENV{NICE}=\"more\"\n");
    assert!(udevadm(&["control", "--reload"]).unwrap().status.success());
    world.wait_for_log("1 rules from now on");
    world.happen(&event("add", "/devices/virtual/mem/last", &[MEM]));
    client.about("hardware.mem.add", "/devices/virtual/mem/last");
    let entry = fs::read_to_string(world.folder.join("run/udev/data/+mem:last")).unwrap();
    assert!(entry.contains("E:NICE=more"), "{entry}");
}

#[test]
fn killed_in_a_storm_of_plugging_it_makes_good_what_it_missed() {
    if !inside("killed_in_a_storm_of_plugging_it_makes_good_what_it_missed") {
        return;
    }
    const KILLS: u64 = 200;
    let mut world = World::new();
    let rules =
        write_rules(&world, "SUBSYSTEM==\"mem\", SYMLINK+=\"by/%k\", SYMLINK+=\"shared\", TAG+=\"t\"\n");
    let client = Client::connect();
    let (mut present, mut removed) = ([false; 24], [0; 24]);
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..KILLS {
        start(&mut world, &rules);
        for _ in 0..random(60) {
            let number = random(24) as usize;
            let action = if present[number] { "remove" } else { "add" };
            world.happen(&node(action, &format!("n{number}"), &(number + 1).to_string()));
            removed[number] += usize::from(present[number]);
            present[number] = !present[number];
        }
        std::thread::sleep(Duration::from_micros(random(3_000)));
        world.kill_natsdev();
    }
    start(&mut world, &rules);
    world.wait_for_answers();
    wait(|| !world.folder.join("run/udev/queue").exists(), || "the end of the queue".to_owned());
    for (number, is_there) in present.into_iter().enumerate() {
        let (name, id) = (format!("n{number}"), format!("c1:{}", number + 1));
        let target = link(&world, &format!("by/{name}"));
        assert_eq!(target, is_there.then(|| PathBuf::from(format!("../{name}"))), "{name}");
        for folder in ["data", "tags/t", "links/shared", &format!("links/by\\x2f{name}")] {
            let entry = world.folder.join("run/udev").join(folder).join(&id);
            assert_eq!(fs::symlink_metadata(&entry).is_ok(), is_there, "{}", entry.display());
        }
        let said = client.order("hardware.mem.remove");
        let said = said.iter().filter(|path| path.ends_with(&format!("/{name}"))).count();
        assert!(said <= removed[number], "{name} was said to be removed {said} times of {}", removed[number]);
    }
    let owner = link(&world, "shared").unwrap().into_os_string().into_string().unwrap();
    assert!(
        owner
            .strip_prefix('n')
            .and_then(|number| number.parse().ok())
            .is_some_and(|number: usize| present[number])
    );
    // Nothing is left of what it was about to write when it was killed.
    let data = fs::read_dir(world.folder.join("run/udev/data")).unwrap();
    let names: Vec<_> = data.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| name.starts_with('c')), "{names:?}");
}

#[test]
fn who_settles_waits_for_what_has_happened() {
    if !inside("who_settles_waits_for_what_has_happened") {
        return;
    }
    let mut world = World::new();
    // The change waits until the test lets it go on.
    let rules = write_rules(
        &world,
        "ACTION==\"add\", KERNEL==\"slow*\", RUN+=\"/bin/sleep 0.2\", ENV{DONE}=\"1\"\n\
         ACTION==\"change\", KERNEL==\"slow*\", RUN+=\"/bin/sh -c 'read x < FOLDER/gate'\"\n",
    );
    let gate = world.folder.join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let natsdev = |folder: &Path, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lunix"));
        command
            .arg("natsdev")
            .args(arguments)
            .arg("--root")
            .arg(folder)
            .stderr(Stdio::piped())
            .output()
            .unwrap()
    };
    let none = natsdev(&world.folder, &["settle"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("nobody handles devices here"));
    start(&mut world, &rules);
    for number in 0..12 {
        world.happen(&event("add", &format!("/devices/virtual/mem/slow{number}"), &[MEM]));
    }
    assert_eq!(natsdev(&world.folder, &["settle"]).status.code(), Some(0));
    for number in 0..12 {
        assert!(world.folder.join(format!("run/udev/data/+mem:slow{number}")).exists(), "{number}");
    }
    world.happen(&event("change", "/devices/virtual/mem/slow1", &[MEM]));
    let late = natsdev(&world.folder, &["settle", "--timeout", "0"]);
    assert_eq!(late.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&late.stderr).contains("still being handled"));
    fs::write(&gate, "open\n").unwrap();
    assert_eq!(natsdev(&world.folder, &["settle"]).status.code(), Some(0));

    // This kernel takes no notice of who asks it to say something, so that the question stays where it was written.
    let file = world.sysfs.root.join("devices/virtual/mem/slow2/uevent");
    let asked = natsdev(&world.folder, &["trigger", "/class/mem/slow2", "--action", "change"]);
    assert_eq!(asked.status.code(), Some(0), "{asked:?}");
    assert!(fs::read_to_string(file).unwrap().starts_with("change"));
    assert_eq!(natsdev(&world.folder, &["trigger", "/class/mem/none"]).status.code(), Some(1));
}

#[test]
fn who_has_written_to_a_watched_node_is_noticed() {
    if !inside("who_has_written_to_a_watched_node_is_noticed") {
        return;
    }
    let mut world = World::new();
    let rules = write_rules(&world, "KERNEL==\"w\", OPTIONS+=\"watch\"\n");
    let client = Client::connect();
    start(&mut world, &rules);
    for (name, minor) in [("w", "8"), ("other", "9")] {
        fs::write(world.folder.join("dev").join(name), "").unwrap();
        world.happen(&node("add", name, minor));
        client.about("hardware.mem.add", &format!("/devices/virtual/mem/{name}"));
        fs::write(world.folder.join("dev").join(name), "something").unwrap();
    }
    // This kernel takes no notice of who asks it to say something, so that the question stays where it was written.
    let asked = |name: &str| {
        let file = world.sysfs.root.join("devices/virtual/mem").join(name).join("uevent");
        fs::read_to_string(file).unwrap().starts_with("change ")
    };
    wait(|| asked("w"), || "a question about the node".to_owned());
    assert!(!asked("other"));
}

/// `openat` of such a node is what loads the module.
#[test]
fn nodes_of_modules_are_there_before_their_devices() {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    if !inside_as_root("nodes_of_modules_are_there_before_their_devices") {
        return;
    }
    let mut world = World::new();
    let rules = write_rules(
        &world,
        "KERNEL==\"fuse\", MODE=\"0666\", TAG+=\"uaccess\", OPTIONS+=\"static_node=fuse\"\n\
         SUBSYSTEM==\"misc\", GROUP=\"7\", OPTIONS+=\"static_node=net/tun\"\n\
         MODE=\"0777\", OPTIONS+=\"static_node=../outside\", OPTIONS+=\"static_node=absent\"\n",
    );
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let modules = world.folder.join("lib/modules").join(release.trim());
    fs::create_dir_all(&modules).unwrap();
    fs::write(
        modules.join("modules.devname"),
        "# Device nodes\nfuse fuse c10:229\ntun net/tun c10:200\nx ../y c1:3\n",
    )
    .unwrap();
    fs::write(world.folder.join("outside"), "").unwrap();
    start(&mut world, &rules);
    let node = |name: &str| {
        let meta = fs::symlink_metadata(world.folder.join("dev").join(name)).unwrap();
        assert!(meta.file_type().is_char_device(), "{name}");
        (meta.mode() & 0o7777, meta.uid(), meta.gid(), meta.rdev())
    };
    assert_eq!(node("fuse"), (0o666, 0, 0, rustix::fs::makedev(10, 229)));
    assert_eq!(node("net/tun"), (0o660, 0, 7, rustix::fs::makedev(10, 200)));
    let tag = fs::read_link(world.folder.join("run/udev/static_node-tags/uaccess/fuse")).unwrap();
    assert_eq!(tag, Path::new("/dev/fuse"));
    assert!(!world.folder.join("y").exists());
    assert_eq!(fs::metadata(world.folder.join("outside")).unwrap().mode() & 0o111, 0);
    assert_eq!(world.stop_natsdev(), Some(0));
}

#[test]
fn however_much_comes_at_once_the_end_of_it_is_said() {
    if !inside("however_much_comes_at_once_the_end_of_it_is_said") {
        return;
    }
    let mut world = World::new();
    let rules = write_rules(&world, "SUBSYSTEM==\"mem\", SYMLINK+=\"by/%k\"\n");
    start(&mut world, &rules);
    let client = Client::connect();
    let queue = world.folder.join("run/udev/queue");
    let mut minor = 100;
    // More than are handled in one turn, and as many as are.
    for count in 1..=20 {
        world.hold_natsdev(true);
        for _ in 0..count {
            minor += 1;
            world.happen(&node("add", &format!("n{minor}"), &minor.to_string()));
        }
        world.hold_natsdev(false);
        client.about("hardware.mem.add", &format!("/devices/virtual/mem/n{minor}"));
        wait(|| !queue.exists(), || format!("the end of {count} events"));
    }
    assert_eq!(world.stop_natsdev(), Some(0));
}

/// All files below a folder, relative to it.
fn files(folder: &Path) -> Vec<PathBuf> {
    fn walk(at: &Path, folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(at).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                walk(&entry.path(), folder, found);
            } else {
                found.push(entry.path().strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

#[test]
fn what_a_device_calls_itself_leads_nowhere() {
    if !inside("what_a_device_calls_itself_leads_nowhere") {
        return;
    }
    let mut world = World::new();
    let rules = write_rules(
        &world,
        "SUBSYSTEM!=\"mem\", GOTO=\"end\"\n\
         ENV{ID_SERIAL_SHORT}=\"$attr{serial}\", ENV{ID_MODEL_ENC}=\"$attr{serial}\"\n\
         SYMLINK+=\"by/serial-$attr{serial}\", SYMLINK+=\"$attr{serial}\", TAG+=\"$attr{serial}\"\n\
         LABEL=\"end\"\n",
    );
    let client = Client::connect();
    start(&mut world, &rules);
    let outside = |world: &World| {
        let all = files(&world.folder).into_iter();
        all.filter(|file| {
            !file.starts_with("dev") && !file.starts_with("run/udev") && !file.starts_with("sys")
        })
        .collect::<Vec<_>>()
    };
    let before = outside(&world);
    let hostile: [&[u8]; 14] = [
        b"../../escaped",
        b"/etc/escaped",
        b"..",
        b".",
        b"a\nE:ID_SEAT=seat1\nS:escaped",
        b"two words",
        b"\xff\xfe",
        b"caf\xc3\xa9",
        b"$(touch escaped)",
        b"`touch escaped`; touch escaped",
        b"\x1b[2J\x07",
        b"{\"x\":\"",
        br"\x2e\x2e\x2fescaped",
        &[b'x'; 4000],
    ];
    for (index, serial) in hostile.iter().enumerate() {
        let name = format!("n{index}");
        let add = node("add", &name, &index.to_string());
        world.appear(std::slice::from_ref(&add));
        let device = world.sysfs.root.join("devices/virtual/mem").join(&name);
        fs::write(device.join("serial"), serial).unwrap();
        world.kernel.inject(&add);
        let said = client.about("hardware.mem.add", &format!("/devices/virtual/mem/{name}"));
        assert_eq!(said["name"], name);
        for link in said["links"].as_array().into_iter().flatten() {
            let link = link.as_str().unwrap();
            let parts = link.strip_prefix("/dev/").unwrap().split('/');
            assert!(parts.clone().all(|part| !matches!(part, "" | "." | "..")), "{link}");
        }
        assert_eq!(outside(&world), before, "{}", serial.escape_ascii());
        // In the database it is one value, and no line of another kind.
        let entry = fs::read(world.folder.join(format!("run/udev/data/c1:{index}"))).unwrap();
        assert!(
            !entry
                .split(|byte| *byte == b'\n')
                .any(|line| line == b"E:ID_SEAT=seat1" || line == b"S:escaped")
        );
    }
    for (index, _) in hostile.iter().enumerate() {
        world.happen(&node("remove", &format!("n{index}"), &index.to_string()));
    }
    client.nth("hardware.mem.remove", hostile.len());
    // Nothing of it stays, and of others nothing went.
    assert_eq!(files(&world.folder.join("dev")), Vec::<PathBuf>::new());
    assert_eq!(outside(&world), before);
    assert_eq!(world.stop_natsdev(), Some(0));
}
