//! Scenes from services' lives, every state that small systems can reach, and what large ones cost.
extern crate std;

use std::{format, string::String, vec, vec::Vec};

use super::{
    service::{Face, Goal},
    slot::{Lists, NONE},
    system::Course,
    *,
};
use crate::time::{Duration, Instant};

mod cost;
mod explore;
mod graph;
mod oneshot;
mod process;
mod relations;
mod restart;
mod saved;
mod stages;
mod stop;
mod trigger;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

type Small = System<4, 12>;

/// What one service says of another, by their numbers.
type Said = (u16, Relation, u16);

/// The world outside: which processes exist, and what was said.
#[derive(Clone, Default)]
struct World {
    next_pid: u32,
    process: Vec<Option<u32>>,
    ticket: Vec<Option<u32>>,
    told: Vec<String>,
    /// Nobody asks what was said.
    quiet: bool,
    down: bool,
}

/// A system and its world, where every ticket stays out until it is answered.
#[derive(Clone)]
struct Scene {
    system: Small,
    world: World,
    now: Instant,
}

fn id(service: u16) -> ServiceId {
    ServiceId::new(service)
}

fn build(policies: &[Policy], said: &[Said]) -> Small {
    let mut system = Small::new();
    for policy in policies {
        system.add(*policy).unwrap();
    }
    for (of, relation, on) in said {
        system.relate(id(*of), *relation, id(*on)).unwrap();
    }
    system
}

impl Scene {
    fn new(policies: &[Policy], said: &[Said]) -> Self {
        let count = policies.len();
        let world = World { process: vec![None; count], ticket: vec![None; count], ..World::default() };
        Self { system: build(policies, said), world, now: Instant::from_micros(0) }
    }

    /// Services that need each other, and nothing else.
    fn needing(policies: &[Policy], needs: &[(u16, u16)]) -> Self {
        let said: Vec<Said> = needs.iter().map(|(of, on)| (*of, Relation::Needs, *on)).collect();
        Self::new(policies, &said)
    }

    fn count(&self) -> u16 {
        u16::try_from(self.system.slots.len()).unwrap()
    }

    fn drain(&mut self) {
        let mut actions = 0;
        loop {
            let mut before = [Phase::Stopped; 4];
            for (before, slot) in before.iter_mut().zip(&self.system.slots) {
                *before = slot.life.phase;
            }
            let Some(action) = self.system.poll() else { break };
            actions += 1;
            assert!(actions <= 16 * self.system.slots.len() + 1, "more actions than promised");
            match action {
                Action::Spawn(ticket) => {
                    let at = ticket.service.index();
                    assert_eq!(self.world.process[at], None, "started twice");
                    assert_eq!(self.world.ticket[at], None, "two tickets");
                    self.may_run(ticket.service.0);
                    self.world.ticket[at] = Some(ticket.run);
                    self.say(|| format!("{at} spawn"));
                }
                Action::Undo(ticket) => {
                    let at = ticket.service.index();
                    assert_eq!((self.world.process[at], self.world.ticket[at]), (None, None), "undone twice");
                    if self.system.slots[at].life.goal == Goal::Down {
                        self.is_unused(ticket.service.0);
                    }
                    self.world.ticket[at] = Some(ticket.run);
                    self.say(|| format!("{at} undo"));
                }
                Action::Signal { service, pid, signal } => {
                    assert_eq!(self.world.process[service.index()], Some(pid), "signal to nobody");
                    self.say(|| format!("{} signal {}", service.index(), signal.0));
                }
                Action::Announce(report) => {
                    let life = &self.system.slots[report.service.index()].life;
                    let orderly = before[report.service.index()] == Phase::Ready
                        && life.goal == Goal::Down
                        && self.system.slots[report.service.index()].policy.watchdog.is_none();
                    if orderly && life.phase == Phase::Terminating {
                        self.is_unused(report.service.0);
                    }
                    self.say(|| format!("{} {}", report.service.index(), report.state.as_str()));
                }
                Action::Down => {
                    self.world.down = true;
                    self.say(|| "down".into());
                }
            }
        }
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if !self.world.quiet {
            self.world.told.push(what());
        }
    }

