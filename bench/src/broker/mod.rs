//! `broker`: natsd beside nats-server under the same load, in the same run.
//!
//! All programs of a row run at the same time and take turns, round after round; what is compared is the ratio of
//! neighbouring turns, which survives a machine that is busy with something else.

pub mod echo;
pub mod flood;
pub mod process;
mod relay;
pub mod rest;
pub mod table;
mod web;
pub mod wire;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use flood::Flood;
use process::{Kind, Process, Program};
use table::Table;

pub use relay::serve as relay;

const USAGE: &str = "usage: lunix-bench broker [--quick] [--rounds N] [--one-core | --two-cores] \
    --natsd PATH [--nats-server NAME=PATH]... [ROW]...\n\
    A ROW is a part of a row's name: '1:1', '128 B', 'unix', 'idle'; several must all be in it.";

/// What to measure, and how long.
struct Plan {
    programs: Vec<Program>,
    rounds: usize,
    time: Duration,
    rows: Vec<String>,
    quick: bool,
    pinned: Vec<bool>,
}

/// Reads the arguments and measures.
pub fn run(args: &[String]) -> io::Result<()> {
    let Some(plan) = Plan::new(args) else { return Err(io::Error::new(io::ErrorKind::InvalidInput, USAGE)) };
    for &pinned in &plan.pinned {
        if pinned {
            pin()?;
        }
        println!("### {}\n", if pinned { "Server and load on one core" } else { "Two cores" });
        plan.floods(pinned)?;
        plan.requests(pinned)?;
        if !pinned {
            plan.at_rest()?;
        }
    }
    Ok(())
}

