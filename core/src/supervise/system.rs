//! All services, their needs, and whose turn it is.

use core::fmt;

use heapless::Vec;

use super::{
    policy::{Policy, Signal},
    service::{Goal, Service},
    table::{Command, Event, Phase, State},
};
use crate::time::Instant;

/// A service of one [`System`]: counts from 0 in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(u16);

impl ServiceId {
    /// The service that was added as number `index`.
    pub const fn new(index: u16) -> Self {
        Self(index)
    }

    /// Its place in the driver's tables.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It could not be made; the system's error number.
    NotSpawned(i32),
}

/// The duty to make one process, and to say by [`Input::Spawned`] or [`Input::NotSpawned`] what came of it.
///
/// It can be neither copied nor made: while one is out, the service has no other.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "answer it with Input::Spawned or Input::NotSpawned, or the service waits for ever"]
pub struct SpawnTicket {
    pub(super) service: ServiceId,
    pub(super) run: u32,
}

impl SpawnTicket {
    /// The service whose process is to be made.
    pub const fn service(&self) -> ServiceId {
        self.service
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A service is wanted, and so is everything that it needs. What waits or has failed starts afresh.
    Start(ServiceId),
    /// A service is not wanted, nor is anything that needs it.
    Stop(ServiceId),
    /// A service shall have a new process; nothing else is stopped for that.
    Restart(ServiceId),
    /// Everything shall end in order, and nothing starts any more.
    Shutdown,
    /// Everything shall end now: SIGKILL for all, in no order.
    Abort,
    /// The ticket's process exists.
    Spawned {
        /// The duty that is done.
        ticket: SpawnTicket,
        /// The process.
        pid: u32,
    },
    /// The ticket's process could not be made.
    NotSpawned {
        /// The duty that could not be done.
        ticket: SpawnTicket,
        /// The system's error number.
        errno: i32,
    },
    /// A process says that it is ready.
    Ready {
        /// Its service.
        service: ServiceId,
        /// The process.
        pid: u32,
    },
    /// A process has ended and left no zombie.
    Exited {
        /// Its service.
        service: ServiceId,
        /// The process.
        pid: u32,
        /// How.
        exit: Exit,
    },
    /// Nothing but time.
    Tick,
}

/// What the driver must do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a process.
    Spawn(SpawnTicket),
    /// Send a signal.
    Signal {
        /// Whose process.
        service: ServiceId,
        /// The process.
        pid: u32,
        /// The signal.
        signal: Signal,
    },
    /// Tell the world.
    Announce(Report),
    /// The shutdown is complete.
    Down,
}

/// How a service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which one.
    pub service: ServiceId,
    /// Its state.
    pub state: State,
    /// Its process, if it has one.
    pub pid: Option<u32>,
    /// How its last process ended.
    pub exit: Option<Exit>,
    /// How often it was restarted since it was last asked to start.
    pub restarts: u32,
    /// When it came into this state.
    pub at: Instant,
}

/// Why an input was refused. The machine is as it was; all are the driver's or its caller's mistakes, or late
/// words about a process that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputError {
    /// There is no such service.
    UnknownService,
    /// The system is shutting down: nothing starts.
    ShuttingDown,
    /// The process or ticket belongs to an earlier run.
    Stale,
    /// The event cannot happen in the service's phase, for this reason.
    Impossible(Phase, Event, &'static str),
}

/// There is no room for another service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddError;

/// Why a need was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeedError<const N: usize> {
    /// There is no such service.
    UnknownService,
    /// There is no room for another need.
    Full,
    /// It would close this cycle.
    Cycle(Cycle<N>),
}

/// Services that need each other in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cycle<const N: usize> {
    ring: [ServiceId; N],
    len: usize,
}

impl<const N: usize> Cycle<N> {
    /// The ring: each needs the next, and the last needs the first.
    pub fn iter(&self) -> impl Iterator<Item = ServiceId> + '_ {
        self.ring.iter().copied().take(self.len)
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownService => f.write_str("no such service"),
            Self::ShuttingDown => f.write_str("the system is shutting down"),
            Self::Stale => f.write_str("word of a process that is gone"),
            Self::Impossible(_, _, why) => write!(f, "impossible now: {why}"),
        }
    }
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room for another service")
    }
}

