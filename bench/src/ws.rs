//! `ws`: natsws before natsd beside nats-server's own WebSockets, and natsd without any, in the same run.
//!
//! Of natsws, processor time is that of natsd behind it, too: both together do what nats-server does in one process.

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::broker::process::{Kind, Process, Program};
use crate::broker::table::{self, Table};
use crate::broker::wire::Wire;
use crate::broker::{bytes, echo, flood, rest};

const USAGE: &str = "usage: lunix-bench ws [--quick] [--rounds N] --natsws PATH --natsd PATH [--nats-server NAME=PATH]... [ROW]...\n\
    A ROW is a part of a row's name: '1:1', '16 B', 'request', 'idle', 'connect'; several must all be in it.";

/// What to measure, and how long.
struct Plan {
    programs: Vec<Program>,
    rounds: usize,
    time: Duration,
    rows: Vec<String>,
    /// Connections that are held.
    held: usize,
}

/// Reads the arguments and measures.
pub fn run(args: &[String]) -> io::Result<()> {
    let Some(plan) = Plan::new(args) else { return Err(io::Error::new(io::ErrorKind::InvalidInput, USAGE)) };
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    plan.floods()?;
    plan.requests()?;
    plan.connects()?;
    plan.idle(limit.maximum)
}

impl Plan {
    fn new(args: &[String]) -> Option<Self> {
        let (mut natsws, mut natsd) = (None, None);
        let mut servers = Vec::new();
        let mut plan = Self {
            programs: Vec::new(),
            rounds: 7,
            time: Duration::from_millis(500),
            rows: Vec::new(),
            held: 10_000,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--quick" => (plan.rounds, plan.time, plan.held) = (3, Duration::from_millis(200), 1000),
                "--rounds" => plan.rounds = args.next()?.parse().ok()?,
                "--natsws" => natsws = Some(PathBuf::from(args.next()?)),
                "--natsd" => natsd = Some(PathBuf::from(args.next()?)),
                "--nats-server" => servers.push(args.next()?.split_once('=')?),
                flag if flag.starts_with('-') => return None,
                row => plan.rows.push(row.to_owned()),
            }
        }
        let (natsws, natsd) = (natsws?, natsd?);
        let mut add = |name: &str, path: PathBuf, kind, natsd| {
            plan.programs.push(Program { name: name.to_owned(), path, kind, natsd });
        };
        for (name, unix) in [("natsws, TCP", false), ("natsws, UNIX", true)] {
            add(name, natsws.clone(), Kind::Natsws { unix }, Some(natsd.clone()));
        }
        for (name, path) in servers {
            add(&format!("nats-server {name}"), path.into(), Kind::NatsServerWeb, None);
        }
        add("natsd without WebSocket", natsd, Kind::Natsd, None);
        Some(plan)
    }

    fn wanted(&self, row: &str) -> bool {
        self.rows.iter().all(|part| row.contains(part.as_str()))
    }

    /// Samples of all programs, which take turns.
    fn turns<T>(&self, mut turn: impl FnMut(&Process, &Program) -> io::Result<T>) -> io::Result<Vec<Vec<T>>> {
        let processes: Vec<Process> =
            self.programs.iter().map(|program| Process::start(program, false)).collect::<io::Result<_>>()?;
        let mut samples: Vec<Vec<T>> = self.programs.iter().map(|_| Vec::new()).collect();
        for round in 0..self.rounds {
            for step in 0..processes.len() {
                let index = (step + round) % processes.len();
                let program = &self.programs[index];
                let sample = turn(&processes[index], program)
                    .map_err(|error| io::Error::other(format!("{}: {error}", program.name)))?;
                samples[index].push(sample);
            }
        }
        Ok(samples)
    }

    /// Rows of medians, and of their ratios to the first program's; a ratio above 1 says that the first does better.
    fn fill<const N: usize>(&self, table: &mut Table, name: &str, samples: &[Vec<[f64; N]>], more: bool) {
        for (program, theirs) in self.programs.iter().zip(samples) {
            let ours = &samples[0];
            let medians = (0..N).map(|kind| table::number(table::median(theirs.iter().map(|row| row[kind]))));
            let ratios = (0..N).map(|kind| {
                let pairs = ours.iter().zip(theirs).map(|(ours, theirs)| {
                    if more { ours[kind] / theirs[kind] } else { theirs[kind] / ours[kind] }
                });
                if std::ptr::eq(ours, theirs) { String::new() } else { table::ratio(pairs) }
            });
            table.row(name, &program.name, &medians.chain(ratios).collect::<Vec<_>>());
        }
    }

    fn floods(&self) -> io::Result<()> {
        let mut table = Table::new(&["load", "program", "M msg/s", "M msg/CPU s", "rate x", "per CPU x"]);
        for (publishers, subscribers, size, apart) in [
            (1, 1, 16, false),
            (1, 1, 16, true),
            (1, 1, 1024, false),
            (1, 1, 1024, true),
            (4, 4, 128, false),
            (1, 1000, 16, false),
            (1, 1000, 1024, false),
        ] {
            let load = flood::Flood { publishers, subscribers, size, apart };
            let frames = if apart { ", a frame each" } else { "" };
            let name = format!("{publishers}:{subscribers} {}{frames}", bytes(size));
            if !self.wanted(&name) {
                continue;
            }
            let samples = self.turns(|process, program| {
                let outcome = load.run(process, program.kind, &process.address(false), self.time)?;
                Ok([outcome.rate() / 1e6, outcome.efficiency() / 1e6])
            })?;
            self.fill(&mut table, &name, &samples, true);
        }
        table.print();
        Ok(())
    }

    fn requests(&self) -> io::Result<()> {
        let head = ["load", "program", "p50 µs", "p99 µs", "CPU µs", "p50 x", "p99 x", "CPU x"];
        let mut table = Table::new(&head);
        for size in [16, 1024] {
            let name = format!("request-reply {}", bytes(size));
            if !self.wanted(&name) {
                continue;
            }
            let samples = self.turns(|process, _| {
                let outcome = echo::run(process, &process.address(false), size, self.time)?;
                let [p50, p99, _] = outcome.latency;
                Ok([p50, p99, outcome.cpu].map(|time| time.as_secs_f64() * 1e6))
            })?;
            self.fill(&mut table, &name, &samples, false);
        }
        table.print();
        Ok(())
    }

    /// One after the other, from a socket to the `PONG` that follows `CONNECT`.
    fn connects(&self) -> io::Result<()> {
        if !self.wanted("connect") {
            return Ok(());
        }
        let mut table = Table::new(&["", "program", "a second", "a CPU second", "rate x", "per CPU x"]);
        let samples = self.turns(|process, _| {
            let (address, cpu, start) = (process.address(false), process.cpu()?, Instant::now());
            let mut count = 0.0;
            while start.elapsed() < self.time {
                Wire::client(&address, "")?;
                count += 1.0;
            }
            let (wall, cpu) = (start.elapsed(), process.cpu()? - cpu);
            Ok([wall, cpu].map(|time| count / time.as_secs_f64()))
        })?;
        self.fill(&mut table, "connect", &samples, true);
        table.print();
        Ok(())
    }

    /// What connections take that do nothing.
    fn idle(&self, descriptors: Option<u64>) -> io::Result<()> {
        if !self.wanted("idle") {
            return Ok(());
        }
        // natsws has two for each.
        let most = descriptors.map_or(usize::MAX, |limit| (limit as usize).saturating_sub(100) / 2);
        let count = self.held.min(most);
        let head = ["held", "program", "B each", "all private B each", "natsd's B each", "wake-ups in 10 s"];
        let mut table = Table::new(&head);
        for program in &self.programs {
            let process = Process::start(program, false)?;
            rest::settle(&process)?;
            let (before, behind) =
                (process.anonymous()?, process.behind().map(Process::anonymous).transpose()?);
            let address = process.address(false);
            let clients: Vec<Wire> =
                (0..count).map(|_| Wire::client(&address, "")).collect::<io::Result<_>>()?;
            rest::settle(&process)?;
            let each = |bytes: u64| format!("{:.0}", bytes as f64 / count as f64);
            let natsd = match process.behind().zip(behind) {
                Some((natsd, before)) => each(natsd.anonymous()?.saturating_sub(before)),
                None => String::new(),
            };
            let sleeps = process.sleeps()?;
            thread::sleep(Duration::from_secs(10));
            let cells = [
                each(process.anonymous()?.saturating_sub(before)),
                each(process.private()?),
                natsd,
                (process.sleeps()? - sleeps).to_string(),
            ];
            drop(clients);
            table.row(&format!("{count} idle connections"), &program.name, &cells);
        }
        table.print();
        Ok(())
    }
}
