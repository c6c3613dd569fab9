//! A service's life as bytes, so that a supervisor that executes itself anew goes on where it was.

use core::fmt;

use super::{
    action::{Exit, ServiceId},
    policy::Stop,
    service::{Goal, Life},
    slot::Lists,
    system::System,
    table::{Command, Phase, State},
};
use crate::time::Instant;

/// How one service stands, to be given to another [`System`] by [`restore`](System::restore).
///
/// Times are those of the driver's clock, which must go on: CLOCK_MONOTONIC or CLOCK_BOOTTIME.
///
/// ```
/// use lunix_core::supervise::{Policy, Saved, System};
/// let mut system: System<1, 0> = System::new();
/// let service = system.add(Policy::default())?;
/// let bytes = system.save(service).unwrap().encode();
///
/// let mut next: System<1, 0> = System::new();
/// let service = next.add(Policy::default())?;
/// next.restore(service, Saved::decode(&bytes).unwrap())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved(Life);

/// Why a life was not given to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// There is no such service.
    UnknownService,
    /// It has a life of its own already.
    NotNew,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownService => f.write_str("no such service"),
            Self::NotNew => f.write_str("it has been wanted already"),
        }
    }
}

impl core::error::Error for RestoreError {}

impl Saved {
    /// How many bytes it is.
    pub const LEN: usize = 56;

    /// The first byte: another one is of another version.
    const VERSION: u8 = 1;

    /// The process, if there is one.
    pub const fn pid(&self) -> Option<u32> {
        self.0.pid
    }

    /// The state.
    pub const fn state(&self) -> State {
        self.0.phase.state()
    }

