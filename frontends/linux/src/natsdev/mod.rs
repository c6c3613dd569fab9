//! `natsdev`: what happens to the hardware, said over NATS.
//!
//! | file | what it does |
//! |---|---|
//! | `settings` | what it is told |
//! | `announce` | says all that is present |
//! | `coldplug` | makes known what is there at the start |
//! | `known` | what is known of a device besides what the kernel says |
//! | `udevd` | listens to udevd where it is at work |
//! | `ask` | `natsdev trigger`, `natsdev settle` |
//! | `hotplug` | drives the models of `lunix_core::device` |
//! | `sysfs` | reads /sys |
//! | `probe` | has volumes read by short-lived children |
//! | `voice` | makes the messages |
//! | `builtins`, `hwdb` | finds what rules ask built-ins for |
//! | `book` | what becomes of devices: by udev's rules, or by an `mdev.conf` |
//! | `device`, `database` | what /sys says of a device, and what is remembered of it |
//! | `effects`, `links` | gives a device the node, owner, links and entry that the rules want |
//! | `firmware` | gives the kernel firmware that it asks for |
//! | `first_pass` | knows whether what was there at the start is known, and who waits for that |
//! | `handling`, `workers`, `handle` | which event is handled when, on which thread, and how |
//! | `turn` | how much of it is done in one turn |
//! | `monitor`, `control` | tells users of libudev, and hears `udevadm` |
//! | `watch` | notices who writes to a node |
//! | `static_nodes` | makes nodes of modules that are not loaded yet |
//! | `sweep` | removes what is left of devices that went unseen |
//! | `refused` | counts what is not believed |
//! | `udevadm` | answers scripts in udev's words |
//! | `requests` | answers `hardware.list` and the like |
//! | `rules` | reads udev's rules, and drives the model that applies them |
//! | `mdev` | reads an `mdev.conf` and does what it says; `mdev` |
//! | `owners` | reads the files of users and groups |

mod announce;
mod ask;
mod book;
mod builtins;
mod coldplug;
mod control;
mod database;
mod device;
mod effects;
mod firmware;
mod first_pass;
mod handle;
mod handling;
mod hotplug;
pub mod hwdb;
mod known;
mod links;
#[cfg_attr(not(feature = "mdev"), path = "mdev/absent.rs")]
pub mod mdev;
mod monitor;
mod owners;
mod probe;
mod refused;
mod requests;
pub mod rules;
mod settings;
mod static_nodes;
mod sweep;
mod sysfs;
mod turn;
#[cfg(feature = "udevadm")]
pub mod udevadm;
mod udevd;
mod voice;
mod watch;
mod workers;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;

use lunix_core::time::Instant;
use lunix_uevent::MAX_MESSAGE;

use book::{Book, Source};
use control::{Control, Visitor, Wish};
use first_pass::FirstPass;
use handle::Ground;
use handling::Handling;
use hotplug::{Filter, Hotplug};
use known::Known;
use probe::Probes;
use refused::Refused;
use requests::Request;
pub use settings::COMMAND;
use settings::{Coldplug, Settings};
use sysfs::Sysfs;
use udevd::Udevd;
use voice::Voice;

use crate::bus::{Bus, Event, Message};
use crate::cli::Matches;
use crate::log::{self, Level};
use crate::reactor::{App, Key, Reactor, Ready, monotonic};
use crate::sys::signals::Signals;
use crate::sys::uevent::{Group, Received, UeventSocket};

const NAME: &str = "natsdev";

