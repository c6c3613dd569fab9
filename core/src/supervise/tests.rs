//! Scenes from a service's life, and every state that small systems can reach.
extern crate std;

use std::{
    collections::{HashSet, VecDeque},
    format,
    string::String,
    vec,
    vec::Vec,
};

use super::{service::Goal, *};
use crate::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

/// The world outside: which processes exist, and what was said.
#[derive(Clone, Default)]
struct World {
    next_pid: u32,
    process: Vec<Option<u32>>,
    ticket: Vec<Option<u32>>,
    told: Vec<String>,
    down: bool,
}

/// A system and its world, where every ticket stays out until it is answered.
#[derive(Clone)]
struct Scene<const N: usize> {
    system: System<N, 8>,
    world: World,
    now: Instant,
}

impl<const N: usize> Scene<N> {
    fn new(policies: [Policy; N], needs: &[(u16, u16)]) -> Self {
        let mut system = System::new();
        for policy in policies {
            system.add(policy).unwrap();
        }
        for (of, on) in needs {
            system.need(ServiceId::new(*of), ServiceId::new(*on)).unwrap();
        }
        let world = World { process: vec![None; N], ticket: vec![None; N], ..World::default() };
        Self { system, world, now: Instant::from_micros(0) }
    }

    fn drain(&mut self) {
        let mut actions = 0;
        loop {
            let before: Vec<Phase> = self.system.services.iter().map(|known| known.phase).collect();
            let Some(action) = self.system.poll() else { break };
            actions += 1;
            assert!(actions <= 6 * N + 1, "more actions than promised");
            match action {
                Action::Spawn(ticket) => {
                    let at = ticket.service.index();
                    assert_eq!(self.world.process[at], None, "started twice");
                    assert_eq!(self.world.ticket[at], None, "two tickets");
                    for on in self.system.needs(ticket.service) {
                        assert_eq!(
                            self.system.services[on.index()].phase,
                            Phase::Ready,
                            "started before its need"
                        );
                    }
                    self.world.ticket[at] = Some(ticket.run);
                    self.world.told.push(format!("{at} spawn"));
                }
                Action::Signal { service, pid, signal } => {
                    assert_eq!(self.world.process[service.index()], Some(pid), "signal to nobody");
                    self.world.told.push(format!("{} signal {}", service.index(), signal.0));
                }
                Action::Announce(report) => {
                    let known = &self.system.services[report.service.index()];
                    if before[report.service.index()] == Phase::Ready && known.phase == Phase::Terminating {
                        for need in self.system.needs.iter().filter(|need| need.on == report.service) {
                            let user = &self.system.services[need.of.index()];
                            assert!(user.phase.is_down(), "stopped while needed by {:?}", user.phase);
                        }
                    }
                    self.world.told.push(format!("{} {}", report.service.index(), report.state.as_str()));
                }
                Action::Down => {
                    self.world.down = true;
                    self.world.told.push("down".into());
                }
            }
        }
    }

    fn input(&mut self, input: Input) -> Result<(), InputError> {
        let answer = self.system.handle(self.now, input);
        self.drain();
        answer
    }

    fn start(&mut self, service: u16) {
        self.input(Input::Start(ServiceId::new(service))).unwrap();
    }

    fn stop(&mut self, service: u16) {
        self.input(Input::Stop(ServiceId::new(service))).unwrap();
    }

    fn spawned(&mut self, service: u16) {
        let at = usize::from(service);
        let run = self.world.ticket[at].take().unwrap();
        self.world.next_pid += 1;
        self.world.process[at] = Some(self.world.next_pid);
        let ticket = SpawnTicket { service: ServiceId::new(service), run };
        self.input(Input::Spawned { ticket, pid: self.world.next_pid }).unwrap();
    }

    fn not_spawned(&mut self, service: u16) {
        let run = self.world.ticket[usize::from(service)].take().unwrap();
        let ticket = SpawnTicket { service: ServiceId::new(service), run };
        self.input(Input::NotSpawned { ticket, errno: 2 }).unwrap();
    }

    fn ready(&mut self, service: u16) {
        let pid = self.world.process[usize::from(service)].unwrap();
        self.input(Input::Ready { service: ServiceId::new(service), pid }).unwrap();
    }

