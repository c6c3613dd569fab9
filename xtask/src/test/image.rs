//! The boards of `targets/` in QEMU, from power-on to a login: what runs, what it needs, and what happens when a daemon dies.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::example::Example;
use super::gate::Run;
use super::web;
use crate::image::board::{BOARDS, Board};
use crate::image::budget::{self, Tables};
use crate::image::{self, Image, kernel};
use crate::nats::Client;
use crate::paths::{Scratch, target};
use crate::vm::board::{Boot, Flash, Running};
use crate::vm::stick::{Layout, Stick};

/// MiB that a board has, and the fewest with which it starts.
pub(super) const MEMORY: u32 = 64;
const LEAST: u32 = 32;

/// What runs when nobody is there.
const DAEMONS: &[&str] = &["natsd", "natsdev", "natstoast", "natsmount"];

/// For what somebody is asked or waited for on an emulated processor.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// Whose kernel is built if it is not there: that of another board takes minutes more, which a whole run does not have.
pub(super) const FIRST: &Board = &BOARDS[0];

type Check = fn(&mut Run, &mut Machine) -> Result<()>;

const CHECKS: &[(&str, Check)] = &[
    ("everything is ready in time", ready),
    ("the daemons and a login run", running),
    ("memory is left", memory),
    ("usage is what the kernel counts", usage),
    ("a stick, and a toast on the console", stick),
    ("a killed daemon is back", killed),
    ("data outlives a power cut", data),
];

/// A board that has booted, with root logged in.
pub(super) struct Machine {
    pub(super) board: &'static Board,
    budget: Tables,
    flash: Flash,
    pub(super) running: Running,
    scratch: Scratch,
}

pub(super) fn check(run: &mut Run) -> Result<()> {
    for board in ready_boards(run, "image") {
        let image = image::build(board)?;
        sizes(run, &image)?;
        reproducible(run, &image)?;
        match boot(&image, MEMORY, None) {
            Ok(mut machine) => {
                run.pass(&format!("{}: login with {MEMORY} MB", board.name));
                for (name, check) in CHECKS {
                    let name = format!("{}: {name}", board.name);
                    match check(run, &mut machine) {
                        Ok(()) => run.pass(&name),
                        Err(e) => {
                            run.fail(&name, &format!("{e:#}"));
                            machine.running.console().lines().for_each(|line| run.write(line));
                        }
                    }
                }
            }
            Err(e) => run.fail(&format!("{}: login with {MEMORY} MB", board.name), &format!("{e:#}")),
        }
        let name = format!("{}: login with {LEAST} MB", board.name);
        match boot(&image, LEAST, None) {
            Ok(_) => run.pass(&name),
            Err(e) => run.fail(&name, &format!("{e:#}")),
        }
    }
    web::check(run)
}

/// The boards whose kernel is there, and the first; says of the others how to have it.
pub(super) fn ready_boards(run: &mut Run, gate: &str) -> Vec<&'static Board> {
    let (ready, missing): (Vec<&Board>, Vec<&Board>) =
        BOARDS.iter().partition(|board| **board == *FIRST || kernel::is_built(board));
    for board in missing {
        let why = format!("its kernel takes minutes: `cargo xtask image {}` builds it once", board.name);
        run.skip(&format!("{gate} of {}", board.name), &why);
    }
    ready
}

/// Each part against its budget; what grew is drawn where one is broken.
fn sizes(run: &mut Run, image: &Image) -> Result<()> {
    let budget = budget::read(image.board)?;
    let sizes = image.sizes()?;
    let mut over = false;
    for size in &sizes {
        let Some(limit) = budget::of(&budget, "flash", size.name) else { continue };
        let line = format!(
            "{} {}: {} of {limit} bytes ({} %)",
            image.board.name,
            size.name,
            size.bytes,
            size.bytes * 100 / limit
        );
        run.note(&line);
        if size.bytes > limit {
            over = true;
            run.fail(size.name, &line);
        } else {
            run.pass(&line);
        }
    }
    let chart = budget::chart(&sizes, &budget);
    chart.lines().for_each(|line| if over { run.note(line) } else { run.write(line) });
    Ok(())
}

