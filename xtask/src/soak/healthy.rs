//! Publishers that count, and subscribers that check.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Ground;
use crate::nats::Client;

const PUBLISHERS: usize = 4;
const SUBSCRIBERS: usize = 8;
const MEMBERS: usize = 3;
/// How long each publisher waits between two messages.
const PACE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Healthy {
    ground: Arc<Stop>,
    publishers: Vec<JoinHandle<Result<u64>>>,
    subscribers: Vec<JoinHandle<Result<u64>>>,
    members: Vec<JoinHandle<Result<Vec<Vec<u64>>>>>,
}

/// Publishers go first, so that what they said can be waited for.
struct Stop {
    /// How many messages each publisher has said; 0 while it goes on.
    said: [AtomicU64; PUBLISHERS],
    over: AtomicU64,
}

/// What came of it.
pub(super) struct Heard {
    published: u64,
    delivered: u64,
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} messages of {PUBLISHERS} publishers, {} deliveries to {SUBSCRIBERS} subscribers and a queue group \
             of {MEMBERS}: none lost, none twice, none out of order",
            self.published, self.delivered
        )
    }
}

pub(super) fn begin(ground: &Ground) -> Result<Healthy> {
    let stop = Arc::new(Stop { said: [const { AtomicU64::new(0) }; PUBLISHERS], over: AtomicU64::new(0) });
    let connect = || Client::connect(ground.port, PATIENCE);
    let mut subscribers = Vec::new();
    for _ in 0..SUBSCRIBERS {
        let mut client = connect()?;
        client.subscribe("soak.*")?;
        let stop = Arc::clone(&stop);
        subscribers.push(thread::spawn(move || in_order(&mut client, &stop)));
    }
    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        let mut client = connect()?;
        client.subscribe("soak.* members")?;
        let stop = Arc::clone(&stop);
        members.push(thread::spawn(move || share(&mut client, &stop)));
    }
    let mut publishers = Vec::new();
    for number in 0..PUBLISHERS {
        let client = connect()?;
        let stop = Arc::clone(&stop);
        publishers.push(thread::spawn(move || publish(client, number, &stop)));
    }
    Ok(Healthy { ground: stop, publishers, subscribers, members })
}

impl Healthy {
    /// Ends the publishers, waits for what they said, and says whether all of it arrived.
    pub(super) fn end(self) -> Result<Heard> {
        self.ground.over.store(1, Ordering::Release);
        let mut published = 0;
        for publisher in self.publishers {
            published += joined(publisher).context("a publisher")?;
        }
        let mut delivered = 0;
        for subscriber in self.subscribers {
            delivered += joined(subscriber).context("a subscriber")?;
        }
        let mut shares: Vec<Vec<u64>> = vec![Vec::new(); PUBLISHERS];
        for member in self.members {
            for (all, part) in shares.iter_mut().zip(joined(member).context("a member of a queue group")?) {
                all.extend(part);
            }
        }
        for (number, (mut all, said)) in shares.into_iter().zip(&self.ground.said).enumerate() {
            all.sort_unstable();
            let said = said.load(Ordering::Acquire);
            if !all.iter().copied().eq(1..=said) {
                bail!("a queue group got {} messages of {said} from publisher {number}", all.len());
            }
            delivered += said;
        }
        Ok(Heard { published, delivered })
    }
}

fn joined<T>(handle: JoinHandle<Result<T>>) -> Result<T> {
    handle.join().map_err(|_| anyhow::anyhow!("has panicked"))?
}

fn publish(mut client: Client, number: usize, stop: &Stop) -> Result<u64> {
    let subject = format!("soak.{number}");
    let mut said = 0;
    while stop.over.load(Ordering::Acquire) == 0 {
        said += 1;
        // Now and then one that fills buffers.
        let length = if said % 50 == 0 { 20_000 } else { 200 };
        client.publish(&subject, &format!("{said} {}", ".".repeat(length)))?;
        thread::sleep(PACE);
    }
    client.flush(PATIENCE)?;
    stop.said[number].store(said, Ordering::Release);
    Ok(said)
}

/// Counts what comes, which must be everything.
fn in_order(client: &mut Client, stop: &Stop) -> Result<u64> {
    let mut last = [0; PUBLISHERS];
    receive(client, stop, |publisher, number, _| {
        if number != last[publisher] + 1 {
            bail!("message {number} of publisher {publisher} came after {}", last[publisher]);
        }
        last[publisher] = number;
        Ok(last)
    })?;
    Ok(last.iter().sum())
}

/// Collects what comes, which must be in order.
fn share(client: &mut Client, stop: &Stop) -> Result<Vec<Vec<u64>>> {
    let mut got = vec![Vec::new(); PUBLISHERS];
    receive(client, stop, |publisher, number, stop| {
        if got[publisher].last().is_some_and(|last| *last >= number) {
            bail!("message {number} of publisher {publisher} came too late");
        }
        got[publisher].push(number);
        // Others get the rest: that it is over is seen by silence.
        let over = stop.said.iter().all(|said| said.load(Ordering::Acquire) > 0);
        Ok(if over { [u64::MAX; PUBLISHERS] } else { [0; PUBLISHERS] })
    })?;
    Ok(got)
}

/// Hands each message to `take`, which answers the last ones it has of each publisher; until it has all.
fn receive(
    client: &mut Client,
    stop: &Stop,
    mut take: impl FnMut(usize, u64, &Stop) -> Result<[u64; PUBLISHERS]>,
) -> Result<()> {
    let mut last = [0; PUBLISHERS];
    let mut since = Instant::now();
    loop {
        let said: Vec<u64> = stop.said.iter().map(|said| said.load(Ordering::Acquire)).collect();
        let over = said.iter().all(|said| *said > 0);
        if over && last.iter().zip(&said).all(|(last, said)| last >= said && *last < u64::MAX) {
            return Ok(());
        }
        match client.next(Instant::now() + Duration::from_secs(5))? {
            Some(message) => {
                since = Instant::now();
                let publisher = message.subject.strip_prefix("soak.").and_then(|text| text.parse().ok());
                let publisher = publisher.filter(|number| *number < PUBLISHERS).context("whose message?")?;
                let text = String::from_utf8_lossy(&message.payload);
                let number = text.split(' ').next().unwrap_or_default().parse().context("which message?")?;
                last = take(publisher, number, stop)?;
            }
            // A member of a group knows only by silence that the rest is others'.
            None if over && last.iter().all(|last| matches!(*last, 0 | u64::MAX)) => return Ok(()),
            None if since.elapsed() > PATIENCE => {
                bail!("nothing comes any more; last were {last:?} of {said:?}")
            }
            None => {}
        }
    }
}
