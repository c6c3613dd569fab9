//! What is known of a system from outside: what it was told, and what it said. Everything is found anew each time,
//! by looking at all there is.

mod asked;
mod heard;
mod lived;

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

    fn hear(&mut self, input: Input) {
        assert_eq!(self.system.handle(self.now, input), Ok(()));
        self.drain();
    }

    fn state(&self, at: usize) -> State {
        self.system.status(id(at)).unwrap().state
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
