//! What the machine does not know by itself, and what it was told.

use lunix_proto::Full;

use super::ledger::{Ledger, Record, Span, Text};

/// What the driver has to find out. `device` is 0 for the device of the event, 1 for its parent, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question<'a> {
    /// The device above `device - 1`, to be answered with [`Answer::Device`] or [`Answer::No`].
    Parent {
        /// Which one.
        device: u8,
    },
    /// The name of its driver: [`Answer::Text`], or [`Answer::No`] if it has none.
    Driver {
        /// Of which device.
        device: u8,
    },
    /// An attribute, as text. The name may lead below the device, and with `[subsystem/device]` at its beginning
    /// to another one. Of `driver`, `subsystem` and `module` it is the name of what they link to.
    Attribute {
        /// Of which device.
        device: u8,
        /// The attribute.
        name: &'a [u8],
    },
    /// The present tags of a parent, as text with `:` between them.
    Tags {
        /// Of which device.
        device: u8,
    },
    /// The node of a parent, as text: `/dev/sda`.
    Node {
        /// Of which device.
        device: u8,
    },
    /// A constant of the machine: `arch`, `virt` or `cvm`.
    Constant(&'a [u8]),
    /// The number of a user, as text.
    User(&'a [u8]),
    /// The number of a group, as text.
    Group(&'a [u8]),
    /// A parameter of the kernel below `/proc/sys`, with `/` or `.` between its parts.
    Sysctl(&'a [u8]),
    /// Whether there is a file, with at least one of the bits of `mode`: [`Answer::Yes`] or [`Answer::No`]. A
    /// relative path begins at the device or at `[subsystem/device]`; `/*/` is any folder.
    Exists {
        /// The file.
        path: &'a [u8],
        /// Bits of its mode.
        mode: Option<u32>,
    },
    /// What a program writes to its standard output; [`Answer::No`] if it fails. No shell is to see the line.
    Program(&'a [u8]),
    /// The properties in a file, as lines `KEY=VALUE`.
    ImportFile(&'a [u8]),
    /// The properties that a program writes.
    ImportProgram(&'a [u8]),
    /// The properties that a built-in finds.
    ImportBuiltin(&'a [u8]),
    /// A property that the device had after its last event.
    ImportDatabase(&'a [u8]),
    /// A parameter on the kernel's command line; [`Answer::Yes`] if it has no value.
    ImportCommandLine(&'a [u8]),
    /// All properties of the parent, as lines `KEY=VALUE`. Those are taken whose name matches the pattern.
    ImportParent(&'a [u8]),
}

/// The answer to a [`Question`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// There is no such thing, or it went wrong.
    No,
    /// There is.
    Yes,
    /// There is, and this is it.
    Text(&'a [u8]),
    /// A device above.
    Device {
        /// Its path below /sys.
        devpath: &'a [u8],
        /// Its subsystem, or empty.
        subsystem: &'a [u8],
    },
}

/// The kinds of questions whose answers are kept: for all of an event up to `Group`, for a token from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum What {
    Driver,
    Attribute,
    Tags,
    Node,
    Constant,
    User,
    Group,
    Sysctl,
    Exists,
    Program,
    ImportFile,
    ImportProgram,
    ImportBuiltin,
    ImportDatabase,
    ImportCommandLine,
    ImportParent,
}

/// A question on its way to the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Parent { device: u8 },
    Of { what: What, device: u8, name: Span, mode: Option<u32> },
}

impl Need {
    pub(super) fn question<'a>(&self, text: &'a Text<'_>) -> Question<'a> {
        let (what, device, name, mode) = match *self {
            Self::Parent { device } => return Question::Parent { device },
            Self::Of { what, device, name, mode } => (what, device, text.get(name), mode),
        };
        match what {
            What::Driver => Question::Driver { device },
            What::Attribute => Question::Attribute { device, name },
            What::Tags => Question::Tags { device },
            What::Node => Question::Node { device },
            What::Constant => Question::Constant(name),
            What::User => Question::User(name),
            What::Group => Question::Group(name),
            What::Sysctl => Question::Sysctl(name),
            What::Exists => Question::Exists { path: name, mode },
            What::Program => Question::Program(name),
            What::ImportFile => Question::ImportFile(name),
            What::ImportProgram => Question::ImportProgram(name),
            What::ImportBuiltin => Question::ImportBuiltin(name),
            What::ImportDatabase => Question::ImportDatabase(name),
            What::ImportCommandLine => Question::ImportCommandLine(name),
            What::ImportParent => Question::ImportParent(name),
        }
    }
}

/// Why a token cannot be finished now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// An answer is needed; then the token is looked at again from its beginning.
    Need(Need),
    /// Something does not fit.
    Full,
}

impl From<Full> for Halt {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

/// What the driver has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply<'k> {
    No,
    Yes,
    Text(&'k [u8]),
}

/// How many devices a walk over the parents takes in: a disk behind four bridges and five hubs is the sixteenth.
const DEVICES: u8 = 32;
/// Longer attributes are cut, as udev does.
const ATTRIBUTE: usize = 511;

/// All that is known about the device and those above it, besides its properties.
#[derive(Debug)]
pub(super) struct Knowledge<'m> {
    /// Action and path; then the devices, each as name and subsystem.
    chain: Ledger<'m>,
    devices: u8,
    /// There is none above the last device.
    complete: bool,
    answers: Ledger<'m>,
    /// Where the answers begin that only the present token may see.
    passing: usize,
    /// The answers were dropped once for the sake of the present token.
    dropped: bool,
}

impl<'m> Knowledge<'m> {
    pub(super) fn new(
        chain: &'m mut [u8],
        answers: &'m mut [u8],
        action: &[u8],
        devpath: &[u8],
        subsystem: &[u8],
    ) -> Result<Self, Full> {
        let mut knowledge = Self {
            chain: Ledger::new(chain),
            devices: 0,
            complete: false,
            answers: Ledger::new(answers),
            passing: 0,
            dropped: false,
        };
        knowledge.chain.push(0, action, &[devpath])?;
        knowledge.device(devpath, subsystem)?;
        Ok(knowledge)
    }

    pub(super) fn action(&self) -> &[u8] {
        self.chain.records().next().map(|record| record.key).unwrap_or_default()
    }

    pub(super) fn devpath(&self) -> &[u8] {
        self.chain.records().next().map(|record| record.value).unwrap_or_default()
    }

    /// The device and those above it that are known: their names as keys, their subsystems as values.
    pub(super) fn devices(&self) -> impl Iterator<Item = Record<'_>> {
        self.chain.records().skip(1)
    }

    pub(super) fn kernel(&self, device: u8) -> &[u8] {
        self.devices().nth(usize::from(device)).map(|record| record.key).unwrap_or_default()
    }

    pub(super) fn subsystem(&self) -> &[u8] {
        self.devices().next().map(|record| record.value).unwrap_or_default()
    }

    /// The question about the device above those that are known, if there may be one.
    pub(super) const fn above(&self) -> Option<Need> {
        if self.complete || self.devices >= DEVICES {
            return None;
        }
        Some(Need::Parent { device: self.devices })
    }

    /// What was answered. If nothing was, the question is put into `text`.
    pub(super) fn reply(
        &self,
        text: &mut Text<'_>,
        what: What,
        device: u8,
        name: &[u8],
    ) -> Result<Reply<'_>, Halt> {
        match self.answered(what, device, name) {
            Some(reply) => Ok(reply),
            None => {
                let name = text.push(name)?;
                Err(Halt::Need(Need::Of { what, device, name, mode: None }))
            }
        }
    }

    /// The same, for a name that is in `text` already.
    pub(super) fn reply_to(
        &self,
        text: &Text<'_>,
        what: What,
        name: Span,
        mode: Option<u32>,
    ) -> Result<Reply<'_>, Halt> {
        let need = Need::Of { what, device: 0, name, mode };
        self.answered(what, 0, text.get(name)).ok_or(Halt::Need(need))
    }

    fn answered(&self, what: What, device: u8, name: &[u8]) -> Option<Reply<'_>> {
        let record = self.answers.find(kind(what, device), name)?;
        Some(match record.value {
            [2, text @ ..] => Reply::Text(text),
            [1] => Reply::Yes,
            _ => Reply::No,
        })
    }

    /// Takes in an answer.
    pub(super) fn learn(&mut self, need: Need, text: &Text<'_>, answer: Answer<'_>) -> Result<(), Full> {
        let (what, device, name) = match (need, answer) {
            (Need::Of { what, device, name, .. }, _) => (what, device, text.get(name)),
            (Need::Parent { .. }, Answer::Device { devpath, subsystem }) => {
                // What finds no room is out of reach.
                self.complete = self.device(devpath, subsystem).is_err();
                return if self.complete { Err(Full { needed: devpath.len() }) } else { Ok(()) };
            }
            (Need::Parent { .. }, _) => {
                self.complete = true;
                return Ok(());
            }
        };
        let value: [&[u8]; 2] = match answer {
            Answer::Text(text) if what == What::Attribute => [&[2], attribute(text)],
            Answer::Text(text) => [&[2], text],
            Answer::Yes => [&[1], b""],
            Answer::No | Answer::Device { .. } => [&[0], b""],
        };
        let kind = kind(what, device);
        let pushed = self.answers.push(kind, name, &value);
        if pushed.is_ok() || self.dropped {
            if what <= What::Group {
                self.passing = self.answers.len();
            }
            return pushed;
        }
        // All of it can be asked for again.
        self.dropped = true;
        self.answers.truncate(0);
        self.passing = 0;
        self.learn(need, text, answer)
    }

    /// A token is done: what was found out for it alone is forgotten.
    pub(super) fn pass(&mut self) {
        self.answers.truncate(self.passing);
        self.dropped = false;
    }

    /// An attribute was written.
    pub(super) fn forget(&mut self, name: &[u8]) {
        self.answers.remove(kind(What::Attribute, 0), name);
        self.passing = self.answers.len();
    }

    fn device(&mut self, devpath: &[u8], subsystem: &[u8]) -> Result<(), Full> {
        let name = crate::device::name(devpath);
        self.chain.push(1, name, &[subsystem])?;
        // The kernel writes `!` for a slash in a name.
        self.chain.replace_in_last_key(b'!', b'/');
        self.devices += 1;
        Ok(())
    }
}

/// The kind of the record of an answer. Of what is asked of several devices, the lower six bits say of which.
const fn kind(what: What, device: u8) -> u8 {
    match what {
        What::Driver => device & 63,
        What::Attribute => 64 | device & 63,
        What::Tags => 128 | device & 63,
        what => 192 | what as u8,
    }
}

/// The text of an attribute, without the newline at its end.
fn attribute(text: &[u8]) -> &[u8] {
    // Some hold a zero in the middle; what stands behind it is no text.
    let mut text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    while let [rest @ .., b'\n' | b'\r'] = text {
        text = rest;
    }
    text.get(..ATTRIBUTE).unwrap_or(text)
}
