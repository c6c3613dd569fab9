//! Scripts from seeds.

mod leaf;

use std::fmt::Write as _;

use super::house::{HOUSES, House};
use super::known;
use super::random::Random;
use super::script::{CLIENTS, LEAF, Op, Say, Script, Step};

/// The script of a seed, in a house of its own choice or in the one that is named.
pub(super) fn script(seed: u64, house: Option<usize>) -> Script {
    let mut random = Random::new(seed);
    let choice = random.below(HOUSES.len());
    let house = house.unwrap_or(choice);
    let mut author =
        Author { random, house: &HOUSES[house], messages: 0, lonely: 0, clients: [Client::GONE; CLIENTS] };
    let mut steps = Vec::new();
    for _ in 0..4 + author.random.below(24) {
        author.step(&mut steps);
    }
    Script { seed, house, steps }
}

struct Author {
    random: Random,
    house: &'static House,
    /// Messages so far: each has a number, so that it is known again.
    messages: u32,
    /// Queue groups of one member so far.
    lonely: u32,
    clients: [Client; CLIENTS],
}

#[derive(Clone, Copy)]
struct Client {
    here: bool,
    /// It asked for headers, as far as is known here.
    headers: bool,
    /// It has said who it is.
    known: bool,
}

impl Client {
    const GONE: Self = Self { here: false, headers: false, known: false };
}

const TOKENS: &[&str] = &[
    "a",
    "b",
    "c",
    "d",
    "a",
    "b",
    "foo",
    "a-token-longer-than-sixteen-bytes",
    "ü",
    "*x",
    ">y",
    "x*",
    "$x",
    "_",
];

/// Bytes that mean something to a parser.
const ODD: &[u8] = b" \t\r\n\0.*>-+\"{}:,09aA\xff\x7f";

impl Author {
    fn step(&mut self, steps: &mut Vec<Step>) {
        let who = self.random.below(CLIENTS);
        let reloads = self.house.reloads.len();
        if reloads > 0 && self.random.percent(10) {
            // Some are closed by it, and come again.
            self.clients.iter_mut().for_each(|client| client.here = false);
            return steps.push(Step::Reload(self.random.below(reloads + 1)));
        }
        let leaf = self.house.leaf && who == LEAF;
        if !self.clients[who].here {
            self.clients[who] = Client { here: true, headers: false, ..self.clients[who] };
            steps.push(Step::Open(who));
            if leaf || self.random.percent(self.house.connects) {
                let connect =
                    |author: &mut Self| if leaf { author.leaf_connect() } else { author.connect(who) };
                let mut ops = vec![connect(self)];
                while ops.iter().any(|op| known::is_deliberate(&op.bytes)) {
                    ops = vec![connect(self)];
                }
                steps.push(Step::Say(Say { who, ops, cuts: Vec::new(), last: false }));
            }
            return;
        }
        if self.random.percent(2) {
            self.clients[who] = Client::GONE;
            return steps.push(Step::Leave(who));
        }
        let last = self.random.percent(12);
        let operation = if leaf { Self::leaf_operation } else { Self::operation };
        let mut ops: Vec<Op> = (0..1 + self.random.below(4)).map(|_| operation(self, who)).collect();
        if last {
            ops.push(if leaf { self.leaf_broken() } else { self.broken(who) });
            self.clients[who] = Client::GONE;
        }
        ops.retain(|op| !known::is_deliberate(&op.bytes));
        // What comes behind an end is done by one server only, see `known::APART`.
        if leaf && let Some(end) = ops.iter().position(|op| leaf::may_end(&op.bytes)) {
            ops.truncate(end + 1);
        }
        let mut cuts = Vec::new();
        if self.random.percent(25) {
            cuts = (0..1 + self.random.below(5)).map(|_| self.random.below(1000)).collect();
            cuts.sort_unstable();
        }
        steps.push(Step::Say(Say { who, ops, cuts, last }));
    }

