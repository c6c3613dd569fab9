//! What natstoast-dbus hears of NATS and of the system.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use lunix::bus::{self, Bus, Event, Message};
use lunix::log::{self, Level};
use lunix::notify;
use lunix::reactor::{App, Key, Reactor, Ready, monotonic};
use lunix::sys::signals::Signals;
use lunix_core::session::RequestId;
use lunix_core::time::Instant;
use lunix_core::toast::{Reason, subject};
use lunix_proto::json::{self, Object};
use tokio::sync::Notify;

use super::NAME;
use super::client::Client;
use super::notification::Notification;
use super::server::{Answer, PATIENCE, Server, Upstream};
use super::session::{Caller, Session};
use super::settings::Settings;
use crate::upstream;

/// The connection to NATS.
pub(super) type Nats = Bus<Token>;

/// What the reactor watches.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Bus,
    Signals,
}

/// The event by which natsinit says that there is another natstoast, whose toasts are not those of the one before.
const NATSTOAST: &str = "service.natstoast.ready";

pub(super) struct Daemon {
    pub(super) nats: Nats,
    signals: Signals,
    pub(super) server: Server<Caller, RequestId>,
    pub(super) client: Client,
    pub(super) session: Session,
    /// The request for all toasts.
    list: Option<RequestId>,
    /// Somebody waits for us to be ready.
    started: bool,
}

impl Upstream for Nats {
    type Request = RequestId;

    fn is_ready(&self) -> bool {
        Bus::is_ready(self)
    }

    fn publish(&mut self, subject: &str, payload: &[u8]) {
        // What finds no room takes that of the oldest.
        let _ = Bus::publish(self, subject, payload);
    }

    fn request(&mut self, subject: &str, payload: &[u8]) -> Option<RequestId> {
        Bus::request(self, subject, payload, PATIENCE).ok()
    }
}

/// Serves until SIGTERM, or the end of the session bus.
///
/// # Errors
/// There is no session bus, it has gone away, or somebody else has our place there.
pub(super) fn run(settings: Settings) -> io::Result<()> {
    // Before anything else: no signal may kill what is half set up.
    let signals = Signals::new(&[libc::SIGTERM, libc::SIGINT])?;
    let mut reactor = Reactor::new()?;
    reactor.add(&signals, Token::Signals, Ready::READ)?;
    let Settings { bus, role } = settings;
    let mut nats = Nats::new(bus, Token::Bus);
    for subject in [subject::SHOW, subject::CLOSED, subject::ACTION, NATSTOAST] {
        nats.subscribe(subject).map_err(io::Error::other)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let said = Rc::new(Notify::new());
        let connection = super::session::connect().await?;
        let session = Session::new(role, &connection, said.clone());
        let daemon = RefCell::new(Daemon {
            nats,
            signals,
            server: Server::new(),
            client: Client::default(),
            session,
            list: None,
            started: false,
        });
        let changed = Notify::new();
        tokio::select! {
            ended = upstream::run(reactor, &daemon, &changed) => ended,
            ended = super::session::run(connection, &daemon, &changed, &said) => ended,
        }
    })
}

impl App for Daemon {
    type Token = Token;

    fn ready(&mut self, reactor: &mut Reactor<Token>, key: Key, token: Token, _: Ready) {
        match token {
            Token::Bus => self.nats.ready(reactor, key),
            Token::Signals => match self.signals.next() {
                Some(_) => {
                    notify::stopping();
                    self.nats.drain();
                }
                None => reactor.read_blocked(key),
            },
        }
    }

    fn deadline(&mut self, reactor: &mut Reactor<Token>) {
        self.nats.deadline(reactor);
        self.server.tick(reactor.now(), &mut self.nats);
        self.say();
    }

