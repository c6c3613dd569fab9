//! The supervisor on the bus: it tells how services stand, and answers who asks.

use std::time::Duration;

use lunix_core::supervise::{Report, encode};
use lunix_core::time::Instant;

use super::plan::Unit;
use super::session::Token;
use crate::bus::{Bus, Event, Message, Options, UrlError};
use crate::encoded::encoded;
use crate::log::{self, Level};
use crate::reactor::{Key, Reactor};

/// What somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// `service.list`
    List,
    /// `service.<name>.<verb>`, of the unit with this number.
    Service(u16, Verb),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Status,
    Start,
    Stop,
    Restart,
    Usage,
}

impl Verb {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Status, "status"),
        (Self::Start, "start"),
        (Self::Stop, "stop"),
        (Self::Restart, "restart"),
        (Self::Usage, "usage"),
    ];
}

/// The connection, from the moment that there is a server.
#[derive(Debug, Default)]
pub(super) struct Link {
    bus: Option<Bus<Token>>,
    requests: Vec<(lunix_core::session::Sid, Request)>,
    /// What was to be told before there was a bus.
    early: Vec<(Vec<u8>, Vec<u8>)>,
    forgotten: u64,
}

/// Events kept before there is a bus: the first ones, as they tell how it came to be.
const EARLY: usize = 256;
/// Bytes of the longest report or usage.
const REPORT: usize = 512;

impl Link {
    /// Connects to the server, which is there.
    pub(super) fn open(&mut self, urls: &str, units: &[Unit]) -> Result<(), UrlError> {
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
        for (subject, payload) in self.early.drain(..) {
            let _ = bus.publish(subject, &payload);
        }
        if self.forgotten > 0 {
            let line = format_args!("{} states before the server was there are not told", self.forgotten);
            log::line(Level::Warn, "natsinit", line);
        }
        if let Ok(sid) = bus.endpoint("list", "service.list") {
            self.requests.push((sid, Request::List));
        }
        for (index, unit) in (0_u16..).zip(units).filter(|(_, unit)| unit.public) {
            for (verb, word) in Verb::ALL {
                // Each by its own name: the services of another supervisor are its own business.
                if let Ok(sid) = bus.subscribe(format!("service.{}.{word}", unit.name)) {
                    self.requests.push((sid, Request::Service(index, verb)));
                }
            }
        }
        self.bus = Some(bus);
        Ok(())
    }

    /// Publishes `service.<name>.<state>`, now or when there is a bus.
    pub(super) fn tell(&mut self, name: &str, report: &Report) {
        let (mut subject, mut payload) = ([0; 128], [0; REPORT]);
        let (Ok(subject_len), Ok(payload_len)) =
            (encode::subject(&mut subject, name, report.state), encode::report(&mut payload, name, report))
        else {
            return;
        };
        let subject = subject.get(..subject_len).unwrap_or_default();
        let payload = payload.get(..payload_len).unwrap_or_default();
        match &mut self.bus {
            Some(bus) => drop(bus.publish(subject, payload)),
            None if self.early.len() < EARLY => self.early.push((subject.into(), payload.into())),
            None => self.forgotten += 1,
        }
    }

    /// The next request, to be called until `None`.
    pub(super) fn next(&mut self) -> Option<(Message, Request)> {
        loop {
            match self.bus.as_mut()?.next()? {
                Event::Message(message) => {
                    let known = self.requests.iter().find(|(sid, _)| message.sid() == Some(*sid));
                    if let Some((_, request)) = known {
                        return Some((message, *request));
                    }
                }
                Event::Closed => self.bus = None,
                _ => {}
            }
        }
    }

    pub(super) fn answer(&mut self, message: &Message, payload: &[u8]) {
        if let Some(bus) = &mut self.bus {
            let _ = bus.respond(message, payload);
        }
    }

    /// Delivers what is pending and ends; at once if there is nobody to deliver it to.
    pub(super) fn drain(&mut self) {
        match &mut self.bus {
            Some(bus) if bus.is_ready() => bus.drain(),
            _ => self.bus = None,
        }
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

/// `{"error": why}`
pub(super) fn refusal(why: &str) -> Vec<u8> {
    encoded(REPORT, |out| {
        let mut json = lunix_proto::json::Writer::new(out);
        json.begin_object().key("error").string(why).end_object();
        json.finish()
    })
}
