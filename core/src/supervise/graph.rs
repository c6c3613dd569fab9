//! Which services there are, and how they are related.

use core::fmt;

use super::{
    action::ServiceId,
    policy::Policy,
    service::{Face, Life},
    slot::{Edge, Head, NONE, Place, Slot, Walk},
    system::System,
    table::Phase,
};

/// How one service, which says it, is related to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// The other is started with it and must be ready, done or waiting before it starts; it is down before the other
    /// stops. The end of the other by itself takes it not along.
    Needs,
    /// The other is started with it, and it waits until that start has succeeded or failed. If both stop, it stops
    /// first.
    Wants,
    /// If both start, it waits until the other's start has succeeded or failed. If both stop, it stops first.
    After,
    /// The two never run together: whichever is started makes the other one, and what needs that, not wanted; and
    /// starts when it is gone. It does not matter which of them says it.
    Conflicts,
}

impl Relation {
    /// It gives the two an order.
    pub(super) const fn orders(self) -> bool {
        !matches!(self, Self::Conflicts)
    }
}

/// There is no room for another service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddError;

/// Why a relation was refused. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelateError<const N: usize> {
    /// There is no such service.
    UnknownService,
    /// There is no room for another relation.
    Full,
    /// Needs, wants and orders would go in this ring.
    Cycle(Cycle<N>),
    /// A service could never start, because it would need two that conflict.
    Conflict {
        /// The one that could not start; can be one of the two.
        of: ServiceId,
        /// The two.
        between: [ServiceId; 2],
    },
}

/// Why a service was not removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoveError {
    /// There is no such service.
    UnknownService,
    /// It is in this phase, not stopped or failed; stop it first.
    NotDown(Phase),
    /// This other service is related to it; [`unrelate`](System::unrelate) that first.
    Related(ServiceId),
}

/// Services that wait for each other in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cycle<const N: usize> {
    ring: [ServiceId; N],
    len: usize,
}

impl<const N: usize> Cycle<N> {
    /// The ring: each waits for the next, and the last waits for the first.
    pub fn iter(&self) -> impl Iterator<Item = ServiceId> + '_ {
        self.ring.iter().copied().take(self.len)
    }
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room for another service")
    }
}

impl<const N: usize> fmt::Display for RelateError<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownService => f.write_str("no such service"),
            Self::Full => f.write_str("no room for another relation"),
            Self::Cycle(cycle) => {
                f.write_str("services wait for each other: ")?;
                for service in cycle.iter() {
                    write!(f, "{} -> ", service.0)?;
                }
                write!(f, "{}", cycle.iter().next().map_or(0, |first| first.0))
            }
            Self::Conflict { of, between: [one, other] } => {
                write!(f, "{} would need {} and {}, which conflict", of.0, one.0, other.0)
            }
        }
    }
}

impl fmt::Display for RemoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownService => f.write_str("no such service"),
            Self::NotDown(_) => f.write_str("it is not stopped"),
            Self::Related(by) => write!(f, "{} is related to it", by.0),
        }
    }
}

impl core::error::Error for AddError {}
impl<const N: usize> core::error::Error for RelateError<N> {}
impl core::error::Error for RemoveError {}

impl<const N: usize, const E: usize> System<N, E> {
    /// Adds a service, which is stopped and not wanted.
    ///
    /// # Errors
    /// There are `N` already.
    pub fn add(&mut self, policy: Policy) -> Result<ServiceId, AddError> {
        let index = match self.free_slot.at() {
            NONE => {
                let index = u16::try_from(self.slots.len()).map_err(|_| AddError)?;
                if index == NONE {
                    return Err(AddError);
                }
                self.slots.push(Slot::new(policy)).map_err(|_| AddError)?;
                index
            }
            index => {
                let slot = self.slots.get_mut(usize::from(index)).ok_or(AddError)?;
                self.free_slot = Head::of(slot.place.walk[0]);
                // It can still be on a list, and its tickets must not be taken for those of the one before it.
                let (place, run) = (slot.place, slot.life.run);
                *slot = Slot::new(policy);
                slot.life.run = run;
                slot.place = Place { walk: [NONE; 2], out: NONE, into: NONE, vacant: false, ..place };
                index
            }
        };
        self.slots.get_mut(usize::from(index)).ok_or(AddError)?.place.stage = policy.stage;
        self.touch(index);
        Ok(ServiceId(index))
    }

    /// Takes away a service and what it says of others; its place is given to the next that is added.
    ///
    /// # Errors
    /// It runs, or others are related to it.
    pub fn remove(&mut self, service: ServiceId) -> Result<(), RemoveError> {
        let slot = self.slot(service.0).ok_or(RemoveError::UnknownService)?;
        if !matches!(slot.life.phase, Phase::Stopped | Phase::Failed) {
            return Err(RemoveError::NotDown(slot.life.phase));
        }
        if let Some((_, edge)) = self.edges_into(service.0).next() {
            return Err(RemoveError::Related(ServiceId(edge.of)));
        }
        let run = slot.life.run;
        let _ = self.unrelate(service);
        // What has failed is wanted, and what is wanted can hold others back.
        self.alter(service.0, |_, life| *life = Life { run, ..Life::NEW });
        let free = self.free_slot.at();
        if let Some(slot) = self.slots.get_mut(service.index()) {
            slot.place.vacant = true;
            slot.place.walk[0] = free;
            self.free_slot = Head::of(service.0);
        }
        Ok(())
    }

