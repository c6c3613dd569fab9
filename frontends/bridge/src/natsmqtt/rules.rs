//! What a user may publish and subscribe to.

use lunix::config::Value;
use lunix_proto::mqtt::topic;

/// What a user may publish and subscribe to, in the filters of MQTT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    publish: Filters,
    subscribe: Filters,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Filters {
    /// Nothing else, if there is such a list.
    allow: Option<Vec<Box<str>>>,
    /// Not even if it is allowed.
    deny: Vec<Box<str>>,
}

impl Rules {
    /// Whether a message may be published there.
    pub(super) fn may_publish(&self, name: &str) -> bool {
        self.publish.admit(|filter| topic::matches(filter, name))
    }

    /// Whether `filter` may be subscribed to; of a shared subscription, the filter in it.
    pub(super) fn may_subscribe(&self, filter: &str) -> bool {
        self.subscribe.admit(|wide| covers(wide, filter))
    }

    /// Whether a message of a subscription that was granted may be seen: a filter can be wider than what is denied.
    pub(super) fn may_receive(&self, name: &str) -> bool {
        !self.subscribe.deny.iter().any(|filter| topic::matches(filter, name))
    }

    /// Takes `{ publish: …, subscribe: … }`, each of them a filter, a list of filters, or `{ allow: …, deny: … }`.
    pub(super) fn take(value: Value) -> Option<Self> {
        let mut block = value.block()?;
        let mut filters = |name| block.take(&[name]).map(Filters::take).unwrap_or_default();
        let rules = Self { publish: filters("publish"), subscribe: filters("subscribe") };
        block.end();
        Some(rules)
    }
}

impl Filters {
    fn admit(&self, fits: impl Fn(&str) -> bool) -> bool {
        let any = |filters: &[Box<str>]| filters.iter().any(|filter| fits(filter));
        self.allow.as_deref().is_none_or(any) && !any(&self.deny)
    }

    fn take(value: Value) -> Self {
        if !value.is_block() {
            return Self { allow: Some(filters(value)), deny: Vec::new() };
        }
        let Some(mut block) = value.block() else { return Self::default() };
        let allow = block.take(&["allow"]).map(filters);
        let deny = block.take(&["deny"]).map(filters).unwrap_or_default();
        block.end();
        Self { allow, deny }
    }
}

fn filters(value: Value) -> Vec<Box<str>> {
    let filter = |value: Value| {
        value.parsed("a topic filter, such as \"home/+/lamp\"", |text| {
            topic::is_filter(text).then(|| text.into())
        })
    };
    value.list().into_iter().filter_map(filter).collect()
}

/// Whether all topics that `narrow` matches are matched by `wide`, too.
fn covers(wide: &str, narrow: &str) -> bool {
    let mut levels = narrow.split('/');
    for level in wide.split('/') {
        match (level, levels.next()) {
            ("#", _) => return true,
            ("+", Some(narrow)) if narrow != "#" => {}
            (wide, Some(narrow)) if wide == narrow => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use lunix::config::{self, Machine};

    use super::*;

    fn rules(text: &str) -> Result<Rules, String> {
        let mut file = config::parse("rules.conf".as_ref(), text, &Machine).unwrap();
        let rules = file.take(&["permissions"]).and_then(Rules::take);
        file.finish().map_err(|mistakes| mistakes.to_string())?;
        Ok(rules.unwrap())
    }

    #[test]
    fn wider_and_narrower() {
        for (wide, narrow, answer) in [
            ("#", "a/+", true),
            ("a/#", "a", true),
            ("a/#", "a/#", true),
            ("a/+", "a/b", true),
            ("a/+", "a/+", true),
            ("a/+", "a/#", false),
            ("a/b", "a/+", false),
            ("a", "a/b", false),
            ("+", "#", false),
        ] {
            assert_eq!(covers(wide, narrow), answer, "{wide} {narrow}");
        }
    }

    #[test]
    fn allowed_and_denied() {
        let rules = rules(
            "permissions { publish: 'up/+', subscribe: { allow: ['home/#', 'up/+'], deny: 'home/door/#' } }",
        );
        let rules = rules.unwrap();
        assert!(rules.may_publish("up/1") && !rules.may_publish("up/1/2") && !rules.may_publish("home/a"));
        assert!(
            rules.may_subscribe("home/+") && rules.may_subscribe("home/#") && rules.may_subscribe("up/+")
        );
        assert!(!rules.may_subscribe("#") && !rules.may_subscribe("home/door/1"));
        assert!(rules.may_receive("home/lamp") && !rules.may_receive("home/door"));
        let none = Rules::default();
        assert!(none.may_publish("a") && none.may_subscribe("#") && none.may_receive("a"));
    }

    #[test]
    fn mistakes_name_their_place() {
        let error = rules("permissions { publish: 'a#', subscribes: 'b' }").unwrap_err();
        assert!(error.contains("rules.conf:1:24: publish: expected a topic filter, such as"), "{error}");
        assert!(error.contains("did you mean 'subscribe'?"), "{error}");
    }
}
