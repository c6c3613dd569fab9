//! What is said to both servers.

use std::fmt;

/// Connections of a script.
pub(super) const CLIENTS: usize = 4;

/// Where this byte stands, a play puts a subject token of its own, so that no play hears another.
pub(super) const PREFIX: u8 = b'%';

/// Where this byte stands, a play puts the reply that its connection was told last, on each server its own.
pub(super) const REPLY: u8 = b'&';

/// The one that is a leaf node, in a house that has them.
pub(super) const LEAF: usize = CLIENTS - 1;

/// Steps, each of which both servers have answered before the next one begins.
#[derive(Clone)]
pub(super) struct Script {
    pub(super) seed: u64,
    /// The configuration of the servers: an index into `house::HOUSES`.
    pub(super) house: usize,
    pub(super) steps: Vec<Step>,
}

#[derive(Clone)]
pub(super) enum Step {
    /// Connects and waits for `INFO`.
    Open(usize),
    Say(Say),
    /// Both servers read the house's configuration of that number.
    Reload(usize),
    /// Ends a connection.
    Leave(usize),
}

/// Operations said in one go, and a `PING` behind them.
#[derive(Clone)]
pub(super) struct Say {
    pub(super) who: usize,
    pub(super) ops: Vec<Op>,
    /// Where the bytes are cut into writes, in thousandths of their number.
    pub(super) cuts: Vec<usize>,
    /// Whether the stream may be out of step afterwards: the connection is then ended, and what it was
    /// answered until then is compared.
    pub(super) last: bool,
}

#[derive(Clone)]
pub(super) struct Op {
    pub(super) bytes: Vec<u8>,
    /// It is answered `PONG`.
    pub(super) ping: bool,
}

impl Op {
    pub(super) fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), ping: false }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} in house `{}`:", self.seed, super::house::HOUSES[self.house].name)?;
        for step in &self.steps {
            match step {
                Step::Open(who) => writeln!(f, "  {who} connects")?,
                Step::Leave(who) => writeln!(f, "  {who} leaves")?,
                Step::Reload(config) => writeln!(f, "  configuration {config} is loaded")?,
                Step::Say(say) => {
                    writeln!(f, "  {} says", say.who)?;
                    for op in &say.ops {
                        writeln!(f, "    {}", shown(&op.bytes))?;
                    }
                    if !say.cuts.is_empty() {
                        writeln!(f, "    cut at {:?} thousandths", say.cuts)?;
                    }
                    if say.last {
                        writeln!(f, "    and ends its side")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Bytes as a person can read them, long ones in part.
pub(super) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 400;
    let text = bytes.get(..MOST).unwrap_or(bytes).escape_ascii().to_string();
    if bytes.len() > MOST { format!("\"{text}\" … {} bytes", bytes.len()) } else { format!("\"{text}\"") }
}