/// Runs `natsdev`.
pub fn run(matches: &Matches) -> ExitCode {
    if let Some(node) = matches.path("probe-volume") {
        return probe::run(node, matches.has("udev"));
    }
    match matches.argument(0).map(OsStr::as_bytes) {
        Some(b"trigger") => return ask::trigger(matches),
        Some(b"settle") => return ask::settle(matches),
        Some(b"hwdb") => return hwdb::run(matches),
        Some(b"test-builtin") => return builtins::test::run(matches),
        Some(_) => return rules::test::run(matches),
        None => {}
    }
    let settings = match Settings::from_matches(matches) {
        Ok(settings) => settings,
        Err(error) => return error.report(),
    };
    if matches.has("check-config") {
        return Book::of(matches).err().unwrap_or(ExitCode::SUCCESS);
    }
    let ground = if settings.manage {
        let root = device::Root::new(matches.path("root").unwrap_or(Path::new("/")));
        let source = Source::of(matches, &root);
        match Ground::new(root, source) {
            Ok(ground) => Some(ground),
            Err(mistakes) => {
                eprintln!("{mistakes}");
                return ExitCode::from(2);
            }
        }
    } else {
        None
    };
    match start(settings, ground) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::line(Level::Error, NAME, error);
            ExitCode::FAILURE
        }
    }
}

/// Bytes of messages that wait for the server: beyond [`STALL`] no more events are read while one is there, and
/// beyond all of it the oldest are given up while none is.
const PENDING: usize = 1 << 20;
const STALL: usize = PENDING / 4;
/// Events handled in a turn before the bus is written to.
const BATCH: u32 = 128;
/// Of `udevadm` at the same time; others wait.
const VISITORS: usize = 8;
#[derive(Clone, Copy, Debug)]
enum Token {
    Bus,
    Kernel,
    Udevd,
    UdevdChanged,
    Signals,
    Workers,
    Watches,
    Control,
    Visitor(u8),
    Child(u8),
}

struct Daemon {
    hotplug: Hotplug,
    /// Where rules are applied.
    handling: Option<Handling>,
    /// Who handles devices in our place.
    udevd: Option<Udevd>,
    control: Option<(Control, Key)>,
    visitors: [Option<Visitor>; VISITORS],
    first_pass: FirstPass,
    /// A server has come that has not been told yet what is present.
    expected: bool,
    /// The kernel was asked for events since the socket was last empty.
    asked: bool,
    probes: Probes,
    socket: UeventSocket,
    socket_key: Option<Key>,
    /// The server is slow, or the rules are: events wait in the socket.
    stalled: bool,
    signals: Signals,
    coldplug: Coldplug,
    max_devices: Option<usize>,
    refused: Refused,
    buffer: Box<[u8; MAX_MESSAGE]>,
}

