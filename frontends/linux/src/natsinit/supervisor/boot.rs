//! The boot: when everything that was wanted is ready, and what took how long until then.

use lunix_core::supervise::{Exit, ServiceId, State};
use lunix_core::time::Instant;

use super::super::machine::{Scope, healthy};
use super::Supervisor;

impl Supervisor {
    /// Notes when a service was first wanted (0), made (1) and ready (2).
    pub(super) fn stamp(&mut self, id: ServiceId, which: usize, at: Instant) {
        match which {
            0 => self.times.wanted(id.index(), at),
            1 => self.times.spawned(id.index(), at),
            _ => self.times.ready(id.index(), at),
        }
        if let Some(time) = self.service_mut(id).and_then(|service| service.times.get_mut(which)) {
            time.get_or_insert(at);
        }
    }

    pub(super) fn await_at_boot(&mut self, id: ServiceId) {
        if let (Some(awaited), Ok(place)) = (&mut self.awaited, u16::try_from(id.index())) {
            awaited.push(place);
        }
    }

    /// Says once that everything that was wanted at boot is ready.
    pub(super) fn look_at_health(&mut self, now: Instant) {
        let Some(awaited) = &self.awaited else { return };
        let well = |place: &u16| {
            let id = ServiceId::new(*place);
            match self.state(id) {
                None | Some(State::Ready | State::Waiting) => true,
                // It was ready, and has ended well and for good. What somebody has stopped is not what was wanted at boot.
                Some(State::Stopped) => {
                    let service = self.service(id);
                    self.system.is_wanted(id)
                        && self.system.status(id).is_some_and(|report| report.exit == Some(Exit::Code(0)))
                        && service.is_some_and(|service| service.times.last().is_some_and(Option::is_some))
                }
                Some(_) => false,
            }
        };
        // Those that start last are ready last: mostly the first look tells.
        if awaited.is_empty() || self.ending.is_some() || !awaited.iter().rev().all(well) {
            return;
        }
        let count = awaited.len() as u64;
        self.awaited = None;
        self.times.healthy(now);
        if self.scope == Scope::Machine {
            let said = healthy(count, self.times.started(), now);
            self.link.publish(said.subject.as_bytes(), &said.payload);
        }
    }
}
