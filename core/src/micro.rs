//! NATS micro-services (ADR-32): how `nats micro ls` finds a daemon.
//!
//! A daemon subscribes to the nine subjects of [`subjects`] and answers each request there with what
//! [`encode`] makes of its [`Service`].
//!
//! ```
//! use lunix_core::micro::{Endpoint, Service, Verb, encode, subjects};
//!
//! let endpoints = [Endpoint { name: "list", subject: "hardware.list", ..Endpoint::default() }];
//! let service = Service {
//!     name: "natsdev",
//!     id: "X1",
//!     version: "0.1.0",
//!     description: "hotplug",
//!     started: 0,
//!     endpoints: &endpoints,
//! };
//! let mut space = [0; 128];
//! assert!(subjects(&service).any(|subject| subject.write(&mut space) == Ok("$SRV.INFO.natsdev.X1")));
//!
//! let mut out = [0; 256];
//! let length = encode(&mut out, &service, Verb::Ping).unwrap();
//! assert_eq!(
//!     core::str::from_utf8(&out[..length]).unwrap(),
//!     r#"{"type":"io.nats.micro.v1.ping_response","name":"natsdev","id":"X1","version":"0.1.0","metadata":{}}"#
//! );
//! ```

use lunix_proto::Full;
use lunix_proto::json::Writer;

use crate::utc;

/// A running daemon.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a> {
    /// The daemon's name: letters, digits, `-`, `_`.
    pub name: &'a str,
    /// This instance's name, one NATS token.
    pub id: &'a str,
    /// A semantic version.
    pub version: &'a str,
    /// One line for people.
    pub description: &'a str,
    /// When it started, in seconds since 1970 UTC.
    pub started: u64,
    /// What it answers.
    pub endpoints: &'a [Endpoint<'a>],
}

/// A subject that a service answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Endpoint<'a> {
    /// Its name for people.
    pub name: &'a str,
    /// Where it listens.
    pub subject: &'a str,
    /// Its queue group; empty if every instance answers.
    pub queue: &'a str,
    /// Requests so far.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Time spent on all of them, in nanoseconds.
    pub nanos: u64,
}

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Who is there.
    Ping,
    /// What do you answer.
    Info,
    /// How often did you.
    Stats,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ping, Self::Info, Self::Stats];

    /// As it stands in the subject.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ping => "PING",
            Self::Info => "INFO",
            Self::Stats => "STATS",
        }
    }

    /// The verb of a subject that begins with `$SRV.`, whomever it asks.
    pub fn from_subject(subject: &[u8]) -> Option<Self> {
        let rest = subject.strip_prefix(b"$SRV.")?;
        let verb = rest.split(|&byte| byte == b'.').next()?;
        Self::ALL.into_iter().find(|known| known.name().as_bytes() == verb)
    }
}

/// One of the subjects at which a service is asked.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    verb: Verb,
    name: Option<&'a str>,
    id: Option<&'a str>,
}

impl Subject<'_> {
    /// Writes the subject.
    ///
    /// # Errors
    /// It does not fit.
    pub fn write<'o>(&self, out: &'o mut [u8]) -> Result<&'o str, Full> {
        let dot = |part: Option<&str>| if part.is_some() { "." } else { "" };
        let parts = [
            "$SRV.",
            self.verb.name(),
            dot(self.name),
            self.name.unwrap_or_default(),
            dot(self.id),
            self.id.unwrap_or_default(),
        ];
        let needed = parts.iter().map(|part| part.len()).sum();
        let room = out.get_mut(..needed).ok_or(Full { needed })?;
        for (to, from) in room.iter_mut().zip(parts.iter().flat_map(|part| part.bytes())) {
            *to = from;
        }
        core::str::from_utf8(room).map_err(|_| Full { needed })
    }
}

/// Where a service must listen: each verb for all services, for those of its name, and for itself alone.
pub fn subjects<'a>(service: &Service<'a>) -> impl Iterator<Item = Subject<'a>> + use<'a> {
    let (name, id) = (Some(service.name), Some(service.id));
    Verb::ALL.into_iter().flat_map(move |verb| {
        [Subject { verb, name: None, id: None }, Subject { verb, name, id: None }, Subject { verb, name, id }]
    })
}

