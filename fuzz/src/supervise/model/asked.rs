//! What people ask for, and what that means for all that is related.

use super::*;

impl World {
    pub(super) fn add(&mut self, more: u8) {
        let free = self.known.iter().any(Option::is_none);
        let Ok(added) = self.system.add(policy(more)) else { panic!("no room: {free}") };
        assert!(self.known[added.index()].is_none());
        self.known[added.index()] = Some(Known::new(policy(more)));
    }

    pub(super) fn remove(&mut self, at: usize) {
        let known = self.at(at);
        let related = self.all().any(|(_, other)| other.said.iter().any(|(_, on)| *on == at));
        let idle = known.pid.is_none() && known.ticket.is_none();
        let down = idle && matches!(known.told, State::Stopped | State::Failed);
        assert_eq!(self.system.remove(id(at)).is_ok(), down && !related);
        if down && !related {
            self.known[at] = None;
        }
        self.drain();
    }

    pub(super) fn unrelate(&mut self, at: usize) {
        self.system.unrelate(id(at)).unwrap();
        self.of(at).said.clear();
        self.drain();
    }

    pub(super) fn set_policy(&mut self, at: usize, policy: Policy) {
        self.system.set_policy(id(at), policy).unwrap();
        let known = self.of(at);
        let done = known.told == State::Ready && known.pid.is_none() && known.ticket.is_none();
        let waits = known.told == State::Waiting && known.ticket.is_none();
        let other = policy.on_demand || policy.kind != Kind::Oneshot;
        if known.wanted && (waits && !policy.on_demand || done && other) {
            (known.asked, known.triggered) = (true, false);
        }
        known.policy = policy;
        // The stop goes on at the same place of another sequence.
        known.signals.clear();
        self.drain();
    }

    /// All that `from` leads to along `relation`.
    fn closure(&self, from: usize, relation: Relation) -> Vec<usize> {
        let mut found = vec![from];
        let mut next = 0;
        while let Some(at) = found.get(next).copied() {
            next += 1;
            for (other, on) in self.relations(at) {
                if other == relation && !found.contains(&on) {
                    found.push(on);
                }
            }
        }
        found
    }

    fn waits_for(&self, of: usize, on: usize) -> bool {
        of == on
            || self
                .at(of)
                .said
                .iter()
                .any(|(relation, at)| *relation != Relation::Conflicts && self.waits_for(*at, on))
    }

    fn could_start(&self, at: usize) -> bool {
        let all = self.closure(at, Relation::Needs);
        !all.iter().any(|one| self.opponents(*one).iter().any(|other| all.contains(other)))
    }

    pub(super) fn relate(&mut self, of: usize, relation: Relation, on: usize) {
        let answer = self.system.relate(id(of), relation, id(on));
        if self.known[on].is_none() {
            assert_eq!(answer, Err(RelateError::UnknownService));
            return;
        }
        let conflicts = relation == Relation::Conflicts;
        if self.at(of).said.contains(&(relation, on)) || conflicts && self.opponents(of).contains(&on) {
            assert_eq!(answer, Ok(()));
            return;
        }
        if !conflicts && self.waits_for(on, of) {
            let Err(RelateError::Cycle(ring)) = answer else { panic!("a cycle: {answer:?}") };
            self.is_ring(of, on, &ring);
            return;
        }
        if self.all().map(|(_, known)| known.said.len()).sum::<usize>() == RELATIONS {
            assert_eq!(answer, Err(RelateError::Full));
            return;
        }
        self.of(of).said.push((relation, on));
        if !self.all().all(|(at, _)| self.could_start(at)) {
            let Err(RelateError::Conflict { of: who, between: [one, other] }) = answer else {
                panic!("{answer:?}")
            };
            let needs = self.closure(who.index(), Relation::Needs);
            assert!(needs.contains(&one.index()) && needs.contains(&other.index()));
            assert!(self.opponents(one.index()).contains(&other.index()));
            self.of(of).said.pop();
        } else {
            assert_eq!(answer, Ok(()));
            if conflicts && self.at(of).wanted && self.at(on).wanted {
                self.want_down(on);
            }
        }
        self.drain();
    }

