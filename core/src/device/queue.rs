//! In which order events are handled, when handling one may take a while.
//!
//! Events of the same device are handled one after the other, and so are those of a device and what it is a part of;
//! everything else need not wait. The rule is udev's: an event waits for an earlier one with
//!
//! - the same device (by number of node or interface, else by subsystem and name),
//! - the same path, or one above or below it; for a device that has moved, the former path counts, too,
//! - the same node.
//!
//! Earlier is what has the smaller `SEQNUM`: the kernel numbers events before it sends them, and two processors may send
//! in the other order.

use lunix_uevent::{Action, Uevent};

use super::name;
use super::table::{FNV, fnv1a};

/// Events that wait or are being handled, each with its message. Memory is the caller's: a [`Slot`] an event, and the
/// bytes of the messages, of which most have 150 to 400 and none more than [`lunix_uevent::MAX_MESSAGE`].
///
/// ```
/// use lunix_core::device::queue::{Pushed, Queue, Slot};
/// let (mut slots, mut bytes) = ([Slot::EMPTY; 8], [0; 2048]);
/// let mut queue = Queue::new(&mut slots, &mut bytes);
/// let message = |seqnum: u32, path: &str| {
///     format!("add@{path}\0ACTION=add\0DEVPATH={path}\0SUBSYSTEM=block\0SEQNUM={seqnum}\0").into_bytes()
/// };
/// for (seqnum, path) in [(1, "/devices/a/sda"), (2, "/devices/a/sda/sda1"), (3, "/devices/b")] {
///     assert_eq!(queue.push(&message(seqnum, path)), Ok(Pushed::Waits));
/// }
/// let disk = queue.begin().unwrap();
/// let other = queue.begin().unwrap();
/// assert!(queue.message(other).starts_with(b"add@/devices/b\0"));
/// assert_eq!(queue.begin(), None); // the partition waits for its disk
/// queue.done(disk);
/// let partition = queue.begin().unwrap();
/// assert!(queue.message(partition).starts_with(b"add@/devices/a/sda/sda1\0"));
/// ```
#[derive(Debug)]
pub struct Queue<'m> {
    slots: &'m mut [Slot],
    used: usize,
    bytes: &'m mut [u8],
    end: usize,
    /// Bytes of all messages.
    taken: usize,
    /// Of the last event.
    number: u64,
}

/// The memory of one event.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    number: u64,
    seqnum: u64,
    /// Hashes; two devices with the same wait for each other without need.
    device: u32,
    node: u32,
    /// Where its message is.
    at: u32,
    len: u16,
    path: Span,
    /// Before it moved; empty if it has not.
    old: Span,
    is_change: bool,
    begun: bool,
    /// For which it waits, as far as is known; 0 for none.
    waits_for: u64,
}

impl Slot {
    /// No event.
    pub const EMPTY: Self = Self {
        number: 0,
        seqnum: 0,
        device: 0,
        node: 0,
        at: 0,
        len: 0,
        path: Span::NOTHING,
        old: Span::NOTHING,
        is_change: false,
        begun: false,
        waits_for: 0,
    };
}

/// Bytes of gaps between messages.
const LARGE_GAPS: usize = 32 << 10;

/// A part of a message.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: u16,
    len: u16,
}

impl Span {
    const NOTHING: Self = Self { from: 0, len: 0 };
}

/// Names an event of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId(u64);

/// What became of a new event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the queue.
    Waits,
    /// There was no room, but an earlier `add` or `change` of the same device still waits, and whoever handles that will
    /// see what has changed.
    Merged,
}

/// Why an event is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// There is no room: others have to be handled first.
    Full,
    /// It is no event.
    Malformed,
}

impl core::fmt::Display for QueueError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Full => "the queue of events is full",
            Self::Malformed => "no event",
        })
    }
}

impl core::error::Error for QueueError {}

impl<'m> Queue<'m> {
    /// An empty queue in this memory.
    pub const fn new(slots: &'m mut [Slot], bytes: &'m mut [u8]) -> Self {
        Self { slots, used: 0, bytes, end: 0, taken: 0, number: 0 }
    }

