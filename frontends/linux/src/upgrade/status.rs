//! `--status`, `--confirm` and `--rollback`.

use lunix_core::slots::Slot;
use lunix_core::slots::environment::{Mark, Standing};
use lunix_core::slots::upgrade::Job;

use super::Failure;
use super::apply::carry_out;
use super::system::System;
use crate::cli::Matches;

/// Says what is in both slots.
///
/// # Errors
/// There is no flash.
pub(super) fn run(matches: &Matches) -> Result<(), Failure> {
    let system = System::open(matches, false)?;
    let good = system.environment.record().map(|record| record.good);
    println!("board     {}", system.board);
    for slot in Slot::BOTH {
        let what = match system.header(slot) {
            None => "nothing".to_owned(),
            Some(header) if system.is_whole(slot) => header.version.to_string(),
            Some(header) => format!("{}, damaged", header.version),
        };
        let standing = match system.environment.standing() {
            Standing::Idle => "",
            _ if good == Some(slot) => "",
            Standing::Trial(1) => ", on trial, 1 try left",
            Standing::Trial(_) => ", on trial",
            Standing::Failed => ", was tried and not confirmed",
            Standing::Confirmed => ", confirmed",
            Standing::Refused => ", given up",
        };
        let runs = if system.running == Some(slot) { ", runs" } else { "" };
        println!("slot {slot}    {what}{standing}{runs}");
    }
    match system.next() {
        (Some(slot), true) => println!("next      {slot}, on trial"),
        (Some(slot), false) => println!("next      {slot}"),
        (None, _) => println!("next      none can be started"),
    }
    Ok(())
}

/// Keeps the system that runs on trial.
///
/// # Errors
/// It is not on trial; the flash failed.
pub(super) fn confirm(matches: &Matches) -> Result<(), Failure> {
    let mut system = System::open(matches, true)?;
    confirm_system(&mut system)
}

/// See [`confirm`].
pub(super) fn confirm_system(system: &mut System) -> Result<(), Failure> {
    let running = system.running;
    let tried = system.environment.record().map(|record| record.good.other());
    match system.environment.standing() {
        Standing::Confirmed if tried == running => {
            println!("it is confirmed already");
            return Ok(());
        }
        Standing::Trial(_) | Standing::Failed if tried == running && running.is_some() => {}
        _ => return Err(Failure::new("the system that runs is not on trial")),
    }
    mark(system, Mark::Confirmed)?;
    if let Some((slot, header)) = running.and_then(|slot| Some((slot, system.header(slot)?))) {
        println!("slot {slot}, {}, is what is started from now on", header.version);
    }
    Ok(())
}

/// Goes back to the system before.
///
/// # Errors
/// There is none; the flash failed.
pub(super) fn rollback(matches: &Matches) -> Result<(), Failure> {
    let mut system = System::open(matches, true)?;
    let record = system.environment.record();
    let Some(record) = record.filter(|_| {
        matches!(system.environment.standing(), Standing::Trial(_) | Standing::Failed | Standing::Confirmed)
    }) else {
        return Err(Failure::new("there is nothing to go back from since the last upgrade"));
    };
    if !system.is_whole(record.good) {
        return Err(Failure::new(format_args!("slot {} has no system that could be started", record.good)));
    }
    mark(&mut system, Mark::Refused)?;
    let version = system.header(record.good).map(|header| header.version.to_string()).unwrap_or_default();
    println!("slot {}, {version}, is started from the next start on", record.good);
    Ok(())
}

fn mark(system: &mut System, mark: Mark) -> Result<(), Failure> {
    let Some(write) = system.environment.mark(mark) else {
        return Ok(());
    };
    let job = Job::environment(&system.flash.layout, write);
    carry_out(&mut system.flash, job, None)
}
