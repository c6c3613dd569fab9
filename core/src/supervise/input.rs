//! What an input does.

use super::{
    action::{Input, InputError, ServiceId, SpawnTicket},
    graph::Relation,
    policy::Kind,
    service::Goal,
    slot::{NONE, Walk},
    system::{Course, System},
    table::{Event, Phase, Step, step},
};
use crate::time::{Duration, Instant};

impl<const N: usize, const E: usize> System<N, E> {
    /// Takes in what happened. Drain [`poll`](Self::poll) afterwards.
    ///
    /// # Errors
    /// The input does not fit what is known, and changes nothing but the time.
    pub fn handle(&mut self, now: Instant, input: Input) -> Result<(), InputError> {
        self.pass(now);
        match input {
            Input::Start(service) => {
                self.may_start(service)?;
                self.want_up(service.0);
            }
            Input::Restart(service) => {
                self.may_start(service)?;
                self.want_up(service.0);
                self.restart(service.0);
            }
            Input::Stop(service) => {
                self.slot(service.0).ok_or(InputError::UnknownService)?;
                self.want_down(service.0);
            }
            Input::Reload(service) => {
                let slot = self.slot(service.0).ok_or(InputError::UnknownService)?;
                slot.policy.reload.ok_or(InputError::NotReloadable)?;
                self.apply(service.0, Event::Reload)?;
            }
            Input::Trigger(service) => {
                self.may_start(service)?;
                self.trigger(service.0)?;
            }
            Input::Shutdown => self.shut_down(),
            Input::Abort => {
                self.abort = true;
                self.shut_down();
            }
            Input::Spawned { ticket, pid } => {
                self.redeem(&ticket)?;
                self.apply(ticket.service.0, Event::Spawned)?;
                self.alter(ticket.service.0, |_, life| life.pid = Some(pid));
            }
            Input::NotSpawned { ticket, errno } => {
                self.redeem(&ticket)?;
                self.end(ticket.service.0, super::Exit::NotSpawned(errno))?;
            }
            Input::Ready { service, pid } => {
                self.current(service, pid)?;
                if self.slot(service.0).is_some_and(|slot| slot.policy.kind == Kind::Longrun) {
                    self.apply(service.0, Event::Ready)?;
                }
            }
            Input::Alive { service, pid } => {
                self.current(service, pid)?;
                let now = self.now;
                self.alter(service.0, |policy, life| {
                    if life.phase == Phase::Ready {
                        life.deadline = life.span_from(policy, now);
                    }
                });
            }
            Input::Extend { service, pid, by } => {
                self.current(service, pid)?;
                self.extend(service.0, by);
            }
            Input::Follow { service, pid, main } => {
                self.current(service, pid)?;
                let follows = self.slot(service.0).is_some_and(|slot| {
                    slot.policy.kind == Kind::Longrun
                        && matches!(slot.life.phase, Phase::Starting | Phase::Ready)
                });
                if !follows || main == 0 {
                    return Err(InputError::NotFollowed);
                }
                self.alter(service.0, |_, life| life.pid = Some(main));
            }
            Input::Exited { service, pid, exit } => {
                self.current(service, pid)?;
                self.end(service.0, exit)?;
            }
            Input::Tick => {}
        }
        Ok(())
    }

    /// The ticket is the one that is out.
    fn redeem(&mut self, ticket: &SpawnTicket) -> Result<(), InputError> {
        let slot = self.slot(ticket.service.0).ok_or(InputError::UnknownService)?;
        let life = &slot.life;
        if life.run != ticket.run {
            return Err(InputError::Stale);
        }
        match step(life.phase, Event::Spawned) {
            Step::Never(why) => Err(InputError::Impossible(life.phase, Event::Spawned, why)),
            _ => Ok(()),
        }
    }

    fn current(&self, service: ServiceId, pid: u32) -> Result<(), InputError> {
        let slot = self.slot(service.0).ok_or(InputError::UnknownService)?;
        if slot.life.pid == Some(pid) { Ok(()) } else { Err(InputError::Stale) }
    }

    fn may_start(&self, service: ServiceId) -> Result<(), InputError> {
        self.slot(service.0).ok_or(InputError::UnknownService)?;
        if self.course == Course::Run { Ok(()) } else { Err(InputError::ShuttingDown) }
    }

    fn trigger(&mut self, at: u16) -> Result<(), InputError> {
        let phase = self.slot(at).map(|slot| slot.life.phase).ok_or(InputError::UnknownService)?;
        match step(phase, Event::Trigger) {
            // What holds it back is looked at when its turn comes.
            Step::To(..) => drop(self.alter(at, |_, life| life.triggered = true)),
            Step::Stay => {}
            Step::Never(why) => return Err(InputError::Impossible(phase, Event::Trigger, why)),
        }
        Ok(())
    }

