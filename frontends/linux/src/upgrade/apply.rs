//! `--apply` and `--install`: the steps of the machine, carried out.

use std::io::{self, IsTerminal as _, Write as _};

use lunix_core::slots::Part;
use lunix_core::slots::upgrade::{Input, Job, Step};

use super::flash::Flash;
use super::source::{self, Source};
use super::system::System;
use super::{Failure, plan};
use crate::cli::Matches;

/// Writes the other slot and puts it on trial.
///
/// # Errors
/// It is refused, before anything was written; or the flash failed.
pub(super) fn run(matches: &Matches) -> Result<(), Failure> {
    let tries = tries(matches)?;
    let mut system = System::open(matches, true)?;
    let source = plan::open(matches, &system)?;
    plan::print(&system, &source, &[]).map_err(Failure::new)?;
    plan::admit(matches, &system, &source)?;
    let Some((slot, header)) = system.running.and_then(|slot| Some((slot, system.header(slot)?))) else {
        return Err(Failure::new("there is no system that runs; --install writes the first one"));
    };
    let job =
        Job::upgrade(&system.flash.layout, &system.environment, slot, header.id(), source.header, tries)
            .map_err(Failure::new)?;
    carry_out(&mut system.flash, job, Some(&source))?;
    println!(
        "slot {} has {} and is on trial: it is started once the machine restarts (lunix req system.reboot)",
        slot.other(),
        source.header.version
    );
    Ok(())
}

/// Writes slot A of a new device.
///
/// # Errors
/// It is refused; the flash failed.
pub(super) fn install(matches: &Matches) -> Result<(), Failure> {
    let mut system = System::open(matches, true)?;
    if matches.path("flash").is_none() {
        return Err(matches.error("--install is for --flash FILE").into());
    }
    let source = plan::open(matches, &system)?;
    plan::admit(matches, &system, &source)?;
    let job = Job::install(&system.flash.layout, &system.environment, source.header).map_err(Failure::new)?;
    carry_out(&mut system.flash, job, Some(&source))?;
    println!("slot a has {} and is started", source.header.version);
    Ok(())
}

fn tries(matches: &Matches) -> Result<u8, Failure> {
    match matches.parsed::<u8>("tries", "a number from 1 to 8")? {
        None => Ok(1),
        Some(tries @ 1..=8) => Ok(tries),
        Some(tries) => Err(matches.wrong("tries", "a number from 1 to 8", &tries.to_string()).into()),
    }
}

/// Does every step of `job`.
///
/// # Errors
/// The flash failed; what runs is as it was.
pub(super) fn carry_out(flash: &mut Flash, mut job: Job, source: Option<&Source>) -> Result<(), Failure> {
    let mut progress = Progress::new();
    while let Some(step) = job.poll() {
        match do_step(flash, source, &step) {
            Ok(()) => job.handle(Input::Done),
            Err(error) => {
                job.handle(Input::Failed);
                return Err(Failure::new(format_args!("{}: {error}; what runs is as it was", place(&step))));
            }
        }
        progress.show(job.progress());
    }
    flash.settle().map_err(Failure::new)
}

fn do_step(flash: &mut Flash, source: Option<&Source>, step: &Step) -> io::Result<()> {
    match *step {
        Step::Erase { part, at, len } => flash.erase(part, at, len),
        Step::Copy { slot, at, len } => {
            let mut bytes = vec![0; usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?];
            source.ok_or(io::ErrorKind::InvalidInput)?.read(at, &mut bytes)?;
            flash.write(Part::Slot(slot), at, &bytes)
        }
        Step::Check { slot, piece } => {
            let hash = source::hash(&piece, |at, out| flash.read(Part::Slot(slot), at, out))?;
            if hash == piece.sha256.0 { Ok(()) } else { Err(different()) }
        }
        Step::Write { part, at, bytes } => {
            // What was written before has to be in the flash before this says that it is.
            flash.settle()?;
            let bytes = bytes.as_slice();
            flash.write(part, at, bytes)?;
            flash.settle()?;
            let mut back = vec![0; bytes.len()];
            flash.read(part, at, &mut back)?;
            // Marks are added to others in the same word.
            let cleared = back.iter().zip(bytes).all(|(back, wanted)| back & !wanted == 0);
            if back == bytes || bytes.len() == 4 && cleared { Ok(()) } else { Err(different()) }
        }
    }
}

fn different() -> io::Error {
    io::Error::other("what was read back is not what was written")
}

fn place(step: &Step) -> String {
    match step {
        Step::Erase { part, at, .. } | Step::Write { part, at, .. } => format!("{} at {at}", part.as_str()),
        Step::Copy { slot, at, .. } => format!("slot {slot} at {at}"),
        Step::Check { slot, piece } => format!("slot {slot} from {}", piece.offset),
    }
}

/// A line on a terminal that says how far it is, in per cent.
struct Progress {
    shown: Option<u64>,
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self { shown: None, terminal: io::stderr().is_terminal() }
    }

    fn show(&mut self, (done, all): (u32, u32)) {
        let percent = (u64::from(done) * 100).checked_div(u64::from(all));
        if !self.terminal || percent == self.shown {
            return;
        }
        self.shown = percent;
        if let Some(percent) = percent {
            let end = if percent == 100 { "\n" } else { "" };
            // A terminal that went away is no reason to stop.
            let _ = write!(io::stderr(), "\rwriting: {percent:3} %{end}");
        }
    }
}
