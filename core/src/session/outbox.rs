//! The bytes on their way to the server, whole frames in one caller-given buffer.
//!
//! ```text
//! memory  | dead | frame · frame · fra|me · frame · frame | free |
//!                ^ start              ^ head              ^ end
//! ```
//!
//! `start..end` is tiled by whole frames; `head` is what the transport has not taken yet. A frame is
//! dead once `head` has passed its end. A connection that breaks in the middle of a frame leaves that
//! frame unexecuted at the server (its last bytes never came), so it is sent again whole. The borders
//! between frames are found again by reading the control lines, which costs nothing on the way out.

use lunix_proto::Full;

/// How many messages and bytes were given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

/// What a frame is, as far as the buffer must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// PUB: header block + payload have this many bytes.
    Publish { body: usize },
    /// HPUB, likewise.
    PublishWithHeader { body: usize },
    /// SUB, UNSUB, PING, PONG: means something on this connection only.
    Control,
}

/// One fraction of the buffer that an overflow frees at least, so that a flood into a full buffer
/// does not move all of it for every message.
const STRIDE: usize = 16;

#[derive(Debug)]
pub(super) struct Outbox<B> {
    memory: B,
    start: usize,
    head: usize,
    end: usize,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Outbox<B> {
    pub(super) const fn new(memory: B) -> Self {
        Self { memory, start: 0, head: 0, end: 0 }
    }

    pub(super) fn memory_mut(&mut self) -> &mut B {
        &mut self.memory
    }

    pub(super) fn capacity(&self) -> usize {
        self.memory.as_ref().len()
    }

    /// First byte after what must stay in place; memory beyond it may be cut off.
    pub(super) const fn end(&self) -> usize {
        self.end
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.head == self.end
    }

    pub(super) fn unsent(&self) -> &[u8] {
        self.memory.as_ref().get(self.head..self.end).unwrap_or_default()
    }

    pub(super) fn sent(&mut self, count: usize) {
        self.head = self.head.saturating_add(count).min(self.end);
        if self.is_empty() {
            (self.start, self.head, self.end) = (0, 0, 0);
        }
    }

    /// Makes sure that `length` bytes can be appended, moving the live frames to the front if that is what it takes.
    pub(super) fn reserve(&mut self, length: usize) -> Result<(), Full> {
        if length > self.capacity().saturating_sub(self.end) {
            self.bury_the_dead();
        }
        let needed = self.end.saturating_add(length);
        if needed > self.capacity() { Err(Full { needed }) } else { Ok(()) }
    }

    /// Appends what `encode` writes, which is at most `length` bytes.
    pub(super) fn append(
        &mut self,
        length: usize,
        encode: impl FnOnce(&mut [u8]) -> Result<usize, Full>,
    ) -> Result<(), Full> {
        self.reserve(length)?;
        let (end, needed) = (self.end, self.end.saturating_add(length));
        let room = self.memory.as_mut().get_mut(end..needed).ok_or(Full { needed })?;
        self.end = end.saturating_add(encode(room)?.min(length));
        Ok(())
    }

    /// Gives up the oldest unsent publishes until `length` more bytes fit, or none is left.
    pub(super) fn make_room(&mut self, length: usize) -> Tally {
        self.bury_the_dead();
        let missing = length.saturating_sub(self.capacity().saturating_sub(self.end));
        if missing == 0 || length > self.capacity() {
            return Tally::default();
        }
        let goal = missing.max(self.end.saturating_sub(self.head) / STRIDE);
        let mut freed = 0;
        self.retain(self.border_after_head(), |frame, length| {
            let keep = frame == Frame::Control || freed >= goal;
            freed += if keep { 0 } else { length };
            keep
        })
    }

    /// After the connection broke: what the server cannot have executed stays, if it is a publish.
    pub(super) fn keep_unsent_publishes(&mut self) {
        self.start = self.border_before_head();
        self.head = self.start;
        self.retain(self.start, |frame, _| frame != Frame::Control);
    }

    /// A new server may take less than the one for which the publishes were made.
    pub(super) fn keep_acceptable(&mut self, max_payload: usize, headers: bool) -> Tally {
        self.retain(self.border_after_head(), |frame, _| match frame {
            Frame::Publish { body } => body <= max_payload,
            Frame::PublishWithHeader { body } => headers && body <= max_payload,
            Frame::Control => true,
        })
    }

    /// Walks the frames of `from..end`, `from` being a border, and closes up over those not kept.
    fn retain(&mut self, from: usize, mut keep: impl FnMut(Frame, usize) -> bool) -> Tally {
        let memory = self.memory.as_mut();
        let (mut at, mut to, mut gone) = (from, from, Tally::default());
        while at < self.end {
            let (frame, length) = frame(memory.get(at..self.end).unwrap_or_default());
            if keep(frame, length) {
                if at != to && at.saturating_add(length) <= memory.len() {
                    memory.copy_within(at..at + length, to);
                }
                to += length;
            } else if frame != Frame::Control {
                gone.messages += 1;
                gone.bytes += length as u64;
            }
            at += length;
        }
        self.end = to;
        if self.is_empty() {
            (self.start, self.head, self.end) = (0, 0, 0);
        }
        gone
    }

    /// The border at or before `head`: the start of the frame that is on its way.
    fn border_before_head(&self) -> usize {
        let mut at = self.start;
        while at < self.head {
            let next = at + frame(self.memory.as_ref().get(at..self.end).unwrap_or_default()).1;
            if next > self.head {
                break;
            }
            at = next;
        }
        at
    }

    /// The border at or after `head`: the first frame of which nothing was sent.
    fn border_after_head(&self) -> usize {
        let at = self.border_before_head();
        if at == self.head {
            return at;
        }
        at + frame(self.memory.as_ref().get(at..self.end).unwrap_or_default()).1
    }

    /// Moves the live frames to the front. Worth it only when much is dead beside what must move.
    fn bury_the_dead(&mut self) {
        self.start = self.border_before_head();
        if self.start == 0 || self.start.saturating_mul(STRIDE) < self.end - self.start {
            return;
        }
        self.memory.as_mut().copy_within(self.start..self.end, 0);
        self.head -= self.start;
        self.end -= self.start;
        self.start = 0;
    }
}

/// Kind and length of the frame at the start of `bytes`, which this crate has encoded itself: one
/// control line, and for PUB and HPUB as many bytes as its last number says, and CRLF.
fn frame(bytes: &[u8]) -> (Frame, usize) {
    let line = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| at + 1);
    let verb = bytes.first().copied().unwrap_or_default();
    let is_publish = verb == b'H' || bytes.starts_with(b"PUB");
    if !is_publish {
        return (Frame::Control, line.max(1));
    }
    let digits = bytes.get(..line.saturating_sub(2)).unwrap_or_default();
    let first = digits.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |at| at + 1);
    let body =
        digits.get(first..).unwrap_or_default().iter().fold(0_usize, |number, digit| {
            number.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
        });
    let kind = if verb == b'H' { Frame::PublishWithHeader { body } } else { Frame::Publish { body } };
    (kind, line.saturating_add(body).saturating_add(2).min(bytes.len()).max(1))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{format, string::String, vec, vec::Vec};

    fn put(outbox: &mut Outbox<Vec<u8>>, text: &str) -> Result<(), Full> {
        outbox.append(text.len(), |room| {
            room.copy_from_slice(text.as_bytes());
            Ok(text.len())
        })
    }

    fn publish(text: &str) -> String {
        format!("PUB a.b {}\r\n{text}\r\n", text.len())
    }

    fn unsent(outbox: &Outbox<Vec<u8>>) -> String {
        String::from_utf8(outbox.unsent().to_vec()).unwrap()
    }

    #[test]
    fn a_frame_knows_its_kind_and_length() {
        assert_eq!(frame(b"PING\r\nPUB"), (Frame::Control, 6));
        assert_eq!(frame(b"UNSUB 12 3\r\n"), (Frame::Control, 12));
        assert_eq!(frame(b"PUB a r 5\r\nhello\r\nPING\r\n"), (Frame::Publish { body: 5 }, 18));
        assert_eq!(
            frame(b"HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"),
            (Frame::PublishWithHeader { body: 14 }, 30)
        );
        assert_eq!(frame(b"").1, 1, "progress even where there is nothing");
    }

    #[test]
    fn cut_at_every_byte_no_publish_is_lost_that_was_not_sent_whole() {
        let frames = [&*publish("one"), "SUB x 1\r\n", &publish(""), "PING\r\n", &publish("three")];
        let whole = frames.concat();
        for cut in 0..=whole.len() {
            let mut outbox = Outbox::new(vec![0; 200]);
            for text in frames {
                put(&mut outbox, text).unwrap();
            }
            outbox.sent(cut);
            outbox.keep_unsent_publishes();
            let (mut at, mut expected) = (0, String::new());
            for text in frames {
                at += text.len();
                if at > cut && text.starts_with("PUB") {
                    expected.push_str(text);
                }
            }
            assert_eq!(unsent(&outbox), expected, "cut at {cut}");
        }
    }

    #[test]
    fn overflow_gives_up_the_oldest_and_counts_them() {
        let mut outbox = Outbox::new(vec![0; 64]);
        for text in ["1", "2", "3", "4"] {
            put(&mut outbox, &publish(text)).unwrap();
        }
        put(&mut outbox, "PING\r\n").unwrap();
        assert!(put(&mut outbox, &publish("5")).is_err());
        let gone = outbox.make_room(publish("5").len());
        assert_eq!(gone, Tally { messages: 1, bytes: publish("1").len() as u64 });
        put(&mut outbox, &publish("5")).unwrap();
        assert_eq!(
            unsent(&outbox),
            [&*publish("2"), &publish("3"), &publish("4"), "PING\r\n", &publish("5")].concat()
        );
    }

    #[test]
    fn overflow_never_touches_the_frame_on_its_way() {
        let mut outbox = Outbox::new(vec![0; 30]);
        put(&mut outbox, &publish("1")).unwrap();
        put(&mut outbox, &publish("2")).unwrap();
        outbox.sent(3);
        outbox.make_room(publish("3").len());
        put(&mut outbox, &publish("3")).unwrap();
        assert_eq!(unsent(&outbox), [&publish("1")[3..], &publish("3")].concat());
    }

    #[test]
    fn what_can_never_fit_costs_nothing_that_is_there() {
        let mut outbox = Outbox::new(vec![0; 30]);
        put(&mut outbox, &publish("1")).unwrap();
        assert_eq!(outbox.make_room(31), Tally::default());
        assert_eq!(unsent(&outbox), publish("1"));
    }

    #[test]
    fn a_smaller_server_gets_only_what_it_takes() {
        let mut outbox = Outbox::new(vec![0; 200]);
        let header = "HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n";
        for text in [&*publish("long enough"), &publish("ok"), header] {
            put(&mut outbox, text).unwrap();
        }
        assert_eq!(outbox.keep_acceptable(5, false).messages, 2);
        assert_eq!(unsent(&outbox), publish("ok"));
    }

    #[test]
    fn sent_frames_make_room_again() {
        let mut outbox = Outbox::new(vec![0; 40]);
        for round in 0..50 {
            put(&mut outbox, &publish(&format!("{:02}", round % 100))).unwrap();
            put(&mut outbox, "PING\r\n").unwrap();
            outbox.sent(outbox.unsent().len() - 3);
            outbox.sent(3);
        }
        assert!(outbox.is_empty());
    }
}
