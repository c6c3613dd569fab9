//! One event, handled: what the rules want of the device is done, and then users of libudev are told.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Arc, PoisonError, RwLock};

use lunix_core::device::rules::Outcome;
use lunix_uevent::Uevent;

use super::NAME;
use super::book::{Book, Source};
use super::database::Entry;
use super::device::{Device, Root};
use super::effects::Effects;
use super::firmware;
use super::mdev::Conf;
use super::monitor::{self, Group, Monitor};
use super::rules::Rules;
use super::rules::evaluate::{self, Event, Halt, NoTime, Terms, Time, evaluate};
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
    book: RwLock<Arc<Book>>,
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

impl Ground {
    /// # Errors
    /// All mistakes of all rules.
    pub(super) fn new(root: Root, source: Source) -> Result<Self, Mistakes> {
        let book = source.read(&root)?;
        let monitor = Monitor::open()
            .inspect_err(|error| {
                log::line(Level::Warn, NAME, format_args!("users of libudev hear nothing: {error}"));
            })
            .ok();
        let kernel_makes_nodes = root.kernel_makes_nodes();
        Ok(Self { root, kernel_makes_nodes, source, book: RwLock::new(Arc::new(book)), monitor })
    }

    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// Before any device: what is there without one.
    pub(super) fn prepare(&self) {
        let book = Arc::clone(&self.book.read().unwrap_or_else(PoisonError::into_inner));
        static_nodes::make(&self.root);
        if let Book::Udev(rules) = &*book {
            static_nodes::permit_all(&self.root, &rules.table());
        }
    }

    /// Reads the rules again, or the `mdev.conf`: events that begin from now on are handled by them. Answers how many lines they have.
    ///
    /// # Errors
    /// All mistakes of all rules; the old ones stay.
    pub(super) fn reload(&self) -> Result<usize, Mistakes> {
        let book = self.source.read(&self.root)?;
        let lines = book.lines();
        *self.book.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
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
        if firmware::is_asked_for(&device) {
            if time == Time::None {
                return Err(NoTime);
            }
            if let Err(error) = firmware::give(&self.root, &device) {
                complain(&device, "firmware", &error);
            }
        }
        let book = Arc::clone(&self.book.read().unwrap_or_else(PoisonError::into_inner));
        match &*book {
            Book::Udev(rules) => self.by_rules(rules, &event, device, message, memory, time),
            Book::Mdev(conf) => self.by_conf(conf, &event, &device, message, time),
        }
    }

    fn by_rules(
        &self,
        rules: &Rules,
        event: &Uevent<'_>,
        device: Device,
        message: &[u8],
        memory: &mut [u8],
        time: Time,
    ) -> Result<Handled, NoTime> {
        let complain = |what: &str, error: &dyn std::fmt::Display| complain(&device, what, error);
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
        let evaluation = match evaluate(rules, &self.root, &device, entry.as_ref(), terms, memory, tell) {
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
        let told = monitor::by_rules(event, entry.as_ref(), outcome, initialized_us, renamed);
        self.tell(&device, &told, message);
        let watched = outcome.watch() == Some(true) && device.action != b"remove";
        let node = device.node().filter(|_| watched).map(OsStr::from_bytes);
        let node = node.map(|node| self.root.path("/dev").join(node));
        let watch = node.map(|node| Watch { devpath: device.devpath, node });
        Ok(Handled { watch, told })
    }

    fn by_conf(
        &self,
        conf: &Conf,
        event: &Uevent<'_>,
        device: &Device,
        message: &[u8],
        time: Time,
    ) -> Result<Handled, NoTime> {
        let mut wrong = |what: &str, error| complain(device, what, &error);
        conf.handle(&self.root, self.kernel_makes_nodes, device, time, &mut wrong)?;
        let told = monitor::plain(event);
        self.tell(device, &told, message);
        Ok(Handled { watch: None, told })
    }

    /// Tells users of libudev what they would hear from udevd, and in the kernel's words.
    fn tell(&self, device: &Device, libudev: &[u8], message: &[u8]) {
        let Some(monitor) = &self.monitor else { return };
        let told = monitor.say(Group::Libudev, libudev).and_then(|()| monitor.say(Group::Raw, message));
        if let Err(error) = told {
            complain(device, "users of libudev", &error);
        }
    }
}

fn complain(device: &Device, what: &str, error: &dyn std::fmt::Display) {
    log::line(Level::Warn, NAME, format_args!("{}: {what}: {error}", device.devpath.escape_ascii()));
}

/// Gives a network interface its name. The kernel says `move` of it then. Answers whether it has another one now.
fn rename(device: &Device, outcome: &Outcome<'_>) -> io::Result<bool> {
    let (Some(new), Some(old)) = (outcome.name(), device.property(b"INTERFACE")) else { return Ok(false) };
    if device.action != b"add" || new == old || device.subsystem != b"net" {
        return Ok(false);
    }
    interfaces::rename(old, new).map(|()| true)
}
