//! natsdev in a network namespace of its own, where any user may make the kernel say any uevent: a message sent to
//! the kernel's port is numbered by it and sent on to all listeners as its own.

#![allow(dead_code, unreachable_pub, reason = "every test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

pub mod sysfs;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use lunix_uevent::{Builder, Uevent};
use serde_json::Value;

use sysfs::FakeSysfs;

/// How long anything may take before a test fails. Nothing waits that long on purpose.
pub const PATIENCE: Duration = Duration::from_secs(120);

const INSIDE: &str = "LUNIX_TEST_NAMESPACE";

/// Whether this is the process inside the namespace. Outside, it runs the test `name` inside, and answers `false`.
pub fn inside(name: &str) -> bool {
    inside_of(name, &["--user", "--map-root-user", "--net", "--mount"])
}

/// As [`inside`], in a namespace whose root may do to block devices what root may do: it is the machine's.
pub fn inside_as_root(name: &str) -> bool {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED {name}: not root");
        return false;
    }
    inside_of(name, &["--net", "--mount"])
}

fn inside_of(name: &str, namespaces: &[&str]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut command = Command::new("unshare");
    command.args(namespaces);
    let works = command.arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !works {
        eprintln!("SKIPPED {name}: no namespace of its own (unshare {})", namespaces.join(" "));
        return false;
    }
    if server_program().is_none() {
        eprintln!("SKIPPED {name}: no nats-server");
        return false;
    }
    let status = Command::new("unshare")
        .args(namespaces)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed inside its namespace");
    false
}

fn server_program() -> Option<PathBuf> {
    let places = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&places)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/bin")])
        .map(|folder| folder.join("nats-server"))
        .find(|program| program.is_file())
}

/// A namespace with a server, a made-up sysfs, and natsdev.
pub struct World {
    pub folder: PathBuf,
    pub sysfs: FakeSysfs,
    pub kernel: Kernel,
    server: Option<Child>,
    natsdev: Option<Child>,
    log: Arc<Mutex<String>>,
}

pub const URL: &str = "127.0.0.1:4222";

impl World {
    pub fn new() -> Self {
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
        assert!(up.success(), "no loopback interface");
        let folder = std::env::temp_dir().join(format!("lunix-natsdev-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("dev")).unwrap();
        let sysfs = FakeSysfs::new(folder.join("sys"));
        let mut world =
            Self { folder, sysfs, kernel: Kernel::new(), server: None, natsdev: None, log: Arc::default() };
        world.start_server();
        world
    }

    pub fn start_server(&mut self) {
        let mut child = Command::new(server_program().unwrap())
            .args(["-a", "127.0.0.1", "-p", "4222"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("Server is ready") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "nats-server ended early");
        }
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        self.server = Some(child);
    }

    /// As `kill -9`.
    pub fn kill_server(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Starts natsdev, and waits until it listens to the kernel and is connected.
    pub fn start_natsdev(&mut self, flags: &[&str]) {
        self.spawn_natsdev(flags, Path::new(""));
        self.wait_for_log("; announcing ");
        self.wait_for_answers();
    }

    /// Starts natsdev, which tells `supervisor`, a socket, when it is ready.
    pub fn spawn_natsdev(&mut self, flags: &[&str], supervisor: &Path) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lunix"))
            .args(["natsdev", "--nats", "nats://127.0.0.1:4222"])
            .arg("--sysfs")
            .arg(&self.sysfs.root)
            .arg("--dev")
            .arg(self.folder.join("dev"))
            .args(flags)
            .env("NOTIFY_SOCKET", supervisor)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::clone(&self.log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                eprintln!("| {line}");
                *log.lock().unwrap() += &(line + "\n");
            }
        });
        self.natsdev = Some(child);
    }

    /// Waits until natsdev's subscriptions have reached the server, which is after it says that it is connected.
    pub fn wait_for_answers(&self) {
        let mut client = Client::connect();
        // A question that nobody has heard is not answered; one that was heard may take its time on a busy machine.
        let mut patience = Duration::from_millis(10);
        let mut asked = || {
            patience = (patience * 2).min(Duration::from_secs(2));
            client.ask("natsdev.stats", "", patience).is_some()
        };
        wait(&mut asked, || "natsdev".to_owned());
    }

    /// Gives natsdev no time to run, or gives it time again.
    pub fn hold_natsdev(&self, hold: bool) {
        use rustix::process::{Pid, Signal, kill_process};
        let pid = Pid::from_child(self.natsdev.as_ref().unwrap());
        kill_process(pid, if hold { Signal::STOP } else { Signal::CONT }).unwrap();
    }

