//! What a bridge is told: an element of the list `bridges` of natsmqtt's file.

use std::path::PathBuf;

use lunix::bus::TlsFiles;
use lunix::config::{Section, Value};
use lunix_core::time::Duration;
use lunix_proto::mqtt::{Qos, ReasonCode, Version, remap, topic};

use super::address::{ADDRESS, Address};
use super::rule::Rule;
use crate::natsmqtt::gateway::names;
use crate::natsmqtt::settings::LONGEST_PACKET;
use crate::tls::Connector;

/// Rules of one bridge: what fits into one `SUBSCRIBE` of any broker.
const RULES: usize = 256;
/// Bridges of one natsmqtt.
const BRIDGES: usize = 64;
/// Addresses of one broker.
const ADDRESSES: usize = 16;

/// The outside broker, and what is shared with it.
#[derive(Clone, Debug)]
pub(in crate::natsmqtt) struct Remote {
    /// A NATS token.
    pub(super) name: Box<str>,
    /// Tried in turn.
    pub(super) addresses: Vec<Address>,
    pub(super) version: Version,
    pub(super) client_id: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    /// Seconds; 0 for none.
    pub(super) keep_alive: u16,
    pub(super) clean_session: bool,
    /// How long the broker is to keep the session, in MQTT 5.
    pub(super) session_expiry: Duration,
    /// Before MQTT 5 the broker is told that this is a bridge.
    pub(super) try_private: bool,
    /// Where the broker says, retained, whether the bridge is there: `1` or `0`.
    pub(super) notification_topic: Option<String>,
    /// The longest wait between two attempts to connect.
    pub(super) restart_timeout: Duration,
    /// For an attempt to connect, up to `CONNACK`.
    pub(super) connect_timeout: Duration,
    pub(super) queue: usize,
    pub(super) queue_bytes: usize,
    pub(super) inflight: u16,
    pub(super) packet: usize,
    pub(super) rules: Vec<Rule>,
    /// For addresses with TLS.
    pub(super) connector: Option<Connector>,
}

/// Takes the list `bridges`; what is wrong with it is noted there.
pub(in crate::natsmqtt) fn take(file: &mut Section) -> Vec<Remote> {
    let mut remotes: Vec<Remote> = Vec::new();
    for value in file.list(&["bridges"]).unwrap_or_default() {
        let place = value.clone();
        let Some(block) = value.block() else { continue };
        let Some(remote) = remote(block) else { continue };
        if remotes.iter().any(|other| other.name == remote.name) {
            place.note(format_args!("expected another name, there is a bridge '{}'", remote.name));
        } else if remotes.len() >= BRIDGES {
            place.note(format_args!("expected {BRIDGES} bridges at most"));
            break;
        } else {
            remotes.push(remote);
        }
    }
    remotes
}

fn remote(mut block: Section) -> Option<Remote> {
    let name = block.take(&["name"]);
    if name.is_none() {
        block.note("expected a name");
    }
    let name = name.and_then(|name| {
        name.parsed("letters, digits, - and _, 64 at most", |text| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            ((1..=64).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
        })
    });
    let addresses = addresses(&mut block);
    let version = block.take(&["version"]).and_then(|version| {
        version.parsed("5, 3.1.1 or 3.1", |text| match text {
            "5" | "5.0" => Some(Version::V5),
            "3.1.1" => Some(Version::V311),
            "3.1" => Some(Version::V31),
            _ => None,
        })
    });
    let text = |block: &mut Section, key| block.take(&[key]).and_then(|value| short(&value));
    let client_id = text(&mut block, "client_id");
    let (user, password) = (text(&mut block, "user"), text(&mut block, "password"));
    let small = |block: &mut Section, key, least, default| {
        let number = block.integer(&[key], least, 65_535);
        number.and_then(|number| u16::try_from(number).ok()).unwrap_or(default)
    };
    let keep_alive = small(&mut block, "keep_alive", 0, 60);
    let inflight = small(&mut block, "inflight", 1, 20);
    let seconds = Duration::from_secs;
    let span = |block: &mut Section, key, most, default| {
        block.duration(&[key], seconds(1), seconds(most)).unwrap_or(seconds(default))
    };
    let session_expiry = span(&mut block, "session_expiry", u32::MAX.into(), 24 * 3600);
    let restart_timeout = span(&mut block, "restart_timeout", 3600, 30);
    let connect_timeout = span(&mut block, "connect_timeout", 3600, 10);
    let queue = block.integer(&["queue"], 1, 1 << 24).and_then(|number| usize::try_from(number).ok());
    let size = |block: &mut Section, key, most, default| block.size(&[key], 1 << 10, most).unwrap_or(default);
    let queue_bytes = size(&mut block, "queue_bytes", 1 << 30, 1 << 20);
    let packet = size(&mut block, "packet", LONGEST_PACKET, 1 << 20);
    let clean_session = block.truth(&["clean_session"]).unwrap_or(false);
    let try_private = block.truth(&["try_private"]).unwrap_or(true);
    let notification_topic = block.take(&["notification_topic"]).and_then(|value| {
        value
            .parsed("a topic", |text| (topic::is_name(text) && text.len() <= 65_535).then(|| text.to_owned()))
    });
    let connector = connector(&mut block, &addresses);
    let rules = rules(&mut block);
    block.end();
    let name = name?;
    Some(Remote {
        client_id: client_id.unwrap_or_else(|| client_id_of(&name)),
        name: name.into(),
        addresses,
        version: version.unwrap_or(Version::V5),
        user,
        password,
        keep_alive,
        clean_session,
        session_expiry,
        try_private,
        notification_topic,
        restart_timeout,
        connect_timeout,
        queue: queue.unwrap_or(1000),
        queue_bytes,
        inflight,
        packet,
        rules,
        connector,
    })
}

