//! A naive server for one client: everything in vectors, nothing clever. It keeps what it executed.

use std::collections::VecDeque;

use super::Peer;
use lunix_proto::nats::{ClientDecoder, ClientOp, Limits, encode, subject};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sub {
    pub(crate) subject: String,
    pub(crate) queue: Option<String>,
    pub(crate) sid: String,
    pub(crate) max: Option<u64>,
    pub(crate) count: u64,
}

/// A message that the server executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Executed {
    pub(crate) subject: String,
    pub(crate) reply: Option<String>,
    pub(crate) header: String,
    pub(crate) payload: String,
}

pub(crate) struct Server {
    pub(crate) info: String,
    /// Refuses connections while false.
    pub(crate) listening: bool,
    pub(crate) subs: Vec<Sub>,
    pub(crate) executed: Vec<Executed>,
    pub(crate) connects: Vec<String>,
    pub(crate) pings: usize,
    pub(crate) out: VecDeque<u8>,
    /// Said instead of a PONG to the first PING; the connection ends then.
    pub(crate) refuse_with: Option<&'static str>,
    closing: bool,
    decoder: ClientDecoder,
    input: Vec<u8>,
}

impl Peer for Server {
    fn open(&mut self) -> bool {
        if self.listening {
            let info = format!("INFO {} \r\n", self.info);
            self.say(&info);
        }
        self.listening
    }

    fn close(&mut self) {
        self.subs.clear();
        self.input.clear();
        self.out.clear();
        self.closing = false;
        self.decoder = ClientDecoder::new(Limits::default());
    }

    fn wants_close(&self) -> bool {
        self.closing && self.out.is_empty()
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.input.extend(bytes);
        loop {
            let input = std::mem::take(&mut self.input);
            match self.decoder.decode(&input) {
                Ok(Some((op, length))) => {
                    self.execute(op);
                    self.input = input[length..].to_vec();
                }
                Ok(None) => {
                    self.input = input;
                    return;
                }
                Err(error) => panic!("the client broke the protocol: {error:?} in {input:?}"),
            }
        }
    }

    fn out(&mut self) -> &mut VecDeque<u8> {
        &mut self.out
    }
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            info: "{\"server_id\":\"x\",\"version\":\"2.11.0\",\"proto\":1,\"headers\":true,\
                   \"max_payload\":4096}"
                .to_owned(),
            listening: true,
            subs: Vec::new(),
            executed: Vec::new(),
            connects: Vec::new(),
            pings: 0,
            out: VecDeque::new(),
            refuse_with: None,
            closing: false,
            decoder: ClientDecoder::new(Limits::default()),
            input: Vec::new(),
        }
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.out.extend(text.as_bytes());
    }

    /// As if another client had published.
    pub(crate) fn inject(&mut self, name: &str, reply: Option<&str>, payload: &str) {
        self.deliver(name.as_bytes(), reply.map(str::as_bytes), b"", payload.as_bytes());
    }

    fn execute(&mut self, op: ClientOp<'_>) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match op {
            ClientOp::Connect(json) => self.connects.push(text(json)),
            ClientOp::Ping => {
                self.pings += 1;
                if let Some(error) = self.refuse_with {
                    self.say(&format!("-ERR '{error}'\r\n"));
                    self.closing = true;
                } else {
                    self.say("PONG\r\n");
                }
            }
            ClientOp::Pub(message) | ClientOp::HPub(message) => {
                self.executed.push(Executed {
                    subject: text(message.subject),
                    reply: message.reply.map(text),
                    header: text(message.header()),
                    payload: text(message.payload()),
                });
                let delivered =
                    self.deliver(message.subject, message.reply, message.header(), message.payload());
                if let Some(reply) = message.reply
                    && delivered == 0
                {
                    self.deliver(reply, None, b"NATS/1.0 503\r\n\r\n", b"");
                }
            }
            ClientOp::Sub { subject, queue, sid } => {
                let sid = text(sid);
                assert!(self.subs.iter().all(|sub| sub.sid != sid), "sid {sid} twice");
                let sub = Sub { subject: text(subject), queue: queue.map(text), sid, max: None, count: 0 };
                self.subs.push(sub);
            }
            ClientOp::Unsub { sid, max } => {
                let sid = text(sid);
                match max {
                    None => self.subs.retain(|sub| sub.sid != sid),
                    Some(max) => {
                        for sub in self.subs.iter_mut().filter(|sub| sub.sid == sid) {
                            sub.max = Some(max);
                        }
                        self.subs.retain(|sub| sub.max.is_none_or(|max| sub.count < max));
                    }
                }
            }
            ClientOp::Pong | ClientOp::Info(_) | ClientOp::Ok | ClientOp::Err(_) => {}
        }
    }

    fn deliver(&mut self, name: &[u8], reply: Option<&[u8]>, header: &[u8], payload: &[u8]) -> usize {
        let mut delivered = 0;
        for sub in &mut self.subs {
            if !subject::matches(sub.subject.as_bytes(), name) {
                continue;
            }
            let mut bytes = vec![0; 256 + name.len() + header.len() + payload.len()];
            let length =
                encode::message(&mut bytes, name, sub.sid.as_bytes(), reply, header, payload).unwrap();
            self.out.extend(&bytes[..length]);
            sub.count += 1;
            delivered += 1;
        }
        self.subs.retain(|sub| sub.max.is_none_or(|max| sub.count < max));
        delivered
    }
}
