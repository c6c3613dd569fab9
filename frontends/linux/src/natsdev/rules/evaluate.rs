//! The rules applied to a device, from beginning to end: whoever calls waits for the programs that they run.

use std::io;

use lunix_core::device::rules::{Action, Evaluation, Origin, Outcome, Run};
use lunix_core::time::Duration;
use lunix_proto::Full;

use super::machine::{Machine, Reply};
use super::{Rules, programs};
use crate::natsdev::builtins;
use crate::natsdev::database::Entry;
use crate::natsdev::device::{Device, Root};

/// Memory for the properties, links and answers of a device: several times of what the largest has.
pub(in crate::natsdev) const MEMORY: usize = 1 << 20;

/// How long a program may run.
pub(super) const PROGRAM: Duration = Duration::from_secs(10);

/// Whether attributes and parameters of the kernel are written, or only told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::natsdev) enum Writes {
    Done,
    Told,
}

/// Whether there is time for what may take a while: programs, and built-ins that read a disk or load a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::natsdev) enum Time {
    None,
    Enough,
}

/// What an event needs cannot be done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::natsdev) struct NoTime;

/// Why rules are not applied to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::natsdev) enum Halt {
    /// What the kernel says of the device does not fit into the memory.
    NoRoom,
    /// They want what there is no time for. Whoever has it begins again: attributes may be written twice.
    NoTime,
}

impl From<Full> for Halt {
    fn from(_: Full) -> Self {
        Self::NoRoom
    }
}

/// What is done to the machine meanwhile.
#[derive(Clone, Copy, Debug)]
pub(in crate::natsdev) struct Terms {
    pub(in crate::natsdev) writes: Writes,
    pub(in crate::natsdev) time: Time,
}

impl Terms {
    /// All of it, however long it takes.
    pub(in crate::natsdev) const ALL: Self = Self { writes: Writes::Done, time: Time::Enough };
}

/// Applies the rules, and tells what they do. `entry` is the device's entry in the database.
///
/// # Errors
/// There is no room, or no time.
pub(in crate::natsdev) fn evaluate<'r, 'm>(
    rules: &'r Rules,
    root: &Root,
    device: &Device,
    entry: Option<&Entry>,
    terms: Terms,
    memory: &'m mut [u8],
    mut tell: impl FnMut(&Event<'_>),
) -> Result<Evaluation<'r, 'm>, Halt> {
    let Device { action, devpath, subsystem, properties } = device;
    let mut evaluation = Evaluation::new(rules.table(), memory, action, devpath, subsystem)?;
    for (key, value) in properties {
        evaluation.property(key, value)?;
    }
    // A device that goes has nothing left but its entry.
    if let Some(entry) = entry.filter(|_| action == b"remove") {
        for (key, value) in &entry.properties {
            evaluation.property(key, value)?;
        }
        entry.links.iter().try_for_each(|link| evaluation.link(link))?;
        entry.present_tags.iter().try_for_each(|tag| evaluation.tag(tag))?;
    }
    let mut machine = Machine::new(root, device, entry.cloned());
    while let Some(action) = evaluation.poll() {
        let reply = match action {
            Action::Ask(question) => machine.answer(&question),
            Action::Write { origin, sysctl, name, value } => {
                let result = match terms.writes {
                    Writes::Done => machine.write(sysctl, name, value),
                    Writes::Told => Ok(()),
                };
                tell(&Event::Wrote { origin, sysctl, name, value, result: result.as_ref().err() });
                continue;
            }
            Action::Did(deed) => {
                tell(&Event::Did(deed));
                continue;
            }
            Action::NoRoom(origin) => {
                tell(&Event::NoRoom(origin));
                continue;
            }
        };
        let reply = match reply {
            Reply::Run { command, builtin } if terms.time == Time::None && takes_time(builtin, &command) => {
                return Err(Halt::NoTime);
            }
            Reply::Run { command, builtin: false } => {
                let result = programs::run(&command, evaluation.outcome().properties(), PROGRAM);
                if let Err(error) = &result {
                    tell(&Event::Failed { command: &command, error });
                }
                result.map_or(Reply::No, Reply::Text)
            }
            Reply::Run { command, builtin: true } => {
                let found = builtin(root, device, evaluation.outcome(), terms.writes, &command);
                if let Err(error) = &found {
                    tell(&Event::Failed { command: &command, error });
                }
                found.ok().flatten().map_or(Reply::No, |properties| Reply::Text(builtins::lines(&properties)))
            }
            reply => reply,
        };
        // What does not fit is told by the machine.
        let _ = evaluation.handle(reply.answer());
    }
    Ok(evaluation)
}

/// Whether something that rules want may take a while.
pub(in crate::natsdev) fn takes_time(builtin: bool, command: &[u8]) -> bool {
    !builtin || builtins::takes_time(command)
}

fn builtin(
    root: &Root,
    device: &Device,
    outcome: &Outcome<'_>,
    writes: Writes,
    command: &[u8],
) -> io::Result<Option<builtins::Properties>> {
    let known: Vec<_> = outcome.properties().collect();
    builtins::run(root, device, &known, writes, command)
}

/// Runs what the rules want to be run at the end.
pub(in crate::natsdev) fn run_all(
    root: &Root,
    device: &Device,
    outcome: &Outcome<'_>,
    mut tell: impl FnMut(&Event<'_>),
) {
    let mut links = outcome.links().map(|link| [b"/dev/", link].concat()).collect::<Vec<_>>().join(&b' ');
    let tags = outcome.tags().fold(b":".to_vec(), |tags, tag| [&tags[..], tag, b":"].concat());
    let more =
        [(&b"DEVLINKS"[..], links.as_mut_slice() as &[u8]), (b"TAGS", &tags), (b"CURRENT_TAGS", &tags)];
    for Run { command, builtin: is_builtin } in outcome.runs() {
        if is_builtin {
            if let Err(error) = builtin(root, device, outcome, Writes::Done, command) {
                tell(&Event::Failed { command, error: &error });
            }
            continue;
        }
        let more = more.iter().copied().filter(|(_, value)| value.len() > 1);
        if let Err(error) = programs::run(command, outcome.properties().chain(more), PROGRAM) {
            tell(&Event::Failed { command, error: &error });
        }
    }
}

/// What happens while rules are applied.
#[derive(Debug)]
pub(in crate::natsdev) enum Event<'e> {
    Did(lunix_core::device::rules::Deed<'e>),
    Wrote { origin: Origin, sysctl: bool, name: &'e [u8], value: &'e [u8], result: Option<&'e io::Error> },
    Failed { command: &'e [u8], error: &'e io::Error },
    NoRoom(Origin),
}