    fn is_ring(&self, of: usize, on: usize, ring: &Cycle<SERVICES>) {
        let ring: Vec<usize> = ring.iter().map(ServiceId::index).collect();
        assert_eq!(ring[0], of);
        for (at, next) in ring.iter().zip(ring.iter().cycle().skip(1)) {
            let said = self.at(*at).said.iter().any(|(by, to)| *by != Relation::Conflicts && to == next);
            assert!(said || (*at, *next) == (of, on), "no ring: {ring:?}");
        }
    }

    pub(super) fn start(&mut self, at: usize, input: Input) {
        let answer = self.system.handle(self.now, input);
        if self.closing {
            assert_eq!(answer, Err(InputError::ShuttingDown));
        } else {
            assert_eq!(answer, Ok(()));
            self.want_up(at);
        }
        self.drain();
    }

    pub(super) fn restart(&mut self, at: usize) {
        let closing = self.closing;
        if !closing {
            self.want_up(at);
            let now = self.now;
            let known = self.of(at);
            let done = known.told == State::Ready && known.pid.is_none() && known.ticket.is_none();
            let runs = known.pid.is_some() && matches!(known.told, State::Starting | State::Ready);
            if known.stable(now) && runs {
                known.lapses = 0;
            }
            known.asked |= runs || done;
        }
        let answer = self.system.handle(self.now, Input::Restart(id(at)));
        assert_eq!(answer.is_err(), closing);
        self.drain();
    }

    pub(super) fn trigger(&mut self, at: usize) {
        let answer = self.system.handle(self.now, Input::Trigger(id(at)));
        if self.closing {
            assert_eq!(answer, Err(InputError::ShuttingDown));
        } else if self.at(at).told == State::Waiting && self.at(at).ticket.is_none() {
            assert_eq!(answer, Ok(()));
            self.of(at).triggered = true;
        }
        self.drain();
    }

    fn want_up(&mut self, at: usize) {
        let mut wanted = self.closure(at, Relation::Needs);
        let mut next = 0;
        while let Some(of) = wanted.get(next).copied() {
            next += 1;
            for (relation, on) in self.relations(of) {
                let more = self.closure(on, Relation::Needs);
                let fits = more.iter().all(|one| {
                    wanted.contains(one) || !self.opponents(*one).iter().any(|other| wanted.contains(other))
                });
                if relation == Relation::Wants && fits {
                    for one in more {
                        if !wanted.contains(&one) {
                            wanted.push(one);
                        }
                    }
                }
            }
        }
        for one in &wanted {
            for other in self.opponents(*one) {
                self.want_down(other);
            }
        }
        for one in wanted {
            let known = self.of(one);
            let is_up = match known.told {
                State::Starting | State::Ready => true,
                // Another policy may have it started, which nobody was told of yet.
                State::Waiting => known.policy.on_demand,
                _ => false,
            };
            let runs = known.spawning() || known.ticket.is_none() && is_up;
            if runs {
                known.asked = false;
            } else if !known.wanted || known.asked || known.told != State::Backoff || one == at {
                known.asked = true;
            }
            known.wanted = true;
        }
    }

    pub(super) fn want_down(&mut self, at: usize) {
        let known = self.of(at);
        (known.wanted, known.asked, known.triggered) = (false, false, false);
        for of in 0..SERVICES {
            let needs = |known: &Known| known.said.contains(&(Relation::Needs, at));
            if self.known[of].as_ref().is_some_and(needs) {
                self.want_down(of);
            }
        }
    }

    pub(super) fn shut_down(&mut self, input: Input) {
        self.closing = true;
        self.abort |= matches!(input, Input::Abort);
        for known in self.known.iter_mut().flatten() {
            (known.wanted, known.asked, known.triggered) = (false, false, false);
        }
        self.hear(input);
    }
}
