//! A browser's end of a WebSocket, made of a socket and frames, so that it can misbehave.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use lunix_proto::ws::{Decoder, Event, Kind, Mask, Side, encode};

/// Far beyond what anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const KEY: [u8; 4] = [9, 8, 7, 6];

/// A socket that has said `request`, with the address in place of `HERE`.
pub(crate) fn ask(address: &str, request: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(request.replace("HERE", address).as_bytes()).unwrap();
    socket
}

/// A request for a WebSocket.
pub(crate) fn upgrade(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: HERE\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    )
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
    /// Takes the answer to a request for a WebSocket; its head comes with it.
    pub(crate) fn accepted(mut socket: TcpStream) -> (Self, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        let decoder = Decoder::new(Side::Server, u64::MAX);
        (Self { socket, decoder, bytes: Vec::new(), said: Vec::new() }, head)
    }

    pub(crate) fn send(&mut self, text: &[u8]) {
        let mut head = [0; 14];
        let len = encode::data(&mut head, Kind::Binary, true, true, text.len() as u64, Some(KEY)).unwrap();
        let mut bytes = text.to_vec();
        Mask::new(KEY).apply(&mut bytes);
        self.socket.write_all(&[&head[..len], &bytes].concat()).unwrap();
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

    /// So many bytes of data.
    pub(crate) fn hear(&mut self, len: usize) -> Vec<u8> {
        while self.said.len() < len {
            assert_eq!(self.next(), None, "no data");
        }
        self.said.drain(..len).collect()
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
