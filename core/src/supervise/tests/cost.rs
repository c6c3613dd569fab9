//! What large systems cost, in services and relations that are looked at.

use super::*;

type Large = System<1024, 4096>;

/// The world that answers at once. How many services have become ready, and in how many steps.
fn start(system: &mut Large, first: u16) -> (usize, u64) {
    let now = Instant::from_micros(0);
    let before = system.steps;
    let mut ready = 0;
    system.handle(now, Input::Start(id(first))).unwrap();
    loop {
        match system.poll() {
            Some(Action::Spawn(ticket)) => {
                system.handle(now, Input::Spawned { ticket, pid: 1 }).unwrap();
            }
            Some(Action::Announce(report)) => ready += usize::from(report.state == State::Ready),
            Some(_) => {}
            None => return (ready, system.steps - before),
        }
    }
}

fn stop(system: &mut Large) -> u64 {
    let now = Instant::from_micros(1);
    let before = system.steps;
    system.handle(now, Input::Shutdown).unwrap();
    loop {
        match system.poll() {
            Some(Action::Signal { service, pid, .. }) => {
                system.handle(now, Input::Exited { service, pid, exit: Exit::Code(0) }).unwrap();
            }
            Some(Action::Down) => return system.steps - before,
            Some(_) => {}
            None => panic!("not down"),
        }
    }
}

#[test]
fn a_thousand_services_cost_what_they_are() {
    const MANY: u16 = 1000;
    let chain: Vec<Said> = (1..MANY).map(|at| (at, Relation::Needs, at - 1)).collect();
    let star: Vec<Said> = (1..MANY).map(|at| (at, Relation::Needs, 0)).collect();
    let crowd: Vec<Said> = (1..MANY).map(|at| (0, Relation::Wants, at)).collect();
    for (name, said) in [("chain", chain), ("star", star), ("crowd", crowd)] {
        // Built both ways round, as no order may matter.
        for backwards in [false, true] {
            let mut system = Large::new();
            for _ in 0..MANY {
                system.add(Policy::default()).unwrap();
            }
            let before = system.steps;
            let build = |(of, relation, on): &Said| system.relate(id(*of), *relation, id(*on)).unwrap();
            match backwards {
                true => said.iter().rev().for_each(build),
                false => said.iter().for_each(build),
            }
            let built = system.steps - before;
            let (mut ready, mut started) = (0, 0);
            match name {
                "star" => {
                    for at in (0..MANY).rev() {
                        let (more, steps) = start(&mut system, at);
                        (ready, started) = (ready + more, started + steps);
                    }
                }
                "chain" => (ready, started) = start(&mut system, MANY - 1),
                _ => (ready, started) = start(&mut system, 0),
            }
            assert_eq!(ready, usize::from(MANY));
            // A crash in the middle is the business of its neighbours.
            let before = system.steps;
            let now = Instant::from_micros(0);
            let crash = Input::Exited { service: id(MANY / 2), pid: 1, exit: Exit::Signal(9) };
            system.handle(now, crash).unwrap();
            while let Some(action) = system.poll() {
                if let Action::Spawn(ticket) = action {
                    system.handle(now, Input::Spawned { ticket, pid: 1 }).unwrap();
                }
            }
            let crashed = system.steps - before;
            let stopped = stop(&mut system);
            std::eprintln!(
                "{MANY} services in a {name}: {built} steps to build, {started} to start, {crashed} for a crash, \
                 {stopped} to stop"
            );
            let each = |steps: u64| steps / u64::from(MANY);
            assert!(each(started) < 40 && each(stopped) < 40 && each(built) < 40);
            assert!(crashed < 100);
        }
    }
}

#[test]
fn a_place_is_small() {
    assert!(size_of::<slot::Slot>() <= 424, "{}", size_of::<slot::Slot>());
    assert_eq!(size_of::<slot::Edge>(), 12);
}
