//! A natsd and a nats-server, one of which is a leaf node of the other, and clients that speak in lines.

#![allow(dead_code, unreachable_pub, reason = "every test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

#[path = "../free_port/mod.rs"]
mod free_port;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

pub use crate::folder::Folder;
pub(crate) use free_port::free_port as port;

/// How long anything may take on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server program.
#[derive(Clone)]
pub struct Program(pub PathBuf, pub &'static [&'static str]);

impl Program {
    pub fn natsd() -> Self {
        Self(PathBuf::from(env!("CARGO_BIN_EXE_lunix")), &["natsd", "--socket", "none"])
    }

    /// nats-server: the one named by `$NATS_SERVER`, and the one in the path, as far as there are any.
    pub fn nats_servers(test: &str) -> Vec<Self> {
        let places = std::env::var_os("PATH").unwrap_or_default();
        let in_path = std::env::split_paths(&places)
            .chain([PathBuf::from("/usr/sbin")])
            .map(|folder| folder.join("nats-server"))
            .find(|program| program.is_file());
        let named = std::env::var_os("NATS_SERVER").map(PathBuf::from);
        let mut found: Vec<PathBuf> = named.into_iter().chain(in_path).collect();
        found.dedup();
        if found.is_empty() {
            eprintln!("SKIPPED {test}: no nats-server in PATH and no $NATS_SERVER");
        }
        found.into_iter().map(|path| Self(path, &[])).collect()
    }

    pub fn serve(&self, config: &str) -> Server {
        let (folder, port) = (Folder::new(), port());
        let config = format!("host: 127.0.0.1\nport: {port}\n{config}\n");
        fs::write(folder.0.join("server.conf"), config).unwrap();
        let mut server = Server { program: self.clone(), folder, port, child: None, log: channel().1 };
        server.start();
        server
    }
}

pub struct Server {
    pub program: Program,
    pub folder: Folder,
    pub port: u16,
    pub child: Option<Child>,
    pub log: Receiver<String>,
}

impl Server {
    pub fn start(&mut self) {
        let mut child = Command::new(&self.program.0)
            .args(self.program.1)
            .arg("-c")
            .arg(self.folder.0.join("server.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        self.child = Some(child);
        self.log = log;
        self.logged("Server is ready");
    }

    /// Waits for a line of the log.
    pub fn logged(&self, text: &str) -> String {
        let begin = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begin.elapsed());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("no {text:?} in the log"));
            if line.contains(text) {
                return line;
            }
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A client of lines.
pub struct Client {
    pub reader: BufReader<TcpStream>,
    pub number: u32,
    /// What came while something else was waited for.
    pub aside: Vec<Got>,
}

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    pub subject: String,
    pub sid: String,
    pub reply: Option<String>,
    pub body: String,
}

impl Client {
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self { reader: BufReader::new(stream), number: 0, aside: Vec::new() };
        assert!(client.line().starts_with("INFO "));
        client.say("CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}");
        client.flush();
        client
    }

    /// A user whose password is the name.
    pub fn connect_as(port: u16, user: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self { reader: BufReader::new(stream), number: 0, aside: Vec::new() };
        assert!(client.line().starts_with("INFO "));
        client.say(&format!(
            "CONNECT {{\"verbose\":false,\"headers\":true,\"no_responders\":true,\"user\":\"{user}\",\"pass\":\"{user}\"}}"
        ));
        client.flush();
        client
    }

    pub fn say(&mut self, line: &str) {
        self.reader.get_ref().write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }

