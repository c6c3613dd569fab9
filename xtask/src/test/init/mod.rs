//! natsinit as process 1 of Debian's kernel, which can do what the kernels of the boards cannot: start the next one, and
//! share storage by weights.

mod machine;

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use self::machine::{BOOT, Machine};
use super::gate::Run;
use crate::nats::Client;

type Check = fn(&mut Run, &mut Machine) -> Result<()>;

/// Each goes on where the one before has left the machine.
const CHECKS: &[(&str, Check)] = &[
    ("a share of storage", weight),
    ("the next kernel, by request", request),
    ("the next kernel, by signal", signal),
];

pub(super) fn check(run: &mut Run) -> Result<()> {
    let mut machine = Machine::boot()?;
    for (name, check) in CHECKS {
        if let Err(e) = check(run, &mut machine) {
            run.fail(name, &format!("{e:#}"));
            machine.console().iter().for_each(|line| run.write(line));
            return Ok(());
        }
        run.pass(name);
    }
    Ok(())
}

/// The service's group has it, for whoever of the kernel shares.
fn weight(run: &mut Run, machine: &mut Machine) -> Result<()> {
    let facts = machine.done("facts")?;
    facts.iter().for_each(|line| run.write(line));
    for said in ["io.weight:default 500", "io.bfq.weight:default 136"] {
        ensure!(facts.iter().any(|fact| fact == said), "not {said}: {facts:?}");
    }
    Ok(())
}

fn request(run: &mut Run, machine: &mut Machine) -> Result<()> {
    next(run, machine, 1, |machine| {
        let answer = machine.ask("system.kexec", |_| true)?;
        ensure!(answer["accepted"] == true, "{answer}");
        Ok(())
    })
}

fn signal(run: &mut Run, machine: &mut Machine) -> Result<()> {
    next(run, machine, 2, |machine| machine.start("signal"))
}

/// After everything has stopped in order and nothing is left to write, another kernel runs in the same machine, and
/// natsinit in it. It is the `number`th to be started so.
fn next(
    run: &mut Run,
    machine: &mut Machine,
    number: usize,
    order: impl Fn(&Machine) -> Result<()>,
) -> Result<()> {
    let before = machine.ask("system.info", |_| true)?;
    machine.start("load")?;
    machine.done("load")?;
    ensure!(machine.disk_is_in_use()?, "the disk is not mounted");
    let mut witness = machine.client()?;
    witness.subscribe("service.*.*")?;
    let begin = Instant::now();
    order(machine)?;
    let heard = until_it_ends(&mut witness)?;
    let stopped = begin.elapsed();
    in_order(&heard)?;

    let facts = machine.done("facts")?;
    run.note(&format!(
        "init: services stopped after {:.1} s, those of the next kernel done after {:.1} s",
        stopped.as_secs_f64(),
        begin.elapsed().as_secs_f64()
    ));
    let after = machine.ask("system.info", |_| true)?;
    ensure!(after["boot_id"] != before["boot_id"], "it is the same boot: {after}");
    ensure!(after["init"] == true, "natsinit is not process 1: {after}");
    let uptime = |info: &Value| info["uptime_us"].as_u64().with_context(|| format!("no uptime in {info}"));
    let since = u64::try_from(begin.elapsed().as_micros())?;
    ensure!(uptime(&after)? < since, "up for longer than since {since} us: {after}");
    let [told, first, kept, ..] = facts.as_slice() else { bail!("too few facts: {facts:?}") };
    let marks = told.split(' ').filter(|word| *word == "lunix.next").count();
    ensure!(marks == number, "it was told {told:?}");
    ensure!(first == "/bin/lunix", "process 1 is {first}");
    // Written when its turn came to stop, by the boot before, and by nobody else.
    let by = before["boot_id"].as_str().context("no boot_id")?;
    ensure!(*kept == format!("kept by {by}"), "the disk has {kept:?}, not from {by}");
    let console = machine.console();
    let dirty = console.iter().find(|line| line.contains("not properly unmounted"));
    ensure!(dirty.is_none(), "{dirty:?}");
    Ok(())
}

/// What is heard until the server has gone, as subjects.
fn until_it_ends(witness: &mut Client) -> Result<Vec<String>> {
    let deadline = Instant::now() + BOOT;
    let mut heard = Vec::new();
    loop {
        match witness.next(deadline) {
            Ok(Some(message)) => heard.push(message.subject),
            Ok(None) => bail!("the server does not end; heard {heard:?}"),
            Err(_) => return Ok(heard),
        }
    }
}

/// Who needs another one has stopped before that begins to, and the server is still there.
fn in_order(heard: &[String]) -> Result<()> {
    let order = [
        "service.user.stopping",
        "service.user.stopped",
        "service.keeper.stopping",
        "service.keeper.stopped",
    ];
    let told: Vec<&str> = heard.iter().map(String::as_str).filter(|said| order.contains(said)).collect();
    ensure!(told == order, "heard {heard:?}");
    Ok(())
}
