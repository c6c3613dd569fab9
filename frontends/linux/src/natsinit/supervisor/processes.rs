//! Processes: made, signalled, reaped.

use std::os::fd::AsFd as _;

use lunix_core::supervise::{Exit, Input, ServiceId, Signal, SpawnTicket};
use lunix_core::time::Instant;
use rustix::process::{Pid, Resource, Rlimit, WaitId, WaitIdOptions, getrlimit, setrlimit, waitid};

use super::super::definition::Notification;
use super::super::machine::Scope;
use super::super::process::{Launch, Listens, kill_family, launch};
use super::super::resume::{Number, Of, Table};
use super::super::terminal::Look;
use super::service::{Child, Parts};
use super::{Supervisor, Token, activation};
use crate::log::{self, Level};
use crate::reactor::Reactor;
use crate::sys::ended::ended;

impl Supervisor {
    /// Makes the process of a ticket, or what undoes a service.
    pub(super) fn spawn(&mut self, reactor: &mut Reactor<Token>, ticket: SpawnTicket, undo: bool) {
        let id = ticket.service();
        let now = reactor.now();
        if let Some(service) = self.service_mut(id)
            && service.trigger.is_waiting()
        {
            service.trigger.disarm(reactor);
            service.trigger.begin();
        }
        // Whoever comes after us must not take this process for the one before it.
        self.write_table();
        let made = self.make(reactor, id, undo);
        let input = match made {
            Ok(pid) => {
                self.stamp(id, 1, now);
                Input::Spawned { ticket, pid }
            }
            Err((why, errno)) => {
                self.remark(now, id, Look::BAD, &format!("cannot be started: {why}"));
                Input::NotSpawned { ticket, errno }
            }
        };
        // The loop that called drains what follows from it.
        let _ = self.system.handle(now, input);
        // Where this kernel cannot tell that it listens, its start is all there is to know.
        if let Some(service) = self.service(id)
            && let Some(child) = &service.child
            && child.listens.is_none()
            && matches!(service.definition.readiness, Notification::Listens(_))
        {
            let pid = child.number();
            let _ = self.system.handle(now, Input::Ready { service: id, pid });
        }
        // A fault between a process and its word leaves one of which only the number is known.
        self.write_table();
        self.table.set(Number::Newborn, 0);
    }

    fn make(
        &mut self,
        reactor: &mut Reactor<Token>,
        id: ServiceId,
        undo: bool,
    ) -> Result<u32, (String, i32)> {
        let nobody = || ("there is no such service".to_owned(), 0);
        let place = u16::try_from(id.index()).map_err(|_| nobody())?;
        let now = reactor.now();
        let dies = self.scope == Scope::Session;
        let Self { services, environment, groups, table, machine, files_open: files, .. } = self;
        let service = services.get_mut(id.index()).and_then(Option::as_mut).ok_or_else(nobody)?;
        // What an earlier process said must not make this one ready.
        if let Some(socket) = &service.notify {
            let mut space = [0; 4096];
            while socket.receive(&mut space).is_some() {}
        }
        service.starting = now;
        service.status.clear();
        service.refused = false;
        let wrong =
            |error: std::io::Error| (format!("its group: {error}"), error.raw_os_error().unwrap_or_default());
        service.group = match (groups.as_ref(), service.group.take()) {
            (Some(_), Some(group)) if !group.is_killed() && group.populated().is_ok() => Some(group),
            (Some(groups), old) => {
                // One that was killed, or that somebody has removed, is of no use any more; where somebody still dies in it,
                // it has to do.
                let stays = old.is_some_and(|old| old.remove(groups).is_err());
                let group =
                    groups.make(&service.definition.name, &service.definition.limits).map_err(wrong)?;
                if stays {
                    group.suspect();
                } else {
                    service.oom_kills = 0;
                    service.crowded = false;
                }
                Some(Box::new(group))
            }
            (None, _) => None,
        };
        if let Some((groups, group)) = groups.as_ref().zip(service.group.as_ref()) {
            let folder = groups.root().join(group.name());
            match service.definition.limits.is_memory_limited() {
                true => machine.watch(reactor, group.name(), &folder),
                false => machine.know(reactor, group.name(), &folder),
            }
        }
        let (mut input, mut variables) = (None, environment.clone());
        if !undo && let Some(message) = &service.trigger.current {
            match service.definition.activation {
                super::Activation::Device { .. } => {
                    let text = String::from_utf8_lossy(message).into_owned();
                    variables.push(("LUNIX_DEVICE".into(), text));
                }
                _ => {
                    input = Some(activation::input(message).map_err(|error| {
                        (format!("its input: {error}"), error.raw_os_error().unwrap_or_default())
                    })?);
                }
            }
        }
        let handed = service.trigger.handed();
        let launched = launch(&Launch {
            definition: &service.definition,
            instead: service.definition.undo.as_deref().filter(|_| undo),
            environment: &variables,
            notify: service.notify.as_ref().map(super::NotifySocket::path),
            sockets: if undo { &[] } else { &handed },
            input,
            cgroup: service.group.as_deref(),
            die_with_parent: dies,
            number: table.place(Number::Newborn),
            files: *files,
        });
        let launched = launched.map_err(|error| (error.to_string(), error.errno))?;
        let lacks = launched.lacks;
        let parts = Parts {
            pid: launched.pid,
            pidfd: launched.pidfd,
            output: launched.output,
            ready: launched.ready,
            listens: launched.listens,
        };
        table.keep(place, Of::Process, Some(parts.pidfd.as_fd()));
        table.keep(place, Of::Output, parts.output.as_ref().map(|fd| fd.as_fd()));
        table.keep(place, Of::Ready, parts.ready.as_ref().map(|fd| fd.as_fd()));
        table.keep(place, Of::Listens, parts.listens.as_ref().map(Listens::as_fd));
        let child = Child::watch(parts, place, reactor)
            .map_err(|error| (error.to_string(), error.raw_os_error().unwrap_or_default()))?;
        let pid = child.number();
        service.child = Some(child);
        service.frozen = false;
        if !std::mem::replace(&mut service.warned, true) {
            let group = service.group.as_ref().map(|group| group.lacks().to_vec()).unwrap_or_default();
            for lack in lacks.iter().chain(&group) {
                self.remark(now, id, Look::WARN, lack);
            }
        }
        Ok(pid)
    }

