//! What cannot be referenced without being told its types.
//!
//! Read by `build.rs`: `: Type = arguments` says of which type the functions of a generic one are referenced, and
//! `= function` that a function is called below.

use lunix_core::device::table::Identity;
use lunix_core::device::volume::Label;
use lunix_core::mount::Volume;
use lunix_core::slots::Slot;
use lunix_core::supervise::encode_boot::Boot;
use lunix_core::supervise::encode_log::Line;
use lunix_core::time::Instant;
use lunix_core::toast::Toast;
use lunix_proto::Full;
use lunix_proto::nats::{Connect, Info, Message, Publish};
use lunix_proto::ws::handshake::{Accept, Refusal};
use lunix_uevent::{Builder, monitor};

use crate::one;

// : lunix_core::broker::Broker = lunix_core::broker::Arrays<16, 8, 2, 4, 2>
// : lunix_core::broker::Turn = lunix_core::broker::Arrays<16, 8, 2, 4, 2>
// : lunix_core::mount::Volumes = 4
// : lunix_core::session::Session = &'static mut [u8], 4, 4
// : lunix_core::slots::Name = 32
// : lunix_core::supervise::Cycle = 4
// : lunix_core::supervise::System = 4, 8
// : lunix_core::toast::Printable = core::str::Chars<'static>
// : lunix_core::toast::Toasts = 2, 4, 4, 128
// : lunix_core::toast::View = 128
// : lunix_proto::mqtt::List = lunix_proto::mqtt::Property

type Fields<'f> = core::array::IntoIter<(&'f str, &'f [u8]), 2>;

type Vars<'v> = core::slice::Iter<'v, (&'v [u8], &'v [u8])>;

// = lunix_core::device::json::device
fn device(vars: Vars<'_>, out: &mut [u8]) -> Result<usize, Full> {
    lunix_core::device::json::device(b"/devices/a", b"usb", vars.copied(), false, out)
}

// = lunix_core::device::table::Identity::of
fn identity(vars: Vars<'_>) -> Identity {
    Identity::of(vars.copied())
}

// = lunix_core::mount::encode::list
fn volumes(out: &mut [u8], volumes: core::slice::Iter<'_, Volume<'_>>) -> Result<usize, Full> {
    lunix_core::mount::encode::list(out, volumes.copied())
}

// = lunix_core::slots::Slot::of_pair
fn of_pair(slot: Slot, pair: [u8; 2]) -> u8 {
    slot.of_pair(pair)
}

// = lunix_core::supervise::encode_boot::boot
fn boot(
    out: &mut [u8],
    started: Instant,
    services: core::array::IntoIter<Boot<'_, core::array::IntoIter<&str, 2>>, 2>,
) -> Result<usize, Full> {
    lunix_core::supervise::encode_boot::boot(out, started, None, services)
}

// = lunix_core::supervise::encode_log::tail
fn tail(out: &mut [u8], lines: core::slice::Iter<'_, Line<'_>>) -> Result<usize, Full> {
    lunix_core::supervise::encode_log::tail(out, lines.copied())
}

// = lunix_core::toast::encode::list
fn list(out: &mut [u8], toasts: core::slice::Iter<'_, Toast<'_>>, now: Instant) -> Result<usize, Full> {
    lunix_core::toast::encode::list(out, toasts.copied(), now)
}

// = lunix_proto::ws::handshake::check
fn check(fields: Fields<'_>) -> Result<Accept, Refusal> {
    lunix_proto::ws::handshake::check("GET", fields)
}

// = lunix_proto::ws::handshake::is_accepted
fn is_accepted(fields: Fields<'_>) -> bool {
    lunix_proto::ws::handshake::is_accepted(&[0; 16], 101, fields)
}

// = lunix_uevent::Builder::var
fn var<'b>(builder: Builder<'b>, key: &[u8], value: &str) -> Builder<'b> {
    builder.var(key, value)
}

// = lunix_uevent::monitor::Builder::property
fn property<'b>(builder: monitor::Builder<'b>, key: &[u8], value: &str) -> monitor::Builder<'b> {
    builder.property(key, value)
}

pub(crate) fn references() {
    one(device as *const ());
    one(of_pair as *const ());
    one(boot as *const ());
    one(tail as *const ());
    one(identity as *const ());
    one(volumes as *const ());
    one(list as *const ());
    one(check as *const ());
    one(is_accepted as *const ());
    one(var as *const ());
    one(property as *const ());
    // Seen under another name than the one they are written for.
    // = lunix_core::device::volume::Text::as_bytes
    one(Label::as_bytes as *const ());
    // = lunix_core::device::volume::Text::is_empty
    one(Label::is_empty as *const ());
    // = lunix_core::device::volume::Text::whole
    one(Label::whole as *const ());
    // = lunix_core::device::volume::Text::cut
    one(Label::cut as *const ());
    // Made by macros.
    // = lunix_proto::nats::fields!::write
    one(Connect::write as *const ());
    one(Info::write as *const ());
    // = lunix_proto::nats::op!::header
    one(Message::header as *const ());
    one(Publish::header as *const ());
    // = lunix_proto::nats::op!::payload
    one(Message::payload as *const ());
    one(Publish::payload as *const ());
}
