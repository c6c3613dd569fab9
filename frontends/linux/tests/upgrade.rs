//! `lunix upgrade` as users and makers have it, on a flash that is a file.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod free_port;
mod upgrade_rig;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use free_port::free_port;
use lunix_core::slots::Slot;
use upgrade_rig::Rig;

const MIB: usize = 1 << 20;

fn rig(name: &str) -> Rig {
    Rig::new(name, "x86_64", 8 * MIB)
}

/// Bytes of a slot of the board x86_64.
const SLOT: usize = 3776 << 10;

#[test]
fn from_a_new_device_to_the_second_system_and_back() {
    let rig = rig("life");
    let old = rig.image("0.1.0", b"a kernel");
    assert!(rig.works(&["--install", &old]).contains("slot a has 0.1.0"));
    assert_eq!(rig.start(), (Slot::A, "0.1.0".to_owned(), false));

    let new = rig.image("0.2.0", b"another kernel");
    let plan = rig.works(&[&new]);
    for line in [
        "board     x86_64\n",
        "version   0.1.0 -> 0.2.0\n",
        "signed    by maker@example\n",
        "slot      b is written, which has nothing now",
        "kernel    8 -> 14 bytes (+6), sha256 ",
        "files     1 differ, +0 bytes\n  ~ /etc/lunix/services/natstoast.toml (+0 bytes)\n",
        "services  natstoast are defined otherwise\n",
    ] {
        assert!(plan.contains(line), "{line:?} in {plan}");
    }
    let before = rig.flash();
    rig.works(&[&new, "--plan"]);
    assert!(rig.flash() == before, "a plan writes nothing");

    // A try that nobody confirms.
    assert!(rig.works(&[&new, "--apply"]).contains("slot b has 0.2.0 and is on trial"));
    assert!(rig.works(&["--status"]).contains("next      b, on trial\n"));
    assert_eq!(rig.start(), (Slot::B, "0.2.0".to_owned(), true));
    assert!(
        rig.fails(&[&new, "--apply", "--slot", "b"], 1).contains("on trial: --confirm or --rollback first")
    );
    assert_eq!(rig.start(), (Slot::A, "0.1.0".to_owned(), false));
    assert!(rig.works(&["--status"]).contains("slot b    0.2.0, was tried and not confirmed\n"));
    assert!(rig.fails(&["--confirm"], 1).contains("not on trial"));

    // Another one that somebody confirms.
    rig.works(&[&new, "--apply", "--tries", "2"]);
    assert_eq!(rig.start(), (Slot::B, "0.2.0".to_owned(), true));
    assert_eq!(rig.start(), (Slot::B, "0.2.0".to_owned(), true));
    assert!(rig.works(&["--confirm", "--slot", "b"]).contains("slot b, 0.2.0, is what is started"));
    assert!(rig.works(&["--confirm", "--slot", "b"]).contains("confirmed already"));
    assert_eq!(rig.start(), (Slot::B, "0.2.0".to_owned(), false));

    assert!(rig.works(&["--rollback"]).contains("slot a, 0.1.0, is started"));
    assert_eq!(rig.start(), (Slot::A, "0.1.0".to_owned(), false));
    assert!(rig.fails(&["--rollback"], 1).contains("nothing to go back from"));
}

