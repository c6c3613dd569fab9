//! `MAINPID=` (sd_notify(3)): a service names another of its processes as the one to be supervised.

use std::os::fd::AsFd as _;

use lunix_core::supervise::{Input, ServiceId};
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};

use super::super::resume::Of;
use super::super::terminal::Look;
use super::super::usage::{family, parent_and_user};
use super::{Supervisor, Token};
use crate::reactor::Reactor;

impl Supervisor {
    /// From now on `main` is the main process of a service, if it is one of its own.
    pub(super) fn follow(&mut self, reactor: &mut Reactor<Token>, id: ServiceId, main: u32) {
        let Some(service) = self.service(id) else { return };
        // In there it counts from 1, and where that ends nothing remains to be followed.
        if service.definition.sandbox.private_pids {
            return;
        }
        if let Err(why) = self.try_follow(reactor, id, main)
            && let Some(service) = self.service_mut(id)
            && !std::mem::replace(&mut service.refused, true)
        {
            self.line(id, Look::WARN, &format!("MAINPID={main} is not followed: {why}"));
        }
    }

    fn try_follow(
        &mut self,
        reactor: &mut Reactor<Token>,
        id: ServiceId,
        main: u32,
    ) -> Result<(), &'static str> {
        const GONE: &str = "there is no such process";
        let child = self.service(id).and_then(|service| service.child.as_ref()).ok_or(GONE)?;
        let pid = child.number();
        if pid == main {
            return Ok(());
        }
        let process = i32::try_from(main).ok().and_then(Pid::from_raw).ok_or(GONE)?;
        // Before it is looked at: so it is that one that was seen, or one that has ended.
        let pidfd = pidfd_open(process, PidfdFlags::empty()).map_err(|_| GONE)?;
        if !self.belongs(id, process) {
            return Err("it is none of the service's");
        }
        let input = Input::Follow { service: id, pid, main };
        let place = u16::try_from(id.index()).map_err(|_| GONE)?;
        let now = reactor.now();
        self.system.handle(now, input).map_err(|_| "the service is done with its own, or ends")?;
        let child = self.service_mut(id).and_then(|service| service.child.as_mut()).ok_or(GONE)?;
        if child.follow((process, pidfd), place, reactor).is_err() {
            let _ = self.system.handle(now, Input::Follow { service: id, pid: main, main: pid });
            return Err("no more can be watched");
        }
        let child = self.service(id).and_then(|service| service.child.as_ref());
        self.table.keep(place, Of::Process, child.map(|child| child.pidfd.as_fd()));
        self.drain(reactor);
        Ok(())
    }

    /// Whether a process is one of a service's own. In a group of the kernel's that is certain. Without, it is what came from
    /// the service's processes; or, as the one that left it to us may be gone, what is nobody else's and runs as the same user:
    /// so a service never makes us signal whom it could not signal itself.
    fn belongs(&self, id: ServiceId, process: Pid) -> bool {
        let Some((service, child)) =
            self.service(id).and_then(|service| Some((service, service.child.as_ref()?)))
        else {
            return false;
        };
        if let Some(group) = &service.group {
            return group.holds(process);
        }
        let main = process.as_raw_nonzero().get().cast_unsigned();
        let made = child.made.filter(|made| !made.reaped).map(|made| made.numbers().0);
        if [Some(child.number()), made].into_iter().flatten().any(|pid| family(pid).contains(&main)) {
            return true;
        }
        let another = |service: &super::Service| {
            service.child.as_ref().is_some_and(|child| {
                child.pid == process || child.made.is_some_and(|made| made.pid == process)
            })
        };
        let own = getpid().as_raw_nonzero().get().cast_unsigned();
        let (theirs, its) = (parent_and_user(main), parent_and_user(child.number()));
        let left = theirs.zip(its).is_some_and(|(theirs, its)| theirs.0 == own && theirs.1 == its.1);
        left && !self.present().any(|(_, service)| another(service))
    }
}
