//! `mqtt`: natsmqtt before natsd beside mosquitto and nats-server under the same load, in the same run. And the codecs.
//!
//! All servers of a row run at the same time and take turns, round after round; what is compared is the ratio of
//! neighbouring turns, which survives a machine that is busy with something else.

pub mod codec;
mod crowd;
mod device;
mod flood;
mod pace;
mod server;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use lunix_proto::mqtt::Qos;
use rustix::process::{Resource, Rlimit};

use crate::broker::table::{self, Table};
use flood::{Flood, WINDOW};
use server::{Keeps, Program, Server};

const USAGE: &str = "usage: lunix-bench mqtt [--quick] [--rounds N] [--unix] \
    --natsmqtt PATH --natsd PATH [--mosquitto PATH] [--nats-server PATH] [ROW]...\n\
    A ROW is a part of a row's name: '1:1', 'QoS 1', '16 B', 'latency', 'store', 'idle'; several must all be in it.";

const FLOOD: [&str; 7] = ["load", "server", "k msg/s", "CPU s/M msg", "peak MB", "rate x", "CPU x"];

const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

/// What to measure, and how long.
struct Plan {
    programs: Vec<Program>,
    rounds: usize,
    time: Duration,
    crowd: usize,
    rows: Vec<String>,
}

/// Reads the arguments and measures.
pub fn run(args: &[String]) -> io::Result<()> {
    let Some(plan) = Plan::new(args) else { return Err(io::Error::new(io::ErrorKind::InvalidInput, USAGE)) };
    allow_descriptors(plan.crowd + 256)?;
    plan.floods()?;
    plan.latencies()?;
    plan.stores()?;
    plan.crowds()
}