    fn extend(&mut self, at: u16, by: Duration) {
        let now = self.now;
        self.alter(at, |_, life| {
            if matches!(life.phase, Phase::Starting | Phase::Terminating | Phase::Undoing) {
                life.deadline = life.deadline.map(|deadline| deadline.max(now + by));
            }
        });
    }

    /// What runs or is done ends; as it is wanted, it starts then.
    fn restart(&mut self, at: u16) {
        let now = self.now;
        self.alter(at, |policy, life| match life.phase {
            Phase::Starting | Phase::Ready => {
                life.anew();
                // The table has a stop for both, whoever needs them.
                let _ = life.apply(policy, now, Event::Stop);
            }
            Phase::Done => life.anew(),
            _ => {}
        });
    }

    fn shut_down(&mut self) {
        for at in self.ids() {
            self.alter(at, |_, life| life.leave());
        }
        if self.course == Course::Run {
            self.course = Course::Shutdown;
        }
    }

    /// Wants a service, all that it needs, and of what these want all that conflicts with none of them.
    fn want_up(&mut self, at: u16) {
        let mut wanted = Walk::new(0);
        self.visit(&mut wanted, at, at);
        while let Some(of) = self.advance(&mut wanted) {
            let mut edges = self.first_of(of);
            while let Some(edge) = self.next_of(&mut edges) {
                if edge.relation == Relation::Needs {
                    self.visit(&mut wanted, edge.on, of);
                }
            }
        }
        wanted.again();
        while let Some(of) = self.advance(&mut wanted) {
            let mut edges = self.first_of(of);
            while let Some(edge) = self.next_of(&mut edges) {
                if edge.relation == Relation::Wants {
                    self.want_too(&mut wanted, edge.on);
                }
            }
        }
        // First what must go, so that nobody sees two that conflict wanted at once.
        wanted.again();
        while let Some(of) = self.advance(&mut wanted) {
            let mut edges = self.first_of(of);
            while let Some(edge) = self.next_of(&mut edges) {
                if edge.relation == Relation::Conflicts {
                    self.want_down(edge.on);
                }
            }
            let mut edges = self.first_into(of);
            while let Some(edge) = self.next_into(&mut edges) {
                if edge.relation == Relation::Conflicts {
                    self.want_down(edge.of);
                }
            }
        }
        wanted.again();
        while let Some(of) = self.advance(&mut wanted) {
            self.alter(of, |_, life| {
                let runs =
                    matches!(life.phase, Phase::Spawning | Phase::Starting) || life.phase.is_fulfilled();
                // What runs, or waits and was not asked for by name, goes on as it is.
                if runs {
                    life.goal = Goal::Up;
                } else if life.goal != Goal::Up || life.phase != Phase::Backoff || of == at {
                    life.anew();
                }
            });
        }
        self.leave(wanted);
    }

    /// Adds to what is wanted one more with all that it needs, unless any of these conflicts with what is there.
    fn want_too(&mut self, wanted: &mut Walk, at: u16) {
        let mut more = Walk::new(1);
        self.visit(&mut more, at, at);
        let mut fits = true;
        while fits && let Some(of) = self.advance(&mut more) {
            if self.slot(of).is_none_or(|slot| slot.place.seen(0)) {
                continue;
            }
            let there = |at: u16| self.slot(at).is_some_and(|slot| slot.place.seen(0));
            let conflicts = |edge: &super::slot::Edge| edge.relation == Relation::Conflicts;
            fits = !self.edges_of(of).any(|(_, edge)| conflicts(edge) && there(edge.on))
                && !self.edges_into(of).any(|(_, edge)| conflicts(edge) && there(edge.of));
            let mut edges = self.first_of(of);
            while let Some(edge) = self.next_of(&mut edges) {
                if edge.relation == Relation::Needs {
                    self.visit(&mut more, edge.on, of);
                }
            }
        }
        more.again();
        while fits && let Some(of) = self.advance(&mut more) {
            self.visit(wanted, of, at);
        }
        self.leave(more);
    }

    /// No longer wants a service, nor all that needs it.
    pub(super) fn want_down(&mut self, at: u16) {
        let mut unwanted = Walk::new(1);
        self.visit(&mut unwanted, at, NONE);
        while let Some(on) = self.advance(&mut unwanted) {
            self.alter(on, |_, life| life.leave());
            let mut edges = self.first_into(on);
            while let Some(edge) = self.next_into(&mut edges) {
                if edge.relation == Relation::Needs {
                    self.visit(&mut unwanted, edge.of, on);
                }
            }
        }
        self.leave(unwanted);
    }
}