    /// What must be there before a process is made, is there, and what must not be there is gone.
    fn may_run(&self, at: u16) {
        for (_, edge) in self.system.edges_of(at).chain(self.system.edges_into(at)) {
            let other = if edge.of == at { edge.on } else { edge.of };
            let life = &self.system.slots[usize::from(other)].life;
            match edge.relation {
                Relation::Needs if edge.of == at => {
                    assert!(life.phase.is_fulfilled(), "started before its need");
                }
                Relation::Wants | Relation::After if edge.of == at => {
                    assert!(life.goal == Goal::Down || life.is_settled(), "started before what it waits for");
                }
                Relation::Conflicts => assert!(Face::of(life).gone, "started with what it conflicts with"),
                _ => {}
            }
        }
    }

    fn is_unused(&self, at: u16) {
        for (_, edge) in self.system.edges_into(at) {
            let user = &self.system.slots[usize::from(edge.of)].life;
            let used = match edge.relation {
                Relation::Needs => true,
                Relation::Wants | Relation::After => user.goal == Goal::Down,
                Relation::Conflicts => false,
            };
            assert!(!used || user.phase.is_down(), "stopped while needed by {:?}", user.phase);
        }
    }

    fn input(&mut self, input: Input) -> Result<(), InputError> {
        let answer = self.system.handle(self.now, input);
        self.drain();
        answer
    }

    fn start(&mut self, service: u16) {
        self.input(Input::Start(id(service))).unwrap();
    }

    fn stop(&mut self, service: u16) {
        self.input(Input::Stop(id(service))).unwrap();
    }

    fn spawned(&mut self, service: u16) {
        let at = usize::from(service);
        let run = self.world.ticket[at].take().unwrap();
        self.world.next_pid += 1;
        self.world.process[at] = Some(self.world.next_pid);
        let ticket = SpawnTicket { service: id(service), run };
        self.input(Input::Spawned { ticket, pid: self.world.next_pid }).unwrap();
    }

    fn not_spawned(&mut self, service: u16) {
        let run = self.world.ticket[usize::from(service)].take().unwrap();
        let ticket = SpawnTicket { service: id(service), run };
        self.input(Input::NotSpawned { ticket, errno: 2 }).unwrap();
    }

    fn pid(&self, service: u16) -> u32 {
        self.world.process[usize::from(service)].unwrap()
    }

    fn ready(&mut self, service: u16) {
        self.input(Input::Ready { service: id(service), pid: self.pid(service) }).unwrap();
    }

    fn alive(&mut self, service: u16) {
        self.input(Input::Alive { service: id(service), pid: self.pid(service) }).unwrap();
    }

    fn extend(&mut self, service: u16, by: Duration) {
        self.input(Input::Extend { service: id(service), pid: self.pid(service), by }).unwrap();
    }

    fn exit(&mut self, service: u16, exit: Exit) {
        let pid = self.world.process[usize::from(service)].take().unwrap();
        self.input(Input::Exited { service: id(service), pid, exit }).unwrap();
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
        self.input(Input::Tick).unwrap();
    }

    fn told(&mut self) -> String {
        core::mem::take(&mut self.world.told).join(", ")
    }

    fn phase(&self, service: u16) -> Phase {
        self.system.slots[usize::from(service)].life.phase
    }