    fn operation(&mut self, who: usize) -> Op {
        match self.random.below(100) {
            0..=4 => self.connect(who),
            5..=34 => self.subscribe(),
            35..=46 => self.unsubscribe(),
            47..=76 => self.publish(),
            77..=88 if self.clients[who].headers => self.publish_with_header(),
            77..=88 => self.publish(),
            89..=93 => {
                let verb = self.verb("PING");
                let rest = self.random.of(&["", "", "", "xyz", " 1 2"]);
                Op { bytes: self.line(&format!("{verb}{rest}")), ping: true }
            }
            94..=95 => {
                let verb = self.verb("PONG");
                Op::new(self.line(&verb))
            }
            _ => {
                let says = self.random.of(&["+OK", "INFO {}", "+ok", "info {}", "PONG"]);
                Op::new(self.line(says))
            }
        }
    }

    fn connect(&mut self, who: usize) -> Op {
        let mut json = String::from("{");
        let mut add = |key: &str, value: &str, author: &mut Self| {
            if json.len() > 1 {
                json.push(',');
            }
            if author.random.percent(4) {
                let _ = write!(json, "\"{}\" : {value}", key.to_ascii_uppercase());
            } else {
                let _ = write!(json, "\"{key}\":{value}");
            }
        };
        for (key, often, yes) in
            [("verbose", 90, 25), ("pedantic", 85, 30), ("echo", 40, 60), ("headers", 85, 90)]
        {
            if self.random.percent(often) {
                let value = self.random.percent(yes);
                add(key, if value { "true" } else { "false" }, self);
                if key == "headers" {
                    self.clients[who].headers = value;
                }
            }
        }
        if self.random.percent(50) {
            let value = self.random.percent(80);
            add("no_responders", if value { "true" } else { "false" }, self);
        }
        if self.random.percent(60) {
            let value = self.random.of(&["0", "1", "1", "1", "1", "1", "1", "2", "-1"]);
            add("protocol", value, self);
        }
        for (key, value) in [
            ("name", "\"a name\""),
            ("lang", "\"rust\""),
            ("version", "\"1.2.3\""),
            ("later", "{\"a\":[1,2,null]}"),
            ("tls_required", "false"),
            ("sig", "\"c2ln\""),
            ("nkey", "\"UABC\""),
            ("jwt", "\"e30\""),
            ("name", "null"),
        ] {
            let free = !self.clients[who].known && self.house.reloads.is_empty();
            let whole = free || !matches!(key, "sig" | "nkey" | "jwt");
            if whole && self.random.percent(8) {
                add(key, value, self);
            }
        }
        if let Some(said) = self.credentials(who) {
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(said);
        }
        json.push('}');
        let verb = self.verb("CONNECT");
        let blank = self.random.of(&[" ", " ", " ", " ", "  ", "\t", ""]);
        Op::new(self.line(&format!("{verb}{blank}{json}")))
    }

