//! Short texts with a kind and a key, one behind the other in bytes of the caller.

use lunix_proto::Full;

/// Kind, length of the key, length of the value.
const HEAD: usize = 5;

/// A list of [`Record`]s.
#[derive(Debug)]
pub(super) struct Ledger<'m> {
    bytes: &'m mut [u8],
    len: usize,
}

/// An entry of a [`Ledger`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'l> {
    pub(super) kind: u8,
    pub(super) key: &'l [u8],
    pub(super) value: &'l [u8],
    at: usize,
}

impl Record<'_> {
    const fn size(&self) -> usize {
        HEAD + self.key.len() + self.value.len()
    }
}

/// The records of a [`Ledger`], oldest first.
#[derive(Clone, Debug)]
pub(super) struct Records<'l> {
    bytes: &'l [u8],
    at: usize,
}

impl<'l> Iterator for Records<'l> {
    type Item = Record<'l>;

    fn next(&mut self) -> Option<Record<'l>> {
        let (head, rest) = self.bytes.get(self.at..)?.split_at_checked(HEAD)?;
        let &[kind, key_low, key_high, value_low, value_high] = head else { return None };
        let (key, rest) = rest.split_at_checked(u16::from_le_bytes([key_low, key_high]).into())?;
        let value = rest.get(..u16::from_le_bytes([value_low, value_high]).into())?;
        let record = Record { kind, key, value, at: self.at };
        self.at += record.size();
        Some(record)
    }
}

impl<'m> Ledger<'m> {
    pub(super) fn new(bytes: &'m mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }

    /// Bytes that are taken: what is added from now on stands behind them.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn records(&self) -> Records<'_> {
        Records { bytes: self.bytes.get(..self.len).unwrap_or_default(), at: 0 }
    }

    pub(super) fn find(&self, kind: u8, key: &[u8]) -> Option<Record<'_>> {
        self.records().find(|record| record.kind == kind && record.key == key)
    }

    /// The values of a kind, oldest first.
    pub(super) fn of(&self, kind: u8) -> impl Iterator<Item = Record<'_>> {
        self.records().filter(move |record| record.kind == kind)
    }

    /// Adds a record whose value is put together of parts.
    pub(super) fn push(&mut self, kind: u8, key: &[u8], value: &[&[u8]]) -> Result<(), Full> {
        let length: usize = value.iter().map(|part| part.len()).sum();
        let needed = self.len + HEAD + key.len() + length;
        let full = Full { needed };
        let (Ok(key_len), Ok(value_len)) = (u16::try_from(key.len()), u16::try_from(length)) else {
            return Err(full);
        };
        let place = self.bytes.get_mut(self.len..needed).ok_or(full)?;
        let ([key_low, key_high], [value_low, value_high]) = (key_len.to_le_bytes(), value_len.to_le_bytes());
        let head = [kind, key_low, key_high, value_low, value_high];
        let parts = [&head[..], key].into_iter().chain(value.iter().copied());
        let mut rest = place;
        for part in parts {
            let Some((target, after)) = rest.split_at_mut_checked(part.len()) else { return Err(full) };
            target.copy_from_slice(part);
            rest = after;
        }
        self.len = needed;
        Ok(())
    }

    /// Exchanges bytes in the key of the newest record.
    pub(super) fn replace_in_last_key(&mut self, old: u8, new: u8) {
        let Some((at, len)) = self.records().last().map(|record| (record.at + HEAD, record.key.len())) else {
            return;
        };
        for byte in
            self.bytes.get_mut(at..at + len).unwrap_or_default().iter_mut().filter(|byte| **byte == old)
        {
            *byte = new;
        }
    }

    /// Puts a record in the place of one with the same kind and key.
    pub(super) fn set(&mut self, kind: u8, key: &[u8], value: &[u8]) -> Result<(), Full> {
        let old = self.find(kind, key).map_or(0, |record| record.size());
        let needed = self.len - old.min(self.len) + HEAD + key.len() + value.len();
        if needed > self.bytes.len() || value.len() > usize::from(u16::MAX) {
            return Err(Full { needed });
        }
        self.remove(kind, key);
        self.push(kind, key, &[value])
    }

    /// Whether there was such a record.
    pub(super) fn remove(&mut self, kind: u8, key: &[u8]) -> bool {
        let Some((at, size)) = self.find(kind, key).map(|record| (record.at, record.size())) else {
            return false;
        };
        self.cut(at, size);
        true
    }

    /// Removes all records of these kinds.
    pub(super) fn clear(&mut self, kinds: &[u8]) {
        while let Some((at, size)) = self
            .records()
            .find(|record| kinds.contains(&record.kind))
            .map(|record| (record.at, record.size()))
        {
            self.cut(at, size);
        }
    }

    /// Removes all that was added since [`len`](Self::len) said `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    fn cut(&mut self, at: usize, size: usize) {
        if at + size <= self.len && self.len <= self.bytes.len() {
            self.bytes.copy_within(at + size..self.len, at);
            self.len -= size;
        }
    }
}

/// A text under construction.
#[derive(Debug)]
pub(super) struct Text<'m> {
    bytes: &'m mut [u8],
    len: usize,
}

/// A part of a [`Text`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    from: usize,
    to: usize,
}

impl<'m> Text<'m> {
    pub(super) fn new(bytes: &'m mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Span, Full> {
        let (from, to) = (self.len, self.len + bytes.len());
        self.bytes.get_mut(from..to).ok_or(Full { needed: to })?.copy_from_slice(bytes);
        self.len = to;
        Ok(Span { from, to })
    }

    /// All that was added since [`len`](Self::len) said `from`.
    pub(super) const fn since(&self, from: usize) -> Span {
        Span { from, to: self.len }
    }

    pub(super) fn get(&self, span: Span) -> &[u8] {
        self.bytes.get(span.from..span.to).unwrap_or_default()
    }

    pub(super) fn get_mut(&mut self, span: Span) -> &mut [u8] {
        self.bytes.get_mut(span.from..span.to).unwrap_or_default()
    }

    /// Forgets what stands behind `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}