fn start(settings: Settings, ground: Option<Ground>) -> io::Result<()> {
    let signals = Signals::new(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP])?;
    // Before the first look at /sys: what happens from here on is heard.
    let socket = UeventSocket::open(Group::Kernel, settings.rcvbuf)
        .map_err(|error| io::Error::new(error.kind(), format!("no socket for uevents: {error}")))?;
    if !settings.sysfs.join("devices").is_dir() {
        log::line(Level::Warn, NAME, format_args!("{}: no sysfs is mounted here", settings.sysfs.display()));
    }
    let sysfs = Sysfs::new(&settings.sysfs);
    let mut bus = Bus::new(settings.bus, Token::Bus);
    for (name, subject) in requests::ENDPOINTS {
        bus.endpoint(name, subject).map_err(|error| io::Error::other(format!("{subject}: {error}")))?;
    }
    // Without a mark of our own, others could not tell our events from news.
    let (uuid, coldplug) = match sysfs::random_uuid() {
        Ok(uuid) => (uuid, settings.coldplug),
        Err(_) => (String::new(), Coldplug::Scan),
    };
    let handling = ground.map(Handling::new).transpose()?;
    let udevd = match &settings.root {
        Some(root) if handling.is_none() => {
            Some(Udevd::new(&root.path("/run/udev/control"), settings.rcvbuf)?)
        }
        _ => None,
    };
    let database = handling.is_some() || udevd.as_ref().is_some_and(Udevd::decides);
    let known = Known::new(settings.root, database);
    let mut daemon = Daemon {
        handling,
        udevd,
        control: None,
        visitors: [const { None }; VISITORS],
        first_pass: FirstPass::new(monotonic(), settings.settle),
        expected: false,
        asked: false,
        hotplug: Hotplug::new((settings.usb, settings.max_usb), (sysfs, known), Voice::new(bus), uuid),
        probes: Probes::new(settings.probe_timeout, &settings.dev),
        socket,
        socket_key: None,
        stalled: false,
        signals,
        coldplug,
        max_devices: settings.max_devices,
        refused: Refused::default(),
        buffer: Box::new([0; MAX_MESSAGE]),
    };
    let mut reactor = Reactor::new()?;
    reactor.add(&daemon.signals, Token::Signals, Ready::READ)?;
    if let Some(udevd) = &mut daemon.udevd {
        reactor.add(&udevd.presence, Token::UdevdChanged, Ready::READ)?;
        udevd.watch(&mut reactor)?;
    }
    if let Some(handling) = &mut daemon.handling {
        reactor.add(handling.workers(), Token::Workers, Ready::READ)?;
        reactor.add(&handling.watches, Token::Watches, Ready::READ)?;
        let path = handling.workers().ground().root().path("/run/udev/control");
        match Control::open(&path) {
            Ok(control) => {
                let key = reactor.add(&control, Token::Control, Ready::READ)?;
                daemon.control = Some((control, key));
            }
            Err(error) => log::line(Level::Warn, NAME, format_args!("{}: {error}", path.display())),
        }
        // Who comes finds that there is something to wait for.
        handling.flag(true);
    } else {
        daemon.begin(&mut reactor)?;
    }
    reactor.run(&mut daemon)
}

impl Daemon {
    /// Takes in those who come to the control socket.
    fn visited(&mut self, reactor: &mut Reactor<Token>) {
        let Some((control, key)) = &self.control else { return };
        // Who finds no place waits until one is free.
        reactor.read_blocked(*key);
        for (index, place) in (0..).zip(&mut self.visitors).filter(|(_, place)| place.is_none()) {
            let Ok(visitor) = control.accept() else { return };
            if reactor.add(&visitor, Token::Visitor(index), Ready::READ).is_ok() {
                *place = Some(visitor);
            }
        }
    }

    /// Does what one of them wants.
    fn serve(&mut self, reactor: &mut Reactor<Token>, key: Key, index: u8) {
        loop {
            let Some(Some(visitor)) = self.visitors.get(usize::from(index)) else { return };
            match visitor.wish() {
                Some(Wish::Reload) => self.reload(),
                // What has happened is in the queue when this ends, and `udevadm settle` sees that there is one.
                Some(Wish::Ping) if self.first_pass.has_begun() => {
                    self.receive_some(u32::MAX);
                    self.go_on_in(reactor);
                }
                Some(Wish::LogLevel(priority)) => log::set_level(Level::from_priority(priority)),
                // Who wants it waits until the connection is closed: by the end.
                Some(Wish::Exit) => {
                    crate::notify::stopping();
                    self.hotplug.voice.bus.drain();
                }
                Some(Wish::Ping | Wish::Other) => {}
                None => return reactor.read_blocked(key),
                Some(Wish::End) => {
                    reactor.remove(key, visitor);
                    if let Some(place) = self.visitors.get_mut(usize::from(index)) {
                        *place = None;
                    }
                    return self.visited(reactor);
                }
            }
        }
    }

    /// Reads the rules again, if there are any.
    fn reload(&mut self) {
        let Some(handling) = &self.handling else { return };
        match handling.workers().ground().reload() {
            Ok(lines) => log::line(Level::Info, NAME, format_args!("{lines} rules from now on")),
            Err(mistakes) => {
                log::line(Level::Error, NAME, "the rules have mistakes; the old ones stay");
                for line in mistakes.to_string().lines() {
                    log::line(Level::Error, NAME, line);
                }
            }
        }
    }

