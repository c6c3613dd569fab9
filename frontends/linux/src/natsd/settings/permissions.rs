//! What users may publish and subscribe to, as nats-server writes it.

use std::time::Duration;

use lunix_proto::nats::subject;

use crate::config::Value;
use crate::natsd::auth::grant::{ConnectionTypes, Permissions, Responses, Rule, push_line};

const SUBJECT: &str = "a subject, which may hold '*' and '>'";
const QUEUE: &str = "a subject, which may hold '*' and '>', with or without a queue after it";

/// `{ publish: … subscribe: … allow_responses: … }`
pub(super) fn permissions(value: Value) -> Option<Permissions> {
    let mut section = value.block()?;
    let mut permissions = Permissions::default();
    if let Some(value) = section.take(&["publish", "pub", "import"]) {
        permissions.publish = rule(value, false);
    }
    if let Some(value) = section.take(&["subscribe", "sub", "export"]) {
        permissions.subscribe = rule(value, true);
        // An empty list allows no publish, but all subscriptions.
        permissions.subscribe.allow.take_if(|allow| allow.is_empty());
    }
    if let Some(value) = section.take(&["allow_responses", "publish_allow_responses"]) {
        permissions.responses = responses(value);
    }
    permissions.settle();
    section.end();
    Some(permissions)
}

/// `{ allow: […] deny: […] }`, or what is allowed.
fn rule(value: Value, queue: bool) -> Rule {
    if !value.is_block() {
        return Rule { allow: Some(patterns(value, queue)), deny: String::new() };
    }
    let Some(mut section) = value.block() else { return Rule::default() };
    let mut lines = |name| section.take(&[name]).map(|value| patterns(value, queue));
    let rule = Rule { allow: lines("allow"), deny: lines("deny").unwrap_or_default() };
    section.end();
    rule
}

fn patterns(value: Value, queue: bool) -> String {
    let mut lines = String::new();
    for element in value.list() {
        let expected = if queue { QUEUE } else { SUBJECT };
        if let Some(pattern) = element.parsed(expected, |text| pattern(text, queue)) {
            push_line(&mut lines, &pattern);
        }
    }
    lines
}

/// The pattern, and the queue after it, with one blank between them.
fn pattern(text: &str, queue: bool) -> Option<String> {
    let mut words = text.split_ascii_whitespace();
    let (pattern, name) = (words.next()?, words.next());
    let good = subject::is_pattern(pattern.as_bytes())
        && words.next().is_none()
        && name.is_none_or(|name| queue && subject::is_pattern(name.as_bytes()));
    good.then(|| name.map_or_else(|| pattern.to_owned(), |name| format!("{pattern} {name}")))
}

/// `true`, or `{ max: 1 expires: "2m" }`.
fn responses(value: Value) -> Option<Responses> {
    if !value.is_block() {
        return value.truth()?.then_some(Responses::USUAL);
    }
    let mut section = value.block()?;
    let mut responses = Responses::USUAL;
    match section.integer(&["max", "max_msgs", "max_messages", "max_responses"], -1, 1 << 30) {
        None | Some(0) => {}
        Some(max) => responses.max = u32::try_from(max).unwrap_or(0),
    }
    if let Some(value) = section.take(&["expires", "expiration", "ttl"]) {
        // A negative duration is for ever.
        if value.parsed("a duration", |text| Some(text.starts_with('-'))) == Some(true) {
            responses.expires = None;
        } else if let Some(span) = value.duration(Duration::ZERO, Duration::from_secs(86_400 * 365)) {
            responses.expires = Some(span).filter(|span| !span.is_zero()).or(responses.expires);
        }
    }
    section.end();
    Some(responses)
}

/// `["STANDARD", …]`
pub(super) fn connection_types(value: Value) -> ConnectionTypes {
    const EXPECTED: &str = "STANDARD, WEBSOCKET, LEAFNODE, LEAFNODE_WS, MQTT, MQTT_WS or IN_PROCESS";
    value
        .list()
        .iter()
        .filter_map(|element| element.parsed(EXPECTED, ConnectionTypes::named))
        .fold(ConnectionTypes::NONE, ConnectionTypes::and)
}
