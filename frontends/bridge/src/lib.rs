//! The bridges from other protocols to NATS, as functions of one library: every program is a `Command` table and a
//! `run` that takes what was parsed by it.
//!
//! What faces other protocols runs on tokio, in one thread; what faces NATS is the [`Bus`](lunix::bus::Bus) of all
//! daemons, whose reactor is to tokio [one more source](upstream).

use lunix::applets::Applet;

mod gone;
#[cfg(feature = "natsmqtt")]
pub mod natsmqtt;
#[cfg(feature = "dbus")]
pub mod natstoast_dbus;
#[cfg(feature = "natsws")]
pub mod natsws;
mod origin;
mod own;
#[cfg_attr(
    not(all(feature = "natsmqtt", feature = "natsws")),
    allow(dead_code, reason = "what the other program needs")
)]
mod request;
mod start;
#[cfg_attr(
    not(all(feature = "natsmqtt", feature = "natsws")),
    allow(dead_code, reason = "what the other program needs")
)]
mod stream;
mod sys;
#[cfg_attr(
    not(all(feature = "natsmqtt", feature = "natsws")),
    allow(dead_code, unused_imports, reason = "what the other program needs")
)]
mod tls;
pub mod upstream;

/// The daemons: each works under its own name, as a symlink to `lunix-bridge`.
pub const DAEMONS: &[Applet] = &[
    #[cfg(feature = "natsmqtt")]
    Applet { command: &natsmqtt::COMMAND, run: natsmqtt::run },
    #[cfg(feature = "natsws")]
    Applet { command: &natsws::COMMAND, run: natsws::run },
    #[cfg(feature = "dbus")]
    Applet { command: &natstoast_dbus::COMMAND, run: natstoast_dbus::run },
];
