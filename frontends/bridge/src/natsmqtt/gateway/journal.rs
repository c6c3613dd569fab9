//! What of the gateway's state has changed since it was last on disk, and what waits until it is.
//!
//! Changes are gathered by record, so that what came and went in between is never written and there is never more to write than
//! there is state. They are [cut](Journal::cut) where nothing is half done; all cuts that there are then become one
//! [`Batch`], which the store commits as a whole while the next is gathered.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use tokio::sync::Notify;

use super::Pending;
use super::link::{Link, LinkId};
use super::message::Message;
use super::record::Key;
use super::session::{Delivery, Session, SessionId};

/// Counts cuts.
pub(super) type Point = u64;

/// Records to write, and those to remove.
#[derive(Debug, Default)]
pub(in crate::natsmqtt) struct Batch(BTreeMap<Key, Write>);

#[derive(Debug)]
struct Write {
    /// None removes the record.
    value: Option<Vec<u8>>,
    /// The store has none of that name.
    is_new: bool,
}

impl Batch {
    /// Keys and values; without a value the record is to be removed.
    pub(in crate::natsmqtt) fn iter(&self) -> impl Iterator<Item = (Vec<u8>, Option<&[u8]>)> {
        self.0.iter().map(|(key, write)| (key.encode(), write.value.as_deref()))
    }

    fn put(&mut self, key: Key, value: Option<Vec<u8>>, is_new: bool) {
        let is_new = is_new || self.0.get(&key).is_some_and(|before| before.is_new);
        match (value, is_new) {
            (None, true) => _ = self.0.remove(&key),
            (value, is_new) => _ = self.0.insert(key, Write { value, is_new }),
        }
    }

    /// Adds what was to be written before this and was not.
    fn put_before(&mut self, earlier: Self) {
        for (key, write) in earlier.0 {
            match self.0.remove(&key) {
                Some(later) => self.put(key, later.value, later.is_new || write.is_new),
                None => _ = self.0.insert(key, write),
            }
        }
    }
}

/// The changes.
#[derive(Debug)]
pub(super) struct Journal {
    /// Wakes who writes; there is none without a store.
    wake: Option<Rc<Notify>>,
    /// Records that have changed since the last cut, and whether the store has none of that name.
    changed: BTreeMap<Key, bool>,
    batch: Batch,
    /// There is more in the batch than what could not be written before.
    is_fresh: bool,
    /// Cuts so far.
    cuts: Point,
    /// What is being written: all cuts up to this.
    writing: Option<Point>,
    /// Messages that are written or to be, and the deliveries that have them.
    messages: HashMap<u64, (Rc<Message>, usize)>,
    /// What is answered once it is on disk.
    waiting: VecDeque<(Point, Pending)>,
    /// Connections that have something to hear then.
    held: VecDeque<(Point, LinkId)>,
}

impl Journal {
    /// Without a store, nothing is noted and nothing waits.
    pub(super) fn new(wake: Option<Rc<Notify>>) -> Self {
        Self {
            wake,
            changed: BTreeMap::new(),
            batch: Batch::default(),
            is_fresh: false,
            cuts: 0,
            writing: None,
            messages: HashMap::new(),
            waiting: VecDeque::new(),
            held: VecDeque::new(),
        }
    }

    /// There is a store.
    pub(super) const fn is_on(&self) -> bool {
        self.wake.is_some()
    }

    /// A record is new.
    pub(super) fn add(&mut self, key: Key) {
        self.note(key, true);
    }

    /// A record has changed, or there is none any more.
    pub(super) fn change(&mut self, key: Key) {
        self.note(key, false);
    }

    fn note(&mut self, key: Key, is_new: bool) {
        if let Some(wake) = &self.wake {
            self.changed.entry(key).or_insert(is_new);
            wake.notify_one();
        }
    }

    /// A message has found room in a session that is kept.
    pub(super) fn add_delivery(&mut self, session: SessionId, delivery: &Delivery) {
        if !self.is_on() {
            return;
        }
        let number = delivery.message.number;
        let entry = self.messages.entry(number).or_insert_with(|| (delivery.message.clone(), 0));
        entry.1 += 1;
        if entry.1 == 1 {
            self.add(Key::Message(number));
        }
        self.add(Key::Delivery(session, delivery.number));
    }

    /// A delivery is over.
    pub(super) fn end_delivery(&mut self, session: SessionId, delivery: &Delivery) {
        self.change(Key::Delivery(session, delivery.number));
        let number = delivery.message.number;
        if let Some(entry) = self.messages.get_mut(&number) {
            entry.1 -= 1;
            if entry.1 == 0 {
                self.messages.remove(&number);
                self.change(Key::Message(number));
            }
        }
    }

    /// A session is to be kept no longer, with all that belongs to it.
    pub(super) fn end_session(&mut self, id: SessionId, session: &Session) {
        self.change(Key::Session(id));
        session.subscriptions.keys().for_each(|filter| self.change(Key::Subscription(id, filter.clone())));
        session.received.iter().for_each(|packet_id| self.change(Key::Received(id, *packet_id)));
        session.outbound.deliveries().for_each(|delivery| self.end_delivery(id, delivery));
    }

    /// A delivery that is on disk already.
    pub(super) fn restore_delivery(&mut self, message: &Rc<Message>) {
        self.messages.entry(message.number).or_insert_with(|| (message.clone(), 0)).1 += 1;
    }

