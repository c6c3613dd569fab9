//! Events that are unusual, forged, or too many.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod rig;

use std::collections::BTreeSet;

use rig::{Client, World, event, inside, wait};
use serde_json::json;

const MEM: (&str, &str) = ("SUBSYSTEM", "mem");

#[test]
fn every_event_is_said_as_it_came() {
    if !inside("every_event_is_said_as_it_came") {
        return;
    }
    let mut world = World::new();
    let mut client = Client::connect();
    world.start_natsdev(&[]);
    let device = "/devices/virtual/mem/one";
    let other = "/devices/virtual/mem/other";

    world.happen(&event("add", device, &[MEM, ("MAJOR", "1"), ("MINOR", "9"), ("DEVNAME", "one")]));
    let said = client.nth("uevent.mem.add", 1);
    assert_eq!(
        (&said["action"], &said["devpath"], &said["subsystem"]),
        (&json!("add"), &json!(device), &json!("mem"))
    );
    assert_eq!(said["env"]["DEVNAME"], "one");
    assert_eq!(said["env"]["SEQNUM"], said["seqnum"].to_string());
    assert_eq!(
        client.nth("hardware.mem.add", 1),
        json!({"devpath": device, "class": "mem", "name": "one", "major": 1, "minor": 9, "devnode": "/dev/one"})
    );

    // What is not UTF-8 is replaced, what no token can hold as well.
    let mut bytes = event("change", device, &[("SUBSYSTEM", "a.b c"), ("NAME", "caf#")]);
    let at = bytes.iter().position(|byte| *byte == b'#').unwrap();
    bytes[at] = 0xe9;
    world.happen(&bytes);
    let said = client.nth("uevent.a_b_c.change", 1);
    assert_eq!((&said["subsystem"], &said["env"]["NAME"]), (&json!("a.b c"), &json!("caf\u{fffd}")));

    // Drivers come and go: the device stays.
    for action in ["bind", "unbind", "hibernate"] {
        world.happen(&event(action, device, &[MEM]));
        client.nth(&format!("uevent.mem.{action}"), 1);
    }
    assert_eq!(client.list("hardware.mem.list"), [device]);

    // 63 variables and the kernel's number are the most that there can be.
    let names: Vec<_> = (0..61).map(|index| format!("V{index}")).collect();
    let mut vars = vec![MEM];
    vars.extend(names.iter().take(60).map(|name| (name.as_str(), "x")));
    world.kernel.inject(&event("online", device, &vars));
    let said = client.nth("uevent.mem.online", 1);
    assert_eq!(said["env"].as_object().unwrap().len(), 64);

    world.happen(&event("move", other, &[MEM, ("DEVPATH_OLD", device)]));
    client.nth("uevent.mem.move", 1);
    assert_eq!(client.about("hardware.mem.change", other)["devpath_old"], device);
    assert_eq!(client.list("hardware.mem.list"), [other]);

    world.happen(&event("remove", other, &[MEM]));
    client.about("hardware.mem.remove", other);
    assert_eq!(client.list("hardware.list"), Vec::<String>::new());

    // Not for devices: said, but not kept.
    world.happen(&event("add", "/module/zram", &[("SUBSYSTEM", "module")]));
    client.nth("uevent.module.add", 1);
    assert_eq!(client.count("hardware.module"), 0);
}

#[test]
fn what_the_kernel_did_not_say_is_refused_and_counted() {
    if !inside("what_the_kernel_did_not_say_is_refused_and_counted") {
        return;
    }
    let mut world = World::new();
    let mut client = Client::connect();
    world.start_natsdev(&[]);
    let forged = event("add", "/devices/virtual/mem/forged", &[MEM, ("SEQNUM", "1")]);
    for _ in 0..5 {
        world.kernel.forge(&forged);
    }
    world.kernel.forge(&vec![b'x'; 8192]);
    world.wait_for_log("a process sent it, not the kernel");
    // From here on through the kernel, but nothing that it would say itself.
    world.kernel.inject(b"libudev\0\xfe\xed\xca\xfe0123456789");
    world.kernel.inject(b"no header\0A=B\0");
    world.kernel.inject(b"add@/devices/a\0ACTION=remove\0DEVPATH=/devices/a\0");
    let names: Vec<_> = (0..70).map(|index| format!("V{index}")).collect();
    let vars: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let mut many = event("add", "/devices/many", &vars[..60]);
    vars[60..].iter().for_each(|(key, value)| many.extend_from_slice(format!("{key}={value}\0").as_bytes()));
    world.kernel.inject(&many);
    // It goes on as if nothing had happened.
    world.happen(&event("add", "/devices/virtual/mem/real", &[MEM]));
    client.nth("hardware.mem.add", 1);
    assert_eq!(client.count("uevent."), 1);
    let stats = client.request("natsdev.stats", "");
    assert_eq!(
        stats["refused"],
        json!({"sender": 6, "credentials": 0, "truncated": 0, "malformed": 3, "libudev": 1})
    );
    assert_eq!(stats["events"], 1);
    assert_eq!(world.log().matches("refused").count(), 1, "one line, not one for each");
}

