//! How the server runs and stops, and what of nats-server it has not.

use std::time::Duration;

use super::{Facts, Subject};
use crate::cli::{Matches, UsageError};
use crate::config::{Section, Span};

/// How the server runs and stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// How long it takes in lame duck mode until the last client is closed.
    pub lame_duck_duration: Duration,
    /// How much of that passes before the first one is.
    pub lame_duck_grace_period: Duration,
    /// What the server's statistics are labelled with.
    pub tags: Vec<String>,
    /// For how long it looks for the next message before it sleeps.
    pub busy_poll: Duration,
}

/// Longer than this it is cheaper to sleep.
const MOST_BUSY: Duration = Duration::from_millis(1);

impl Default for Operation {
    fn default() -> Self {
        Self {
            lame_duck_duration: Duration::from_secs(120),
            lame_duck_grace_period: Duration::from_secs(10),
            tags: Vec::new(),
            busy_poll: Duration::ZERO,
        }
    }
}

/// What nats-server has and natsd has not, by key.
const ABSENT: [(&str, &str); 12] = [
    ("mappings", "mappings of subjects"),
    ("maps", "mappings of subjects"),
    ("max_subscription_tokens", "limit of a subject's tokens but max_control_line"),
    ("max_sub_tokens", "limit of a subject's tokens but max_control_line"),
    ("gateway", "gateways; it joins a cluster as a leaf node"),
    ("mqtt", "MQTT listener; natsmqtt is one"),
    ("ocsp", "OCSP"),
    ("ocsp_cache", "OCSP"),
    ("proxy_protocol", "PROXY protocol"),
    ("proxies", "PROXY protocol"),
    ("syslog", "syslog; log to stderr, and let the supervisor collect it"),
    ("remote_syslog", "syslog; log to stderr, and let the supervisor collect it"),
];

/// What changes nothing that a client or an operator could see.
const IGNORED: [&str; 11] = [
    "server_metadata",
    "connect_error_reports",
    "reconnect_error_reports",
    "disable_sublist_cache",
    "no_sublist_cache",
    "write_timeout",
    "prof_block_rate",
    "feature_flags",
    "default_js_domain",
    "store_dir",
    "storedir",
];

impl Subject for Operation {
    fn configure(&mut self, file: &mut Section) {
        let day = Duration::from_secs(86_400);
        let duration = file.take(&["lame_duck_duration"]);
        if let Some(span) = duration.as_ref().and_then(|value| value.duration(Duration::ZERO, day)) {
            self.lame_duck_duration = span;
        }
        let grace = file.duration(&["lame_duck_grace_period"], Duration::ZERO, day);
        self.lame_duck_grace_period = match grace {
            Some(grace) => grace,
            None => self.lame_duck_grace_period.min(self.lame_duck_duration / 2),
        };
        if let (Some(value), true) = (duration, self.lame_duck_grace_period > self.lame_duck_duration) {
            value.wrong(&format!("at least lame_duck_grace_period ({})", Span(self.lame_duck_grace_period)));
        }
        if let Some(tags) = file.list(&["server_tags"]) {
            self.tags = tags.iter().filter_map(|tag| Some(tag.text()?.to_ascii_lowercase())).collect();
        }
        if let Some(span) = file.duration(&["busy_poll"], Duration::ZERO, MOST_BUSY) {
            self.busy_poll = span;
        }
        absent_listeners(file);
        file.absent(&ABSENT);
        file.ignore(&IGNORED);
        if let Some(port) = file.take(&["prof_port"]) {
            port.remark("natsd has no profiling over HTTP; perf(1) works");
        }
    }

    fn apply(&mut self, _: &Matches) -> Result<(), UsageError> {
        Ok(())
    }

    fn facts(&self, facts: &mut Facts) {
        facts.live("lame_duck_duration", &Span(self.lame_duck_duration));
        facts.live("lame_duck_grace_period", &Span(self.lame_duck_grace_period));
        facts.live("busy_poll", &Span(self.busy_poll));
        facts.live("server_tags", &self.tags.join(" "));
    }
}

/// Blocks that test suites and shared configurations have, and that mean nothing here as long as nobody relies on them.
fn absent_listeners(file: &mut Section) {
    if let Some(mut cluster) = file.take(&["cluster"]).and_then(|value| value.block())
        && let Some(value) = cluster.take(&["listen", "host", "net", "port", "routes"])
    {
        value.note("natsd has no clusters; it joins one as a leaf node");
    }
    if let Some(jetstream) = file.take(&["jetstream"])
        && !jetstream.is_off()
    {
        let off = if jetstream.is_block() {
            let block = jetstream.clone().block();
            block.and_then(|mut block| block.truth(&["enabled"])) == Some(false)
        } else {
            let word = |text: &str| Some(text.to_ascii_lowercase());
            matches!(jetstream.parsed("on or off", word).as_deref(), Some("disabled" | "disable"))
        };
        if !off {
            jetstream.note("natsd has no JetStream; as a leaf node it reaches that of a cluster");
        }
    }
    if let Some(websocket) = file.take(&["websocket", "ws"])
        && !websocket.is_off()
    {
        websocket.remark("natsd has no WebSocket listener; natsws is one");
    }
}