    fn exit(&mut self, service: u16, exit: Exit) {
        let pid = self.world.process[usize::from(service)].take().unwrap();
        self.input(Input::Exited { service: ServiceId::new(service), pid, exit }).unwrap();
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
        self.input(Input::Tick).unwrap();
    }

    fn told(&mut self) -> String {
        core::mem::take(&mut self.world.told).join(", ")
    }

    fn phase(&self, service: u16) -> Phase {
        self.system.services[usize::from(service)].phase
    }
}

fn notifying() -> Policy {
    Policy { readiness: Readiness::Notify, ..Policy::default() }
}

#[test]
fn services_start_when_their_needs_are_ready_and_stop_in_reverse() {
    let mut scene = Scene::new([notifying(), notifying(), notifying()], &[(1, 0), (2, 1)]);
    scene.start(2);
    assert_eq!(scene.told(), "0 spawn");
    scene.spawned(0);
    assert_eq!(scene.told(), "0 starting");
    scene.ready(0);
    assert_eq!(scene.told(), "0 ready, 1 spawn");
    scene.spawned(1);
    scene.ready(1);
    scene.spawned(2);
    scene.ready(2);
    assert_eq!(scene.told(), "1 starting, 1 ready, 2 spawn, 2 starting, 2 ready");
    scene.input(Input::Shutdown).unwrap();
    assert_eq!(scene.told(), "2 stopping, 2 signal 15");
    scene.exit(2, Exit::Code(0));
    assert_eq!(scene.told(), "2 stopped, 1 stopping, 1 signal 15");
    scene.exit(1, Exit::Signal(15));
    scene.exit(0, Exit::Code(0));
    assert_eq!(scene.told(), "1 stopped, 0 stopping, 0 signal 15, 0 stopped, down");
    assert_eq!(scene.system.next_deadline(), None);
    assert_eq!(scene.input(Input::Start(ServiceId::new(0))), Err(InputError::ShuttingDown));
}

#[test]
fn the_first_restart_is_immediate_then_the_delay_doubles_until_the_limit() {
    let backoff = Backoff { base: 10 * MS, cap: 30 * MS, limit: Some(4), stable: 1000 * MS };
    let mut scene = Scene::new([Policy { backoff, ..Policy::default() }], &[]);
    scene.start(0);
    scene.spawned(0);
    assert_eq!(scene.told(), "0 spawn, 0 starting, 0 ready");
    scene.exit(0, Exit::Signal(9));
    assert_eq!(scene.told(), "0 backoff, 0 spawn");
    for delay in [10, 20, 30] {
        scene.spawned(0);
        scene.exit(0, Exit::Code(1));
        assert_eq!(scene.told(), "0 starting, 0 ready, 0 backoff");
        assert_eq!(scene.system.next_deadline(), Some(scene.now + delay * MS));
        scene.pass(delay * MS);
        assert_eq!(scene.told(), "0 spawn");
    }
    scene.spawned(0);
    assert_eq!(scene.system.status(ServiceId::new(0)).unwrap().restarts, 4);
    scene.exit(0, Exit::Code(1));
    assert_eq!(scene.told(), "0 starting, 0 ready, 0 failed");
    assert_eq!(scene.system.next_deadline(), None);
    scene.start(0);
    assert_eq!(scene.told(), "0 spawn");
}

#[test]
fn a_stable_run_makes_the_next_restart_immediate_again() {
    let mut scene = Scene::new([Policy::default()], &[]);
    scene.start(0);
    for _ in 0..50 {
        scene.spawned(0);
        scene.pass(Policy::default().backoff.stable);
        assert_eq!(scene.system.next_deadline(), None, "a running service needs no timer");
        scene.exit(0, Exit::Code(3));
        assert_eq!(scene.phase(0), Phase::Spawning);
    }
}

#[test]
fn a_start_that_takes_too_long_is_stopped_and_tried_again() {
    let mut scene = Scene::new([notifying()], &[]);
    scene.start(0);
    scene.spawned(0);
    scene.told();
    scene.pass(Duration::from_secs(10));
    assert_eq!(scene.told(), "0 stopping, 0 signal 15");
    scene.pass(Duration::from_secs(5));
    assert_eq!(scene.told(), "0 signal 9");
    scene.exit(0, Exit::Signal(9));
    assert_eq!(scene.told(), "0 backoff, 0 spawn");
}

