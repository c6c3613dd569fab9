//! `cargo xtask differential`: the same random scripts against natsd and nats-server, answers compared.
//!
//! Connections are raw. Each step of a script is answered by both servers before the next one begins, by a
//! `PING` of whoever spoke and then of everybody else, so that what is compared depends on nobody's speed: what
//! each connection was told, in order, but for the order of one message's copies and the choice of a queue
//! group's member. What is meant to differ is listed in `known.rs`.

mod generate;
mod house;
mod known;
mod play;
pub(crate) mod random;
mod script;
mod shrink;
mod transcript;
mod wire;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::house::{HOUSES, Pair};
use self::script::Script;
use crate::peers;
use crate::server::Natsd;

/// How many scripts, or how long.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Amount {
    Seeds(u64),
    Time(Duration),
}

/// What is played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) amount: Amount,
    /// Of the first script; each next one has the next.
    pub(crate) seed: u64,
    /// Only this one of the [`HOUSES`].
    pub(crate) house: Option<usize>,
}

/// What a run found.
pub(crate) struct Findings {
    pub(crate) scripts: u64,
    pub(crate) time: Duration,
    /// Each with the script that shows it.
    pub(crate) differences: Vec<String>,
}

/// More are not looked for: they are likely to be one.
const MOST_FINDINGS: usize = 5;

/// Plays scripts. `natsd` is the program under its own name; without it nats-server is compared
/// with itself, which shows what the comparison gets wrong.
pub(crate) fn compare(natsd: Option<&Path>, plan: Plan, progress: impl Fn(&str)) -> Result<Findings> {
    let nats_server = peers::nats_server()?;
    let mut theatre = Theatre { natsd: natsd.map(Path::to_owned), nats_server, pairs: Vec::new(), plays: 0 };
    let begin = Instant::now();
    let mut findings = Findings { scripts: 0, time: Duration::ZERO, differences: Vec::new() };
    let mut said = begin;
    let more = |findings: &Findings| match plan.amount {
        Amount::Seeds(seeds) => findings.scripts < seeds,
        Amount::Time(time) => begin.elapsed() < time,
    };
    while more(&findings) && findings.differences.len() < MOST_FINDINGS {
        let script = generate::script(plan.seed.wrapping_add(findings.scripts), plan.house);
        findings.scripts += 1;
        let difference = theatre.play(&script).with_context(|| format!("while playing {script}"))?;
        if !difference.is_empty() {
            let finding = theatre.explain(script, difference)?;
            progress(&finding);
            findings.differences.push(finding);
        }
        if said.elapsed() > Duration::from_secs(30) {
            said = Instant::now();
            progress(&format!("{} scripts, {} differences", findings.scripts, findings.differences.len()));
        }
    }
    findings.time = begin.elapsed();
    Ok(findings)
}

/// The place of a house among all.
pub(crate) fn house(name: &str) -> Result<usize> {
    HOUSES.iter().position(|house| house.name == name).with_context(|| {
        let names: Vec<&str> = HOUSES.iter().map(|house| house.name).collect();
        format!("no house {name}; there are {}", names.join(" "))
    })
}

/// `cargo xtask differential`. True if there is no difference.
pub(crate) fn run(itself: bool, plan: Plan) -> Result<bool> {
    let natsd = if itself { None } else { Some(Natsd::build()?) };
    let findings = compare(natsd.as_ref().map(Natsd::program), plan, |line| println!("{line}"))?;
    let seconds = findings.time.as_secs_f64();
    println!(
        "{} scripts from seed {} in {seconds:.0} s ({:.0} an hour): {} differences",
        findings.scripts,
        plan.seed,
        findings.scripts as f64 / seconds * 3600.0,
        findings.differences.len()
    );
    for known in known::DELIBERATE {
        println!("left out: {}", known.why);
    }
    known::APART.iter().for_each(|why| println!("left out: {why}"));
    Ok(findings.differences.is_empty())
}

/// The servers of all houses, each started when it is first needed.
struct Theatre {
    natsd: Option<PathBuf>,
    nats_server: PathBuf,
    pairs: Vec<Option<Pair>>,
    plays: u32,
}

impl Theatre {
    fn play(&mut self, script: &Script) -> Result<String> {
        self.plays += 1;
        if self.pairs.len() <= script.house {
            self.pairs.resize_with(HOUSES.len(), || None);
        }
        let place = &mut self.pairs[script.house];
        let pair = match place {
            Some(pair) => pair,
            None => {
                place.insert(Pair::start(&HOUSES[script.house], self.natsd.as_deref(), &self.nats_server)?)
            }
        };
        let difference = play::play(pair, script, self.plays)?;
        if pair.servers.iter_mut().any(house::Running::has_ended) {
            bail!("a server has ended:\n{script}");
        }
        Ok(difference)
    }

    /// The least script that shows the difference, and the difference; the first one if it does not show again.
    fn explain(&mut self, script: Script, first: String) -> Result<String> {
        const PLAYS: usize = 5;
        let mut shows = 0;
        for _ in 0..PLAYS {
            shows += usize::from(!self.play(&script)?.is_empty());
        }
        let seed = script.seed;
        let least = if shows == PLAYS {
            shrink::shrink(script, |script| Ok(!self.play(script)?.is_empty()))?
        } else {
            script
        };
        let mut difference = first;
        for _ in 0..PLAYS {
            let again = self.play(&least)?;
            if !again.is_empty() {
                difference = again;
                break;
            }
        }
        Ok(format!("DIFFERENCE (seed {seed}, in {shows} of {PLAYS} further plays)\n{least}{difference}"))
    }
}
