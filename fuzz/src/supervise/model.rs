//! What is known of a system from outside: what it was told, and what it said. Everything is found anew each time,
//! by looking at all there is.

use lunix_core::supervise::{Cycle, InputError, RelateError, SpawnTicket};

use super::*;

/// One service as the world outside knows it.
#[derive(Debug)]
struct Known {
    policy: Policy,
    /// What it says of others, in the order in which it said so.
    said: Vec<(Relation, usize)>,
    ticket: Option<SpawnTicket>,
    pid: Option<u32>,
    /// The ticket or the process is one that undoes.
    undoes: bool,
    told: State,
    /// When it was told so.
    at: Instant,
    /// When it may be spawned again.
    due: Option<Instant>,
    wanted: bool,
    /// It was asked to start, or to be another process, since its last spawn.
    asked: bool,
    triggered: bool,
    lapses: u16,
    signals: Vec<Signal>,
}

impl Known {
    fn new(policy: Policy) -> Self {
        Self {
            policy,
            said: Vec::new(),
            ticket: None,
            pid: None,
            undoes: false,
            told: State::Stopped,
            at: Instant::from_micros(0),
            due: None,
            wanted: false,
            asked: false,
            triggered: false,
            lapses: 0,
            signals: Vec::new(),
        }
    }

    /// A ticket for a start is out, and whatever comes of it may stay.
    fn spawning(&self) -> bool {
        self.ticket.is_some() && !self.undoes && self.told != State::Stopping
    }

    fn is_down(&self) -> bool {
        self.ticket.is_none() && matches!(self.told, State::Stopped | State::Backoff | State::Failed)
    }

    fn fulfils(&self, state: State) -> bool {
        self.ticket.is_none() && matches!(state, State::Ready | State::Waiting)
    }

    /// Its process, or its work, is there, or may be.
    fn is_there(&self) -> bool {
        self.ticket.is_some() || self.pid.is_some() || self.told == State::Ready
    }

    /// Wanted and certainly on its way; `None` if that cannot be told from outside. `state` can be ahead of what
    /// was told.
    fn pending(&self, state: State) -> Option<bool> {
        if !self.wanted {
            return Some(false);
        }
        Some(match state {
            _ if self.spawning() => self.lapses <= 1,
            State::Ready | State::Waiting => false,
            State::Failed if self.asked && self.pid.is_none() => return None,
            State::Failed => false,
            State::Stopped => self.asked,
            State::Starting | State::Backoff => self.lapses <= 1,
            State::Stopping => true,
        })
    }

    fn stable(&self, now: Instant) -> bool {
        matches!(self.told, State::Ready | State::Waiting) && now.since(self.at) >= BACKOFF.stable
    }
}

