//! What becomes of processes, and what the machine must say of it.

use super::*;

impl World {
    pub(super) fn say(&mut self, at: usize, what: impl FnOnce(ServiceId, u32) -> Input) {
        if let Some(pid) = self.at(at).pid {
            self.hear(what(id(at), pid));
        }
    }

    /// The service names another process as its main one.
    pub(super) fn follow(&mut self, at: usize) {
        let Some(pid) = self.at(at).pid else { return };
        self.pids += 1;
        let main = self.pids;
        let known = self.of(at);
        let runs = matches!(known.told, State::Starting | State::Ready);
        let follows = runs && known.policy.kind == Kind::Longrun;
        if follows {
            known.pid = Some(main);
        }
        let answer = self.system.handle(self.now, Input::Follow { service: id(at), pid, main });
        assert_eq!(answer, if follows { Ok(()) } else { Err(InputError::NotFollowed) });
        self.drain();
    }

    /// Words of processes that never were change nothing.
    pub(super) fn hear_nonsense(&mut self, at: usize) {
        let (service, pid) = (id(at), self.pids + 1);
        let before = (self.system.next_deadline(), self.system.save(service));
        for input in [
            Input::Ready { service, pid },
            Input::Alive { service, pid },
            Input::Extend { service, pid, by: Duration::MAX },
            Input::Follow { service, pid, main: pid },
            Input::Exited { service, pid, exit: Exit::Code(0) },
        ] {
            assert_eq!(self.system.handle(self.now, input), Err(InputError::Stale));
        }
        assert!(self.system.poll().is_none());
        assert_eq!((self.system.next_deadline(), self.system.save(service)), before);
    }

    pub(super) fn answer(&mut self, at: usize, made: bool) {
        let Some(ticket) = self.of(at).ticket.take() else { return };
        if made {
            self.pids += 1;
            self.of(at).pid = Some(self.pids);
            self.hear(Input::Spawned { ticket, pid: self.pids });
        } else {
            self.of(at).ticket = Some(ticket);
            let foretold = self.foretell(at, Exit::NotSpawned(2));
            let ticket = self.of(at).ticket.take().unwrap();
            assert_eq!(self.system.handle(self.now, Input::NotSpawned { ticket, errno: 2 }), Ok(()));
            self.after_end(at, foretold);
        }
    }

    pub(super) fn exit(&mut self, at: usize, exit: Exit) {
        if self.at(at).pid.is_none() {
            return;
        }
        let foretold = self.foretell(at, exit);
        let pid = self.of(at).pid.take().unwrap();
        assert_eq!(self.system.handle(self.now, Input::Exited { service: id(at), pid, exit }), Ok(()));
        self.after_end(at, foretold);
    }

    /// What an end at this point makes of the service.
    fn foretell(&mut self, at: usize, exit: Exit) -> State {
        let now = self.now;
        let known = self.of(at);
        known.signals.clear();
        let runs = known.pid.is_some() && matches!(known.told, State::Starting | State::Ready);
        if known.stable(now) && known.pid.is_some() {
            known.lapses = 0;
        }
        let cancelled = known.ticket.is_some() && known.told == State::Stopping;
        if core::mem::take(&mut known.undoes) || cancelled || !known.wanted || known.asked {
            return State::Stopped;
        }
        let policy = known.policy;
        let clean = exit == Exit::Code(0) && runs;
        if clean && policy.kind == Kind::Oneshot {
            known.lapses = 0;
            return if policy.on_demand { State::Waiting } else { State::Ready };
        }
        let again = match policy.restart {
            Restart::Always => !clean || !policy.on_demand,
            Restart::OnFailure => !clean,
            Restart::Never => false,
        };
        if !again && !policy.on_demand {
            return if clean { State::Stopped } else { State::Failed };
        }
        known.lapses += 1;
        if BACKOFF.limit.is_some_and(|limit| known.lapses > limit) {
            return State::Failed;
        }
        if !again && known.lapses == 1 {
            return State::Waiting;
        }
        known.due = Some(now + BACKOFF.delay(known.lapses));
        State::Backoff
    }

    fn after_end(&mut self, at: usize, foretold: State) {
        let first = self.system.poll();
        if self.at(at).told != foretold {
            let Some(Action::Announce(report)) = &first else {
                panic!("no word of {foretold:?}, but {first:?}")
            };
            assert_eq!((report.service, report.state), (id(at), foretold));
            assert_eq!(report.pid, None);
            self.foretold = true;
        } else {
            // It is again what it was, which nobody is told.
            self.of(at).at = self.now;
        }
        if let Some(action) = first {
            self.act(action);
        }
        self.foretold = false;
        self.drain();
    }

    /// The machine goes on in another one; tickets are void.
    pub(super) fn execute_anew(&mut self) {
        let mut next = System::new();
        for at in 0..SERVICES {
            let policy = self.known[at].as_ref().map(|known| known.policy).unwrap_or_default();
            assert_eq!(next.add(policy).map(ServiceId::index), Ok(at));
        }
        for (of, known) in self.all() {
            for (relation, on) in &known.said {
                next.relate(id(of), *relation, id(*on)).unwrap();
            }
        }
        for at in 0..SERVICES {
            match self.system.save(id(at)) {
                Some(saved) => {
                    let saved = Saved::decode(&saved.encode()).expect("what was saved can be read");
                    next.restore(id(at), saved).unwrap();
                }
                None => next.remove(id(at)).unwrap(),
            }
        }
        self.system = next;
        let course = [(self.closing, Input::Shutdown), (self.abort, Input::Abort)];
        for known in self.known.iter_mut().flatten() {
            if known.ticket.take().is_some() && !known.undoes {
                known.asked = known.wanted;
            }
            known.undoes &= known.pid.is_some();
        }
        self.down = false;
        for (_, input) in course.into_iter().filter(|(was, _)| *was) {
            self.system.handle(self.now, input).unwrap();
        }
        self.hear(Input::Tick);
    }
}
