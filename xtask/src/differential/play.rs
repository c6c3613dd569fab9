//! One script, played on both servers in step.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::house::{NAMES, Pair};
use super::script::{CLIENTS, LEAF, PREFIX, REPLY, Say, Script, Step};
use super::transcript::{Item, Transcript};
use super::wire::Wire;

/// How long a `PONG` may take before both connections are ended to see what there is.
const ANSWER: Duration = Duration::from_secs(2);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Plays `script`; `play` is a number of its own. Answers where the servers differ, empty if they do not.
pub(super) fn play(pair: &mut Pair, script: &Script, play: u32) -> Result<String> {
    let prefix = format!("d{play:07x}");
    let mut stage = Stage { pair, prefix, clients: Default::default(), over: [const { Vec::new() }; 2] };
    for step in &script.steps {
        match step {
            Step::Open(who) => stage.open(*who)?,
            Step::Say(say) => stage.say(say)?,
            Step::Reload(config) => stage.reload(*config)?,
            Step::Leave(who) => stage.leave(*who)?,
        }
    }
    // A leaf node first: what it knows to be wanted is then what is.
    for who in (0..CLIENTS).rev() {
        stage.leave(who)?;
    }
    stage.pair.load(0)?;
    let Stage { over: [ours, theirs], prefix, .. } = stage;
    let [ours, theirs] = [ours, theirs].map(|items| Transcript::new(items, &prefix));
    let reloaded = script.steps.iter().any(|step| matches!(step, Step::Reload(_)));
    Ok(Transcript::difference(&ours, &theirs, NAMES, reloaded))
}

struct Stage<'p> {
    pair: &'p mut Pair,
    prefix: String,
    /// By number; a connection on each server.
    clients: [Option<[Wire; 2]>; CLIENTS],
    /// What was said on connections that have ended, by server.
    over: [Vec<Vec<Item>>; 2],
}

impl Stage<'_> {
    fn open(&mut self, who: usize) -> Result<()> {
        if self.clients[who].is_some() {
            return Ok(());
        }
        let [ours, theirs] = self.pair.servers.each_ref().map(|server| match server.leaves {
            Some(leaves) if who == LEAF => Wire::open(leaves, true),
            _ => Wire::open(server.address, false),
        });
        let mut wires = [ours?, theirs?];
        for (wire, name) in wires.iter_mut().zip(NAMES) {
            if !wire.read_until(Instant::now() + PATIENCE, |wire| !wire.items.is_empty())? {
                bail!("{name} does not greet");
            }
        }
        self.clients[who] = Some(wires);
        Ok(())
    }

    fn say(&mut self, say: &Say) -> Result<()> {
        let Some(wires) = &mut self.clients[say.who] else { return Ok(()) };
        let connects = say.ops.first().is_some_and(|op| matches!(op.bytes.first(), Some(b'C' | b'c')));
        if wires[0].to_leaf && wires.iter().any(Wire::is_stranger) != connects {
            return Ok(());
        }
        let pings = 1 + say.ops.iter().filter(|op| op.ping).count();
        let want = [0, 1].map(|side| wires[side].pongs + pings);
        for wire in wires.iter_mut() {
            let reply =
                wire.asked().map_or_else(|| [self.prefix.as_bytes(), b".none"].concat(), <[u8]>::to_vec);
            let mut bytes = Vec::new();
            for byte in say.ops.iter().flat_map(|op| &op.bytes) {
                match *byte {
                    PREFIX => bytes.extend_from_slice(self.prefix.as_bytes()),
                    REPLY => bytes.extend_from_slice(&reply),
                    byte => bytes.push(byte),
                }
            }
            bytes.extend_from_slice(b"PING\r\n");
            wire.say(&bytes, &say.cuts);
            if say.last {
                wire.leave();
            }
        }
        if say.last {
            return self.end(say.who);
        }
        let heard = hear(wires, want)?;
        if !heard || wires.iter().any(|wire| wire.ended) {
            self.leave(say.who)?;
        }
        self.settle(say.who)
    }

    fn reload(&mut self, config: usize) -> Result<()> {
        self.pair.load(config)?;
        self.settle(CLIENTS)
    }

    /// Until everybody else has what came of it.
    fn settle(&mut self, but: usize) -> Result<()> {
        for who in (0..CLIENTS).filter(|who| *who != but) {
            let Some(wires) = &mut self.clients[who] else { continue };
            if wires.iter().any(Wire::is_stranger) {
                continue;
            }
            let want = [0, 1].map(|side| wires[side].pongs + 1);
            wires.iter_mut().for_each(|wire| wire.say(b"PING\r\n", &[]));
            if !hear(wires, want)? || wires.iter().any(|wire| wire.ended) {
                self.leave(who)?;
            }
        }
        Ok(())
    }

    fn leave(&mut self, who: usize) -> Result<()> {
        if let Some(wires) = &mut self.clients[who] {
            wires.iter_mut().for_each(Wire::leave);
            self.end(who)?;
        }
        Ok(())
    }

    fn end(&mut self, who: usize) -> Result<()> {
        let Some(mut wires) = self.clients[who].take() else { return Ok(()) };
        for ((wire, name), over) in wires.iter_mut().zip(NAMES).zip(&mut self.over) {
            if !wire.read_until(Instant::now() + PATIENCE, |_| false)? {
                bail!("{name} does not close a connection whose other side has ended");
            }
            over.push(std::mem::take(&mut wire.items));
        }
        self.settle(who)
    }
}

/// True if both sides have so many `PONG`s or an end.
fn hear(wires: &mut [Wire; 2], want: [usize; 2]) -> Result<bool> {
    let deadline = Instant::now() + ANSWER;
    let mut heard = true;
    for (wire, want) in wires.iter_mut().zip(want) {
        heard &= wire.read_until(deadline, |wire| wire.pongs >= want)?;
    }
    Ok(heard)
}