/// Made a second time, elsewhere and later, of the same parts, it is the same.
fn reproducible(run: &mut Run, image: &Image) -> Result<()> {
    let scratch = Scratch::under(&target())?;
    let again = image::assemble(image.board, image.made.clone(), scratch.path())?;
    for (name, first, second) in [("root", &image.root, &again.root), ("flash", &image.flash, &again.flash)] {
        let name = format!("{}: {name} is the same when it is made again", image.board.name);
        if fs::read(first)? == fs::read(second)? {
            run.pass(&name);
        } else {
            run.fail(&name, &format!("{} and {} differ", first.display(), second.display()));
        }
    }
    Ok(())
}

/// Boots it; with a port for it, its page is there.
pub(super) fn boot(image: &Image, memory: u32, page: Option<u16>) -> Result<Machine> {
    let board = image.board;
    let scratch = Scratch::under(&target())?;
    let flash = Flash::new(board, &image.flash, &scratch)?;
    let boot = Boot { board, memory, append: "", page };
    let mut running = Running::start(&boot, &flash, &scratch, |_| {})?;
    running.login()?;
    Ok(Machine { board, budget: budget::read(board)?, flash, running, scratch })
}

impl Machine {
    pub(super) fn limit(&self, table: &str, name: &str) -> Result<u64> {
        budget::of(&self.budget, table, name)
            .with_context(|| format!("targets/{}/budget.toml has no {name} in [{table}]", self.board.name))
    }

    /// Asks until somebody answers.
    pub(super) fn ask(&self, subject: &str) -> Result<Value> {
        let mut client = self.running.client()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match client.request(subject, "", PATIENCE)? {
                Some(answer) => return Ok(answer.json()),
                None if Instant::now() < deadline => thread::sleep(Duration::from_millis(100)),
                None => bail!("nobody answers {subject}"),
            }
        }
    }

    /// KiB of memory that a program has.
    pub(super) fn resident(&mut self, name: &str) -> Result<u64> {
        self.number(&format!("sed -n 's/VmRSS: *//p' /proc/$(pidof {name} | cut -d' ' -f1)/status"))
    }

    /// KiB of memory that are left.
    pub(super) fn available(&mut self) -> Result<u64> {
        self.number("sed -n 's/MemAvailable: *//p' /proc/meminfo")
    }

    /// The number that a line of shell prints; what the console says by itself may stand between.
    pub(super) fn number(&mut self, line: &str) -> Result<u64> {
        let said = self.running.run(line)?;
        let found = said.iter().find_map(|line| line.split_whitespace().next()?.parse().ok());
        found.with_context(|| format!("`{line}` says {said:?}"))
    }
}

/// natsinit's own measure: from when it began until all that was wanted at boot is ready.
fn ready(run: &mut Run, machine: &mut Machine) -> Result<()> {
    let limit = machine.limit("time", "userspace")?;
    let deadline = Instant::now() + PATIENCE;
    let boot = loop {
        let boot = machine.ask("service.boot")?;
        if !boot["healthy_us"].is_null() || Instant::now() >= deadline {
            break boot;
        }
        thread::sleep(Duration::from_millis(200));
    };
    run.write(&format!("service.boot: {boot}"));
    let services = boot["services"].as_array().context("service.boot has no services")?;
    let started = boot["started_us"].as_u64().unwrap_or_default();
    for service in services {
        let state = service["state"].as_str().unwrap_or_default();
        ensure!(
            matches!(state, "ready" | "done" | "waiting") || service["name"] == "trial",
            "{} is {state}",
            service["name"]
        );
    }
    let healthy = boot["healthy_us"].as_u64().context("not healthy yet")?;
    let took = healthy.saturating_sub(started) / 1000;
    run.note(&format!("{}: all services ready after {took} ms of {limit}", machine.board.name));
    before_and_after(run, machine, started)?;
    ensure!(took <= limit, "{took} ms instead of {limit}");
    Ok(())
}

