//! natsws, browsers that behave and those that do not, and a server that is made up.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use lunix_proto::ws::{Decoder, Event, Kind, Mask, Side, encode};

/// Far beyond what anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const KEY: [u8; 4] = [9, 8, 7, 6];
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

    /// A socket that has said `request`, with the address in place of `HERE`.
    pub(crate) fn ask(&self, request: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(request.replace("HERE", &self.address.to_string()).as_bytes()).unwrap();
        socket
    }

    /// What a request is answered; the connection then ends.
    pub(crate) fn answer(&self, request: &str) -> String {
        let mut answer = String::new();
        self.ask(request).read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn browser(&self, fields: &str) -> Browser {
        let mut socket = self.ask(&upgrade(fields));
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
        }
        let head = String::from_utf8(bytes).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        Browser { socket, decoder: Decoder::new(Side::Server, u64::MAX), bytes: Vec::new(), said: Vec::new() }
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
    format!(
        "GET /any/path?query HTTP/1.1\r\nHost: HERE\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    )
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

pub(crate) struct Browser {
    pub(crate) socket: TcpStream,
    pub(crate) decoder: Decoder,
    pub(crate) bytes: Vec<u8>,
    /// Data that has come and was not asked for yet.
    pub(crate) said: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Pong(Vec<u8>),
    Close(u16, String),
}

impl Browser {
    pub(crate) fn send(&mut self, text: &[u8]) {
        let mut head = [0; 14];
        let len = encode::data(&mut head, Kind::Binary, true, true, text.len() as u64, Some(KEY)).unwrap();
        let mut bytes = text.to_vec();
        Mask::new(KEY).apply(&mut bytes);
        self.socket.write_all(&head[..len]).unwrap();
        self.socket.write_all(&bytes).unwrap();
    }

    /// The next line of data.
    pub(crate) fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.said.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.said.drain(..end + 2).collect();
                return String::from_utf8(line).unwrap().trim_end().to_owned();
            }
            assert_eq!(self.next(), None, "no data");
        }
    }

    /// The code and reason of the Close, whatever data comes before it.
    pub(crate) fn closed(&mut self) -> (u16, String) {
        loop {
            if let Some(Control::Close(code, reason)) = self.next() {
                return (code, reason);
            }
        }
    }

    /// Reads until there is data or a control frame.
    pub(crate) fn next(&mut self) -> Option<Control> {
        loop {
            if let Some((event, len)) = self.decoder.decode(&mut self.bytes).unwrap() {
                let control = match event {
                    Event::Data { kind, bytes, .. } => {
                        assert_eq!(kind, Kind::Binary);
                        self.said.extend_from_slice(bytes);
                        None
                    }
                    Event::Ping(_) => panic!("a ping"),
                    Event::Pong(payload) => Some(Control::Pong(payload.to_vec())),
                    Event::Close(None) => Some(Control::Close(1005, String::new())),
                    Event::Close(Some(close)) => Some(Control::Close(close.code.0, close.reason.to_owned())),
                };
                self.bytes.drain(..len);
                return control;
            }
            let mut piece = [0; 4096];
            let len = self.socket.read(&mut piece).unwrap();
            assert!(len > 0, "the end, and no Close");
            self.bytes.extend_from_slice(&piece[..len]);
        }
    }
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
