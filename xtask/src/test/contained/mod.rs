//! Services that behave badly on a board, where the kernel's own limits hold them: each is contained, each is said on the
//! bus, and none hurts another one.

mod machine;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use self::machine::Machine;
use super::gate::Run;
use super::image::FIRST;
use crate::image;

type Check = fn(&mut Run, &mut Machine) -> Result<()>;

const CHECKS: &[(&str, Check)] = &[
    ("a fork bomb", bomb),
    ("who takes more memory than it may", hog),
    ("who takes all memory that there is", glutton),
    ("who takes more of the processor than it may", spinner),
    ("who stands still", frozen),
    ("who ignores SIGTERM", deaf),
    ("who leaves its session and its parent", daemon),
    ("who floods its log", flood),
    ("who closes what it was given", mute),
    ("a full disk", full),
    ("a root that is read-only", read_only),
    ("a restart in order", restart),
    ("a kernel that nobody has loaded", kexec),
];

pub(super) fn check(run: &mut Run) -> Result<()> {
    let mut machine = Machine::boot(&image::build(FIRST)?)?;
    for (name, check) in CHECKS {
        let checked = check(run, &mut machine);
        match checked.and_then(|()| machine.others_go_on()).and_then(|()| machine.all_are_buried()) {
            Ok(()) => run.pass(name),
            Err(e) => {
                run.fail(name, &format!("{e:#}"));
                machine.running.console().lines().for_each(|line| run.write(line));
                machine.calm();
            }
        }
    }
    run.note(&format!("contained: the longest that anybody waited for an answer was {:?}", machine.slowest));
    Ok(())
}

/// It comes up to its limit, where others start all the same, and all of it ends.
fn bomb(run: &mut Run, machine: &mut Machine) -> Result<()> {
    const MOST: u64 = 40;
    let mut witness = machine.witness(&["service.bomb.*"])?;
    machine.tell("bomb", "start")?;
    machine.look("it is no bomb", |machine| {
        let pids = machine.usage("bomb", "pids")?;
        ensure!(pids <= MOST, "{pids} processes");
        Ok((pids == MOST).then_some(()))
    })?;
    for said in ["has as many processes as it may", "fork"] {
        let line = witness.hear_line("bomb", |line| line.contains(said))?;
        run.write(&format!("its log: {line}"));
    }
    machine.others_go_on()?;
    machine.tell("bomb", "stop")?;
    machine.until("bomb", "stopped")?;
    let left = machine.count("/tmp/bomb")?;
    ensure!(left == 0, "{left} of its processes are left");
    witness.hear("service.bomb.stopped", |_| true).map(drop)
}

/// It is killed, and nobody else, as often as it starts.
fn hog(run: &mut Run, machine: &mut Machine) -> Result<()> {
    let mut witness = machine.witness(&["service.hog.*"])?;
    machine.tell("hog", "start")?;
    for killed in 1..=3 {
        let said = witness.hear("service.hog.oom", |_| true)?;
        run.write(&format!("service.hog.oom {said}"));
        ensure!(said["killed"] == killed && said["comm"] == "tail", "kill {killed}: {said}");
    }
    let failed = witness.hear("service.hog.failed", |_| true)?;
    ensure!(failed["signal"] == 9 && failed["restarts"] == 2, "{failed}");
    Ok(())
}

/// It is the one that the kernel kills, and the machine goes on.
fn glutton(run: &mut Run, machine: &mut Machine) -> Result<()> {
    let mut witness = machine.witness(&["service.glutton.*", "system.oom"])?;
    let begin = Instant::now();
    machine.tell("glutton", "start")?;
    let said = witness.hear("system.oom", |_| true)?;
    run.write(&format!("system.oom {said}"));
    let took = begin.elapsed().as_secs_f64();
    run.note(&format!("contained: who wants all memory is killed after {took:.1} s"));
    ensure!(said["name"] == "glutton" && said["comm"] == "tail" && said["everywhere"] == true, "{said}");
    let failed = machine.until("glutton", "failed")?;
    ensure!(failed["signal"] == 9, "{failed}");
    Ok(())
}