    /// Says how `of` is related to `on`; saying it twice is saying it once. Nothing is started or stopped for it,
    /// but of two that conflict from now on and are both wanted, `on` no longer is.
    ///
    /// ```
    /// use lunix_core::supervise::{Policy, RelateError, Relation, System};
    /// let mut system: System<2, 2> = System::new();
    /// let (a, b) = (system.add(Policy::default())?, system.add(Policy::default())?);
    /// system.relate(a, Relation::Needs, b)?;
    /// let Err(RelateError::Cycle(cycle)) = system.relate(b, Relation::After, a) else { panic!() };
    /// assert_eq!(cycle.iter().collect::<Vec<_>>(), [b, a]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// There is no room, the order would have no beginning, or something could never start.
    pub fn relate(&mut self, of: ServiceId, relation: Relation, on: ServiceId) -> Result<(), RelateError<N>> {
        if self.slot(of.0).is_none() || self.slot(on.0).is_none() {
            return Err(RelateError::UnknownService);
        }
        let same = |edge: &Edge| edge.relation == relation && edge.on == on.0;
        let converse = |edge: &Edge| {
            edge.relation == Relation::Conflicts && relation == Relation::Conflicts && edge.of == on.0
        };
        if self.edges_of(of.0).any(|(_, edge)| same(edge))
            || self.edges_into(of.0).any(|(_, edge)| converse(edge))
        {
            return Ok(());
        }
        if relation.orders()
            && let Some(cycle) = self.ring(of.0, on.0)
        {
            return Err(RelateError::Cycle(cycle));
        }
        let at = self.link(of.0, relation, on.0).ok_or(RelateError::Full)?;
        if let Some(error) = self.clash(of, relation, on) {
            self.unlink(at);
            return Err(error);
        }
        self.weigh(at, false, true);
        self.queue(of.0);
        self.queue(on.0);
        match relation {
            Relation::Conflicts if self.wanted(of.0) && self.wanted(on.0) => self.want_down(on.0),
            Relation::Conflicts => {}
            _ => self.restage(on.0),
        }
        Ok(())
    }

    /// Takes back all that `of` says of others. What others say of it stays.
    ///
    /// # Errors
    /// There is no such service.
    pub fn unrelate(&mut self, of: ServiceId) -> Result<(), RemoveError> {
        if self.slot(of.0).is_none() {
            return Err(RemoveError::UnknownService);
        }
        loop {
            let at = self.first_of(of.0);
            let Some(edge) = self.next_of(&mut { at }) else { break };
            self.weigh(at, true, false);
            self.unlink(at);
            self.queue(edge.on);
            if edge.relation.orders() {
                self.restage(edge.on);
            }
        }
        self.queue(of.0);
        Ok(())
    }

    /// Gives a service another policy, which counts from now on. The time-out of a start counts from its beginning;
    /// a stop goes on at the same place of the new sequence, and what SIGKILL was sent is left in peace.
    ///
    /// # Errors
    /// There is no such service.
    pub fn set_policy(&mut self, service: ServiceId, policy: Policy) -> Result<(), RemoveError> {
        let now = self.now;
        let changed = self.alter(service.0, |old, life| {
            let before = core::mem::replace(old, policy);
            let from = if life.phase == Phase::Ready { now } else { life.since };
            if !matches!(life.phase, Phase::Terminating | Phase::Killing | Phase::Undoing)
                && life.span_from(&before, from) != life.span_from(&policy, from)
            {
                life.deadline = life.span_from(&policy, from);
            }
            life.suit(&policy);
        });
        changed.ok_or(RemoveError::UnknownService)?;
        self.restage(service.0);
        Ok(())
    }

