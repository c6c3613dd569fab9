//! The network, as far as it is known before anybody asks: the loopback interface, and those with fixed addresses.

use std::io;

use super::super::files::Interface;
use super::step;
use crate::sys::interfaces;

/// Brings them up. One that is not there yet stays as it is.
pub(super) fn start(wanted: &[Interface]) {
    step("loopback", interfaces::up(b"lo").map(drop));
    for interface in wanted {
        step(&interface.name, configure(interface));
    }
}

fn configure(interface: &Interface) -> io::Result<()> {
    let name = interface.name.as_bytes();
    interfaces::set_address(name, interface.address, interface.prefix)?;
    interfaces::up(name)?;
    interface.gateway.map_or(Ok(()), interfaces::add_gateway)
}
