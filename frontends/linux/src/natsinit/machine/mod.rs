//! The machine as a whole: `system.*`, pressure, and kills because memory ran out.
//!
//! The driver hands [`Machine`] what the reactor says about its token, publishes what [`Machine::next`] tells, and
//! asks [`Machine::answer`] about every request on one of [`Machine::subjects`].

pub(super) mod boot;
mod facts;
mod oom;
mod pressure;
mod requests;

use std::collections::VecDeque;
use std::path::Path;

use lunix_core::machine::{Resource, encode};
use lunix_core::supervise::encode_log;
use lunix_core::time::Instant;

use crate::encoded::encoded;
use crate::reactor::{Key, Reactor};

#[allow(unused_imports, reason = "the supervisor of the machine obeys")]
pub(super) use requests::{Order, Reply};

use oom::{Counter, Log};
use pressure::Trigger;

/// Bytes of the longest event, as a rule.
const EVENT: usize = 512;
/// Events that wait to be published; more are made by a broken kernel only, and given up.
const WAITING: usize = 256;

/// Whom the supervisor supervises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of the machine: it watches pressure and the kernel's log, and what people order is carried out.
    Machine,
    /// Services of a session: it answers what the machine is and has used.
    Session,
}

/// Something to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) subject: String,
    pub(super) payload: Vec<u8>,
}

/// What is watched of the machine, and of the cgroups of services. `T` is the application's token type.
#[derive(Debug)]
pub(super) struct Machine<T> {
    token: T,
    scope: Scope,
    triggers: Vec<Trigger>,
    log: Option<Log>,
    groups: Vec<Group>,
    said: VecDeque<Said>,
}

/// What is watched of a service's cgroup.
#[derive(Debug)]
struct Group {
    name: String,
    /// Its path from the root of the hierarchy.
    path: String,
    /// Its kills are counted, by us or by the driver.
    counted: bool,
    kills: Option<Counter>,
    pressure: Option<Trigger>,
}

impl<T: Copy> Machine<T> {
    /// Watches what `scope` says, as far as this kernel and our rights allow; its sources come back with `token`.
    pub(super) fn open(reactor: &mut Reactor<T>, token: T, scope: Scope) -> Self {
        let mut machine =
            Self { token, scope, triggers: Vec::new(), log: None, groups: Vec::new(), said: VecDeque::new() };
        if scope == Scope::Machine {
            machine.triggers = Resource::ALL
                .into_iter()
                .filter_map(|resource| Trigger::of_machine(reactor, token, resource))
                .collect();
            machine.log = Log::open(reactor, token);
        }
        machine
    }

