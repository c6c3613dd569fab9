//! What lunix decides, as passive machines: broker, client session, devices, volumes, toasts, supervision.
//!
//! # The contract of every machine
//!
//! A machine is a plain struct. It reads no clock, opens no file, sends no byte, logs nothing and
//! calls nobody back. Its driver (a daemon on Linux, a firmware loop, a test) does this and only this:
//!
//! 1. `handle(now, input)` tells the machine what happened. Every machine documents how many actions
//!    one input can cause at most.
//! 2. `poll()` is drained to `None` after **every** `handle`; each action is carried out. A driver that
//!    skips this sees stale behaviour, never undefined behaviour.
//! 3. `next_deadline()` says when to call `handle(now, Tick)` if nothing else happens; `None` means that
//!    the driver may sleep for ever.
//! 4. What makes bytes has an `encode` that writes into the caller's `&mut [u8]` and answers `Full`
//!    when it does not fit, leaving the machine as it was.
//!
//! Errors say whose fault it is: the caller's, the peer's, or a lack of room.
#![no_std]
#![forbid(unsafe_code)]

pub mod broker;
pub mod device;
pub mod machine;
pub mod micro;
pub mod mount;
pub mod session;
pub mod slots;
pub mod supervise;
pub mod time;
pub mod toast;
pub mod utc;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