    /// Events that wait or are being handled.
    pub const fn len(&self) -> usize {
        self.used
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Whether every message of the kernel would find room.
    pub fn has_room(&self) -> bool {
        self.used < self.slots.len() && self.bytes.len() - self.taken >= lunix_uevent::MAX_MESSAGE
    }

    /// Takes in a message of the kernel.
    ///
    /// # Errors
    /// There is no room, or it is none; the queue is as it was.
    pub fn push(&mut self, message: &[u8]) -> Result<Pushed, QueueError> {
        let event = Uevent::parse(message).map_err(|_| QueueError::Malformed)?;
        let len = u16::try_from(message.len()).map_err(|_| QueueError::Malformed)?;
        let full = self.used == self.slots.len() || !self.make_room(message.len());
        if full {
            let merged = event.action() == Action::Change && self.is_expected(event.devpath());
            return if merged { Ok(Pushed::Merged) } else { Err(QueueError::Full) };
        }
        self.number += 1;
        let at = self.end;
        self.bytes.get_mut(at..at + message.len()).ok_or(QueueError::Full)?.copy_from_slice(message);
        self.end = at + message.len();
        self.taken += message.len();
        let newest = self.events().last().map_or(0, |slot| slot.seqnum);
        *self.slots.get_mut(self.used).ok_or(QueueError::Full)? = Slot {
            number: self.number,
            // What has no number comes behind what is there.
            seqnum: event.seqnum().unwrap_or(newest),
            device: device(&event),
            node: event.devname().map_or(0, |node| fnv1a(FNV, node)),
            at: u32::try_from(at).map_err(|_| QueueError::Full)?,
            len,
            path: span(message, event.devpath()),
            old: event.devpath_old().map_or(Span::NOTHING, |old| span(message, old)),
            is_change: matches!(event.action(), Action::Add | Action::Change),
            begun: false,
            waits_for: 0,
        };
        self.used += 1;
        Ok(Pushed::Waits)
    }

    /// The next event that may be handled now. It is being handled until [`done`](Self::done).
    pub fn begin(&mut self) -> Option<EventId> {
        for index in 0..self.used {
            let slot = self.slots.get(index).copied()?;
            if slot.begun || (slot.waits_for != 0 && self.find(slot.waits_for).is_some()) {
                continue;
            }
            let waits_for = self.blocker(&slot).unwrap_or(0);
            let slot = self.slots.get_mut(index)?;
            slot.waits_for = waits_for;
            if waits_for == 0 {
                slot.begun = true;
                return Some(EventId(slot.number));
            }
        }
        None
    }

    /// The message of an event, as it came; empty if there is no such event.
    pub fn message(&self, event: EventId) -> &[u8] {
        self.find(event.0).and_then(|index| self.slots.get(index)).map_or(b"", |slot| self.text(slot))
    }

    /// An event is handled. Answers whether it was in the queue.
    pub fn done(&mut self, event: EventId) -> bool {
        let Some(index) = self.find(event.0) else { return false };
        self.taken -= self.slots.get(index).map_or(0, |slot| usize::from(slot.len));
        self.slots.copy_within(index + 1..self.used, index);
        self.used -= 1;
        if self.used == 0 {
            self.end = 0;
        }
        true
    }

    fn events(&self) -> &[Slot] {
        self.slots.get(..self.used).unwrap_or_default()
    }

    fn text(&self, slot: &Slot) -> &[u8] {
        let at = slot.at as usize;
        self.bytes.get(at..at + usize::from(slot.len)).unwrap_or_default()
    }

    /// Numbers rise along the slots.
    fn find(&self, number: u64) -> Option<usize> {
        self.events().binary_search_by_key(&number, |slot| slot.number).ok()
    }

    fn part(&self, slot: &Slot, span: Span) -> &[u8] {
        let from = usize::from(span.from);
        self.text(slot).get(from..from + usize::from(span.len)).unwrap_or_default()
    }

    /// An earlier event that has to be over first.
    fn blocker(&self, slot: &Slot) -> Option<u64> {
        let (path, old) = (self.part(slot, slot.path), self.part(slot, slot.old));
        let before = |other: &&Slot| {
            other.number != slot.number
                && (other.begun || (other.seqnum, other.number) < (slot.seqnum, slot.number))
        };
        let related = |other: &&Slot| {
            let (other_path, other_old) = (self.part(other, other.path), self.part(other, other.old));
            other.device == slot.device
                || (slot.node != 0 && other.node == slot.node)
                || meet(path, other_path)
                || meet(path, other_old)
                || meet(old, other_path)
        };
        self.events().iter().filter(before).find(related).map(|other| other.number)
    }

    /// Whether an event that waits will bring to light what has changed about a device.
    pub fn is_expected(&self, devpath: &[u8]) -> bool {
        let mut events = self.events().iter().rev();
        let last = events.find(|slot| self.part(slot, slot.path) == devpath);
        last.is_some_and(|slot| slot.is_change && !slot.begun)
    }

    /// Messages lie in the order of their slots; what is handled leaves gaps, which are closed when room is short, or when
    /// they are so large that memory would be touched for their sake alone.
    fn make_room(&mut self, len: usize) -> bool {
        if self.bytes.len() - self.end >= len && self.end - self.taken < LARGE_GAPS {
            return true;
        }
        let mut end = 0;
        for slot in self.slots.get_mut(..self.used).unwrap_or_default() {
            let (at, len) = (slot.at as usize, usize::from(slot.len));
            self.bytes.copy_within(at..at + len, end);
            slot.at = u32::try_from(end).unwrap_or(slot.at);
            end += len;
        }
        self.end = end;
        self.bytes.len() - end >= len
    }
}

/// Which device an event is about, as the database of udev names it.
fn device(event: &Uevent<'_>) -> u32 {
    let number = |kind: &[u8], one: u32, two: u32| {
        fnv1a(fnv1a(fnv1a(FNV, kind), &one.to_le_bytes()), &two.to_le_bytes())
    };
    if let (Some(major), Some(minor)) = (event.major(), event.minor()) {
        let kind: &[u8] = if event.subsystem() == b"block" { b"b" } else { b"c" };
        return number(kind, major, minor);
    }
    if let Some(ifindex) = event.ifindex() {
        return number(b"n", ifindex, 0);
    }
    fnv1a(fnv1a(fnv1a(FNV, event.subsystem()), b":"), name(event.devpath()))
}

/// Whether one is the other, or above it.
fn meet(one: &[u8], other: &[u8]) -> bool {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    !short.is_empty()
        && long.strip_prefix(short).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

/// Where a part of a message is in it.
fn span(message: &[u8], part: &[u8]) -> Span {
    let from = (part.as_ptr() as usize).wrapping_sub(message.as_ptr() as usize);
    let (Ok(from), Ok(len)) = (u16::try_from(from), u16::try_from(part.len())) else { return Span::NOTHING };
    Span { from, len }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    fn message(seqnum: u64, action: &str, path: &str, more: &str) -> Vec<u8> {
        let more = more.replace(' ', "\0");
        format!("{action}@{path}\0ACTION={action}\0DEVPATH={path}\0SUBSYSTEM=s\0{more}\0SEQNUM={seqnum}\0")
            .replace("\0\0", "\0")
            .into_bytes()
    }

    fn queue(slots: usize, bytes: usize) -> Queue<'static> {
        Queue::new(std::vec![Slot::EMPTY; slots].leak(), std::vec![0; bytes].leak())
    }

    fn head(queue: &Queue<'_>, event: EventId) -> String {
        let text = queue.message(event);
        String::from_utf8_lossy(text.split(|byte| *byte == 0).next().unwrap()).into_owned()
    }

    /// All that may be handled at once.
    fn begin(queue: &mut Queue<'_>) -> Vec<(EventId, String)> {
        core::iter::from_fn(|| queue.begin())
            .collect::<Vec<_>>()
            .into_iter()
            .map(|id| (id, head(queue, id)))
            .collect()
    }

    #[test]
    fn related_events_wait_and_others_do_not() {
        for (first, second, related) in [
            (("add", "/devices/a", ""), ("add", "/devices/a/b", ""), true),
            (("add", "/devices/a/b", ""), ("remove", "/devices/a", ""), true),
            (("add", "/devices/a", ""), ("change", "/devices/a", ""), true),
            (("add", "/devices/a/b", ""), ("add", "/devices/a/c", ""), false),
            (("add", "/devices/a/b", ""), ("add", "/devices/a/bc", ""), false),
            (("add", "/devices/x/n", ""), ("add", "/devices/y/n", ""), true),
            (("add", "/devices/a", "MAJOR=8 MINOR=1"), ("add", "/devices/b", "MAJOR=8 MINOR=1"), true),
            (("add", "/devices/a", "MAJOR=8 MINOR=1"), ("add", "/devices/b", "MAJOR=8 MINOR=2"), false),
            (("add", "/devices/a", "IFINDEX=3"), ("add", "/devices/b", "IFINDEX=3"), true),
            (("add", "/devices/a", "DEVNAME=x"), ("add", "/devices/b", "DEVNAME=x"), true),
            (("move", "/devices/new", "DEVPATH_OLD=/devices/old"), ("add", "/devices/old/c", ""), true),
            (("add", "/devices/old/c", ""), ("move", "/devices/new", "DEVPATH_OLD=/devices/old"), true),
            (("move", "/devices/new", "DEVPATH_OLD=/devices/old"), ("add", "/devices/other", ""), false),
        ] {
            let mut queue = queue(4, 4096);
            queue.push(&message(1, first.0, first.1, first.2)).unwrap();
            queue.push(&message(2, second.0, second.1, second.2)).unwrap();
            let begun = begin(&mut queue);
            assert_eq!(begun.len(), if related { 1 } else { 2 }, "{first:?} {second:?}");
            assert_eq!(begun[0].1, format!("{}@{}", first.0, first.1));
            queue.done(begun[0].0);
            assert_eq!(begin(&mut queue).len(), usize::from(related));
        }
    }

    #[test]
    fn numbers_decide_and_not_arrival() {
        let mut queue = queue(8, 4096);
        queue.push(&message(7, "remove", "/devices/a", "")).unwrap();
        queue.push(&message(6, "add", "/devices/a", "")).unwrap();
        let first = begin(&mut queue);
        assert_eq!(first.iter().map(|(_, head)| head.as_str()).collect::<Vec<_>>(), ["add@/devices/a"]);
        // What has begun cannot be overtaken any more.
        queue.push(&message(5, "change", "/devices/a", "")).unwrap();
        assert!(begin(&mut queue).is_empty());
        queue.done(first[0].0);
        let next = begin(&mut queue);
        assert_eq!(next[0].1, "change@/devices/a");
        queue.done(next[0].0);
        assert_eq!(begin(&mut queue)[0].1, "remove@/devices/a");
    }

    #[test]
    fn what_finds_no_room_is_merged_or_refused() {
        let mut queue = queue(2, 4096);
        queue.push(&message(1, "add", "/devices/a", "")).unwrap();
        queue.push(&message(2, "add", "/devices/b", "")).unwrap();
        assert!(!queue.has_room());
        let change = |path| message(3, "change", path, "");
        assert_eq!(queue.push(&change("/devices/a")), Ok(Pushed::Merged));
        assert_eq!(queue.push(&change("/devices/c")), Err(QueueError::Full));
        assert_eq!(queue.push(&message(3, "remove", "/devices/a", "")), Err(QueueError::Full));
        // Whoever handles it may have looked already.
        let begun = begin(&mut queue);
        assert_eq!(queue.push(&change("/devices/a")), Err(QueueError::Full));
        assert!(queue.done(begun[0].0) && !queue.done(begun[0].0));
        assert_eq!(queue.message(begun[0].0), b"");
        assert_eq!(queue.push(&change("/devices/a")), Ok(Pushed::Waits));
        assert_eq!(queue.push(b"nonsense"), Err(QueueError::Malformed));
    }

    #[test]
    fn room_that_was_left_is_used_again() {
        let one = message(1, "add", "/devices/a", "").len();
        let mut queue = queue(8, 3 * one + 8);
        let path = |number: u64| format!("/devices/{}", char::from(b'a' + (number % 26) as u8));
        for number in 1..=3 {
            queue.push(&message(number, "add", &path(number), "")).unwrap();
        }
        for number in 4..60 {
            assert_eq!(queue.push(&message(number % 9 + 1, "add", "/devices/zz", "")), Err(QueueError::Full));
            let begun = queue.begin().unwrap();
            assert_eq!(head(&queue, begun), format!("add@{}", path(number - 3)));
            queue.done(begun);
            queue.push(&message(number % 9 + 1, "add", &path(number), "")).unwrap();
            assert_eq!(queue.len(), 3);
        }
    }
}