#[test]
fn what_is_refused_changes_nothing() {
    let rig = rig("refused");
    let old = rig.image("0.2.0", b"a kernel");
    rig.works(&["--install", &old]);
    let new = rig.image("0.3.0", b"a kernel");
    let bytes = fs::read(&new).unwrap();
    let changed = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        fs::write(rig.folder.join(name), bytes).unwrap();
        rig.path(name)
    };
    let refused = |image: &str, why: &str| {
        for verb in ["--plan", "--apply"] {
            let said = rig.fails(&[image, verb], 1);
            assert!(said.contains(why), "{why} in {said}");
            assert!(said.lines().all(|line| line.starts_with("lunix upgrade: ")), "{said}");
        }
    };
    refused(&changed("short", &|bytes| bytes.truncate(100)), "shorter than a header");
    refused(&changed("cut", &|bytes| bytes.truncate(100_000)), "found 100000: it is not whole");
    refused(&changed("long", &|bytes| bytes.push(0)), "it is not whole");
    refused(&changed("magic", &|bytes| bytes[0] = b'X'), "no lunix image");
    for at in [20, 50, 100, 220, 300, 400, 440, 500, 511] {
        refused(&changed("header", &|bytes| bytes[at] ^= 1), "the header is damaged");
    }
    refused(&changed("kernel2", &|bytes| bytes[4096] ^= 1), "the kernel is damaged");
    let root = bytes.len() - 5000;
    refused(&changed("root2", &|bytes| bytes[root] ^= 1), "the root is damaged");
    refused(&changed("list", &|bytes| *bytes.last_mut().unwrap() ^= 1), "the manifest is damaged");
    refused("/nowhere/image", "/nowhere/image: No such file");
    refused("https://127.0.0.1/image", "expected http://");

    // The signature of another key, and none.
    rig.plain(&["--new-key", &rig.path("other")]);
    let foreign = changed("foreign", &|_| {});
    assert!(rig.plain(&["--sign", &rig.path("other"), &foreign]).status.success());
    refused(&foreign, "none of the keys in");
    fs::write(rig.folder.join("keys"), "zz\n\nxx y\n").unwrap();
    refused(&new, "keys:1: expected a key of 64 hexadecimal digits, found 'zz'");
    refused(&new, "keys:3: expected a key");
    fs::remove_file(rig.folder.join("keys")).unwrap();
    refused(&new, "keys: No such file");
    rig.works(&[&new, "--apply", "--force-unsigned"]);

    // All at once, and each by its own flag.
    let other = Rig::new("refused-board", "arm-virt", 8 * MIB);
    let image = other.image("0.1.0", b"a kernel");
    let said = rig.fails(&[&image, "--apply"], 1);
    for why in ["the image is for 'arm-virt', and this is 'x86_64'", "older than 0.2.0", "--force-unsigned"] {
        assert!(said.contains(why), "{why} in {said}");
    }
    rig.works(&[&image, "--apply", "--force-unsigned", "--force-board", "--force-downgrade"]);

    // One byte more than a slot.
    fs::write(rig.folder.join("large"), vec![1; SLOT]).unwrap();
    let (large, output) = (rig.path("large"), rig.path("large.img"));
    let made = rig.plain(&[
        "--pack",
        "--kernel",
        &rig.path("kernel"),
        "--root",
        &large,
        "--board",
        "x86_64",
        "--release",
        "1.0.0",
        "--output",
        &output,
    ]);
    assert!(made.status.success());
    let said = rig.fails(&[&output, "--apply", "--force-unsigned"], 1);
    assert!(said.contains(&format!("bytes are more than the {SLOT} of a slot")), "{said}");
}

#[test]
fn the_command_line_is_checked() {
    let rig = rig("usage");
    let cases: [(&[&str], &str); 7] = [
        (&["--apply", "--plan", "x"], "--plan and --apply: expected one of them"),
        (&["--apply"], "IMAGE is missing"),
        (&["x", "--apply", "--tries", "9"], "--tries: expected a number from 1 to 8, found '9'"),
        (&["--pack", "--kernel", "x"], "--pack needs --root, --release, --output as well"),
        (&["--watch-trial", "--within", "soon"], "--within: expected a time as 60s or 5m, found 'soon'"),
        (&["--status", "--board", "z80"], "--board: expected x86_64 or arm-virt, found 'z80'"),
        (&["--status", "--slot", "c"], "--slot"),
    ];
    for (arguments, why) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lunix"));
        command.args(["upgrade", "--flash", &rig.path("flash")]);
        if !arguments.contains(&"--board") && !arguments.contains(&"--pack") {
            command.args(["--board", "x86_64"]);
        }
        let output = command.args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if why.starts_with("--pack") {
            assert!(said.contains("--pack needs --root, --board, --release, --output as well"), "{said}");
        } else {
            assert!(said.contains(why), "{why} in {said}");
        }
        assert_eq!(output.status.code(), Some(2), "{said}");
    }
}

#[test]
fn images_are_made_the_same_every_time() {
    let rig = rig("same");
    let first = fs::read(rig.image("0.1.0", b"a kernel")).unwrap();
    let second = fs::read(rig.image("0.1.0", b"a kernel")).unwrap();
    assert!(first == second);
}

/// Serves one file to one client, and only its first `limit` bytes.
fn serve(bytes: Vec<u8>, limit: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&bytes[..limit.min(bytes.len())]);
    });
    format!("http://{address}/lunix.img")
}

#[test]
fn over_the_network_whole_or_not_at_all() {
    let rig = rig("http");
    let old = rig.image("0.1.0", b"a kernel");
    rig.works(&["--install", &old]);
    let new = fs::read(rig.image("0.2.0", b"another kernel")).unwrap();
    let said = rig.fails(&[&serve(new.clone(), 200_000), "--apply"], 1);
    assert!(said.contains("the connection broke after 200000 of"), "{said}");
    let said = rig.fails(&[&serve(vec![0; 4 * MIB], 0), "--apply"], 1);
    assert!(said.contains(&format!("4194304 bytes, and a slot has room for {SLOT}")), "{said}");
    rig.works(&[&serve(new, usize::MAX), "--apply"]);
    assert_eq!(rig.start(), (Slot::B, "0.2.0".to_owned(), true));
}

