//! What a supervisor says of the machine and of boot times, by a real `natsinit --session` on natsd.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod nats_server;
mod supervised;

use std::fs;

use nats_server::Server;
use serde_json::Value;
use supervised::{Client, Supervisor, until};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn start(name: &str, services: &[&str]) -> (Server, Supervisor, Client) {
    let server = Server::natsd();
    let url = server.url();
    let fixed = ["natsinit", "--session", "--nats", &url];
    let init = Supervisor::start(name, &[&fixed, services].concat(), &[]);
    let mut client = Client::connect(&format!("127.0.0.1:{}", server.port));
    until("answers", || client.try_request("service.list"));
    (server, init, client)
}

#[test]
fn the_machine_is_what_the_kernel_says() {
    let (_server, _init, mut client) = start("machine", &["a=sleep 1000"]);
    let info = json(&client.request("system.info"));
    let read = |path: &str| fs::read_to_string(path).unwrap().trim().to_owned();
    assert_eq!(info["hostname"], Value::from(read("/proc/sys/kernel/hostname")));
    assert_eq!(info["kernel"], Value::from(read("/proc/sys/kernel/osrelease")));
    assert_eq!(info["boot_id"], Value::from(read("/proc/sys/kernel/random/boot_id")));
    assert_eq!(
        (&info["init"], &info["version"]),
        (&Value::from(false), &Value::from(env!("CARGO_PKG_VERSION")))
    );

    let uptime = || (read("/proc/uptime").split(' ').next().unwrap().parse::<f64>().unwrap() * 1e6) as u64;
    let before = uptime();
    let usage = json(&client.request("system.usage"));
    let told = usage["uptime_us"].as_u64().unwrap();
    assert!(before <= told + 10_000 && told <= uptime() + 10_000, "{before} {told}");
    let kib = |key: &str| {
        let text = read("/proc/meminfo");
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    };
    assert_eq!(usage["memory"]["total"], Value::from(kib("MemTotal")));
    let available = usage["memory"]["available"].as_u64().unwrap();
    assert!(available.abs_diff(kib("MemAvailable")) < kib("MemTotal") / 10, "{available}");
    // The kernel's own count, in ticks of a hundredth of a second, goes on meanwhile.
    let idle = read("/proc/stat").split_whitespace().nth(4).unwrap().parse::<u64>().unwrap() * 10_000;
    assert!(usage["cpu"]["idle_us"].as_u64().unwrap() <= idle, "{usage}");
    assert!(usage["storage"].is_array() && usage["load"]["threads"].as_u64().unwrap() > 1, "{usage}");
}

#[test]
fn a_session_takes_no_orders() {
    let (_server, _init, mut client) = start("orders", &["a=sleep 1000"]);
    for subject in ["system.shutdown", "system.reboot", "system.halt", "system.kexec", "system.reexec"] {
        assert_eq!(client.try_request(subject), None, "{subject}");
    }
    assert!(json(&client.request("service.list"))[0]["state"] == "ready");
}

#[test]
fn usage_of_all_is_the_usage_of_each() {
    let (_server, init, mut client) =
        start("usages", &["--restarts", "0", "a=sleep 1000", "b=false", "c=sleep 1001"]);
    // Events before the first answer were passed over.
    until("failure", || Some(client.request("service.b.status")).filter(|said| said.contains("failed")));
    let pid = until("process", || init.processes("sleep\x001001").first().copied());
    // They may still be growing when they are first looked at.
    until("the same in all places", || {
        let usages = json(&client.request("service.usage"));
        let names: Vec<_> =
            usages.as_array().unwrap().iter().map(|usage| usage["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["a", "c"]);
        let one = json(&client.request("service.a.usage"));
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let rss = rss.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024;
        (usages[0]["rss"] == one["rss"] && usages[1]["rss"].as_u64() == Some(rss)).then_some(())
    });
}

#[test]
fn boot_times_are_those_of_the_first_start() {
    let (_server, init, mut client) = start("boot", &["--restarts", "0", "a=sleep 1000", "bad=/nowhere/x"]);
    until("failure", || Some(client.request("service.bad.status")).filter(|said| said.contains("failed")));
    let ready = json(&client.request("service.a.status"))["at_us"].as_u64().unwrap();
    let boot = json(&client.request("service.boot"));
    let services = boot["services"].as_array().unwrap();
    let a = services.iter().find(|service| service["name"] == "a").unwrap();
    let time = |key: &str| a[key].as_u64().unwrap_or_else(|| panic!("no {key} in {a}"));
    assert!(boot["started_us"].as_u64().unwrap() <= time("wanted_us"), "{boot}");
    assert!(time("wanted_us") <= time("spawned_us") && time("spawned_us") <= time("ready_us"), "{boot}");
    assert_eq!(time("ready_us"), ready);
    let bad = services.iter().find(|service| service["name"] == "bad").unwrap();
    assert!(bad["wanted_us"].is_u64() && bad["ready_us"].is_null(), "{boot}");
    // A second start is no boot.
    client.request("service.a.restart");
    client.event("service.a.ready");
    assert_eq!(json(&client.request("service.boot"))["services"], boot["services"]);
    drop(init);
}
