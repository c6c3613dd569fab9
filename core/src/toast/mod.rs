//! Toasts: short messages for whoever sits in front of the machine.
//!
//! [`Toasts`] is the machine (see the contract at the head of the crate): it decides what is shown, for how
//! long, and in what order. [`Request`] is what a sender asks for; [`decode`] reads it from the payload
//! of `toast.in`, [`encode`] writes what is published. [`View`] is what a presenter draws, be it a terminal
//! or the display of a microcontroller.
//!
//! ```text
//!             replaces ┌──┐                     ┌──┐ replaces
//!                      │  ▼                     │  ▼
//!   toast.in ──► decode ─► waiting ── room ──► shown ─────────► history
//!                │   │        │                               ▲ expired, dismissed, closed
//!                ▼   ▼        └───────────────────────────────┘
//!            {error} {id}       each `──► shown` is a toast.show, each `──► history` a toast.closed
//! ```
//!
//! # Text
//!
//! All text is cleaned by [`Printable`] when it is taken, so no presenter can be made to emit an escape sequence.
//! What is too long is **cut** at a character and ends in `…`: a notice that says most of it is better than
//! none. Names that a program compares (an action's id, an icon) are **refused** when they are too long or
//! hold control characters, for half a name is another name.

pub mod decode;
pub mod encode;
mod queue;
mod request;
mod slot;
pub mod subject;
mod text;

pub use queue::{Event, Input, Timeouts, Toasts, View};
pub use request::{MAX_ACTIONS, Offer, Refusal, Request, Urgency};
pub use slot::{Reason, Stage, Toast, Why};
pub use text::{Lines, Printable, Text};

#[cfg(test)]
mod tests;