#[test]
fn what_outlives_sigkill_is_left_behind_and_started_again_only_when_it_is_gone() {
    let mut scene = Scene::new([Policy::default(), Policy::default()], &[(1, 0)]);
    scene.start(1);
    scene.spawned(0);
    scene.spawned(1);
    scene.told();
    scene.stop(0);
    scene.pass(Duration::from_secs(5));
    scene.pass(Duration::from_secs(2));
    assert_eq!(scene.told(), "1 stopping, 1 signal 15, 1 signal 9, 1 failed, 0 stopping, 0 signal 15");
    scene.exit(0, Exit::Code(0));
    scene.start(1);
    scene.spawned(0);
    assert_eq!(scene.phase(1), Phase::Stuck);
    scene.told();
    scene.exit(1, Exit::Signal(9));
    assert_eq!(scene.told(), "1 stopped, 1 spawn");
}

#[test]
fn a_stop_during_the_spawn_waits_for_its_answer() {
    let mut scene = Scene::new([Policy::default()], &[]);
    scene.start(0);
    scene.stop(0);
    assert_eq!(scene.told(), "0 spawn, 0 stopping");
    scene.spawned(0);
    assert_eq!(scene.told(), "0 signal 15");
    scene.start(0);
    scene.exit(0, Exit::Code(0));
    assert_eq!(scene.told(), "0 stopped, 0 spawn");
    scene.stop(0);
    scene.not_spawned(0);
    assert_eq!(scene.told(), "0 stopping, 0 stopped");
}

#[test]
fn a_restart_takes_nobody_along() {
    let mut scene = Scene::new([Policy::default(), Policy::default()], &[(1, 0)]);
    scene.start(1);
    scene.spawned(0);
    scene.spawned(1);
    scene.told();
    scene.input(Input::Restart(ServiceId::new(0))).unwrap();
    scene.exit(0, Exit::Code(0));
    scene.spawned(0);
    assert_eq!(scene.told(), "0 stopping, 0 signal 15, 0 stopped, 0 spawn, 0 starting, 0 ready");
    assert_eq!(scene.phase(1), Phase::Ready);
}

#[test]
fn restart_policies_judge_the_exit() {
    for (restart, exit, phase) in [
        (Restart::Always, Exit::Code(0), Phase::Spawning),
        (Restart::OnFailure, Exit::Code(0), Phase::Stopped),
        (Restart::OnFailure, Exit::Code(1), Phase::Spawning),
        (Restart::OnFailure, Exit::Signal(11), Phase::Spawning),
        (Restart::Never, Exit::Code(0), Phase::Stopped),
        (Restart::Never, Exit::Code(1), Phase::Failed),
    ] {
        let mut scene = Scene::new([Policy { restart, ..Policy::default() }], &[]);
        scene.start(0);
        scene.spawned(0);
        scene.exit(0, exit);
        assert_eq!(scene.phase(0), phase, "{restart:?} {exit:?}");
        assert_eq!(scene.system.next_deadline(), None);
    }
}

#[test]
fn an_abort_kills_everything_at_once() {
    let mut scene = Scene::new([Policy::default(), Policy::default()], &[(1, 0)]);
    scene.start(1);
    scene.spawned(0);
    scene.told();
    scene.input(Input::Abort).unwrap();
    assert_eq!(scene.told(), "0 stopping, 0 signal 9, 1 stopping");
    scene.spawned(1);
    assert_eq!(scene.told(), "1 signal 15, 1 signal 9");
    scene.exit(1, Exit::Signal(9));
    scene.exit(0, Exit::Signal(9));
    assert_eq!(scene.told(), "1 stopped, 0 stopped, down");
}

#[test]
fn words_of_a_process_that_is_gone_are_refused() {
    let mut scene = Scene::new([Policy::default()], &[]);
    let service = ServiceId::new(0);
    assert_eq!(scene.input(Input::Ready { service, pid: 7 }), Err(InputError::Stale));
    assert_eq!(scene.input(Input::Exited { service, pid: 7, exit: Exit::Code(0) }), Err(InputError::Stale));
    assert_eq!(scene.input(Input::Start(ServiceId::new(1))), Err(InputError::UnknownService));
    scene.start(0);
    scene.spawned(0);
    scene.exit(0, Exit::Code(0));
    scene.spawned(0);
    let late = SpawnTicket { service, run: 1 };
    assert_eq!(scene.input(Input::Spawned { ticket: late, pid: 9 }), Err(InputError::Stale));
    let twice = SpawnTicket { service, run: 2 };
    let answer = scene.input(Input::Spawned { ticket: twice, pid: 9 });
    assert_eq!(answer, Err(InputError::Impossible(Phase::Ready, Event::Spawned, "no ticket is out")));
}

