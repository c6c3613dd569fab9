//! The files of services are read anew: the plan is said, and then only what is different starts again.

use lunix_core::supervise::{Input, Relation, ServiceId, State};

use super::super::files::{self, Changes};
use super::super::terminal::Look;
use super::{Origin, Service, Supervisor, Token, present};
use crate::log::{self, Level};
use crate::reactor::Reactor;

impl Supervisor {
    /// As a signal asks for it.
    pub(super) fn reload_files(&mut self, reactor: &mut Reactor<Token>) {
        if self.ending.is_none()
            && let Err(why) = self.reload(reactor, false)
        {
            log::line(Level::Warn, self.name, why);
        }
    }

    /// Reads the files, says what would change, and, unless it is `dry`, does it. The plan as JSON.
    ///
    /// # Errors
    /// There are no files.
    pub(super) fn reload(&mut self, reactor: &mut Reactor<Token>, dry: bool) -> Result<Vec<u8>, String> {
        let folder = self.files.clone().ok_or("this supervisor has no service files")?;
        let given = self.present().filter(|(_, service)| service.origin != Origin::File);
        let given: Vec<String> = given.map(|(_, service)| service.name().to_owned()).collect();
        let loaded = files::load(&folder, &given);
        let new = loaded.definitions.into_iter();
        let new: Vec<_> = new.filter(|new| !given.contains(&new.name)).collect();
        // What is broken now goes on as it was: a mistake in a file stops nothing.
        let broken = |name: &str| loaded.left_out.iter().any(|(known, _)| known == name);
        let old = self
            .present()
            .filter(|(_, service)| {
                service.origin == Origin::File && !service.leaving && !broken(service.name())
            })
            .map(|(_, service)| &service.definition);
        let changes = files::diff(old, &new);
        if dry {
            return Ok(changes.json(&loaded.mistakes));
        }
        for mistake in &loaded.mistakes {
            log::line(Level::Error, self.name, mistake);
        }
        for (name, why) in &loaded.left_out {
            match self.find(name) {
                Some(id) => self.line(id, Look::BAD, &format!("goes on as it was: {why}")),
                None => self.leave_out(name, why, reactor.now()),
            }
        }
        for line in changes.to_string().lines() {
            self.terminal.line(&[(Look::PLAIN, line)]);
        }
        self.apply(reactor, &changes, new);
        Ok(changes.json(&loaded.mistakes))
    }

    fn apply(&mut self, reactor: &mut Reactor<Token>, changes: &Changes, new: Vec<super::Definition>) {
        let now = reactor.now();
        let (mut start, mut restart, mut stop) = (Vec::new(), Vec::new(), Vec::new());
        for name in &changes.removed {
            if let Some(id) = self.find(name) {
                if let Some(service) = self.service_mut(id) {
                    service.leaving = true;
                }
                stop.push(id);
            }
        }
        for definition in new {
            let name = definition.name.clone();
            if changes.added.contains(&name) {
                // One that was about to go away stays.
                let known = self.find(&name);
                let enabled = definition.enabled;
                let id = match known {
                    Some(id) => {
                        self.replace(reactor, id, definition);
                        Some(id)
                    }
                    None => self.add(definition, Origin::File, now),
                };
                if let Some(id) = id {
                    self.open_notify(id, reactor);
                    start.extend(enabled.then_some(id));
                }
            } else if let Some(changed) = changes.changed.iter().find(|changed| changed.name == name)
                && let Some(id) = self.find(&name)
            {
                let was = self.service(id).is_some_and(|service| service.definition.enabled);
                let enabled = definition.enabled;
                self.replace(reactor, id, definition);
                self.open_notify(id, reactor);
                // One that is on its way down is not called back.
                let runs = self.service(id).is_some_and(|service| service.child.is_some())
                    && self.system.is_wanted(id);
                if (runs || self.state(id) == Some(State::Waiting)) && changed.restart {
                    restart.push(id);
                } else if enabled && !was {
                    start.push(id);
                }
            }
        }
        self.relate();
        self.listen();
        for id in stop {
            if matches!(self.state(id), Some(State::Stopped | State::Failed) | None) {
                self.remove(reactor, id);
            } else {
                self.tell(reactor, Input::Stop(id));
            }
        }
        for id in start {
            self.stamp(id, 0, now);
            self.tell(reactor, Input::Start(id));
        }
        for id in restart {
            self.tell(reactor, Input::Restart(id));
        }
    }

