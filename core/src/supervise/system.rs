//! All services, and whose turn it is.

use heapless::Vec;

use super::{
    action::{Action, Exit, InputError, Report, ServiceId, SpawnTicket},
    graph::Relation,
    policy::Policy,
    service::{Face, Goal, Held, Life},
    slot::{Edge, Head, List, Lists, NONE, Slot},
    stages::Stages,
    table::{Command, Event},
};
use crate::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Run,
    Shutdown,
    /// `Action::Down` was given.
    Down,
}

/// Up to `N` services with up to `E` relations between them; both at most 65535.
///
/// An input costs what it touches: the services that move, and their relations. One input moves a service at most
/// eight times before it waits for the driver or for time, and each move causes at most one report and one command:
/// an input causes at most `16 * N + 1` actions. `poll` makes the moves one by one, so that actions come in the
/// order of their causes.
///
/// Beyond the contract of every machine, several inputs may be handled before `poll` is drained: at boot, start all
/// services first, so that the order of stages and relations holds among all of them.
///
/// A service takes about 420 bytes and a relation 12. The memory of places that were never used is never written to,
/// so a large system costs what is in it, where the memory comes zeroed and untouched, as a `static` does; built
/// as a local value it would be moved about as a whole:
///
/// ```
/// use std::sync::Mutex;
/// use lunix_core::supervise::{Policy, System};
///
/// static SYSTEM: Mutex<System<1024, 4096>> = Mutex::new(System::new());
/// let mut system = SYSTEM.lock().unwrap();
/// assert!(system.add(Policy::default()).is_ok());
/// ```
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct System<const N: usize, const E: usize> {
    pub(super) slots: Vec<Slot, N>,
    pub(super) edges: Vec<Edge, E>,
    /// Places whose deadline is ahead.
    pub(super) timers: Vec<u16, N>,
    pub(super) lists: [List; Lists::ALL],
    pub(super) stages: Stages,
    pub(super) free_slot: Head,
    pub(super) free_edge: Head,
    /// How many relations are conflicts.
    pub(super) conflicts: u16,
    /// How many services a shutdown waits for.
    pub(super) busy: u16,
    pub(super) course: Course,
    pub(super) abort: bool,
    pub(super) now: Instant,
    #[cfg(test)]
    pub(super) steps: u64,
}

impl<const N: usize, const E: usize> Default for System<N, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize, const E: usize> System<N, E> {
    /// A system without services.
    pub const fn new() -> Self {
        Self {
            slots: Vec::new(),
            edges: Vec::new(),
            timers: Vec::new(),
            lists: [List::EMPTY; Lists::ALL],
            stages: Stages::NEW,
            free_slot: Head::NONE,
            free_edge: Head::NONE,
            conflicts: 0,
            busy: 0,
            course: Course::Run,
            abort: false,
            now: Instant::from_micros(0),
            #[cfg(test)]
            steps: 0,
        }
    }

