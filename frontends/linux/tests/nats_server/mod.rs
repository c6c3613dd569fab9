//! The servers that are the peers of a test: Debian's nats-server and our natsd.

#![allow(dead_code, clippy::unwrap_used, reason = "each test program uses its part")]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

#[path = "../free_port/mod.rs"]
pub(crate) mod free_port;

use free_port::free_port;

/// A server process on a port of its own, killed at the end.
pub(crate) struct Server {
    program: PathBuf,
    /// What comes before the flags.
    applet: &'static [&'static str],
    pub(crate) port: u16,
    /// natsd's UNIX socket.
    pub(crate) socket: Option<PathBuf>,
    child: Option<Child>,
}

/// Runs `test` with each server there is.
pub(crate) fn each(name: &str, test: impl Fn(Server)) {
    test(Server::natsd());
    if let Some(server) = Server::start(name) {
        test(server);
    }
}

impl Server {
    /// Debian's. `None`, and a line that says so, where there is no nats-server.
    pub(crate) fn start(test: &str) -> Option<Self> {
        let places = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&places)
            .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/bin")])
            .map(|folder| folder.join("nats-server"))
            .find(|program| program.is_file());
        let Some(program) = found else {
            eprintln!("SKIPPED {test}: no nats-server in PATH");
            return None;
        };
        Some(Self::new(program, &[]))
    }

    /// Ours.
    pub(crate) fn natsd() -> Self {
        Self::new(PathBuf::from(env!("CARGO_BIN_EXE_lunix")), &["natsd"])
    }

    fn new(program: PathBuf, applet: &'static [&'static str]) -> Self {
        let port = free_port();
        let socket = (!applet.is_empty()).then(|| {
            let name = format!("lunix-test-{}-{port}.sock", std::process::id());
            std::env::temp_dir().join(name)
        });
        let mut server = Self { program, applet, port, socket, child: None };
        server.restart();
        server
    }

    pub(crate) fn restart(&mut self) {
        self.restart_with(&[]);
    }

    pub(crate) fn restart_with(&mut self, more: &[&str]) {
        self.kill();
        let mut child = Command::new(&self.program)
            .args(self.applet)
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string()])
            .args(self.socket.iter().flat_map(|path| [OsStr::new("--socket"), path.as_os_str()]))
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("Server is ready") {
            assert!(log.read_line(&mut said).unwrap() > 0, "the server ended early: {said}");
        }
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        self.child = Some(child);
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if let Some(socket) = &self.socket {
            let _ = std::fs::remove_file(socket);
        }
    }
}
