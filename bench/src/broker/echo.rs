//! Requests and their replies, one at a time: how long they take, and what they cost the server.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use super::process::Process;
use super::wire::{Address, Wire};

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// At 50, 99 and 99.9 %.
    pub latency: [Duration; 3],
    /// Of the server, for one request.
    pub cpu: Duration,
}

/// Asks for `time`. Requester and responder take turns in one thread, so that nothing but the server is in between.
pub fn run(process: &Process, address: &Address, size: usize, time: Duration) -> io::Result<Outcome> {
    let payload = "x".repeat(size);
    let mut requester = Wire::client(address, "SUB inbox.* 1\r\n")?;
    let mut responder = Wire::client(address, "SUB service 1\r\n")?;
    let request = format!("PUB service inbox.1 {size}\r\n{payload}\r\n");
    let request = address.framed(request.as_bytes());
    let request_seen = format!("MSG service 1 inbox.1 {size}\r\n{payload}\r\n").len();
    let reply = format!("PUB inbox.1 {size}\r\n{payload}\r\n");
    let reply = address.framed(reply.as_bytes());
    let reply_seen = format!("MSG inbox.1 1 {size}\r\n{payload}\r\n").len();
    let mut buffer = vec![0; request_seen.max(reply_seen)];
    let mut times = Vec::with_capacity(1 << 17);
    let mut cpu = process.cpu()?;
    let begin = Instant::now();
    // The first tenth warms everything.
    let (warm, end) = (begin + time / 10, begin + time);
    let mut now = begin;
    while now < end {
        let sent = now;
        requester.write_all(&request)?;
        responder.read_exact(&mut buffer[..request_seen])?;
        responder.write_all(&reply)?;
        requester.read_exact(&mut buffer[..reply_seen])?;
        now = Instant::now();
        if sent < warm && now >= warm {
            times.clear();
            cpu = process.cpu()?;
            now = Instant::now();
            continue;
        }
        times.push(now - sent);
    }
    let cpu = process.cpu()? - cpu;
    if times.is_empty() {
        return Err(io::Error::other("no request was answered in time"));
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Ok(Outcome { latency: [at(0.5), at(0.99), at(0.999)], cpu: cpu.div_f64(times.len() as f64) })
}