    /// The services, in the order of their places.
    pub fn services(&self) -> impl Iterator<Item = Report> + '_ {
        self.ids().filter_map(|at| self.status(ServiceId(at)))
    }

    /// How a service stands.
    pub fn status(&self, service: ServiceId) -> Option<Report> {
        self.slot(service.0).map(|slot| Report {
            service,
            state: slot.life.phase.state(),
            pid: slot.life.pid,
            exit: slot.life.exit,
            restarts: slot.life.restarts,
            at: slot.life.since,
        })
    }

    /// The policy of a service.
    pub fn policy(&self, service: ServiceId) -> Option<&Policy> {
        self.slot(service.0).map(|slot| &slot.policy)
    }

    /// Whether a service is wanted: it was started, or something that needs or wants it, and not stopped since.
    pub fn is_wanted(&self, service: ServiceId) -> bool {
        self.wanted(service.0)
    }

    /// Nothing that is wanted is still on its way: all is ready, done or waiting, or has failed.
    pub fn is_settled(&self) -> bool {
        self.stages.lowest_pending().is_none()
    }

    /// The next thing to do; `None` when there is nothing until the next input or deadline.
    ///
    /// After `handle`, call it until it answers `None`.
    pub fn poll(&mut self) -> Option<Action> {
        while let Some(at) = self.lists.first().map(|work| work.first.at()).filter(|first| *first != NONE) {
            if let Some(action) = self.pending(at) {
                return Some(action);
            }
            let (event, held) = self.due(at);
            // `due` asks the table before it names an event, so this is not refused.
            if event.is_some_and(|event| self.apply(at, event).is_ok()) {
                continue;
            }
            self.unlist(Lists::WORK);
            if held {
                self.enlist(Lists::HELD, at);
            }
        }
        if self.course != Course::Shutdown || self.busy > 0 {
            return None;
        }
        self.course = Course::Down;
        Some(Action::Down)
    }

    /// When to call `handle` with [`Input::Tick`](super::Input::Tick) if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.earliest().map(|(_, deadline)| deadline)
    }

    /// Looks at everything whose deadline has passed.
    pub(super) fn pass(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some((at, _)) = self.earliest().filter(|(_, deadline)| *deadline <= self.now) {
            self.arm(at);
            self.queue(at);
        }
    }

    fn pending(&mut self, at: u16) -> Option<Action> {
        let slot = self.slots.get_mut(usize::from(at)).filter(|slot| !slot.place.vacant)?;
        let service = ServiceId(at);
        if slot.life.take_announcement() {
            return self.status(service).map(Action::Announce);
        }
        let ticket = SpawnTicket { service, run: slot.life.run };
        match slot.life.command {
            Command::Spawn => {
                slot.life.command = Command::None;
                Some(Action::Spawn(ticket))
            }
            Command::Undo => {
                slot.life.command = Command::None;
                Some(Action::Undo(ticket))
            }
            _ => {
                let pid = slot.life.pid?;
                let signal = slot.life.take_signal(&slot.policy)?;
                Some(Action::Signal { service, pid, signal })
            }
        }
    }

    /// What a service does next by itself, and whether it waits for a stage to come to its end.
    pub(super) fn due(&self, at: u16) -> (Option<Event>, bool) {
        let Some(slot) = self.slot(at) else { return (None, false) };
        let (place, life) = (&slot.place, &slot.life);
        // Stages are an order of first starts; what has been there comes back at once.
        let early = life.goal == Goal::Start
            && self.stages.lowest_pending().is_some_and(|lowest| lowest < place.stage);
        let late = self.course != Course::Run
            && self.stages.highest_alive().is_some_and(|highest| highest > place.stage);
        let held = Held {
            may_start: place.holds_start == 0 && !early,
            starving: place.starves > 0,
            may_stop: place.holds_stop == 0 && !late,
            abort: self.abort,
        };
        (life.due(&slot.policy, self.now, held), early || late)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = u16> + use<N, E> {
        // `add` lets no more in than a u16 counts.
        0..u16::try_from(self.slots.len()).unwrap_or(u16::MAX)
    }

    pub(super) fn wanted(&self, at: u16) -> bool {
        self.slot(at).is_some_and(|slot| slot.life.goal != Goal::Down)
    }

    pub(super) fn queue(&mut self, at: u16) {
        self.enlist(Lists::WORK, at);
    }

    /// Changes a service, and whatever follows from that for the others.
    pub(super) fn alter<R>(
        &mut self,
        at: u16,
        change: impl FnOnce(&mut Policy, &mut Life) -> R,
    ) -> Option<R> {
        let slot = self.slots.get_mut(usize::from(at)).filter(|slot| !slot.place.vacant)?;
        let answer = change(&mut slot.policy, &mut slot.life);
        self.arm(at);
        // Its own news come before those that follow from it.
        self.queue(at);
        self.touch(at);
        self.enlist(Lists::CHANGED, at);
        Some(answer)
    }

    pub(super) fn apply(&mut self, at: u16, event: Event) -> Result<(), InputError> {
        let now = self.now;
        let phase = self.slot(at).map(|slot| slot.life.phase).ok_or(InputError::UnknownService)?;
        let applied = self.alter(at, |policy, life| life.apply(policy, now, event));
        applied.ok_or(InputError::UnknownService)?.map_err(|why| InputError::Impossible(phase, event, why.0))
    }

    pub(super) fn end(&mut self, at: u16, exit: Exit) -> Result<(), InputError> {
        let now = self.now;
        let phase = self.slot(at).map(|slot| slot.life.phase).ok_or(InputError::UnknownService)?;
        let ended = self.alter(at, |policy, life| life.end(policy, now, exit));
        ended
            .ok_or(InputError::UnknownService)?
            .map_err(|why| InputError::Impossible(phase, Event::Ended, why.0))
    }

    /// Lets the others see how a service is now.
    pub(super) fn touch(&mut self, at: u16) {
        let Some(slot) = self.slots.get_mut(usize::from(at)) else { return };
        let after = Face::of(&slot.life);
        let before = core::mem::replace(&mut slot.place.face, after);
        let stage = slot.place.stage;
        if before == after {
            return;
        }
        match (before.over, after.over) {
            (true, false) => self.busy += 1,
            (false, true) => self.busy -= 1,
            _ => {}
        }
        self.count(stage, before, after);
        let mut edges = self.first_of(at);
        while let Some(edge) = self.next_of(&mut edges) {
            self.shift_stop(edge.on, before.holds_stop(edge.relation), after.holds_stop(edge.relation));
            if edge.relation == Relation::Conflicts {
                self.shift_start(edge.on, edge.relation, before, after);
            }
        }
        let mut edges = self.first_into(at);
        while let Some(edge) = self.next_into(&mut edges) {
            self.shift_start(edge.of, edge.relation, before, after);
        }
    }

    /// A service of this stage has another face, or one of this face has come or gone.
    pub(super) fn count(&mut self, stage: u8, before: Face, after: Face) {
        let pending = self.stages.shift_pending(stage, before.pending, after.pending);
        let alive = self.stages.shift_alive(stage, !before.down, !after.down);
        if pending || alive {
            while let Some(at) = self.unlist(Lists::HELD) {
                self.queue(at);
            }
        }
    }

    /// Weighs a relation on both its services: as if it was (`before`) and is (`after`) there.
    pub(super) fn weigh(&mut self, at: u16, before: bool, after: bool) {
        let Some(edge) = self.edges.get(usize::from(at)).copied() else { return };
        let face = |at: u16| self.slot(at).map_or(Face::NONE, |slot| slot.place.face);
        let (of, on) = (face(edge.of), face(edge.on));
        let stop = of.holds_stop(edge.relation);
        self.shift_stop(edge.on, before && stop, after && stop);
        let mut start = |at, face: Face| {
            let (holds, starves) = (face.holds_start(edge.relation), face.starves(edge.relation));
            self.shift(at, (before && holds, before && starves), (after && holds, after && starves));
        };
        start(edge.of, on);
        if edge.relation == Relation::Conflicts {
            start(edge.on, of);
        }
    }

    fn shift_start(&mut self, at: u16, relation: Relation, before: Face, after: Face) {
        self.shift(
            at,
            (before.holds_start(relation), before.starves(relation)),
            (after.holds_start(relation), after.starves(relation)),
        );
    }

    fn shift(&mut self, at: u16, before: (bool, bool), after: (bool, bool)) {
        self.step();
        let Some(slot) = self.slots.get_mut(usize::from(at)) else { return };
        let place = &mut slot.place;
        let free = shift(&mut place.holds_start, before.0, after.0) && place.holds_start == 0;
        let starves = shift(&mut place.starves, before.1, after.1) && place.starves == 1;
        if free || starves {
            self.queue(at);
        }
    }

    fn shift_stop(&mut self, at: u16, before: bool, after: bool) {
        self.step();
        let Some(slot) = self.slots.get_mut(usize::from(at)) else { return };
        if shift(&mut slot.place.holds_stop, before, after) && slot.place.holds_stop == 0 {
            self.queue(at);
        }
    }

    /// Tests count what is looked at.
    #[cfg(test)]
    pub(super) fn step(&mut self) {
        self.steps += 1;
    }

    #[cfg(not(test))]
    pub(super) const fn step(&mut self) {}
}

/// Counts one more or one less; whether it did.
pub(super) fn shift(count: &mut u16, before: bool, after: bool) -> bool {
    match (before, after) {
        (false, true) => *count = count.saturating_add(1),
        (true, false) => *count = count.saturating_sub(1),
        _ => return false,
    }
    true
}