/// It gets what it may, and others answer meanwhile.
fn spinner(run: &mut Run, machine: &mut Machine) -> Result<()> {
    let mut witness = machine.witness(&["service.spinner.*"])?;
    machine.tell("spinner", "start")?;
    machine.until("spinner", "ready")?;
    let before = machine.times("spinner")?;
    let begin = Instant::now();
    let mut slowest = Duration::ZERO;
    while begin.elapsed() < Duration::from_secs(5) {
        let asked = Instant::now();
        machine.ask("service.good.status")?;
        slowest = slowest.max(asked.elapsed());
        thread::sleep(Duration::from_millis(200));
    }
    let after = machine.times("spinner")?;
    let share = (after.0 - before.0) * 100 / (after.1 - before.1).max(1);
    run.note(&format!(
        "contained: {share} % of a processor for who may have 20; others answer within {slowest:?}"
    ));
    ensure!((5..=35).contains(&share), "{share} % of a processor");
    // Of what this kernel has not, it says so.
    let file = "/sys/fs/cgroup/spinner/io.weight";
    let weight = machine.running.run(&format!("cat {file} 2> /dev/null || echo none"))?.join(" ");
    match weight.as_str() {
        "none" => {
            let line = witness.hear_line("spinner", |line| line.starts_with("io_weight: not limited"))?;
            run.write(&format!("its log: {line}"));
        }
        weight => ensure!(weight.contains("default 50"), "{file} is {weight}"),
    }
    machine.tell("spinner", "stop")?;
    machine.until("spinner", "stopped").map(drop)
}

/// Its clock stands still until it may go on; what stands still can be stopped, too.
fn frozen(_: &mut Run, machine: &mut Machine) -> Result<()> {
    machine.tell("spinner", "start")?;
    machine.until("spinner", "ready")?;
    machine.tell("spinner", "freeze")?;
    // The kernel stops it at its next way into the kernel, and says so.
    let file = "/sys/fs/cgroup/spinner/cgroup.events";
    machine.look("it does not stand still", |machine| {
        Ok((machine.number(&format!("sed -n 's/frozen //p' {file}"))? == 1).then_some(()))
    })?;
    let before = machine.usage("spinner", "cpu_us")?;
    thread::sleep(Duration::from_secs(1));
    let after = machine.usage("spinner", "cpu_us")?;
    ensure!(before == after, "it had {} us meanwhile", after - before);
    machine.tell("spinner", "thaw")?;
    machine.look("it does not go on", |machine| {
        Ok((machine.usage("spinner", "cpu_us")? > after).then_some(()))
    })?;
    machine.tell("spinner", "freeze")?;
    machine.tell("spinner", "stop")?;
    machine.until("spinner", "stopped").map(drop)
}

/// It is killed when its time is over.
fn deaf(_: &mut Run, machine: &mut Machine) -> Result<()> {
    let mut witness = machine.witness(&["service.deaf.*"])?;
    machine.tell("deaf", "start")?;
    witness.hear_line("deaf", |line| line == "up")?;
    machine.tell("deaf", "stop")?;
    let stopping = witness.hear("service.deaf.stopping", |_| true)?;
    let stopped = witness.hear("service.deaf.stopped", |_| true)?;
    ensure!(stopped["signal"] == 9, "{stopped}");
    let at = |said: &Value| said["at_us"].as_u64().context("no at_us");
    let took = at(&stopped)?.saturating_sub(at(&stopping)?);
    ensure!(took >= 1_000_000, "it was killed after {took} us already");
    Ok(())
}

/// What it leaves behind goes with it, whether it ends by itself or is stopped.
fn daemon(_: &mut Run, machine: &mut Machine) -> Result<()> {
    let mut witness = machine.witness(&["service.daemon.*"])?;
    machine.tell("daemon", "start")?;
    let fled = |machine: &mut Machine| {
        machine.look("nothing has fled", |machine| Ok((machine.count("77777")? == 1).then_some(())))
    };
    fled(machine)?;
    let first = witness.hear("service.daemon.ready", |_| true)?["pid"].clone();
    machine.running.run(&format!("kill -9 {first}"))?;
    witness.hear("service.daemon.ready", |ready| ready["pid"] != first)?;
    fled(machine)?;
    machine.tell("daemon", "stop")?;
    witness.hear("service.daemon.stopped", |_| true)?;
    machine.look("it is still there", |machine| Ok((machine.count("77777")? == 0).then_some(())))
}

