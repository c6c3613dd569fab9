//! A message to one of its receivers: the head is made here, the body stays where the publisher's bytes are.

use lunix_proto::Full;

use super::client::ClientId;
use super::control::Sid;

/// A message for one receiver.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    pub(super) to: ClientId,
    pub(super) subject: &'a [u8],
    pub(super) reply: Option<&'a [u8]>,
    pub(super) sid: Sid<'a>,
    /// How much of the body is header block; 0 if the receiver gets none.
    pub(super) header_len: usize,
    /// The beginning of the header block, if it is not the publisher's.
    pub(super) info: &'a [u8],
    pub(super) body: &'a [u8],
    pub(super) body_at: usize,
}

impl<'a> Delivery<'a> {
    /// The receiver.
    pub fn to(&self) -> ClientId {
        self.to
    }

    /// What follows the head: header block if the receiver knows such (or the rest of one that the head begins), payload,
    /// CR LF.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Where [`Delivery::body`] lies in the bytes of [`Input::Received`](super::Input::Received).
    pub fn body_range(&self) -> core::ops::Range<usize> {
        self.body_at..self.body_at + self.body.len()
    }

    /// The length of the head.
    pub fn head_len(&self) -> usize {
        let (subject, reply) = (self.subject.len(), self.reply.map(<[u8]>::len));
        head_len(subject, reply, self.sid.len(), self.header_len, self.size()) + self.info.len()
    }

    /// Bytes of header block and payload.
    fn size(&self) -> usize {
        self.info.len() + self.body.len().saturating_sub(2)
    }

    /// The length of head and body.
    pub fn encoded_len(&self) -> usize {
        self.head_len() + self.body.len()
    }

    /// Writes head and body. With [`Delivery::SLACK`] bytes more room than that takes it is faster; those are then
    /// written to, too.
    ///
    /// # Errors
    /// `out` is shorter than [`Delivery::encoded_len`].
    #[inline]
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, Full> {
        let head = match self.head_with_slack(out) {
            Some(head) => head,
            None => self.encode_head(out)?,
        };
        match out.get_mut(head..head + self.body.len()) {
            Some(place) => {
                place.copy_from_slice(self.body);
                Ok(head + self.body.len())
            }
            None => Err(Full { needed: self.encoded_len() }),
        }
    }

    /// What [`Delivery::encode`] likes to have behind the body.
    pub const SLACK: usize = 16;

    /// The head, in pieces of fixed length where these are short; `None` if it is not short, or there is no room.
    #[inline]
    fn head_with_slack(&self, out: &mut [u8]) -> Option<usize> {
        const SHORT: usize = Delivery::SLACK;
        let (sid, sid_len) = self.sid.short()?;
        let size = self.body.len().saturating_sub(2);
        if self.header_len > 0 || size > 9999 {
            return None;
        }
        let (head, rest) = out.split_first_chunk_mut::<4>()?;
        *head = *b"MSG ";
        let mut at = self.subject.len();
        rest.get_mut(..at)?.copy_from_slice(self.subject);
        *rest.get_mut(at)? = b' ';
        rest.get_mut(at + 1..)?.first_chunk_mut::<11>().map(|place| *place = *sid)?;
        at += 1 + sid_len;
        *rest.get_mut(at)? = b' ';
        at += 1;
        if let Some(reply) = self.reply {
            rest.get_mut(at..at + reply.len())?.copy_from_slice(reply);
            at += reply.len() + 1;
            *rest.get_mut(at - 1)? = b' ';
        }
        let mut digits = [0; SHORT];
        let (mut len, mut left) = (digits_of(size), size);
        for digit in digits.get_mut(..len)?.iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
        }
        digits.get_mut(len..len + 2)?.copy_from_slice(b"\r\n");
        len += 2;
        rest.get_mut(at..)?.first_chunk_mut::<SHORT>().map(|place| *place = digits)?;
        Some(4 + at + len)
    }

    /// Writes the head: `MSG subject sid [reply] size` CR LF, or `HMSG` with the header block's size before
    /// the whole size.
    ///
    /// # Errors
    /// `out` is shorter than [`Delivery::head_len`].
    pub fn encode_head(&self, out: &mut [u8]) -> Result<usize, Full> {
        let mut cut = Cut::new(out);
        cut.put(if self.header_len > 0 { b"HMSG " } else { b"MSG " });
        cut.put(self.subject);
        cut.put(b" ");
        self.sid.parts().for_each(|part| cut.put(part));
        cut.put(b" ");
        if let Some(reply) = self.reply {
            cut.put(reply);
            cut.put(b" ");
        }
        if self.header_len > 0 {
            cut.number(self.header_len);
            cut.put(b" ");
        }
        cut.number(self.size());
        cut.put(b"\r\n");
        cut.put(self.info);
        cut.finish()
    }
}

/// The length of a head for a body of `size` bytes with its header block.
pub(super) fn head_len(
    subject_len: usize,
    reply_len: Option<usize>,
    sid_len: usize,
    header_len: usize,
    size: usize,
) -> usize {
    let reply = reply_len.map_or(0, |len| len + 1);
    let header = if header_len > 0 { digits(header_len) + 2 } else { 0 };
    // "MSG ", two blanks, CR LF.
    subject_len + sid_len + reply + header + digits(size) + 8
}

