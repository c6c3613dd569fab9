//! Where services and their relations are kept: tables whose entries are linked by their numbers, so that each
//! input costs what it touches. What no service has used yet is never written to.

use super::{
    graph::Relation,
    policy::Policy,
    service::{Face, Life},
    system::System,
};

/// No entry.
pub(super) const NONE: u16 = u16::MAX;

/// One place for a service.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Slot {
    pub(super) policy: Policy,
    pub(super) life: Life,
    pub(super) place: Place,
}

impl Slot {
    pub(super) const fn new(policy: Policy) -> Self {
        Self { policy, life: Life::NEW, place: Place::NEW }
    }
}

/// Where a service stands among the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// What the others know of it.
    pub(super) face: Face,
    /// The stage that it belongs to.
    pub(super) stage: u8,
    /// How many hold back its start, how many of these in vain, and how many hold back its stop.
    pub(super) holds_start: u16,
    pub(super) starves: u16,
    pub(super) holds_stop: u16,
    /// What it says of others, and what others say of it: the first relation.
    pub(super) out: u16,
    pub(super) into: u16,
    /// The next on each list, if it is on that.
    pub(super) next: [u16; Lists::ALL],
    pub(super) listed: [bool; Lists::ALL],
    /// The next of each walk, and whether it has been there.
    pub(super) walk: [u16; 2],
    pub(super) walked: [bool; 2],
    /// What led a walk here, and from where.
    pub(super) via: u16,
    pub(super) from: u16,
    /// Its place among the deadlines.
    pub(super) timer: u16,
    pub(super) vacant: bool,
}

impl Place {
    const NEW: Self = Self {
        face: Face::NONE,
        stage: 0,
        holds_start: 0,
        starves: 0,
        holds_stop: 0,
        out: NONE,
        into: NONE,
        next: [NONE; Lists::ALL],
        listed: [false; Lists::ALL],
        walk: [NONE; 2],
        walked: [false; 2],
        via: NONE,
        from: NONE,
        timer: NONE,
        vacant: false,
    };

    pub(super) fn seen(&self, walk: usize) -> bool {
        self.walked.get(walk).copied().unwrap_or_default()
    }
}

/// What one service says of another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) of: u16,
    pub(super) on: u16,
    pub(super) relation: Relation,
    /// The next that `of` says.
    next_of: u16,
    /// The next that is said of `on`, and the one before.
    next_into: u16,
    before_into: u16,
}

/// The lists that a service can be on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lists;

impl Lists {
    /// To be looked at.
    pub(super) const WORK: usize = 0;
    /// Held back by its stage.
    pub(super) const HELD: usize = 1;
    /// Not the same as when it was saved.
    pub(super) const CHANGED: usize = 2;
    /// Its stage is to be found anew.
    pub(super) const STAGE: usize = 3;
    pub(super) const ALL: usize = 4;
}

/// One list: first in, first out.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) first: Head,
    last: Head,
}

impl List {
    pub(super) const EMPTY: Self = Self { first: Head::NONE, last: Head::NONE };
}

/// A place, or none, which is 0 in memory: a system that nothing was added to is all zeros, and takes no room in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head(u16);

impl Head {
    pub(super) const NONE: Self = Self::of(NONE);

    pub(super) const fn of(at: u16) -> Self {
        Self(!at)
    }

    pub(super) const fn at(self) -> u16 {
        !self.0
    }
}

/// A walk over services, each once.
#[derive(Debug)]
pub(super) struct Walk {
    which: usize,
    pub(super) first: u16,
    last: u16,
    at: u16,
}

impl Walk {
    pub(super) const fn new(which: usize) -> Self {
        Self { which, first: NONE, last: NONE, at: NONE }
    }

    /// To its first service again.
    pub(super) fn again(&mut self) {
        self.at = NONE;
    }
}

impl<const N: usize, const E: usize> System<N, E> {
    pub(super) fn slot(&self, at: u16) -> Option<&Slot> {
        self.slots.get(usize::from(at)).filter(|slot| !slot.place.vacant)
    }

    fn place(&mut self, at: u16) -> Option<&mut Place> {
        self.slots.get_mut(usize::from(at)).map(|slot| &mut slot.place)
    }

    // Lists.

