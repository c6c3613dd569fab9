//! `natsmount`: mounts volumes when their devices come, and unmounts them when they go.
//!
//! | file | what it does |
//! |---|---|
//! | `settings` | what it is told |
//! | `rules`, `options` | which volumes are mounted, and how |
//! | `hardware` | what natsdev says of devices |
//! | `requests` | what others ask for |
//! | `volumes` | does what the model of `lunix_core::mount` decides |
//! | `jobs` | has the kernel do it, in children |
//! | `folders`, `table` | what is mounted where, and what of it is ours |

mod folders;
mod hardware;
mod jobs;
mod options;
mod requests;
mod rules;
mod settings;
mod table;
mod volumes;

use std::io;
use std::process::ExitCode;

use lunix_core::mount::Input;
use lunix_core::time::Instant;

use folders::Folders;
use hardware::Looks;
pub use settings::COMMAND;
use settings::Settings;
use table::Table;
use volumes::Keeper;

use crate::bus::{Bus, Event};
use crate::cli::Matches;
use crate::log::{self, Level};
use crate::reactor::{App, Key, Reactor, Ready};
use crate::sys::signals::Signals;

const NAME: &str = "natsmount";

#[derive(Clone, Copy, Debug)]
enum Token {
    Bus,
    Signals,
    Table,
    Child(u8),
}

struct Daemon {
    bus: Bus<Token>,
    keeper: Keeper,
    looks: Looks,
    settings: Settings,
    signals: Signals,
    started: bool,
}

/// Runs `natsmount`.
pub fn run(matches: &Matches) -> ExitCode {
    if matches.has("perform") {
        return jobs::run(matches.all("perform"));
    }
    crate::start::start(NAME, matches, Settings::from_matches(matches), serve)
}

fn serve(settings: Settings) -> io::Result<()> {
    let signals = Signals::new(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP])?;
    let folders = Folders::open(&settings.media, &settings.state)?;
    let table = Table::open()?;
    if settings.rules.is_empty() {
        log::line(Level::Info, NAME, "no rules: it mounts only what it is asked for (see --all, --config)");
    }
    let wants_blocks = settings.wants_blocks();
    let mut bus = Bus::new(settings.bus.clone(), Token::Bus);
    let failed =
        |subject: &str, error: &dyn std::fmt::Display| io::Error::other(format!("{subject}: {error}"));
    for (name, subject) in requests::ENDPOINTS {
        bus.endpoint(name, subject).map_err(|error| failed(subject, &error))?;
    }
    for subject in hardware::subjects(wants_blocks) {
        bus.subscribe(subject).map_err(|error| failed(subject, &error))?;
    }
    let mut keeper = Keeper::new(settings.limits, settings.rules.clone(), folders, table);
    keeper.take_over(&mut bus);
    let mut reactor = Reactor::new()?;
    reactor.add(&signals, Token::Signals, Ready::READ)?;
    reactor.add(&keeper.table, Token::Table, Ready::READ)?;
    let looks = Looks::new(wants_blocks);
    let mut daemon = Daemon { bus, keeper, looks, settings, signals, started: false };
    reactor.run(&mut daemon)
}

impl App for Daemon {
    type Token = Token;

    fn ready(&mut self, reactor: &mut Reactor<Token>, key: Key, token: Token, _: Ready) {
        match token {
            Token::Bus => self.bus.ready(reactor, key),
            Token::Signals => {
                while let Some(signal) = self.signals.next() {
                    if signal == libc::SIGHUP {
                        self.reload();
                        continue;
                    }
                    crate::notify::stopping();
                    self.bus.drain();
                }
                reactor.read_blocked(key);
            }
            Token::Table => {
                // The kernel says by an edge that something was mounted or unmounted.
                reactor.read_blocked(key);
                self.keeper.look_at_table(&mut self.bus);
            }
            Token::Child(index) => {
                if let Some(outcome) = self.keeper.jobs.ended(reactor, index) {
                    self.outcome(outcome);
                }
            }
        }
    }

    fn deadline(&mut self, reactor: &mut Reactor<Token>) {
        self.bus.deadline(reactor);
        self.keeper.jobs.tick(reactor.now());
        let _ = self.keeper.handle(&mut self.bus, Input::Tick);
    }

    fn flush(&mut self, reactor: &mut Reactor<Token>) {
        while let Some(event) = self.bus.next() {
            self.bus_event(reactor, event);
        }
        while let Some(outcome) = self.keeper.jobs.start(reactor) {
            self.outcome(outcome);
        }
        self.bus.flush(reactor);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let own = [self.bus.next_deadline(), self.keeper.next_deadline()];
        own.into_iter().flatten().min()
    }
}

impl Daemon {
    /// Volumes that come from now on are mounted by the rules as they are now.
    fn reload(&mut self) {
        if let Err(mistakes) = self.settings.reload() {
            log::line(Level::Error, NAME, "the rules have mistakes; the old ones stay");
            for line in mistakes.to_string().lines() {
                log::line(Level::Error, NAME, line);
            }
            return;
        }
        self.keeper.rules = self.settings.rules.clone();
        log::line(Level::Info, NAME, format_args!("{} rules from now on", self.keeper.rules.len()));
        if self.settings.wants_blocks() && !std::mem::replace(&mut self.looks.wants_blocks, true) {
            let usb: Vec<_> = hardware::subjects(false).collect();
            for subject in hardware::subjects(true).filter(|subject| !usb.contains(subject)) {
                if let Err(error) = self.bus.subscribe(subject) {
                    log::line(Level::Error, NAME, format_args!("{subject}: {error}"));
                }
            }
            self.looks.ask(&mut self.bus);
        }
    }

    fn bus_event(&mut self, reactor: &mut Reactor<Token>, event: Event) {
        match event {
            Event::Ready { again } => {
                if again {
                    let _ = self.keeper.handle(&mut self.bus, Input::Announce);
                }
                self.looks.ask(&mut self.bus);
                if !std::mem::replace(&mut self.started, true) {
                    crate::notify::ready();
                }
            }
            Event::Message(message) if requests::is_one(&message) => {
                requests::answer(&mut self.keeper, &mut self.looks, &mut self.bus, message);
            }
            Event::Message(message) => {
                self.looks.event(&mut self.keeper, &mut self.bus, message.subject(), message.payload());
            }
            Event::Answer { request, answer } => {
                self.looks.answer(&mut self.keeper, &mut self.bus, request, &answer);
            }
            Event::Dropped { messages, bytes } => {
                let lost = format_args!("gave up {messages} messages ({bytes} bytes): no server took them");
                log::line(Level::Warn, NAME, lost);
            }
            Event::Closed => reactor.stop(),
            _ => {}
        }
    }

    fn outcome(&mut self, outcome: jobs::Outcome) {
        match outcome.whom {
            jobs::For::Volume(id) => self.keeper.outcome(&mut self.bus, id, outcome.error),
            jobs::For::Look(look) => {
                self.looks.looked(&mut self.keeper, &mut self.bus, look, outcome.error, &outcome.contents);
            }
        }
    }
}
