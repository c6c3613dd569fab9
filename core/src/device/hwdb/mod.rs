//! What is known of hardware besides what it says itself: names of vendors, rotated sensors, keys that send wrong codes.
//!
//! Others collect it as text ([`text`]): patterns of what devices are called, and properties. A builder makes one table of
//! all texts ([`Rule`], [`Header`]), which is read in place ([`Hwdb`]), mapped into memory or in flash. The table may be
//! anybody's bytes: what is wrong in it is not found, and never read beyond.
//!
//! A table has four parts: a header; rules, sorted by the plain text with which their patterns begin; lists of properties;
//! texts. Each rule names the one before it whose beginning is the longest that its own begins with. So those that may
//! match something are found as a chain, from the last one that is not behind it: one binary search and a few steps.

pub mod text;

use super::rules::pattern::{fits, is_glob};
use super::volume::{le16, le32};

const MAGIC: &[u8; 8] = b"lunixhw1";
/// Bytes of a rule.
const RULE: usize = 18;
/// The longest text of a table, and the longest thing that is looked up.
pub const MAX_TEXT: usize = 4096;
/// Rules that match the same thing; of more, those of the highest rank count.
pub const MAX_MATCHES: usize = 64;
/// No rule.
pub const NONE: u32 = u32::MAX;

/// Where the parts of a table are, in bytes from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many rules there are; they follow the header.
    pub rules: u32,
    /// Where the lists of properties begin.
    pub lists: u32,
    /// Where the texts begin; they are the last part.
    pub texts: u32,
    /// All bytes.
    pub size: u32,
}

impl Header {
    /// Bytes of a header.
    pub const SIZE: usize = 24;

    /// The header as it stands in a table.
    ///
    /// ```
    /// use lunix_core::device::hwdb::{Header, Hwdb};
    /// let header = Header { rules: 0, lists: 24, texts: 24, size: 24 };
    /// assert!(Hwdb::open(&header.encode()).is_ok());
    /// ```
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let words = [self.rules, self.lists, self.texts, self.size].map(u32::to_le_bytes);
        let all = MAGIC.iter().chain(words.iter().flatten());
        bytes.iter_mut().zip(all).for_each(|(place, byte)| *place = *byte);
        bytes
    }
}

/// One pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its text: two bytes with the length, then the bytes; from the beginning of the texts on.
    pub pattern: u32,
    /// How much of it is plain.
    pub plain: u16,
    /// The rule whose plain text is the longest that this one begins with, or the same and before it; [`NONE`].
    pub above: u32,
    /// What it says: two bytes with the number of properties, then for each where its name and its value are among the
    /// texts; from the beginning of the lists on.
    pub list: u32,
    /// Of two rules that say something about the same property, the higher one counts.
    pub rank: u32,
}

impl Rule {
    /// The rule as it stands in a table.
    ///
    /// ```
    /// use lunix_core::device::hwdb::{NONE, Rule};
    /// let rule = Rule { pattern: 1, plain: 2, above: NONE, list: 3, rank: 4 };
    /// assert_eq!(rule.encode(), [1, 0, 0, 0, 255, 255, 255, 255, 3, 0, 0, 0, 4, 0, 0, 0, 2, 0]);
    /// ```
    pub fn encode(&self) -> [u8; RULE] {
        let mut bytes = [0; RULE];
        let words = [self.pattern, self.above, self.list, self.rank].map(u32::to_le_bytes);
        let plain = self.plain.to_le_bytes();
        let all = words.iter().flatten().chain(&plain);
        bytes.iter_mut().zip(all).for_each(|(place, byte)| *place = *byte);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            pattern: le32(bytes, 0)?,
            above: le32(bytes, 4)?,
            list: le32(bytes, 8)?,
            rank: le32(bytes, 12)?,
            plain: le16(bytes, 16)?,
        })
    }
}

/// How much of a pattern is plain: all before the first `*`, `?` or `[`.
///
/// ```
/// assert_eq!(lunix_core::device::hwdb::plain(b"usb:v1D6B*"), 9);
/// ```
pub fn plain(pattern: &[u8]) -> usize {
    pattern.iter().position(|byte| is_glob(&[*byte])).unwrap_or(pattern.len())
}

/// Whether all of `name` fits a pattern with `*`, `?`, `[…]` and `\`.
///
/// ```
/// use lunix_core::device::hwdb::glob;
/// assert!(glob(b"pci:v0000[0-9]*", b"pci:v00008086d1") && !glob(b"pci:", b"pci:v"));
/// ```
pub fn glob(pattern: &[u8], name: &[u8]) -> bool {
    fits(pattern, name, false)
}

/// Why bytes are no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HwdbError {
    /// They do not begin like one of this version.
    Foreign,
    /// They have another size than they say, or their parts are not where they can be.
    Damaged,
}

