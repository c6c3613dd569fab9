//! Supervision: operations against a world of processes, and what the rules at the head of the module foretell.

use lunix_core::supervise::{
    Action, Backoff, Exit, Input, Policy, Readiness, Restart, ServiceId, Signal, SpawnTicket, State, System,
    notify,
};
use lunix_core::time::{Duration, Instant};

const SERVICES: usize = 5;

const BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(50),
    cap: Duration::from_millis(300),
    limit: Some(4),
    stable: Duration::from_secs(2),
};

/// Three bytes of policies and needs, then operations of three bytes: kind, service, time that passes.
pub fn ops(data: &[u8]) {
    let Some((&[readiness, restart, graph], ops)) = data.split_first_chunk() else { return };
    let mut world = World::new(readiness, restart, graph);
    for op in ops.chunks_exact(3) {
        let &[kind, service, time] = op else { unreachable!() };
        world.step(kind, usize::from(service) % SERVICES, time);
    }
    world.finish();
}

/// Any datagram is cut into its lines, and none is lost or made up.
pub fn notices(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').filter(|line| line.contains(&b'='));
    for (line, notice) in lines.clone().zip(notify::notices(data)) {
        match notice {
            notify::Notice::Status(text) => assert_eq!(line.strip_prefix(b"STATUS="), Some(text)),
            notify::Notice::Unknown(whole) => assert_eq!(whole, line),
            notify::Notice::MainPid(pid) => assert!(line.ends_with(pid.to_string().as_bytes())),
            notify::Notice::Extend(usec) => assert!(line.ends_with(usec.to_string().as_bytes())),
            notify::Notice::Ready => assert_eq!(line, b"READY=1"),
            notify::Notice::Reloading => assert_eq!(line, b"RELOADING=1"),
            notify::Notice::Stopping => assert_eq!(line, b"STOPPING=1"),
            notify::Notice::Watchdog => assert_eq!(line, b"WATCHDOG=1"),
        }
    }
    assert_eq!(lines.count(), notify::notices(data).count());
}

/// One service as the world outside knows it.
#[derive(Debug)]
struct Known {
    policy: Policy,
    needs: Vec<usize>,
    ticket: Option<SpawnTicket>,
    pid: Option<u32>,
    told: State,
    /// When it was told to be ready.
    ready: Option<Instant>,
    /// When it may be spawned again.
    due: Option<Instant>,
    wanted: bool,
    /// It was asked to start, or to be another process, since its last spawn.
    asked: bool,
    lapses: u16,
    signals: Vec<Signal>,
}

struct World {
    system: System<SERVICES, 16>,
    known: Vec<Known>,
    now: Instant,
    pids: u32,
    closing: bool,
    down: bool,
}

impl World {
    fn new(readiness: u8, restart: u8, graph: u8) -> Self {
        let mut system = System::new();
        let mut known = Vec::new();
        for at in 0..SERVICES {
            let policy = Policy {
                readiness: if readiness >> at & 1 == 0 { Readiness::Start } else { Readiness::Notify },
                restart: [Restart::Always, Restart::OnFailure, Restart::Never, Restart::Always]
                    [usize::from(restart.rotate_left(at as u32) % 4)],
                start_timeout: (restart >> at & 1 == 0).then_some(Duration::from_millis(700)),
                stop_signal: Signal::TERM,
                stop_timeout: Duration::from_millis(500),
                kill_timeout: Duration::from_millis(200),
                backoff: BACKOFF,
            };
            assert_eq!(system.add(policy).map(ServiceId::index), Ok(at));
            known.push(Known {
                policy,
                needs: Vec::new(),
                ticket: None,
                pid: None,
                told: State::Stopped,
                ready: None,
                due: None,
                wanted: false,
                asked: false,
                lapses: 0,
                signals: Vec::new(),
            });
        }
        // Seven of the ten pairs that can make no cycle, by the bits of `graph`.
        for (bit, (of, on)) in
            [(1, 0), (2, 0), (2, 1), (3, 1), (3, 2), (4, 0), (4, 3)].into_iter().enumerate()
        {
            if graph >> bit & 1 == 1 {
                assert!(system.need(id(of), id(on)).is_ok());
                known[of].needs.push(on);
                assert!(system.need(id(on), id(of)).is_err(), "a cycle");
            }
        }
        let now = Instant::from_micros(0);
        Self { system, known, now, pids: 0, closing: false, down: false }
    }

