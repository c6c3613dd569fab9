//! Prints the uevent on standard input, one variable a line, whichever of the two forms it has.
//!
//! `cargo run -p lunix-uevent --example dump < uevent/tests/captures/add-net.bin`

use lunix_uevent::{ParseError, Uevent, monitor::Message};
use std::error::Error;
use std::io::{Read, Write, stdin, stdout};

fn main() -> Result<(), Box<dyn Error>> {
    let mut bytes = Vec::new();
    stdin().take(1 << 20).read_to_end(&mut bytes)?;
    match Uevent::parse(&bytes) {
        Ok(uevent) => print(uevent.vars()),
        Err(ParseError::LibudevMessage) => print(Message::parse(&bytes)?.properties()),
        Err(error) => Err(error.into()),
    }
}

fn print<'b>(vars: impl Iterator<Item = (&'b [u8], &'b [u8])>) -> Result<(), Box<dyn Error>> {
    let mut out = stdout().lock();
    for (key, value) in vars {
        writeln!(out, "{}={}", key.escape_ascii(), value.escape_ascii())?;
    }
    Ok(())
}