impl<const N: usize> fmt::Display for NeedError<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownService => f.write_str("no such service"),
            Self::Full => f.write_str("no room for another need"),
            Self::Cycle(cycle) => {
                f.write_str("services need each other: ")?;
                for service in cycle.iter() {
                    write!(f, "{} -> ", service.0)?;
                }
                write!(f, "{}", cycle.iter().next().map_or(0, |first| first.0))
            }
        }
    }
}

impl core::error::Error for InputError {}
impl core::error::Error for AddError {}
impl<const N: usize> core::error::Error for NeedError<N> {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Run,
    Shutdown,
    /// `Action::Down` was given.
    Down,
}

/// Up to `N` services with up to `E` needs between them.
///
/// One input moves a service at most three times before it waits for the driver or for time, and each move
/// causes at most one report and one command: an input causes at most `6 * N + 1` actions. `poll` makes the
/// moves one by one, so that actions come in the order of their causes.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct System<const N: usize, const E: usize> {
    pub(super) services: Vec<Service, N>,
    pub(super) needs: Vec<Need, E>,
    course: Course,
    abort: bool,
    pub(super) now: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) of: ServiceId,
    pub(super) on: ServiceId,
}

impl<const N: usize, const E: usize> Default for System<N, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize, const E: usize> System<N, E> {
    /// A system without services.
    pub const fn new() -> Self {
        Self {
            services: Vec::new(),
            needs: Vec::new(),
            course: Course::Run,
            abort: false,
            now: Instant::from_micros(0),
        }
    }

    /// Adds a service, which is stopped and not wanted.
    pub fn add(&mut self, policy: Policy) -> Result<ServiceId, AddError> {
        let index = u16::try_from(self.services.len()).map_err(|_| AddError)?;
        self.services.push(Service::new(policy)).map_err(|_| AddError)?;
        Ok(ServiceId(index))
    }

