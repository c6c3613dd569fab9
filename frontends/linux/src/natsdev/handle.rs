//! One event, handled: what the rules want of the device is done, and then users of libudev are told.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Arc, PoisonError, RwLock};

use lunix_core::device::rules::Outcome;
use lunix_uevent::{Uevent, monitor};

use super::NAME;
use super::database::Entry;
use super::device::{Device, Root};
use super::effects::Effects;
use super::firmware;
use super::monitor::{Group, Monitor};
use super::rules::Rules;
use super::rules::evaluate::{self, Event, Halt, Terms, Time, evaluate};
use super::rules::source::Source;
use super::static_nodes;
use super::watch::Watch;
use crate::config::Mistakes;
use crate::log::{self, Level};
use crate::sys::interfaces;

/// What all who handle events share.
#[derive(Debug)]
pub(super) struct Ground {
    root: Root,
    kernel_makes_nodes: bool,
    source: Source,
    rules: RwLock<Arc<Rules>>,
    /// `None` where nobody may be told.
    monitor: Option<Monitor>,
}

/// An event that is handled.
#[derive(Debug, Default)]
pub(super) struct Handled {
    /// The node that is to be watched.
    pub(super) watch: Option<Watch>,
    /// The event with all that is known of the device now, as users of libudev hear it. Empty if the event means nothing.
    pub(super) told: Vec<u8>,
}

/// What an event needs cannot be done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoTime;

impl Ground {
    /// # Errors
    /// All mistakes of all rules.
    pub(super) fn new(root: Root, source: Source) -> Result<Self, Mistakes> {
        let rules = source.read()?;
        let monitor = Monitor::open()
            .inspect_err(|error| {
                log::line(Level::Warn, NAME, format_args!("users of libudev hear nothing: {error}"));
            })
            .ok();
        let kernel_makes_nodes = root.kernel_makes_nodes();
        Ok(Self { root, kernel_makes_nodes, source, rules: RwLock::new(Arc::new(rules)), monitor })
    }

    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// Before any device: what is there without one.
    pub(super) fn prepare(&self) {
        let rules = Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner));
        static_nodes::prepare(&self.root, &rules.table());
    }

    /// Reads the rules again: events that begin from now on are handled by them. Answers how many lines they have.
    ///
    /// # Errors
    /// All mistakes of all rules; the old ones stay.
    pub(super) fn reload(&self) -> Result<u32, Mistakes> {
        let rules = self.source.read()?;
        let lines = rules.table().lines();
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        self.prepare();
        Ok(lines)
    }

    /// Handles a message of the kernel. What goes wrong is logged, and the rest is done.
    ///
    /// # Errors
    /// There is no time for it; nothing is done that cannot be done again.
    pub(super) fn handle(&self, message: &[u8], memory: &mut [u8], time: Time) -> Result<Handled, NoTime> {
        let Ok(event) = Uevent::parse(message) else { return Ok(Handled::default()) };
        let device = Device::of(&event);
        let complain = |what: &str, error: &dyn std::fmt::Display| {
            let line = format_args!("{}: {what}: {error}", device.devpath.escape_ascii());
            log::line(Level::Warn, NAME, line);
        };
        if firmware::is_asked_for(&device) {
            if time == Time::None {
                return Err(NoTime);
            }
            if let Err(error) = firmware::give(&self.root, &device) {
                complain("firmware", &error);
            }
        }
        let rules = Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner));
        let entry = device.id().and_then(|id| Entry::read(&self.root.data(), &id));
        let effects = Effects::new(&self.root, self.kernel_makes_nodes);
        if device.action != b"remove"
            && let Err(error) = effects.prepare(&device)
        {
            complain("node", &error);
        }
        let tell = |event: &Event<'_>| match event {
            Event::Failed { command, error } => complain(&command.escape_ascii().to_string(), error),
            Event::Wrote { name, result: Some(error), .. } => {
                complain(&format!("writing {}", name.escape_ascii()), error);
            }
            Event::NoRoom(origin) => complain(&rules.place(*origin), &"no room for what this needs"),
            Event::Did(_) | Event::Wrote { .. } => {}
        };
        let terms = Terms { time, ..Terms::ALL };
        let evaluation = match evaluate(&rules, &self.root, &device, entry.as_ref(), terms, memory, tell) {
            Ok(evaluation) => evaluation,
            Err(Halt::NoTime) => return Err(NoTime),
            Err(Halt::NoRoom) => {
                complain("rules", &"no room for what the kernel says");
                return Ok(Handled::default());
            }
        };
        let outcome = evaluation.outcome();
        if time == Time::None && outcome.runs().any(|run| evaluate::takes_time(run.builtin, run.command)) {
            return Err(NoTime);
        }
        let renamed = rename(&device, outcome).unwrap_or_else(|error| {
            complain("name", &error);
            false
        });
        let initialized_us =
            effects.apply(&device, entry.as_ref(), outcome, |what, error| complain(what, &error));
        evaluate::run_all(&self.root, &device, outcome, tell);
        let told = libudev(&event, entry.as_ref(), outcome, initialized_us, renamed);
        if let Some(monitor) = &self.monitor
            && let Err(error) =
                monitor.say(Group::Libudev, &told).and_then(|()| monitor.say(Group::Raw, message))
        {
            complain("users of libudev", &error);
        }
        let watched = outcome.watch() == Some(true) && device.action != b"remove";
        let node = device.node().filter(|_| watched).map(OsStr::from_bytes);
        let node = node.map(|node| self.root.path("/dev").join(node));
        let watch = node.map(|node| Watch { devpath: device.devpath, node });
        Ok(Handled { watch, told })
    }
}