    /// The names and subjects of what is answered, for [`Bus::endpoint`](crate::bus::Bus::endpoint).
    pub(super) fn subjects(&self) -> &'static [(&'static str, &'static str)] {
        requests::subjects(self.scope)
    }

    /// The answer to a request on `subject`; `None` if it is none of [`Machine::subjects`].
    pub(super) fn answer(&self, subject: &[u8], payload: &[u8]) -> Option<Reply> {
        requests::answer(self.scope, subject, payload)
    }

    /// Watches the cgroup of the service `name`, whose folder is `group`: kills, and pressure of memory.
    pub(super) fn watch(&mut self, reactor: &mut Reactor<T>, name: &str, group: &Path) {
        self.forget(reactor, name);
        let kills = Counter::open(reactor, self.token, group);
        self.groups.push(Group {
            name: name.to_owned(),
            path: path_of(group),
            counted: kills.is_some(),
            kills,
            pressure: Trigger::of_group(reactor, self.token, group),
        });
    }

    /// As [`Machine::watch`] for a driver that counts kills itself, and says [`Machine::killed`]: needs no descriptors.
    pub(super) fn know(&mut self, reactor: &mut Reactor<T>, name: &str, group: &Path) {
        self.forget(reactor, name);
        let (name, path) = (name.to_owned(), path_of(group));
        self.groups.push(Group { name, path, counted: true, kills: None, pressure: None });
    }

    /// In the group of the service `name`, which is known, there were `new` kills since the last such call, and `killed`
    /// in all.
    pub(super) fn killed(&mut self, now: Instant, name: &str, new: u64, killed: u64) {
        let Some(group) = self.groups.iter().find(|group| group.name == name) else { return };
        let path = group.path.clone();
        // Who was chosen stands in the log before it is killed.
        self.read_log(now);
        let new = new.min(WAITING as u64);
        for number in (0..new).rev() {
            let chosen = self.log.as_mut().and_then(|log| log.take(&path)).unwrap_or_default();
            let victim = encode::Victim {
                service: Some(name),
                pid: chosen.pid,
                comm: &chosen.comm,
                killed: Some(killed.saturating_sub(number)),
                at: now,
                ..encode::Victim::default()
            };
            let payload = encoded(EVENT, |out| encode::oom(out, &victim));
            self.say(subject(name, "oom"), payload);
        }
    }

    /// Ends [`Machine::watch`]: the group goes away. Kills that were not told yet are told.
    pub(super) fn forget(&mut self, reactor: &mut Reactor<T>, name: &str) {
        let Some(index) = self.groups.iter().position(|group| group.name == name) else { return };
        self.count_kills(reactor.now(), index);
        let group = self.groups.swap_remove(index);
        if let Some(kills) = group.kills {
            kills.close(reactor);
        }
        if let Some(pressure) = group.pressure {
            pressure.close(reactor);
        }
    }

    /// A source with our token is ready.
    pub(super) fn ready(&mut self, reactor: &mut Reactor<T>, key: Key) {
        // An edge is one event: the next one wakes again.
        reactor.read_blocked(key);
        let now = reactor.now();
        if self.log.as_ref().is_some_and(|log| log.key == key) {
            self.read_log(now);
            return;
        }
        let kills = |group: &Group| group.kills.as_ref().is_some_and(|kills| kills.key == key);
        if let Some(index) = self.groups.iter().position(kills) {
            self.count_kills(now, index);
            return;
        }
        let own = self.triggers.iter().map(|trigger| (None, trigger));
        let services =
            self.groups.iter().filter_map(|group| Some((Some(&group.name), group.pressure.as_ref()?)));
        let found = own.chain(services).find(|(_, trigger)| trigger.key == key);
        if let Some((service, trigger)) = found
            && let Some(read) = trigger.news(now)
        {
            let subject = match service {
                Some(name) => subject(name, "pressure"),
                None => format!("system.pressure.{}", trigger.resource.as_str()),
            };
            let name = service.map(String::as_str);
            let resource = trigger.resource;
            let payload = encoded(EVENT, |out| encode::pressure(out, name, resource, &read, now));
            self.say(subject, payload);
        }
    }

    /// The next thing to publish, to be called until `None`.
    pub(super) fn next(&mut self) -> Option<Said> {
        self.said.pop_front()
    }

    fn say(&mut self, subject: String, payload: Vec<u8>) {
        if self.said.len() < WAITING {
            self.said.push_back(Said { subject, payload });
        }
    }

    /// Tells `service.<name>.oom` for each kill in the group since the last look.
    fn count_kills(&mut self, now: Instant, index: usize) {
        let Some(group) = self.groups.get_mut(index) else { return };
        let Some((new, killed)) = group.kills.as_mut().map(|kills| kills.read()) else { return };
        let name = group.name.clone();
        self.killed(now, &name, new, killed);
    }

    fn read_log(&mut self, now: Instant) {
        while let Some(killed) = self.log.as_mut().and_then(Log::next) {
            let of = self.groups.iter().find(|group| oom::is_within(&killed.group, &group.path));
            // A kill in a service's group is told as the service's.
            if !killed.everywhere && of.is_some_and(|group| group.counted) {
                continue;
            }
            let victim = encode::Victim {
                service: of.map(|group| group.name.as_str()),
                pid: Some(killed.pid),
                comm: &killed.comm,
                group: killed.group.as_bytes(),
                memory: killed.memory,
                everywhere: Some(killed.everywhere),
                killed: None,
                at: now,
            };
            let payload = encoded(EVENT, |out| encode::oom(out, &victim));
            self.say("system.oom".to_owned(), payload);
        }
    }
}

/// `system.healthy`: everything that was wanted at boot is ready, and that are so many services.
pub(super) fn healthy(ready: u64, started: Instant, now: Instant) -> Said {
    let payload = encoded(EVENT, |out| encode::healthy(out, ready, started, now));
    Said { subject: "system.healthy".to_owned(), payload }
}

/// Its path from the root of the hierarchy, as the kernel's log has it.
fn path_of(group: &Path) -> String {
    // Beside controllers of version 1, version 2 has a folder of its own.
    let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
    let path = roots.iter().find_map(|root| group.strip_prefix(root).ok()).unwrap_or(group);
    Path::new("/").join(path).to_string_lossy().into_owned()
}

fn subject(name: &str, what: &str) -> String {
    let subject = encoded(64 + name.len(), |out| encode_log::subject(out, name, what));
    String::from_utf8(subject).unwrap_or_default()
}

#[cfg(test)]
mod tests;
