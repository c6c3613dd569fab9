//! Lists in packets: properties, subscriptions, topic filters, reason codes.

use super::DecodeError;
use super::read::Reader;

/// What packets have lists of.
///
/// It cannot be implemented elsewhere: what a reader is, is not told.
pub trait Item<'b>: Copy {
    /// The item that is next.
    #[doc(hidden)]
    fn read(reader: &mut Reader<'b>) -> Result<Self, DecodeError>;
}

/// A list in a packet: one that was read, or one that is to be written.
///
/// What was read is valid, as [`DecodeError`] says. What is to be written is the caller's to see to. Lists are equal
/// that hold the same in the same order.
///
/// ```
/// use lunix_proto::mqtt::{List, Property};
/// let list = [Property::ReasonString("full"), Property::UserProperty("name", "value")];
/// let properties = List::of(&list);
/// assert!(properties.iter().eq(list) && !properties.is_empty() && List::<Property>::EMPTY.is_empty());
/// ```
#[derive(Clone, Copy)]
pub struct List<'b, T>(Source<'b, T>);

#[derive(Clone, Copy)]
enum Source<'b, T> {
    /// As they stand on the wire. Each of them has been read before.
    Wire(&'b [u8]),
    Slice(&'b [T]),
}

impl<'b, T> List<'b, T> {
    /// Nothing.
    pub const EMPTY: Self = Self(Source::Slice(&[]));

    /// What is to be written.
    pub const fn of(items: &'b [T]) -> Self {
        Self(Source::Slice(items))
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        match self.0 {
            Source::Wire(bytes) => bytes.is_empty(),
            Source::Slice(items) => items.is_empty(),
        }
    }
}

impl<'b, T: Item<'b>> List<'b, T> {
    /// Each of them, in order.
    pub const fn iter(&self) -> ListIter<'b, T> {
        ListIter(self.0)
    }

    /// All of `bytes`, which `check` sees item by item.
    pub(super) fn read(
        bytes: &'b [u8],
        mut check: impl FnMut(T) -> Result<(), DecodeError>,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            check(T::read(&mut reader)?)?;
        }
        Ok(Self(Source::Wire(bytes)))
    }
}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<'b, T: Item<'b> + PartialEq> PartialEq for List<'b, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'b, T: Item<'b> + Eq> Eq for List<'b, T> {}

impl<'b, T: Item<'b> + core::fmt::Debug> core::fmt::Debug for List<'b, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'b, T: Item<'b>> IntoIterator for List<'b, T> {
    type Item = T;
    type IntoIter = ListIter<'b, T>;

    fn into_iter(self) -> ListIter<'b, T> {
        self.iter()
    }
}

/// The iterator that [`List::iter`] returns.
#[derive(Clone)]
pub struct ListIter<'b, T>(Source<'b, T>);

impl<'b, T: Item<'b>> Iterator for ListIter<'b, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Source::Wire(bytes) => {
                let mut reader = Reader::new(bytes);
                // The one error that there can be is that there are no more.
                let item = T::read(&mut reader).ok()?;
                *bytes = reader.rest;
                Some(item)
            }
            Source::Slice(items) => {
                let (item, rest) = items.split_first()?;
                *items = rest;
                Some(*item)
            }
        }
    }
}

impl<'b, T: Item<'b>> core::iter::FusedIterator for ListIter<'b, T> {}

impl<'b, T: Item<'b> + core::fmt::Debug> core::fmt::Debug for ListIter<'b, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