    /// Writes it.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let life = &self.0;
        let mut out = Out { bytes: [0; Self::LEN], at: 0 };
        let (kind, exit) = match life.exit {
            None => (0, 0),
            Some(Exit::Code(code)) => (1, code),
            Some(Exit::Signal(signal)) => (2, signal),
            Some(Exit::NotSpawned(errno)) => (3, errno),
        };
        let flags = u8::from(life.triggered)
            | u8::from(life.retry) << 1
            | u8::from(life.starved) << 2
            | u8::from(life.deadline.is_some()) << 3;
        out.put([Self::VERSION, place(&GOALS, life.goal), place(&Phase::ALL, life.phase), kind]);
        out.put([place(&COMMANDS, life.command), place(&STATES, life.announced), life.step, flags]);
        out.put(life.pid.unwrap_or_default().to_le_bytes());
        out.put(exit.to_le_bytes());
        out.put(life.restarts.to_le_bytes());
        out.put(life.run.to_le_bytes());
        out.put(life.lapses.to_le_bytes());
        out.put([0; 6]);
        out.put(life.since.as_micros().to_le_bytes());
        out.put(life.deadline.unwrap_or_default().as_micros().to_le_bytes());
        out.put([0; 8]);
        out.bytes
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` for anything that no service can be like.
    pub fn decode(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let mut read = In { bytes };
        let [version, goal, phase, kind] = read.take()?;
        let [command, announced, step, flags] = read.take()?;
        let pid = u32::from_le_bytes(read.take()?);
        let code = i32::from_le_bytes(read.take()?);
        let restarts = u32::from_le_bytes(read.take()?);
        let run = u32::from_le_bytes(read.take()?);
        let lapses = u16::from_le_bytes(read.take()?);
        let gap: [u8; 6] = read.take()?;
        let since = Instant::from_micros(u64::from_le_bytes(read.take()?));
        let deadline = Instant::from_micros(u64::from_le_bytes(read.take()?));
        let exit = match kind {
            0 => None,
            1 => Some(Exit::Code(code)),
            2 => Some(Exit::Signal(code)),
            3 => Some(Exit::NotSpawned(code)),
            _ => return None,
        };
        let life = Life {
            goal: *GOALS.get(usize::from(goal))?,
            phase: *Phase::ALL.get(usize::from(phase))?,
            pid: (pid != 0).then_some(pid),
            exit,
            restarts,
            lapses,
            since,
            deadline: (flags & 8 != 0).then_some(deadline),
            command: *COMMANDS.get(usize::from(command))?,
            announced: *STATES.get(usize::from(announced))?,
            run,
            step,
            triggered: flags & 1 != 0,
            retry: flags & 2 != 0,
            starved: flags & 4 != 0,
        };
        let tail = read.bytes.iter().chain(&gap).all(|byte| *byte == 0);
        let spare = (exit.is_some() || code == 0) && (life.deadline.is_some() || deadline.as_micros() == 0);
        let known = version == Self::VERSION && flags < 16 && tail && spare;
        (known && life.is_possible()).then_some(Self(life))
    }
}

impl Life {
    /// A service can be like this.
    fn is_possible(&self) -> bool {
        let phase = self.phase;
        let commanded = match self.command {
            Command::None => true,
            Command::Spawn => matches!(phase, Phase::Spawning | Phase::Cancelling),
            Command::Undo => phase == Phase::Reverting,
            Command::Terminate => phase == Phase::Terminating,
            Command::Kill => phase == Phase::Killing,
            Command::Reload => phase == Phase::Ready,
        };
        let timed = match phase {
            Phase::Terminating | Phase::Killing | Phase::Undoing | Phase::Backoff => self.deadline.is_some(),
            Phase::Starting | Phase::Ready => true,
            _ => self.deadline.is_none(),
        };
        let aimed = match self.goal {
            Goal::Start => {
                !matches!(phase, Phase::Waiting | Phase::Spawning | Phase::Starting | Phase::Ready)
            }
            Goal::Up | Goal::Down => !self.starved,
        };
        self.pid.is_some() == phase.has_process()
            && commanded
            && timed
            && aimed
            && (self.step == 0 || phase == Phase::Terminating)
            && usize::from(self.step) < Stop::MOST
            && (!self.triggered || phase == Phase::Waiting)
            && (!self.starved || phase == Phase::Failed)
    }
}

impl<const N: usize, const E: usize> System<N, E> {
    /// How a service stands; `None` if there is no such one.
    pub fn save(&self, service: ServiceId) -> Option<Saved> {
        self.slot(service.0).map(|slot| Saved(slot.life))
    }

    /// The next service that is not as it was when it was named here last, and should be saved; to be called until
    /// `None`, or never.
    pub fn changed(&mut self) -> Option<ServiceId> {
        self.unlist(Lists::CHANGED).map(ServiceId)
    }

    /// Gives a service that was just added the life that it, or one like it, had in another system. Do so after
    /// all services are added and related, and before any input; then tell what happened meanwhile.
    ///
    /// A ticket that was out is void: the service starts, or is undone, as if none had been given. If a process was
    /// made for it that nobody knows of, the driver must end that first. The system's own course is not part of it:
    /// one that was shutting down must be told so again.
    ///
    /// # Errors
    /// There is no such service, or it has been wanted.
    pub fn restore(&mut self, service: ServiceId, saved: Saved) -> Result<(), RestoreError> {
        let slot = self.slot(service.0).ok_or(RestoreError::UnknownService)?;
        let run = slot.life.run;
        if slot.life != (Life { run, ..Life::NEW }) {
            return Err(RestoreError::NotNew);
        }
        self.now = self.now.max(saved.0.since);
        self.alter(service.0, |policy, life| {
            *life = saved.0;
            match life.phase {
                Phase::Spawning => {
                    let goal = if life.goal == Goal::Down { Goal::Down } else { Goal::Start };
                    *life = Life { goal, phase: Phase::Stopped, command: Command::None, ..*life };
                }
                Phase::Cancelling => {
                    *life = Life { phase: Phase::Stopped, command: Command::None, ..*life };
                }
                Phase::Reverting => {
                    *life = Life { phase: Phase::Done, command: Command::None, ..*life };
                }
                _ => {}
            }
            life.suit(policy);
        });
        // Definitions can have changed in between: of two that conflict the one that came first stays.
        let wanted = |other: ServiceId| self.wanted(other.0);
        if wanted(service) && self.opponents(service.0).any(wanted) {
            self.want_down(service.0);
        }
        Ok(())
    }
}

const GOALS: [Goal; 3] = [Goal::Down, Goal::Start, Goal::Up];
const COMMANDS: [Command; 6] =
    [Command::None, Command::Spawn, Command::Undo, Command::Terminate, Command::Kill, Command::Reload];
const STATES: [State; 7] = [
    State::Starting,
    State::Ready,
    State::Stopping,
    State::Stopped,
    State::Failed,
    State::Backoff,
    State::Waiting,
];

/// Where `value` stands among `all`, which has it.
fn place<T: PartialEq>(all: &[T], value: T) -> u8 {
    (0..).zip(all).find(|(_, known)| **known == value).map_or(u8::MAX, |(at, _)| at)
}

struct Out {
    bytes: [u8; Saved::LEN],
    at: usize,
}

impl Out {
    fn put<const L: usize>(&mut self, bytes: [u8; L]) {
        if let Some(place) = self.bytes.get_mut(self.at..self.at + L) {
            place.copy_from_slice(&bytes);
        }
        self.at += L;
    }
}

struct In<'b> {
    bytes: &'b [u8],
}

impl In<'_> {
    fn take<const L: usize>(&mut self) -> Option<[u8; L]> {
        let (bytes, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*bytes)
    }
}