#[test]
fn killed_anywhere_the_device_starts_and_is_upgraded_the_next_time() {
    let rig = rig("killed");
    let (old, new) = (rig.image("0.1.0", b"a kernel"), rig.image("0.2.0", b"another kernel"));
    rig.works(&["--install", &old]);
    let began = Instant::now();
    rig.works(&[&new, "--apply"]);
    let whole = began.elapsed();
    rig.start();
    rig.works(&["--rollback"]);
    let mut killed = 0;
    for part in 0..20 {
        let mut child = rig.command(&[&new, "--apply"]).stdout(Stdio::null()).spawn().unwrap();
        // Not a wait for something: the moment of the kill is what is varied.
        thread::sleep(whole * part / 20);
        let _ = child.kill();
        killed += u32::from(!child.wait().unwrap().success());
        let (slot, version, trial) = rig.start();
        assert_eq!((slot, trial), (if version == "0.1.0" { Slot::A } else { Slot::B }, version != "0.1.0"));
    }
    assert!(killed > 0);
    println!("{killed} of 20 were killed before their end, which takes {whole:?}");
    rig.start();
    rig.works(&[&new, "--apply", "--slot", "a"]);
    assert_eq!(rig.start(), (Slot::B, "0.2.0".to_owned(), true));
}

struct Server {
    child: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start() -> Self {
        let port = free_port();
        let child = Command::new(env!("CARGO_BIN_EXE_lunix"))
            .args(["natsd", "-a", "127.0.0.1", "-p", &port.to_string()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "natsd does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        Self { child, url: format!("nats://127.0.0.1:{port}") }
    }
}

#[test]
fn a_trial_ends_by_what_the_system_says_of_itself() {
    let rig = rig("trial");
    let (old, new) = (rig.image("0.1.0", b"a kernel"), rig.image("0.2.0", b"another kernel"));
    rig.works(&["--install", &old]);
    let server = Server::start();
    let watch = ["--watch-trial", "--nats", &server.url];
    let socket = rig.folder.join("notify");
    let notify = UnixDatagram::bind(&socket).unwrap();
    notify.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let ready = || {
        let mut state = [0; 64];
        let len = notify.recv(&mut state).unwrap();
        assert_eq!(&state[..len], b"READY=1\n");
    };

    // Nothing to watch.
    let output = rig.command(&watch).env("NOTIFY_SOCKET", &socket).output().unwrap();
    assert!(output.status.success());
    ready();

    // It never is healthy: what was given is run instead of a restart, and the old one is started next.
    rig.works(&[&new, "--apply"]);
    rig.start();
    let program = rig.folder.join("restart");
    fs::write(&program, format!("#!/bin/sh\ntouch {}\n", rig.path("restarted"))).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&program).status().unwrap().success());
    let began = Instant::now();
    let mut command = rig.command(&watch);
    let output = command.args(["--slot", "b", "--within", "1s", "--instead"]).arg(&program).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the system was not healthy within 1s"), "{said}");
    assert_eq!(output.status.code(), Some(1));
    assert!(began.elapsed() >= Duration::from_secs(1) && rig.folder.join("restarted").exists());
    assert_eq!(rig.start(), (Slot::A, "0.1.0".to_owned(), false));

    // It is.
    rig.works(&[&new, "--apply"]);
    rig.start();
    let mut command = rig.command(&watch);
    command.args(["--slot", "b", "--within", "30s"]).env("NOTIFY_SOCKET", &socket);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    ready();
    let said = Command::new(env!("CARGO_BIN_EXE_lunix"))
        .args(["pub", "--nats", &server.url, "system.healthy", "{}"])
        .status();
    assert!(said.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("slot b, 0.2.0, is what is started from now on")
    );
    assert_eq!(rig.start(), (Slot::B, "0.2.0".to_owned(), false));
}

/// On a device of the kernel: its own file, as `block2mtd` or `mtdram` would make one.
#[test]
fn on_a_flash_of_the_kernel() {
    let table = fs::read_to_string("/proc/mtd").unwrap_or_default();
    if !table.contains("\"slot-b\"") {
        println!("SKIPPED on_a_flash_of_the_kernel: no MTD partitions of lunix in /proc/mtd");
        let output =
            Command::new(env!("CARGO_BIN_EXE_lunix")).args(["upgrade", "--status"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains("/proc/mtd"), "{said}");
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_lunix")).args(["upgrade", "--status"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
