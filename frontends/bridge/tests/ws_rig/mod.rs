//! natsws, browsers that behave and those that do not, and a server that is made up.
#![allow(dead_code, reason = "each test takes what it needs")]

mod browser;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};

pub(crate) use browser::{Browser, Control, KEY, PATIENCE};

const INFO: &str =
    r#"{"server_id":"MADE","version":"2.11.0","proto":1,"host":"10.9.8.7","port":4222,"max_payload":1048576"#;

/// natsws, which dies with the test.
pub(crate) struct Natsws {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) lines: std::io::Lines<BufReader<ChildStderr>>,
}

impl Natsws {
    pub(crate) fn start(server: &str, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lunix-bridge"))
            .args(["natsws", "--listen", "127.0.0.1:0", "--nats", server])
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().split_once("://")?.1.parse().ok()).unwrap();
        Self { child, address, lines }
    }

    pub(crate) fn ask(&self, request: &str) -> TcpStream {
        browser::ask(&self.address.to_string(), request)
    }

    /// What a request is answered; the connection then ends.
    pub(crate) fn answer(&self, request: &str) -> String {
        let mut answer = String::new();
        self.ask(request).read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn browser(&self, fields: &str) -> Browser {
        Browser::accepted(self.ask(&upgrade(fields))).0
    }

    /// Asks it to end, and how it does.
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<String>) {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        let lines = self.lines.by_ref().map(|line| line.unwrap()).collect();
        (self.child.wait().unwrap().code(), lines)
    }

    /// The most memory that it has had, in KiB.
    pub(crate) fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Natsws {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn upgrade(fields: &str) -> String {
    browser::upgrade("/any/path?query", fields)
}

/// The origin of the listener's own pages.
pub(crate) fn own(natsws: &Natsws) -> String {
    format!("Origin: http://{}\r\n", natsws.address)
}

/// Settings in a file of this test's own.
pub(crate) fn file(name: &str, text: &str) -> String {
    let path: PathBuf = std::env::temp_dir().join(format!("natsws-{}-{name}.conf", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A server that is made up.
pub(crate) struct Server {
    pub(crate) listener: TcpListener,
    pub(crate) url: String,
    /// The rest of its `INFO`.
    pub(crate) info: &'static str,
}

impl Server {
    pub(crate) fn start(info: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        Self { listener, url, info }
    }

    /// Says `INFO` to the next one while `connect` connects.
    pub(crate) fn meet<T>(&self, connect: impl FnOnce() -> T) -> (BufReader<TcpStream>, T) {
        std::thread::scope(|scope| {
            let accepted = scope.spawn(|| {
                let (mut socket, _) = self.listener.accept().unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                write!(socket, "INFO {INFO}{}}}\r\n", self.info).unwrap();
                BufReader::new(socket)
            });
            let met = connect();
            (accepted.join().unwrap(), met)
        })
    }
}

pub(crate) fn line(server: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    server.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}