    /// Tells of processes that the kernel has killed as memory ran out in their group, and of groups that are full.
    pub(super) fn count_kills(&mut self, now: Instant) {
        let changes = self.groups.as_mut().map(super::Cgroups::changes).unwrap_or_default();
        for change in changes {
            let Some(id) = self.find(&change.name) else { continue };
            let Some(service) = self.service_mut(id) else { continue };
            if change.refused > 0 && !std::mem::replace(&mut service.crowded, true) {
                self.remark(now, id, Look::WARN, "has as many processes as it may");
            }
            let Some(service) = self.service_mut(id) else { continue };
            // Those are counted where their pressure is watched.
            if service.definition.limits.is_memory_limited() {
                continue;
            }
            let before = std::mem::replace(&mut service.oom_kills, change.oom_kills);
            let new = change.oom_kills.saturating_sub(before);
            if new > 0 {
                self.machine.killed(now, &change.name, new, change.oom_kills);
            }
        }
    }

    /// Sends a signal that the machine wants to be sent.
    pub(super) fn signal(&mut self, id: ServiceId, signal: Signal) {
        let is_server = self.own_server() == Some(id);
        if self.ending.is_some() && is_server && signal != Signal::KILL && !self.link.is_closed() {
            // We take our leave first; should that take too long, SIGKILL comes by itself.
            self.link.drain();
            self.held = Some(signal);
            return;
        }
        let name = self.name;
        let Some(service) = self.service_mut(id) else { return };
        // What stands still hears nothing.
        if std::mem::take(&mut service.frozen)
            && let Some(group) = &service.group
        {
            let _ = group.freeze(false);
        }
        if signal == Signal::KILL {
            match (&service.group, &service.child) {
                (Some(group), _) => drop(group.kill()),
                (None, Some(child)) => {
                    kill_family(child.pid);
                    child.made.filter(|made| !made.reaped).iter().for_each(|made| kill_family(made.pid));
                }
                (None, None) => {}
            }
        }
        if let Some(child) = &service.child
            && let Err(error) = child.signal(signal)
        {
            log::line(Level::Debug, name, error);
        }
    }