    /// Makes `of` need `on`; saying it twice is saying it once.
    ///
    /// ```
    /// use lunix_core::supervise::{NeedError, Policy, System};
    /// let mut system: System<2, 2> = System::new();
    /// let (a, b) = (system.add(Policy::default())?, system.add(Policy::default())?);
    /// system.need(a, b)?;
    /// let Err(NeedError::Cycle(cycle)) = system.need(b, a) else { panic!() };
    /// assert_eq!(cycle.iter().collect::<Vec<_>>(), [b, a]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn need(&mut self, of: ServiceId, on: ServiceId) -> Result<(), NeedError<N>> {
        if self.service(of).is_none() || self.service(on).is_none() {
            return Err(NeedError::UnknownService);
        }
        let need = Need { of, on };
        if self.needs.contains(&need) {
            return Ok(());
        }
        if let Some(cycle) = self.path(on, of) {
            return Err(NeedError::Cycle(cycle));
        }
        self.needs.push(need).map_err(|_| NeedError::Full)
    }

    /// The services, in the order in which they were added.
    pub fn services(&self) -> impl Iterator<Item = Report> + '_ {
        (0..self.services.len()).filter_map(|index| self.status(ServiceId(u16::try_from(index).ok()?)))
    }

    /// What `service` needs directly.
    pub fn needs(&self, service: ServiceId) -> impl Iterator<Item = ServiceId> + '_ {
        self.needs.iter().filter(move |need| need.of == service).map(|need| need.on)
    }

    /// How a service stands.
    pub fn status(&self, service: ServiceId) -> Option<Report> {
        self.service(service).map(|known| Report {
            service,
            state: known.phase.state(),
            pid: known.pid,
            exit: known.exit,
            restarts: known.restarts,
            at: known.since,
        })
    }

    /// Takes in what happened. Drain [`poll`](Self::poll) afterwards.
    pub fn handle(&mut self, now: Instant, input: Input) -> Result<(), InputError> {
        self.now = self.now.max(now);
        match input {
            Input::Start(service) => {
                self.may_start(service)?;
                self.want_up(service);
            }
            Input::Restart(service) => {
                self.may_start(service)?;
                self.want_up(service);
                let known = self.known(service)?;
                if matches!(known.phase, Phase::Starting | Phase::Ready) {
                    known.goal = Goal::Start;
                    self.apply(service, Event::Stop)?;
                }
            }
            Input::Stop(service) => {
                self.service(service).ok_or(InputError::UnknownService)?;
                self.want_down(service);
            }
            Input::Shutdown => self.shut_down(),
            Input::Abort => {
                self.abort = true;
                self.shut_down();
            }
            Input::Spawned { ticket, pid } => {
                self.redeem(&ticket)?;
                self.apply(ticket.service, Event::Spawned)?;
                self.known(ticket.service)?.pid = Some(pid);
            }
            Input::NotSpawned { ticket, errno } => {
                self.redeem(&ticket)?;
                self.end(ticket.service, Exit::NotSpawned(errno))?;
            }
            Input::Ready { service, pid } => {
                self.current(service, pid)?;
                self.apply(service, Event::Ready)?;
            }
            Input::Exited { service, pid, exit } => {
                self.current(service, pid)?;
                self.end(service, exit)?;
            }
            Input::Tick => {}
        }
        Ok(())
    }

    /// The next thing to do; `None` when there is nothing until the next input or deadline.
    ///
    /// After every `handle`, call it until it answers `None`.
    pub fn poll(&mut self) -> Option<Action> {
        loop {
            if let Some(action) = self.pending() {
                return Some(action);
            }
            if let Some((service, event)) = self.due() {
                // `due` asks the table before it names an event, so this cannot be refused.
                self.apply(service, event).ok()?;
                continue;
            }
            let settled =
                self.services.iter().all(|known| matches!(known.phase, Phase::Stopped | Phase::Stuck));
            if self.course != Course::Shutdown || !settled {
                return None;
            }
            self.course = Course::Down;
            return Some(Action::Down);
        }
    }

    /// When to call `handle` with [`Input::Tick`] if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadlines = self.ids().filter_map(|id| self.service(id)?.deadline(self.needs_ready(id)));
        deadlines.min()
    }

    #[cfg(test)]
    pub(super) fn course(&self) -> (u8, bool) {
        (self.course as u8, self.abort)
    }

    fn pending(&mut self) -> Option<Action> {
        for id in self.ids() {
            let known = self.known(id).ok()?;
            if known.take_announcement() {
                return self.status(id).map(Action::Announce);
            }
            if known.command == Command::Spawn {
                known.command = Command::None;
                return Some(Action::Spawn(SpawnTicket { service: id, run: known.run }));
            }
            if let Some(pid) = known.pid
                && let Some(signal) = known.take_signal()
            {
                return Some(Action::Signal { service: id, pid, signal });
            }
        }
        None
    }

    fn due(&self) -> Option<(ServiceId, Event)> {
        self.ids().find_map(|id| {
            let event =
                self.service(id)?.due(self.now, self.needs_ready(id), self.is_free(id), self.abort)?;
            Some((id, event))
        })
    }

    fn ids(&self) -> impl Iterator<Item = ServiceId> + use<N, E> {
        // `add` lets no more in than a u16 counts.
        (0..u16::try_from(self.services.len()).unwrap_or(u16::MAX)).map(ServiceId)
    }

    fn service(&self, id: ServiceId) -> Option<&Service> {
        self.services.get(id.index())
    }

    fn known(&mut self, id: ServiceId) -> Result<&mut Service, InputError> {
        self.services.get_mut(id.index()).ok_or(InputError::UnknownService)
    }

    fn apply(&mut self, id: ServiceId, event: Event) -> Result<(), InputError> {
        let now = self.now;
        let known = self.known(id)?;
        let phase = known.phase;
        known.apply(now, event).map_err(|why| InputError::Impossible(phase, event, why.0))
    }

    fn end(&mut self, id: ServiceId, exit: Exit) -> Result<(), InputError> {
        let now = self.now;
        let known = self.known(id)?;
        let phase = known.phase;
        known.end(now, exit).map_err(|why| InputError::Impossible(phase, Event::Ended, why.0))
    }

    fn redeem(&mut self, ticket: &SpawnTicket) -> Result<(), InputError> {
        let known = self.known(ticket.service)?;
        if known.run == ticket.run { Ok(()) } else { Err(InputError::Stale) }
    }

    fn current(&mut self, id: ServiceId, pid: u32) -> Result<(), InputError> {
        let known = self.known(id)?;
        if known.pid == Some(pid) { Ok(()) } else { Err(InputError::Stale) }
    }

    fn may_start(&self, id: ServiceId) -> Result<(), InputError> {
        self.service(id).ok_or(InputError::UnknownService)?;
        if self.course == Course::Run { Ok(()) } else { Err(InputError::ShuttingDown) }
    }

    fn shut_down(&mut self) {
        for known in &mut self.services {
            known.goal = Goal::Down;
        }
        if self.course == Course::Run {
            self.course = Course::Shutdown;
        }
    }

    fn needs_ready(&self, id: ServiceId) -> bool {
        self.needs(id).all(|on| self.service(on).is_some_and(|known| known.phase == Phase::Ready))
    }

    fn is_free(&self, id: ServiceId) -> bool {
        let mut users = self.needs.iter().filter(|need| need.on == id);
        users.all(|need| self.service(need.of).is_none_or(|known| known.phase.is_down()))
    }

    fn want_up(&mut self, id: ServiceId) {
        self.spread(
            id,
            |need, marked| (need.of == marked).then_some(need.on),
            |known, asked| {
                // What runs and was not asked for by name goes on as it is.
                let runs = matches!(known.phase, Phase::Spawning | Phase::Starting | Phase::Ready);
                let waits = known.goal == Goal::Up && known.phase == Phase::Backoff;
                known.goal = match known.goal {
                    Goal::Up | Goal::Down if runs => Goal::Up,
                    Goal::Up if waits && !asked => Goal::Up,
                    _ => Goal::Start,
                };
            },
        );
    }

    fn want_down(&mut self, id: ServiceId) {
        self.spread(
            id,
            |need, marked| (need.on == marked).then_some(need.of),
            |known, _| known.goal = Goal::Down,
        );
    }

    /// Applies `change` to `from` and to everything that `along` leads to, each once.
    fn spread(
        &mut self,
        from: ServiceId,
        along: impl Fn(&Need, ServiceId) -> Option<ServiceId>,
        change: impl Fn(&mut Service, bool),
    ) {
        let mut reached: Vec<ServiceId, N> = Vec::new();
        // A set of at most all services fits into `N`.
        let _ = reached.push(from);
        let mut next = 0;
        while let Some(id) = reached.get(next).copied() {
            for need in &self.needs {
                if let Some(other) = along(need, id)
                    && !reached.contains(&other)
                {
                    let _ = reached.push(other);
                }
            }
            if let Ok(known) = self.known(id) {
                change(known, id == from);
            }
            next += 1;
        }
    }

    /// The way along needs from `from` to `to`, both included.
    fn path(&self, from: ServiceId, to: ServiceId) -> Option<Cycle<N>> {
        // Breadth first from the end, each service with the one that it needs on the way to `to`.
        let mut reached: Vec<(ServiceId, ServiceId), N> = Vec::new();
        let _ = reached.push((to, to));
        let mut next = 0;
        while let Some((id, _)) = reached.get(next).copied() {
            if id == from {
                break;
            }
            for need in self.needs.iter().filter(|need| need.on == id) {
                if !reached.iter().any(|(known, _)| *known == need.of) {
                    let _ = reached.push((need.of, id));
                }
            }
            next += 1;
        }
        let mut cycle = Cycle { ring: [ServiceId(0); N], len: 0 };
        let (mut at, mut on) = reached.get(next).copied()?;
        // `to` needs `from`, so the ring is told from `to`.
        *cycle.ring.first_mut()? = to;
        cycle.len = 1;
        while at != to {
            *cycle.ring.get_mut(cycle.len)? = at;
            cycle.len += 1;
            (at, on) = reached.iter().copied().find(|(known, _)| *known == on)?;
        }
        Some(cycle)
    }
}