/// What that time leaves out: how long the kernel took to start natsinit, most of which is unpacking it, and how long natsdev
/// took until it knew all devices. `started` is in microseconds.
fn before_and_after(run: &mut Run, machine: &mut Machine, started: u64) -> Result<()> {
    let handed = machine.number(r"dmesg | sed -n 's/^\[ *\(.*\)\.\(.*\)\] Run .* as init process/\1\2/p'")?;
    // This is answered when all devices are known.
    machine.ask("hardware.usb.list")?;
    let stats = machine.ask("natsdev.stats")?;
    let known = stats["known_us"].as_u64().context("natsdev does not know the devices yet")?;
    run.note(&format!(
        "{}: natsinit began {} ms after the kernel handed over; all {} devices were known {} ms after that",
        machine.board.name,
        started.saturating_sub(handed) / 1000,
        stats["devices"],
        known.saturating_sub(started) / 1000
    ));
    Ok(())
}

fn running(run: &mut Run, machine: &mut Machine) -> Result<()> {
    let list = machine.ask("service.list")?;
    for name in DAEMONS.iter().chain(&["getty"]) {
        let state = list.as_array().into_iter().flatten().find(|service| service["name"] == *name);
        let state = state.map_or("not there", |service| service["state"].as_str().unwrap_or("?"));
        ensure!(state == "ready", "{name} is {state}, in {list}");
    }
    for line in machine.running.run("ps -o pid,rss,args")? {
        run.write(&line);
    }
    // Somebody who ends in this moment is one, too, and is none in the next.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let zombies = machine.number("grep -l '^State:.Z' /proc/[0-9]*/status 2> /dev/null | wc -l")?;
        if zombies == 0 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{zombies} zombies");
        thread::sleep(Duration::from_millis(100));
    }
}

fn memory(run: &mut Run, machine: &mut Machine) -> Result<()> {
    let least = machine.limit("memory", "available")?;
    let available = machine.available()?;
    run.note(&format!("{}: {available} KiB available of {MEMORY} MB, at least {least}", machine.board.name));
    ensure!(available >= least, "{available} KiB available, at least {least}");
    for name in DAEMONS {
        let limit = machine.limit("memory", name)?;
        let resident = machine.resident(name)?;
        run.note(&format!("{}: {name} has {resident} KiB of {limit} resident", machine.board.name));
        ensure!(resident <= limit, "{name} has {resident} KiB resident, at most {limit}");
    }
    Ok(())
}

/// What the bus says of natstoast against the kernel's own files.
fn usage(run: &mut Run, machine: &mut Machine) -> Result<()> {
    let group = "$(sed -n 's/^0:://p' /proc/$(pidof natstoast | cut -d' ' -f1)/cgroup)";
    let read = |file: &str| format!("cat /sys/fs/cgroup{group}/{file}");
    let before = machine.number(&format!("{} | sed -n 's/usage_usec //p'", read("cpu.stat")))?;
    let usage = machine.ask("service.natstoast.usage")?;
    let after = machine.number(&format!("{} | sed -n 's/usage_usec //p'", read("cpu.stat")))?;
    let pids = machine.number(&read("pids.current"))?;
    run.write(&format!(
        "service.natstoast.usage: {usage}; cpu.stat {before} to {after}, pids.current {pids}"
    ));
    let cpu = usage["cpu_us"].as_u64().context("no cpu_us")?;
    ensure!((before..=after).contains(&cpu), "cpu_us {cpu} is not within {before} to {after}");
    ensure!(usage["pids"] == pids, "pids {} instead of {pids}", usage["pids"]);
    let current = machine.number(&read("memory.current"))?;
    let rss = usage["rss"].as_u64().context("no rss")?;
    ensure!(rss.abs_diff(current) <= 256 << 10, "rss {rss} beside memory.current {current}");
    Ok(())
}

/// The seed's example, with the official client on the host.
fn stick(run: &mut Run, machine: &mut Machine) -> Result<()> {
    let Some(_example) = Example::start(run, machine.running.qemu.nats_port, &machine.scratch)? else {
        return Ok(());
    };
    let mut witness = machine.running.client()?;
    witness.subscribe("hardware.usb.add")?;
    let stick = Stick::make(&machine.scratch, 1, Layout::Partition)?;
    stick.plug(&mut machine.running.qemu.qmp)?;
    let event = witness.next(Instant::now() + PATIENCE)?.context("no hardware.usb.add")?.json();
    ensure!(event["volumes"][0]["label"] == stick.label.as_str(), "{event}");
    machine
        .running
        .qemu
        .log
        .wait(PATIENCE, |line| line.contains("USB stick"))
        .context("no toast on the console")?;
    stick.unplug(&mut machine.running.qemu.qmp)
}