    /// As subreaper, or PID 1, we inherit what others leave behind.
    pub(super) fn reap_orphans(&mut self, reactor: &mut Reactor<Token>) {
        while let Some(pid) = ended() {
            let id = self
                .present()
                .find(|(_, service)| service.child.as_ref().is_some_and(|child| child.pid == pid));
            if let Some((id, _)) = id {
                // What it leaves behind goes with it, which is only found while its number is its own.
                self.reap(reactor, id);
            } else {
                let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
                self.helper_ended(pid);
            }
        }
    }

    /// Looks whether the process of a service has ended.
    pub(super) fn reap(&mut self, reactor: &mut Reactor<Token>, id: ServiceId) {
        if self.service(id).and_then(|service| service.child.as_ref()).is_some_and(Child::has_ended) {
            // It may have named the one to be followed from then on.
            self.take_notices(reactor, id);
        }
        let exit = self.service(id).and_then(|service| service.child.as_ref()?.reap());
        if let Some(exit) = exit {
            self.ended(reactor, id, exit);
        }
    }

    fn ended(&mut self, reactor: &mut Reactor<Token>, id: ServiceId, exit: Exit) {
        let Ok(place) = u16::try_from(id.index()) else { return };
        // What it wrote and said before its end comes before.
        let child = self.service(id).and_then(|service| service.child.as_ref());
        if let Some((_, key)) = child.and_then(|child| child.ready.as_ref()) {
            self.read_descriptor(reactor, *key, id);
        }
        self.read_rest(reactor, id);
        let Some(service) = self.service_mut(id) else { return };
        let Some(child) = service.child.take() else { return };
        let pid = child.number();
        // What is left of its group has lost its service.
        if let Some(group) = service.group.as_ref().filter(|group| group.populated().unwrap_or(true)) {
            let _ = group.kill();
        }
        child.close(reactor);
        for what in [Of::Process, Of::Output, Of::Ready, Of::Listens] {
            self.table.keep(place, what, None);
        }
        self.tell(reactor, Input::Exited { service: id, pid, exit });
    }

    /// Executes what reloads a service, where that is a program.
    pub(super) fn reload_by_program(&mut self, id: ServiceId) -> Result<(), String> {
        let dies = self.scope == Scope::Session;
        let Self { services, environment, files_open, .. } = self;
        let service =
            services.get_mut(id.index()).and_then(Option::as_mut).ok_or("there is no such service")?;
        let child = service.child.as_ref().ok_or("it does not run")?;
        let words = service.definition.reload.as_deref().ok_or("no signal and no program makes it reload")?;
        let mut variables = environment.clone();
        variables.push(("MAINPID".into(), child.number().to_string()));
        let launched = launch(&Launch {
            definition: &service.definition,
            instead: Some(words),
            environment: &variables,
            notify: None,
            sockets: &[],
            input: None,
            cgroup: service.group.as_deref(),
            die_with_parent: dies,
            number: None,
            files: *files_open,
        });
        // Its output is nobody's: what it has to say it says by its exit code.
        let launched = launched.map_err(|error| error.to_string())?;
        service.reloading.push_back(launched.pid);
        Ok(())
    }

    /// A process that is no service's main one has ended: it may be one that reloads a service, or that was made for one.
    fn helper_ended(&mut self, pid: Pid) {
        let mut left = None;
        for (id, service) in (0_u16..).map(ServiceId::new).zip(&mut self.services) {
            let Some(service) = service else { continue };
            service.reloading.retain(|known| *known != pid);
            let made = service.child.as_mut().and_then(|child| child.made.as_mut());
            if let Some(made) = made.filter(|made| made.pid == pid) {
                made.reaped = true;
                left = Some(id);
            }
        }
        if let Some(id) = left {
            self.note(id);
            self.write_table();
        }
    }
}

/// Takes all descriptors that we may have, of which each service needs some, and says what services get: the usual limit of 1024
/// is there for programs that use select(2).
pub(super) fn open_files(table: Table, resumed: bool) -> Option<Rlimit> {
    let mut given = getrlimit(Resource::Nofile);
    let most = Rlimit { current: given.maximum, ..given };
    if resumed {
        given.current =
            table.number(Number::Files).checked_sub(1).map_or(given.maximum, |files| Some(files.into()));
    } else {
        let files = given.current.and_then(|files| u32::try_from(files).ok()?.checked_add(1));
        table.set(Number::Files, files.unwrap_or(0));
    }
    (given != most && setrlimit(Resource::Nofile, most).is_ok()).then_some(given)
}