/// Decimal digits of a number up to 9999.
fn digits_of(number: usize) -> usize {
    1 + usize::from(number > 9) + usize::from(number > 99) + usize::from(number > 999)
}

/// Decimal digits of `number`.
pub(super) fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Writes pieces one after the other, and counts also what does not fit.
pub(super) struct Cut<'o> {
    out: &'o mut [u8],
    len: usize,
}

impl<'o> Cut<'o> {
    pub(super) fn new(out: &'o mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    #[inline]
    pub(super) fn put(&mut self, piece: &[u8]) {
        let end = self.len + piece.len();
        if let Some(place) = self.out.get_mut(self.len..end) {
            place.copy_from_slice(piece);
        }
        self.len = end;
    }

    /// Puts `text` between quotation marks, as Go quotes it; it takes all that is Unicode, but for control
    /// characters, for printable.
    pub(super) fn quote(&mut self, text: &[u8]) {
        self.put(b"\"");
        for chunk in text.utf8_chunks() {
            for char in chunk.valid().chars() {
                self.quote_char(char);
            }
            for &byte in chunk.invalid() {
                self.put(b"\\x");
                self.hex(u32::from(byte), 2);
            }
        }
        self.put(b"\"");
    }

    fn quote_char(&mut self, char: char) {
        match char {
            '"' => self.put(b"\\\""),
            '\\' => self.put(b"\\\\"),
            '\x07' => self.put(b"\\a"),
            '\x08' => self.put(b"\\b"),
            '\t' => self.put(b"\\t"),
            '\n' => self.put(b"\\n"),
            '\x0B' => self.put(b"\\v"),
            '\x0C' => self.put(b"\\f"),
            '\r' => self.put(b"\\r"),
            '\0'..' ' | '\x7F' => {
                self.put(b"\\x");
                self.hex(u32::from(char), 2);
            }
            '\u{80}'..='\u{9F}' => {
                self.put(b"\\u");
                self.hex(u32::from(char), 4);
            }
            _ => self.put(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }

    fn hex(&mut self, number: u32, digits: u32) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for place in (0..digits).rev() {
            let nibble = (number >> (4 * place)) & 15;
            self.put(&[DIGITS.get(nibble as usize).copied().unwrap_or(b'0')]);
        }
    }

    pub(super) fn number(&mut self, mut number: usize) {
        let mut text = [b'0'; 20];
        let mut from = text.len();
        for digit in text.iter_mut().rev() {
            from -= 1;
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.put(text.get(from..).unwrap_or_default());
    }

    pub(super) fn finish(self) -> Result<usize, Full> {
        if self.len <= self.out.len() { Ok(self.len) } else { Err(Full { needed: self.len }) }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;

    use super::super::text::Text;
    use super::super::{Chunk, pool::Pool};
    use super::*;

    #[test]
    fn heads_are_as_long_as_they_say() {
        let mut chunks = [Chunk::EMPTY; 4];
        let mut pool = Pool::NEW;
        for sid in [&b"1"[..], b"a-sid-longer-than-eleven-bytes-and-than-one-chunk"] {
            let text = Text::store(sid, &mut chunks, &mut pool).unwrap();
            for (header_len, size, reply, expected) in [
                (0, 0, None, "MSG s.t {} 0\r\n"),
                (0, 9, None, "MSG s.t {} 9\r\n"),
                (0, 10, Some(&b"r"[..]), "MSG s.t {} r 10\r\n"),
                (12, 99, Some(b"r"), "HMSG s.t {} r 12 99\r\n"),
                (12, 100, None, "HMSG s.t {} 12 100\r\n"),
                (0, 100, None, "MSG s.t {} 100\r\n"),
            ] {
                let delivery = Delivery {
                    to: ClientId::new(0),
                    subject: b"s.t",
                    reply,
                    sid: Sid { text, chunks: &chunks },
                    header_len,
                    info: b"",
                    body: &[0; 102][..size + 2],
                    body_at: 0,
                };
                let mut out = [0; 128];
                let written = delivery.encode_head(&mut out).unwrap();
                let expected = expected.replace("{}", core::str::from_utf8(sid).unwrap());
                assert_eq!(&out[..written], expected.as_bytes());
                assert_eq!(delivery.head_len(), written);
                assert_eq!(delivery.encode_head(&mut out[..written - 1]), Err(Full { needed: written }));
                for slack in [0, 1, Delivery::SLACK] {
                    let mut out = vec![1; delivery.encoded_len() + slack];
                    assert_eq!(delivery.encode(&mut out), Ok(delivery.encoded_len()));
                    assert_eq!(&out[..written], expected.as_bytes());
                    assert_eq!(&out[written..delivery.encoded_len()], delivery.body());
                }
                let mut short = vec![1; delivery.encoded_len() - 1];
                assert_eq!(delivery.encode(&mut short), Err(Full { needed: delivery.encoded_len() }));
            }
        }
    }
}
