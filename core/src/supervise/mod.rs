//! Supervision: services that are started in the order of their needs, watched, restarted and stopped.
//!
//! [`System`] is the machine. It decides; the driver makes processes, sends signals, and says what
//! became of them. The life of a single service is the [table], which is all of it.
//!
//! ```
//! use lunix_core::supervise::{Action, Input, Policy, Relation, State, System};
//! use lunix_core::time::Instant;
//!
//! let mut system: System<4, 4> = System::new();
//! let server = system.add(Policy::default())?;
//! let client = system.add(Policy::default())?;
//! system.relate(client, Relation::Needs, server)?;
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
//!         Action::Undo(_) | Action::Signal { .. } | Action::Announce(_) | Action::Down => {}
//!     }
//! }
//! assert_eq!(started, [server, client]);
//! assert_eq!(system.status(client).map(|report| report.state), Some(State::Ready));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it keeps
//!
//! - A service is spawned only while everything it needs is ready, done or waiting for its trigger, and never while
//!   an earlier process of it may exist. What it wants or comes after has then had its chance.
//! - Of two that conflict never both have a process, or work that is not undone.
//! - A stop that was asked for waits until what needs the service is down; a service that ends by itself
//!   takes nobody along.
//! - What is on its way waits for a process, for time, or for another one of which that is true. What waits in vain,
//!   because something it needs has failed or is stopped, has failed, too; it starts when that is back.
//! - Neither a failure nor what crashes for ever holds up a later stage.
//! - After [`Input::Shutdown`] [`Action::Down`] comes, at the latest when every time-out along the longest
//!   chain of relations and stages has passed; a process that outlives SIGKILL is named by a report and left behind.
//!   Only a process that keeps asking for more time can hold that up, until [`Input::Abort`].
//!
//! # Boot, reload, re-execution
//!
//! At boot the driver adds all services, relates them, and starts what is enabled; it drains
//! [`poll`](System::poll) after the last start, so that stages and orders hold among all of them.
//! [`System::is_settled`] says when that is over. A reload is [`System::set_policy`], [`System::unrelate`] with
//! [`System::relate`], [`System::remove`] and [`System::add`], with a poll at the end.
//! Before a re-execution, or whenever [`System::changed`] names a service, [`System::save`] makes bytes of its life;
//! the next program adds and relates all services, gives them their lives by [`System::restore`], and says what has
//! ended meanwhile.

mod action;
pub mod encode;
pub mod encode_boot;
pub mod encode_log;
mod graph;
mod input;
pub mod notify;
mod policy;
mod saved;
mod service;
mod slot;
mod stages;
mod system;
pub mod table;
#[cfg(test)]
mod tests;

pub use action::{Action, Exit, Input, InputError, Report, ServiceId, SpawnTicket};
pub use graph::{AddError, Cycle, RelateError, Relation, RemoveError};
pub use policy::{Backoff, Kind, Policy, Readiness, Restart, Signal, Stop};
pub use saved::{RestoreError, Saved};
pub use system::System;
pub use table::{Event, Phase, State};