pub(super) struct World {
    system: System<SERVICES, RELATIONS>,
    known: Vec<Option<Known>>,
    now: Instant,
    pids: u32,
    closing: bool,
    abort: bool,
    down: bool,
    /// The next announcement was foretold.
    foretold: bool,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            system: System::new(),
            known: (0..SERVICES).map(|_| None).collect(),
            now: Instant::from_micros(0),
            pids: 0,
            closing: false,
            abort: false,
            down: false,
            foretold: false,
        }
    }

    fn all(&self) -> impl Iterator<Item = (usize, &Known)> {
        self.known.iter().enumerate().filter_map(|(at, known)| Some((at, known.as_ref()?)))
    }

    fn at(&self, at: usize) -> &Known {
        self.known[at].as_ref().unwrap()
    }

    fn of(&mut self, at: usize) -> &mut Known {
        self.known[at].as_mut().unwrap()
    }

    /// What `at` says of others, as the machine goes through it, and both sides of conflicts.
    fn relations(&self, at: usize) -> Vec<(Relation, usize)> {
        self.at(at).said.iter().rev().copied().collect()
    }

    fn opponents(&self, at: usize) -> Vec<usize> {
        let out = self.at(at).said.iter().filter(|(relation, _)| *relation == Relation::Conflicts);
        let out: Vec<usize> = out.map(|(_, on)| *on).collect();
        let into = self.all().filter(|(_, known)| known.said.contains(&(Relation::Conflicts, at)));
        out.into_iter().chain(into.map(|(of, _)| of)).collect()
    }

    pub(super) fn step(&mut self, kind: u8, at: usize, more: u8) {
        let kind = kind % 64;
        if self.known[at].is_none() && kind < 60 {
            if !self.closing {
                self.add(more);
            }
            return;
        }
        match kind {
            0..=5 => self.start(at, Input::Start(id(at))),
            6 | 7 => self.restart(at),
            8..=10 => {
                self.want_down(at);
                self.hear(Input::Stop(id(at)));
            }
            11..=18 => self.relate(at, relation_of(more), usize::from(more / 4) % SERVICES),
            19 => self.unrelate(at),
            20 => self.remove(at),
            21 => self.set_policy(at, policy(more)),
            22..=29 => self.answer(at, !more.is_multiple_of(8)),
            30..=33 => self.say(at, |service, pid| Input::Ready { service, pid }),
            34 => self.say(at, |service, pid| Input::Alive { service, pid }),
            35 if more < 64 => {
                let by = Duration::from_millis(u64::from(more) * 10);
                self.say(at, |service, pid| Input::Extend { service, pid, by });
            }
            35 => self.follow(at),
            36..=42 => {
                self.exit(at, if more < 128 { Exit::Code(i32::from(more % 2)) } else { Exit::Signal(11) })
            }
            43..=46 => self.trigger(at),
            47 => {
                let answer = self.system.handle(self.now, Input::Reload(id(at)));
                if answer.is_ok() {
                    assert_eq!(self.at(at).told, State::Ready);
                }
                self.drain();
            }
            48 | 49 => self.execute_anew(),
            50 if more == 7 => self.shut_down(Input::Shutdown),
            51 if more == 7 => self.shut_down(Input::Abort),
            52 => self.hear_nonsense(at),
            53..=56 => {
                self.now = self.system.next_deadline().unwrap_or(self.now);
                self.hear(Input::Tick);
            }
            _ => {
                self.now = self.now + Duration::from_millis(u64::from(more / 16) * u64::from(more));
                self.hear(Input::Tick);
            }
        }
        self.check();
    }

    fn add(&mut self, more: u8) {
        let free = self.known.iter().any(Option::is_none);
        let Ok(added) = self.system.add(policy(more)) else { panic!("no room: {free}") };
        assert!(self.known[added.index()].is_none());
        self.known[added.index()] = Some(Known::new(policy(more)));
    }

    fn remove(&mut self, at: usize) {
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

    fn unrelate(&mut self, at: usize) {
        self.system.unrelate(id(at)).unwrap();
        self.of(at).said.clear();
        self.drain();
    }

    fn set_policy(&mut self, at: usize, policy: Policy) {
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

    fn relate(&mut self, of: usize, relation: Relation, on: usize) {
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

    fn start(&mut self, at: usize, input: Input) {
        let answer = self.system.handle(self.now, input);
        if self.closing {
            assert_eq!(answer, Err(InputError::ShuttingDown));
        } else {
            assert_eq!(answer, Ok(()));
            self.want_up(at);
        }
        self.drain();
    }

    fn restart(&mut self, at: usize) {
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

    fn trigger(&mut self, at: usize) {
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

    fn want_down(&mut self, at: usize) {
        let known = self.of(at);
        (known.wanted, known.asked, known.triggered) = (false, false, false);
        for of in 0..SERVICES {
            let needs = |known: &Known| known.said.contains(&(Relation::Needs, at));
            if self.known[of].as_ref().is_some_and(needs) {
                self.want_down(of);
            }
        }
    }

    fn shut_down(&mut self, input: Input) {
        self.closing = true;
        self.abort |= matches!(input, Input::Abort);
        for known in self.known.iter_mut().flatten() {
            (known.wanted, known.asked, known.triggered) = (false, false, false);
        }
        self.hear(input);
    }

    fn hear(&mut self, input: Input) {
        assert_eq!(self.system.handle(self.now, input), Ok(()));
        self.drain();
    }

    fn say(&mut self, at: usize, what: impl FnOnce(ServiceId, u32) -> Input) {
        if let Some(pid) = self.at(at).pid {
            self.hear(what(id(at), pid));
        }
    }

    /// The service names another process as its main one.
    fn follow(&mut self, at: usize) {
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
    fn hear_nonsense(&mut self, at: usize) {
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

    fn answer(&mut self, at: usize, made: bool) {
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

    fn exit(&mut self, at: usize, exit: Exit) {
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
    fn execute_anew(&mut self) {
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

    fn drain(&mut self) {
        let mut actions = 0;
        while let Some(action) = self.system.poll() {
            actions += 1;
            assert!(actions <= 16 * SERVICES + 1, "more actions than promised");
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
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
    fn holds_start(&self, at: usize) -> Option<bool> {
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

    fn state(&self, at: usize) -> State {
        self.system.status(id(at)).unwrap().state
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

    fn holds_stop(&self, at: usize) -> bool {
        let stages = self.stages();
        self.all().any(|(of, user)| {
            let said = |relation| user.said.contains(&(relation, at));
            let needs = said(Relation::Needs) && !user.is_down();
            let leaves = !user.wanted && !user.is_down();
            let late = self.closing && stages[of] > stages[at] && !user.is_down();
            needs || late || leaves && (said(Relation::Wants) || said(Relation::After))
        })
    }

    fn check(&self) {
        for (at, known) in self.all() {
            let status = self.system.status(id(at)).unwrap();
            assert_eq!(status.pid, known.pid, "a process is lost");
            let silent = status.state == State::Starting && known.spawning();
            assert!(silent || status.state == known.told, "{:?} was not announced", status.state);
            assert_eq!(self.system.is_wanted(id(at)), known.wanted, "{at}");
            let idle = known.pid.is_none() && known.ticket.is_none();
            assert!(
                !idle || !matches!(known.told, State::Starting | State::Stopping),
                "nobody is {:?}",
                known.told
            );
            if idle && known.wanted {
                let due = known.told == State::Backoff && known.due.is_some_and(|due| due <= self.now);
                let ready = known.asked || known.triggered || due;
                assert!(
                    !ready || self.holds_start(at) != Some(false),
                    "forgotten: {at} {known:?} {:?} {:?}",
                    self.system.save(id(at)),
                    self.system.holders(id(at)).map(|on| (on, self.system.save(on))).collect::<Vec<_>>()
                );
            }
            if !known.wanted && !self.abort {
                let stays =
                    !matches!(known.told, State::Stopped | State::Stopping) && known.told != State::Failed;
                assert!(!(stays || known.spawning()) || self.holds_stop(at), "stays: {at} {known:?}");
            }
        }
        assert!(self.system.next_deadline().is_none_or(|at| at > self.now), "a busy loop");
        assert_eq!(self.system.services().count(), self.all().count());
    }

    /// A shutdown ends, whatever happened before, even if no process obeys.
    pub(super) fn finish(&mut self) {
        self.shut_down(Input::Shutdown);
        let start = self.now;
        for _ in 0..12 * SERVICES {
            for at in 0..SERVICES {
                if self.known[at].is_some() {
                    self.answer(at, true);
                }
            }
            if let Some(deadline) = self.system.next_deadline() {
                self.now = deadline;
                self.hear(Input::Tick);
            }
            self.check();
        }
        assert!(self.down, "the shutdown hangs");
        // An extension can have been asked for before.
        let extended = Duration::from_millis(640);
        assert!(self.now.since(start) <= LONGEST * SERVICES as u32 + extended);
    }
}