    /// Puts a service at the end of a list, unless it is on it.
    pub(super) fn enlist(&mut self, list: usize, at: u16) {
        let Some(place) = self.place(at) else { return };
        let (Some(next), Some(listed)) = (place.next.get_mut(list), place.listed.get_mut(list)) else {
            return;
        };
        if *listed {
            return;
        }
        (*next, *listed) = (NONE, true);
        let Some(known) = self.lists.get_mut(list) else { return };
        let last = core::mem::replace(&mut known.last, Head::of(at)).at();
        if last == NONE {
            known.first = Head::of(at);
        } else if let Some(next) = self.place(last).and_then(|place| place.next.get_mut(list)) {
            *next = at;
        }
    }

    /// Takes the first service from a list.
    pub(super) fn unlist(&mut self, list: usize) -> Option<u16> {
        let at = self.lists.get(list).map(|known| known.first.at()).filter(|first| *first != NONE)?;
        self.step();
        let place = self.place(at)?;
        let next = place.next.get(list).copied().unwrap_or(NONE);
        if let Some(listed) = place.listed.get_mut(list) {
            *listed = false;
        }
        let known = self.lists.get_mut(list)?;
        known.first = Head::of(next);
        if next == NONE {
            known.last = Head::NONE;
        }
        Some(at)
    }

    // Walks.

    /// Adds a service to a walk that has not been there; `via` is what led to it.
    pub(super) fn visit(&mut self, walk: &mut Walk, at: u16, via: u16) {
        if self.visit_from(walk, at, NONE)
            && let Some(place) = self.place(at)
        {
            place.via = via;
        }
    }

    /// Adds a service to a walk, marked with where it began. Whether it is new to the walk.
    pub(super) fn visit_from(&mut self, walk: &mut Walk, at: u16, from: u16) -> bool {
        let which = walk.which;
        let Some(place) = self.place(at) else { return false };
        let (Some(next), Some(walked)) = (place.walk.get_mut(which), place.walked.get_mut(which)) else {
            return false;
        };
        if *walked {
            return false;
        }
        (*next, *walked) = (NONE, true);
        place.from = from;
        let last = core::mem::replace(&mut walk.last, at);
        if last == NONE {
            walk.first = at;
        } else if let Some(next) = self.place(last).and_then(|place| place.walk.get_mut(which)) {
            *next = at;
        }
        true
    }

    /// The next service of a walk; after `None` it goes on when there is more.
    pub(super) fn advance(&mut self, walk: &mut Walk) -> Option<u16> {
        let next = match walk.at {
            NONE => walk.first,
            at => self.place(at)?.walk.get(walk.which).copied()?,
        };
        if next == NONE {
            return None;
        }
        self.step();
        walk.at = next;
        Some(next)
    }

    /// Ends a walk: every mark of it is taken away.
    pub(super) fn leave(&mut self, walk: Walk) {
        let mut at = walk.first;
        while let Some(place) = self.place(at) {
            if let Some(walked) = place.walked.get_mut(walk.which) {
                *walked = false;
            }
            at = place.walk.get(walk.which).copied().unwrap_or(NONE);
        }
    }

    // Relations. The two ways to go through them are for readers, and for those who change something meanwhile.

    pub(super) fn edges_of(&self, of: u16) -> impl Iterator<Item = (u16, &Edge)> {
        let mut at = self.first_of(of);
        core::iter::from_fn(move || {
            let edge = self.edges.get(usize::from(at))?;
            Some((core::mem::replace(&mut at, edge.next_of), edge))
        })
    }

    pub(super) fn edges_into(&self, on: u16) -> impl Iterator<Item = (u16, &Edge)> {
        let mut at = self.first_into(on);
        core::iter::from_fn(move || {
            let edge = self.edges.get(usize::from(at))?;
            Some((core::mem::replace(&mut at, edge.next_into), edge))
        })
    }

    pub(super) fn first_of(&self, of: u16) -> u16 {
        self.slot(of).map_or(NONE, |slot| slot.place.out)
    }

    pub(super) fn next_of(&self, at: &mut u16) -> Option<Edge> {
        let edge = self.edges.get(usize::from(*at)).copied()?;
        *at = edge.next_of;
        Some(edge)
    }

    pub(super) fn first_into(&self, on: u16) -> u16 {
        self.slot(on).map_or(NONE, |slot| slot.place.into)
    }

    pub(super) fn next_into(&self, at: &mut u16) -> Option<Edge> {
        let edge = self.edges.get(usize::from(*at)).copied()?;
        *at = edge.next_into;
        Some(edge)
    }

