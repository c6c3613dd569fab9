//! A message, as all who get it share it.

use std::mem::discriminant;

use lunix_core::time::{Duration, Instant};
use lunix_proto::mqtt::{List, Property, Qos, topic};
use serde::{Deserialize, Serialize};

use crate::natsmqtt::path::PATH;

/// What packets have of them.
pub(in crate::natsmqtt) type Properties<'b> = List<'b, Property<'b>>;

/// A message, in either direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::natsmqtt) struct Message {
    /// Names it among all that ever were; zero before anybody gets it.
    pub(in crate::natsmqtt) number: u64,
    pub(in crate::natsmqtt) topic: Box<str>,
    pub(in crate::natsmqtt) payload: Box<[u8]>,
    pub(in crate::natsmqtt) qos: Qos,
    pub(in crate::natsmqtt) retain: bool,
    /// When it is of no use any more.
    pub(in crate::natsmqtt) expires: Option<Instant>,
    /// The session that it came from, if that wants none of its own.
    pub(in crate::natsmqtt) from: Option<u64>,
    /// In the order in which they came; most messages have none.
    pub(in crate::natsmqtt) properties: Vec<Kept>,
}

/// A property that goes with a message to all who get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::natsmqtt) enum Kept {
    Format(bool),
    ContentType(Box<str>),
    ResponseTopic(Box<str>),
    Correlation(Box<[u8]>),
    User(Box<str>, Box<str>),
    /// The sites that it has passed, of which bridges tell each other.
    Path(Box<str>),
}

impl Kept {
    /// What of `properties` goes with the message.
    pub(in crate::natsmqtt) fn of(properties: Properties<'_>) -> Vec<Self> {
        let kept = properties.iter().filter_map(|property| {
            Some(match property {
                Property::PayloadFormatIndicator(text) => Self::Format(text),
                Property::ContentType(kind) => Self::ContentType(kind.into()),
                Property::ResponseTopic(topic) => Self::ResponseTopic(topic.into()),
                Property::CorrelationData(data) => Self::Correlation(data.into()),
                Property::UserProperty(PATH, sites) => Self::Path(sites.into()),
                Property::UserProperty(name, value) => Self::User(name.into(), value.into()),
                _ => return None,
            })
        });
        kept.collect()
    }

    pub(in crate::natsmqtt) fn property(&self) -> Property<'_> {
        match self {
            Self::Format(text) => Property::PayloadFormatIndicator(*text),
            Self::ContentType(kind) => Property::ContentType(kind),
            Self::ResponseTopic(topic) => Property::ResponseTopic(topic),
            Self::Correlation(data) => Property::CorrelationData(data),
            Self::User(name, value) => Property::UserProperty(name, value),
            Self::Path(sites) => Property::UserProperty(PATH, sites),
        }
    }

    /// Whether one packet can say all of them.
    pub(super) fn are_valid(all: &[Self]) -> bool {
        let mut singles = Vec::new();
        all.iter().all(|kept| {
            let kind = discriminant(kept);
            let is_first = !singles.contains(&kind);
            if kept.is_single() && is_first {
                singles.push(kind);
            }
            kept.is_valid() && is_first
        })
    }

    fn is_valid(&self) -> bool {
        match self {
            Self::Format(_) => true,
            Self::ContentType(text) | Self::Path(text) => is_text(text),
            Self::ResponseTopic(topic) => topic::is_name(topic) && is_text(topic),
            Self::Correlation(data) => is_binary(data),
            Self::User(name, value) => is_text(name) && is_text(value),
        }
    }

    /// A message has one of its kind at most [MQTT 5: 3.3.2.3].
    const fn is_single(&self) -> bool {
        !matches!(self, Self::User(..) | Self::Path(_))
    }

    fn size(&self) -> usize {
        match self {
            Self::Format(_) => 0,
            Self::ContentType(text) | Self::ResponseTopic(text) | Self::Path(text) => text.len(),
            Self::Correlation(data) => data.len(),
            Self::User(name, value) => name.len() + value.len(),
        }
    }
}

/// Whether MQTT's text can hold it [MQTT 5: 1.5.4].
pub(super) fn is_text(text: &str) -> bool {
    // The last two of each plane, and a block of others.
    let is_none = |code: u32| code & 0xFFFE == 0xFFFE || (0xFDD0..=0xFDEF).contains(&code);
    is_binary(text.as_bytes()) && !text.chars().any(|char| char.is_control() || is_none(char.into()))
}

/// Whether MQTT's binary data can hold it [MQTT 5: 1.5.6].
pub(super) fn is_binary(data: &[u8]) -> bool {
    data.len() <= usize::from(u16::MAX)
}

impl Message {
    /// Adds a property, instead of the one before where there can be only one.
    pub(super) fn keep(&mut self, kept: Kept) {
        if kept.is_single() {
            self.properties.retain(|before| discriminant(before) != discriminant(&kept));
        }
        self.properties.push(kept);
    }

    /// The sites that it has passed, with commas between; empty if no bridge has brought it.
    pub(in crate::natsmqtt) fn path(&self) -> &str {
        let path = self.properties.iter().find_map(|kept| match kept {
            Kept::Path(sites) => Some(&**sites),
            _ => None,
        });
        path.unwrap_or_default()
    }

    /// Says of it that it has passed these sites.
    pub(in crate::natsmqtt) fn set_path(&mut self, sites: Box<str>) {
        self.properties.retain(|kept| !matches!(kept, Kept::Path(_)));
        self.properties.push(Kept::Path(sites));
    }

    /// Bytes of memory, near enough to count with.
    pub(in crate::natsmqtt) fn size(&self) -> usize {
        let properties: usize = self.properties.iter().map(|kept| size_of::<Kept>() + kept.size()).sum();
        size_of::<Self>() + self.topic.len() + self.payload.len() + properties
    }

    /// The rest of its life in seconds, rounded up; `None` once it is over.
    pub(in crate::natsmqtt) fn remaining(&self, now: Instant) -> Option<Option<u32>> {
        let Some(expires) = self.expires else { return Some(None) };
        let left = expires.since(now);
        if left.is_zero() {
            return None;
        }
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        Some(Some(u32::try_from(seconds).unwrap_or(u32::MAX)))
    }

    /// Ends its life `seconds` from now.
    pub(in crate::natsmqtt) fn expire_in(&mut self, now: Instant, seconds: u32) {
        self.expires = Some(now + Duration::from_secs(seconds.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_can_be_one_the_last_counts() {
        let mut message = Message::default();
        for kept in [
            Kept::User("a".into(), "1".into()),
            Kept::ContentType("x".into()),
            Kept::User("a".into(), "2".into()),
            Kept::ContentType("y".into()),
        ] {
            message.keep(kept);
        }
        assert_eq!(message.properties.len(), 3);
        assert_eq!(message.properties.last(), Some(&Kept::ContentType("y".into())));
        assert!(Kept::are_valid(&message.properties));
        message.properties.push(Kept::ContentType("z".into()));
        assert!(!Kept::are_valid(&message.properties));
    }

    #[test]
    fn a_life_is_counted_in_whole_seconds() {
        let at = Instant::from_micros;
        let mut message = Message::default();
        assert_eq!(message.remaining(at(5)), Some(None));
        message.expire_in(at(1_000_000), 2);
        for (now, left) in
            [(1_000_000, Some(2)), (1_000_001, Some(2)), (2_000_001, Some(1)), (2_999_999, Some(1))]
        {
            assert_eq!(message.remaining(at(now)), Some(left), "{now}");
        }
        assert_eq!(message.remaining(at(3_000_000)), None);
    }
}
