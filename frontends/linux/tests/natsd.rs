//! natsd as its clients and its operator see it: raw bytes, files, signals, exit codes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod folder;

use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use folder::Folder;

const LUNIX: &str = env!("CARGO_BIN_EXE_lunix");
const SILENT: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\n";

/// A running server.
struct Server {
    child: Child,
    folder: Folder,
    port: u16,
}

impl Server {
    fn start(config: &str) -> Self {
        Self::start_with(Command::new(LUNIX).arg("natsd"), config, &[])
    }

    fn start_with(command: &mut Command, config: &str, flags: &[&str]) -> Self {
        let folder = Folder::new();
        let config = folder.file("natsd.conf", config);
        let child = command
            .args(["-p", "-1", "-D"])
            .arg("-ports_file_dir")
            .arg(&folder.0)
            .arg("--socket")
            .arg(folder.0.join("sock"))
            .arg("-P")
            .arg(folder.0.join("pid"))
            .arg("-l")
            .arg(folder.0.join("log"))
            .arg("-c")
            .arg(config)
            .args(flags)
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let ports = folder.0.join(format!("natsd_{}.ports", child.id()));
        let mut server = Self { child, folder, port: 0 };
        let text = wait_for(|| fs::read_to_string(&ports).ok());
        let text = text.strip_prefix("{\"nats\":[\"nats://127.0.0.1:").unwrap();
        server.port = text.strip_suffix("\"]}").unwrap().parse().unwrap();
        server
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Client(Stream::Tcp(stream));
        client.expect_info();
        client
    }

    fn connect_locally(&self) -> Client {
        let mut client = Client(Stream::Unix(UnixStream::connect(self.folder.0.join("sock")).unwrap()));
        client.expect_info();
        client
    }

    /// A connected client that wants no `+OK`.
    fn silent(&self) -> Client {
        let mut client = self.connect();
        client.say(SILENT);
        client
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.0.join("log")).unwrap()
    }

    fn kill(&self, signal: &str) {
        assert!(
            Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success()
        );
    }

    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// How long anything may take. Loopback loses segments when a receive buffer is full, and each loss may cost seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client made of bytes. LF stands for CR LF in what it says, and CR is left out of what it hears.
struct Client(Stream);

impl Client {
    fn bytes(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Stream::Tcp(stream) => stream.write_all(bytes).unwrap(),
            Stream::Unix(stream) => stream.write_all(bytes).unwrap(),
        }
    }

    fn say(&mut self, text: &str) {
        self.bytes(text.replace('\n', "\r\n").as_bytes());
    }

    fn read(&mut self, buffer: &mut [u8], patience: Duration) -> std::io::Result<usize> {
        match &mut self.0 {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(patience)).unwrap();
                stream.read(buffer)
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(patience)).unwrap();
                stream.read(buffer)
            }
        }
    }

    /// Exactly `text`.
    #[track_caller]
    fn expect(&mut self, text: &str) {
        let wanted = text.replace('\n', "\r\n");
        let mut got = vec![0; wanted.len()];
        let mut len = 0;
        while len < got.len() {
            match self.read(&mut got[len..], PATIENCE) {
                Ok(0) => break,
                Ok(read) => len += read,
                Err(error) => {
                    panic!("{error} after {len} of {} bytes of {:.80?}", wanted.len(), text);
                }
            }
        }
        let got = String::from_utf8_lossy(&got[..len]).replace('\r', "");
        // Long ones would hide everything else that a failed run says.
        assert!(got == text, "{} of {} bytes: {got:.200?} instead of {text:.200?}", got.len(), text.len());
    }

    fn expect_info(&mut self) {
        self.expect("INFO {\"server_id\":\"N");
        let mut byte = [0];
        while byte != [b'\n'] {
            assert_eq!(self.read(&mut byte, PATIENCE).unwrap(), 1);
        }
    }

    /// Everything up to the end of the connection.
    fn rest(&mut self) -> String {
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.read(&mut buffer, PATIENCE) {
                Ok(0) => break,
                Ok(read) => all.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{error}"),
            }
        }
        String::from_utf8(all).unwrap().replace('\r', "")
    }

    /// Everything that was said before has been heard.
    #[track_caller]
    fn sync(&mut self) {
        self.say("PING\n");
        self.expect("PONG\n");
    }

    fn close(&mut self) {
        match &mut self.0 {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both).unwrap(),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both).unwrap(),
        }
    }
}