    pub fn publish(&mut self, subject: &str, reply: &str, body: &str) {
        self.say(&format!("PUB {subject} {reply} {}\r\n{body}", body.len()));
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.reader.read_line(&mut line).unwrap() > 0, "the server closed");
        line.trim_end().to_owned()
    }

    /// The next message, `None` where PONG comes first.
    pub fn next(&mut self) -> Option<Got> {
        loop {
            let line = self.line();
            let mut words: Vec<&str> = line.split(' ').collect();
            match words[0] {
                "PING" => self.say("PONG"),
                "PONG" => return None,
                "MSG" | "HMSG" => {
                    let size: usize = words.pop().unwrap().parse().unwrap();
                    let header: usize =
                        if words[0] == "HMSG" { words.pop().unwrap().parse().unwrap() } else { 0 };
                    let mut body = vec![0; size + 2];
                    self.reader.read_exact(&mut body).unwrap();
                    body.truncate(size);
                    let body =
                        String::from_utf8(body.split_off(if size == header { 0 } else { header })).unwrap();
                    return Some(Got {
                        subject: words[1].to_owned(),
                        sid: words[2].to_owned(),
                        reply: words.get(3).map(|reply| (*reply).to_owned()),
                        body,
                    });
                }
                "INFO" => {}
                _ => panic!("{line}"),
            }
        }
    }

    pub fn message(&mut self) -> Got {
        loop {
            if let Some(got) = self.next() {
                return got;
            }
        }
    }

    /// All messages that came before the server has done what was said.
    pub fn flush(&mut self) -> Vec<Got> {
        self.say("PING");
        let mut all = std::mem::take(&mut self.aside);
        all.extend(std::iter::from_fn(|| self.next()));
        all
    }

    /// Asks, and asks again as long as nobody is there to answer.
    pub fn ask(&mut self, subject: &str, body: &str) -> String {
        let begin = Instant::now();
        self.number += 1;
        let (inbox, sid) = (format!("_INBOX.{}.{}", std::process::id(), self.number), 1000 + self.number);
        self.say(&format!("SUB {inbox} {sid}"));
        loop {
            self.publish(subject, &inbox, body);
            let mut got = self.message();
            while got.sid != sid.to_string() {
                self.aside.push(got);
                got = self.message();
            }
            if !got.body.starts_with("NATS/1.0 503") {
                self.say(&format!("UNSUB {sid}"));
                return got.body;
            }
            assert!(begin.elapsed() < PATIENCE, "nobody answers {subject}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Answers `count` requests to `subject`, by their body and `name`.
pub fn answer(server: &Server, subject: &str, name: &'static str) -> std::thread::JoinHandle<()> {
    let mut client = server.connect();
    client.say(&format!("SUB {subject} 1"));
    client.flush();
    std::thread::spawn(move || {
        loop {
            let got = client.message();
            if got.body == "end" {
                return;
            }
            let reply = got.reply.unwrap_or_default();
            client.publish(&reply, "", &format!("{name} {}", got.body));
        }
    })
}

pub fn hub_config(port: u16, more: &str) -> String {
    format!("server_name: hub\nleafnodes {{ listen: \"127.0.0.1:{port}\", {more} }}\n")
}

pub fn leaf_config(name: &str, port: u16, more: &str) -> String {
    let url = format!("nats-leaf://127.0.0.1:{port}");
    format!("server_name: {name}\nleafnodes {{ remotes: [ {{ urls: [\"{url}\"] {more} }} ] }}\n")
}

/// Hubs of all kinds with natsd as their leaf, and natsd as the hub of nats-server.
pub fn pairs(test: &str, run: impl Fn(&mut Server, &mut Server)) {
    let peers = Program::nats_servers(test);
    let hubs = peers.iter().cloned().map(|hub| (hub, Program::natsd()));
    let leaves = peers.iter().cloned().map(|leaf| (Program::natsd(), leaf));
    for (hub, leaf) in hubs.chain(leaves).chain([(Program::natsd(), Program::natsd())]) {
        eprintln!("{test}: {} at hub {}", leaf.0.display(), hub.0.display());
        let port = port();
        let mut hub = hub.serve(&hub_config(port, ""));
        let mut leaf = leaf.serve(&leaf_config("edge", port, ""));
        run(&mut hub, &mut leaf);
    }
}