    /// Handles at most `limit` datagrams.
    fn receive_some(&mut self, limit: u32) -> Drain {
        let now = monotonic();
        for _ in 0..limit {
            let bus = &self.hotplug.voice.bus;
            let full = self.handling.as_ref().is_some_and(|handling| !handling.has_room());
            if full || (bus.is_ready() && bus.pending() > STALL) {
                return Drain::Stalled;
            }
            match self.socket.receive(&mut self.buffer[..]) {
                Ok(Received::Datagram(bytes)) => {
                    if let Err(error) = self.hotplug.heard(now, bytes) {
                        self.refused.say(now, format_args!("{error}"));
                        continue;
                    }
                    match &mut self.handling {
                        None if self.udevd.as_ref().is_some_and(Udevd::decides) => {}
                        None => drop(self.hotplug.handled(now, bytes, &[])),
                        Some(handling) => {
                            if handling.push(bytes).is_err() {
                                self.hotplug.loss.handle(now, lunix_core::device::loss::Input::Overrun);
                            }
                        }
                    }
                }
                Ok(Received::Refused(why)) => self.refused.count(now, why),
                Ok(Received::Overrun) => {
                    self.hotplug.loss.handle(now, lunix_core::device::loss::Input::Overrun)
                }
                Ok(Received::Empty) => {
                    self.asked = false;
                    self.hotplug.drained(now);
                    return Drain::Empty;
                }
                Err(error) => {
                    log::line(Level::Error, NAME, format_args!("receiving uevents: {error}"));
                    return Drain::Empty;
                }
            }
        }
        Drain::More
    }

    fn bus_event(&mut self, reactor: &mut Reactor<Token>, event: &Event) {
        match event {
            Event::Ready { .. } => self.expected = true,
            Event::Lost => {
                self.expected = false;
                self.hotplug.stop_announcing();
                log::line(Level::Warn, NAME, "the server is gone; looking for one");
            }
            Event::Message(message) => self.answer(message),
            Event::Dropped { messages, bytes } => {
                let why =
                    format_args!("{messages} messages ({bytes} bytes) given up: no server, or a slow one");
                log::line(Level::Warn, NAME, why);
            }
            Event::Closed => reactor.stop(),
            _ => {}
        }
    }

    /// When all is known that was there at the start, those who have come are told of it.
    fn introduce(&mut self) {
        if self.first_pass.ended().is_none() {
            return;
        }
        while let Some(message) = self.first_pass.next_waiting() {
            self.answer(&message);
        }
        if !std::mem::take(&mut self.expected) {
            return;
        }
        let again = std::mem::replace(&mut self.hotplug.voice.introduced, true);
        let count = self.hotplug.announce(&Filter::default(), again).unwrap_or(0);
        log::line(Level::Info, NAME, format_args!("connected; announcing {count} devices"));
    }

    /// Answers a request, now or when there is something to be told.
    fn answer(&mut self, message: &Message) {
        match requests::answer(self, message) {
            Some(Request::Trigger(filter)) if self.handling.is_some() => {
                let paths = self.hotplug.paths(&filter);
                self.handling.iter_mut().for_each(|handling| handling.ask(paths.iter().cloned()));
            }
            Some(Request::Trigger(filter)) if self.coldplug == Coldplug::Trigger => {
                let paths = self.hotplug.paths(&filter);
                if let Err(error) = self.trigger(paths.iter().map(Vec::as_slice)) {
                    log::line(Level::Warn, NAME, format_args!("asking for events: {error}"));
                }
            }
            _ => {}
        }
    }
}

/// How far the socket is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drain {
    Empty,
    More,
    /// The server has to read first.
    Stalled,
}

impl App for Daemon {
    type Token = Token;

