//! The supervisor on the bus: it tells how services stand, and hears what is asked and what starts them.

use std::time::Duration;

use lunix_core::session::{RequestId, Sid};
use lunix_core::supervise::{Report, encode, encode_log};
use lunix_core::time::Instant;
use lunix_proto::nats::header;

use super::supervisor::Token;
use super::untold::Untold;
use crate::bus::{Answer, Bus, Event, Message, Options, UrlError};
use crate::encoded::encoded;
use crate::log::{self, Level};
use crate::reactor::{Key, Reactor};

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// `service.list`
    List,
    /// `service.usage`
    Usages,
    /// `service.boot`
    Boot,
    /// `service.reload`
    Reload,
    /// `system.*`
    Machine,
    /// `service.<name>.<verb>`
    Service(Verb),
    /// A subject that services wait for: what starts them, or makes them ready.
    Heard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Status,
    Start,
    Stop,
    Restart,
    Reload,
    Usage,
    Tail,
    Freeze,
    Thaw,
}

/// The requests of the supervisor itself: name of the endpoint, subject, what it is.
const OWN: [(&str, &str, Request); 4] = [
    ("list", "service.list", Request::List),
    ("usage", "service.usage", Request::Usages),
    ("boot", "service.boot", Request::Boot),
    ("reload", "service.reload", Request::Reload),
];

/// The requests to each service. A session answers for its own services only. So does a machine's supervisor, and says of every
/// other name that there is none, once it knows that no session has it ([`Link::doubt`]).
const VERBS: [(&str, Verb); 9] = [
    ("service.*.status", Verb::Status),
    ("service.*.start", Verb::Start),
    ("service.*.stop", Verb::Stop),
    ("service.*.restart", Verb::Restart),
    ("service.*.reload", Verb::Reload),
    ("service.*.usage", Verb::Usage),
    ("service.*.tail", Verb::Tail),
    ("service.*.freeze", Verb::Freeze),
    ("service.*.thaw", Verb::Thaw),
];

/// The connection, from the moment that there is a server.
#[derive(Debug, Default)]
pub(super) struct Link {
    bus: Option<Bus<Token>>,
    requests: Vec<(Sid, Request)>,
    /// Subjects that services wait for.
    heard: Vec<(String, Sid)>,
    wanted: Vec<String>,
    /// By which a session says that it has a service.
    owned: Vec<(String, Sid)>,
    names: Vec<String>,
    /// Requests for services that a session may have, and what that is asked with.
    doubts: Vec<(RequestId, Message)>,
    /// What is to be told and no server could be told yet.
    untold: Untold,
    /// It ends: what happens from now on is for whoever comes after us.
    leaving: bool,
}

/// Subjects that services may wait for. The bus has 128 in all.
const HEARD: usize = 64;
/// Services of a session that a machine's supervisor leaves to it.
const OWNED: usize = 32;
/// Requests at a time for names that nobody is known to have.
const DOUBTS: usize = 32;
/// How long somebody who hears `service.<name>.here` and is no session, as who listens to everything, holds up a refusal.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of the longest report or usage.
const REPORT: usize = 512;

impl Link {
    /// Connects to the server, which is there, or will be.
    pub(super) fn open(
        &mut self,
        urls: &str,
        machine: &[(&'static str, &'static str)],
    ) -> Result<(), UrlError> {
        if self.bus.is_some() {
            return Ok(());
        }
        let mut options = Options::new("natsinit", urls)?;
        match options.clone().secured(None) {
            Ok(secured) => options = secured,
            // A server of our own needs none of it.
            Err(line) => log::line(Level::Warn, "natsinit", line),
        }
        options.description = "process supervisor";
        options.drain = Duration::from_millis(500);
        let mut bus = Bus::new(options, Token::Bus);
        let machine = machine.iter().map(|(name, subject)| (*name, *subject, Request::Machine));
        self.requests.clear();
        for (name, subject, request) in OWN.into_iter().chain(machine) {
            if let Ok(sid) = bus.endpoint(name, subject) {
                self.requests.push((sid, request));
            }
        }
        for (subject, verb) in VERBS {
            if let Ok(sid) = bus.subscribe(subject) {
                self.requests.push((sid, Request::Service(verb)));
            }
        }
        self.bus = Some(bus);
        self.heard.clear();
        self.owned.clear();
        let (wanted, names) = (std::mem::take(&mut self.wanted), std::mem::take(&mut self.names));
        self.hear(wanted);
        self.own(names);
        Ok(())
    }

    /// Hears these subjects from now on, and no others, for services that wait for them.
    pub(super) fn hear(&mut self, mut subjects: Vec<String>) {
        subjects.sort();
        subjects.dedup();
        if subjects.len() > HEARD {
            let line =
                format_args!("services wait for {} subjects, of which {HEARD} are heard", subjects.len());
            log::line(Level::Error, "natsinit", line);
            subjects.truncate(HEARD);
        }
        if let Some(bus) = &mut self.bus {
            subscribe(bus, &mut self.heard, &subjects);
        }
        self.wanted = subjects;
    }