    fn step(&mut self, kind: u8, at: usize, time: u8) {
        match time {
            255 => self.now = self.system.next_deadline().unwrap_or(self.now),
            _ => self.now = self.now + Duration::from_millis(u64::from(time / 16) * u64::from(time)),
        }
        self.hear(Input::Tick);
        match kind % 16 {
            0..=2 => {
                let refused = self.system.handle(self.now, Input::Start(id(at))).is_err();
                assert_eq!(refused, self.closing);
                if !refused {
                    self.want(at, true, true);
                }
            }
            3 => {
                if !self.closing {
                    self.want(at, true, true);
                    let known = &mut self.known[at];
                    known.asked |=
                        known.pid.is_some() && matches!(known.told, State::Starting | State::Ready);
                }
                assert_eq!(self.system.handle(self.now, Input::Restart(id(at))).is_err(), self.closing);
            }
            4 => {
                self.hear_stop(at);
            }
            5 if kind >= 250 => self.shut_down(Input::Shutdown),
            6 if kind >= 240 => self.shut_down(Input::Abort),
            5..=8 => self.answer(at, kind % 16 != 5),
            9 | 10 => {
                if let Some(pid) = self.known[at].pid {
                    self.hear(Input::Ready { service: id(at), pid });
                }
            }
            11..=13 => self.exit(at, Exit::Code(i32::from(kind % 16 - 11))),
            14 => self.exit(at, Exit::Signal(11)),
            _ => {
                // Words of processes that never were change nothing.
                let pid = self.pids + 1;
                let before = self.system.next_deadline();
                assert!(self.system.handle(self.now, Input::Ready { service: id(at), pid }).is_err());
                assert!(
                    self.system
                        .handle(self.now, Input::Exited { service: id(at), pid, exit: Exit::Code(0) })
                        .is_err()
                );
                assert!(self.system.poll().is_none());
                assert_eq!(self.system.next_deadline(), before);
            }
        }
        self.drain();
    }

    fn hear(&mut self, input: Input) {
        assert_eq!(self.system.handle(self.now, input), Ok(()));
        self.drain();
    }

    fn hear_stop(&mut self, at: usize) {
        self.want(at, false, true);
        self.hear(Input::Stop(id(at)));
    }

    fn shut_down(&mut self, input: Input) {
        self.closing = true;
        for known in &mut self.known {
            (known.wanted, known.asked) = (false, false);
        }
        self.hear(input);
    }

    fn want(&mut self, at: usize, wanted: bool, by_name: bool) {
        let known = &mut self.known[at];
        let runs = match known.told {
            State::Starting | State::Ready => true,
            State::Stopping => false,
            _ => known.ticket.is_some(),
        };
        let waits = known.wanted && known.told == State::Backoff && !by_name;
        known.asked = wanted && (known.asked || !runs && !waits);
        known.wanted = wanted;
        let spread: Vec<usize> = match wanted {
            true => self.known[at].needs.clone(),
            false => (0..SERVICES).filter(|&of| self.known[of].needs.contains(&at)).collect(),
        };
        for other in spread {
            self.want(other, wanted, false);
        }
    }

    fn answer(&mut self, at: usize, made: bool) {
        let Some(ticket) = self.known[at].ticket.take() else { return };
        if made {
            self.pids += 1;
            self.known[at].pid = Some(self.pids);
            self.hear(Input::Spawned { ticket, pid: self.pids });
        } else {
            let foretold = self.foretell(at, Exit::NotSpawned(2));
            assert_eq!(self.system.handle(self.now, Input::NotSpawned { ticket, errno: 2 }), Ok(()));
            self.after_end(at, foretold);
        }
    }

    fn exit(&mut self, at: usize, exit: Exit) {
        let Some(pid) = self.known[at].pid.take() else { return };
        let foretold = self.foretell(at, exit);
        assert_eq!(self.system.handle(self.now, Input::Exited { service: id(at), pid, exit }), Ok(()));
        self.after_end(at, foretold);
    }