/// Gives a network interface its name. The kernel says `move` of it then. Answers whether it has another one now.
fn rename(device: &Device, outcome: &Outcome<'_>) -> io::Result<bool> {
    let (Some(new), Some(old)) = (outcome.name(), device.property(b"INTERFACE")) else { return Ok(false) };
    if device.action != b"add" || new == old || device.subsystem != b"net" {
        return Ok(false);
    }
    interfaces::rename(old, new).map(|()| true)
}

/// The event with all that is known of the device now. What is too long for users of libudev is left out, from the end.
fn libudev(
    event: &Uevent<'_>,
    entry: Option<&Entry>,
    outcome: &Outcome<'_>,
    initialized_us: u64,
    renamed: bool,
) -> Vec<u8> {
    let links: Vec<u8> =
        outcome.links().map(|link| [b"/dev/", link].concat()).collect::<Vec<_>>().join(&b' ');
    let listed = |tags: &mut dyn Iterator<Item = &[u8]>| {
        tags.fold(b":".to_vec(), |tags, tag| [&tags[..], tag, b":"].concat())
    };
    let current = listed(&mut outcome.tags());
    let before = entry.into_iter().flat_map(|entry| entry.tags.iter().map(Vec::as_slice));
    let before = before.filter(|tag| !outcome.tags().any(|other| other == *tag));
    let all = listed(&mut outcome.tags().chain(before));
    let initialized = initialized_us.to_string();
    let mut properties: Vec<(&[u8], &[u8])> = event.vars().collect();
    properties.push((b"USEC_INITIALIZED", initialized.as_bytes()));
    if !links.is_empty() {
        properties.push((b"DEVLINKS", &links));
    }
    properties.extend(
        [(&b"TAGS"[..], &all[..]), (b"CURRENT_TAGS", &current)].iter().filter(|(_, tags)| tags.len() > 1),
    );
    let mut set = |key, value| match properties.iter_mut().find(|(known, _)| *known == key) {
        Some(known) => known.1 = value,
        None => properties.push((key, value)),
    };
    outcome.properties().for_each(|(key, value)| set(key, value));
    // Who hears of it finds it in /sys by its new name; that `move` follows, `ID_RENAMING` says.
    let devpath = event.devpath();
    let above = devpath.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let new = outcome.name().unwrap_or_default();
    let new_devpath = [devpath.get(..above).unwrap_or_default(), new].concat();
    if renamed {
        let old = devpath.get(above..).unwrap_or_default();
        set(b"DEVPATH", &new_devpath);
        set(b"INTERFACE", new);
        set(b"INTERFACE_OLD", old);
        set(b"ID_RENAMING", b"1");
    }
    let mut out = vec![0; monitor::MAX_MESSAGE];
    loop {
        let builder = monitor::Builder::new(&mut out);
        let builder = properties.iter().fold(builder, |builder, (key, value)| builder.property(key, value));
        match builder.finish() {
            Ok(len) => {
                out.truncate(len);
                return out;
            }
            Err(_) if properties.len() > event.vars().count() => drop(properties.pop()),
            Err(_) => return Vec::new(),
        }
    }
}
