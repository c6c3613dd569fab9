//! Kernel uevents, libudev monitor messages and modalias matching.
//!
//! The kernel says every change of its device tree over one netlink socket, as one datagram of
//! NUL-terminated strings. This crate reads and writes these datagrams; it opens no socket, allocates
//! nothing, copies nothing, depends on nothing and has no `unsafe`.
//!
//! | module | what it knows |
//! |---|---|
//! | [`Uevent`], [`Action`], [`Builder`] | the kernel's form: `action@devpath\0KEY=VALUE\0…` |
//! | [`monitor`] | libudev's form: a 40-byte header with filter hashes, then the properties |
//! | [`modalias`] | which module drives a device: `modules.alias` patterns, decoded bus identifiers |
//!
//! ```
//! use lunix_uevent::{Action, Uevent};
//!
//! let datagram = b"add@/devices/virtual/mem/null\0ACTION=add\0DEVPATH=/devices/virtual/mem/null\0\
//!                  SUBSYSTEM=mem\0MAJOR=1\0MINOR=3\0DEVNAME=null\0DEVMODE=0666\0SEQNUM=1024\0";
//! let uevent = Uevent::parse(datagram)?;
//! assert_eq!(uevent.action(), Action::Add);
//! assert_eq!(uevent.subsystem(), b"mem");
//! assert_eq!((uevent.major(), uevent.minor()), (Some(1), Some(3)));
//! assert_eq!(uevent.get("DEVNAME"), Some(&b"null"[..]));
//! # Ok::<(), lunix_uevent::ParseError>(())
//! ```
//!
//! # Limits and panics
//!
//! A kernel message has at most [`MAX_MESSAGE`] bytes and [`MAX_VARS`] variables; what is larger is an error,
//! on the way in and on the way out. A libudev message is read at any length and built with at most
//! [`monitor::MAX_MESSAGE`] bytes. No input makes any function of this crate panic, and the work of each is
//! linear in its input, save [`modalias::matches()`], which says its own bound.
//!
//! # Whom to believe
//!
//! Bytes alone cannot prove who sent them. A receiver has to check that the datagram came from netlink port
//! 0, with the credentials of the kernel, and was not truncated, before it believes what this crate reads.
#![no_std]
#![forbid(unsafe_code)]

mod action;
mod builder;
mod message;
pub mod modalias;
pub mod monitor;
mod murmur;

pub use action::Action;
pub use builder::{BuildError, Builder};
pub use message::{MAX_MESSAGE, MAX_VARS, ParseError, Uevent};
