//! What a server is while nothing happens, and how many of a thing it holds.

use std::io::{self, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use super::process::Process;
use super::wire::Wire;

/// Wake-ups a second, and private bytes, with nobody there.
pub fn idle(process: &Process, time: Duration) -> io::Result<(f64, u64)> {
    settle(process)?;
    let before = process.sleeps()?;
    thread::sleep(time);
    Ok(((process.sleeps()? - before) as f64 / time.as_secs_f64(), process.private()?))
}

/// Connects `count` clients that then say nothing: bytes for each, and wake-ups a second.
pub fn connections(process: &Process, count: usize, time: Duration) -> io::Result<(f64, f64)> {
    settle(process)?;
    let before = process.anonymous()?;
    let address = process.address(false);
    let clients: Vec<Wire> = (0..count).map(|_| Wire::client(&address, "")).collect::<io::Result<_>>()?;
    settle(process)?;
    let each = process.anonymous()?.saturating_sub(before) as f64 / count as f64;
    let sleeps = process.sleeps()?;
    thread::sleep(time);
    let wakes = (process.sleeps()? - sleeps) as f64 / time.as_secs_f64();
    drop(clients);
    Ok((each, wakes))
}

/// Makes `count` subscriptions on one connection: how many a second, bytes for each, and the same in processor time.
pub fn subscriptions(
    process: &Process,
    count: usize,
    subject: fn(usize) -> String,
) -> io::Result<(f64, f64, f64)> {
    settle(process)?;
    let before = process.anonymous()?;
    let mut wire = Wire::client(&process.address(false), "")?;
    let mut lines = Vec::new();
    for index in 0..count {
        write!(lines, "SUB {} {}\r\n", subject(index), index + 1)?;
    }
    let cpu = process.cpu()?;
    let start = Instant::now();
    wire.write_all(&lines)?;
    wire.write_all(b"PING\r\n")?;
    let mut seen = Vec::new();
    let mut part = [0; 4096];
    while !seen.windows(4).any(|text| text == b"PONG") {
        match wire.read(&mut part)? {
            0 => return Err(io::Error::other(String::from_utf8_lossy(&seen).into_owned())),
            read => seen.extend_from_slice(&part[..read]),
        }
    }
    let wall = start.elapsed().as_secs_f64();
    let cpu = (process.cpu()? - cpu).as_secs_f64();
    let each = process.anonymous()?.saturating_sub(before) as f64 / count as f64;
    Ok((count as f64 / wall, each, count as f64 / cpu))
}

/// Waits until the server rests, or does not look as if it ever would.
pub fn settle(process: &Process) -> io::Result<()> {
    for _ in 0..20 {
        let before = process.sleeps()?;
        thread::sleep(Duration::from_millis(500));
        if process.sleeps()? == before {
            break;
        }
    }
    Ok(())
}