/// A text that a packet can hold.
fn short(value: &Value) -> Option<String> {
    value.parsed("text of 65535 bytes at most", |text| {
        (text.len() <= 65_535 && !text.contains('\0')).then(|| text.to_owned())
    })
}

/// As mosquitto's: `NAME.HOST`.
fn client_id_of(name: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{name}.{}", host.trim())
}

fn addresses(block: &mut Section) -> Vec<Address> {
    let Some(value) = block.take(&["address", "addresses"]) else {
        block.note(format_args!("expected address, {ADDRESS}"));
        return Vec::new();
    };
    let place = value.clone();
    let list = value.list();
    if list.is_empty() || list.len() > ADDRESSES {
        place.note(format_args!("expected 1 to {ADDRESSES} addresses"));
    }
    list.into_iter().filter_map(|value| value.parsed(ADDRESS, Address::parse)).collect()
}

fn connector(block: &mut Section, addresses: &[Address]) -> Option<Connector> {
    let is_wanted = addresses.iter().any(|address| address.tls);
    let value = block.take(&["tls"]);
    let place = value.clone();
    let mut files: [Option<PathBuf>; 3] = Default::default();
    if let Some(mut tls) = value.and_then(Value::block) {
        files = ["ca_file", "cert_file", "key_file"].map(|key| tls.path(&[key]));
        tls.end();
        if !is_wanted && !addresses.is_empty() {
            place.iter().for_each(|place| place.note("expected an address with mqtts://"));
        }
    }
    if !is_wanted {
        return None;
    }
    let [authorities, certificate, key] = files;
    match Connector::new(&TlsFiles { authorities, certificate, key }) {
        Ok(connector) => Some(connector),
        Err(error) => {
            match &place {
                Some(place) => place.note(error),
                None => block.note(format_args!("mqtts://: {error}")),
            }
            None
        }
    }
}

fn rules(block: &mut Section) -> Vec<Rule> {
    let Some(value) = block.take(&["topics"]) else {
        block.note("expected topics, such as [ { pattern: \"home/#\", direction: out } ]");
        return Vec::new();
    };
    let place = value.clone();
    let list = value.list();
    if list.is_empty() || list.len() > RULES {
        place.note(format_args!("expected 1 to {RULES} topics"));
    }
    list.into_iter()
        .filter_map(|value| {
            let place = value.clone();
            rule(&place, value.block()?)
        })
        .collect()
}

fn rule(place: &Value, mut block: Section) -> Option<Rule> {
    let directions = [("out", (true, false)), ("in", (false, true)), ("both", (true, true))];
    let direction = block.take(&["direction"]).map(|value| {
        value.parsed("out, in or both", |text| {
            directions.iter().find(|(name, _)| *name == text).map(|(_, direction)| *direction)
        })
    });
    let qos = block.integer(&["qos"], 0, 2).and_then(|number| u8::try_from(number).ok());
    let retain = block.truth(&["retain"]);
    let [pattern, local, remote] = ["pattern", "local", "remote"].map(|key| block.text(&[key]));
    block.end();
    let (local, remote) = match (pattern, local, remote) {
        (Some(pattern), local, remote) => {
            let prefixed = |prefix: Option<String>| prefix.unwrap_or_default() + &pattern;
            (prefixed(local), prefixed(remote))
        }
        (None, Some(local), Some(remote)) => (local, remote),
        _ => {
            place.note("expected pattern, or local and remote");
            return None;
        }
    };
    let (out, inward) = direction.unwrap_or(Some((true, false)))?;
    for filter in [&local, &remote] {
        if !topic::is_filter(filter) || topic::is_shared(filter) || filter.len() > 65_535 {
            place.note(format_args!("expected a topic filter, such as home/+/lamp, found '{filter}'"));
            return None;
        }
    }
    if !remap::is_remap(&local, &remote) {
        place.note(format_args!("expected the same wildcards in '{local}' and '{remote}'"));
        return None;
    }
    match names::patterns(&local).map_err(|refusal| refusal.reason()) {
        // Answers may come in to inboxes from which was asked.
        Err(ReasonCode::NotAuthorized) if out || !local.starts_with("_INBOX/") => {
            place.note(format_args!("'{local}' is where NATS talks with itself"));
            return None;
        }
        Err(ReasonCode::TopicFilterInvalid) => {
            place.note(format_args!("no subject can say '{local}'"));
            return None;
        }
        _ => {}
    }
    let qos = qos.and_then(Qos::of).unwrap_or_default();
    Some(Rule { local: local.into(), remote: remote.into(), out, inward, qos, retain })
}

