//! Every state that small systems can reach, whatever the world does.

use std::{
    collections::{HashSet, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use super::*;

/// One choice of the outside world.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Start(u16),
    Stop(u16),
    Restart(u16),
    Reload(u16),
    Trigger(u16),
    Shutdown,
    Abort,
    Spawned(u16),
    NotSpawned(u16),
    Ready(u16),
    Alive(u16),
    Extend(u16),
    Exit(u16, i32),
    Deadline,
    Age,
}

/// How much of what the world can do is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// Starts, stops, the lives of processes, and the end.
    Lives,
    /// And restarts, and processes that cannot be made.
    Most,
    /// And what processes say about themselves.
    All,
}

impl Scene {
    fn choices(&self, reach: Reach) -> Vec<Choice> {
        let mut choices = vec![Choice::Shutdown, Choice::Abort];
        for service in 0..self.count() {
            let at = usize::from(service);
            let slot = &self.system.slots[at];
            choices.extend([Choice::Start(service), Choice::Stop(service)]);
            if reach >= Reach::Most {
                choices.push(Choice::Restart(service));
            }
            if slot.policy.on_demand {
                choices.push(Choice::Trigger(service));
            }
            if self.world.ticket[at].is_some() {
                choices.push(Choice::Spawned(service));
                if reach >= Reach::Most {
                    choices.push(Choice::NotSpawned(service));
                }
            }
            if self.world.process[at].is_some() {
                choices.extend([Choice::Exit(service, 0), Choice::Exit(service, 1)]);
                if slot.policy.readiness == Readiness::Notify {
                    choices.push(Choice::Ready(service));
                }
                if slot.policy.watchdog.is_some() {
                    choices.push(Choice::Alive(service));
                }
                if reach >= Reach::All {
                    choices.extend([Choice::Extend(service), Choice::Reload(service)]);
                }
            }
        }
        match self.system.next_deadline() {
            Some(_) => choices.push(Choice::Deadline),
            None => choices.push(Choice::Age),
        }
        choices
    }

    fn choose(&mut self, choice: Choice) {
        match choice {
            Choice::Start(service) => drop(self.input(Input::Start(id(service)))),
            Choice::Stop(service) => self.stop(service),
            Choice::Restart(service) => drop(self.input(Input::Restart(id(service)))),
            Choice::Reload(service) => drop(self.input(Input::Reload(id(service)))),
            Choice::Trigger(service) => drop(self.input(Input::Trigger(id(service)))),
            Choice::Shutdown => self.input(Input::Shutdown).unwrap(),
            Choice::Abort => self.input(Input::Abort).unwrap(),
            Choice::Spawned(service) => self.spawned(service),
            Choice::NotSpawned(service) => self.not_spawned(service),
            Choice::Ready(service) => self.ready(service),
            Choice::Alive(service) => self.alive(service),
            Choice::Extend(service) => self.extend(service, 6 * SECOND),
            Choice::Exit(service, code) => self.exit(service, Exit::Code(code)),
            Choice::Deadline => {
                self.now = self.system.next_deadline().unwrap();
                self.input(Input::Tick).unwrap();
            }
            Choice::Age => self.pass(3600 * SECOND),
        }
    }

    /// What the machine will do from here depends on nothing else.
    fn key(&self) -> u64 {
        let mut key = DefaultHasher::new();
        for slot in &self.system.slots {
            let life = &slot.life;
            life.deadline.map(|at| (at.since(self.now), self.now.since(at).min(MS))).hash(&mut key);
            let old = matches!(life.phase, Phase::Ready | Phase::Waiting)
                && self.now.since(life.since) >= slot.policy.backoff.stable;
            (life.phase, life.goal, life.pid.is_some(), life.lapses, old).hash(&mut key);
            (life.step, life.triggered, life.retry, life.starved, life.announced).hash(&mut key);
        }
        (self.world.down, self.system.course as u8, self.system.abort).hash(&mut key);
        key.finish()
    }

