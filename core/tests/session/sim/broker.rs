//! The real broker at the other end of the link: the session is its first client, an observer its second.

use std::collections::VecDeque;

use lunix_core::broker::{Action, Arrays, Broker, ClientId, Input, Limits, Peer as Origin, Progress};
use lunix_core::time::Instant;
use lunix_proto::json::Str;
use lunix_proto::nats::{Info, ServerDecoder, ServerOp};

use super::Peer;

type Slots = Arrays<64, 32, 8, 128, 4>;

pub(crate) struct Real {
    broker: Broker<Slots>,
    now: Instant,
    unread: [Vec<u8>; 2],
    out: [VecDeque<u8>; 2],
    connected: bool,
    closing: bool,
}

const OBSERVER: ClientId = ClientId::new(1);

impl Real {
    pub(crate) fn new() -> Self {
        let mut real = Self {
            broker: Broker::new(Slots::EMPTY, Limits::default(), 1),
            now: Instant::from_micros(1),
            unread: Default::default(),
            out: Default::default(),
            connected: false,
            closing: false,
        };
        real.input(Input::Opened { client: OBSERVER, peer: Origin::Local });
        real.observer("CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false}\r\nSUB seen.> 1\r\n");
        real
    }

    /// What the observer says.
    pub(crate) fn observer(&mut self, text: &str) {
        self.receive(1, text.as_bytes());
    }

    /// The payloads that the observer has got since it was last asked.
    pub(crate) fn seen(&mut self) -> Vec<String> {
        let bytes: Vec<u8> = self.out[1].drain(..).collect();
        let (mut decoder, mut at, mut seen) = (ServerDecoder::new(Default::default()), 0, Vec::new());
        while let Some((op, length)) = decoder.decode(&bytes[at..]).unwrap() {
            at += length;
            if let ServerOp::Msg(message) | ServerOp::HMsg(message) = op {
                seen.push(String::from_utf8_lossy(message.payload()).into_owned());
            }
        }
        assert_eq!(at, bytes.len(), "the broker sends whole operations");
        seen
    }

    fn receive(&mut self, client: u32, bytes: &[u8]) {
        let index = client as usize;
        self.unread[index].extend_from_slice(bytes);
        while !self.unread[index].is_empty() {
            let unread = std::mem::take(&mut self.unread[index]);
            match self.input(Input::Received { client: ClientId::new(client), bytes: &unread }) {
                Progress::Consumed(length) => self.unread[index] = unread[length..].to_vec(),
                Progress::Needs(_) | Progress::Waits => {
                    self.unread[index] = unread;
                    return;
                }
            }
        }
    }

    fn input(&mut self, input: Input<'_>) -> Progress {
        let info = Info {
            version: Str::new("2.11.0"),
            headers: true,
            max_payload: 4096,
            proto: 1,
            ..Info::default()
        };
        let mut space = vec![0; 8 << 10];
        let mut turn = self.broker.handle(self.now, input);
        while let Some(action) = turn.poll() {
            match action {
                Action::Send { to, line } => {
                    let written = line.encode(&mut space, &info).unwrap();
                    self.out[to.index() as usize].extend(&space[..written]);
                }
                Action::Deliver(delivery) => {
                    let written = delivery.encode_head(&mut space).unwrap();
                    let to = &mut self.out[delivery.to().index() as usize];
                    to.extend(&space[..written]);
                    to.extend(delivery.body());
                }
                Action::Authenticate { .. }
                | Action::Request { .. }
                | Action::Traced(_)
                | Action::Passed { .. }
                | Action::Leaf(_)
                | Action::Stall { .. }
                | Action::Resume { .. } => {}
                Action::Close { client, .. } => {
                    assert_eq!(client.index(), 0, "the observer breaks no rule");
                    self.closing = true;
                }
            }
        }
        turn.progress()
    }
}

impl Peer for Real {
    fn open(&mut self) -> bool {
        self.connected = true;
        self.input(Input::Opened { client: ClientId::new(0), peer: Origin::Local });
        true
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.connected) {
            self.input(Input::Closed { client: ClientId::new(0) });
        }
        self.unread[0].clear();
        self.out[0].clear();
        self.closing = false;
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.receive(0, bytes);
    }

    fn out(&mut self) -> &mut VecDeque<u8> {
        &mut self.out[0]
    }

    fn wants_close(&self) -> bool {
        self.closing && self.out[0].is_empty()
    }
}
