//! natsmqtt in front of a natsd of the test's own, and clients of both.

#![allow(dead_code, reason = "every test uses a part of it")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU16;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use lunix::encoded::encoded;
use lunix::natsd::Server;
use lunix_proto::mqtt::{
    Ack, ClientPacket, Connect, Delivery, Limits, List, Publish, Qos, ServerDecoder, ServerPacket, Subscribe,
    Subscription, Version,
};

/// A loaded machine is slow; none is as slow as this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The multi-call program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_lunix-bridge");

/// Subscribes, and has been told so.
pub(crate) fn subscribe(client: &mut Client, filter: &str, qos: Qos) {
    let subscriptions = [Subscription::new(filter, qos)];
    client.say(ClientPacket::Subscribe(Subscribe {
        packet_id: NonZeroU16::MIN,
        properties: List::EMPTY,
        subscriptions: List::of(&subscriptions),
    }));
    assert!(client.next().unwrap().starts_with("Suback"));
}

pub(crate) fn message<'m>(topic: &'m str, payload: &'m str, delivery: Delivery) -> ClientPacket<'m> {
    let payload = payload.as_bytes();
    ClientPacket::Publish(Publish {
        delivery,
        retain: false,
        topic,
        properties: List::EMPTY,
        payload,
        following: 0,
    })
}

pub(crate) fn natsd(port: &str) -> Server {
    Server::start(["-p", port, "--socket", "none", "-l", "/dev/null"]).unwrap()
}

/// natsmqtt, killed when it is dropped.
pub(crate) struct Gateway {
    pub(crate) child: Child,
    address: SocketAddr,
    /// Where else it listens, as it says so: `ws://127.0.0.1:1`.
    others: Vec<String>,
    /// Open for as long as it may write there.
    log: BufReader<ChildStderr>,
}

impl Gateway {
    pub(crate) fn start(nats: &Server, flags: &[&str]) -> Self {
        Self::start_at(&nats.client_url(), flags)
    }

    pub(crate) fn start_at(nats: &str, flags: &[&str]) -> Self {
        Self::start_by(Command::new(PROGRAM), nats, flags)
    }

    /// By a program that becomes natsmqtt, with the arguments after its own.
    pub(crate) fn start_by(mut program: Command, nats: &str, flags: &[&str]) -> Self {
        let mut child = program
            .args(["natsmqtt", "--listen", "127.0.0.1:0", "--nats", nats])
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut places = Vec::new();
        let line = loop {
            let mut line = String::new();
            log.read_line(&mut line).unwrap();
            match line.trim_end().split_once("devices connect to ") {
                Some((_, place)) => places.push(place.to_owned()),
                None => break line,
            }
        };
        assert!(line.ends_with("connected\n"), "{line}");
        let address = places.remove(0).parse().unwrap();
        Self { child, address, others: places, log }
    }

    /// The address of its listener of this scheme.
    pub(crate) fn listener(&self, scheme: &str) -> String {
        let found = self.others.iter().find_map(|place| place.strip_prefix(scheme)?.strip_prefix("://"));
        found.unwrap_or_else(|| panic!("{scheme}: {:?}", self.others)).to_owned()
    }

    /// The next line that it says.
    pub(crate) fn said(&mut self) -> String {
        let mut line = String::new();
        self.log.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Ends it without a word.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Ends it as an init does, and says what it has said since it was connected.
    pub(crate) fn stop(mut self) -> String {
        self.signal("-TERM");
        let mut said = String::new();
        self.log.read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success());
        said
    }