    /// From here a shutdown ends, whether processes obey, obey only SIGKILL, or nothing at all.
    fn ends(&self) {
        for obeys in [Some(15), Some(9), None] {
            let mut scene = self.clone();
            scene.input(Input::Shutdown).unwrap();
            let end = scene.now + 24 * SECOND * u32::from(self.count());
            for _ in 0..24 * self.count() {
                if scene.world.down {
                    break;
                }
                for service in 0..self.count() {
                    if scene.world.ticket[usize::from(service)].is_some() {
                        scene.spawned(service);
                    }
                    let phase = scene.phase(service);
                    let obedient = match obeys {
                        Some(15) => matches!(phase, Phase::Terminating | Phase::Killing | Phase::Undoing),
                        Some(_) => phase == Phase::Killing,
                        None => false,
                    };
                    if obedient {
                        scene.exit(service, Exit::Signal(9));
                    }
                }
                if scene.system.next_deadline().is_some() {
                    scene.choose(Choice::Deadline);
                }
            }
            assert!(scene.world.down, "the shutdown hangs: {:?}", scene.system);
            assert!(scene.now <= end, "the shutdown takes too long");
            scene.check();
        }
    }
}

/// The states that can be reached, and the transitions between them.
fn explore(policies: &[Policy], said: &[Said], reach: Reach) -> (usize, usize) {
    let mut first = Scene::new(policies, said);
    first.world.quiet = true;
    let mut seen = HashSet::from([first.key()]);
    let mut open = VecDeque::from([first]);
    let mut transitions = 0;
    while let Some(scene) = open.pop_front() {
        for choice in scene.choices(reach) {
            let mut next = scene.clone();
            next.choose(choice);
            transitions += 1;
            if seen.insert(next.key()) {
                next.check();
                next.ends();
                next.executes_anew(policies, said);
                open.push_back(next);
            }
        }
    }
    (seen.len(), transitions)
}

fn report(what: &str, found: &[(usize, usize)]) {
    let states: usize = found.iter().map(|(states, _)| states).sum();
    let transitions: usize = found.iter().map(|(_, transitions)| transitions).sum();
    std::eprintln!("{what}: {} systems, {states} states, {transitions} transitions", found.len());
}

/// A policy with few different times, so that there are few states.
fn small() -> Policy {
    Policy {
        start_timeout: Some(4 * SECOND),
        stop: Stop::new(Signal::TERM, 4 * SECOND),
        kill_timeout: 4 * SECOND,
        backoff: Backoff { base: 4 * SECOND, cap: 4 * SECOND, limit: Some(2), stable: 100 * SECOND },
        ..Policy::default()
    }
}

/// As `small`, with a life that ends soon.
fn short() -> Policy {
    let backoff = Backoff { limit: Some(0), ..small().backoff };
    Policy { start_timeout: None, backoff, ..small() }
}

#[test]
fn every_state_of_one_service() {
    let mut found = Vec::new();
    for kind in [Kind::Longrun, Kind::Oneshot] {
        for on_demand in [false, true] {
            for restart in [Restart::Always, Restart::OnFailure, Restart::Never] {
                for (readiness, watchdog) in [
                    (Readiness::Start, None),
                    (Readiness::Notify, None),
                    (Readiness::Start, Some(4 * SECOND)),
                ] {
                    let stop = Stop::of(&[(Signal::INT, 4 * SECOND), (Signal::TERM, 4 * SECOND)]).unwrap();
                    let policy = Policy {
                        kind,
                        on_demand,
                        restart,
                        readiness,
                        watchdog,
                        stop,
                        undo: readiness == Readiness::Notify,
                        reload: Some(Signal::HUP),
                        ..small()
                    };
                    found.push(explore(&[policy], &[], Reach::All));
                }
            }
        }
    }
    report("one service", &found);
}

const RELATIONS: [Relation; 4] = [Relation::Needs, Relation::Wants, Relation::After, Relation::Conflicts];