    pub fn signal_natsdev(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(self.natsdev.as_ref().unwrap());
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// As `kill -9`.
    pub fn kill_natsdev(&mut self) {
        let mut child = self.natsdev.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        self.log.lock().unwrap().clear();
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn wait_for_log(&self, text: &str) {
        self.wait_for_nth_log(text, 1);
    }

    pub fn wait_for_nth_log(&self, text: &str, times: usize) {
        wait(|| self.log().matches(text).count() >= times, || format!("{text:?} in the log"));
    }

    /// Makes the change in /sys and says it, as the kernel does.
    pub fn happen(&mut self, event: &[u8]) {
        self.sysfs.apply(&Uevent::parse(event).unwrap());
        self.kernel.inject(event);
    }

    /// As [`World::happen`], for a stick: when its disk is told of, its partitions are there already.
    pub fn plug(&mut self, comes: &[Vec<u8>]) {
        let disk = comes.iter().position(|event| Uevent::parse(event).unwrap().devtype() == Some(b"disk"));
        let (before, blocks) = comes.split_at(disk.unwrap());
        before.iter().for_each(|event| self.happen(event));
        self.appear(blocks);
        blocks.iter().for_each(|event| self.kernel.inject(event));
    }

    /// As [`World::happen`], for a stick: before its disk goes, its driver has let go of it.
    pub fn unplug(&mut self, goes: &[Vec<u8>]) {
        self.release(goes);
        goes.iter().for_each(|event| self.happen(event));
    }

    /// Takes the drivers away that will be said to be gone.
    pub fn release(&mut self, goes: &[Vec<u8>]) {
        for event in goes {
            let event = Uevent::parse(event).unwrap();
            if event.action().as_bytes() == b"unbind" {
                self.sysfs.apply(&event);
            }
        }
    }

    /// Makes the changes in /sys, and says nothing.
    pub fn appear(&mut self, events: &[Vec<u8>]) {
        events.iter().for_each(|event| self.sysfs.apply(&Uevent::parse(event).unwrap()));
    }

    /// SIGTERM, and the code that natsdev ends with.
    pub fn stop_natsdev(&mut self) -> Option<i32> {
        let mut child = self.natsdev.take().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap().code()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in [&mut self.natsdev, &mut self.server].into_iter().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Waits until `done`, looking every few milliseconds: a test has no other way to wait for a log line.
pub fn wait(mut done: impl FnMut() -> bool, what: impl Fn() -> String) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {}", what());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The kernel, as far as it says what it is told.
pub struct Kernel(lunix_inject::Kernel);

impl Kernel {
    pub fn new() -> Self {
        Self(lunix_inject::Kernel::open().unwrap())
    }

    /// Sends `event` to the kernel, which numbers it and says it to everybody in this namespace.
    pub fn inject(&self, event: &[u8]) {
        self.0.inject(event).unwrap();
    }

    /// As [`Kernel::inject`], for what the kernel may refuse.
    pub fn try_inject(&self, event: &[u8]) -> std::io::Result<()> {
        self.0.inject(event)
    }

    /// Sends `event` to all listeners directly, which only a forger does.
    pub fn forge(&self, event: &[u8]) {
        self.0.forge(event, None).unwrap();
    }

    /// The same, to one listener.
    pub fn forge_to(&self, port: u32, event: &[u8]) {
        self.0.forge(event, Some(port)).unwrap();
    }
}

/// The event without its number, which the kernel will give it.
pub fn without_seqnum(event: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for string in event.split_inclusive(|byte| *byte == 0) {
        if !string.starts_with(b"SEQNUM=") {
            out.extend_from_slice(string);
        }
    }
    out
}

pub fn event(action: &str, devpath: &str, vars: &[(&str, &str)]) -> Vec<u8> {
    let mut out = vec![0; 4096];
    let mut builder = Builder::new(&mut out, action.as_bytes(), devpath.as_bytes());
    for (key, value) in vars {
        builder = builder.var(key, value);
    }
    let len = builder.finish().unwrap();
    out.truncate(len);
    out
}

/// The captured story of a real stick, on the bus path `at` and as the disk `disk`.
pub fn stick(at: &str, disk: &str) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../uevent/tests/captures");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().as_bytes().starts_with(b"usb-"))
        .collect();
    files.sort();
    let events = files.iter().map(|file| {
        let text = without_seqnum(&fs::read(file).unwrap());
        let text = String::from_utf8(text).unwrap();
        text.replace("2-1", at).replace("sda", disk).into_bytes()
    });
    // 01 to 17 in, 18 to 33 out.
    let mut comes: Vec<_> = events.collect();
    let goes = comes.split_off(17);
    (comes, goes)
}

/// A client of the server that hears everything.
pub struct Client {
    stream: TcpStream,
    heard: Arc<(Mutex<Heard>, Condvar)>,
    next: u32,
}

#[derive(Default)]
struct Heard {
    messages: Vec<(String, Value)>,
    pongs: usize,
}

impl Client {
    pub fn connect() -> Self {
        let mut stream = TcpStream::connect(URL).unwrap();
        stream
            .write_all(
                b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB > 1\r\nPING\r\n",
            )
            .unwrap();
        let heard = Arc::new((Mutex::new(Heard::default()), Condvar::new()));
        let shared = Arc::clone(&heard);
        let mut reader = BufReader::with_capacity(1 << 16, stream.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|len| len > 0) {
                let words: Vec<_> = line.split_whitespace().collect();
                let (lock, signal) = &*shared;
                match words.first() {
                    Some(&"MSG" | &"HMSG") => {
                        let len: usize = words.last().unwrap().parse().unwrap();
                        let mut payload = vec![0; len + 2];
                        if reader.read_exact(&mut payload).is_err() {
                            break;
                        }
                        payload.truncate(len);
                        // A header stands before the body; what has only one is told as it came.
                        let header = if words[0] == "HMSG" { words[words.len() - 2] } else { "0" };
                        let body = &payload[header.parse::<usize>().unwrap()..];
                        let value = serde_json::from_slice(body).unwrap_or_else(|_| {
                            Value::String(String::from_utf8_lossy(&payload).into_owned())
                        });
                        lock.lock().unwrap().messages.push((words[1].to_owned(), value));
                        signal.notify_all();
                    }
                    Some(&"PONG") => {
                        lock.lock().unwrap().pongs += 1;
                        signal.notify_all();
                    }
                    _ => {}
                }
                line.clear();
            }
        });
        let client = Self { stream, heard, next: 0 };
        client.until(|heard| (heard.pongs > 0).then_some(()), "PONG");
        client
    }

    fn until<T>(&self, found: impl FnMut(&Heard) -> Option<T>, what: &str) -> T {
        self.within(PATIENCE, found).unwrap_or_else(|| {
            let heard = self.heard.0.lock().unwrap();
            let last: Vec<_> = heard.messages.iter().rev().take(10).rev().collect();
            panic!("waited in vain for {what} ({} messages heard); last: {last:#?}", heard.messages.len());
        })
    }

    fn within<T>(&self, time: Duration, mut found: impl FnMut(&Heard) -> Option<T>) -> Option<T> {
        let (lock, signal) = &*self.heard;
        let mut heard = lock.lock().unwrap();
        let start = Instant::now();
        loop {
            if let Some(value) = found(&heard) {
                return Some(value);
            }
            heard = signal.wait_timeout(heard, time.checked_sub(start.elapsed())?).unwrap().0;
        }
    }

    /// The payload of message number `nth` (from 1) on `subject`.
    pub fn nth(&self, subject: &str, nth: usize) -> Value {
        let payload = |heard: &Heard| {
            let mut on = heard.messages.iter().filter(|(other, _)| other == subject);
            on.nth(nth - 1).map(|(_, payload)| payload.clone())
        };
        self.until(payload, &format!("message {nth} on {subject}"))
    }

    /// The first message of `subject` about `devpath`.
    pub fn about(&self, subject: &str, devpath: &str) -> Value {
        let payload = |heard: &Heard| {
            let on = |(other, payload): &&(String, Value)| other == subject && payload["devpath"] == devpath;
            heard.messages.iter().find(on).map(|(_, payload)| payload.clone())
        };
        self.until(payload, &format!("{subject} about {devpath}"))
    }

    /// All that was heard so far on subjects that begin with `prefix`.
    pub fn all(&self, prefix: &str) -> Vec<(String, Value)> {
        let heard = self.heard.0.lock().unwrap();
        heard.messages.iter().filter(|(subject, _)| subject.starts_with(prefix)).cloned().collect()
    }

    /// The devices that messages on `subject` were about, in this order.
    pub fn order(&self, subject: &str) -> Vec<String> {
        let said = self.all(subject).into_iter();
        said.filter_map(|(_, payload)| Some(payload["devpath"].as_str()?.to_owned())).collect()
    }

    pub fn count(&self, prefix: &str) -> usize {
        self.all(prefix).len()
    }

    pub fn publish(&mut self, subject: &str, payload: &str) {
        self.stream
            .write_all(format!("PUB {subject} {}\r\n{payload}\r\n", payload.len()).as_bytes())
            .unwrap();
    }

    pub fn request(&mut self, subject: &str, payload: &str) -> Value {
        self.ask(subject, payload, PATIENCE).unwrap_or_else(|| panic!("no answer to {subject}"))
    }

    pub fn ask(&mut self, subject: &str, payload: &str, time: Duration) -> Option<Value> {
        let inbox = self.send_request(subject, payload);
        self.answer(&inbox, time)
    }

    /// Asks, and returns where the answer comes.
    pub fn send_request(&mut self, subject: &str, payload: &str) -> String {
        self.next += 1;
        let inbox = format!("_INBOX.{}.{}", self.stream.local_addr().unwrap().port(), self.next);
        let message = format!("PUB {subject} {inbox} {}\r\n{payload}\r\n", payload.len());
        self.stream.write_all(message.as_bytes()).unwrap();
        inbox
    }

    pub fn answer(&self, inbox: &str, time: Duration) -> Option<Value> {
        let answer = |heard: &Heard| {
            heard.messages.iter().find(|(subject, _)| *subject == inbox).map(|(_, payload)| payload.clone())
        };
        self.within(time, answer)
    }

    /// The paths of `hardware.list`, sorted.
    pub fn list(&mut self, subject: &str) -> Vec<String> {
        let list = self.request(subject, "");
        let list = list.as_array().unwrap_or_else(|| panic!("{subject}: {list}"));
        let mut paths: Vec<_> =
            list.iter().map(|device| device["devpath"].as_str().unwrap().to_owned()).collect();
        paths.sort();
        paths
    }
}