    pub(crate) fn socket(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// A client that has been welcomed.
    pub(crate) fn client(&self, client: &str, version: Version) -> Client {
        let mut client = Client::connect(self, &Client::hello(client, version));
        assert!(client.next().unwrap().starts_with("Connack"));
        client
    }

    pub(crate) fn port(&self) -> String {
        self.address.port().to_string()
    }

    pub(crate) fn hex_port(&self) -> String {
        format!("{:04X}", self.address.port())
    }

    /// Bytes of memory that are its own.
    pub(crate) fn memory(&self) -> u64 {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).unwrap();
        let kilobytes = rollup.lines().filter(|line| line.starts_with("Private_")).map(|line| {
            line.split_ascii_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap()
        });
        kilobytes.sum::<u64>() << 10
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A device.
pub(crate) struct Client {
    socket: TcpStream,
    version: Version,
    decoder: ServerDecoder,
    input: Vec<u8>,
    unacknowledged: Option<NonZeroU16>,
}

impl Client {
    pub(crate) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(crate) fn hello(client: &str, version: Version) -> Connect<'_> {
        Connect {
            version,
            bridge: false,
            clean_start: true,
            keep_alive: 0,
            client_id: client,
            will: None,
            username: None,
            password: None,
            properties: List::EMPTY,
        }
    }

    pub(crate) fn connect(gateway: &Gateway, connect: &Connect<'_>) -> Self {
        let decoder = ServerDecoder::new(connect.version, Limits::default());
        let mut client = Self {
            socket: gateway.socket(),
            version: connect.version,
            decoder,
            input: Vec::new(),
            unacknowledged: None,
        };
        client.say(ClientPacket::Connect(*connect));
        client
    }

    pub(crate) fn say(&mut self, packet: ClientPacket<'_>) {
        assert!(self.tell(packet), "the connection has ended");
    }

    /// Says it, unless the connection has ended.
    pub(crate) fn tell(&mut self, packet: ClientPacket<'_>) -> bool {
        let bytes = encoded(256, |out| packet.encode(self.version, out));
        self.write(&bytes)
    }

    /// Bytes that may be no packet at all; whether they could be written.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// As [`Self::next`]; a message with QoS 1 is acknowledged.
    pub(crate) fn hear(&mut self) -> Option<String> {
        let words = self.next();
        if let Some(packet_id) = self.unacknowledged.take() {
            self.say(ClientPacket::Puback(Ack::new(packet_id)));
        }
        words
    }

    /// The next packet in words, or `None` at the end of the connection.
    pub(crate) fn next(&mut self) -> Option<String> {
        let mut unacknowledged = self.unacknowledged;
        let words = self.next_as(|packet| match packet {
            ServerPacket::Publish(publish) => {
                unacknowledged = publish.delivery.packet_id();
                format!("Publish {}={}", publish.topic, String::from_utf8_lossy(publish.payload))
            }
            other => format!("{other:?}"),
        });
        self.unacknowledged = unacknowledged;
        words
    }

    /// What `read` makes of the next packet.
    pub(crate) fn next_as<R>(&mut self, read: impl FnOnce(&ServerPacket<'_>) -> R) -> Option<R> {
        loop {
            if let Some((packet, length)) = self.decoder.decode(&self.input).unwrap() {
                let made = read(&packet);
                self.input.drain(..length);
                return Some(made);
            }
            let mut piece = [0; 4096];
            match self.socket.read(&mut piece) {
                Ok(0) => return None,
                Ok(read) => self.input.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A client of NATS, with one subscription that is heard at a time.
pub(crate) struct Nats {
    socket: BufReader<TcpStream>,
}

impl Nats {
    pub(crate) fn connect(server: &Server) -> Self {
        let socket = TcpStream::connect(server.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut nats = Self { socket: BufReader::new(socket) };
        nats.line();
        nats.say("CONNECT {\"verbose\":false,\"headers\":true}");
        nats.flush();
        nats
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.socket.get_mut().write_all(format!("{text}\r\n").as_bytes()).unwrap();
    }

    /// The server has done all that it was told.
    pub(crate) fn flush(&mut self) {
        self.say("PING");
        assert_eq!(self.line(), "PONG");
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.socket.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// A message: its line, and its header block and payload as one text.
    pub(crate) fn message(&mut self) -> (String, String) {
        let line = self.line();
        let length: usize = line
            .rsplit(' ')
            .next()
            .and_then(|length| length.parse().ok())
            .unwrap_or_else(|| panic!("{line}"));
        let mut body = vec![0; length + 2];
        self.socket.read_exact(&mut body).unwrap();
        (line, String::from_utf8_lossy(&body[..length]).into_owned())
    }
}