    /// Everything that is counted along the way is what counting anew finds; nothing that could move is forgotten.
    fn check(&self) {
        let system = &self.system;
        assert_eq!(system.lists[Lists::WORK].first.at(), NONE, "work is left");
        let mut busy = 0;
        for at in 0..self.count() {
            let slot = &system.slots[usize::from(at)];
            let (life, place) = (&slot.life, &slot.place);
            assert_eq!(
                self.world.ticket[usize::from(at)].is_some(),
                life.phase.has_ticket(),
                "a ticket is lost"
            );
            assert_eq!(self.world.process[usize::from(at)], life.pid, "a process is lost");
            assert_eq!(life.pid.is_some(), life.phase.has_process());
            assert!(life.phase == Phase::Spawning || life.announced == life.phase.state(), "not announced");
            assert_eq!(place.face, Face::of(life));
            busy += u16::from(!place.face.over);
            let face = |at: u16| Face::of(&system.slots[usize::from(at)].life);
            let (mut start, mut starves, mut stop, mut stage) = (0, 0, 0, slot.policy.stage);
            for (_, edge) in system.edges_of(at) {
                start += u16::from(face(edge.on).holds_start(edge.relation));
                starves += u16::from(face(edge.on).starves(edge.relation));
            }
            for (_, edge) in system.edges_into(at) {
                stop += u16::from(face(edge.of).holds_stop(edge.relation));
                if edge.relation == Relation::Conflicts {
                    start += u16::from(face(edge.of).holds_start(edge.relation));
                    starves += u16::from(face(edge.of).starves(edge.relation));
                    let both = !face(at).gone && !face(edge.of).gone;
                    assert!(!both, "conflicting services together");
                    assert!(!system.wanted(at) || !system.wanted(edge.of), "conflicting services wanted");
                } else {
                    stage = stage.min(system.slots[usize::from(edge.of)].place.stage);
                }
            }
            assert_eq!((place.holds_start, place.starves, place.holds_stop), (start, starves, stop));
            assert_eq!(place.stage, stage);
            let ahead = life.deadline.is_some_and(|deadline| deadline > self.now);
            assert_eq!(place.timer != NONE, ahead, "a deadline is lost");
            if ahead {
                assert_eq!(system.timers[usize::from(place.timer)], at);
            }
            assert_eq!(system.due(at).0, None, "forgotten");
            self.has_hope(at);
        }
        assert_eq!(busy, system.busy);
        let times: Vec<_> = system.slots.iter().filter_map(|slot| slot.life.deadline).collect();
        let next = times.into_iter().filter(|at| *at > self.now).min();
        assert_eq!(system.next_deadline(), next);
    }

    /// What is on its way waits for a process, for time, or for another one of which that is true.
    fn has_hope(&self, at: u16) {
        let system = &self.system;
        let mut open = vec![at];
        let mut next = 0;
        let face = |at: u16| Face::of(&system.slots[usize::from(at)].life);
        while let Some(at) = open.get(next).copied() {
            next += 1;
            let life = &system.slots[usize::from(at)].life;
            let moves = life.phase.has_ticket()
                || matches!(
                    life.phase,
                    Phase::Starting | Phase::Terminating | Phase::Killing | Phase::Undoing
                )
                || life.phase == Phase::Backoff && life.deadline.is_some_and(|at| at > self.now);
            if moves {
                return;
            }
            let starts = face(at).pending || life.phase == Phase::Waiting && life.triggered;
            let stops = life.goal == Goal::Down && !matches!(life.phase, Phase::Stopped | Phase::Stuck);
            if open.len() == 1 && !starts && !stops {
                return;
            }
            let mut more = Vec::new();
            for (_, edge) in system.edges_of(at) {
                if !stops && face(edge.on).holds_start(edge.relation) && !face(edge.on).starves(edge.relation)
                {
                    more.push(edge.on);
                }
            }
            for (_, edge) in system.edges_into(at) {
                let conflicts =
                    edge.relation == Relation::Conflicts && face(edge.of).holds_start(edge.relation);
                if stops && face(edge.of).holds_stop(edge.relation) || !stops && conflicts {
                    more.push(edge.of);
                }
            }
            for other in 0..self.count() {
                let stage = |at: u16| system.slots[usize::from(at)].place.stage;
                let early = !stops && face(other).pending && stage(other) < stage(at);
                let late =
                    stops && system.course != Course::Run && !face(other).down && stage(other) > stage(at);
                if early || late {
                    more.push(other);
                }
            }
            more.retain(|other| !open.contains(other));
            open.extend(more);
        }
        panic!("{at} waits for nothing that could come: {:?}", system.slots);
    }
}

fn notifying() -> Policy {
    Policy { readiness: Readiness::Notify, ..Policy::default() }
}

fn oneshot() -> Policy {
    Policy { kind: Kind::Oneshot, restart: Restart::Never, ..Policy::default() }
}

fn on_demand() -> Policy {
    Policy { on_demand: true, ..Policy::default() }
}
