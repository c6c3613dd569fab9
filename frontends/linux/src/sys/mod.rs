//! What no safe crate asks the kernel for: the only modules of this program with `unsafe`.

pub mod evdev;
pub mod interfaces;
pub mod local_time;
pub mod mapping;
pub mod pages;
pub mod peer;
pub mod signals;
pub mod spawn;
mod tcp_table;
pub mod thread;
pub mod uevent;
