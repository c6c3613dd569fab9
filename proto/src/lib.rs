//! Wire codecs of lunix: the NATS client protocol ([`nats`]), MQTT ([`mqtt`]), WebSocket ([`ws`]) and JSON ([`json`]).
//!
//! Decoders borrow from the caller's bytes and never copy, encoders write into the caller's slice and
//! answer [`Full`] when it is too short. Nothing here allocates, nothing panics, whatever the input.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod json;
pub mod mqtt;
pub mod nats;
pub mod nkey;
mod out;
pub mod ws;

/// An encoder's output did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// The length in bytes of the whole output, were there room for it.
    pub needed: usize,
}

impl core::fmt::Display for Full {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the output needs {} bytes", self.needed)
    }
}

impl core::error::Error for Full {}
