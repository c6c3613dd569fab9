//! A NATS client for tests: as small and slow as can be, and on purpose without a line of the code under test.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// What a subscriber gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it was published.
    pub subject: String,
    /// The block of headers, empty without any.
    pub header: String,
    /// What it says.
    pub payload: Vec<u8>,
}

impl Message {
    /// The payload as JSON; `Null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or_default()
    }
}

/// A connection. Every wait is bounded.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Subscriptions made so far: each has a number of its own, for a second one of the same number counts for nothing.
    subscriptions: u32,
}

const CONNECT: &str =
    r#"CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"name":"xtask"}"#;

impl Client {
    /// Connects to a server on this machine, trying until `limit`: it may still be starting.
    pub fn connect(port: u16, limit: Duration) -> Result<Self> {
        let deadline = Instant::now() + limit;
        loop {
            match Self::try_connect(port, deadline) {
                Ok(client) => return Ok(client),
                Err(e) if Instant::now() >= deadline => {
                    return Err(e).with_context(|| format!("no NATS server on port {port} within {limit:?}"));
                }
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn try_connect(port: u16, deadline: Instant) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, buffer: Vec::new(), subscriptions: 0 };
        // Behind QEMU a connection is accepted and then closed where nobody listens in the guest.
        let patience = deadline.min(Instant::now() + Duration::from_secs(2));
        let Some(info) = client.line(patience)? else { bail!("no INFO") };
        if !info.starts_with("INFO ") {
            bail!("this is no NATS server: {info}");
        }
        client.send(&format!("{CONNECT}\r\n"))?;
        client.flush(Duration::from_secs(5))?;
        Ok(client)
    }

    /// Subscribes; what matches arrives through [`Self::next`].
    pub fn subscribe(&mut self, subject: &str) -> Result<()> {
        self.subscriptions += 1;
        self.send(&format!("SUB {subject} {}\r\n", self.subscriptions))?;
        self.flush(Duration::from_secs(10))
    }

    /// Publishes.
    pub fn publish(&mut self, subject: &str, payload: &str) -> Result<()> {
        self.send(&format!("PUB {subject} {}\r\n{payload}\r\n", payload.len()))
    }

    /// Asks, and waits for one answer. `None` if nobody is there to answer. Only for a connection that
    /// subscribes to nothing else: other messages are dropped meanwhile.
    pub fn request(&mut self, subject: &str, payload: &str, limit: Duration) -> Result<Option<Message>> {
        // A number of its own: the server's own 503 does not use a subscription up.
        self.subscriptions += 1;
        let sid = self.subscriptions;
        let inbox = format!("_INBOX.xtask.{sid}");
        self.send(&format!(
            "SUB {inbox} {sid}\r\nUNSUB {sid} 1\r\nPUB {subject} {inbox} {}\r\n{payload}\r\n",
            payload.len()
        ))?;
        let deadline = Instant::now() + limit;
        loop {
            match self.next(deadline)? {
                None => bail!("no answer from {subject} within {limit:?}"),
                Some(message) if message.subject != inbox => {}
                Some(message) if message.header.starts_with("NATS/1.0 503") => return Ok(None),
                Some(message) => return Ok(Some(message)),
            }
        }
    }

    /// The next message, or `None` at the deadline.
    pub fn next(&mut self, deadline: Instant) -> Result<Option<Message>> {
        loop {
            let Some(line) = self.line(deadline)? else { return Ok(None) };
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words.as_slice() {
                ["MSG", subject, _, .., length] => {
                    let payload = self.block(length.parse()?, deadline)?;
                    return Ok(Some(Message {
                        subject: (*subject).to_owned(),
                        header: String::new(),
                        payload,
                    }));
                }
                ["HMSG", subject, _, .., header, length] => {
                    let mut header_block = self.block(length.parse()?, deadline)?;
                    let payload = header_block.split_off(header.parse::<usize>()?.min(header_block.len()));
                    let header = String::from_utf8_lossy(&header_block).into_owned();
                    return Ok(Some(Message { subject: (*subject).to_owned(), header, payload }));
                }
                ["PING"] => self.send("PONG\r\n")?,
                ["-ERR", ..] => bail!("the server says {line}"),
                _ => {}
            }
        }
    }

    /// A round trip: the server has seen everything that was sent before.
    pub fn flush(&mut self, limit: Duration) -> Result<()> {
        self.send("PING\r\n")?;
        let deadline = Instant::now() + limit;
        loop {
            match self.line(deadline)?.as_deref() {
                Some("PONG") => return Ok(()),
                Some("PING") => self.send("PONG\r\n")?,
                Some(line) if line.starts_with("-ERR") => bail!("the server says {line}"),
                Some(line) if line.contains("MSG ") => bail!("a message in the middle of a flush"),
                Some(_) => {}
                None => bail!("no PONG within {limit:?}"),
            }
        }
    }

    fn send(&mut self, text: &str) -> Result<()> {
        self.stream.write_all(text.as_bytes()).context("write to the server")
    }

    fn line(&mut self, deadline: Instant) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            if !self.fill(deadline)? {
                return Ok(None);
            }
        }
    }

    /// A payload and the line end behind it.
    fn block(&mut self, length: usize, deadline: Instant) -> Result<Vec<u8>> {
        // Once its line is there, the payload is on the way: give it a moment even at the deadline.
        let deadline = deadline.max(Instant::now() + Duration::from_secs(5));
        while self.buffer.len() < length + 2 {
            if !self.fill(deadline)? {
                bail!("a payload that does not end");
            }
        }
        let mut block: Vec<u8> = self.buffer.drain(..length + 2).collect();
        block.truncate(length);
        Ok(block)
    }

    /// Reads what is there; false at the deadline.
    fn fill(&mut self, deadline: Instant) -> Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(read) => {
                self.buffer.extend_from_slice(&chunk[..read]);
                Ok(true)
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(true),
            Err(e) => Err(e).context("read from the server"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that says `script` and then keeps the connection open.
    fn fake(script: &'static str) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(script.as_bytes()).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        port
    }

    #[test]
    fn messages_with_and_without_headers() {
        let port = fake(
            "INFO {}\r\nPONG\r\nMSG a.b 1 2\r\nhi\r\nPING\r\nHMSG c 1 r 12 14\r\nNATS/1.0\r\n\r\n{}\r\nMSG d 1 0\r\n\r\n",
        );
        let mut client = Client::connect(port, Duration::from_secs(60)).unwrap();
        let soon = Instant::now() + Duration::from_secs(60);
        assert_eq!(client.next(soon).unwrap().unwrap().payload, b"hi");
        let second = client.next(soon).unwrap().unwrap();
        assert_eq!((second.subject.as_str(), second.header.as_str()), ("c", "NATS/1.0\r\n\r\n"));
        assert!(second.json().is_object());
        assert_eq!(client.next(soon).unwrap().unwrap().payload, b"");
        assert_eq!(client.next(Instant::now() + Duration::from_millis(20)).unwrap(), None);
    }

    #[test]
    fn an_error_of_the_server_is_one_here() {
        let port = fake("INFO {}\r\nPONG\r\n-ERR 'Slow Consumer'\r\n");
        let mut client = Client::connect(port, Duration::from_secs(60)).unwrap();
        let error = client.next(Instant::now() + Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.to_string(), "the server says -ERR 'Slow Consumer'");
    }
}
