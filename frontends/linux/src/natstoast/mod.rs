//! `natstoast`: the toast service. It turns what arrives on `toast.in` into toasts, says what becomes of them,
//! and shows them on its console.

mod console;
mod output;

use std::io;
use std::process::{Command as Process, ExitCode};

use lunix_core::time::Instant;
use lunix_core::toast::{Event as Told, Input, Refusal, Timeouts, Toasts, decode, encode, subject};
use lunix_proto::nats::header;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use self::console::Console;
use self::output::Output;
use crate::applets::{BRIDGE, bridge};
use crate::bus::{self, Bus, Message, Options};
use crate::cli::{BASIC, Command, DAEMON, Flag, Hint, Matches, NATS, Style, UsageError};
use crate::encoded::fill;
use crate::log::{self, Level};
use crate::notify;
use crate::reactor::{App, Key, Reactor, Ready, monotonic};
use crate::sys::local_time::LocalTime;
use crate::sys::signals::Signals;
use crate::sys::spawn::spawn;
use crate::terminal::Terminal;

const NAME: &str = "natstoast";

/// Its command line.
pub static COMMAND: Command = Command {
    name: NAME,
    about: "toast notification service and its console presenter",
    arguments: &[],
    flags: &[
        &[
            Flag {
                names: &["presenter", "p"],
                value: Some("KIND"),
                help: "who shows toasts: `console` writes them to stdout, `none` leaves it to those who listen \
                       to toast.show [console]",
                hint: Hint::OneOf(&["console", "none"]),
            },
            Flag {
                names: &["dbus"],
                value: None,
                help: "run natstoast-dbus, too: notifications of desktops",
                hint: Hint::None,
            },
        ],
        NATS,
        DAEMON,
        BASIC,
    ],
    of: None,
    style: Style::Gnu,
    details: &[
        "Publish text or a JSON object to toast.in, and listen to toast.show, toast.closed and toast.action. \
         `lunix schema --markdown` describes all of them.",
        "On a terminal toasts are boxes, coloured by urgency; NO_COLOR and TERM=dumb are honoured. On a pipe \
         there is one line an event.",
    ],
    commands: &[],
    examples: &[
        ("natstoast", "show toasts here"),
        ("natstoast --presenter none", "keep and announce toasts for presenters elsewhere"),
    ],
};

/// Toasts shown at a time, waiting, and remembered; bytes of text of each.
type Center = Toasts<32, 32, 32, 1536>;

#[derive(Clone, Copy, Debug)]
enum Token {
    Bus,
    Signals,
    Output,
}

struct Natstoast {
    bus: Bus<Token>,
    toasts: Box<Center>,
    signals: Signals,
    presenter: Option<(Console, Output)>,
    /// natstoast-dbus.
    dbus: Option<Pid>,
    /// What is said, encoded; grows to the longest list once.
    out: Vec<u8>,
    refused: Refused,
    started: bool,
}

/// Refusals that nobody is told of go to the log, one line a second at most.
#[derive(Default)]
struct Refused {
    last: Option<Instant>,
    unsaid: u64,
}

/// Runs the daemon.
pub fn run(matches: &Matches) -> ExitCode {
    match start(matches) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some((mut reactor, mut app))) => match reactor.run(&mut app) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        Err(Failure::Usage(error)) => error.report(),
        Err(Failure::System(error)) => fail(&error),
    }
}

fn fail(error: &io::Error) -> ExitCode {
    log::line(Level::Error, NAME, error);
    ExitCode::FAILURE
}

