//! What the bus is to be told and nobody has heard yet.

/// Messages that wait, in one piece of memory that goes back as a whole when they are told.
#[derive(Debug, Default)]
pub(super) struct Untold {
    /// Subjects and payloads, one after the other.
    bytes: Vec<u8>,
    /// The end of each subject and of each payload.
    ends: Vec<(usize, usize)>,
    /// How many there was no room for.
    forgotten: u64,
}

/// Messages that are kept: the first ones, as they tell how things came to be.
const MOST: usize = 1024;

impl Untold {
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Keeps a message, or counts it where there are too many.
    pub(super) fn push(&mut self, subject: &[u8], payload: &[u8]) {
        if self.ends.len() >= MOST {
            self.forgotten += 1;
            return;
        }
        self.bytes.extend_from_slice(subject);
        let end = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        self.ends.push((end, self.bytes.len()));
    }

    /// Subjects and payloads, the first that came first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        starts.zip(&self.ends).map(|(start, (middle, end))| {
            let part = |start, end| self.bytes.get(start..end).unwrap_or_default();
            (part(start, *middle), part(*middle, *end))
        })
    }

    /// How many there was no room for.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_kept_and_the_rest_is_counted() {
        let mut untold = Untold::default();
        assert!(untold.is_empty());
        for number in 0..MOST + 3 {
            untold.push(format!("s.{number}").as_bytes(), "x".repeat(number % 3).as_bytes());
        }
        assert_eq!((untold.iter().count(), untold.forgotten()), (MOST, 3));
        for (number, (subject, payload)) in untold.iter().enumerate() {
            assert_eq!(subject, format!("s.{number}").as_bytes());
            assert_eq!(payload, "x".repeat(number % 3).as_bytes());
        }
    }
}
