//! `hotplug`: natsdev beside mdev, mdevd and systemd-udevd, each with this machine's devices and the same events.
//!
//! All of it happens in a network namespace of its own ([`lunix_inject::enter`]); every daemon has an empty /dev and /run. One runs
//! at a time, and what it used is asked of the kernel.

mod daemon;
mod latency;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lunix_inject::{Kernel, storm};

use crate::broker::process::{Kind as Broker, Process, Program as Server};
use crate::broker::table::{Table, median, number};
use crate::tree;
use daemon::{Daemon, Kind, Program};
use latency::Latency;

const USAGE: &str = "usage: lunix-bench hotplug [--quick] [--rounds N] --lunix PATH \
    [--mdevd PATH] [--mdev BUSYBOX] [--udevd PATH] [PART]...\n\
    A PART is one of rest, events, latency; without any, all are measured.";

const SYSFS: &str = "/sys";

/// What natsdev has to reach.
mod bars {
    pub const CPU_MICROSECONDS: f64 = 50.0;
    pub const PRIVATE_KIB: f64 = 400.0;
    pub const PEAK_KIB: f64 = 1536.0;
    pub const P99_MICROSECONDS: f64 = 1000.0;
}

struct Plan {
    programs: Vec<Program>,
    lunix: PathBuf,
    rounds: usize,
    quick: bool,
    parts: Vec<String>,
}

/// Reads the arguments and measures.
pub fn run(args: &[String]) -> io::Result<()> {
    let Some(plan) = Plan::new(args) else { return Err(io::Error::new(io::ErrorKind::InvalidInput, USAGE)) };
    lunix_inject::enter()?;
    let natsd = Server { name: "natsd".into(), path: plan.lunix.clone(), kind: Broker::Natsd, natsd: None };
    let natsd = Process::start(&natsd, false)?;
    let machine = storm::machine(Path::new(SYSFS), "add");
    println!("{} devices; medians of {} rounds.\n", machine.len(), plan.rounds);
    let mut verdicts = Vec::new();
    if plan.wants("rest") {
        plan.rest(&natsd, &mut verdicts)?;
    }
    if plan.wants("events") {
        plan.events(&natsd, &machine, &mut verdicts)?;
    }
    if plan.wants("latency") {
        plan.latency(&natsd, &machine, &mut verdicts)?;
    }
    verdicts.iter().for_each(|verdict| println!("{verdict}"));
    Ok(())
}

impl Plan {
    fn new(args: &[String]) -> Option<Self> {
        let mut plan =
            Self { programs: Vec::new(), lunix: PathBuf::new(), rounds: 5, quick: false, parts: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut program = |kind| {
                let path = PathBuf::from(args.next()?);
                plan.programs.push(Program { kind, path: path.clone() });
                Some(path)
            };
            match arg.as_str() {
                "--lunix" => plan.lunix = program(Kind::Natsdev)?,
                "--mdevd" => drop(program(Kind::Mdevd)?),
                "--mdev" => drop(program(Kind::Mdev)?),
                "--udevd" => drop(program(Kind::Udevd)?),
                "--quick" => (plan.rounds, plan.quick) = (1, true),
                "--rounds" => plan.rounds = args.next()?.parse().ok().filter(|rounds| *rounds > 0)?,
                part if ["rest", "events", "latency"].contains(&part) => plan.parts.push(part.to_owned()),
                _ => return None,
            }
        }
        plan.programs.sort_by_key(|program| program.kind);
        plan.programs.first().is_some_and(|program| program.kind == Kind::Natsdev).then_some(plan)
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }

    /// From the start of a daemon until all devices are handled, and what it is from then on.
    fn rest(&self, natsd: &Process, verdicts: &mut Vec<String>) -> io::Result<()> {
        let mut rows = Vec::new();
        for program in &self.programs {
            let mut coldplugs = Vec::new();
            let mut peaks = Vec::new();
            for _ in 0..self.rounds {
                coldplugs.push(Daemon::coldplug(program, natsd)?.1);
                peaks.push(Daemon::watched(program, natsd)?);
            }
            let (daemon, _) = Daemon::coldplug(program, natsd)?;
            let idle = daemon.idle(Duration::from_secs(if self.quick { 2 } else { 10 }))?;
            let middle = |of: &dyn Fn(usize) -> f64| median((0..self.rounds).map(of));
            let row = Rest {
                bytes: std::fs::metadata(&program.path)?.len(),
                wall: middle(&|round| coldplugs[round].wall.as_secs_f64() * 1e3),
                cpu: middle(&|round| coldplugs[round].cpu.as_secs_f64() * 1e3),
                peak: middle(&|round| peaks[round].pss as f64),
                most: peaks.iter().map(|peak| peak.processes).max().unwrap_or(0),
                idle,
            };
            eprintln!("{}: {row:?}", program.kind.name());
            rows.push(row);
        }
        let own = &rows[0];
        let mut table = Table::new(&[
            "at rest",
            "daemon",
            "KB on disk",
            "RSS / private, KiB",
            "private x",
            "processes",
            "wake-ups",
            "coldplug, ms",
            "x",
            "of it processor, ms",
            "x",
            "most PSS, KiB",
            "x",
            "processes at most",
        ]);
        for (program, row) in self.programs.iter().zip(&rows) {
            let x = |theirs: f64, ours: f64| ratio(theirs, ours, program.kind);
            table.quiet_row(
                "",
                program.kind.name(),
                &[
                    (row.bytes / 1000).to_string(),
                    format!("{} / {}", row.idle.rss, row.idle.private),
                    x(row.idle.private as f64, own.idle.private as f64),
                    row.idle.processes.to_string(),
                    row.idle.wakes.to_string(),
                    number(row.wall),
                    x(row.wall, own.wall),
                    number(row.cpu),
                    x(row.cpu, own.cpu),
                    number(row.peak),
                    x(row.peak, own.peak),
                    row.most.to_string(),
                ],
            );
        }
        table.print();
        verdicts.push(verdict("private memory at rest", own.idle.private as f64, bars::PRIVATE_KIB, "KiB"));
        verdicts.push(verdict("PSS while coldplugging", own.peak, bars::PEAK_KIB, "KiB"));
        verdicts.push(verdict("processes at rest", own.idle.processes as f64, 1.0, ""));
        verdicts.push(verdict("wake-ups at rest", own.idle.wakes as f64, 0.0, ""));
        Ok(())
    }