/// The kinds of services that behave differently towards others.
fn kinds() -> [Policy; 4] {
    let longrun = Policy { readiness: Readiness::Notify, restart: Restart::OnFailure, ..small() };
    let oneshot = Policy { kind: Kind::Oneshot, restart: Restart::Never, undo: true, ..small() };
    let on_demand = Policy { on_demand: true, ..short() };
    [longrun, oneshot, on_demand, Policy { watchdog: Some(4 * SECOND), ..short() }]
}

#[test]
fn every_state_of_two_services() {
    let mut found = Vec::new();
    for (at, one) in kinds().into_iter().enumerate() {
        for (with, other) in kinds().into_iter().enumerate() {
            let relation = RELATIONS[(at + with) % 4];
            found.push(explore(&[one, other], &[(1, relation, 0)], Reach::Lives));
        }
    }
    report("two services", &found);
}

/// What the tests above leave out for the sake of time.
#[test]
#[ignore = "takes minutes"]
fn every_state_of_every_two_services() {
    let mut found = Vec::new();
    for one in kinds() {
        for other in kinds() {
            for relation in RELATIONS {
                found.push(explore(&[one, other], &[(1, relation, 0)], Reach::Most));
                let later = Policy { stage: 1, ..other };
                found.push(explore(&[later, one], &[(1, relation, 0)], Reach::Most));
            }
        }
    }
    report("every two services", &found);
}

#[test]
fn every_state_of_two_stages() {
    let mut found = Vec::new();
    for one in kinds() {
        let later = Policy { stage: 1, ..short() };
        found.push(explore(&[later, one], &[], Reach::Most));
        found.push(explore(&[one, later], &[(0, Relation::Needs, 1)], Reach::Lives));
    }
    report("two services in two stages", &found);
}

/// The shapes that three services can be related in.
#[test]
fn every_state_of_three_services() {
    use Relation::{After, Conflicts, Needs, Wants};
    let brief = Policy { stop: Stop::KILL, restart: Restart::Never, ..short() };
    let oneshot = Policy { kind: Kind::Oneshot, undo: true, ..brief };
    let on_demand = Policy { on_demand: true, ..brief };
    let mut found = Vec::new();
    for said in [
        &[(1, Needs, 0), (2, Needs, 1)][..],
        &[(1, Needs, 0), (2, Needs, 0)],
        &[(2, Needs, 0), (2, Needs, 1)],
        &[(0, Needs, 1), (0, Needs, 2), (1, Needs, 2)],
        &[(2, Wants, 1), (1, Needs, 0)],
        &[(2, Needs, 1), (1, Wants, 0)],
        &[(2, After, 1), (2, Needs, 0)],
        &[(2, Needs, 1), (1, Conflicts, 0)],
        &[(2, Conflicts, 1), (1, Conflicts, 0)],
        &[(2, Needs, 1), (2, Wants, 0), (0, Conflicts, 1)],
        &[(2, Wants, 1), (2, Wants, 0), (0, Conflicts, 1)],
    ] {
        found.push(explore(&[brief, oneshot, brief], said, Reach::Lives));
        found.push(explore(&[brief, on_demand, brief], said, Reach::Lives));
    }
    report("three services", &found);
}

#[test]
fn every_state_of_four_services() {
    use Relation::{After, Conflicts, Needs, Wants};
    let quick = Policy { restart: Restart::Never, kind: Kind::Oneshot, ..short() };
    let late = Policy { stage: 1, ..quick };
    let mut found = Vec::new();
    for said in [
        &[(1, Needs, 0), (2, Needs, 0), (3, Needs, 1), (3, Needs, 2)][..],
        &[(1, Needs, 0), (3, Needs, 2), (2, Conflicts, 0), (3, Wants, 1)],
        &[(1, After, 0), (2, Wants, 1), (3, Needs, 2), (3, Conflicts, 0)],
    ] {
        found.push(explore(&[quick, quick, quick, late], said, Reach::Lives));
    }
    report("four services", &found);
}
