//! natsinit as process 1 of Debian's kernel, which can do what the kernels of the boards cannot: start the next one, and
//! share storage by weights.

mod machine;

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use self::machine::{BOOT, Machine};
use super::gate::Run;
use crate::nats::Client;

type Check = fn(&mut Run, &mut Machine) -> Result<()>;

/// Each goes on where the one before has left the machine.
const CHECKS: &[(&str, Check)] = &[
    ("a share of storage", weight),
    ("a kernel that nobody has loaded", refused),
    ("the next kernel", next),
    ("a signal, with no kernel loaded", signal),
];

/// What natsinit says on the console before it ends for the next kernel.
const ENDING: &str = "kexec: stopping all services";

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

/// It is said, and nothing stops.
fn refused(_: &mut Run, machine: &mut Machine) -> Result<()> {
    let answer = machine.ask("system.kexec", |_| true)?;
    ensure!(answer["error"].as_str().is_some_and(|why| why.contains("no kernel is loaded")), "{answer}");
    ensure!(machine.said(ENDING) == 0, "it stops all the same");
    Ok(())
}

/// After everything has stopped in order and nothing is left to write, another kernel runs in the same machine, and
/// natsinit in it.
fn next(run: &mut Run, machine: &mut Machine) -> Result<()> {
    let before = machine.ask("system.info", |_| true)?;
    machine.start("load")?;
    machine.done("load")?;
    ensure!(machine.disk_is_in_use()?, "the disk is not mounted");
    let mut witness = machine.client()?;
    witness.subscribe("service.*.*")?;
    let begin = Instant::now();
    let answer = machine.ask("system.kexec", |_| true)?;
    ensure!(answer["accepted"] == true, "{answer}");
    in_order(&until_it_ends(&mut witness)?)?;
    let stopped = begin.elapsed();
    let facts = machine.done("facts")?;
    run.note(&format!(
        "init: all services have stopped after {:.1} s, and those of the next kernel are there after {:.1} s",
        stopped.as_secs_f64(),
        begin.elapsed().as_secs_f64()
    ));
    let after = machine.ask("system.info", |_| true)?;
    let since = u64::try_from(begin.elapsed().as_micros())?;
    let uptime = after["uptime_us"].as_u64().with_context(|| format!("no uptime: {after}"))?;
    ensure!(after["boot_id"] != before["boot_id"] && uptime < since, "it is the same boot: {after}");
    ensure!(after["init"] == true, "natsinit is not process 1: {after}");
    let [told, first, kept, ..] = facts.as_slice() else { bail!("too few facts: {facts:?}") };
    ensure!(told.split(' ').any(|word| word == "lunix.next"), "it was told {told:?}");
    ensure!(first == "/bin/lunix", "process 1 is {first}");
    // It was written when its turn came to stop.
    let by = before["boot_id"].as_str().context("no boot_id")?;
    ensure!(*kept == format!("kept by {by}"), "the disk has {kept:?}, and not of {by}");
    ensure!(machine.said("not properly unmounted") == 0, "the disk was not unmounted");
    Ok(())
}

/// It is heard as what it is to systemd, too, and ends as a reboot does.
fn signal(_: &mut Run, machine: &mut Machine) -> Result<()> {
    machine.start("signal")?;
    machine.qemu.qmp.wait_event("SHUTDOWN", BOOT, |data| data["reason"] == "guest-reset")?;
    let said = machine.said(ENDING);
    ensure!(said == 2, "{ENDING:?} was said {said} times, and not twice");
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