/// The answer to a question.
///
/// # Errors
/// It does not fit into `out`.
pub fn encode(out: &mut [u8], service: &Service<'_>, verb: Verb) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object();
    json.key("type").string(match verb {
        Verb::Ping => "io.nats.micro.v1.ping_response",
        Verb::Info => "io.nats.micro.v1.info_response",
        Verb::Stats => "io.nats.micro.v1.stats_response",
    });
    json.key("name").string(service.name);
    json.key("id").string(service.id);
    json.key("version").string(service.version);
    json.key("metadata").begin_object().end_object();
    match verb {
        Verb::Ping => {}
        Verb::Info => {
            json.key("description").string(service.description);
        }
        Verb::Stats => {
            json.key("started").string_bytes(&utc::rfc3339(service.started));
        }
    }
    if verb != Verb::Ping {
        json.key("endpoints").begin_array();
        for endpoint in service.endpoints {
            json.begin_object();
            json.key("name").string(endpoint.name);
            json.key("subject").string(endpoint.subject);
            json.key("queue_group").string(endpoint.queue);
            if verb == Verb::Info {
                json.key("metadata").begin_object().end_object();
            } else {
                json.key("num_requests").number(endpoint.requests);
                json.key("num_errors").number(endpoint.errors);
                json.key("last_error").string("");
                json.key("processing_time").number(endpoint.nanos);
                let average = endpoint.nanos.checked_div(endpoint.requests).unwrap_or(0);
                json.key("average_processing_time").number(average);
            }
            json.end_object();
        }
        json.end_array();
    }
    json.end_object();
    json.finish()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    const ENDPOINTS: &[Endpoint<'_>] =
        &[Endpoint { name: "list", subject: "toast.list", queue: "", requests: 4, errors: 1, nanos: 401 }];
    const SERVICE: Service<'_> = Service {
        name: "natstoast",
        id: "A-1",
        version: "1.2.3",
        description: "says \"hello\"",
        started: 1_795_492_800,
        endpoints: ENDPOINTS,
    };

    fn answer(verb: Verb) -> serde_json::Value {
        let mut out = [0; 1024];
        let length = encode(&mut out, &SERVICE, verb).unwrap();
        serde_json::from_slice(&out[..length]).unwrap()
    }

    #[test]
    fn nine_subjects() {
        let mut seen = Vec::new();
        for subject in subjects(&SERVICE) {
            let mut out = [0; 64];
            seen.push(std::string::String::from(subject.write(&mut out).unwrap()));
            assert_eq!(subject.write(&mut [0; 5]), Err(Full { needed: seen.last().unwrap().len() }));
        }
        assert_eq!(seen.len(), 9);
        for subject in ["$SRV.PING", "$SRV.STATS.natstoast", "$SRV.INFO.natstoast.A-1"] {
            assert!(seen.iter().any(|known| known == subject), "{subject}");
        }
    }

    #[test]
    fn verbs_are_read_from_subjects() {
        assert_eq!(Verb::from_subject(b"$SRV.PING"), Some(Verb::Ping));
        assert_eq!(Verb::from_subject(b"$SRV.STATS.x.y"), Some(Verb::Stats));
        for other in [&b"$SRV.PINGS"[..], b"$SRV", b"PING", b"$SRV.ping"] {
            assert_eq!(Verb::from_subject(other), None);
        }
    }

    #[test]
    fn answers_are_as_adr_32_has_them() {
        let info = answer(Verb::Info);
        assert_eq!(info["type"], "io.nats.micro.v1.info_response");
        assert_eq!(info["description"], "says \"hello\"");
        assert_eq!(info["endpoints"][0]["subject"], "toast.list");
        let stats = answer(Verb::Stats);
        assert_eq!(stats["type"], "io.nats.micro.v1.stats_response");
        assert_eq!(stats["started"], "2026-11-24T04:00:00Z");
        assert_eq!(stats["endpoints"][0]["num_requests"], 4);
        assert_eq!(stats["endpoints"][0]["average_processing_time"], 100);
        assert_eq!(answer(Verb::Ping)["metadata"], serde_json::json!({}));
    }
}
