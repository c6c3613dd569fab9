//! One message at a time, at a rate that leaves the server time to sleep: how long it takes to its subscriber.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use lunix_proto::mqtt::Qos;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::device::Device;
use super::server::Server;

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// At 50 and 99 %.
    pub latency: [Duration; 2],
    /// Of the server, for one message.
    pub cpu: Duration,
}

/// Between two messages.
const PACE: Duration = Duration::from_millis(1);
const TOPIC: &str = "bench/pace";

/// Publishes for `time`, and says when each message came.
pub fn run(server: &Server, qos: Qos, size: usize, time: Duration) -> io::Result<Outcome> {
    let payload = vec![b'x'; size];
    let mut publisher = Device::open(server.address, "publisher", 1)?;
    publisher.welcomed()?;
    let mut subscriber = Device::open(server.address, "subscriber", 1)?;
    subscriber.welcomed()?;
    subscriber.subscribe(TOPIC, qos)?;
    subscriber.subscribed()?;
    let mut buffer = vec![0; 64 << 10];
    let mut times = Vec::new();
    let cpu = server.cpu()?;
    let begin = Instant::now();
    let mut next = begin;
    while begin.elapsed() < time {
        next += PACE;
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let sent = Instant::now();
        publisher.publish(TOPIC, qos, &payload);
        publisher.flush()?;
        let wanted = subscriber.got + 1;
        let mut taken = None;
        // Some servers pass a message with QoS 2 on only when its publisher has released it.
        while taken.is_none() || qos != Qos::AtMostOnce && publisher.free.is_empty() {
            let mut both = [&publisher, &subscriber].map(|device| PollFd::new(device, PollFlags::IN));
            if poll(&mut both, Some(&Timespec { tv_sec: 10, tv_nsec: 0 }))? == 0 {
                return Err(io::Error::other("a message has not come"));
            }
            let [publisher_ready, subscriber_ready] = both.map(|fd| !fd.revents().is_empty());
            if subscriber_ready {
                subscriber.read(&mut buffer)?;
            }
            if subscriber.got == wanted {
                taken.get_or_insert_with(|| sent.elapsed());
            }
            if publisher_ready {
                publisher.read(&mut buffer)?;
            }
        }
        times.extend(taken);
    }
    let cpu = (server.cpu()? - cpu).div_f64(times.len().max(1) as f64);
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Ok(Outcome { latency: [at(0.5), at(0.99)], cpu })
}
