//! What a server said in a play, brought into a form that two servers can be compared in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::known::{self, IGNORED_INFO};
use super::script::shown;

/// One thing that a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Info(Vec<u8>),
    Ok,
    Ping,
    Pong,
    Error(Vec<u8>),
    Message(Message),
    /// What a leaf node is told to be wanted, or no longer.
    Interest(Vec<u8>),
    /// A line that no server should say.
    Line(Vec<u8>),
    /// What came last and was not whole.
    Torn(Vec<u8>),
    /// The server closed the connection, not we.
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Message {
    subject: Vec<u8>,
    /// Of a leaf node's message the queue groups that are meant, with a mark before them.
    sid: Vec<u8>,
    pub(super) reply: Vec<u8>,
    /// None in a `MSG`.
    header: Option<Vec<u8>>,
    payload: Vec<u8>,
}

impl Item {
    /// The item that `bytes` begin with, and its length; `None` if it is not whole. `to_leaf` says to whom.
    pub(super) fn parse(bytes: &[u8], to_leaf: bool) -> Option<(Self, usize)> {
        let end = bytes.iter().position(|byte| *byte == b'\n')? + 1;
        let line = bytes[..end].trim_ascii_end();
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let (sid, reply, header, total) = match words.as_slice() {
            [b"LS+" | b"LS-", ..] if to_leaf => return Some((Self::Interest(line.to_vec()), end)),
            [b"LMSG", _, middle @ .., total] if to_leaf => {
                let (queues, reply) = to_queues(middle);
                (queues, reply, None, *total)
            }
            [b"HMSG", _, middle @ .., header, total] if to_leaf => {
                let (queues, reply) = to_queues(middle);
                (queues, reply, Some(*header), *total)
            }
            [b"MSG", _, sid, total] => (sid.to_vec(), &b""[..], None, *total),
            [b"MSG", _, sid, reply, total] => (sid.to_vec(), *reply, None, *total),
            [b"HMSG", _, sid, header, total] => (sid.to_vec(), &b""[..], Some(*header), *total),
            [b"HMSG", _, sid, reply, header, total] => (sid.to_vec(), *reply, Some(*header), *total),
            [b"INFO", ..] => return Some((Self::Info(line[5..].to_vec()), end)),
            [b"-ERR", ..] => return Some((Self::Error(line[5..].to_vec()), end)),
            [b"+OK"] => return Some((Self::Ok, end)),
            [b"PING"] => return Some((Self::Ping, end)),
            [b"PONG"] => return Some((Self::Pong, end)),
            _ => return Some((Self::Line(line.to_vec()), end)),
        };
        let (Some(total), Some(header)) =
            (number(total), header.map_or(Some(None), |text| number(text).map(Some)))
        else {
            return Some((Self::Line(line.to_vec()), end));
        };
        let body = bytes.get(end..end + total)?;
        let trailer = bytes.get(end + total..end + total + 2)?;
        if trailer != b"\r\n" || header.is_some_and(|header| header > total) {
            return Some((Self::Line(line.to_vec()), end));
        }
        let (head, payload) = body.split_at(header.unwrap_or(0));
        let message = Message {
            subject: words[1].to_vec(),
            sid,
            reply: reply.to_vec(),
            header: header.map(|_| head.to_vec()),
            payload: payload.to_vec(),
        };
        Some((Self::Message(message), end + total + 2))
    }
}

/// The queue groups in a line to a leaf node, in order, and the reply: `+ reply queues`, `| queues` or `reply`.
fn to_queues<'a>(middle: &[&'a [u8]]) -> (Vec<u8>, &'a [u8]) {
    let (mut queues, reply) = match middle {
        [b"+", reply, queues @ ..] => (queues.to_vec(), *reply),
        [b"|", queues @ ..] => (queues.to_vec(), &b""[..]),
        [reply] => (Vec::new(), *reply),
        _ => (middle.to_vec(), &b""[..]),
    };
    queues.sort_unstable();
    let mut mark = b"leaf ".to_vec();
    mark.extend(queues.join(&b' '));
    (mark, reply)
}

fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// What one server said in a play: by connection, and what went to queue groups.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Transcript {
    clients: Vec<Vec<String>>,
    /// Which member gets a message is the server's choice: only that one of them does is compared.
    queues: BTreeMap<String, usize>,
}

impl Transcript {
    /// `connections` are in the order in which they were opened; `prefix` is the play's own token.
    pub(super) fn new(connections: Vec<Vec<Item>>, prefix: &str) -> Self {
        let mut queues = BTreeMap::new();
        let clients = connections.into_iter().map(|items| said(items, prefix, &mut queues)).collect();
        Self { clients, queues }
    }

