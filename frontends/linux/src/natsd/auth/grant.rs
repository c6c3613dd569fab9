//! What a user may do, as the broker is told it.

use std::time::Duration;

use lunix_core::broker;

/// What may be published and subscribed to. The default is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Permissions {
    /// To what may be published.
    pub(crate) publish: Rule,
    /// What may be subscribed to.
    pub(crate) subscribe: Rule,
    /// Answers are allowed beside `publish`.
    pub(crate) responses: Option<Responses>,
}

/// Patterns, one a line; of subscriptions a line may be `pattern queue`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Rule {
    /// What is allowed; `None` for everything.
    pub(crate) allow: Option<String>,
    /// What is denied all the same.
    pub(crate) deny: String,
}

/// Leave to answer where a message asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Responses {
    /// How many answers; 0 for as many as there are.
    pub(crate) max: u32,
    /// For how long; `None` for ever.
    pub(crate) expires: Option<Duration>,
}

impl Responses {
    /// nats-server's, where nothing else is said.
    pub(crate) const USUAL: Self = Self { max: 1, expires: Some(Duration::from_secs(120)) };

    /// The same in the broker's words.
    pub(crate) fn of_broker(self) -> broker::Responses {
        broker::Responses { max: self.max, expires: self.expires }
    }
}

impl Permissions {
    /// Nothing is allowed.
    pub(crate) fn nothing() -> Self {
        let rule = Rule { allow: Some(String::new()), deny: String::new() };
        Self { publish: rule.clone(), subscribe: rule, responses: None }
    }

    /// Adds a pattern to what may be published to.
    pub(crate) fn allow_publish(&mut self, pattern: &str) {
        if let Some(allow) = &mut self.publish.allow {
            push_line(allow, pattern);
        }
    }

    /// Leave to answer means that publishing is not free in general.
    pub(crate) fn settle(&mut self) {
        if self.responses.is_some() {
            self.publish.allow.get_or_insert_default();
        }
    }
}

/// Adds a line.
pub(crate) fn push_line(lines: &mut String, line: &str) {
    if !lines.is_empty() {
        lines.push('\n');
    }
    lines.push_str(line);
}

/// Which kinds of connection a user may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionTypes(u8);

/// nats-server's names; natsd has the first and the third.
const TYPES: [&str; 7] =
    ["STANDARD", "WEBSOCKET", "LEAFNODE", "LEAFNODE_WS", "MQTT", "MQTT_WS", "IN_PROCESS"];

impl ConnectionTypes {
    /// All of them.
    pub(crate) const ALL: Self = Self(u8::MAX);
    /// None: whoever names only kinds that nobody knows.
    pub(crate) const NONE: Self = Self(0);
    /// Clients.
    pub(crate) const STANDARD: Self = Self(1);
    /// Leaf nodes.
    pub(crate) const LEAFNODE: Self = Self(1 << 2);

    /// The kind with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let at = TYPES.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        Some(Self(1 << at))
    }

    /// Both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// `other` is among them.
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}
