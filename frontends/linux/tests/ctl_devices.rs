//! `lunix devices` as a user types it, with natsdev and a made-up sysfs, and with nobody who answers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod nats_server;
mod rig;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use nats_server::Server;
use rig::{World, event, inside, stick};

fn lunix(url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lunix"));
    command.arg("devices").args(args).env("NATS_URL", url).stdin(Stdio::null());
    command
}

fn output(args: &[&str]) -> Output {
    lunix("nats://127.0.0.1:4222", args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Something that is plugged into nothing, and of which a terminal would obey the name.
fn other() -> Vec<u8> {
    event(
        "add",
        "/devices/virtual/net/evil\u{1b}[2J",
        &[("SUBSYSTEM", "net"), ("INTERFACE", "evil\u{1b}[2J")],
    )
}

#[test]
fn a_tree_a_table_and_json() {
    if !inside("a_tree_a_table_and_json") {
        return;
    }
    let mut world = World::new();
    world.appear(&stick("2-1", "sda").0);
    world.appear(&[other()]);
    world.start_natsdev(&[]);

    let tree = output(&[]);
    assert!(tree.status.success(), "{}", text(&tree.stderr));
    let tree = text(&tree.stdout);
    assert!(!tree.contains('\u{1b}'), "{tree}");
    let depth = |what: &str| {
        let line = tree.lines().find(|line| line.contains(what));
        line.unwrap_or_else(|| panic!("no {what} in\n{tree}"))
            .chars()
            .take_while(|c| !c.is_alphanumeric())
            .count()
    };
    assert!(depth("usb 2-1 Kingston DataTraveler 3.0 0951:1666 storage") < depth("block /dev/sda disk"));
    assert!(depth("block /dev/sda disk") < depth("block /dev/sda1 partition"));
    assert_eq!(depth("net evil"), 0);

    let usb = text(&output(&["usb"]).stdout);
    let lines: Vec<_> = usb.lines().collect();
    assert_eq!(lines.first(), Some(&"usb 2-1 Kingston DataTraveler 3.0 0951:1666 storage"));
    assert!(lines.iter().any(|line| line.ends_with("\u{2500} /dev/sda1 32.5 MB")), "{usb}");

    let table = text(&output(&["--table", "block", "net"]).stdout);
    let classes: Vec<_> = table.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(classes, ["CLASS", "block", "block", "net"], "{table}");

    let json = text(&output(&["--json"]).stdout);
    let devices: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(devices.iter().any(|device| device["port"] == "2-1" && device["serial"] == "60A44C"));
    assert!(devices.iter().any(|device| device["devnode"] == "/dev/sda1"));
}

#[test]
fn what_comes_and_goes_is_watched() {
    if !inside("what_comes_and_goes_is_watched") {
        return;
    }
    let mut world = World::new();
    let (comes, goes) = stick("2-1", "sda");
    world.appear(&comes);
    world.start_natsdev(&[]);
    let mut child =
        lunix("nats://127.0.0.1:4222", &["--watch", "usb"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut until = |what: &str| {
        let mut line = String::new();
        while !line.starts_with(what) {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "no {what}");
        }
    };
    until("usb 2-1 Kingston");
    world.unplug(&goes);
    until("- usb 2-1 Kingston");
    world.plug(&comes);
    until("+ usb 2-1 Kingston");
    // What happens while no server is there is shown afterwards.
    world.kill_server();
    world.wait_for_log("the server is gone");
    world.unplug(&goes);
    world.start_server();
    until("- usb 2-1 Kingston");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn one_line_says_what_is_wrong() {
    let Some(server) = Server::start("one_line_says_what_is_wrong") else { return };
    let nobody = lunix(&server.url(), &[]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert_eq!(text(&nobody.stderr), "lunix devices: nobody answers: natsdev is not running\n");
    for args in [&["a.b"][..], &["*"], &["--table", "--json"], &["--colour"]] {
        let wrong = lunix(&server.url(), args).output().unwrap();
        assert_eq!(wrong.status.code(), Some(2), "{args:?}");
        assert_eq!(text(&wrong.stderr).lines().count(), 1, "{args:?}");
    }
    let none = lunix("nats://127.0.0.1:1", &[]).output().unwrap();
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).starts_with("lunix devices: no server: "), "{}", text(&none.stderr));
}
