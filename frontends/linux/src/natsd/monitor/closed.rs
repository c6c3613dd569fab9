//! The connections that were closed last.

use std::collections::VecDeque;

use lunix_core::broker::ClientStatus;
use lunix_core::time::Instant;

use super::view::About;

/// A connection that is closed.
#[derive(Debug)]
pub(super) struct Closed {
    /// As it was at its end.
    pub(super) status: ClientStatus,
    pub(super) about: Option<Box<About>>,
    /// What its user is called.
    pub(super) user: Box<str>,
    pub(super) stop: Instant,
    pub(super) reason: Box<str>,
}

/// The last ones, as many as there is room for.
#[derive(Debug)]
pub(super) struct Ring {
    room: usize,
    records: VecDeque<Closed>,
    /// The number of the first one.
    first: u64,
}

impl Ring {
    pub(super) fn new(room: usize) -> Self {
        Self { room, records: VecDeque::new(), first: 0 }
    }

    pub(super) fn push(&mut self, record: Closed) {
        if self.room == 0 {
            return;
        }
        if self.records.len() >= self.room {
            self.records.pop_front();
            self.first += 1;
        }
        self.records.push_back(record);
    }

    /// All of them, each with its number, which stays.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Closed)> {
        (self.first..).zip(&self.records)
    }

    /// The one with that number, if it is still there.
    pub(super) fn get(&self, number: u64) -> Option<&Closed> {
        self.records.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use lunix_core::broker::{AccountId, Peer, Traffic};

    use super::*;

    #[test]
    fn the_last_ones_stay() {
        let mut ring = Ring::new(3);
        for number in 0..5 {
            let now = Instant::from_micros(number);
            let status = ClientStatus {
                number,
                peer: Peer::Local,
                connected: true,
                async_info: true,
                admitted: true,
                leaf: false,
                user: None,
                account: AccountId::GLOBAL,
                opened: now,
                heard: now,
                rtt: None,
                pending: 0,
                subscriptions: 0,
                traffic: Traffic::default(),
            };
            ring.push(Closed { status, about: None, user: "".into(), stop: now, reason: "".into() });
        }
        let numbers: Vec<_> = ring.iter().map(|(number, closed)| (number, closed.status.number)).collect();
        assert_eq!(numbers, [(2, 2), (3, 3), (4, 4)]);
        assert!(ring.get(1).is_none() && ring.get(5).is_none());
        assert_eq!(ring.get(4).unwrap().status.number, 4);
    }
}
