//! Supervision: services that are started in the order of their needs, watched, restarted and stopped.
//!
//! [`System`] is the machine. It decides; the driver makes processes, sends signals, and says what
//! became of them. The life of a single service is the [table], which is all of it.
//!
//! ```
//! use lunix_core::supervise::{Action, Input, Policy, State, System};
//! use lunix_core::time::Instant;
//!
//! let mut system: System<4, 4> = System::new();
//! let server = system.add(Policy::default())?;
//! let client = system.add(Policy::default())?;
//! system.need(client, server)?;
//!
//! let now = Instant::from_micros(0);
//! system.handle(now, Input::Start(client))?;
//! let mut started = Vec::new();
//! while let Some(action) = system.poll() {
//!     match action {
//!         Action::Spawn(ticket) => {
//!             started.push(ticket.service());
//!             system.handle(now, Input::Spawned { ticket, pid: 100 })?;
//!         }
//!         Action::Signal { .. } | Action::Announce(_) | Action::Down => {}
//!     }
//! }
//! assert_eq!(started, [server, client]);
//! assert_eq!(system.status(client).map(|report| report.state), Some(State::Ready));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it keeps
//!
//! - A service is spawned only while everything it needs is ready, and never while an earlier process of it
//!   may exist.
//! - A stop that was asked for waits until what needs the service is down; a service that ends by itself
//!   takes nobody along.
//! - After [`Input::Shutdown`] [`Action::Down`] comes, at the latest when every time-out along the longest
//!   chain of needs has passed; a process that outlives SIGKILL is named by a report and left behind.

pub mod encode;
pub mod notify;
mod policy;
mod service;
mod system;
pub mod table;
#[cfg(test)]
mod tests;

pub use policy::{Backoff, Policy, Readiness, Restart, Signal};
pub use system::{
    Action, AddError, Cycle, Exit, Input, InputError, NeedError, Report, ServiceId, SpawnTicket, System,
};
pub use table::{Event, Phase, State};
