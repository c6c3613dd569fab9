//! The Linux daemons of lunix and the command for people, as functions of one library:
//! every program is a [`cli::Command`] table and a `run` that takes what was parsed by it.
// What `Debug` writes is for tests: the size build leaves it out.
#![cfg_attr(not(test), warn(clippy::use_debug))]

pub mod applets;
pub mod bus;
#[cfg(feature = "tls")]
pub mod certificates;
pub mod cli;
pub mod config;
mod credentials;
#[cfg(feature = "commands")]
pub mod ctl;
pub mod encoded;
pub mod escaped;
pub mod log;
#[cfg(any(feature = "natsinit", feature = "natsmount"))]
mod mount_flags;
#[cfg(feature = "natsd")]
pub mod natsd;
#[cfg(feature = "natsdev")]
pub mod natsdev;
#[cfg(feature = "natsinit")]
pub mod natsinit;
#[cfg(feature = "natsmount")]
pub mod natsmount;
#[cfg(feature = "natstoast")]
pub mod natstoast;
pub mod notify;
pub mod reactor;
#[cfg(feature = "commands")]
pub mod schema;
pub mod start;
pub mod sys;
pub mod terminal;
#[cfg(all(feature = "commands", feature = "natsinit"))]
pub mod up;
#[cfg(feature = "upgrade")]
pub mod upgrade;