    /// What `service` says of others, in no order.
    pub fn relations(&self, service: ServiceId) -> impl Iterator<Item = (Relation, ServiceId)> + '_ {
        self.edges_of(service.0).map(|(_, edge)| (edge.relation, ServiceId(edge.on)))
    }

    /// What `service` needs directly, in no order.
    pub fn needs(&self, service: ServiceId) -> impl Iterator<Item = ServiceId> + '_ {
        self.relations(service).filter(|(relation, _)| *relation == Relation::Needs).map(|(_, on)| on)
    }

    /// What holds back a start of `service` now, by what either says of the other: nothing, or why it does not start
    /// although it is wanted.
    pub fn holders(&self, service: ServiceId) -> impl Iterator<Item = ServiceId> + '_ {
        let face = |at: u16| self.slot(at).map_or(Face::NONE, |slot| slot.place.face);
        let out = self.edges_of(service.0).filter(move |(_, edge)| face(edge.on).holds_start(edge.relation));
        let into = self.edges_into(service.0).filter(move |(_, edge)| {
            edge.relation == Relation::Conflicts && face(edge.of).holds_start(edge.relation)
        });
        out.map(|(_, edge)| ServiceId(edge.on)).chain(into.map(|(_, edge)| ServiceId(edge.of)))
    }

    /// What a service conflicts with, whoever says so.
    pub(super) fn opponents(&self, at: u16) -> impl Iterator<Item = ServiceId> + '_ {
        let conflicts = |(_, edge): &(u16, &Edge)| edge.relation == Relation::Conflicts;
        let out = self.edges_of(at).filter(conflicts).map(|(_, edge)| ServiceId(edge.on));
        out.chain(self.edges_into(at).filter(conflicts).map(|(_, edge)| ServiceId(edge.of)))
    }

    /// The way along orders from `on` to `of`, which would become a ring.
    fn ring(&mut self, of: u16, on: u16) -> Option<Cycle<N>> {
        let mut cycle = Cycle { ring: [ServiceId(of); N], len: 1 };
        if of == on {
            return Some(cycle);
        }
        let orders = |(_, edge): &(u16, &Edge)| edge.relation.orders();
        if !self.edges_of(on).any(|edge| orders(&edge)) || !self.edges_into(of).any(|edge| orders(&edge)) {
            return None;
        }
        // From `of` back to all that waits for it, each with the one that it waits for.
        let mut walk = Walk::new(0);
        self.visit(&mut walk, of, NONE);
        while let Some(at) = self.advance(&mut walk) {
            if at == on {
                break;
            }
            let mut edges = self.first_into(at);
            while let Some(edge) = self.next_into(&mut edges) {
                if edge.relation.orders() {
                    self.visit(&mut walk, edge.of, at);
                }
            }
        }
        let mut at = on;
        let mut found = false;
        while let Some(via) = self.slot(at).filter(|slot| slot.place.seen(0)).map(|slot| slot.place.via) {
            if at == of {
                found = true;
                break;
            }
            if let Some(place) = cycle.ring.get_mut(cycle.len) {
                *place = ServiceId(at);
            }
            cycle.len += 1;
            at = via;
        }
        self.leave(walk);
        found.then_some(cycle)
    }

    /// What could never start with the relation that was just linked.
    fn clash(&mut self, of: ServiceId, relation: Relation, on: ServiceId) -> Option<RelateError<N>> {
        match relation {
            Relation::Conflicts => self.who_needs_both(of, on),
            // Whatever conflicts with something that `on` needs, must not be needed with it.
            Relation::Needs if self.conflicts > 0 => {
                let mut walk = Walk::new(0);
                let mut found = None;
                self.visit(&mut walk, on.0, NONE);
                while let Some(at) = self.advance(&mut walk) {
                    let mut edges = self.first_of(at);
                    while let Some(edge) = self.next_of(&mut edges) {
                        match edge.relation {
                            Relation::Needs => self.visit(&mut walk, edge.on, at),
                            Relation::Conflicts if found.is_none() => {
                                found = self.who_needs_both(ServiceId(at), ServiceId(edge.on));
                            }
                            _ => {}
                        }
                    }
                    let mut edges = self.first_into(at);
                    while let Some(edge) = self.next_into(&mut edges) {
                        if edge.relation == Relation::Conflicts && found.is_none() {
                            found = self.who_needs_both(ServiceId(at), ServiceId(edge.of));
                        }
                    }
                }
                self.leave(walk);
                found
            }
            _ => None,
        }
    }

    /// The first that needs, or is, both.
    fn who_needs_both(&mut self, one: ServiceId, other: ServiceId) -> Option<RelateError<N>> {
        let mut walk = Walk::new(1);
        self.visit_from(&mut walk, one.0, one.0);
        let mut of = (one == other).then_some(one.0);
        // Each is marked with whose need led to it; a service that both lead to needs both.
        let mut turn = one.0;
        loop {
            while let Some(at) = self.advance(&mut walk) {
                let mut edges = self.first_into(at);
                while let Some(edge) = self.next_into(&mut edges) {
                    if edge.relation != Relation::Needs {
                        continue;
                    }
                    let known = self.slot(edge.of).filter(|slot| slot.place.seen(1));
                    if known.is_some_and(|slot| slot.place.from != turn) {
                        of.get_or_insert(edge.of);
                    }
                    self.visit_from(&mut walk, edge.of, turn);
                }
            }
            if turn == other.0 {
                break;
            }
            turn = other.0;
            if self.slot(turn).is_some_and(|slot| slot.place.seen(1)) {
                of.get_or_insert(turn);
            }
            self.visit_from(&mut walk, turn, turn);
        }
        self.leave(walk);
        of.map(|of| RelateError::Conflict { of: ServiceId(of), between: [one, other] })
    }
}