    /// Where the two differ, for people; empty if they do not. `reloaded` says that a configuration was loaded meanwhile.
    pub(super) fn difference(ours: &Self, theirs: &Self, names: [&str; 2], reloaded: bool) -> String {
        let mut out = String::new();
        for (index, (a, b)) in ours.clients.iter().zip(&theirs.clients).enumerate() {
            let cut_short = known::is_cut_short(a, b) || known::is_cut_short(b, a);
            if a == b || cut_short || (reloaded && known::is_told_why(a, b)) {
                continue;
            }
            let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
            let _ = writeln!(out, "  connection {index}, after {same} equal answers:");
            for (name, side) in names.iter().zip([a, b]) {
                for line in side.iter().skip(same).take(6) {
                    let _ = writeln!(out, "    {name:<11} {line}");
                }
                if side.len() <= same {
                    let _ = writeln!(out, "    {name:<11} (nothing)");
                }
            }
        }
        for key in
            ours.queues.keys().chain(theirs.queues.keys().filter(|key| !ours.queues.contains_key(*key)))
        {
            let count = |side: &Self| side.queues.get(key).copied().unwrap_or(0);
            if count(ours) != count(theirs) {
                let _ = writeln!(
                    out,
                    "  queue group's message {key}: {} times from {}, {} times from {}",
                    count(ours),
                    names[0],
                    count(theirs),
                    names[1]
                );
            }
        }
        out
    }
}

fn said(items: Vec<Item>, prefix: &str, queues: &mut BTreeMap<String, usize>) -> Vec<String> {
    let mut lines = Vec::new();
    // Copies of one message for several subscriptions of a connection come in any order.
    let mut copies: Vec<Message> = Vec::new();
    // Of interest only what it comes to: when a leaf node hears of a change depends on nobody's speed but theirs.
    let mut wanted = BTreeSet::new();
    for item in items {
        if let Item::Interest(line) = item {
            let subject = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
            let queue = line.split(|byte| *byte == b' ').nth(2).unwrap_or_default();
            wanted.retain(|(known, group, _)| known != subject || group != queue);
            if line.starts_with(b"LS+") && !known::is_own_interest(&line) {
                wanted.insert((subject.to_vec(), queue.to_vec(), line));
            }
            continue;
        }
        let message = match item {
            Item::Message(message) => message,
            other => {
                spill(&mut copies, &mut lines, prefix);
                lines.push(match other {
                    Item::Info(json) => format!("INFO {}", info(&json)),
                    Item::Ok => "+OK".to_owned(),
                    Item::Pong => "PONG".to_owned(),
                    Item::Ping => continue,
                    Item::Error(text) => format!("-ERR {}", own(&text, prefix)),
                    Item::Line(line) => format!("? {}", own(&line, prefix)),
                    Item::Torn(rest) => format!("torn: {}", own(&rest, prefix)),
                    Item::Closed => "closed".to_owned(),
                    Item::Message(_) | Item::Interest(_) => continue,
                });
                continue;
            }
        };
        if known::is_event(&message.subject) {
            continue;
        }
        if message.sid.starts_with(b"q") {
            // The header block is left out where the chosen member does not read them.
            let group = own(message.sid.get(..2).unwrap_or_default(), prefix);
            let key = format!(
                "{group} {} {} {}",
                own(&message.subject, prefix),
                own(&message.reply, prefix),
                own(&message.payload, prefix)
            );
            *queues.entry(key).or_insert(0) += 1;
            continue;
        }
        if copies.first().is_some_and(|first| {
            (&first.subject, &first.payload, &first.reply, &first.header)
                != (&message.subject, &message.payload, &message.reply, &message.header)
        }) {
            spill(&mut copies, &mut lines, prefix);
        }
        copies.push(message);
    }
    spill(&mut copies, &mut lines, prefix);
    known::settle(&mut lines);
    known::order_violations(&mut lines);
    lines.extend(wanted.into_iter().map(|(_, _, line)| own(&line, prefix)));
    lines
}

fn spill(copies: &mut Vec<Message>, lines: &mut Vec<String>, prefix: &str) {
    copies.sort();
    for message in copies.drain(..) {
        let nobody = message.header.as_ref().is_some_and(|header| header.starts_with(b"NATS/1.0 503"));
        // Of several own subscriptions that match the reply, any may be told.
        let sid = if nobody { "?".to_owned() } else { own(&message.sid, prefix) };
        let header = message.header.as_ref().map(|header| own(&known::header(header), prefix));
        lines.push(format!(
            "{} {} {sid} {} {} {}",
            if header.is_some() { "HMSG" } else { "MSG" },
            known::without_token(&own(&message.subject, prefix)),
            known::without_token(&own(&message.reply, prefix)),
            header.unwrap_or_default(),
            own(&message.payload, prefix)
        ));
    }
}