#[track_caller]
fn wait_for<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "it did not happen");
        sleep(Duration::from_millis(5));
    }
}

fn natsd(args: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = Command::new(LUNIX).arg("natsd").args(args).output().unwrap();
    (status.code().unwrap(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[test]
fn messages_over_tcp_and_the_unix_socket() {
    let server = Server::start("");
    let (mut tcp, mut unix) = (server.silent(), server.connect_locally());
    unix.say(SILENT);
    unix.say("SUB greet.* 1\n");
    unix.sync();
    tcp.say("SUB reply 2\nPUB greet.all reply 5\nhello\nPUB nobody reply 0\n\n");
    unix.expect("MSG greet.all 1 reply 5\nhello\n");
    tcp.expect("HMSG reply 2 38 38\nNATS/1.0 503\nNats-Subject: nobody\n\n\n");
    unix.say("HPUB reply 12 14\nNATS/1.0\n\nhi\n");
    tcp.expect("HMSG reply 2 12 14\nNATS/1.0\n\nhi\n");
}

#[test]
fn garbage_is_answered_and_closed_and_nobody_else_notices() {
    let server = Server::start("");
    let mut good = server.silent();
    good.say("SUB > 1\n");
    good.sync();
    for (says, answer) in [
        ("GET / HTTP/1.1\n\n", "-ERR 'Unknown Protocol Operation'\n"),
        ("\n", "-ERR 'Unknown Protocol Operation'\n"),
        ("PUB a 1\nxyz\n", "-ERR 'Unknown Protocol Operation'\n"),
        ("PUB a b c d\n", ""),
        ("CONNECT {\n", ""),
        ("PUB a 1048577\n", "-ERR 'Maximum Payload Violation'\n"),
    ] {
        let mut bad = server.connect();
        bad.say(says);
        // More than fits into one read is thrown away without a reset that would swallow the answer.
        if says.starts_with("GET") {
            bad.say(&"x".repeat(50_000));
        }
        assert_eq!(bad.rest(), answer, "{says:?}");
    }
    good.sync();
    good.say("PUB still.here 0\n\n");
    good.expect("MSG still.here 1 0\n\n");
}

#[test]
fn a_stream_in_single_bytes() {
    let server = Server::start("");
    let mut client = server.silent();
    for byte in b"SUB a 1\r\nPUB a 5\r\nhello\r\nPING\r\n" {
        client.bytes(&[*byte]);
        sleep(Duration::from_millis(1));
    }
    client.expect("MSG a 1 5\nhello\nPONG\n");
}

#[test]
fn large_messages_come_whole_and_leave_no_buffers() {
    let server = Server::start("max_payload: 8MB\nmax_pending: 32MB");
    let (mut publisher, mut subscriber) = (server.silent(), server.silent());
    subscriber.say("SUB big 1\n");
    subscriber.sync();
    for size in [1, 40_000, 65_536, 300_000, 8 << 20] {
        let body: String = (0..size).map(|i| char::from(b'a' + u8::try_from(i % 23).unwrap())).collect();
        publisher.say(&format!("PUB big {size}\n"));
        publisher.bytes(body.as_bytes());
        publisher.say("\n");
        subscriber.expect(&format!("MSG big 1 {size}\n{body}\n"));
    }
    publisher.sync();
    // After the burst all but the tables goes back.
    wait_for(|| (server.status("RssAnon") < 2_000).then_some(()));
}

#[test]
fn every_subscriber_gets_everything_in_order() {
    let server = Server::start("");
    let mut subscribers: Vec<_> = (0..40).map(|_| server.silent()).collect();
    for subscriber in &mut subscribers {
        subscriber.say("SUB n 1\n");
        subscriber.sync();
    }
    let mut publisher = server.silent();
    let (mut sent, mut expected) = (String::new(), String::new());
    for number in 10_000..15_000 {
        write!(sent, "PUB n 5\n{number}\n").unwrap();
        write!(expected, "MSG n 1 5\n{number}\n").unwrap();
    }
    publisher.say(&sent);
    for subscriber in &mut subscribers {
        subscriber.expect(&expected);
    }
}

#[test]
fn a_slow_consumer_is_closed_alone() {
    let server = Server::start("max_pending: 256KB\nmax_payload: 64KB");
    let (mut slow, mut fast, mut publisher) = (server.silent(), server.silent(), server.silent());
    for client in [&mut slow, &mut fast] {
        client.say("SUB a 1\n");
        client.sync();
    }
    let body = "x".repeat(60_000);
    let message = format!("PUB a 60000\n{body}\n");
    let delivered = format!("MSG a 1 60000\n{body}\n");
    for _ in 0..400 {
        publisher.say(&message);
        fast.expect(&delivered);
        if server.log().contains("Slow Consumer (Pending Bytes)") {
            publisher.sync();
            fast.sync();
            return;
        }
    }
    panic!("24 MB did not fill 256 KB");
}

#[test]
fn limits_are_told() {
    let server = Server::start("max_connections: 2, max_subs: 1");
    let mut one = server.silent();
    one.say("SUB a 1\nSUB b 2\n");
    one.expect("-ERR 'maximum subscriptions exceeded'\n");
    let mut two = server.silent();
    two.sync();
    let mut three = Client(Stream::Tcp(TcpStream::connect(("127.0.0.1", server.port)).unwrap()));
    assert_eq!(three.rest(), "-ERR 'maximum connections exceeded'\n");
    two.close();
    wait_for(|| {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        let mut client = Client(Stream::Tcp(stream));
        let mut first = [0; 4];
        (client.read(&mut first, PATIENCE).unwrap() == 4 && &first == b"INFO").then_some(())
    });
    one.sync();
}

#[test]
fn a_client_that_does_not_answer_is_stale() {
    let server = Server::start("ping_interval: \"50ms\", ping_max: 2");
    let mut client = server.connect();
    client.expect("PING\nPING\n-ERR 'Stale Connection'\n");
    assert_eq!(client.rest(), "");
}

#[test]
fn nothing_happens_while_nothing_happens() {
    let server = Server::start("");
    let mut clients: Vec<_> =
        (0..20).map(|i| if i % 2 == 0 { server.silent() } else { server.connect_locally() }).collect();
    clients[0].say("SUB a 1\n");
    clients[0].sync();
    let switches = || server.status("voluntary_ctxt_switches") + server.status("nonvoluntary_ctxt_switches");
    // What the others have said may not have been read yet.
    wait_for(|| {
        let before = switches();
        sleep(Duration::from_millis(300));
        (switches() == before).then_some(())
    });
    let before = switches();
    sleep(Duration::from_secs(4));
    assert_eq!(switches(), before);
    clients[0].sync();
}

#[test]
fn a_signal_stops_it_and_it_leaves_nothing_behind() {
    for signal in ["-TERM", "-INT"] {
        let mut server = Server::start("");
        let mut client = server.connect();
        let pid = fs::read_to_string(server.folder.0.join("pid")).unwrap();
        assert_eq!(pid, server.child.id().to_string());
        server.kill("-HUP");
        server.kill(signal);
        assert_eq!(client.rest(), "");
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
        let mut left: Vec<_> =
            fs::read_dir(&server.folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort_unstable();
        assert_eq!(left, ["log", "natsd.conf"]);
    }
}

#[test]
fn signals_by_pid_file() {
    let mut server = Server::start("");
    let pid_file = server.folder.0.join("pid");
    assert_eq!(natsd(&["--signal", &format!("term={}", pid_file.display())]), (0, String::new()));
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    let (code, line) = natsd(&["-sl", "end"]);
    assert!(code == 2 && line.starts_with("natsd: --signal: expected stop, quit, term"), "{line}");
}

#[test]
fn the_log_is_what_suites_read() {
    let server = Server::start("");
    let log = wait_for(|| Some(server.log()).filter(|log| log.contains("Server is ready")));
    assert!(
        log.contains(&format!("[INF] Listening for client connections on 127.0.0.1:{}\n", server.port)),
        "{log}"
    );
    assert!(log.contains("[INF] Server is ready\n"), "{log}");
    fs::rename(server.folder.0.join("log"), server.folder.0.join("log.1")).unwrap();
    server.kill("-USR1");
    wait_for(|| server.folder.0.join("log").exists().then_some(()));
}

#[test]
fn readiness_is_told_to_the_supervisor() {
    let folder = Folder::new();
    let path = folder.0.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let server = Server::start_with(Command::new(LUNIX).arg("natsd").env("NOTIFY_SOCKET", &path), "", &[]);
    let mut buffer = [0; 64];
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let len = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"READY=1\n");
    server.connect();
}

#[test]
fn a_socket_in_use_is_an_error_and_a_dead_one_is_replaced() {
    let folder = Folder::new();
    let path = folder.0.join("sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server =
        Server::start_with(Command::new(LUNIX).arg("natsd"), "", &["--socket", path.to_str().unwrap()]);
    drop(UnixStream::connect(&path).unwrap());
    let (code, line) = natsd(&["-p", "-1", "--socket", path.to_str().unwrap()]);
    assert_eq!(
        (code, line),
        (1, format!("natsd: {}: Address already in use (os error 98)\n", path.display()))
    );
    let (code, line) = natsd(&["-p", &server.port.to_string(), "--socket", "none"]);
    assert_eq!(code, 1);
    assert_eq!(line, format!("natsd: 127.0.0.1:{}: Address already in use (os error 98)\n", server.port));
}

#[test]
fn without_descriptors_connections_are_refused_and_the_server_stays_calm() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 24; exec \"$0\" natsd \"$@\"", LUNIX]);
    let server = Server::start_with(&mut shell, "", &[]);
    let mut first = server.silent();
    let many: Vec<_> = (0..40).map(|_| TcpStream::connect(("127.0.0.1", server.port)).unwrap()).collect();
    wait_for(|| server.log().contains("Error trying to accept connection").then_some(()));
    let switches = || server.status("voluntary_ctxt_switches") + server.status("nonvoluntary_ctxt_switches");
    wait_for(|| {
        let before = switches();
        sleep(Duration::from_millis(500));
        (switches() == before).then_some(())
    });
    first.sync();
    drop(many);
    wait_for(|| {
        let mut client = Client(Stream::Tcp(TcpStream::connect(("127.0.0.1", server.port)).unwrap()));
        let mut four = [0; 4];
        matches!(client.read(&mut four, Duration::from_secs(1)), Ok(4)).then_some(())
    });
}

#[test]
fn mistakes_are_one_line_and_exit_2() {
    let folder = Folder::new();
    let config = |text: &str| folder.file("c.conf", text).to_str().unwrap().to_owned();
    for (args, line) in [
        (&["-x"][..], "natsd: unknown flag '-x' (see --help)"),
        (&["--prot", "1"], "natsd: unknown flag '--prot', did you mean '--port'?"),
        (&["-p", "70000"], "natsd: --port: expected a port, or -1 for any that is free, found '70000'"),
        (&["-m", "x"], "natsd: --http_port: expected a port, or -1 for any that is free, found 'x'"),
        (&["--pass", "x"], "natsd: --pass: expected --user beside it"),
        (&["-js"], "natsd: --jetstream: natsd has no JetStream; as a leaf node it reaches that of a cluster"),
        (&["-c", "/nonexistent"], "/nonexistent: No such file or directory (os error 2)"),
    ] {
        assert_eq!(natsd(args), (2, format!("{line}\n")), "{args:?}");
    }
    for (text, line) in [
        ("port: 4222\nprot: 1", "2:1: prot: unknown key, did you mean 'port'?"),
        ("port: x", "1:7: port: expected a port, or -1 for any that is free, found 'x'"),
        (
            "\nmax_payload: lots",
            "2:14: max_payload: expected a size from 0 to 1073741824 bytes, such as 64KB, found 'lots'",
        ),
        (
            "jetstream: true",
            "1:12: jetstream: natsd has no JetStream; as a leaf node it reaches that of a cluster",
        ),
        ("listen: \"h:1\" }", "1:15: expected a key, found '}'"),
    ] {
        let path = config(text);
        let (code, found) = natsd(&["--check-config", "-c", &path]);
        assert_eq!((code, found.as_str()), (2, format!("{path}:{line}\n").as_str()));
    }
    let good = config("listen: 127.0.0.1:-1\nserver_name: \"my-name\", max_pending = 1MB; ping_interval 30s");
    assert_eq!(natsd(&["-t", "-c", &good]), (0, "natsd: the configuration is good\n".to_owned()));
    assert!(Path::new(&good).exists());
}
