//! mosquitto, lines to it that break, and natsmqtt as a bridge.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use lunix::natsd::Server;

use crate::mqtt_rig::Nats;

#[path = "../../../linux/tests/free_port/mod.rs"]
mod free_port;

pub(crate) use free_port::free_port;

/// A loaded machine is slow; none is as slow as this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of a test's own, removed when it is dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("natsmqtt-bridge-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A program whose log is read, killed when it is dropped.
pub(crate) struct Program {
    pub(crate) child: Child,
    lines: Receiver<String>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (said, lines) = channel();
        std::thread::spawn(move || log.lines().map_while(Result::ok).all(|line| said.send(line).is_ok()));
        Self { child, lines }
    }

    /// Until it says so.
    pub(crate) fn says(&self, what: &str) -> String {
        let mut all = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("expected {what}\n{all}"));
            if line.contains(what) {
                return line;
            }
            all = all + &line + "\n";
        }
    }

    pub(crate) fn signal(&mut self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A broker; `None` if it is not installed. It takes no port that the kernel chooses, so one that was free is tried, and another
/// one if somebody else was faster.
pub(crate) fn mosquitto(folder: &Folder, keys: &str) -> Option<(Program, u16)> {
    if Command::new("mosquitto").arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        println!("SKIPPED mosquitto: not installed");
        return None;
    }
    for _ in 0..10 {
        let port = free_port();
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n{keys}\n");
        let path = folder.file("mosquitto.conf", &text);
        let mut program = Program::start(Command::new("mosquitto").arg("-c").arg(path).arg("-v"));
        while let Ok(line) = program.lines.recv_timeout(PATIENCE) {
            if line.contains(" running") {
                return Some((program, port));
            }
        }
        let _ = program.child.wait();
    }
    panic!("mosquitto does not start");
}

/// A line to a broker, which may be elsewhere after a restart; the first connections are cut after so many bytes each.
pub(crate) struct Line {
    pub(crate) port: u16,
    broker: Arc<AtomicU16>,
}

impl Line {
    pub(crate) fn new(cuts: &'static [usize]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let broker = Arc::new(AtomicU16::new(0));
        let there = broker.clone();
        std::thread::spawn(move || {
            let mut lives = cuts.iter().copied().chain(std::iter::repeat(usize::MAX));
            for near in listener.incoming().map_while(Result::ok) {
                // Where nobody is the connection ends at once.
                let Ok(far) = TcpStream::connect(("127.0.0.1", there.load(Relaxed))) else { continue };
                let left = Arc::new(AtomicUsize::new(lives.next().unwrap()));
                let ways = [(near.try_clone(), far.try_clone()), (far.try_clone(), near.try_clone())];
                for (from, to) in ways {
                    let (from, to, left) = (from.unwrap(), to.unwrap(), left.clone());
                    std::thread::spawn(move || pass(from, to, &left));
                }
            }
        });
        Self { port, broker }
    }

    pub(crate) fn lead_to(&self, port: u16) {
        self.broker.store(port, Relaxed);
    }
}

/// Passes on what comes, as far as bytes are left.
pub(crate) fn pass(mut from: TcpStream, mut to: TcpStream, left: &AtomicUsize) {
    let mut bytes = [0; 64];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        let before = left.fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(read)));
        let passed = read.min(before.unwrap());
        if to.write_all(&bytes[..passed]).is_err() || passed < read {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// natsmqtt with such a configuration; its port.
pub(crate) fn natsmqtt(server: &Server, path: &Path) -> (Program, u16) {
    let program = Program::start(
        Command::new(env!("CARGO_BIN_EXE_lunix-bridge"))
            .args(["natsmqtt", "--listen", "127.0.0.1:0", "--nats", &server.client_url(), "--config"])
            .arg(path),
    );
    let line = program.says("devices connect to");
    let port = line.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap();
    (program, port)
}

pub(crate) fn listener(server: &Server, subject: &str) -> Nats {
    let mut nats = Nats::connect(server);
    nats.say(&format!("SUB {subject} 1"));
    nats.flush();
    nats
}

/// Says something at a broker, and waits until it has it.
pub(crate) fn publish(port: u16, topic: &str, payload: &str, more: &[&str]) {
    let port = port.to_string();
    let args = ["-p", &port, "-t", topic, "-m", payload];
    let published = Command::new("mosquitto_pub").args(args).args(more).status().unwrap();
    assert!(published.success());
}

/// What a broker says of a filter.
pub(crate) struct Listener {
    child: Child,
    lines: Receiver<String>,
}

impl Listener {
    /// Listens once the broker has `count` subscribers: it says so in its log.
    pub(crate) fn start(port: u16, broker: &Program, filter: &str, more: &[&str]) -> Self {
        let (name, port) = (format!("l{}", free_port()), port.to_string());
        let mut child = Command::new("mosquitto_sub")
            .args(["-p", &port, "-t", filter, "-q", "2", "-i", &name, "-F", "%t=%p q%q r%r"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (said, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).all(|line| said.send(line).is_ok()));
        broker.says(&format!("Sending SUBACK to {name}"));
        Self { child, lines }
    }

    pub(crate) fn next(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn payload(body: &str) -> &str {
    body.rsplit_once("\r\n\r\n").map_or(body, |(_, payload)| payload)
}
