//! What the lines want of a device: found out without doing any of it.

use lunix_core::device::name;
use lunix_core::device::regex::{Captures, Regex};

use super::{Condition, Conf, Line, Name, Subject, When};
use crate::natsdev::device::Device;
use crate::natsdev::effects::{Number, is_below_dev};

/// What one line wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step<'c> {
    pub(super) line: &'c Line,
    /// What the device is called in /dev, and by the kernel.
    pub(super) name: Vec<u8>,
    pub(super) kernels: Vec<u8>,
    /// The node that is to be made or removed.
    pub(super) node: Option<Number>,
    /// The kernel's name is to be a link to it.
    pub(super) is_linked: bool,
    pub(super) command: Option<&'c [u8]>,
}

/// What the lines want, in their order. A line that gives the device a name outside of /dev wants nothing: that is told.
pub(super) fn steps<'c>(
    conf: &'c Conf,
    device: &Device,
    mut outside: impl FnMut(&'c Line, &[u8]),
) -> Vec<Step<'c>> {
    let mut steps = Vec::new();
    // A request for a file is no device that goes.
    if device.action == b"remove" && device.property(b"FIRMWARE").is_some() {
        return steps;
    }
    let kernels = device.node().unwrap_or_else(|| name(&device.devpath));
    let mut number = number(device);
    for line in &conf.lines {
        let Some(captures) = line.fits(device, kernels, number) else { continue };
        // There is none for the lines after this one either.
        number = number.filter(|_| line.name != Name::None);
        let name = match &line.name {
            Name::Kernels | Name::None => kernels.to_vec(),
            Name::Other(text) | Name::Linked(text) => expanded(text, captures, kernels),
        };
        if is_below_dev(&name) && is_below_dev(kernels) {
            let has_node = matches!(&*device.action, b"add" | b"remove");
            steps.push(Step {
                line,
                node: number.filter(|_| has_node),
                is_linked: matches!(line.name, Name::Linked(_)) && name != kernels,
                name,
                kernels: kernels.to_vec(),
                command: line.command(&device.action),
            });
        } else {
            outside(line, &name);
        }
        if !line.goes_on {
            break;
        }
    }
    steps
}

/// The number of the node. Disks are known by where they are, as not everybody says their subsystem.
fn number(device: &Device) -> Option<Number> {
    let number = Number::of(device)?;
    let is_block = |path: &[u8]| path.windows(7).any(|part| part == b"/block/");
    Some(Number { block: device.subsystem.starts_with(b"block") || is_block(&device.devpath), ..number })
}

impl Line {
    /// What the groups of its expression have matched, if it is about the device.
    fn fits<'d>(
        &self,
        device: &'d Device,
        kernels: &'d [u8],
        number: Option<Number>,
    ) -> Option<Captures<'d>> {
        let whole = |regex: &[u8], text| Regex::parse(regex).ok()?.captures(text);
        if !self.given.iter().all(|given| given.is_met(device)) {
            return None;
        }
        match &self.subject {
            Subject::All => Some(Captures::EMPTY),
            Subject::Name(regex) => whole(regex, kernels),
            Subject::Variable(Condition { variable, regex }) => whole(regex, value(device, variable)?),
            Subject::Number { major, first, last } => number
                .filter(|number| number.major == *major && (*first..=*last).contains(&number.minor))
                .map(|_| Captures::EMPTY),
        }
    }

    /// What is to be run when this happens.
    fn command(&self, action: &[u8]) -> Option<&[u8]> {
        let command = self.command.as_ref()?;
        let is_now = match command.when {
            When::Comes => action == b"add",
            When::Goes => action == b"remove",
            When::Always => true,
        };
        is_now.then_some(&command.text)
    }
}

impl Condition {
    /// Whether a part of the variable fits.
    fn is_met(&self, device: &Device) -> bool {
        let Ok(regex) = Regex::parse(&self.regex) else { return false };
        value(device, &self.variable).is_some_and(|value| regex.is_match(value))
    }
}

fn value<'d>(device: &'d Device, variable: &[u8]) -> Option<&'d [u8]> {
    match variable {
        b"ACTION" => Some(&device.action),
        b"DEVPATH" => Some(&device.devpath),
        b"SUBSYSTEM" => Some(&*device.subsystem).filter(|subsystem| !subsystem.is_empty()),
        variable => device.property(variable),
    }
}

/// A name with `%0` to `%9` by what they stand for. Behind a slash at the end comes the kernel's name.
fn expanded(text: &[u8], groups: Captures<'_>, kernels: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        let group = match after {
            [digit @ b'0'..=b'9', ..] if *byte == b'%' => groups.get(usize::from(digit - b'0')),
            _ => None,
        };
        match group {
            Some(group) => {
                name.extend_from_slice(group);
                rest = after.get(1..).unwrap_or_default();
            }
            None => name.push(*byte),
        }
    }
    if name.ends_with(b"/") {
        name.extend_from_slice(kernels);
    }
    // A group may begin where another slash ends.
    name.dedup_by(|byte, before| (*byte, *before) == (b'/', b'/'));
    name
}
