//! A raw connection and what a server has said on it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::transcript::Item;

pub(super) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    pub(super) items: Vec<Item>,
    /// `PONG`s so far.
    pub(super) pongs: usize,
    /// Where the last message that wanted an answer wants it.
    reply: Option<Vec<u8>>,
    asked_twice: bool,
    pub(super) to_leaf: bool,
    /// We have ended our side.
    left: bool,
    /// The server has ended its side.
    pub(super) ended: bool,
}

impl Wire {
    pub(super) fn open(address: SocketAddr, to_leaf: bool) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(60)).context("connect")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            items: Vec::new(),
            pongs: 0,
            reply: None,
            asked_twice: false,
            to_leaf,
            left: false,
            ended: false,
        })
    }

    /// A leaf node that has not said `CONNECT`: see `known::APART`.
    pub(super) fn is_stranger(&self) -> bool {
        self.to_leaf && self.items.len() < 2
    }

    /// Writes in pieces. That the server has closed is seen when reading.
    pub(super) fn say(&mut self, bytes: &[u8], cuts: &[usize]) {
        let mut from = 0;
        for cut in cuts.iter().map(|cut| bytes.len() * cut / 1000).chain([bytes.len()]) {
            let piece = bytes.get(from..cut.max(from)).unwrap_or_default();
            if self.stream.write_all(piece).is_err() {
                return;
            }
            from = cut.max(from);
            if from < bytes.len() {
                // Makes it likely that the server reads the pieces one by one; nothing depends on it.
                thread::sleep(Duration::from_micros(150));
            }
        }
    }

    /// Ends our side: the server answers what it has got, and ends its own.
    pub(super) fn leave(&mut self) {
        self.left = true;
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads until `enough`, the end or the deadline; true unless it was the deadline.
    pub(super) fn read_until(&mut self, deadline: Instant, enough: impl Fn(&Self) -> bool) -> Result<bool> {
        let mut chunk = [0; 16 << 10];
        while !self.ended && !enough(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut chunk) {
                Ok(0) => self.end(),
                Ok(read) => {
                    self.buffer.extend_from_slice(&chunk[..read]);
                    self.parse();
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(false);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // A reset is an end as well: something of ours had not been read.
                Err(_) => self.end(),
            }
        }
        Ok(true)
    }

    /// Where the last request is answered.
    pub(super) fn asked(&self) -> Option<&[u8]> {
        self.reply.as_deref().filter(|_| !self.asked_twice)
    }

    fn end(&mut self) {
        self.ended = true;
        if !self.buffer.is_empty() {
            let rest = std::mem::take(&mut self.buffer);
            self.items.push(Item::Torn(rest));
        }
        if !self.left {
            self.items.push(Item::Closed);
        }
    }

    fn parse(&mut self) {
        let mut done = 0;
        while let Some((item, len)) = Item::parse(&self.buffer[done..], self.to_leaf) {
            done += len;
            if let Item::Message(message) = &item
                && !message.reply.is_empty()
            {
                // One that comes twice is not answered, see `known::APART`.
                self.asked_twice = self.reply.as_ref() == Some(&message.reply);
                self.reply = Some(message.reply.clone());
            }
            match item {
                // It asks at times of its own, to learn the round-trip time.
                Item::Ping => continue,
                Item::Pong => self.pongs += 1,
                _ => {}
            }
            self.items.push(item);
        }
        self.buffer.drain(..done);
    }
}