#[test]
fn a_flood_ends_with_a_list_that_is_right() {
    if !inside("a_flood_ends_with_a_list_that_is_right") {
        return;
    }
    let mut world = World::new();
    let mut client = Client::connect();
    let path = |index: usize| format!("/devices/virtual/mem/d{index}");
    let add =
        |index: usize| event("add", &path(index), &[MEM, ("MAJOR", "1"), ("MINOR", &index.to_string())]);
    for index in 0..100 {
        world.appear(&[add(index)]);
    }
    world.start_natsdev(&["--rcvbuf", "16384"]);
    assert_eq!(client.list("hardware.list"), world.sysfs.devpaths());
    assert_eq!(client.list("hardware.list").len(), 100);

    // What really changes is told amid 20,000 events that say nothing new. For the first half, natsdev gets no time
    // at all; for the second, it races.
    world.hold_natsdev(true);
    for index in 0..20_000 {
        if index == 10_000 {
            world.hold_natsdev(false);
        }
        match index {
            0..50 => world.happen(&event("remove", &path(index), &[MEM])),
            10_000..10_050 => world.happen(&add(index)),
            // Another device at the same path.
            15_000 => {
                world.happen(&event("remove", &path(60), &[MEM]));
                let vars = [MEM, ("MAJOR", "1"), ("MINOR", "9999")];
                world.happen(&event("add", &path(60), &vars));
            }
            _ => world.kernel.inject(&event("change", &path(99), &[MEM])),
        }
    }
    world.happen(&event("change", &path(99), &[MEM, ("LAST", "1")]));
    let lost = client.nth("uevent.lost", 1);
    assert!(lost["from"].as_u64().unwrap() <= lost["to"].as_u64().unwrap());
    let expected = world.sysfs.devpaths();
    assert_eq!(expected.len(), 100);
    wait(
        || {
            client.list("hardware.list") == expected
                && client.request("natsdev.stats", "")["resyncs"].as_u64() > Some(0)
        },
        || "the list to be as /sys".to_owned(),
    );
    // Each was said exactly once.
    for index in (0..50).chain(10_000..10_050) {
        let about =
            client.all("hardware.mem.").into_iter().filter(|(_, payload)| payload["devpath"] == path(index));
        let said: Vec<_> =
            about.map(|(subject, _)| subject).filter(|subject| !subject.ends_with("change")).collect();
        let expected: &[&str] =
            if index < 50 { &["hardware.mem.add", "hardware.mem.remove"] } else { &["hardware.mem.add"] };
        assert_eq!(said, expected, "{}", path(index));
    }
    let stats = client.request("natsdev.stats", "");
    assert!(stats["overruns"].as_u64() > Some(0), "{stats}");
    eprintln!("{stats}");
}

#[test]
fn more_devices_than_there_is_room_for() {
    if !inside("more_devices_than_there_is_room_for") {
        return;
    }
    let mut world = World::new();
    let mut client = Client::connect();
    world.start_natsdev(&["--max-devices", "3"]);
    for index in 0..5 {
        world.happen(&event("add", &format!("/devices/virtual/mem/d{index}"), &[MEM]));
    }
    let full = client.nth("hardware.full", 2);
    assert_eq!(full, json!({"devpath": "/devices/virtual/mem/d4", "class": "mem", "limit": 3}));
    assert_eq!(client.list("hardware.list").len(), 3);
    world.happen(&event("remove", "/devices/virtual/mem/d0", &[MEM]));
    world.happen(&event("add", "/devices/virtual/mem/d5", &[MEM]));
    client.about("hardware.mem.add", "/devices/virtual/mem/d5");
    assert_eq!(client.count("uevent.mem.add"), 6);
}

#[test]
fn the_real_sys_is_listed_whole() {
    if !inside("the_real_sys_is_listed_whole") {
        return;
    }
    let mut world = World::new();
    world.sysfs.root = "/sys".into();
    let mut client = Client::connect();
    let look = || rig::sysfs::devpaths(std::path::Path::new("/sys")).into_iter().collect::<BTreeSet<_>>();
    let before = look();
    world.start_natsdev(&[]);
    let ours: BTreeSet<_> = client.list("hardware.list").into_iter().collect();
    let after = look();
    // What came or went meanwhile may be listed or not.
    let missing: Vec<_> = before.intersection(&after).filter(|path| !ours.contains(*path)).collect();
    let made_up: Vec<_> =
        ours.iter().filter(|path| !before.contains(*path) && !after.contains(*path)).collect();
    assert!(missing.is_empty() && made_up.is_empty(), "missing: {missing:?}, made up: {made_up:?}");
    assert!(ours.len() > 3, "{ours:?}");
    let answer = client.request("hardware.trigger", r#"{"devpath": "/devices/virtual/mem"}"#);
    assert!(answer["devices"].as_u64() > Some(3), "{answer}");
    assert_eq!(
        client.request("hardware.trigger", "no JSON"),
        json!("NATS/1.0\r\nNats-Service-Error-Code: 400\r\nNats-Service-Error: not JSON at byte 0\r\n\r\n")
    );
}