    /// Who a client says it is; of several times, always in the same way.
    fn credentials(&mut self, who: usize) -> Option<&'static str> {
        let credentials = self.house.credentials;
        if !self.random.percent(if credentials.is_empty() { 8 } else { 95 }) {
            return None;
        }
        if credentials.is_empty() {
            return Some(self.random.of(&[
                r#""user":"u""#,
                r#""user":"u","pass":"p""#,
                r#""auth_token":"t""#,
            ]));
        }
        let known = std::mem::replace(&mut self.clients[who].known, true);
        // Most are good, so that there is something to be refused for.
        let most = if self.random.percent(85) { credentials.len().min(4) } else { credentials.len() };
        let said = credentials[self.random.below(most)];
        let whole = said.contains("pass") && said.contains("user") || said.contains("auth_token") && most < 6;
        (!known || whole).then_some(said)
    }

    fn subscribe(&mut self) -> Op {
        let subject = self.pattern();
        let number = self.number();
        let mut words = vec![self.verb("SUB"), subject];
        match self.random.below(10) {
            // `q` in the number of a subscription says that the choice of a member is the server's.
            0..=2 if self.house.any_member => {
                let group = self.random.of(&["A", "B"]);
                let name = if group == "A" { "A" } else { "a-queue-group-longer-than-sixteen-bytes" };
                words.extend([name.to_owned(), format!("q{group}{number}")]);
            }
            3 => {
                self.lonely += 1;
                words.extend([format!("alone{}", self.lonely), number.to_string()]);
            }
            4 if !self.house.once => words.push(format!("sid-longer-than-eleven-{number}")),
            _ => words.push(number.to_string()),
        }
        Op::new(self.words(&words))
    }

    /// What a client calls a subscription.
    fn number(&mut self) -> usize {
        self.random.below(if self.house.once { 1 } else { 6 })
    }

    fn unsubscribe(&mut self) -> Op {
        let number = self.number();
        let mut words = vec![self.verb("UNSUB")];
        match self.random.below(10) {
            0..=1 => {
                let group = self.random.of(&["A", "B"]);
                words.push(format!("q{group}{number}"));
            }
            2 => words.push(format!("sid-longer-than-eleven-{number}")),
            _ => {
                words.push(number.to_string());
                // Not of what comes over borders, see `known::APART`.
                if !self.house.services && self.random.percent(60) {
                    let max = self.random.of(&[
                        "0",
                        "1",
                        "1",
                        "2",
                        "2",
                        "3",
                        "4",
                        "-1",
                        "x",
                        "007",
                        "123456789",
                        "99999999999999999999",
                    ]);
                    words.push(max.to_owned());
                }
            }
        }
        Op::new(self.words(&words))
    }

    fn publish(&mut self) -> Op {
        let payload = self.payload();
        let verb = self.verb("PUB");
        let mut words = vec![verb, self.subject()];
        words.extend(self.reply());
        words.push(payload.len().to_string());
        let mut bytes = self.words(&words);
        bytes.extend_from_slice(&payload);
        bytes.extend_from_slice(b"\r\n");
        Op::new(bytes)
    }

    fn publish_with_header(&mut self) -> Op {
        let headers = [
            "NATS/1.0\r\n\r\n",
            "NATS/1.0\r\nA: 1\r\n\r\n",
            "NATS/1.0\r\nA: 1\r\nA: 2\r\nb:  3 \r\n\r\n",
            "NATS/1.0 503\r\n\r\n",
            "no header at all",
            "",
        ];
        // To a service goes only what is a header block, see `known::APART`.
        let header = self.random.of(if self.house.services { &headers[..4] } else { &headers });
        let payload = self.payload();
        let verb = self.verb("HPUB");
        let mut words = vec![verb, self.subject()];
        words.extend(self.reply());
        words.extend([header.len().to_string(), (header.len() + payload.len()).to_string()]);
        let mut bytes = self.words(&words);
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&payload);
        bytes.extend_from_slice(b"\r\n");
        Op::new(bytes)
    }

    fn payload(&mut self) -> Vec<u8> {
        self.messages += 1;
        let mut payload = format!("m{}", self.messages).into_bytes();
        match self.random.below(40) {
            0 => payload.clear(),
            1 => payload.extend_from_slice(b"\r\nPUB a 1\r\n\0\xff"),
            2 => payload.resize(self.house.payload, b'.'),
            3 => payload.resize(self.house.payload.min(70_000), b'.'),
            4 => payload.resize(self.house.payload.min(5_000), b'.'),
            _ => {}
        }
        payload
    }

    fn tokens(&mut self) -> String {
        let mut subject = String::from(self.random.of(self.house.roots));
        for _ in 0..1 + self.random.below(3) {
            subject.push('.');
            let most = if self.random.percent(75) { 4 } else { TOKENS.len() };
            subject.push_str(self.token(most));
        }
        subject
    }

    /// One of the first `most`.
    fn token(&mut self, most: usize) -> &'static str {
        let token = TOKENS[self.random.below(most)];
        // What is like a wildcard is one to imports, see `known::APART`.
        if self.house.services && token.starts_with(['*', '>']) { "a" } else { token }
    }

    /// What is published to, seldom what may not be.
    fn subject(&mut self) -> String {
        match self.random.below(40) {
            0 => self.pattern(),
            1 => self.mistaken(),
            2 => self.edge(),
            3..=8 if self.house.any_member => self.inbox(),
            3..=9 if !self.house.any_member => self.asked_inbox(),
            10..=16 if !self.house.any_member => "&".to_owned(),
            _ => self.tokens(),
        }
    }

    /// What is subscribed to, seldom what may not be.
    fn pattern(&mut self) -> String {
        match self.random.below(30) {
            0 => return self.mistaken(),
            1 => return self.edge(),
            2..=3 => return self.inbox(),
            4..=5 if self.house.any_member => return self.inbox(),
            4..=6 if !self.house.any_member => return "%.own.*".to_owned(),
            _ => {}
        }
        // Plays follow each other, so that even these hear only their own.
        let mut pattern = String::from(self.random.of(&["%", "%", "%", "%", "%", "%", "%", "*", ">"]));
        if pattern == ">" && self.house.credentials.is_empty() {
            return pattern;
        }
        if pattern == "%" {
            pattern = String::from(self.random.of(self.house.roots));
        }
        if !self.house.credentials.is_empty() && pattern != "far.%" {
            // Refused credentials are an event in nats-server's accounts, and would be counted by UNSUB.
            pattern = String::from("%");
        }
        for _ in 0..1 + self.random.below(3) {
            pattern.push('.');
            match self.random.below(10) {
                0..=2 => pattern.push('*'),
                3 => {
                    pattern.push('>');
                    return pattern;
                }
                _ => pattern.push_str(self.token(TOKENS.len())),
            }
        }
        pattern
    }

    fn mistaken(&mut self) -> String {
        self.random
            .of(&[
                "%..a",
                "%.",
                ".%",
                "%.>.a",
                "%.a..",
                ".",
                "..",
                "%.*.>.b",
                "%.a.",
                "%.a\u{c}b",
                "%.a\u{7f}",
            ])
            .to_owned()
    }

    /// About as long as a line may be.
    fn edge(&mut self) -> String {
        // What a reload has to judge anew is shorter, see `known::APART`.
        let longest = if self.house.reloads.is_empty() { self.house.control_line } else { 200 };
        let length = (longest + self.random.below(24)).saturating_sub(30);
        format!("%.{}", "e".repeat(length))
    }

    fn inbox(&mut self) -> String {
        format!("%.inbox.{}", self.random.below(3))
    }

    /// Where a request is answered, once: see `known::APART`.
    fn own_inbox(&mut self) -> String {
        format!("%.own.{}", self.messages)
    }

    /// Where one of the last requests is answered.
    fn asked_inbox(&mut self) -> String {
        format!("%.own.{}", (self.messages as usize + 1).saturating_sub(self.random.below(6)))
    }

    fn reply(&mut self) -> Option<String> {
        Some(match self.random.below(20) {
            0..=11 if !self.house.any_member => self.own_inbox(),
            0..=8 => self.inbox(),
            9 => self.random.of(&["_R_.%", "$JS.ACK.%", "_GR_.%", "_R_", "_INBOX.%", "$JS.API.%"]).to_owned(),
            10 => self.mistaken(),
            11 => "%.inbox.*".to_owned(),
            _ => return None,
        })
    }

    /// What may break the stream, or leave it in the middle of something.
    fn broken(&mut self, who: usize) -> Op {
        let bytes = match self.random.below(10) {
            0 => self.random.of(WRONG).replace("MAX", &(self.house.payload + 1).to_string()).into_bytes(),
            1 => self.random.of(WRONG).replace("MAX", &self.house.payload.to_string()).into_bytes(),
            2 => (0..1 + self.random.below(30)).map(|_| self.random.below(256) as u8).collect(),
            3 => {
                let mut bytes = self.edge().into_bytes();
                bytes.splice(..0, *b"SUB ");
                bytes
            }
            _ => self.mutated(who),
        };
        Op::new(bytes)
    }

    /// A good operation with a few bytes changed, cut out, or put in.
    fn mutated(&mut self, who: usize) -> Vec<u8> {
        let mut bytes = self.operation(who).bytes;
        // A member that changes its number or its group could not be recognised.
        if bytes.windows(2).any(|pair| matches!(pair, b"qA" | b"qB")) {
            bytes = self.publish().bytes;
        }
        // One that says who it is in part would be refused by one server only, see `known::APART`.
        if self.clients[who].known && matches!(bytes.first(), Some(b'C' | b'c')) {
            bytes = self.publish().bytes;
        }
        for _ in 0..1 + self.random.below(3) {
            let at = self.random.below(bytes.len().min(200));
            let odd = ODD[self.random.below(ODD.len())];
            let byte = if self.random.percent(50) { odd } else { self.random.below(256) as u8 };
            match self.random.below(3) {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
            if bytes.is_empty() {
                bytes.push(byte);
            }
        }
        bytes
    }

    /// A verb, seldom in other letters.
    fn verb(&mut self, verb: &str) -> String {
        match self.random.below(12) {
            0 => verb.to_ascii_lowercase(),
            1 => verb
                .chars()
                .map(|c| if self.random.percent(50) { c.to_ascii_lowercase() } else { c })
                .collect(),
            _ => verb.to_owned(),
        }
    }

    /// Words with blanks between them, seldom other ones than a space.
    fn words(&mut self, words: &[String]) -> Vec<u8> {
        let odd = self.random.percent(10);
        let mut line = String::new();
        for (index, word) in words.iter().enumerate() {
            if index > 0 {
                line.push_str(if odd { self.random.of(&[" ", "\t", "  ", " \t "]) } else { " " });
            }
            line.push_str(word);
        }
        if odd {
            line.push_str(self.random.of(&["", " ", "\t", "   "]));
        }
        self.line(&line)
    }

    fn line(&mut self, text: &str) -> Vec<u8> {
        let end = if self.random.percent(5) { "\n" } else { "\r\n" };
        format!("{text}{end}").into_bytes()
    }
}