    pub(super) fn message(&self, number: u64) -> Option<&Rc<Message>> {
        self.messages.get(&number).map(|(message, _)| message)
    }

    /// What has to be on disk so that all is that has happened so far; `None` if it is.
    pub(super) fn point(&self) -> Option<Point> {
        match (self.changed.is_empty(), self.is_fresh) {
            (false, _) => Some(self.cuts + 1),
            (true, true) => Some(self.cuts),
            (true, false) => self.writing,
        }
    }

    /// What is said on a connection from here on is heard once all that has happened so far is on disk.
    pub(super) fn hold(&mut self, id: LinkId, link: &mut Link) {
        if let Some(point) = self.point()
            && link.hold(point)
        {
            self.held.push_back((point, id));
        }
    }

    /// Puts an answer off until then; `None` if it is put off.
    pub(super) fn wait(&mut self, pending: Pending) -> Option<Pending> {
        let Some(point) = self.point() else { return Some(pending) };
        self.waiting.push_back((point, pending));
        None
    }

    /// All that has changed so far is to be written together, or with what comes; `record` says what a record is now.
    pub(super) fn cut(&mut self, mut record: impl FnMut(&Self, &Key) -> Option<Vec<u8>>) {
        if self.changed.is_empty() {
            return;
        }
        for (key, is_new) in std::mem::take(&mut self.changed) {
            let value = record(self, &key);
            self.batch.put(key, value, is_new);
        }
        self.cuts += 1;
        self.is_fresh = true;
        self.wake.iter().for_each(|wake| wake.notify_one());
    }

    /// What to write, unless something is being written. What could not be written is tried again with what comes.
    pub(super) fn take(&mut self) -> Option<Batch> {
        if self.writing.is_some() || !std::mem::take(&mut self.is_fresh) {
            return None;
        }
        self.writing = Some(self.cuts);
        Some(std::mem::take(&mut self.batch))
    }

    /// What could not be written is to be tried again.
    pub(super) fn retry(&mut self) {
        if !self.batch.0.is_empty() {
            self.is_fresh = true;
            self.wake.iter().for_each(|wake| wake.notify_one());
        }
    }

    /// What was taken is written, or given back: up to where is it answered?
    pub(super) fn written(&mut self, given_back: Option<Batch>) -> Point {
        given_back.into_iter().for_each(|batch| self.batch.put_before(batch));
        self.writing.take().unwrap_or(self.cuts)
    }

    pub(super) fn next_waiting(&mut self, point: Point) -> Option<Pending> {
        self.waiting.pop_front_if(|(until, _)| *until <= point).map(|(_, pending)| pending)
    }

    pub(super) fn next_held(&mut self, point: Point) -> Option<LinkId> {
        self.held.pop_front_if(|(until, _)| *until <= point).map(|(_, link)| link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Journal {
        Journal::new(Some(Rc::default()))
    }

    fn cut(journal: &mut Journal, value: Option<&str>) {
        journal.cut(|_, _| value.map(|value| value.as_bytes().to_vec()));
    }

    fn words(batch: &Batch) -> Vec<String> {
        let word = |(key, write): (&Key, &Write)| {
            let value = write.value.as_deref().map(String::from_utf8_lossy);
            format!("{key:?} {}", value.as_deref().unwrap_or("-"))
        };
        batch.0.iter().map(word).collect()
    }

    #[test]
    fn what_came_and_went_is_not_written() {
        let mut journal = journal();
        journal.add(Key::Message(1));
        journal.change(Key::Message(1));
        cut(&mut journal, None);
        journal.add(Key::Message(2));
        cut(&mut journal, Some("2"));
        journal.change(Key::Message(2));
        cut(&mut journal, None);
        journal.change(Key::Message(3));
        cut(&mut journal, None);
        assert_eq!(words(&journal.take().unwrap()), ["Message(3) -"]);
    }

    #[test]
    fn a_point_is_reached_when_all_before_it_is_written() {
        let mut journal = journal();
        assert_eq!(journal.point(), None);
        journal.add(Key::Message(1));
        let first = journal.point().unwrap();
        cut(&mut journal, Some("1"));
        assert_eq!(journal.point(), Some(first));
        journal.add(Key::Message(2));
        let second = journal.point().unwrap();
        assert!(second > first);
        assert_eq!(words(&journal.take().unwrap()), ["Message(1) 1"]);
        assert!(journal.take().is_none(), "one at a time");
        assert_eq!((journal.written(None), journal.point()), (first, Some(second)));
        cut(&mut journal, Some("2"));
        assert!(journal.take().is_some());
        assert_eq!((journal.written(None), journal.point()), (second, None));
    }

    #[test]
    fn what_could_not_be_written_is_written_with_what_comes() {
        let mut journal = journal();
        for number in 1..=3 {
            journal.add(Key::Message(number));
        }
        cut(&mut journal, Some("first"));
        let batch = journal.take().unwrap();
        journal.change(Key::Message(2));
        cut(&mut journal, None);
        journal.change(Key::Message(3));
        cut(&mut journal, Some("second"));
        journal.written(Some(batch));
        assert_eq!(words(&journal.take().unwrap()), ["Message(1) first", "Message(3) second"]);
        let batch = Batch::default();
        journal.written(Some(batch));
        assert!(journal.take().is_none(), "and not before");
        assert_eq!(journal.point(), None, "and nobody waits for it");
    }
}