    /// Says of these services, and of no others, that a session has them.
    pub(super) fn own(&mut self, names: Vec<String>) {
        let subjects: Vec<_> = names.iter().take(OWNED).map(|name| format!("service.{name}.here")).collect();
        if let Some(bus) = &mut self.bus {
            subscribe(bus, &mut self.owned, &subjects);
        }
        self.names = names;
    }

    /// Publishes `service.<name>.<state>`, now or when there is a server.
    pub(super) fn tell(&mut self, name: &str, report: &Report) {
        let (mut subject, mut payload) = ([0; 128], [0; REPORT]);
        let (Ok(subject_len), Ok(payload_len)) =
            (encode::subject(&mut subject, name, report.state), encode::report(&mut payload, name, report))
        else {
            return;
        };
        let subject = subject.get(..subject_len).unwrap_or_default();
        self.publish(subject, payload.get(..payload_len).unwrap_or_default());
    }

    /// Publishes an event, now or when there is a server.
    pub(super) fn publish(&mut self, subject: &[u8], payload: &[u8]) {
        match &mut self.bus {
            Some(bus) if bus.is_ready() && !self.leaving && self.untold.is_empty() => {
                let _ = bus.publish(subject, payload);
            }
            _ => self.keep(subject, payload),
        }
    }

    /// Keeps an event until there is a server.
    pub(super) fn keep(&mut self, subject: &[u8], payload: &[u8]) {
        self.untold.push(subject, payload);
    }

    /// Publishes `service.<name>.log`, if there is a server: it is no event that must not be lost, as the last lines are kept.
    pub(super) fn log(&mut self, name: &str, line: &encode_log::Line<'_>, dropped: u64) {
        let Some(bus) = self.bus.as_mut().filter(|bus| bus.is_ready() && !self.leaving) else { return };
        let mut subject = [0; 128];
        let Ok(len) = encode_log::subject(&mut subject, name, "log") else { return };
        let payload = encoded(REPORT, |out| encode_log::line(out, name, line, dropped));
        let _ = bus.publish(subject.get(..len).unwrap_or_default(), &payload);
    }

    /// There is a server, and it was told everything.
    pub(super) fn has_told(&self) -> bool {
        self.untold.is_empty() && self.bus.as_ref().is_some_and(Bus::is_ready)
    }

    /// The events that no server was told of.
    pub(super) fn untold(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.untold.iter()
    }

    /// The next message, to be called until `None`.
    pub(super) fn next(&mut self) -> Option<(Message, Request)> {
        loop {
            match self.bus.as_mut()?.next()? {
                Event::Message(message) => {
                    let sid = message.sid()?;
                    if let Some((_, request)) = self.requests.iter().find(|(known, _)| sid == *known) {
                        return Some((message, *request));
                    }
                    if self.owned.iter().any(|(_, known)| sid == *known) {
                        return Some((message, Request::Service(Verb::Status)));
                    }
                    if self.heard.iter().any(|(_, known)| sid == *known) {
                        return Some((message, Request::Heard));
                    }
                }
                Event::Answer { request, answer } => self.resolve(request, &answer),
                Event::Ready { .. } => self.tell_untold(),
                Event::Closed => self.bus = None,
                _ => {}
            }
        }
    }

    /// The subject, as a service waits for it, that brought a message.
    pub(super) fn subject_of(&self, message: &Message) -> Option<&str> {
        let sid = message.sid()?;
        self.heard.iter().find(|(_, known)| *known == sid).map(|(subject, _)| subject.as_str())
    }

    fn tell_untold(&mut self) {
        let Some(bus) = self.bus.as_mut().filter(|_| !self.leaving) else { return };
        let untold = std::mem::take(&mut self.untold);
        for (subject, payload) in untold.iter() {
            let _ = bus.publish(subject, payload);
        }
        let forgotten = untold.forgotten();
        if forgotten > 0 {
            let line = format_args!("{forgotten} events while no server was there are not told");
            log::line(Level::Warn, "natsinit", line);
        }
    }

    pub(super) fn answer(&mut self, message: &Message, payload: &[u8]) {
        if let Some(bus) = &mut self.bus {
            let _ = bus.respond(message, payload);
        }
    }

    /// Refuses a request as micro-services do, and says why in the payload, too.
    pub(super) fn refuse(&mut self, message: &Message, refusal: &Refusal) {
        let mut space = [0; REPORT];
        let mut header = header::Writer::new(&mut space);
        header.field("Nats-Service-Error-Code", refusal.code.as_bytes());
        header.field("Nats-Service-Error", refusal.why.as_bytes());
        let len = header.finish().unwrap_or(0);
        if let Some(bus) = &mut self.bus {
            let _ = bus.respond_with(message, space.get(..len).unwrap_or_default(), &refusal.json());
        }
    }

    /// Refuses a request for a service of this name, unless a session has it: then that one answers. The server itself tells at
    /// once where nobody is asked for that.
    pub(super) fn doubt(&mut self, message: &Message) {
        let asked = name_of(message.subject()).filter(|_| self.doubts.len() < DOUBTS).zip(self.bus.as_mut());
        match asked.map(|(name, bus)| bus.request(format!("service.{name}.here"), b"", PATIENCE)) {
            Some(Ok(request)) => self.doubts.push((request, message.clone())),
            _ => self.refuse(message, &Refusal::unknown()),
        }
    }