    /// What an end at this point makes of the service.
    fn foretell(&mut self, at: usize, exit: Exit) -> State {
        let now = self.now;
        let known = &mut self.known[at];
        known.signals.clear();
        let stable = known.ready.take().is_some_and(|ready| now.since(ready) >= BACKOFF.stable);
        if !known.wanted || known.asked {
            return State::Stopped;
        }
        if stable {
            known.lapses = 0;
        }
        let clean = exit == Exit::Code(0) && matches!(known.told, State::Starting | State::Ready);
        if clean && known.policy.restart != Restart::Always {
            return State::Stopped;
        }
        known.lapses += 1;
        let spent = BACKOFF.limit.is_some_and(|limit| known.lapses > limit);
        if spent || known.policy.restart == Restart::Never {
            return State::Failed;
        }
        known.due = Some(now + BACKOFF.delay(known.lapses));
        State::Backoff
    }

    fn after_end(&mut self, at: usize, foretold: State) {
        let first = self.system.poll();
        if self.known[at].told != foretold {
            let Some(Action::Announce(report)) = &first else {
                panic!("no word of {foretold:?}, but {first:?}")
            };
            assert_eq!((report.service, report.state), (id(at), foretold));
            assert_eq!(report.pid, None);
        }
        if let Some(action) = first {
            self.act(action);
        }
        self.drain();
    }

    fn drain(&mut self) {
        let mut actions = 0;
        while let Some(action) = self.system.poll() {
            actions += 1;
            assert!(actions <= 6 * SERVICES + 1, "more actions than promised");
            self.act(action);
        }
        for (at, known) in self.known.iter().enumerate() {
            let status = self.system.status(id(at)).unwrap();
            assert_eq!(status.pid, known.pid, "a process is lost");
            let silent = status.state == State::Starting && known.pid.is_none();
            assert!(silent || status.state == known.told, "{:?} was not announced", status.state);
            let alive = matches!(known.told, State::Ready | State::Stopping) || known.pid.is_some();
            assert!(
                !alive || known.pid.is_some() || known.ticket.is_some(),
                "{:?} without a process",
                known.told
            );
        }
        let deadline = self.system.next_deadline();
        assert!(deadline.is_none_or(|at| at > self.now), "a busy loop");
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Spawn(ticket) => {
                let at = ticket.service().index();
                let ready = self.known[at].needs.iter().all(|&on| self.known[on].told == State::Ready);
                assert!(ready, "started before its need");
                let known = &mut self.known[at];
                assert!(known.pid.is_none() && known.ticket.is_none(), "started twice");
                assert!(known.wanted, "started unasked");
                if !known.asked {
                    assert!(known.due.is_none_or(|due| due <= self.now), "restarted too soon");
                } else {
                    known.lapses = 0;
                }
                (known.asked, known.due) = (false, None);
                known.ticket = Some(ticket);
            }
            Action::Signal { service, pid, signal } => {
                let known = &mut self.known[service.index()];
                assert_eq!(known.pid, Some(pid), "a signal to nobody");
                assert!(!known.signals.contains(&signal), "a signal twice");
                assert_ne!(known.signals.last(), Some(&Signal::KILL), "a signal after SIGKILL");
                known.signals.push(signal);
            }
            Action::Announce(report) => {
                let at = report.service.index();
                assert_ne!(self.known[at].told, report.state, "told twice");
                if report.state == State::Ready {
                    self.known[at].ready = Some(report.at);
                }
                self.known[at].told = report.state;
            }
            Action::Down => {
                assert!(self.closing && !self.down);
                self.down = true;
            }
        }
    }

    /// A shutdown ends, whatever happened before, even if no process obeys.
    fn finish(&mut self) {
        self.shut_down(Input::Shutdown);
        let start = self.now;
        for _ in 0..8 * SERVICES {
            for at in 0..SERVICES {
                self.answer(at, true);
            }
            if let Some(deadline) = self.system.next_deadline() {
                self.now = deadline;
                self.hear(Input::Tick);
            }
        }
        assert!(self.down, "the shutdown hangs");
        assert!(self.now.since(start) <= Duration::from_millis(1400) * SERVICES as u32);
    }
}

fn id(at: usize) -> ServiceId {
    ServiceId::new(at as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stable stand-in for discovery: many short random lives.
    #[test]
    fn random_operations() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..3_000 {
            let mut data = Vec::new();
            for _ in 0..100 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                data.extend_from_slice(&state.to_le_bytes()[..3]);
            }
            ops(&data);
            notices(&data);
        }
    }
}