/// Nobody's memory grows, it is said how much is left out, and others are heard.
fn flood(run: &mut Run, machine: &mut Machine) -> Result<()> {
    const LASTS: Duration = Duration::from_secs(15);
    /// KiB.
    const ROOM: u64 = 1024;
    let mut flood = machine.witness(&["service.flood.log"])?;
    let mut talker = machine.witness(&["service.talker.log"])?;
    machine.tell("talker", "start")?;
    let number = |line: &str| line.parse::<u64>().ok();
    let first = number(&talker.hear_line("talker", |line| number(line).is_some())?).unwrap_or_default();
    let before = machine.memory()?;
    machine.tell("flood", "start")?;
    let (begin, end) = (Instant::now(), Instant::now() + LASTS);
    let (mut told, mut dropped, mut length) = (0, 0, 0);
    while let Some(said) = flood.next(end)? {
        told += 1;
        dropped += said["dropped"].as_u64().unwrap_or(0);
        length = said["line"].as_str().map_or(length, |line| line.len() as u64 + 1);
    }
    let took = begin.elapsed();
    let after = machine.memory()?;
    machine.tell("flood", "stop")?;
    machine.until("flood", "stopped")?;
    machine.tell("talker", "stop")?;
    let (mut others, mut last) = (0, first);
    // What it said lies in the connection.
    while let Some(said) = talker.next(Instant::now() + Duration::from_secs(1))? {
        others += 1;
        last = said["line"].as_str().and_then(number).unwrap_or(last);
    }
    run.note(&format!(
        "contained: {} MB of log in {:.0} s; {told} lines told, {dropped} said to be too many; {others} of another one; \
         KiB of process 1 {} before and {} after, of natsd {} and {}",
        ((told + dropped) * length) >> 20,
        took.as_secs_f64(),
        before.0,
        after.0,
        before.1,
        after.1
    ));
    ensure!(dropped > told, "{dropped} lines were left out");
    ensure!(after.0 < before.0 + ROOM && after.1 < before.1 + ROOM, "memory has grown");
    // It goes on, as fast as this machine can, and of what it says a third is heard.
    let said = last - first;
    ensure!(said > 5 && others >= said / 3, "{others} of {said} lines of another one");
    Ok(())
}

/// It is not ready, which has its consequences.
fn mute(_: &mut Run, machine: &mut Machine) -> Result<()> {
    let mut witness = machine.witness(&["service.mute.*"])?;
    machine.tell("mute", "start")?;
    let failed = witness.hear("service.mute.failed", |_| true)?;
    ensure!(failed["restarts"] == 1, "{failed}");
    let left = machine.count("44444")?;
    ensure!(left == 0, "{left} of its processes are left");
    Ok(())
}

/// It goes on without a file, and with one when there is room again.
fn full(run: &mut Run, machine: &mut Machine) -> Result<()> {
    let mut witness = machine.witness(&["service.writer.*"])?;
    let of_file = |line: &str, what: &str| line.starts_with("its log file") && line.contains(what);
    machine.tell("writer", "start")?;
    let line = witness.hear_line("writer", |line| of_file(line, "No space"))?;
    run.write(&format!("its log: {line}"));
    // The memory and the bus go on.
    witness.hear_line("writer", |line| line.starts_with("line "))?;
    let status = machine.until("writer", "ready")?;
    ensure!(status["restarts"] == 0, "{status}");
    machine.running.run(": > /tmp/disk/log")?;
    let line = witness.hear_line("writer", |line| of_file(line, "again"))?;
    run.write(&format!("its log: {line}"));
    machine.look("nothing is written", |machine| {
        Ok((machine.number("wc -c < /tmp/disk/log")? > 0).then_some(()))
    })?;
    machine.tell("writer", "stop")
}

/// It runs, and its lines are told.
fn read_only(run: &mut Run, machine: &mut Machine) -> Result<()> {
    let mut witness = machine.witness(&["service.reader.*"])?;
    machine.tell("reader", "start")?;
    witness.hear_line("reader", |line| line == "here I am")?;
    let line = witness.hear_line("reader", |line| line.contains("Read-only file system"))?;
    run.write(&format!("its log: {line}"));
    machine.until("reader", "ready")?;
    machine.tell("reader", "stop")
}

/// Nothing that was written is lost, though nobody has synchronised it.
fn restart(_: &mut Run, machine: &mut Machine) -> Result<()> {
    machine.running.run("echo kept > /data/restart")?;
    let answer = machine.ask("system.reboot")?;
    ensure!(answer["accepted"] == true, "{answer}");
    machine.restarted()?;
    let said = machine.running.run("cat /data/restart")?;
    ensure!(said.iter().any(|line| line == "kept"), "{said:?}");
    Ok(())
}

/// That is refused, and nothing happens.
fn kexec(_: &mut Run, machine: &mut Machine) -> Result<()> {
    let answer = machine.ask("system.kexec")?;
    ensure!(answer["error"].as_str().is_some_and(|why| why.contains("no kernel is loaded")), "{answer}");
    Ok(())
}