/// A table, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Hwdb<'t> {
    rules: &'t [u8],
    lists: &'t [u8],
    texts: &'t [u8],
}

impl<'t> Hwdb<'t> {
    /// A table, if its parts are where they are said to be.
    ///
    /// # Errors
    /// These bytes are none.
    pub fn open(bytes: &'t [u8]) -> Result<Self, HwdbError> {
        if !bytes.starts_with(MAGIC) {
            return Err(HwdbError::Foreign);
        }
        Self::parts(bytes).ok_or(HwdbError::Damaged)
    }

    fn parts(bytes: &'t [u8]) -> Option<Self> {
        let number = |at| usize::try_from(le32(bytes, at)?).ok();
        let (rules, lists, texts, size) = (number(8)?, number(12)?, number(16)?, number(20)?);
        let end = rules.checked_mul(RULE)?.checked_add(Header::SIZE)?;
        if size != bytes.len() || end != lists {
            return None;
        }
        Some(Self {
            rules: bytes.get(Header::SIZE..lists)?,
            lists: bytes.get(lists..texts)?,
            texts: bytes.get(texts..)?,
        })
    }

    /// How many patterns there are.
    pub fn len(&self) -> usize {
        self.rules.len() / RULE
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    fn rule(&self, index: usize) -> Option<Rule> {
        let at = index.checked_mul(RULE)?;
        Rule::decode(self.rules.get(at..at.checked_add(RULE)?)?)
    }

    fn text(&self, at: u32) -> Option<&'t [u8]> {
        let rest = self.texts.get(usize::try_from(at).ok()?..)?;
        rest.get(2..)?.get(..usize::from(le16(rest, 0)?))
    }

    /// A pattern's plain beginning, and what follows.
    fn pattern(&self, rule: &Rule) -> Option<(&'t [u8], &'t [u8])> {
        self.text(rule.pattern)?.split_at_checked(usize::from(rule.plain))
    }

    /// All that is said about `name`. What is longer than [`MAX_TEXT`] is unknown.
    pub fn lookup(&self, name: &[u8]) -> Matches<'t> {
        let mut matches = Matches { hwdb: *self, found: [(0, 0); MAX_MATCHES], len: 0 };
        if name.len() > MAX_TEXT {
            return matches;
        }
        let mut next = self.last_not_behind(name);
        while let Some((index, rule)) = next.and_then(|index| Some((index, self.rule(index)?))) {
            if let Some((plain, rest)) = self.pattern(&rule)
                && let Some(name) = name.strip_prefix(plain)
                && (rest.is_empty() && name.is_empty() || !rest.is_empty() && fits(rest, name, false))
            {
                matches.push(rule.rank, rule.list);
            }
            // It always becomes less, whatever a damaged table says.
            next = usize::try_from(rule.above).ok().filter(|above| *above < index);
        }
        matches
    }

    fn last_not_behind(&self, name: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let plain = self.rule(middle).and_then(|rule| Some(self.pattern(&rule)?.0));
            if plain.is_some_and(|plain| plain <= name) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }
}

/// What matches one name.
#[derive(Clone, Copy, Debug)]
pub struct Matches<'t> {
    hwdb: Hwdb<'t>,
    /// Rank and list, by rank.
    found: [(u32, u32); MAX_MATCHES],
    len: usize,
}

impl<'t> Matches<'t> {
    fn push(&mut self, rank: u32, list: u32) {
        let found = self.found.get(..self.len).unwrap_or_default();
        let mut at = found.partition_point(|(other, _)| *other < rank);
        if self.len == MAX_MATCHES {
            // The lowest gives way.
            let Some(place) = at.checked_sub(1) else { return };
            at = place;
            self.found.copy_within(1..=at, 0);
        } else {
            self.found.copy_within(at..self.len, at + 1);
            self.len += 1;
        }
        if let Some(place) = self.found.get_mut(at) {
            *place = (rank, list);
        }
    }

    /// Names and values, those of lower rank first: who sets one after the other is left with those that count.
    pub fn properties(&self) -> impl Iterator<Item = (&'t [u8], &'t [u8])> {
        let hwdb = self.hwdb;
        let found = self.found.get(..self.len).unwrap_or_default();
        found.iter().flat_map(move |(_, list)| {
            let list = usize::try_from(*list).ok().and_then(|list| hwdb.lists.get(list..));
            let (count, entries) =
                list.and_then(|list| Some((le16(list, 0)?, list.get(2..)?))).unwrap_or((0, &[]));
            entries
                .chunks_exact(8)
                .take(usize::from(count))
                .filter_map(move |entry| Some((hwdb.text(le32(entry, 0)?)?, hwdb.text(le32(entry, 4)?)?)))
        })
    }
}

#[cfg(test)]
mod tests;
