//! What is shared between both sides, and what it is called there.

use lunix_proto::mqtt::{Qos, remap};

/// A rule of a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// What it is here, and what there: two filters with the same wildcards.
    pub(super) local: Box<str>,
    pub(super) remote: Box<str>,
    /// Whether messages go there, and whether they come from there.
    pub(super) out: bool,
    pub(super) inward: bool,
    /// The highest QoS, and that of messages which have none.
    pub(super) qos: Qos,
    /// The retain flag, if it is not to be the message's own.
    pub(super) retain: Option<bool>,
}

impl Rule {
    /// What a topic that is ours is called there.
    pub(super) fn outward(&self, topic: &str) -> Option<Box<str>> {
        remapped(&self.local, &self.remote, topic)
    }

    /// What a topic of theirs is called here.
    pub(super) fn homeward(&self, topic: &str) -> Option<Box<str>> {
        remapped(&self.remote, &self.local, topic)
    }
}

fn remapped(from: &str, to: &str, topic: &str) -> Option<Box<str>> {
    let mut space = vec![0; to.len() + topic.len()];
    remap::remap(&mut space, from, to, topic).ok()?.map(Into::into)
}
