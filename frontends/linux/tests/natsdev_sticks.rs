//! Sticks, as a real kernel told of one, in a made-up sysfs with a real file system.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod rig;

use std::process::Command;

use rig::{Client, World, inside, stick};
use serde_json::json;

const STICK: &str = "/devices/pci0000:00/0000:00:02.0/usb2/2-1";

/// The captured event of the disk.
const DISK: usize = 14;

/// A FAT file system as the node `name`.
fn format(world: &World, name: &str, label: &str) {
    let node = world.folder.join("dev").join(name);
    std::fs::File::create(&node).unwrap().set_len(63488 * 512).unwrap();
    let made = Command::new("mkfs.vfat")
        .args(["-n", label, "-i", "1a2b3c4d"])
        .arg(node)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .unwrap();
    assert!(made.status.success());
}

#[test]
fn one_stick_comes_and_goes() {
    if !inside("one_stick_comes_and_goes") {
        return;
    }
    let mut world = World::new();
    format(&world, "sda1", "HOLIDAY");
    let mut client = Client::connect();
    world.start_natsdev(&[]);
    assert_eq!(client.list("hardware.usb.list"), Vec::<String>::new());
    let (comes, goes) = stick("2-1", "sda");
    world.plug(&comes);
    let expected = json!({
        "devpath": STICK, "vendor": "0951", "product": "1666", "manufacturer": "Kingston",
        "model": "DataTraveler 3.0", "serial": "60A44C", "class": "storage", "speed": 480,
        "devnode": "/dev/bus/usb/002/002", "port": "2-1",
        "nodes": ["/dev/sda", "/dev/sda1"], "net": [], "input": [],
        "volumes": [{"devnode": "/dev/sda1", "fstype": "vfat", "label": "HOLIDAY", "uuid": "1A2B-3C4D",
            "size": 63488 * 512}],
    });
    let mut added = client.nth("hardware.usb.add", 1);
    // The captured machine's own nodes may stand between ours.
    let nodes = added["nodes"].as_array().unwrap().clone();
    assert!(nodes.contains(&json!("/dev/sda")) && nodes.contains(&json!("/dev/sda1")), "{nodes:?}");
    added["nodes"] = expected["nodes"].clone();
    added["devnode"] = expected["devnode"].clone();
    assert_eq!(added, expected);
    assert_eq!(client.list("hardware.usb.list"), [STICK]);
    assert!(
        client.about(
            "hardware.block.add",
            &format!("{STICK}/2-1:1.0/host0/target0:0:0/0:0:0:0/block/sda/sda1")
        )["devnode"]
            == "/dev/sda1"
    );

    world.unplug(&goes);
    let removed = client.nth("hardware.usb.remove", 1);
    assert_eq!(removed["volumes"], expected["volumes"], "the removal says what is gone");
    assert_eq!(client.list("hardware.usb.list"), Vec::<String>::new());
    assert_eq!(client.count("uevent."), comes.len() + goes.len());
    let hardware: Vec<_> = client.all("hardware.usb.").into_iter().map(|(subject, _)| subject).collect();
    assert_eq!(hardware.iter().filter(|subject| subject.ends_with("add")).count(), 1);
    assert_eq!(hardware.iter().filter(|subject| subject.ends_with("remove")).count(), 1);
    assert_eq!(hardware.iter().filter(|subject| subject.ends_with("change")).count(), 0);
    assert_eq!(world.stop_natsdev(), Some(0));
}

#[test]
fn ten_sticks_in_and_out_quickly() {
    if !inside("ten_sticks_in_and_out_quickly") {
        return;
    }
    let mut world = World::new();
    let client = Client::connect();
    world.start_natsdev(&[]);
    let sticks: Vec<_> =
        (0..10).map(|index| stick(&format!("2-{}", index + 1), &format!("sd{index}"))).collect();
    // Interleaved, as ten hands would do it.
    for step in 0..sticks[0].0.len() {
        for (comes, _) in &sticks {
            if step == DISK {
                world.appear(&comes[step..]);
            }
            world.happen(&comes[step]);
        }
    }
    for (index, _) in sticks.iter().enumerate() {
        client.nth("hardware.usb.add", index + 1);
    }
    sticks.iter().for_each(|(_, goes)| world.release(goes));
    for step in 0..sticks[0].1.len() {
        sticks.iter().for_each(|(_, goes)| world.happen(&goes[step]));
    }
    for (index, _) in sticks.iter().enumerate() {
        client.nth("hardware.usb.remove", index + 1);
    }
    assert_eq!(client.count("hardware.usb.add"), 10);
    assert_eq!(client.count("hardware.usb.remove"), 10);
    for index in 0..10 {
        let path = format!("/devices/pci0000:00/0000:00:02.0/usb2/2-{}", index + 1);
        let order: Vec<_> = client
            .all("hardware.usb.")
            .into_iter()
            .filter(|(_, payload)| payload["devpath"] == *path)
            .map(|(subject, _)| subject)
            .collect();
        assert_eq!(order, ["hardware.usb.add", "hardware.usb.remove"]);
    }
}

#[test]
fn a_stick_that_is_there_at_the_start_is_announced_when_the_server_is() {
    if !inside("a_stick_that_is_there_at_the_start_is_announced_when_the_server_is") {
        return;
    }
    let mut world = World::new();
    format(&world, "sda1", "EARLY");
    world.appear(&stick("2-1", "sda").0);
    let mut client = Client::connect();
    world.start_natsdev(&[]);
    assert_eq!(client.nth("hardware.usb.add", 1)["volumes"][0]["label"], "EARLY");
    // Asked again, it is said again, and marked.
    let answer = client.request("hardware.trigger", r#"{"subsystem": "usb"}"#);
    assert_eq!(answer, json!({"devices": 1}));
    assert_eq!(client.nth("hardware.usb.add", 2)["again"], true);
    // And after the server was away.
    world.kill_server();
    world.wait_for_log("the server is gone");
    world.plug(&stick("2-2", "sdb").0);
    world.hold_natsdev(true);
    world.start_server();
    let client = Client::connect();
    world.hold_natsdev(false);
    let again = client.about("hardware.usb.add", STICK);
    assert_eq!(again["again"], true);
    let second = client.about("hardware.usb.add", "/devices/pci0000:00/0000:00:02.0/usb2/2-2");
    assert_eq!(second["nodes"].as_array().unwrap().iter().filter(|node| *node == "/dev/sdb1").count(), 1);
}