enum Failure {
    Usage(UsageError),
    System(io::Error),
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

fn start(matches: &Matches) -> Result<Option<(Reactor<Token>, Natstoast)>, Failure> {
    if let Some(level) = matches.text("log")?.and_then(Level::from_name) {
        log::set_level(level);
    }
    matches.without_settings()?;
    let mut options = Options::from_matches(NAME, matches)?;
    options.description = COMMAND.about;
    if matches.has("check-config") {
        return Ok(None);
    }
    // Before anything else: no signal may kill what is half set up.
    let signals = Signals::new(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGWINCH, libc::SIGCHLD])?;
    let mut reactor = Reactor::new()?;
    reactor.add(&signals, Token::Signals, Ready::READ)?;
    let presenter = match matches.text("presenter")? {
        Some("none") => None,
        _ => {
            let output = Output::open(&mut reactor, Token::Output)?;
            Some((Console::new(Terminal::of(&output)), output))
        }
    };
    let dbus = if matches.has("dbus") { Some(start_dbus(matches)?) } else { None };
    let mut bus = Bus::new(options, Token::Bus);
    let endpoints = [
        ("in", subject::IN),
        ("close", subject::CLOSE),
        ("dismiss", subject::DISMISS),
        ("list", subject::LIST),
        ("history", subject::HISTORY),
    ];
    for (name, subject) in endpoints {
        bus.endpoint(name, subject).map_err(io::Error::other)?;
    }
    bus.subscribe(subject::ACTION).map_err(io::Error::other)?;
    let app = Natstoast {
        bus,
        toasts: Box::new(Center::new(Timeouts::STANDARD)),
        signals,
        presenter,
        dbus,
        out: vec![0; 1024],
        refused: Refused::default(),
        started: false,
    };
    Ok(Some((reactor, app)))
}

/// Starts natstoast-dbus, which ends with us and says for itself why it does sooner, with what we were told of NATS.
fn start_dbus(matches: &Matches) -> Result<Pid, UsageError> {
    let mut command = Process::new(bridge().unwrap_or_else(|| BRIDGE.into()));
    command.arg("natstoast-dbus");
    for (name, value) in matches.flags().filter(|(name, _)| !["dbus", "presenter"].contains(name)) {
        command.arg(format!("--{name}")).args(value);
    }
    let missing = |_| matches.error("--dbus: expected lunix-bridge beside natstoast or in $PATH");
    spawn(&mut command).map(|child| child.pid).map_err(missing)
}

impl App for Natstoast {
    type Token = Token;

    fn ready(&mut self, reactor: &mut Reactor<Token>, key: Key, token: Token, _: Ready) {
        match token {
            Token::Bus => self.bus.ready(reactor, key),
            Token::Output => self.write(reactor),
            Token::Signals => match self.signals.next() {
                Some(libc::SIGWINCH) => {
                    if let Some((console, output)) = &mut self.presenter {
                        console.resize(Terminal::of(output));
                    }
                }
                Some(libc::SIGCHLD) => {
                    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
                    let _ = self.dbus.map(|dbus| waitid(WaitId::Pid(dbus), options));
                }
                // The terminal is gone, the daemon stays: its output ends with the next write.
                Some(libc::SIGHUP) => {}
                Some(_) => {
                    notify::stopping();
                    self.bus.drain();
                }
                None => reactor.read_blocked(key),
            },
        }
    }

    fn deadline(&mut self, reactor: &mut Reactor<Token>) {
        self.bus.deadline(reactor);
        self.handle(Input::Tick);
    }

    fn flush(&mut self, reactor: &mut Reactor<Token>) {
        while let Some(event) = self.bus.next() {
            match event {
                bus::Event::Ready { again } => {
                    if again {
                        self.handle(Input::Announce);
                    }
                    if !std::mem::replace(&mut self.started, true) {
                        notify::ready();
                    }
                }
                bus::Event::Message(message) => self.message(&message),
                bus::Event::Dropped { messages, bytes } => {
                    let lost =
                        format_args!("gave up {messages} messages ({bytes} bytes): no server took them");
                    log::line(Level::Warn, NAME, lost);
                }
                bus::Event::Error(text) => log::line(Level::Warn, NAME, format_args!("server: {text}")),
                bus::Event::Closed => reactor.stop(),
                _ => {}
            }
        }
        self.write(reactor);
        self.bus.flush(reactor);
    }

    fn next_deadline(&self) -> Option<Instant> {
        [self.bus.next_deadline(), self.toasts.next_deadline()].into_iter().flatten().min()
    }
}

