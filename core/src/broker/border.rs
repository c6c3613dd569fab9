//! Borders between accounts: what crosses them, what it is called on the other side, and how answers come back.

use lunix_proto::nats::subject::tokens;

use super::memory::Memory;
use super::user::{AccountId, Responses};

/// A way out of an account for some of its messages. [`Memory::border`](super::Memory::border) lists those of an
/// account; they follow from what accounts export and import:
///
/// | import | lies in | `from` | `to` | `subject` | `service` |
/// |---|---|---|---|---|---|
/// | `B` imports the stream `a.*` of `A` | `A` | `a.*` | `B` | `a.$1` | – |
/// | … with the prefix `x` | `A` | `a.*` | `B` | `x.a.$1` | – |
/// | … as `y.$1.z` | `A` | `a.*` | `B` | `y.$1.z` | – |
/// | `B` imports the service `s.>` of `A` as `t.>` | `B` | `t.>` | `A` | `s.>` | what `A` exports it with |
///
/// Messages that cross are routed on the other side and may cross a further border, three at most. To a request to
/// a service the other side sees a reply subject `_R_.…` of its own, from which answers find their way back. Longer
/// subjects than [`Border::LONGEST`] stay at home. Leaf nodes are told that all of `from` is wanted, whether or not anybody on
/// the other side subscribes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Border<'m> {
    /// The subjects that cross, as a pattern.
    pub from: &'m str,
    /// The account on the other side.
    pub to: AccountId,
    /// What they are called there: `$1` stands for what the first `*` of `from` matched and so on, a last `>` for
    /// what the `>` matched. All the same if it is empty.
    pub subject: &'m str,
    /// How the other side may answer, if it is a service; else the message is one of a stream.
    pub service: Option<Responses>,
    /// What the account that requests leave is called: a service is told that, and the client's round-trip time, in the
    /// header `Nats-Request-Info`. If it is empty, nothing is told.
    pub asker: &'m str,
}

impl Border<'_> {
    /// Bytes of the longest subject that crosses a border, and of the longest reply subject of a request that does.
    pub const LONGEST: usize = 2048;

    /// Writes what `subject` is called on the other side; `None` if it does not cross, or does not fit.
    pub(super) fn cross(&self, subject: &[u8], out: &mut [u8]) -> Option<usize> {
        let mut froms = tokens(self.from.as_bytes());
        let mut subjects = tokens(subject);
        loop {
            let rest = subjects.rest();
            match (froms.next(), subjects.next()) {
                (None, None) => break,
                (Some(b">"), Some(_)) => {
                    if rest.is_some_and(|rest| tokens(rest).any(<[u8]>::is_empty)) {
                        return None;
                    }
                    break;
                }
                (Some(_), Some(b"")) => return None,
                (Some(b"*"), Some(_)) => {}
                (Some(from), Some(token)) if from == token => {}
                _ => return None,
            }
        }
        let mut out = Cursor { out, len: 0 };
        if self.subject.is_empty() {
            out.put(subject)?;
            return Some(out.len);
        }
        for token in tokens(self.subject.as_bytes()) {
            if out.len > 0 {
                out.put(b".")?;
            }
            match token {
                b">" => out.put(self.tail(subject)?)?,
                [b'$', digits @ ..] => match core::str::from_utf8(digits).ok().and_then(|n| n.parse().ok()) {
                    Some(number) => out.put(self.wildcard(subject, number)?)?,
                    None => out.put(token)?,
                },
                _ => out.put(token)?,
            }
        }
        Some(out.len)
    }

    /// What the `number`th `*` matched.
    fn wildcard<'s>(&self, subject: &'s [u8], number: usize) -> Option<&'s [u8]> {
        let both = tokens(self.from.as_bytes()).zip(tokens(subject));
        let (_, token) = both.filter(|(from, _)| *from == b"*").nth(number.checked_sub(1)?)?;
        Some(token)
    }

    /// What the `>` matched.
    fn tail<'s>(&self, subject: &'s [u8]) -> Option<&'s [u8]> {
        let mut subjects = tokens(subject);
        for from in tokens(self.from.as_bytes()) {
            if from == b">" {
                return subjects.rest();
            }
            subjects.next();
        }
        None
    }
}

/// Those over which messages leave `account`.
pub(super) fn borders<M: Memory>(memory: &M, account: AccountId) -> impl Iterator<Item = Border<'_>> {
    (0..).map_while(move |index| memory.border(account, index))
}

struct Cursor<'o> {
    out: &'o mut [u8],
    len: usize,
}

impl Cursor<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        self.out.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_renamed_at_the_border() {
        for (from, template, subject, renamed) in [
            ("a.*", "", "a.b", Some("a.b")),
            ("a.*", "x.a.$1", "a.b", Some("x.a.b")),
            ("*.x.*", "y.$2.$1.z", "a.x.b", Some("y.b.a.z")),
            ("t.>", "s.>", "t.a.b", Some("s.a.b")),
            ("t.*.>", "s.>.$1", "t.a.b.c", Some("s.b.c.a")),
            (">", "all.>", "a.b", Some("all.a.b")),
            ("a", "b", "a", Some("b")),
            ("a", "$x", "a", Some("$x")),
            ("a.*", "b.$2", "a.b", None),
            ("a.*", "b", "a", None),
            ("a.>", "b.>", "a", None),
            ("a.*", "b", "a.b.c", None),
            ("a.*", "b.$1", "a.", None),
            ("a.>", "b.>", "a..b", None),
            ("a", "b.>", "a", None),
            ("a.*", "this-is-longer-than-the-room-that-there-is", "a.b", None),
        ] {
            let border = Border { from, to: AccountId::GLOBAL, subject: template, service: None, asker: "" };
            let mut out = [0; 16];
            let len = border.cross(subject.as_bytes(), &mut out);
            let got = len.map(|len| core::str::from_utf8(&out[..len]).unwrap());
            assert_eq!(got, renamed, "{from} {template} {subject}");
        }
    }
}