/// Readable, and with the play's own token as the script has it.
fn own(bytes: &[u8], prefix: &str) -> String {
    shown(bytes).replace(prefix, "%")
}

fn info(json: &[u8]) -> String {
    let Ok(Value::Object(mut info)) = serde_json::from_slice(json) else { return shown(json) };
    known::leaf_proto(&mut info);
    IGNORED_INFO.iter().for_each(|(key, _)| drop(info.remove(*key)));
    Value::Object(info).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(mut bytes: &[u8]) -> Vec<Item> {
        let mut items = Vec::new();
        while let Some((item, len)) = Item::parse(bytes, false) {
            items.push(item);
            bytes = &bytes[len..];
        }
        assert_eq!(bytes, b"");
        items
    }

    fn differ(ours: &[u8], theirs: &[u8]) -> String {
        let [ours, theirs] = [ours, theirs].map(|bytes| Transcript::new(vec![items(bytes)], "dXX"));
        Transcript::difference(&ours, &theirs, ["a", "b"], false)
    }

    #[test]
    fn order_counts_between_messages_and_not_between_copies() {
        assert_eq!(
            differ(b"MSG x 1 1\r\na\r\nMSG x 2 1\r\na\r\n", b"MSG x 2 1\r\na\r\nMSG x 1 1\r\na\r\n"),
            ""
        );
        assert_ne!(
            differ(b"MSG x 1 1\r\na\r\nMSG x 1 1\r\nb\r\n", b"MSG x 1 1\r\nb\r\nMSG x 1 1\r\na\r\n"),
            ""
        );
        assert_ne!(differ(b"MSG x 1 1\r\na\r\n", b""), "");
    }

    #[test]
    fn the_member_of_a_queue_group_does_not_count_but_its_message_does() {
        assert_eq!(differ(b"MSG x qA1 1\r\na\r\n", b"HMSG x qA2 12 13\r\nNATS/1.0\r\n\r\na\r\n"), "");
        assert_ne!(differ(b"MSG x qA1 1\r\na\r\n", b"MSG x qB1 1\r\na\r\n"), "");
        assert_ne!(differ(b"MSG x qA1 1\r\na\r\n", b""), "");
    }

    #[test]
    fn a_leaf_node_is_told_in_any_order_and_what_counts_is_the_end() {
        let leaf = |mut bytes: &[u8]| {
            let mut items = Vec::new();
            while let Some((item, len)) = Item::parse(bytes, true) {
                items.push(item);
                bytes = &bytes[len..];
            }
            assert_eq!(bytes, b"");
            Transcript::new(vec![items], "dXX")
        };
        let differ = |ours: &[u8], theirs: &[u8]| {
            Transcript::difference(&leaf(ours), &leaf(theirs), ["a", "b"], false)
        };
        let own = b"LS+ $LDS.x\r\nLS+ a\r\nLS+ b q 1\r\nPONG\r\nLS+ b q 2\r\nLS+ c\r\nLS- c\r\n";
        assert_eq!(differ(own, b"LS+ b q 2\r\nPONG\r\nLS+ a\r\n"), "");
        assert_ne!(differ(own, b"LS+ b q 1\r\nPONG\r\nLS+ a\r\n"), "");
        assert_ne!(differ(own, b"LS+ b q 2\r\nPONG\r\n"), "");
        assert_eq!(differ(b"LMSG a + r q p 1\r\nx\r\n", b"LMSG a + r p q 1\r\nx\r\n"), "");
        assert_ne!(differ(b"LMSG a + r q 1\r\nx\r\n", b"LMSG a | q 1\r\nx\r\n"), "");
        assert_ne!(differ(b"LMSG a | r 1\r\nx\r\n", b"LMSG a r 1\r\nx\r\n"), "");
    }

    #[test]
    fn items_come_whole() {
        let stream =
            b"INFO {} \r\n+OK\r\n-ERR 'x'\r\nMSG a 1 r 2\r\nhi\r\nHMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n";
        assert_eq!(items(stream).len(), 5);
        for cut in 0..stream.len() {
            let mut bytes = &stream[..cut];
            while let Some((_, len)) = Item::parse(bytes, false) {
                bytes = &bytes[len..];
            }
            assert!(bytes.len() < 40);
        }
    }
}
