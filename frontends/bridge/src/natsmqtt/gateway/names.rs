//! Topics as subjects and back, by the rules of `lunix_proto::mqtt::subject`, with the limits of a NATS line.

use lunix_proto::mqtt::ReasonCode;
use lunix_proto::mqtt::subject::{self, SubjectError, from_filter, from_topic, to_topic};

use super::refusal::Refusal;

/// Servers end a connection with longer lines: 4096 bytes, in which a reply subject and numbers have to fit as well.
pub(super) const LONGEST: usize = 1900;

/// The subject of a topic name.
///
/// # Errors
/// What to tell the client.
pub(super) fn subject(topic: &str) -> Result<String, Refusal> {
    let mut space = vec![0; 2 * topic.len() + 1];
    let reason = ReasonCode::TopicNameInvalid;
    let length = from_topic(&mut space, topic).map_err(|error| Refusal::new(reason, words(error)))?.len();
    space.truncate(length);
    let subject = String::from_utf8(space).ok().filter(|subject| subject.len() <= LONGEST);
    subject.ok_or_else(|| too_long(reason))
}

/// The one or two patterns of a topic filter.
///
/// # Errors
/// What to tell the client: it is no filter, no subject can say it, or it is nobody's business.
pub(in crate::natsmqtt) fn patterns(filter: &str) -> Result<Vec<String>, Refusal> {
    let mut space = vec![0; 2 * filter.len() + 1];
    let reason = ReasonCode::TopicFilterInvalid;
    let pattern = from_filter(&mut space, filter).map_err(|error| Refusal::new(reason, words(error)))?;
    if is_hidden(pattern.subject) {
        return Err(hidden());
    }
    let patterns = [Some(pattern.subject), pattern.parent];
    let patterns: Option<Vec<String>> = patterns.into_iter().flatten().map(owned).collect();
    patterns.ok_or_else(|| too_long(reason))
}

/// Whether a subject is none of the devices' business: what NATS says among its own, and what we say there of the devices
/// themselves, or are asked.
pub(in crate::natsmqtt) fn is_hidden(subject: &[u8]) -> bool {
    let is_ours = subject.strip_prefix(b"mqtt.").is_some_and(|rest| {
        let below: [&[u8]; 3] = [b"bridge.", b"client.", b"retained."];
        rest == b"clients" || below.iter().any(|below| rest.starts_with(below))
    });
    is_ours || subject::is_hidden(subject)
}

/// Says so of a topic, or of a filter that matches nothing else.
pub(super) fn hidden() -> Refusal {
    Refusal::new(ReasonCode::NotAuthorized, "devices have no part in what NATS talks about with itself")
}

fn words(error: SubjectError) -> &'static str {
    match error {
        SubjectError::Character => "blanks and control characters cannot be in a subject of NATS",
        SubjectError::Wildcard => "levels * and > are wildcards of NATS",
        SubjectError::Full(_) | SubjectError::Invalid => "",
    }
}

fn too_long(reason: ReasonCode) -> Refusal {
    Refusal::new(reason, format!("a subject of NATS would be longer than {LONGEST} bytes"))
}

/// The topic of a subject, if there is one.
pub(super) fn topic(subject: &[u8]) -> Option<String> {
    let mut space = vec![0; subject.len()];
    let length = to_topic(&mut space, subject).ok()?.len();
    space.truncate(length);
    String::from_utf8(space).ok()
}

fn owned(subject: &[u8]) -> Option<String> {
    let subject = str::from_utf8(subject).ok()?;
    (subject.len() <= LONGEST).then(|| subject.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_counterpart_is_refused_by_its_reason() {
        assert_eq!(subject("a/b").as_deref(), Ok("a.b"));
        for topic in ["a b", "a/>", &"x".repeat(2000)] {
            assert_eq!(subject(topic).unwrap_err().reason(), ReasonCode::TopicNameInvalid, "{topic}");
        }
        assert_eq!(patterns("a/#"), Ok(vec!["a.>".to_owned(), "a".to_owned()]));
        assert_eq!(patterns("#"), Ok(vec![">".to_owned()]));
        assert_eq!(patterns("mqtt/clients/1"), Ok(vec!["mqtt.clients.1".to_owned()]));
        for filter in ["a#", "*", "a/b c", &"x".repeat(2000)] {
            assert_eq!(patterns(filter).unwrap_err().reason(), ReasonCode::TopicFilterInvalid, "{filter}");
        }
        for filter in ["$SYS/#", "$JS/a", "_INBOX/#", "mqtt/clients", "mqtt/client/+", "mqtt/retained/#"] {
            assert_eq!(patterns(filter), Err(hidden()), "{filter}");
        }
        assert_eq!(topic(b"a.b").as_deref(), Some("a/b"));
        assert_eq!(topic(b"a.c#"), None);
    }
}
