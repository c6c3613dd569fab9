//! Devices that connect and then say nothing: how fast they are let in, what each costs, and whether anybody wakes for them.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use lunix_proto::mqtt::Qos;

use super::device::Device;
use super::server::Server;

/// What came of it.
pub struct Outcome {
    /// Connections made in a second, and the server's processor time for each.
    pub rate: f64,
    pub cpu: Duration,
    /// Bytes for each connection, of each process of the server.
    pub connected: Vec<f64>,
    /// The same once each has subscribed to one topic of all.
    pub subscribed: Vec<f64>,
    /// Wake-ups a second.
    pub wakes: f64,
}

/// Devices that connect at the same time: fewer than any server's backlog.
const CHUNK: usize = 50;

/// Connects `count` devices, and watches them for `time`.
pub fn run(server: &Server, count: usize, time: Duration) -> io::Result<Outcome> {
    settle(server)?;
    let before = memory(server)?;
    let cpu = server.cpu()?;
    let start = Instant::now();
    let mut devices: Vec<Device> = Vec::with_capacity(count);
    while devices.len() < count {
        let first = devices.len();
        for index in first..count.min(first + CHUNK) {
            devices.push(Device::open(server.address, &format!("device-{index:08}"), 0)?);
        }
        devices[first..].iter_mut().try_for_each(Device::welcomed)?;
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    let cpu = (server.cpu()? - cpu).div_f64(count as f64);
    settle(server)?;
    let each = |now: Vec<u64>| {
        let each = now.iter().zip(&before).map(|(now, before)| now.saturating_sub(*before) as f64);
        each.map(|bytes| bytes / count as f64).collect()
    };
    let connected = each(memory(server)?);
    for device in &mut devices {
        device.subscribe("bench/all", Qos::AtMostOnce)?;
        device.subscribed()?;
    }
    settle(server)?;
    let subscribed = each(memory(server)?);
    let sleeps = server.sleeps()?;
    thread::sleep(time);
    let wakes = (server.sleeps()? - sleeps) as f64 / time.as_secs_f64();
    Ok(Outcome { rate, cpu, connected, subscribed, wakes })
}

fn memory(server: &Server) -> io::Result<Vec<u64>> {
    server.processes.iter().map(|process| process.anonymous()).collect()
}

/// Waits until the server rests, or does not look as if it ever would.
fn settle(server: &Server) -> io::Result<()> {
    for _ in 0..10 {
        let before = server.sleeps()?;
        thread::sleep(Duration::from_millis(500));
        if server.sleeps()? == before {
            break;
        }
    }
    Ok(())
}
