//! System calls that no safe crate offers: the only modules of this program with `unsafe`.

pub mod interfaces;
pub mod local_time;
pub mod peer;
pub mod signals;
pub mod spawn;
pub mod uevent;
