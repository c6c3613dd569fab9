//! Users of this machine, who are known by their uid, over TCP and on the UNIX socket.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod folder;
mod natsd_rig;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use natsd_rig::credentials::{VIOLATION, answer, say_connect};
use natsd_rig::{Client, Folder, PATIENCE, Server};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};
use serde_json::json;

/// Whether a test may be several users; only root may.
fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED {test}: not run by root");
    }
    root
}

/// What a thread does that is this user.
fn as_user<T: Send>(uid: u32, what: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let gid = rustix::process::Gid::from_raw(uid);
            set_thread_res_gid(gid, gid, gid).unwrap();
            let uid = rustix::process::Uid::from_raw(uid);
            set_thread_res_uid(uid, uid, uid).unwrap();
            what()
        });
        thread.join().unwrap()
    })
}

/// A user that no rule names.
const SOMEBODY: u32 = 4_000_000;
const PUBLISHES: &str = "CONNECT {\"verbose\":false}\nPUB toast.in 0\n\nPUB user.4000000.x 0\n\nPUB system.shutdown 0\n\nPUB x 0\n\nPING";
const REFUSED: [&str; 3] = [
    "-ERR 'Permissions Violation for Publish to \"system.shutdown\"'",
    "-ERR 'Permissions Violation for Publish to \"x\"'",
    "PONG",
];

#[test]
fn users_of_this_machine_over_tcp() {
    if !is_root("users_of_this_machine_over_tcp") {
        return;
    }
    let server = Server::start("");
    let mut root = server.open();
    assert!(!root.info.contains("auth_required"));
    root.say(PUBLISHES);
    assert_eq!(root.line(), "PONG");
    let mut somebody = as_user(SOMEBODY, || server.open());
    assert!(!somebody.info.contains("auth_required"));
    somebody.say(PUBLISHES);
    assert_eq!([somebody.line(), somebody.line(), somebody.line()], REFUSED);
    somebody.say("SUB > 1\nSUB uevent.> 2\nSUB hardware.list 3\nSUB hardware.*.* 4\nSUB _INBOX.a.> 5\nPING");
    assert_eq!(
        [somebody.line(), somebody.line(), somebody.line()],
        [
            "-ERR 'Permissions Violation for Subscription to \">\"'",
            "-ERR 'Permissions Violation for Subscription to \"hardware.list\"'",
            "PONG"
        ]
    );
    root.say("PUB hardware.usb.add 2\nhi\nPUB hardware.usb.list 0\n\nPING");
    assert_eq!(root.line(), "PONG");
    assert_eq!([somebody.line(), somebody.line()], ["MSG hardware.usb.add 4 2", "hi"]);
    somebody.sync();
    // What is mounted may be seen, and is changed by root.
    somebody.say("PUB volume.list 0\n\nPUB volume.mount 0\n\nPUB volume.unmount 0\n\nPING");
    for subject in ["volume.mount", "volume.unmount"] {
        assert_eq!(somebody.line(), format!("-ERR 'Permissions Violation for Publish to \"{subject}\"'"));
    }
    assert_eq!(somebody.line(), "PONG");
    // Credentials that nobody has asked for change nothing.
    let mut again = as_user(SOMEBODY, || server.open());
    assert_eq!(say_connect(&mut again, &json!({"user": "root", "pass": "x"})), "PONG");
    again.say("PUB system.shutdown 0\n\nPING");
    assert_eq!([again.line(), again.line()], [REFUSED[0], "PONG"]);
}

fn unix(path: &Path) -> Client2 {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = Client2(BufReader::new(stream));
    assert!(client.line().starts_with("INFO {"));
    client
}

/// A client on a UNIX socket.
struct Client2(BufReader<UnixStream>);

