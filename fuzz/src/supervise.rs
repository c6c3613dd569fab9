//! Supervision: operations against a world of processes, and what the rules at the head of the module foretell.

mod model;

use lunix_core::supervise::{
    Action, Backoff, Exit, Input, Kind, Policy, Readiness, Relation, Restart, Saved, ServiceId, Signal,
    State, Stop, System, notify,
};
use lunix_core::time::{Duration, Instant};

use model::World;

const SERVICES: usize = 6;
const RELATIONS: usize = 16;

const BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(50),
    cap: Duration::from_millis(300),
    limit: Some(4),
    stable: Duration::from_secs(2),
};

/// The longest that a service takes to stop, and as long again to be undone.
const LONGEST: Duration = Duration::from_millis(2 * (200 + 300 + 200));

/// Operations of three bytes: what, of which service, and more.
pub fn ops(data: &[u8]) {
    let mut world = World::new();
    for op in data.chunks_exact(3).take(400) {
        let &[kind, service, more] = op else { unreachable!() };
        world.step(kind, usize::from(service) % SERVICES, more);
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

/// Bytes are a life or they are not; a life can be led, with any policy, and it ends.
pub fn saved(data: &[u8]) {
    let Some((bytes, rest)) = data.split_first_chunk::<{ Saved::LEN }>() else { return };
    let Some(saved) = Saved::decode(bytes) else { return };
    assert_eq!(&saved.encode(), bytes);
    let (first, second) = (rest.first().copied().unwrap_or(1), rest.get(1).copied().unwrap_or(3));
    let mut system: System<2, 2> = System::new();
    let ids = [first, second].map(|byte| system.add(policy(byte)).unwrap());
    if let Some(relation) = rest.get(2) {
        system.relate(ids[1], relation_of(*relation), ids[0]).unwrap();
    }
    // The same life twice, as far as two can share it.
    for service in ids {
        system.restore(service, saved).unwrap();
        assert!(system.restore(service, saved).is_err() || system.save(service).unwrap().encode()[1] == 0);
    }
    let mut now = Instant::from_micros(0);
    let mut down = false;
    for round in 0..64 {
        if round == 32 {
            system.handle(now, Input::Shutdown).unwrap();
        }
        let mut killed = Vec::new();
        while let Some(action) = system.poll() {
            match action {
                Action::Spawn(ticket) | Action::Undo(ticket) => {
                    system.handle(now, Input::Spawned { ticket, pid: 7 }).unwrap();
                }
                Action::Signal { service, pid, signal: Signal::KILL } => killed.push((service, pid)),
                Action::Signal { .. } | Action::Announce(_) => {}
                Action::Down => down = true,
            }
        }
        for (service, pid) in killed {
            system.handle(now, Input::Exited { service, pid, exit: Exit::Signal(9) }).unwrap();
        }
        now = system.next_deadline().unwrap_or(now);
        system.handle(now, Input::Tick).unwrap();
    }
    assert!(down, "the shutdown hangs: {system:?}");
}

fn id(at: usize) -> ServiceId {
    ServiceId::new(at as u16)
}

fn relation_of(byte: u8) -> Relation {
    [Relation::Needs, Relation::Wants, Relation::After, Relation::Conflicts][usize::from(byte % 4)]
}

/// One of 256 policies.
fn policy(byte: u8) -> Policy {
    let bit = |at: u8| byte >> at & 1 == 1;
    let millis = Duration::from_millis;
    let two = [(Signal::INT, millis(200)), (Signal::TERM, millis(300))];
    Policy {
        kind: if bit(0) { Kind::Longrun } else { Kind::Oneshot },
        on_demand: byte % 5 == 4,
        stage: byte / 64 % 3,
        readiness: if bit(1) { Readiness::Start } else { Readiness::Notify },
        start_timeout: bit(2).then_some(millis(700)),
        stop: if bit(3) { Stop::new(Signal::TERM, millis(500)) } else { Stop::of(&two).unwrap() },
        kill_timeout: millis(200),
        restart: [Restart::Always, Restart::OnFailure, Restart::Never][usize::from(byte / 16 % 3)],
        backoff: BACKOFF,
        watchdog: bit(5).then_some(millis(900)),
        reload: bit(6).then_some(Signal::HUP),
        undo: bit(7),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stable stand-in for discovery: many short random lives.
    #[test]
    fn random_operations() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..800 {
            let mut data = Vec::new();
            for _ in 0..150 {
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
