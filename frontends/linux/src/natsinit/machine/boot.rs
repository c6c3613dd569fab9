//! How long it took until services were ready.

use lunix_core::supervise::State;
use lunix_core::supervise::encode_boot::{self, Boot};
use lunix_core::time::Instant;

use crate::encoded::encoded;

/// When each service, by its number, was first wanted, had a process, and was ready.
#[derive(Clone, Debug)]
pub(in crate::natsinit) struct Times {
    started: Instant,
    healthy: Option<Instant>,
    services: Vec<First>,
}

/// The first time of each.
#[derive(Clone, Copy, Debug, Default)]
struct First {
    wanted: Option<Instant>,
    spawned: Option<Instant>,
    ready: Option<Instant>,
}

/// A service as [`Times::tell`] needs it.
#[derive(Clone, Debug)]
pub(in crate::natsinit) struct Service<'a> {
    pub(in crate::natsinit) index: usize,
    pub(in crate::natsinit) name: &'a str,
    pub(in crate::natsinit) state: State,
    /// Names of what it waited for.
    pub(in crate::natsinit) needs: Vec<&'a str>,
}

impl Times {
    /// Of a supervisor that began at `started`.
    pub(in crate::natsinit) const fn new(started: Instant) -> Self {
        Self { started, healthy: None, services: Vec::new() }
    }

    pub(in crate::natsinit) fn started(&self) -> Instant {
        self.started
    }

    pub(in crate::natsinit) fn wanted(&mut self, index: usize, now: Instant) {
        self.set(index, |first| _ = first.wanted.get_or_insert(now));
    }

    pub(in crate::natsinit) fn spawned(&mut self, index: usize, now: Instant) {
        // Whoever has a process was wanted, if only by others.
        self.wanted(index, now);
        self.set(index, |first| _ = first.spawned.get_or_insert(now));
    }

    pub(in crate::natsinit) fn ready(&mut self, index: usize, now: Instant) {
        self.set(index, |first| _ = first.ready.get_or_insert(now));
    }

    /// Everything that was wanted at boot is ready.
    pub(in crate::natsinit) fn healthy(&mut self, now: Instant) {
        self.healthy.get_or_insert(now);
    }

    /// The number `index` belongs to another service now.
    pub(in crate::natsinit) fn forget(&mut self, index: usize) {
        self.set(index, |first| *first = First::default());
    }

    /// The answer of `service.boot`.
    pub(in crate::natsinit) fn tell(&self, services: &[Service<'_>]) -> Vec<u8> {
        encoded(256 + 160 * services.len(), |out| {
            let services = services.iter().map(|service| {
                let First { wanted, spawned, ready } =
                    self.services.get(service.index).copied().unwrap_or_default();
                let needs = service.needs.iter().copied();
                Boot { name: service.name, wanted, spawned, ready, state: service.state, needs }
            });
            encode_boot::boot(out, self.started, self.healthy, services)
        })
    }

    fn set(&mut self, index: usize, set: impl FnOnce(&mut First)) {
        // Numbers of services are small: at most 1024.
        if self.services.len() <= index {
            self.services.resize(index + 1, First::default());
        }
        if let Some(first) = self.services.get_mut(index) {
            set(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_first_times_count() {
        let at = Instant::from_micros;
        let mut times = Times::new(at(1));
        times.wanted(1, at(2));
        times.spawned(0, at(3));
        times.spawned(1, at(4));
        times.ready(0, at(5));
        times.ready(0, at(50));
        times.spawned(0, at(60));
        times.healthy(at(7));
        let service = |index, name, needs| Service { index, name, state: State::Ready, needs };
        let told =
            times.tell(&[service(0, "a", vec![]), service(1, "b", vec!["a"]), service(9, "c", vec![])]);
        let expected = r#"{"started_us":1,"healthy_us":7,"services":[
{"name":"a","wanted_us":3,"spawned_us":3,"ready_us":5,"state":"ready","needs":[]},
{"name":"b","wanted_us":2,"spawned_us":4,"state":"ready","needs":["a"]},
{"name":"c","state":"ready","needs":[]}]}"#;
        assert_eq!(String::from_utf8(told).unwrap(), expected.replace('\n', ""));
    }
}