#[cfg(test)]
mod tests {
    use lunix::config::{self, Machine};

    use super::*;

    fn remotes(text: &str) -> Result<Vec<Remote>, String> {
        let mut file = config::parse("natsmqtt.conf".as_ref(), text, &Machine).unwrap();
        let remotes = take(&mut file);
        file.finish().map_err(|mistakes| mistakes.to_string())?;
        Ok(remotes)
    }

    #[test]
    fn what_is_not_said_is_as_mosquitto_has_it() {
        let found =
            remotes("bridges: [ { name: cloud, address: broker.example, topics: [ { pattern: '#' } ] } ]");
        let found = found.unwrap();
        let [remote] = &found[..] else { panic!() };
        assert!(remote.client_id.starts_with("cloud."));
        assert_eq!((remote.keep_alive, remote.clean_session, remote.try_private), (60, false, true));
        let rule = Rule {
            local: "#".into(),
            remote: "#".into(),
            out: true,
            inward: false,
            qos: Qos::AtMostOnce,
            retain: None,
        };
        assert_eq!(remote.rules, [rule]);
    }

    #[test]
    fn prefixes_and_whole_filters() {
        let found = remotes(
            "bridges: [ { name: a, addresses: ['mqtt://one', 'mqtt://two:1884'], version: 3.1.1, topics: [\n\
             { pattern: 'temp/+', direction: both, qos: 1, local: 'home/', remote: 'site/1/' }\n\
             { local: 'a/+/b/#', remote: 'x/+/#', direction: in, qos: 2, retain: false }\n\
             ] } ]",
        );
        let found = found.unwrap();
        let remote = found.first().unwrap();
        assert_eq!((remote.version, remote.addresses.len()), (Version::V311, 2));
        let names: Vec<_> = remote.rules.iter().map(|rule| (&*rule.local, &*rule.remote)).collect();
        assert_eq!(names, [("home/temp/+", "site/1/temp/+"), ("a/+/b/#", "x/+/#")]);
        assert_eq!(remote.rules[0].outward("home/temp/k").as_deref(), Some("site/1/temp/k"));
        assert_eq!(remote.rules[1].homeward("x/1/2/3").as_deref(), Some("a/1/b/2/3"));
    }

    #[test]
    fn all_mistakes_are_told_with_their_places() {
        let error = remotes(
            "bridges: [\n\
             { name: 'a b', address: 'http://x', version: 4, topics: [ { pattern: 'a#' } ] }\n\
             { name: b, topic: [] }\n\
             { name: c, address: x, tls { ca_file: /nowhere }, topics: [\n\
             { local: 'a/+', remote: 'b' }\n\
             { pattern: '$SYS/#', direction: sideways }\n\
             { pattern: '$SYS/#', direction: out }\n\
             { pattern: 'a b', qos: 3 }\n\
             { direction: in }\n\
             ] }\n\
             { name: d, address: x, topics: [ { pattern: '#' } ] }\n\
             { name: d, address: x, topics: [ { pattern: '#' } ] }\n\
             ]\n",
        );
        let error = error.unwrap_err();
        for expected in [
            ":2:9: name: expected letters, digits, - and _",
            ":2:25: address: expected mqtt://HOST[:PORT] or mqtts://HOST[:PORT], found 'http://x'",
            ":2:46: version: expected 5, 3.1.1 or 3.1, found '4'",
            "expected a topic filter, such as home/+/lamp, found 'a#'",
            "expected address, mqtt://",
            "topic: unknown key, did you mean 'topics'?",
            "tls: expected an address with mqtts://",
            "expected the same wildcards in 'a/+' and 'b'",
            "direction: expected out, in or both, found 'sideways'",
            "'$SYS/#' is where NATS talks with itself",
            "no subject can say 'a b'",
            "qos: expected a whole number from 0 to 2",
            "expected pattern, or local and remote",
            "expected another name, there is a bridge 'd'",
        ] {
            assert!(error.contains(expected), "{expected}\n{error}");
        }
    }
}