    /// What events cost: many at once, one after the other, and more than anyone can take.
    fn events(&self, natsd: &Process, machine: &[Vec<u8>], verdicts: &mut Vec<String>) -> io::Result<()> {
        let bursts = if self.quick { 10 } else { 40 };
        let kernel = Kernel::open()?;
        let mut rows = Vec::new();
        for program in &self.programs {
            let mut samples = Vec::new();
            for _ in 0..self.rounds {
                let (daemon, _) = Daemon::coldplug(program, natsd)?;
                let broker = natsd.cpu()?;
                let burst = daemon.events(&kernel, machine, bursts, None)?;
                let broker = (natsd.cpu()? - broker).as_secs_f64() * 1e6 / burst.events as f64;
                let single = daemon.events(&kernel, machine, bursts.div_ceil(4), Some(1000))?;
                let flood: Vec<_> = (0..bursts).flat_map(|_| machine.iter().cloned()).collect();
                let flood = daemon.events(&kernel, &flood, 1, None)?;
                eprintln!("{}: {burst:?} {single:?} {flood:?}", program.kind.name());
                samples.push((burst, single, flood, broker));
            }
            rows.push(samples);
        }
        let mut table = Table::new(&[
            "events",
            "daemon",
            "µs of processor an event, in bursts",
            "x",
            "1,000 a second",
            "x",
            "most in a second",
            "x",
            "lost in a flood",
            "natsd, µs an event",
        ]);
        let middle = |samples: &[Sample], of: fn(&Sample) -> f64| median(samples.iter().map(of));
        let burst: fn(&Sample) -> f64 = |sample| sample.0.cpu();
        let single: fn(&Sample) -> f64 = |sample| sample.1.cpu();
        let rate: fn(&Sample) -> f64 = |sample| sample.0.rate();
        let lost: fn(&Sample) -> f64 = |sample| 100.0 * sample.2.lost as f64 / sample.2.events as f64;
        for (program, samples) in self.programs.iter().zip(&rows) {
            let of = |of| (middle(samples, of), middle(&rows[0], of));
            let x = |(theirs, ours): (f64, f64)| ratio(theirs, ours, program.kind);
            let broker = match program.kind {
                Kind::Natsdev => number(middle(samples, |sample| sample.3)),
                _ => String::new(),
            };
            table.quiet_row(
                "",
                program.kind.name(),
                &[
                    number(of(burst).0),
                    x(of(burst)),
                    number(of(single).0),
                    x(of(single)),
                    format!("{:.0}", of(rate).0),
                    x(of(rate)),
                    format!("{:.0} %", of(lost).0),
                    broker,
                ],
            );
        }
        table.print();
        let (burst, single) = (middle(&rows[0], burst), middle(&rows[0], single));
        verdicts.push(verdict("processor an event, in bursts", burst, bars::CPU_MICROSECONDS, "µs"));
        verdicts.push(verdict("processor an event, 1,000 a second", single, bars::CPU_MICROSECONDS, "µs"));
        Ok(())
    }

    /// From the kernel's event until somebody hears of it.
    fn latency(&self, natsd: &Process, machine: &[Vec<u8>], verdicts: &mut Vec<String>) -> io::Result<()> {
        let count = if self.quick { 300 } else { 3000 };
        let mut table =
            Table::new(&["heard by", "daemon", "while", "p50, µs", "p99, µs", "most, µs", "events"]);
        for program in &self.programs {
            for latency in Latency::of(program.kind) {
                for busy in [false, true] {
                    let heard = match busy {
                        false => latency.at_rest(program, natsd, machine, count)?,
                        true => latency.coldplugging(program, natsd, machine, count)?,
                    };
                    let microseconds = |part: f64| heard.at(part).as_secs_f64() * 1e6;
                    table.row(
                        latency.name(),
                        program.kind.name(),
                        &[
                            if busy { "coldplugging" } else { "at rest" }.to_owned(),
                            number(microseconds(0.5)),
                            number(microseconds(0.99)),
                            number(microseconds(1.0)),
                            heard.count().to_string(),
                        ],
                    );
                    if matches!(latency, Latency::Ready) && busy {
                        let p99 = microseconds(0.99);
                        verdicts.push(verdict(
                            "p99 to the subscriber while coldplugging",
                            p99,
                            bars::P99_MICROSECONDS,
                            "µs",
                        ));
                    }
                }
            }
        }
        table.print();
        Ok(())
    }
}

/// Many at once, one after the other, a flood; and the server's µs an event.
type Sample = (daemon::Events, daemon::Events, daemon::Events, f64);

#[derive(Debug)]
struct Rest {
    bytes: u64,
    wall: f64,
    cpu: f64,
    peak: f64,
    most: usize,
    idle: tree::Idle,
}

/// How often natsdev's is theirs.
fn ratio(theirs: f64, ours: f64, kind: Kind) -> String {
    if kind == Kind::Natsdev { String::new() } else { format!("**{}**", number(theirs / ours)) }
}

fn verdict(what: &str, found: f64, bar: f64, unit: &str) -> String {
    let verdict = if found <= bar { "met" } else { "MISSED" };
    let bar = format!("{bar:.0} {unit}");
    format!("- {what}, at most {}: {verdict} ({}).", bar.trim_end(), number(found))
}
