//! What the machine says, and whether it may.

use super::*;

impl World {
    pub(super) fn drain(&mut self) {
        let mut actions = 0;
        while let Some(action) = self.system.poll() {
            actions += 1;
            assert!(actions <= 16 * SERVICES + 1, "more actions than promised");
            self.act(action);
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::Spawn(ticket) => {
                let at = ticket.service().index();
                self.may_spawn(at);
                let known = self.of(at);
                if known.asked || known.stable(now) {
                    known.lapses = 0;
                }
                (known.asked, known.triggered, known.due) = (false, false, None);
                // What it was until now is over, though nobody is told yet: however long that takes, it is no stable run.
                (known.ticket, known.at) = (Some(ticket), Instant::from_micros(u64::MAX));
            }
            Action::Undo(ticket) => {
                let known = self.of(ticket.service().index());
                assert!(known.policy.undo && known.pid.is_none() && known.ticket.is_none());
                assert!(!known.wanted || known.asked, "undone unasked");
                (known.ticket, known.undoes) = (Some(ticket), true);
            }
            Action::Signal { service, pid, signal } => {
                let known = self.of(service.index());
                assert_eq!(known.pid, Some(pid), "a signal to nobody");
                if signal != Signal::HUP {
                    assert!(!known.signals.contains(&signal), "a signal twice");
                    known.signals.push(signal);
                }
                assert!(known.told == State::Stopping || signal == Signal::HUP);
            }
            Action::Announce(report) => {
                let foretold = self.foretold;
                let known = self.of(report.service.index());
                assert_ne!(known.told, report.state, "told twice");
                known.triggered = false;
                if known.stable(now) {
                    known.lapses = 0;
                }
                match report.state {
                    State::Waiting => {
                        assert!(known.policy.on_demand);
                        if core::mem::take(&mut known.asked) {
                            known.lapses = 0;
                        }
                    }
                    // It starves.
                    State::Failed if !foretold && report.pid.is_none() => {
                        assert!(known.wanted);
                        (known.asked, known.triggered) = (true, false);
                    }
                    _ => {}
                }
                (known.told, known.at) = (report.state, report.at);
            }
            Action::Down => {
                assert!(self.closing && !self.down);
                self.down = true;
            }
        }
    }

    fn may_spawn(&self, at: usize) {
        let known = self.at(at);
        assert!(known.pid.is_none() && known.ticket.is_none(), "started twice");
        assert!(known.wanted && !self.closing, "started unasked");
        assert!(known.asked || known.triggered || known.due.is_some(), "started without a reason");
        let delayed = !known.asked && known.told == State::Backoff;
        assert!(!delayed || known.due.is_some_and(|due| due <= self.now), "restarted too soon");
        assert_ne!(self.holds_start(at), Some(true), "started too early: {at} {:?}", self.known);
        for other in self.opponents(at) {
            assert!(!self.at(other).is_there(), "conflicting services together");
        }
    }

    /// Whether another one holds back the start of `at`; `None` if that cannot be told.
    pub(super) fn holds_start(&self, at: usize) -> Option<bool> {
        let known = self.at(at);
        let mut unsure = false;
        for (relation, on) in &known.said {
            let held = match relation {
                Relation::Needs => Some(!self.at(*on).fulfils(self.state(*on))),
                Relation::Wants | Relation::After => self.at(*on).pending(self.state(*on)),
                Relation::Conflicts => Some(false),
            };
            unsure |= held.is_none();
            if held == Some(true) {
                return Some(true);
            }
        }
        if self.opponents(at).into_iter().any(|other| self.at(other).is_there()) {
            return Some(true);
        }
        if known.asked {
            let stages = self.stages();
            for (other, early) in self.all().filter(|(other, _)| stages[*other] < stages[at]) {
                match early.pending(self.state(other)) {
                    Some(true) => return Some(true),
                    Some(false) => {}
                    None => unsure = true,
                }
            }
        }
        if unsure { None } else { Some(false) }
    }

    fn stages(&self) -> [u8; SERVICES] {
        let mut stages = [0; SERVICES];
        for (at, known) in self.all() {
            stages[at] = known.policy.stage;
        }
        for _ in 0..SERVICES {
            for (of, known) in self.all() {
                for (relation, on) in &known.said {
                    if *relation != Relation::Conflicts {
                        stages[*on] = stages[*on].min(stages[of]);
                    }
                }
            }
        }
        stages
    }

    pub(super) fn holds_stop(&self, at: usize) -> bool {
        let stages = self.stages();
        self.all().any(|(of, user)| {
            let said = |relation| user.said.contains(&(relation, at));
            let needs = said(Relation::Needs) && !user.is_down();
            let leaves = !user.wanted && !user.is_down();
            let late = self.closing && stages[of] > stages[at] && !user.is_down();
            needs || late || leaves && (said(Relation::Wants) || said(Relation::After))
        })
    }
}
