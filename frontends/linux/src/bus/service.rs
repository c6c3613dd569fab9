//! The daemon as a micro-service (ADR-32): what it answers, and how often it did.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lunix_core::micro::{self, Endpoint, Verb};
use lunix_core::session::Sid;

/// Counts and answers for `nats micro`.
#[derive(Debug)]
pub(super) struct Service {
    name: &'static str,
    description: &'static str,
    id: String,
    started: u64,
    endpoints: Vec<(Sid, Endpoint<'static>)>,
    /// The subscriptions to `$SRV`.
    asked: Vec<Sid>,
}

impl Service {
    pub(super) fn new(name: &'static str, description: &'static str, id: String) -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { name, description, id, started, endpoints: Vec::new(), asked: Vec::new() }
    }

    /// Where it listens.
    pub(super) fn subjects(&self) -> Vec<String> {
        let mut space = [0; 256];
        micro::subjects(&self.view(&[]))
            .filter_map(|subject| subject.write(&mut space).ok().map(str::to_owned))
            .collect()
    }

    pub(super) fn listens(&mut self, sid: Sid) {
        self.asked.push(sid);
    }

    pub(super) fn add(&mut self, sid: Sid, name: &'static str, subject: &'static str) {
        self.endpoints.push((sid, Endpoint { name, subject, ..Endpoint::default() }));
    }

    pub(super) fn is_asked(&self, sid: Sid) -> bool {
        self.asked.contains(&sid)
    }

    /// A request has come to an endpoint.
    pub(super) fn count(&mut self, sid: Sid) {
        if let Some((_, endpoint)) = self.endpoints.iter_mut().find(|(of, _)| *of == sid) {
            endpoint.requests += 1;
        }
    }

    /// It has been answered.
    pub(super) fn count_time(&mut self, sid: Sid, span: Duration) {
        if let Some((_, endpoint)) = self.endpoints.iter_mut().find(|(of, _)| *of == sid) {
            endpoint.nanos += u64::try_from(span.as_nanos()).unwrap_or(u64::MAX >> 1);
        }
    }

    /// The answer to a question on one of its subjects.
    pub(super) fn answer(&self, subject: &[u8]) -> Option<Vec<u8>> {
        let verb = Verb::from_subject(subject)?;
        let endpoints: Vec<Endpoint<'_>> = self.endpoints.iter().map(|(_, endpoint)| *endpoint).collect();
        let mut answer = vec![0; 512 + 320 * endpoints.len()];
        let length = micro::encode(&mut answer, &self.view(&endpoints), verb).ok()?;
        answer.truncate(length);
        Some(answer)
    }

    fn view<'a>(&'a self, endpoints: &'a [Endpoint<'a>]) -> micro::Service<'a> {
        micro::Service {
            name: self.name,
            id: &self.id,
            version: env!("CARGO_PKG_VERSION"),
            description: self.description,
            started: self.started,
            endpoints,
        }
    }
}
