//! What requests to `$SYS` bring in their payload: which servers are meant, and what is asked for.

use lunix_proto::json::{Object, Str, Value};

use crate::natsd::monitor::{AccountFilter, ConnzOptions, Subs, SubszOptions, View, Which};

/// A request's payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options<'p>(Option<Object<'p>>);

impl<'p> Options<'p> {
    /// Reads a payload; nothing is as good as an empty object.
    ///
    /// # Errors
    /// It is no JSON object, or a member that is known has another type than it should have.
    pub(super) fn of(payload: &'p [u8]) -> Result<Self, String> {
        if payload.trim_ascii().is_empty() {
            return Ok(Self(None));
        }
        let value = lunix_proto::json::parse(payload).map_err(|error| format!("invalid JSON: {error}"))?;
        let object = value.as_object().ok_or("json: expected an object")?;
        let options = Self(Some(object));
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<(), String> {
        let wrong = |keys: &[&str], what: &str, is: fn(&Value<'_>) -> bool| {
            let wrong = keys.iter().find(|key| self.get(key).is_some_and(|value| !is(&value)));
            wrong.map_or(Ok(()), |key| Err(format!("json: expected {what} as {key}")))
        };
        wrong(&TEXTS, "text", |value| value.as_str().is_some())?;
        wrong(&TRUTHS, "true or false", |value| value.as_bool().is_some())?;
        wrong(&NUMBERS, "a whole number", |value| value.as_i64().is_some() || value.as_u64().is_some())
    }

    fn get(&self, key: &str) -> Option<Value<'p>> {
        // `null` stands for what is not there, as in Go.
        self.0?.get(key).filter(|value| !matches!(value, Value::Null))
    }

    pub(super) fn text(&self, key: &str) -> String {
        let text = self.get(key).and_then(|value| value.as_str());
        text.map_or_else(String::new, |text: Str<'_>| text.chars().collect())
    }

    fn truth(&self, key: &str) -> bool {
        self.get(key).and_then(|value| value.as_bool()).unwrap_or(false)
    }

    pub(super) fn number(&self, key: &str) -> u64 {
        self.get(key).and_then(|value| value.as_u64()).unwrap_or(0)
    }

    fn size(&self, key: &str) -> usize {
        usize::try_from(self.number(key)).unwrap_or(usize::MAX)
    }

    fn texts(&self, key: &str) -> Vec<String> {
        let list = self.get(key).and_then(|value| value.as_array());
        list.map_or_else(Vec::new, |list| {
            list.iter().filter_map(|value| Some(value.as_str()?.chars().collect())).collect()
        })
    }

    /// Whether the request is meant for this server too.
    pub(super) fn means(&self, view: &View<'_>) -> bool {
        let exact = self.truth("exact_match");
        let fits = |key: &str, ours: &str| {
            let asked = self.text(key);
            asked.is_empty() || if exact { asked == ours } else { ours.contains(&asked) }
        };
        let tags = &view.settings.operation.tags;
        fits("server_name", &view.identity.name)
            && fits("host", &view.identity.host)
            && fits("cluster", "")
            && self.text("domain").is_empty()
            && self.texts("tags").iter().all(|tag| tags.contains(tag))
    }

    pub(super) fn connz(&self) -> ConnzOptions {
        ConnzOptions {
            sort: self.text("sort"),
            auth: self.truth("auth"),
            subs: match (self.truth("subscriptions_detail"), self.truth("subscriptions")) {
                (true, _) => Subs::Detail,
                (false, true) => Subs::Subjects,
                (false, false) => Subs::None,
            },
            offset: self.size("offset"),
            limit: self.size("limit"),
            cid: self.number("cid"),
            state: match self.number("state") {
                0 => Which::Open,
                1 => Which::Closed,
                _ => Which::All,
            },
            user: self.text("user"),
            account: self.text("acc"),
            mqtt_client: self.text("mqtt_client"),
            filter_subject: self.text("filter_subject"),
        }
    }

    pub(super) fn subsz(&self) -> SubszOptions {
        SubszOptions {
            subs: self.truth("subscriptions"),
            offset: self.size("offset"),
            limit: self.size("limit"),
            account: self.text("account"),
            test: self.text("test"),
        }
    }

    pub(super) fn accounts(&self) -> AccountFilter {
        AccountFilter { accounts: self.texts("accounts"), unused: self.truth("include_unused") }
    }
}

const TEXTS: [&str; 12] = [
    "server_name",
    "cluster",
    "host",
    "domain",
    "sort",
    "user",
    "acc",
    "mqtt_client",
    "filter_subject",
    "account",
    "test",
    "account_name",
];
const TRUTHS: [&str; 5] = ["exact_match", "auth", "subscriptions", "subscriptions_detail", "include_unused"];
const NUMBERS: [&str; 4] = ["offset", "limit", "cid", "state"];
