//! The broker against scripts, against its limits, and against a naive model.

#![allow(clippy::unwrap_used, reason = "a test")]

mod accounts;
mod bench;
mod delivery;
mod leaf;
mod limits;
mod model;
mod protocol;
mod scale;
mod stall;
mod status;
mod trace;
mod users;
