//! Topics as subjects of NATS, and back, by the rules of nats-server.
//!
//! A level becomes a token, `/` becomes `.`. What a token cannot hold is said otherwise:
//!
//! | topic          | subject        |                                                    |
//! |----------------|----------------|----------------------------------------------------|
//! | `a/b`          | `a.b`          |                                                    |
//! | `/a`, `a//b`   | `/.a`, `a./.b` | an empty level is the token `/`                    |
//! | `a.b/c`        | `a//b.c`       | a dot is `//`                                      |
//! | `+`, `a/+`     | `*`, `a.*`     | in filters                                         |
//! | `#`, `a/#`     | `>`, `a.>`     | in filters; `a/#` is `a` as well, which `a.>` is not |
//!
//! Different topics are different subjects, and become the topics that they were. Subjects that no topic becomes are
//! those with a `/` that is neither alone in its token nor one of a pair: `a/b` is the topic `a/b` like `a.b` is.
//!
//! On one point this departs from nats-server: it lets levels `*` and `>` pass, whereby a topic is published that
//! nobody can subscribe to and a filter subscribes to other topics than it says. Here both are refused.

use super::read::text;
use super::topic;
use crate::Full;
use crate::nats;
use crate::out::Out;

/// Why something has no counterpart, or none that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectError {
    /// The output did not fit.
    Full(Full),
    /// What was given is itself no topic name, topic filter or subject.
    Invalid,
    /// A blank or control character, which no subject can hold.
    Character,
    /// A wildcard of the other protocol.
    Wildcard,
}

impl core::fmt::Display for SubjectError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Full(full) => full.fmt(f),
            Self::Invalid => f.write_str("not valid"),
            Self::Character => f.write_str("blanks and control characters cannot be in a subject"),
            Self::Wildcard => f.write_str("a wildcard of the other protocol"),
        }
    }
}

impl core::error::Error for SubjectError {}

impl From<Full> for SubjectError {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

/// The subject of a topic name.
///
/// # Errors
/// As [`SubjectError`] says. `out` has to be at most twice as long as the topic, and one byte more.
///
/// ```
/// use lunix_proto::mqtt::subject::{SubjectError, from_topic};
/// let mut out = [0; 32];
/// assert_eq!(from_topic(&mut out, "home/v1.2//lamp"), Ok(&b"home.v1//2./.lamp"[..]));
/// assert_eq!(from_topic(&mut out, "living room"), Err(SubjectError::Character));
/// assert_eq!(from_topic(&mut out, "a/>"), Err(SubjectError::Wildcard));
/// ```
pub fn from_topic<'o>(out: &'o mut [u8], name: &str) -> Result<&'o [u8], SubjectError> {
    if topic::is_name(name) { translate(out, name) } else { Err(SubjectError::Invalid) }
}

/// What a topic filter is to be subscribed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern<'o> {
    /// The pattern.
    pub subject: &'o [u8],
    /// A second one, which the filter matches and the pattern does not: of `a/#` the topic `a`.
    pub parent: Option<&'o [u8]>,
}

/// The pattern, or the two, of a topic filter. That of a shared subscription is the one that
/// [`topic::shared`] gives, and its group a queue group.
///
/// # Errors
/// As [`SubjectError`] says.
///
/// ```
/// use lunix_proto::mqtt::subject::{Pattern, from_filter};
/// let mut out = [0; 32];
/// let both = Pattern { subject: b"home.*.>", parent: Some(b"home.*") };
/// assert_eq!(from_filter(&mut out, "home/+/#"), Ok(both));
/// assert_eq!(from_filter(&mut out, "home/+"), Ok(Pattern { subject: b"home.*", parent: None }));
/// ```
pub fn from_filter<'o>(out: &'o mut [u8], filter: &str) -> Result<Pattern<'o>, SubjectError> {
    if !topic::is_filter(filter) {
        return Err(SubjectError::Invalid);
    }
    let subject = translate(out, filter)?;
    // Above `/#` there is only the empty topic, which there is not.
    let parent = if filter == "/#" { None } else { subject.strip_suffix(b".>") };
    Ok(Pattern { subject, parent })
}

/// The topic of a subject, which is no pattern.
///
/// # Errors
/// As [`SubjectError`] says; [`SubjectError::Wildcard`] for `+` and `#`, which topics cannot have.
///
/// ```
/// use lunix_proto::mqtt::subject::{SubjectError, to_topic};
/// let mut out = [0; 32];
/// assert_eq!(to_topic(&mut out, b"home.v1//2./.lamp"), Ok("home/v1.2//lamp"));
/// assert_eq!(to_topic(&mut out, b"c#"), Err(SubjectError::Wildcard));
/// ```
pub fn to_topic<'o>(out: &'o mut [u8], subject: &[u8]) -> Result<&'o str, SubjectError> {
    if !nats::subject::is_literal(subject) {
        return Err(SubjectError::Invalid);
    }
    let mut topic = Out::new(&mut *out);
    for (at, token) in nats::subject::tokens(subject).enumerate() {
        if at > 0 {
            topic.put(b"/");
        }
        let mut rest = if token == b"/" { &[][..] } else { token };
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'/' | b'+' | b'#')) {
            let (plain, special) = rest.split_at(at);
            topic.put(plain);
            rest = match special {
                [b'/', b'/', after @ ..] => {
                    topic.put(b".");
                    after
                }
                [b'/', after @ ..] => {
                    topic.put(b"/");
                    after
                }
                _ => return Err(SubjectError::Wildcard),
            };
        }
        topic.put(rest);
    }
    let len = topic.finish()?;
    let name = text(out.get(..len).unwrap_or_default()).map_err(|_| SubjectError::Character)?;
    // No packet can say a longer one, nor an empty one.
    if name.is_empty() || len > usize::from(u16::MAX) { Err(SubjectError::Invalid) } else { Ok(name) }
}

/// Whether a subject is none of the world's business: what NATS, its servers and its clients talk about among
/// themselves. That is `$…`, which topics that begin so become too, and `_INBOX.…`.
///
/// ```
/// use lunix_proto::mqtt::subject::is_hidden;
/// assert!(is_hidden(b"$SYS.REQ") && is_hidden(b"_INBOX.x") && !is_hidden(b"_INBOXES") && !is_hidden(b"a.$b"));
/// ```
pub fn is_hidden(subject: &[u8]) -> bool {
    subject.first() == Some(&b'$') || nats::subject::tokens(subject).next() == Some(b"_INBOX")
}

/// A topic name, or a filter: that it is either was checked.
fn translate<'o>(out: &'o mut [u8], topic: &str) -> Result<&'o [u8], SubjectError> {
    let mut subject = Out::new(&mut *out);
    for (at, level) in topic.split('/').enumerate() {
        if at > 0 {
            subject.put(b".");
        }
        match level {
            "" => subject.put(b"/"),
            "+" => subject.put(b"*"),
            "#" => subject.put(b">"),
            "*" | ">" => return Err(SubjectError::Wildcard),
            level => {
                if level.bytes().any(|byte| matches!(byte, 0..=b' ' | 0x7F)) {
                    return Err(SubjectError::Character);
                }
                for (at, part) in level.split('.').enumerate() {
                    if at > 0 {
                        subject.put(b"//");
                    }
                    subject.put(part.as_bytes());
                }
            }
        }
    }
    let len = subject.finish()?;
    Ok(out.get(..len).unwrap_or_default())
}