/// Lines that are wrong in known ways, or good at the edge of it. `MAX` is a number at the edge.
const WRONG: &[&str] = &[
    "\r\n",
    " PING\r\n",
    "FOO\r\n",
    "PUB %.a\r\n",
    "PUB %.a b c 1\r\nx\r\n",
    "PUB %.a -1\r\n",
    "PUB %.a +1\r\nx\r\n",
    "PUB %.a 1.0\r\nx\r\n",
    "PUB %.a 0001\r\nx\r\n",
    "PUB %.a 1234567890\r\n",
    "PUB %.a 99999999999999999999\r\n",
    "PUB %.a MAX\r\n",
    "PUB %.a 3\r\nabcd\r\n",
    "PUB %.a 3\r\nab\r\n",
    "PUB %.a 3\r\nabc\n",
    "PUB %.a 3\r\nabcx\n",
    "HPUB %.a 5 3\r\nabc\r\n",
    "HPUB %.a 3\r\nabc\r\n",
    "HPUB %.a 3 MAX\r\n",
    "HPUB %.a -1 3\r\nabc\r\n",
    "HPUB %.a 0 3\r\nabc\r\n",
    "HPUB %.a b c 1 3\r\nabc\r\n",
    "HPUB %.a 12 12\r\nNATS/1.0\r\n\r\n\r\n",
    "SUB %.a\r\n",
    "SUB %.a b 1 2\r\n",
    "UNSUB 1 2 3\r\n",
    "MSG %.a 1 1\r\nx\r\n",
    "HMSG %.a 1 1 1\r\nx\r\n",
    "RS+ $G %.a\r\n",
    "RMSG $G %.a 1\r\nx\r\n",
    "LS+ %.a\r\n",
    "LMSG %.a 1\r\nx\r\n",
    "A+ $G\r\n",
    "A- $G\r\n",
    "-ERR 'x'\r\n",
    "-ERR x\r\n",
    "-err\r\n",
    "INFO\r\n",
    "INFO x\r\n",
    "CONNECT\r\n",
    "CONNECT {\r\n",
    "CONNECT {}x\r\n",
    "CONNECT []\r\n",
    "CONNECT null\r\n",
    "CONNECT {\"verbose\":\"yes\"}\r\n",
    "CONNECT {\"protocol\":1.5}\r\n",
    "CONNECT {\"protocol\":\"1\"}\r\n",
    "CONNECT {\"name\":1}\r\n",
    "CONNECT {\"name\":\"\\ud800\"}\r\n",
    "CONNECT {\"no_responders\":true,\"headers\":false}\r\n",
    "CONNECT {\"account\":\"x\"}\r\n",
    "CONNECT {\"account\":\"x\",\"new_account\":true}\r\n",
    "CONNECT {\"tls_required\":true}\r\n",
    "CONNECTED {}\r\n",
    "CONNECTx{}\r\n",
    "PINGPING\r\n",
    "PIN\r\n",
    "PUBx 1\r\n",
    "SUBx 1\r\n",
    "+OKx\r\n",
    "+\r\n",
    "-\r\n",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_script() {
        let said = |seed| script(seed, None).to_string();
        assert_eq!(said(7), said(7));
        assert_ne!(said(7), said(8));
    }
}
