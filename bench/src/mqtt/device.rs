//! A device: an MQTT 3.1.1 client that acknowledges what it gets, as small as a generator of load needs it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, BorrowedFd};

use lunix_proto::mqtt::{
    Ack, ClientPacket, Connect, Delivery, Limits, List, Publish, Qos, ServerDecoder, ServerPacket, Subscribe,
    Subscription, Version,
};

const VERSION: Version = Version::V311;
/// Longer than any packet of a load.
const LONGEST: usize = 128 << 10;

pub struct Device {
    stream: TcpStream,
    decoder: ServerDecoder,
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    /// Messages that have come.
    pub got: u64,
    /// Packet identifiers that no message under way has.
    pub free: Vec<NonZeroU16>,
    /// The server's `CONNACK` or `SUBACK` has come.
    answered: bool,
}

impl Device {
    /// A device that has said `CONNECT`; [`Device::welcomed`] waits for the answer. `window` messages of its own with QoS 1 and
    /// 2 are under way at most.
    pub fn open(address: SocketAddr, client_id: &str, window: u16) -> io::Result<Self> {
        Self::connect(address, client_id, window, true)
    }

    /// As [`Device::open`], with a session that is kept, of which nothing is there yet.
    pub fn open_kept(address: SocketAddr, client_id: &str, window: u16) -> io::Result<Self> {
        Self::open(address, client_id, window)?.welcomed()?;
        Self::connect(address, client_id, window, false)
    }

    fn connect(address: SocketAddr, client_id: &str, window: u16, clean_start: bool) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut device = Self {
            stream,
            decoder: ServerDecoder::new(VERSION, Limits { packet: LONGEST, whole: LONGEST }),
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            got: 0,
            free: (1..=window).filter_map(NonZeroU16::new).collect(),
            answered: false,
        };
        device.say(&ClientPacket::Connect(Connect {
            version: VERSION,
            bridge: false,
            clean_start,
            keep_alive: 0,
            client_id,
            will: None,
            username: None,
            password: None,
            properties: List::EMPTY,
        }));
        device.flush()?;
        Ok(device)
    }

    /// Waits until it is connected.
    pub fn welcomed(&mut self) -> io::Result<()> {
        self.answer("no CONNACK")
    }

    /// Asks for `filter`; [`Device::subscribed`] waits for the answer.
    pub fn subscribe(&mut self, filter: &str, qos: Qos) -> io::Result<()> {
        let subscriptions = [Subscription::new(filter, qos)];
        self.say(&ClientPacket::Subscribe(Subscribe {
            packet_id: NonZeroU16::MAX,
            properties: List::EMPTY,
            subscriptions: List::of(&subscriptions),
        }));
        self.flush()
    }

    pub fn subscribed(&mut self) -> io::Result<()> {
        self.answer("no SUBACK")
    }

    fn answer(&mut self, otherwise: &str) -> io::Result<()> {
        let mut buffer = vec![0; 4096];
        while !std::mem::take(&mut self.answered) {
            if !self.read(&mut buffer)? {
                return Err(io::Error::other(otherwise));
            }
        }
        Ok(())
    }

    pub fn nonblocking(&self) -> io::Result<()> {
        self.stream.set_nonblocking(true)
    }

    /// Publishes a message, unless as many as there may be are under way.
    pub fn publish(&mut self, topic: &str, qos: Qos, payload: &[u8]) -> bool {
        let delivery = match (qos, self.free.last().copied()) {
            (Qos::AtMostOnce, _) => Delivery::AtMostOnce,
            (_, None) => return false,
            (Qos::AtLeastOnce, Some(packet_id)) => Delivery::AtLeastOnce { packet_id, dup: false },
            (Qos::ExactlyOnce, Some(packet_id)) => Delivery::ExactlyOnce { packet_id, dup: false },
        };
        if qos != Qos::AtMostOnce {
            self.free.pop();
        }
        let properties = List::EMPTY;
        let publish = Publish { delivery, retain: false, topic, properties, payload, following: 0 };
        self.say(&ClientPacket::Publish(publish));
        true
    }

    fn say(&mut self, packet: &ClientPacket<'_>) {
        let start = self.output.len();
        let mut room = 512;
        loop {
            self.output.resize(start + room, 0);
            match packet.encode(VERSION, &mut self.output[start..]) {
                Ok(length) => return self.output.truncate(start + length),
                Err(full) => room = full.needed,
            }
        }
    }

    /// Bytes that wait to be written.
    pub fn pending(&self) -> usize {
        self.output.len() - self.written
    }

    /// Writes what waits; what the server does not take waits on.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.pending() > 0 {
            match self.stream.write(&self.output[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads once and answers what came; `false` if nothing has.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let read = match self.stream.read(buffer) {
            Ok(0) => return Err(io::Error::other("the server has ended a connection")),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        let bytes = &buffer[..read];
        if self.input.is_empty() {
            let taken = self.take(bytes)?;
            self.input.extend_from_slice(&bytes[taken..]);
        } else {
            self.input.extend_from_slice(bytes);
            let input = std::mem::take(&mut self.input);
            let taken = self.take(&input)?;
            self.input = input;
            self.input.drain(..taken);
        }
        self.flush()?;
        Ok(true)
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            let decoded = self.decoder.decode(&bytes[taken..]);
            let Some((packet, length)) = decoded.map_err(|error| io::Error::other(format!("{error:?}")))?
            else {
                return Ok(taken);
            };
            taken += length;
            match packet {
                ServerPacket::Publish(publish) => {
                    self.got += 1;
                    match publish.delivery {
                        Delivery::AtMostOnce => {}
                        Delivery::AtLeastOnce { packet_id, .. } => {
                            self.say(&ClientPacket::Puback(Ack::new(packet_id)));
                        }
                        Delivery::ExactlyOnce { packet_id, .. } => {
                            self.say(&ClientPacket::Pubrec(Ack::new(packet_id)));
                        }
                    }
                }
                ServerPacket::Puback(ack) | ServerPacket::Pubcomp(ack) => self.free.push(ack.packet_id),
                ServerPacket::Pubrec(ack) => self.say(&ClientPacket::Pubrel(Ack::new(ack.packet_id))),
                ServerPacket::Pubrel(ack) => self.say(&ClientPacket::Pubcomp(Ack::new(ack.packet_id))),
                ServerPacket::Connack(connack) if connack.reason.is_failure() => {
                    return Err(io::Error::other(format!("CONNACK {:?}", connack.reason)));
                }
                ServerPacket::Connack(_) => self.answered = true,
                ServerPacket::Suback(suback) if suback.reasons.iter().any(|reason| reason.is_failure()) => {
                    return Err(io::Error::other("a subscription was refused"));
                }
                ServerPacket::Suback(_) => self.answered = true,
                _ => {}
            }
        }
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