    fn flush(&mut self, reactor: &mut Reactor<Token>) {
        while let Some(event) = self.nats.next() {
            match event {
                Event::Ready { .. } => {
                    self.server.ready(&mut self.nats);
                    self.ask_for_all();
                }
                Event::Message(message) => self.message(&message),
                Event::Answer { request, answer } => self.answer(request, &answer),
                Event::Closed => reactor.stop(),
                _ => {}
            }
            self.say();
        }
        self.report();
        self.nats.flush(reactor);
    }

    fn next_deadline(&self) -> Option<Instant> {
        [self.nats.next_deadline(), self.server.next_deadline()].into_iter().flatten().min()
    }
}

impl Daemon {
    /// Says that we are ready, once we are.
    pub(super) fn report(&mut self) {
        if !self.started && self.nats.is_ready() && self.session.is_settled() {
            self.started = true;
            notify::ready();
        }
    }

    /// Asks for all toasts: some may have come or ended unheard.
    pub(super) fn ask_for_all(&mut self) {
        if Bus::is_ready(&self.nats) {
            self.list = Upstream::request(&mut self.nats, subject::LIST, b"");
        }
    }

    fn message(&mut self, message: &Message) {
        let Some(object) = json::parse(message.payload()).ok().and_then(|value| value.as_object()) else {
            return;
        };
        if message.subject() == NATSTOAST.as_bytes() {
            return self.ask_for_all();
        }
        let Some(toast) = id(&object) else { return };
        match str::from_utf8(message.subject()).unwrap_or_default() {
            subject::SHOW => {
                let again = object.get("again").and_then(|again| again.as_bool()) == Some(true);
                if let Some(notification) =
                    Notification::of_toast(&object).filter(|_| self.session.forwards())
                {
                    self.client.show(toast, again, notification);
                }
            }
            subject::CLOSED => {
                if let Some(reason) = reason(&object) {
                    self.server.closed(toast, reason);
                    if reason != Reason::Replaced {
                        self.client.closed(toast);
                    }
                }
            }
            _ => {
                let action = object.get("action").and_then(|action| action.as_str());
                if let Some(action) = action.map(|action| action.chars().collect::<String>()) {
                    self.server.action(toast, &action);
                }
            }
        }
    }

    fn answer(&mut self, request: RequestId, answer: &bus::Answer) {
        let answer = match answer {
            bus::Answer::Message(message, _) => Answer::Payload(message.payload()),
            bus::Answer::NoResponders => Answer::NoResponders,
            bus::Answer::TimedOut => Answer::TimedOut,
        };
        if self.list != Some(request) {
            self.server.answered(&mut self.nats, request, answer);
            return;
        }
        self.list = None;
        let Answer::Payload(payload) = answer else { return };
        let Some(list) = json::parse(payload).ok().and_then(|value| value.as_array()) else { return };
        let toasts = || list.iter().filter_map(|toast| toast.as_object());
        self.server.present(&toasts().filter_map(|toast| id(&toast)).collect::<Vec<_>>());
        if self.session.forwards() {
            let is_shown = |toast: &Object<'_>| {
                toast.get("state").and_then(|state| state.as_str()).is_some_and(|state| state.eq_str("shown"))
            };
            let shown = toasts()
                .filter(is_shown)
                .filter_map(|toast| Some((id(&toast)?, Notification::of_toast(&toast)?)));
            self.client.present(shown.collect());
        }
    }

    /// It is `now` for whoever asks from D-Bus.
    pub(super) fn now() -> Instant {
        monotonic()
    }

    pub(super) fn warn(text: impl std::fmt::Display) {
        log::line(Level::Warn, NAME, text);
    }
}

fn id(object: &Object<'_>) -> Option<u32> {
    object.get("id").and_then(|id| id.as_u64()).and_then(|id| u32::try_from(id).ok())
}

fn reason(object: &Object<'_>) -> Option<Reason> {
    let word = object.get("reason").and_then(|reason| reason.as_str())?;
    let all = [Reason::Expired, Reason::Dismissed, Reason::Closed, Reason::Replaced];
    all.into_iter().find(|reason| word.eq_str(reason.as_str()))
}