impl Client2 {
    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all((text.replace('\n', "\r\n") + "\r\n").as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

#[test]
fn users_of_this_machine_on_the_unix_socket() {
    if !is_root("users_of_this_machine_on_the_unix_socket") {
        return;
    }
    let folder = Folder::new();
    let path = folder.0.join("natsd.sock");
    // Other credentials are for TCP; the socket still knows who comes.
    let server = Server::start_with(
        "authorization { users = [{ user: a, password: a }] }",
        &["--socket", path.to_str().unwrap()],
    );
    let mut root = unix(&path);
    root.say(PUBLISHES);
    assert_eq!(root.line(), "PONG");
    let mut somebody = as_user(SOMEBODY, || unix(&path));
    somebody.say(PUBLISHES);
    assert_eq!([somebody.line(), somebody.line(), somebody.line()], REFUSED);
    // Over TCP nobody is known without credentials then.
    assert_eq!(answer(&server, &json!({})), VIOLATION);
    let mut user = as_user(SOMEBODY, || unix(&path));
    user.say("CONNECT {\"verbose\":false,\"user\":\"a\",\"pass\":\"a\"}\nPUB system.shutdown 0\n\nPING");
    assert_eq!(user.line(), "PONG");
    let mut wrong = unix(&path);
    wrong.say("CONNECT {\"verbose\":false,\"user\":\"a\",\"pass\":\"b\"}\nPING");
    assert_eq!(wrong.line(), VIOLATION);
}

#[test]
fn rules_for_users_of_this_machine() {
    if !is_root("rules_for_users_of_this_machine") {
        return;
    }
    let server = Server::start(
        "identity {
            desktop: 4000000
            users { 4000001: all, 4000002: none, daemon { publish: \"mine.{{uid()}}\" } }
            groups { daemon: none }
         }",
    );
    let publish = |uid: u32, subject: &str| {
        let mut client = as_user(uid, || server.open());
        client.say(&format!("CONNECT {{\"verbose\":false}}\nPUB {subject} 0\n\nPING"));
        client.line() == "PONG"
    };
    assert!(publish(4_000_000, "wm.exec") && publish(4_000_000, "toast.in"));
    assert!(!publish(4_000_000, "system.reboot") && !publish(4_000_003, "wm.exec"));
    assert!(publish(4_000_001, "system.reboot") && !publish(4_000_002, "toast.in"));
    assert!(publish(1, "mine.1") && !publish(1, "toast.in"));
    server.reload("identity: off", "Reloaded");
    assert_eq!(answer(&server, &json!({})), VIOLATION);
    server.reload("identity { others { publish: hello } }", "Reloaded");
    assert!(publish(0, "x"));
}

#[test]
fn a_server_of_somebody_is_theirs_and_roots() {
    if !is_root("a_server_of_somebody_is_theirs_and_roots") {
        return;
    }
    let folder = Folder::new();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "4000000", "--regid", "4000000", "--clear-groups", natsd_rig::LUNIX, "natsd"]);
    command.args(["-p", "-1", "--socket", "none"]).stderr(std::process::Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        return eprintln!("SKIPPED a_server_of_somebody_is_theirs_and_roots: no setpriv");
    };
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = log
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| line.split_once("client connections on ").map(|(_, address)| address.to_owned()));
    let Some(address) = address else {
        let _ = (child.kill(), child.wait());
        return eprintln!(
            "SKIPPED a_server_of_somebody_is_theirs_and_roots: the program is not theirs to run"
        );
    };
    std::thread::spawn(move || log.for_each(drop));
    let publish = |uid: u32| {
        as_user(uid, || {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(b"CONNECT {\"verbose\":false}\r\nPUB system.reboot 0\r\n\r\nPING\r\n").unwrap();
            let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
            lines.nth(1).unwrap() == "PONG"
        })
    };
    let results = [publish(4_000_000), publish(0), publish(4_000_001)];
    let _ = (child.kill(), child.wait());
    drop(folder);
    assert_eq!(results, [true, true, false]);
}

/// Connects from `local`, which may have been used a moment ago: until the kernel has done with that.
fn connect_from(local: SocketAddr, server: SocketAddr) -> TcpStream {
    let end = Instant::now() + PATIENCE;
    loop {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        sockopt::set_socket_reuseaddr(&socket, true).unwrap();
        bind(&socket, &local).unwrap();
        match connect(&socket, &server) {
            Err(rustix::io::Errno::ADDRNOTAVAIL) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => {
                result.unwrap();
                return socket.into();
            }
        }
    }
}

#[test]
fn a_port_that_changed_hands_makes_nobody_root() {
    if !is_root("a_port_that_changed_hands_makes_nobody_root") {
        return;
    }
    let server = Server::start("debug: true");
    let address = SocketAddr::from(([127, 0, 0, 1], server.port));
    let mut watcher = server.open();
    watcher.say("CONNECT {\"verbose\":false}\nSUB > 1");
    watcher.sync();
    // While natsd looks away, somebody connects, asks for what only root may have, and resets the connection, so that
    // root can have the same port at once.
    server.kill("-STOP");
    let local = as_user(SOMEBODY, || {
        let mut stream = connect_from(SocketAddr::from(([127, 0, 0, 1], 0)), address);
        let local = stream.local_addr().unwrap();
        stream.write_all(b"CONNECT {\"verbose\":false}\r\nPUB system.shutdown 5\r\nnever\r\n").unwrap();
        sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        local
    });
    let mut root = connect_from(local, address);
    server.kill("-CONT");
    root.write_all(b"CONNECT {\"verbose\":false}\r\nPUB system.shutdown 4\r\nroot\r\nPING\r\n").unwrap();
    root.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut heard = Vec::new();
    let mut room = [0; 4096];
    while !String::from_utf8_lossy(&heard).contains("PONG") {
        let read = root.read(&mut room).unwrap();
        assert!(read > 0, "root was refused: {}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&room[..read]);
    }
    assert_eq!([watcher.line(), watcher.line()], ["MSG system.shutdown 1 4", "root"]);
    watcher.sync();
}

/// An address of this machine that is not loopback: a peer with it looks as one from elsewhere.
fn outer_address() -> Option<SocketAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent; the kernel only chooses an address.
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then(|| SocketAddr::new(ip, 0))
}

#[test]
fn from_elsewhere_nobody_is_known_without_credentials() {
    let Some(outer) = outer_address() else {
        return eprintln!("SKIPPED from_elsewhere_nobody_is_known_without_credentials: only loopback");
    };
    let open = |server: &Server| {
        let stream = connect_from(outer, SocketAddr::from(([127, 0, 0, 1], server.port)));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Client { reader: BufReader::new(stream), info: String::new() };
        client.info = client.line();
        client
    };
    let server = Server::start("");
    for members in [json!({}), json!({"user": "root", "pass": ""})] {
        let mut client = open(&server);
        assert!(client.info.contains("\"auth_required\":true"));
        assert_eq!(say_connect(&mut client, &members), VIOLATION);
    }
    let server = Server::start("identity { others { publish: hello } }");
    let mut client = open(&server);
    client.say("CONNECT {\"verbose\":false}\nPUB hello 0\n\nPUB x 0\n\nPING");
    assert_eq!([client.line(), client.line()], ["-ERR 'Permissions Violation for Publish to \"x\"'", "PONG"]);
    let server = Server::start("authorization { users: [{ user: a, password: a }] }");
    assert_eq!(say_connect(&mut open(&server), &json!({"user": "a", "pass": "a"})), "PONG");
    assert_eq!(say_connect(&mut open(&server), &json!({})), VIOLATION);
}