impl Plan {
    fn new(args: &[String]) -> Option<Self> {
        let mut plan = Self {
            programs: Vec::new(),
            rounds: 7,
            time: Duration::from_millis(500),
            rows: Vec::new(),
            quick: false,
            // Whoever is pinned stays so.
            pinned: vec![false, true],
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--quick" => {
                    (plan.rounds, plan.time, plan.quick) = (3, Duration::from_millis(200), true);
                }
                "--rounds" => plan.rounds = args.next()?.parse().ok()?,
                "--one-core" => plan.pinned = vec![true],
                "--two-cores" => plan.pinned = vec![false],
                "--natsd" => {
                    let program = Program {
                        name: "natsd".into(),
                        path: args.next()?.into(),
                        kind: Kind::Natsd,
                        natsd: None,
                    };
                    plan.programs.insert(0, program);
                }
                "--nats-server" => {
                    let (name, path) = args.next()?.split_once('=')?;
                    let path = PathBuf::from(path);
                    plan.programs.push(Program {
                        name: name.into(),
                        path,
                        kind: Kind::NatsServer,
                        natsd: None,
                    });
                }
                flag if flag.starts_with('-') => return None,
                row => plan.rows.push(row.to_owned()),
            }
        }
        (!plan.programs.is_empty()).then_some(plan)
    }

    fn wanted(&self, row: &str) -> bool {
        self.rows.iter().all(|part| row.contains(part.as_str()))
    }

    fn floods(&self, pinned: bool) -> io::Result<()> {
        let mut table =
            Table::new(&["load", "program", "M msg/s", "M msg/CPU s", "peak MB", "rate x", "per CPU x"]);
        for (publishers, subscribers) in [(1, 0), (1, 1), (4, 4), (1, 100), (1, 1000)] {
            for size in [16, 128, 1024, 64 << 10] {
                let load = Flood { publishers, subscribers, size, apart: false };
                let name = format!("{publishers}:{subscribers} {}", bytes(size));
                for unix in [false, true] {
                    let name = if unix { format!("{name} unix") } else { format!("{name} tcp") };
                    if !self.wanted(&name) || (unix && subscribers == 0) {
                        continue;
                    }
                    self.flood(&mut table, &name, load, pinned, unix)?;
                }
            }
        }
        table.print();
        Ok(())
    }

    /// The programs of a row: the one that others are compared with first, and whether through the UNIX socket. Of the
    /// UNIX socket there is no other peer: natsd stands beside nats-server over TCP.
    fn programs(&self, unix: bool, relay: bool) -> Vec<(Program, bool)> {
        let mut programs: Vec<_> = self
            .programs
            .iter()
            .map(|program| (program.clone(), unix && program.kind == Kind::Natsd))
            .collect();
        if relay && let Ok(path) = std::env::current_exe() {
            programs.push((Program { name: "relay".into(), path, kind: Kind::Relay, natsd: None }, false));
        }
        programs
    }

    fn flood(&self, table: &mut Table, name: &str, load: Flood, pinned: bool, unix: bool) -> io::Result<()> {
        let relay = load.publishers == 1 && load.subscribers == 1 && load.size >= 1024;
        let programs = self.programs(unix, relay);
        let processes: Vec<Process> =
            programs.iter().map(|(program, _)| Process::start(program, pinned)).collect::<io::Result<_>>()?;
        let mut samples = vec![Vec::new(); programs.len()];
        for round in 0..self.rounds {
            for turn in 0..programs.len() {
                let index = (turn + round) % programs.len();
                let (program, unix) = &programs[index];
                let process = &processes[index];
                let outcome = load
                    .run(process, program.kind, &process.address(*unix), self.time)
                    .map_err(|error| io::Error::other(format!("{name}: {}: {error}", program.name)))?;
                samples[index].push([outcome.rate(), outcome.efficiency()]);
            }
        }
        for (index, (program, _)) in programs.iter().enumerate() {
            let peak = processes[index].peak()? as f64 / 1e6;
            let [rate, per_cpu] =
                [0, 1].map(|kind| table::median(samples[index].iter().map(|sample| sample[kind])));
            let mut cells =
                vec![table::number(rate / 1e6), table::number(per_cpu / 1e6), table::number(peak)];
            for kind in [0, 1] {
                let pairs =
                    samples[0].iter().zip(&samples[index]).map(|(ours, theirs)| ours[kind] / theirs[kind]);
                cells.push(if index == 0 { String::new() } else { table::ratio(pairs) });
            }
            table.row(name, &program.name, &cells);
        }
        Ok(())
    }

    fn requests(&self, pinned: bool) -> io::Result<()> {
        let mut table = Table::new(&[
            "load",
            "program",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "CPU µs",
            "p50 x",
            "p99 x",
            "p99.9 x",
            "CPU x",
        ]);
        for size in [16, 128, 1024, 64 << 10] {
            for unix in [false, true] {
                let name = format!("request-reply {} {}", bytes(size), if unix { "unix" } else { "tcp" });
                if !self.wanted(&name) {
                    continue;
                }
                let programs = self.programs(unix, false);
                let processes: Vec<Process> = programs
                    .iter()
                    .map(|(program, _)| Process::start(program, pinned))
                    .collect::<io::Result<_>>()?;
                let mut samples = vec![Vec::new(); programs.len()];
                for round in 0..self.rounds {
                    for turn in 0..programs.len() {
                        let index = (turn + round) % programs.len();
                        let process = &processes[index];
                        let outcome =
                            echo::run(process, &process.address(programs[index].1), size, self.time)?;
                        let [p50, p99, p999] = outcome.latency.map(|time| time.as_secs_f64() * 1e6);
                        samples[index].push([p50, p99, p999, outcome.cpu.as_secs_f64() * 1e6]);
                    }
                }
                for (index, (program, _)) in programs.iter().enumerate() {
                    let mut cells = Vec::new();
                    for kind in 0..4 {
                        cells.push(table::number(table::median(
                            samples[index].iter().map(|sample| sample[kind]),
                        )));
                    }
                    for kind in 0..4 {
                        let pairs = samples[0]
                            .iter()
                            .zip(&samples[index])
                            .map(|(ours, theirs)| ours[kind] / theirs[kind]);
                        cells.push(if index == 0 { String::new() } else { table::ratio(pairs) });
                    }
                    table.row(&name, &program.name, &cells);
                }
            }
        }
        table.print();
        Ok(())
    }

    fn at_rest(&self) -> io::Result<()> {
        let mut table = Table::new(&["at rest", "program", "", "", ""]);
        let (clients, subscriptions) = if self.quick { (1000, 100_000) } else { (10_000, 1_000_000) };
        let time = if self.quick { Duration::from_secs(3) } else { Duration::from_secs(10) };
        let literal: fn(usize) -> String = |index| format!("s.{index}");
        let sensor: fn(usize) -> String = |index| format!("dev.{index}.temperature");
        let wild: fn(usize) -> String = |index| format!("dev.{index}.*.m.>");
        for (program, _) in self.programs(false, false) {
            if self.wanted("idle") {
                let process = Process::start(&program, false)?;
                let (wakes, private) = rest::idle(&process, time)?;
                let size = std::fs::metadata(&program.path)?.len();
                let cells = [
                    format!("{} wake-ups/s", table::number(wakes)),
                    format!("{} KB private", private / 1000),
                    format!("{} KB on disk", size / 1000),
                ];
                table.row("idle", &program.name, &cells);
            }
            if self.wanted("connections") {
                let process = Process::start(&program, false)?;
                let (each, wakes) = rest::connections(&process, clients, time)?;
                let cells = [
                    format!("{each:.0} B each"),
                    format!("{} wake-ups/s", table::number(wakes)),
                    String::new(),
                ];
                table.row(&format!("{clients} idle connections"), &program.name, &cells);
            }
            for (name, subject) in [("s.N", literal), ("dev.N.temperature", sensor), ("dev.N.*.m.>", wild)] {
                if self.wanted(&format!("subscriptions {name}")) {
                    let process = Process::start(&program, false)?;
                    let (rate, each, per_cpu) = rest::subscriptions(&process, subscriptions, subject)?;
                    let cells = [
                        format!("{each:.0} B each"),
                        format!("{:.0} k/s", rate / 1e3),
                        format!("{:.0} k/CPU s", per_cpu / 1e3),
                    ];
                    table.row(&format!("{subscriptions} subscriptions to {name}"), &program.name, &cells);
                }
            }
        }
        table.print();
        Ok(())
    }
}

/// This process, and so the load, onto the core that the servers are on.
fn pin() -> io::Result<()> {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(0);
    Ok(rustix::thread::sched_setaffinity(None, &cores)?)
}

/// A size, in words.
pub fn bytes(size: usize) -> String {
    if size >= 1024 { format!("{} KB", size >> 10) } else { format!("{size} B") }
}