/// Each is killed once; it is ready again at once, and the bus says how, in order.
fn killed(run: &mut Run, machine: &mut Machine) -> Result<()> {
    let mut slow = Vec::new();
    // natsd is last: while it is away, nobody hears anything.
    for name in DAEMONS.iter().rev() {
        let limit = machine.limit("restart", name)?;
        let mut witness = machine.running.client()?;
        witness.subscribe(&format!("service.{name}.*"))?;
        // What the shell does by itself takes no time.
        let kill =
            format!("p=$(pidof {name} | cut -d' ' -f1); read up _ < /proc/uptime; kill -9 $p; echo $up");
        let said = machine.running.run(&kill)?;
        // Seconds with two digits behind the point. natsinit may say something in between.
        let uptime = |line: &String| {
            let (seconds, rest) = line.split_once('.')?;
            Some(seconds.parse::<u64>().ok()? * 1_000_000 + rest.parse::<u64>().ok()? * 10_000)
        };
        let uptime = said.iter().find_map(uptime).with_context(|| format!("no uptime in {said:?}"))?;
        let took = if *name == "natsd" { back(machine, name, uptime)? } else { story(&mut witness, name)? };
        let board = machine.board.name;
        let line =
            format!("{board}: {name} is ready {:.1} ms of {limit} after its end", took as f64 / 1000.0);
        run.note(&line);
        if took > limit * 1000 {
            slow.push(line);
        }
    }
    ensure!(slow.is_empty(), "{}", slow.join("; "));
    Ok(())
}

/// From what is said of its end to what is said of its return, in microseconds.
fn story(witness: &mut Client, name: &str) -> Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    let (mut states, mut ended) = (Vec::new(), None);
    while let Some(message) = witness.next(deadline)? {
        let state = message.subject.rsplit('.').next().unwrap_or_default().to_owned();
        if matches!(state.as_str(), "log" | "pressure" | "oom") {
            continue;
        }
        let at = message.json()["at_us"].as_u64().context("an event without at_us")?;
        states.push(state.clone());
        ended = ended.or(Some(at));
        if state == "ready" {
            ensure!(
                states.first().is_some_and(|first| first != "ready"),
                "it was never said to have ended: {states:?}"
            );
            ensure!(states.len() <= 4, "more than its end, its start and its return: {states:?}");
            return Ok(at.saturating_sub(ended.unwrap_or(at)));
        }
    }
    bail!("{name} did not come back: {states:?}")
}

/// natsd as `service.list` tells it afterwards: microseconds from `killed` on.
fn back(machine: &Machine, name: &str, killed: u64) -> Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let list = machine.ask("service.list")?;
        let service = list.as_array().into_iter().flatten().find(|service| service["name"] == name);
        let service = service.with_context(|| format!("no {name} in {list}"))?;
        if service["state"] == "ready" && service["restarts"].as_u64().unwrap_or_default() > 0 {
            let at = service["at_us"].as_u64().context("no at_us")?;
            return Ok(at.saturating_sub(killed));
        }
        ensure!(Instant::now() < deadline, "{name} did not come back: {service}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// What was written to /data and synced is there after the power was cut.
fn data(_: &mut Run, machine: &mut Machine) -> Result<()> {
    machine.running.run("echo kept > /data/test && sync")?;
    let boot = Boot { board: machine.board, memory: MEMORY, append: "", page: None };
    let Machine { running, flash, scratch, .. } = machine;
    running.cut(&boot, flash, scratch)?;
    machine.running.login()?;
    let said = machine.running.run("cat /data/test")?;
    // Toasts may stand between.
    ensure!(said.iter().any(|line| line == "kept"), "{said:?}");
    Ok(())
}