    /// Gives a service another definition, which counts from now on; what runs goes on until it ends.
    fn replace(&mut self, reactor: &mut Reactor<Token>, id: ServiceId, definition: super::Definition) {
        let policy = definition.policy;
        let Self { services, groups, .. } = self;
        if let Some(service) = services.get_mut(id.index()).and_then(Option::as_mut) {
            if let Some((groups, old)) = groups.as_ref().zip(service.group.as_ref())
                && service.definition.limits != definition.limits
                && let Ok(group) = groups.make(&definition.name, &definition.limits)
            {
                if old.is_killed() {
                    group.suspect();
                }
                service.group = Some(Box::new(group));
            }
            service.leaving = false;
            service.warned = false;
            if service.definition.activation != definition.activation {
                service.trigger.close(&service.definition, reactor);
                service.trigger.stop();
            }
            if service.definition.output != definition.output {
                service.log = None;
            }
            let same = (&service.definition.identity, &service.definition.readiness)
                == (&definition.identity, &definition.readiness);
            if !same && let Some(socket) = service.notify.take() {
                socket.close(reactor);
            }
            service.definition = definition;
        }
        let _ = self.system.set_policy(id, policy);
        self.note(id);
    }

    /// Tells the machine how all services are related, by their names.
    pub(super) fn relate(&mut self) {
        let Self { services, system, name, .. } = self;
        for (id, _) in present(services) {
            let _ = system.unrelate(id);
        }
        let find =
            |name: &String| present(services).find(|(_, known)| known.name() == *name).map(|(id, _)| id);
        for (of, Service { definition, .. }) in present(services) {
            let relations = &definition.relations;
            for (relation, others) in [
                (Relation::Needs, &relations.needs),
                (Relation::Wants, &relations.wants),
                (Relation::After, &relations.after),
                (Relation::Conflicts, &relations.conflicts),
            ] {
                for on in others.iter().filter_map(find) {
                    if let Err(error) = system.relate(of, relation, on) {
                        let line = format_args!("{}: {error}", definition.name);
                        log::line(Level::Error, name, line);
                    }
                }
            }
        }
    }

    /// Takes a service away that is down and that nobody wants to have back.
    pub(super) fn remove(&mut self, reactor: &mut Reactor<Token>, id: ServiceId) {
        let others: Vec<ServiceId> = self.present().map(|(other, _)| other).collect();
        let gone = self.service(id).map(|service| service.definition.name.clone()).unwrap_or_default();
        for other in others {
            let relations = self.service(other).map(|service| &service.definition.relations);
            let mentions = relations.is_some_and(|relations| {
                [&relations.needs, &relations.wants, &relations.after, &relations.conflicts]
                    .iter()
                    .any(|names| names.contains(&gone))
            });
            if mentions {
                let _ = self.system.unrelate(other);
            }
        }
        if let Err(error) = self.system.remove(id) {
            log::line(Level::Debug, self.name, error);
            return self.relate();
        }
        let Some(mut service) = self.services.get_mut(id.index()).and_then(Option::take) else { return };
        service.trigger.close(&service.definition, reactor);
        if let Some(socket) = service.notify.take() {
            socket.close(reactor);
        }
        if let Some((groups, group)) = self.groups.as_ref().zip(service.group.take()) {
            self.machine.forget(reactor, service.name());
            let _ = group.remove(groups);
        }
        self.times.forget(id.index());
        if let Ok(place) = u16::try_from(id.index()) {
            self.table.forget(place);
        }
        self.relate();
        self.terminal.line(&[(Look::DIM, &format!("{}: is gone", service.name()))]);
    }

    /// What a service waits for, as its state changes.
    pub(super) fn follow_trigger(&mut self, reactor: &mut Reactor<Token>, report: &super::Report) {
        let id = report.service;
        let (now, Ok(place)) = (reactor.now(), u16::try_from(id.index())) else { return };
        let table = self.table;
        let Some(service) = self.service_mut(id) else { return };
        let Service { trigger, definition, .. } = service;
        match report.state {
            State::Waiting => {
                trigger.current = None;
                let opened = trigger.open(definition);
                for (at, (_, socket, _)) in trigger.sockets.iter().enumerate() {
                    let what = super::super::resume::Of::Socket(at);
                    table.keep(place, what, Some(std::os::fd::AsFd::as_fd(socket)));
                }
                if trigger.arm(definition, place, now, reactor) {
                    let _ = self.system.handle(now, Input::Trigger(id));
                }
                if let Err(error) = opened {
                    self.line(id, Look::BAD, &format!("cannot listen at {error}"));
                }
            }
            State::Stopped | State::Failed => {
                trigger.disarm(reactor);
                trigger.stop();
            }
            _ => trigger.disarm(reactor),
        }
    }

    /// Starts what is due by time.
    pub(super) fn fire_timers(&mut self, reactor: &mut Reactor<Token>) {
        let now = reactor.now();
        let due: Vec<ServiceId> = (0_u16..)
            .map(ServiceId::new)
            .zip(&mut self.services)
            .filter_map(|(id, service)| {
                let Service { trigger, definition, .. } = service.as_mut()?;
                trigger.is_due(definition, now).then_some(id)
            })
            .collect();
        for id in due {
            self.tell(reactor, Input::Trigger(id));
        }
    }
}