    fn resolve(&mut self, request: RequestId, answer: &Answer) {
        let Some(at) = self.doubts.iter().position(|(known, _)| *known == request) else { return };
        let (_, message) = self.doubts.swap_remove(at);
        if !matches!(answer, Answer::Message(..)) {
            self.refuse(&message, &Refusal::unknown());
        }
    }

    /// Delivers what is pending and ends; at once if there is nobody to deliver it to. Later events are kept.
    pub(super) fn drain(&mut self) {
        match &mut self.bus {
            Some(bus) if bus.is_ready() => {
                for (subject, payload) in std::mem::take(&mut self.untold).iter() {
                    let _ = bus.publish(subject, payload);
                }
                bus.drain();
            }
            _ => self.bus = None,
        }
        self.leaving = true;
    }

    /// It goes on after all.
    pub(super) fn stay(&mut self) {
        self.leaving = false;
    }

    /// There is no bus, or no more.
    pub(super) fn is_closed(&self) -> bool {
        self.bus.is_none()
    }

    pub(super) fn ready(&mut self, reactor: &mut Reactor<Token>, key: Key) {
        if let Some(bus) = &mut self.bus {
            bus.ready(reactor, key);
        }
    }

    pub(super) fn deadline(&mut self, reactor: &mut Reactor<Token>) {
        if let Some(bus) = &mut self.bus {
            bus.deadline(reactor);
        }
    }

    pub(super) fn flush(&mut self, reactor: &mut Reactor<Token>) {
        if let Some(bus) = &mut self.bus {
            bus.flush(reactor);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.bus.as_ref()?.next_deadline()
    }
}

/// One report as JSON.
pub(super) fn report(name: &str, report: &Report) -> Vec<u8> {
    encoded(REPORT, |out| encode::report(out, name, report))
}

/// What a service has used as JSON.
pub(super) fn usage(name: &str, usage: &encode::Usage) -> Vec<u8> {
    encoded(REPORT, |out| encode::usage(out, name, usage))
}

/// The last lines of a service as JSON.
pub(super) fn tail<'a>(lines: impl Iterator<Item = encode_log::Line<'a>> + Clone) -> Vec<u8> {
    encoded(REPORT, |out| encode_log::tail(out, lines.clone()))
}

/// A service that cannot be as its file is broken, as an event of its state.
pub(super) fn left_out(name: &str, why: &str, now: Instant) -> Vec<u8> {
    encoded(REPORT, |out| {
        let mut json = lunix_proto::json::Writer::new(out);
        json.begin_object().key("name").string(name).key("state").string("failed");
        json.key("error").string(why).key("restarts").number(0);
        json.key("at_us").number(now.as_micros()).end_object();
        json.finish()
    })
}

/// An object with one more member, unless that is empty.
pub(super) fn with(mut object: Vec<u8>, key: &str, text: &str) -> Vec<u8> {
    if text.is_empty() || !object.ends_with(b"}") {
        return object;
    }
    object.pop();
    let member = encoded(REPORT, |out| {
        let mut json = lunix_proto::json::Writer::new(out);
        json.begin_object().key(key).string(text).end_object();
        json.finish()
    });
    object.push(b',');
    object.extend_from_slice(member.strip_prefix(b"{").unwrap_or_default());
    object
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Whose fault it is, as HTTP counts.
    code: &'static str,
    why: String,
}

impl Refusal {
    /// What was asked makes no sense.
    pub(super) fn wrong(why: impl Into<String>) -> Self {
        Self { code: "400", why: why.into() }
    }

    pub(super) fn unknown() -> Self {
        Self { code: "404", why: "there is no such service".into() }
    }

    /// It cannot be, as things stand.
    pub(super) fn not_now(why: impl Into<String>) -> Self {
        Self { code: "409", why: why.into() }
    }

    /// `{"error": why}`
    fn json(&self) -> Vec<u8> {
        encoded(REPORT, |out| {
            let mut json = lunix_proto::json::Writer::new(out);
            json.begin_object().key("error").string(&self.why).end_object();
            json.finish()
        })
    }
}

/// Subscribes to these subjects, and no longer to others that are `known`.
fn subscribe(bus: &mut Bus<Token>, known: &mut Vec<(String, Sid)>, subjects: &[String]) {
    known.retain(|(subject, sid)| {
        let stays = subjects.contains(subject);
        if !stays {
            bus.unsubscribe(*sid);
        }
        stays
    });
    for subject in subjects {
        if known.iter().any(|(known, _)| known == subject) {
            continue;
        }
        match bus.subscribe(subject) {
            Ok(sid) => known.push((subject.clone(), sid)),
            Err(error) => log::line(Level::Error, "natsinit", format_args!("{subject}: {error}")),
        }
    }
}

/// The name in `service.<name>.<verb>`.
pub(super) fn name_of(subject: &[u8]) -> Option<&str> {
    std::str::from_utf8(subject).ok()?.split('.').nth(1)
}