    /// Makes a relation, as the first of both; its place.
    pub(super) fn link(&mut self, of: u16, relation: Relation, on: u16) -> Option<u16> {
        let edge = Edge {
            of,
            on,
            relation,
            next_of: self.first_of(of),
            next_into: self.first_into(on),
            before_into: NONE,
        };
        let at = match self.free_edge.at() {
            NONE => {
                let at = u16::try_from(self.edges.len()).ok().filter(|at| *at != NONE)?;
                self.edges.push(edge).ok()?;
                at
            }
            at => {
                let free = self.edges.get_mut(usize::from(at))?;
                self.free_edge = Head::of(free.next_of);
                *free = edge;
                at
            }
        };
        if let Some(second) = self.edges.get_mut(usize::from(edge.next_into)) {
            second.before_into = at;
        }
        self.place(of)?.out = at;
        self.place(on)?.into = at;
        if relation == Relation::Conflicts {
            self.conflicts += 1;
        }
        Some(at)
    }

    /// Takes away a relation that is the first of those that its service says.
    pub(super) fn unlink(&mut self, at: u16) {
        let Some(edge) = self.edges.get(usize::from(at)).copied() else { return };
        if let Some(place) = self.place(edge.of) {
            place.out = edge.next_of;
        }
        match self.edges.get_mut(usize::from(edge.before_into)) {
            Some(before) => before.next_into = edge.next_into,
            None => {
                if let Some(place) = self.place(edge.on) {
                    place.into = edge.next_into;
                }
            }
        }
        if let Some(after) = self.edges.get_mut(usize::from(edge.next_into)) {
            after.before_into = edge.before_into;
        }
        if edge.relation == Relation::Conflicts {
            self.conflicts -= 1;
        }
        if let Some(free) = self.edges.get_mut(usize::from(at)) {
            free.next_of = self.free_edge.at();
            self.free_edge = Head::of(at);
        }
    }

    // Deadlines: a heap of places, the earliest first.

    fn time(&self, timer: usize) -> Option<(u16, crate::time::Instant)> {
        let at = self.timers.get(timer).copied()?;
        Some((at, self.slots.get(usize::from(at))?.life.deadline?))
    }

    /// The earliest deadline that has not passed, and whose it is.
    pub(super) fn earliest(&self) -> Option<(u16, crate::time::Instant)> {
        self.time(0)
    }

    /// Puts a service where its deadline belongs, or nowhere if there is none ahead.
    pub(super) fn arm(&mut self, at: u16) {
        let Some(slot) = self.slots.get(usize::from(at)) else { return };
        let ahead = slot.life.deadline.is_some_and(|deadline| deadline > self.now);
        let timer = usize::from(slot.place.timer);
        match (ahead, slot.place.timer != NONE) {
            (false, false) => {}
            (true, false) => {
                let last = self.timers.len();
                if self.timers.push(at).is_ok() {
                    self.put(last, at);
                    self.rise(last);
                }
            }
            (true, true) => {
                let timer = self.rise(timer);
                self.sink(timer);
            }
            (false, true) => {
                if let Some(place) = self.place(at) {
                    place.timer = NONE;
                }
                let Some(last) = self.timers.pop() else { return };
                if last != at {
                    self.put(timer, last);
                    let timer = self.rise(timer);
                    self.sink(timer);
                }
            }
        }
    }

    fn put(&mut self, timer: usize, at: u16) {
        if let Some(place) = self.timers.get_mut(timer) {
            *place = at;
        }
        if let (Some(place), Ok(timer)) = (self.place(at), u16::try_from(timer)) {
            place.timer = timer;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        if let (Some(first), Some(second)) = (self.timers.get(one).copied(), self.timers.get(other).copied())
        {
            self.put(one, second);
            self.put(other, first);
        }
    }

    fn rise(&mut self, mut timer: usize) -> usize {
        while let Some(parent) = timer.checked_sub(1).map(|below| below / 2)
            && self.time(timer).map(|(_, time)| time) < self.time(parent).map(|(_, time)| time)
        {
            self.swap(timer, parent);
            timer = parent;
        }
        timer
    }

    fn sink(&mut self, mut timer: usize) {
        loop {
            let times =
                [2 * timer + 1, 2 * timer + 2].map(|child| self.time(child).map(|(_, time)| (time, child)));
            let Some((time, child)) = times.into_iter().flatten().min() else { return };
            if self.time(timer).is_some_and(|(_, own)| own <= time) {
                return;
            }
            self.swap(timer, child);
            timer = child;
        }
    }
}