#[test]
fn cycles_are_refused_and_named() {
    let mut system: System<4, 4> = System::new();
    let [a, b, c] = [(); 3].map(|()| system.add(Policy::default()).unwrap());
    system.need(a, b).unwrap();
    system.need(b, c).unwrap();
    system.need(a, b).unwrap();
    let Err(NeedError::Cycle(cycle)) = system.need(c, a) else { panic!("accepted a cycle") };
    assert_eq!(cycle.iter().collect::<Vec<_>>(), [c, a, b]);
    assert_eq!(format!("{}", NeedError::Cycle(cycle)), "services need each other: 2 -> 0 -> 1 -> 2");
    let Err(NeedError::Cycle(own)) = system.need(a, a) else { panic!("accepted a need of itself") };
    assert_eq!(own.iter().collect::<Vec<_>>(), [a]);
    assert_eq!(system.need(a, ServiceId::new(9)), Err(NeedError::UnknownService));
    system.need(a, c).unwrap();
    assert_eq!(system.needs(a).collect::<Vec<_>>(), [b, c]);
    let d = system.add(Policy::default()).unwrap();
    system.need(d, a).unwrap();
    assert_eq!(system.need(d, b), Err(NeedError::Full));
    assert_eq!(system.add(Policy::default()), Err(AddError));
}

/// One choice of the outside world.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Start(u16),
    Stop(u16),
    Restart(u16),
    Shutdown,
    Abort,
    Spawned(u16),
    NotSpawned(u16),
    Ready(u16),
    Exit(u16, i32),
    Deadline,
    Age,
}

