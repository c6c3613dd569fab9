//! What a leaf node says.

use super::{Author, ODD};
use crate::differential::script::Op;

impl Author {
    pub(super) fn leaf_connect(&mut self) -> Op {
        let headers = self.random.of(&["true", "true", "true", "false"]);
        let more = self.random.of(&[
            "",
            "",
            "",
            "",
            ",\"is_hub\":true",
            ",\"deny_pub\":[\"%.b.>\"]",
            ",\"protocol\":1",
        ]);
        let json = format!(
            "{{\"name\":\"leaf-%\",\"cluster\":\"leaf-%\",\"server_id\":\"L%\",\"version\":\"2.15.1\",\"headers\":{headers}{more}}}"
        );
        Op::new(self.line(&format!("CONNECT {json}")))
    }

    pub(super) fn leaf_operation(&mut self, _: usize) -> Op {
        match self.random.below(100) {
            0..=19 => {
                let words = ["LS+".to_owned(), self.pattern()];
                Op::new(self.words(&words))
            }
            20..=34 => {
                let weight = 1 + self.random.below(3);
                let words = ["LS+".to_owned(), self.pattern(), self.group(), weight.to_string()];
                Op::new(self.words(&words))
            }
            35..=44 => {
                let mut words = vec!["LS-".to_owned(), self.pattern()];
                if self.random.percent(40) {
                    words.push(self.group());
                }
                Op::new(self.line(&words.join(" ")))
            }
            45..=89 => self.leaf_message(),
            90..=95 => Op { bytes: self.line("PING"), ping: true },
            96..=97 => Op::new(self.line("PONG")),
            _ => Op::new(self.line("+OK")),
        }
    }

    fn group(&mut self) -> String {
        self.random.of(&["A", "a-queue-group-longer-than-sixteen-bytes", "leafs"]).to_owned()
    }

    fn leaf_message(&mut self) -> Op {
        let payload = self.payload();
        let header = if self.random.percent(30) { "NATS/1.0\r\nA: 1\r\n\r\n" } else { "" };
        let mut words = vec![if header.is_empty() { "LMSG" } else { "HMSG" }.to_owned(), self.subject()];
        let queues: Vec<String> = (0..self.random.below(3)).map(|_| self.group()).collect();
        match (self.reply(), queues.is_empty()) {
            (Some(reply), true) => words.push(reply),
            (Some(reply), false) => words.extend(["+".to_owned(), reply]),
            (None, true) => {}
            (None, false) => words.push("|".to_owned()),
        }
        words.extend(queues);
        if !header.is_empty() {
            words.push(header.len().to_string());
        }
        words.push((header.len() + payload.len()).to_string());
        let mut bytes = self.words(&words);
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&payload);
        bytes.extend_from_slice(b"\r\n");
        Op::new(bytes)
    }

    /// A good operation with a byte changed, or a line that is wrong in a known way.
    pub(super) fn leaf_broken(&mut self) -> Op {
        if self.random.percent(40) {
            return Op::new(self.random.of(WRONG).as_bytes());
        }
        let mut bytes = self.leaf_operation(0).bytes;
        let at = self.random.below(bytes.len().min(200));
        bytes[at] = ODD[self.random.below(ODD.len())];
        Op::new(bytes)
    }
}

/// Whether a leaf node is closed for this if it has said that it publishes nothing to `%.b.>`.
pub(super) fn may_end(op: &[u8]) -> bool {
    let mut words = op.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.next().is_some_and(|verb| verb.eq_ignore_ascii_case(b"LS+"))
        && words.next().is_some_and(|subject| subject.starts_with(b"%.b"))
}

const WRONG: &[&str] = &[
    "\r\n",
    "FOO\r\n",
    "MSG %.a 1 1\r\nx\r\n",
    "LS+\r\n",
    "LS+ %.a A\r\n",
    "LS+ %.a A x\r\n",
    "LS+ %.a A -1\r\n",
    "LS+ %.a A 1 2\r\n",
    "LS-\r\n",
    "LS- %.not\r\n",
    "LMSG %.a\r\n",
    "LMSG %.a x\r\n",
    "LMSG %.a -1\r\n",
    "LMSG %.a 1234567890\r\n",
    "LMSG %.a 3\r\nabcd\r\n",
    "LMSG %.a + 1\r\nx\r\n",
    "LMSG %.a + r 1\r\nx\r\n",
    "LMSG %.a | 1\r\nx\r\n",
    "LMSG %.a r A 1\r\nx\r\n",
    "LMSG %.a 1048577\r\n",
    "HMSG %.a 5 3\r\nabc\r\n",
    "HMSG %.a 3\r\nabc\r\n",
    "HMSG %.a 0 3\r\nabc\r\n",
    "HMSG %.a r 3 3\r\nabc\r\n",
    "INFO {}\r\n",
];