    fn ready(&mut self, reactor: &mut Reactor<Token>, key: Key, token: Token, _: Ready) {
        match token {
            Token::Bus => self.hotplug.voice.bus.ready(reactor, key),
            Token::Kernel => match self.receive_some(BATCH) {
                Drain::Empty => reactor.read_blocked(key),
                Drain::More => {}
                Drain::Stalled => {
                    self.stalled = true;
                    reactor.want(key, Ready::default());
                }
            },
            Token::Udevd => self.hear_udevd(reactor, key),
            Token::UdevdChanged => {
                reactor.read_blocked(key);
                self.udevd_changed(reactor);
            }
            Token::Signals => {
                while let Some(signal) = self.signals.next() {
                    if signal == libc::SIGHUP {
                        self.reload();
                        continue;
                    }
                    crate::notify::stopping();
                    self.hotplug.voice.bus.drain();
                }
                reactor.read_blocked(key);
            }
            Token::Workers => {
                reactor.read_blocked(key);
                if let Some(handling) = &mut self.handling {
                    handling.workers().heard();
                    while let Some((message, told)) = handling.next_done() {
                        self.hotplug.handled(reactor.now(), &message, &told);
                    }
                }
            }
            Token::Watches => {
                if let Some(handling) = &mut self.handling {
                    for devpath in handling.watches.written() {
                        // It may have gone meanwhile.
                        let _ = self.hotplug.sysfs.say(&devpath, "change", &self.hotplug.uuid);
                    }
                }
                reactor.read_blocked(key);
            }
            Token::Control => self.visited(reactor),
            Token::Visitor(index) => self.serve(reactor, key, index),
            Token::Child(index) => {
                if let Some((probe, contents)) = self.probes.ended(reactor, index) {
                    self.hotplug.probed(reactor.now(), probe, &contents);
                }
            }
        }
    }

    fn deadline(&mut self, reactor: &mut Reactor<Token>) {
        let now = reactor.now();
        self.hotplug.voice.bus.deadline(reactor);
        self.hotplug.tick(now);
        while let Some((probe, contents)) = self.probes.expired(now) {
            self.hotplug.probed(now, probe, &contents);
        }
    }

    fn flush(&mut self, reactor: &mut Reactor<Token>) {
        let now = reactor.now();
        while let Some(event) = self.hotplug.voice.bus.next() {
            self.bus_event(reactor, &event);
        }
        self.go_on_in(reactor);
        self.hotplug.announce_some();
        loop {
            self.hotplug.look(now);
            for (probe, devnode) in std::mem::take(&mut self.hotplug.questions) {
                match self.hotplug.known.contents(&devnode) {
                    Some(contents) => self.hotplug.probed(now, probe, &contents),
                    None => self.probes.ask(now, probe, &devnode),
                }
            }
            match self.probes.start(reactor) {
                Some((probe, contents)) => self.hotplug.probed(now, probe, &contents),
                None => break,
            }
        }
        self.introduce();
        self.hotplug.voice.bus.flush(reactor);
        let bus = &self.hotplug.voice.bus;
        if bus.is_ready() {
            self.first_pass.connected();
        }
        // Who waits for us hears of us before that takes its time.
        if !self.first_pass.has_begun() && self.first_pass.may_begin(bus.is_failing()) {
            reactor.come_back();
        }
        // What happens meanwhile goes before the rest.
        if self.hotplug.may_announce() {
            reactor.come_back();
        }
        let bus = &self.hotplug.voice.bus;
        if self.stalled
            && self.handling.as_ref().is_none_or(Handling::has_room)
            && (!bus.is_ready() || bus.pending() < STALL / 4)
        {
            self.stalled = false;
            let udevd = self.udevd.as_ref().and_then(|udevd| udevd.key);
            self.socket_key.into_iter().chain(udevd).for_each(|key| reactor.want(key, Ready::READ));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let bus = self.hotplug.voice.bus.next_deadline();
        bus.into_iter().chain(self.hotplug.next_deadline()).chain(self.probes.next_deadline()).min()
    }
}