impl Natstoast {
    fn message(&mut self, message: &Message) {
        let payload = message.payload();
        let result = match str::from_utf8(message.subject()).unwrap_or_default() {
            subject::LIST | subject::HISTORY => return self.list(message),
            subject::IN => decode::request(payload).and_then(|request| self.take(Input::Toast(&request))),
            subject::CLOSE => decode::id(payload).and_then(|id| self.take(Input::Close(id))),
            subject::DISMISS => decode::id(payload).and_then(|id| self.take(Input::Dismiss(id))),
            _ => decode::action(payload).and_then(|(id, action)| self.take(Input::Action(id, action))),
        };
        let length = match &result {
            Ok(id) => fill(&mut self.out, |out| encode::id(out, *id)),
            Err(refusal) => {
                if message.reply().is_none() {
                    self.refused.say(&message.subject_text(), refusal);
                }
                let length = fill(&mut self.out, |out| encode::error(out, refusal));
                let mut space = [0; 256];
                let mut header = header::Writer::new(&mut space);
                header.field("Nats-Service-Error-Code", code(refusal));
                header.field("Nats-Service-Error", refusal.to_string().as_bytes());
                let header_length = header.finish().unwrap_or(0);
                let header = space.get(..header_length).unwrap_or_default();
                let _ = self.bus.respond_with(message, header, self.out.get(..length).unwrap_or_default());
                return;
            }
        };
        self.answer(message, length);
        self.tell();
    }

    fn list(&mut self, message: &Message) {
        let (toasts, now) = (&self.toasts, monotonic());
        let length = if message.subject() == subject::LIST.as_bytes() {
            fill(&mut self.out, |out| encode::list(out, toasts.view().present(), now))
        } else {
            fill(&mut self.out, |out| encode::list(out, toasts.history(), now))
        };
        self.answer(message, length);
    }

    fn answer(&mut self, message: &Message, length: usize) {
        let _ = self.bus.respond(message, self.out.get(..length).unwrap_or_default());
    }

    fn handle(&mut self, input: Input<'_>) {
        // `Announce` and `Tick` are never refused.
        let _ = self.take(input);
        self.tell();
    }

    fn take(&mut self, input: Input<'_>) -> Result<u32, Refusal> {
        self.toasts.handle(monotonic(), input)
    }

    /// Says and shows what the toasts did.
    fn tell(&mut self) {
        while let Some(told) = self.toasts.poll() {
            let clock = LocalTime::now().to_string();
            match told {
                Told::Show(id, why) => {
                    let Some(toast) = self.toasts.get(id) else { continue };
                    let length = fill(&mut self.out, |out| encode::show(out, toast, why));
                    let _ = self.bus.publish(subject::SHOW, self.out.get(..length).unwrap_or_default());
                    if let Some((console, output)) = &mut self.presenter {
                        output.say(&console.show(toast, why, &clock));
                    }
                }
                Told::Closed(id, reason) => {
                    let length = fill(&mut self.out, |out| encode::closed(out, id, reason));
                    let _ = self.bus.publish(subject::CLOSED, self.out.get(..length).unwrap_or_default());
                    if let Some((console, output)) = &mut self.presenter {
                        output.say(&console.closed(id, reason, &clock));
                    }
                }
                // It came from the presenter that published it.
                Told::Action(..) => {}
            }
        }
    }

    fn write(&mut self, reactor: &mut Reactor<Token>) {
        if let Some((_, output)) = &mut self.presenter
            && let Err(error) = output.flush(reactor)
        {
            log::line(Level::Warn, NAME, format_args!("stdout: {error}; toasts are announced, not shown"));
            self.presenter = None;
        }
    }
}

impl Refused {
    fn say(&mut self, subject: &str, refusal: &Refusal) {
        let now = monotonic();
        if self.last.is_some_and(|last| now.since(last).as_secs() < 1) {
            self.unsaid += 1;
            return;
        }
        let more = match std::mem::take(&mut self.unsaid) {
            0 => String::new(),
            unsaid => format!(" (and {unsaid} before)"),
        };
        log::line(Level::Warn, NAME, format_args!("{subject}: {refusal}{more}"));
        self.last = Some(now);
    }
}

/// The code of a refusal, in HTTP's words as micro-services have it.
const fn code(refusal: &Refusal) -> &'static [u8] {
    match refusal {
        Refusal::Invalid { .. } | Refusal::Payload { .. } => b"400",
        Refusal::NoToast(_) | Refusal::NoAction(_) => b"404",
        Refusal::Full { .. } => b"429",
    }
}