impl Plan {
    fn new(args: &[String]) -> Option<Self> {
        let (mut bridge, mut lunix, mut with_unix) = (None, None, false);
        let mut plan = Self {
            programs: Vec::new(),
            rounds: 7,
            time: Duration::from_millis(500),
            crowd: 10_000,
            rows: Vec::new(),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--quick" => (plan.rounds, plan.time, plan.crowd) = (3, Duration::from_millis(200), 2000),
                "--rounds" => plan.rounds = args.next()?.parse().ok()?,
                "--unix" => with_unix = true,
                "--natsmqtt" => bridge = Some(PathBuf::from(args.next()?)),
                "--natsd" => lunix = Some(PathBuf::from(args.next()?)),
                "--mosquitto" => plan.programs.push(Program::Mosquitto(args.next()?.into(), Keeps::Never)),
                "--nats-server" => plan.programs.push(Program::NatsServer(args.next()?.into())),
                flag if flag.starts_with('-') => return None,
                row => plan.rows.push(row.to_owned()),
            }
        }
        let (bridge, lunix) = (bridge?, lunix?);
        if with_unix {
            let (bridge, lunix) = (bridge.clone(), lunix.clone());
            plan.programs.insert(0, Program::Natsmqtt { bridge, lunix, unix: true, store: false });
        }
        plan.programs.insert(0, Program::Natsmqtt { bridge, lunix, unix: false, store: false });
        Some(plan)
    }

    fn wanted(&self, row: &str) -> bool {
        self.rows.iter().all(|part| row.contains(part.as_str()))
    }

    /// All servers in turn, round after round: what each turn of each gave.
    fn turns<O>(
        &self,
        row: &str,
        programs: &[Program],
        turn: impl Fn(&Server) -> io::Result<O>,
    ) -> io::Result<(Vec<Server>, Vec<Vec<O>>)> {
        let servers: Vec<Server> =
            programs.iter().map(|program| Server::start(program, 2048)).collect::<io::Result<_>>()?;
        let mut samples: Vec<Vec<O>> = servers.iter().map(|_| Vec::new()).collect();
        for round in 0..self.rounds {
            for step in 0..servers.len() {
                let index = (step + round) % servers.len();
                let outcome = turn(&servers[index])
                    .map_err(|error| io::Error::other(format!("{row}: {}: {error}", servers[index].name)))?;
                samples[index].push(outcome);
            }
        }
        Ok((servers, samples))
    }

    fn floods(&self) -> io::Result<()> {
        let mut table = Table::new(&FLOOD);
        for (publishers, subscribers) in [(1, 1), (10, 10), (1, 1000)] {
            for (qos, size) in QOS.into_iter().flat_map(|qos| [16, 256].map(|size| (qos, size))) {
                let load = Flood { publishers, subscribers, size, qos, window: WINDOW, is_kept: false };
                let row = format!("{publishers}:{subscribers} QoS {} {size} B", qos as u8);
                let is_fan_out = subscribers == 1000;
                if !self.wanted(&row) || is_fan_out && (qos != Qos::AtMostOnce || size != 16) {
                    continue;
                }
                self.flood(&mut table, &row, &self.programs, load)?;
            }
        }
        table.print();
        Ok(())
    }

    /// What it costs to keep everything: messages with QoS 1 to one kept session that is connected.
    fn stores(&self) -> io::Result<()> {
        let mut table = Table::new(&FLOOD);
        let programs: Vec<Program> = self.programs.iter().flat_map(Program::keeping).collect();
        for (publishers, window) in [(50, 20), (1, 1)] {
            let row = format!("store, {publishers} publishing, {window} under way");
            if self.wanted(&row) {
                let load = Flood {
                    publishers,
                    subscribers: 1,
                    size: 128,
                    qos: Qos::AtLeastOnce,
                    window,
                    is_kept: true,
                };
                self.flood(&mut table, &row, &programs, load)?;
            }
        }
        table.print();
        Ok(())
    }

    fn flood(&self, table: &mut Table, row: &str, programs: &[Program], load: Flood) -> io::Result<()> {
        let (servers, samples) = self.turns(row, programs, |server| load.run(server, self.time))?;
        for (index, server) in servers.iter().enumerate() {
            let of = |value: fn(&flood::Outcome) -> f64| table::median(samples[index].iter().map(value));
            let pairs = || samples[0].iter().zip(&samples[index]);
            let mut cells = vec![
                table::number(of(flood::Outcome::rate) / 1e3),
                table::number(of(flood::Outcome::cost)),
                table::number(server.peak()? as f64 / 1e6),
            ];
            cells.extend(match index {
                0 => [String::new(), String::new()],
                _ => [
                    table::ratio(pairs().map(|(ours, theirs)| ours.rate() / theirs.rate())),
                    table::ratio(pairs().map(|(ours, theirs)| theirs.cost() / ours.cost())),
                ],
            });
            table.row(row, server.name, &cells);
        }
        Ok(())
    }

    fn latencies(&self) -> io::Result<()> {
        let mut table =
            Table::new(&["load", "server", "p50 µs", "p99 µs", "CPU µs", "p50 x", "p99 x", "CPU x"]);
        for qos in QOS {
            let row = format!("latency QoS {} 16 B", qos as u8);
            if !self.wanted(&row) {
                continue;
            }
            let (servers, samples) = self.turns(&row, &self.programs, |server| {
                let outcome = pace::run(server, qos, 16, self.time)?;
                Ok([outcome.latency[0], outcome.latency[1], outcome.cpu].map(|time| time.as_secs_f64() * 1e6))
            })?;
            for (index, server) in servers.iter().enumerate() {
                let mut cells: Vec<String> = (0..3)
                    .map(|kind| {
                        table::number(table::median(samples[index].iter().map(|sample| sample[kind])))
                    })
                    .collect();
                for kind in 0..3 {
                    let pairs = samples[0].iter().zip(&samples[index]);
                    let pairs = pairs.map(|(ours, theirs)| theirs[kind] / ours[kind]);
                    cells.push(if index == 0 { String::new() } else { table::ratio(pairs) });
                }
                table.row(&row, server.name, &cells);
            }
        }
        table.print();
        Ok(())
    }

    fn crowds(&self) -> io::Result<()> {
        let mut table = Table::new(&[
            "devices",
            "server",
            "connects/s",
            "CPU µs each",
            "B each",
            "B each, subscribed",
            "wake-ups/s",
        ]);
        let row = format!("{} idle", self.crowd);
        if !self.wanted(&row) {
            return Ok(());
        }
        for program in &self.programs {
            let server = Server::start(program, self.crowd + 16)?;
            let outcome = crowd::run(&server, self.crowd, self.time * 6)
                .map_err(|error| io::Error::other(format!("{row}: {}: {error}", server.name)))?;
            let bytes = |each: &[f64]| {
                let each: Vec<String> = each.iter().map(|bytes| format!("{bytes:.0}")).collect();
                each.join(" + ")
            };
            let cells = [
                format!("{:.0}", outcome.rate),
                table::number(outcome.cpu.as_secs_f64() * 1e6),
                bytes(&outcome.connected),
                bytes(&outcome.subscribed),
                table::number(outcome.wakes),
            ];
            table.row(&row, server.name, &cells);
        }
        table.print();
        Ok(())
    }
}

/// This process and the servers that it starts may open so many files.
fn allow_descriptors(count: usize) -> io::Result<()> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let count = count as u64;
    if limit.current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(count));
    Ok(rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum })?)
}