impl<const N: usize> Scene<N> {
    fn choices(&self) -> Vec<Choice> {
        let mut choices = vec![Choice::Shutdown, Choice::Abort];
        for service in 0..u16::try_from(N).unwrap() {
            let at = usize::from(service);
            choices.extend([Choice::Start(service), Choice::Stop(service), Choice::Restart(service)]);
            if self.world.ticket[at].is_some() {
                choices.extend([Choice::Spawned(service), Choice::NotSpawned(service)]);
            }
            if self.world.process[at].is_some() {
                choices.extend([Choice::Exit(service, 0), Choice::Exit(service, 1)]);
                if self.system.services[at].policy.readiness == Readiness::Notify {
                    choices.push(Choice::Ready(service));
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
            Choice::Start(service) => drop(self.input(Input::Start(ServiceId::new(service)))),
            Choice::Stop(service) => self.stop(service),
            Choice::Restart(service) => drop(self.input(Input::Restart(ServiceId::new(service)))),
            Choice::Shutdown => self.input(Input::Shutdown).unwrap(),
            Choice::Abort => self.input(Input::Abort).unwrap(),
            Choice::Spawned(service) => self.spawned(service),
            Choice::NotSpawned(service) => self.not_spawned(service),
            Choice::Ready(service) => self.ready(service),
            Choice::Exit(service, code) => self.exit(service, Exit::Code(code)),
            Choice::Deadline => {
                self.now = self.system.next_deadline().unwrap();
                self.input(Input::Tick).unwrap();
            }
            Choice::Age => self.pass(Duration::from_secs(3600)),
        }
    }

    /// What the machine will do from here depends on nothing else.
    fn key(&self) -> String {
        let mut key = String::new();
        for known in &self.system.services {
            let left = known.deadline.map(|at| (at.since(self.now), self.now.since(at).min(MS)));
            let old =
                known.phase == Phase::Ready && self.now.since(known.since) >= known.policy.backoff.stable;
            key += &format!(
                "{:?}{:?}{:?}{:?}{old}{};",
                known.phase,
                known.goal,
                left,
                known.pid.is_some(),
                known.lapses
            );
        }
        key += &format!("{:?}{:?}", self.world.down, self.system.course());
        key
    }

    fn check(&self) {
        for (at, known) in self.system.services.iter().enumerate() {
            let ticket = matches!(known.phase, Phase::Spawning | Phase::Cancelling);
            assert_eq!(self.world.ticket[at].is_some(), ticket, "a ticket is lost");
            assert_eq!(self.world.process[at].is_some(), known.phase.has_process(), "a process is lost");
            assert_eq!(known.pid, self.world.process[at]);
            assert_eq!(
                known.announced,
                if known.phase == Phase::Spawning { known.announced } else { known.phase.state() }
            );
            let id = ServiceId::new(u16::try_from(at).unwrap());
            let mut needs = self.system.needs(id);
            let held = needs.any(|on| self.system.services[on.index()].phase != Phase::Ready);
            let idle = matches!(known.phase, Phase::Stopped | Phase::Failed | Phase::Backoff);
            assert!(!(idle && known.goal == Goal::Start) || held, "forgotten although it could start");
            let timer = known.deadline.is_some_and(|deadline| deadline > self.now);
            assert!(
                known.phase != Phase::Backoff || known.goal == Goal::Down || held || timer,
                "never retried"
            );
        }
        assert!(self.system.next_deadline().is_none_or(|at| at > self.now), "a busy loop");
    }

    /// From here a shutdown ends, whether processes obey, obey only SIGKILL, or nothing at all.
    fn ends(&self) {
        for obeys in [Some(15), Some(9), None] {
            let mut scene = self.clone();
            scene.world.told.clear();
            scene.input(Input::Shutdown).unwrap();
            let end = scene.now + Duration::from_secs(8 * N as u64);
            for _ in 0..12 * N {
                for service in 0..u16::try_from(N).unwrap() {
                    if scene.world.ticket[usize::from(service)].is_some() {
                        scene.spawned(service);
                    }
                    let obedient = match obeys {
                        Some(15) => matches!(scene.phase(service), Phase::Terminating | Phase::Killing),
                        Some(_) => scene.phase(service) == Phase::Killing,
                        None => false,
                    };
                    if obedient {
                        scene.exit(service, Exit::Signal(9));
                    }
                    scene.check();
                }
                if scene.system.next_deadline().is_some() {
                    scene.choose(Choice::Deadline);
                }
            }
            assert!(scene.world.down, "the shutdown hangs: {:?}", scene.system);
            assert!(scene.now <= end, "the shutdown takes too long");
        }
    }
}

fn explore<const N: usize>(policies: [Policy; N], needs: &[(u16, u16)]) -> usize {
    let first = Scene::new(policies, needs);
    let mut seen = HashSet::from([first.key()]);
    let mut open = VecDeque::from([first]);
    while let Some(scene) = open.pop_front() {
        for choice in scene.choices() {
            let mut next = scene.clone();
            next.world.told.clear();
            next.choose(choice);
            next.check();
            if seen.insert(next.key()) {
                next.ends();
                open.push_back(next);
            }
        }
    }
    seen.len()
}

fn small(readiness: Readiness, restart: Restart) -> Policy {
    let second = Duration::from_secs(1);
    Policy {
        readiness,
        restart,
        start_timeout: Some(4 * second),
        stop_signal: Signal::TERM,
        stop_timeout: 4 * second,
        kill_timeout: 4 * second,
        backoff: Backoff { base: 4 * second, cap: 4 * second, limit: Some(2), stable: 100 * second },
    }
}

#[test]
fn every_state_of_one_service() {
    for readiness in [Readiness::Start, Readiness::Notify] {
        for restart in [Restart::Always, Restart::OnFailure, Restart::Never] {
            let states = explore([small(readiness, restart)], &[]);
            assert!(states > 15, "{states}");
        }
    }
}

#[test]
fn every_state_of_two_services() {
    let policies = [small(Readiness::Notify, Restart::Always), small(Readiness::Start, Restart::OnFailure)];
    for needs in [&[][..], &[(1, 0)], &[(0, 1)]] {
        let states = explore(policies, needs);
        std::eprintln!("two services, needs {needs:?}: {states} states");
    }
}

/// The shapes that three services can need each other in, with short lives to keep the number of states small.
#[test]
fn every_state_of_three_services() {
    let mut policies = [small(Readiness::Start, Restart::Always); 3];
    for policy in &mut policies {
        policy.start_timeout = None;
        policy.backoff.limit = Some(0);
    }
    for needs in [&[(1, 0), (2, 1)][..], &[(1, 0), (2, 0)], &[(2, 0), (2, 1)], &[(0, 1), (0, 2), (1, 2)]] {
        let states = explore(policies, needs);
        std::eprintln!("three services, needs {needs:?}: {states} states");
    }
}
