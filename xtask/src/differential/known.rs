//! Where natsd is meant to differ from nats-server: the one list of it.

/// Keys of `INFO` that are not compared, and why.
pub(super) static IGNORED_INFO: &[(&str, &str)] = &[
    ("server_id", "each server has its own"),
    ("server_name", "each server has its own; here it is the id"),
    ("port", "each server has its own"),
    ("client_id", "numbers of connections run on from script to script"),
    ("nonce", "random"),
    ("go", "natsd is not written in Go"),
    ("git_commit", "a build's own"),
    ("xkey", "a key for authorization call-outs, which natsd does not have"),
    ("api_lvl", "JetStream's"),
    ("leafnode_urls", "to a leaf node: each server has its own"),
    ("ip", "to a leaf node: each server has its own"),
    ("compression", "to a leaf node: natsd offers none"),
];

/// The `proto` that a leaf node is told, instead of what it is: natsd does not trace messages.
pub(super) fn leaf_proto(info: &mut serde_json::Map<String, serde_json::Value>) {
    if info.contains_key("info_on_connect") || info.contains_key("connect_info") {
        info.remove("proto");
    }
}

/// Messages of the servers themselves, which come at times of their own: `>` brings every account's
/// `$SYS.ACCOUNT.CLIENT.AUTH.ERR` from nats-server.
pub(super) fn is_event(subject: &[u8]) -> bool {
    subject.starts_with(b"$SYS.")
}

/// Interest that a hub has of its own: its loop detection, and what it answers itself.
pub(super) fn is_own_interest(line: &[u8]) -> bool {
    let subject = line.get(4..).unwrap_or_default();
    subject.starts_with(b"$LDS.") || subject.starts_with(b"$SYS.")
}

/// A reply across the border of an account, which is random: `_R_.` and a token.
pub(super) fn without_token(shown: &str) -> String {
    let Some(token) = shown.strip_prefix("\"_R_.").and_then(|rest| rest.strip_suffix('"')) else {
        return shown.to_owned();
    };
    if token.contains('%') { shown.to_owned() } else { "\"_R_.?\"".to_owned() }
}

/// A header block as far as it is compared. Who asks a service is told in its last line by nats-server, in its first one by
/// natsd, and the round-trip time only if it is known yet.
pub(super) fn header(block: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(block);
    let Some((version, rest)) = text.split_once("\r\n") else { return block.to_vec() };
    let (mut asker, mut lines): (Vec<&str>, Vec<&str>) = rest
        .lines()
        .filter(|line| !line.is_empty())
        .partition(|line| line.starts_with("Nats-Request-Info: "));
    let Some(info) = asker.pop() else { return block.to_vec() };
    let (info, time) = info.split_once(",\"rtt\":").unwrap_or((info, ""));
    let info = format!("{info}{}", time.trim_start_matches(|c: char| c.is_ascii_digit()));
    lines.push(&info);
    format!("{version}\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

/// Whether `ours` is `theirs`, and says besides why the connection is closed: who is no user any more after a reload is told so
/// by natsd.
pub(super) fn is_told_why(ours: &[String], theirs: &[String]) -> bool {
    let ([before @ .., why, end], [same @ .., theirs_end]) = (ours, theirs) else { return false };
    why.contains("Authorization Violation") && end == "closed" && end == theirs_end && before == same
}

/// Whether a connection's answers are those of the other server up to where the server reset it: bytes that it had
/// not read then take with them what it had not sent, and how much that is depends on speed.
pub(super) fn is_cut_short(lines: &[String], whole: &[String]) -> bool {
    // Who has ended its own side before is not told that the other one ends.
    let (lines, whole) = match (lines, whole) {
        ([lines @ .., end], [whole @ .., other_end]) if end == "closed" && other_end == end => (lines, whole),
        both => both,
    };
    let [before @ .., torn] = lines else { return false };
    torn.starts_with("torn: ") && whole.starts_with(before)
}

/// Takes out of a connection's answers what only one server says, for a reason.
///
/// nats-server judges a pedantic client's subject when the line is there, and again if the payload comes in
/// another read: so it says it twice then, and also of a message that never ends or ends wrongly. natsd says it
/// once, when the message is whole.
pub(super) fn settle(lines: &mut Vec<String>) {
    const JUDGED: &str = "-ERR \"\\'Invalid Publish Subject\\'\"";
    lines.dedup_by(|next, line| next == JUDGED && line == JUDGED);
    let judged: Vec<bool> = lines
        .iter()
        .zip(lines.iter().skip(1).map(Some).chain([None]))
        .map(|(line, next)| {
            let over =
                next.is_none_or(|next| next == "closed" || next.contains("Unknown Protocol Operation"));
            line == JUDGED && over
        })
        .collect();
    let mut judged = judged.into_iter();
    lines.retain(|_| !judged.next().unwrap_or(false));
}

/// Puts in order what a reload says of each subscription that may not stay: nats-server goes through them as its map has them.
pub(super) fn order_violations(lines: &mut [String]) {
    let of_reload =
        |line: &String| line.contains("Permissions Violation for Subscription") && line.contains("(sid ");
    for run in lines.chunk_by_mut(|line, next| of_reload(line) && of_reload(next)) {
        if run.first().is_some_and(of_reload) {
            run.sort_unstable();
        }
    }
}

/// An operation that both servers are not asked to answer alike, and why.
pub(super) struct Deliberate {
    pub(super) why: &'static str,
    pub(super) applies: fn(&[u8]) -> bool,
}

/// Scripts leave these out.
pub(super) static DELIBERATE: &[Deliberate] = &[
    Deliberate {
        why: "a CR that does not stand before LF: nats-server drops the last byte of the arguments then, or lets \
              a subject hold it, depending on how the bytes came; natsd closes",
        applies: stray_cr,
    },
    Deliberate {
        why: "JSON whose text is not Unicode: nats-server puts U+FFFD for what is wrong; natsd closes",
        applies: |op| {
            let json = op.contains(&b'{');
            json && (std::str::from_utf8(op).is_err() || op.windows(4).any(|part| part == b"\\ud8"))
        },
    },
    Deliberate {
        why: "a control line near its limit with several blanks behind the verb: natsd counts them all, \
              nats-server not the first ones",
        applies: |op| {
            let line = op.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let blanks = line.windows(2).any(|pair| pair.iter().all(|byte| matches!(byte, b' ' | b'\t')));
            line.len() > 100 && blanks
        },
    },
    Deliberate {
        why: "an LF right behind the verb and its blank: nats-server takes it into the arguments and reads on; \
              natsd ends the line",
        applies: lf_for_arguments,
    },
    Deliberate {
        why: "a leaf node's queue weight that is no number: nats-server takes it for -1; natsd closes",
        applies: |op| {
            let line = op.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            let verb = words.next().is_some_and(|verb| verb.eq_ignore_ascii_case(b"LS+"));
            verb && words.nth(2).is_some_and(|weight| !weight.iter().all(u8::is_ascii_digit))
        },
    },
    Deliberate {
        why: "an LS+ with other than one blank before each word: nats-server takes the whole line for its name, by which LS- has to \
              call it; natsd reads words",
        applies: |op| {
            let line = op.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let Some((verb, rest)) = line.split_at_checked(4) else { return false };
            let words = rest.split(|byte| *byte == b' ');
            verb[..3].eq_ignore_ascii_case(b"LS+")
                && (verb[3] != b' ' || words.clone().any(|word| word.is_empty() || word.contains(&b'\t')))
        },
    },
    Deliberate {
        why: "an LS- that is not one or two words with one blank before each: nats-server looks for a subscription that is \
              called as the whole line, and has none; natsd reads words, and closes if they are more",
        applies: |op| {
            let line = op.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let Some((verb, rest)) = line.split_at_checked(4) else { return false };
            let words = rest.split(|byte| *byte == b' ');
            let plain = words.clone().all(|word| !word.is_empty() && !word.contains(&b'\t'));
            verb[..3].eq_ignore_ascii_case(b"LS-") && (verb[3] != b' ' || !plain || words.count() > 2)
        },
    },
];

/// What else differs; no script comes to it, by the words of `generate.rs` and the configurations.
pub(super) static APART: &[&str] = &[
    "a further CONNECT with a part of the credentials: nats-server takes the rest from the one before; natsd keeps no \
     secrets, and refuses it",
    "a subscription to `x.>` where `x.*` is allowed: nats-server allows it, for it takes the `>` for any token, and \
     delivers what was not allowed; natsd refuses it",
    "operations before CONNECT where `no_auth_user` is set: nats-server takes the first one for a CONNECT, so that the \
     real one ends subscriptions; natsd does not",
    "a second request with the reply of one that has not been answered, or one that comes twice because two subscriptions match, \
     to a client with `allow_responses`: nats-server counts it as an answer; natsd allows as many answers again",
    "a reload where somebody had shown a password and the name of a key: nats-server closes it whatever the new \
     configuration says; natsd if its user has changed",
    "a reload under permissions where a subscription and its queue group are longer than 4,096 bytes: natsd cannot judge them anew, and ends them",
    "a request to a service where the exporting account exports the same subject as a stream: nats-server gives it to the \
     service alone; natsd to those who import the stream, too",
    "a subscription with a token that begins as a wildcard, such as `*x`, in an account that imports streams: nats-server lets it match \
     anything there; natsd nothing but itself",
    "UNSUB with a number of messages, of which some come over a border: nats-server counts those apart; natsd counts all",
    "a request to a service with a header block that is none: nats-server writes over its end who asks; natsd leaves it",
    "what a leaf node says behind what it may not say, in the same write: nats-server does it before it closes; natsd does not",
    "a leaf node that says PING before CONNECT: nats-server refuses it; natsd answers, as it does to clients",
    "a leaf node that says CONNECT twice: nats-server greets it again; natsd does not listen",
    "-ERR from a leaf node: nats-server writes it down; natsd closes, too",
    "verbs of routes and clients from a leaf node: nats-server takes PUB for LMSG and UNSUB for LS-, and closes without a word on RS+; natsd \
     says that it does not know them",
];

/// Whether scripts must leave `op` out.
pub(super) fn is_deliberate(op: &[u8]) -> bool {
    DELIBERATE.iter().any(|known| (known.applies)(op))
}

fn stray_cr(op: &[u8]) -> bool {
    op.iter().zip(op.iter().skip(1).chain([&0])).any(|(byte, next)| *byte == b'\r' && *next != b'\n')
}

fn lf_for_arguments(op: &[u8]) -> bool {
    let Some(end) = op.iter().position(|byte| *byte == b'\n') else { return false };
    let (line, rest) = op.split_at(end);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let verb = line.trim_ascii_end();
    let is_one_of = |verbs: &[&[u8]]| verbs.iter().any(|known| verb.eq_ignore_ascii_case(known));
    (verb.len() < line.len() && is_one_of(&[b"PUB", b"HPUB", b"SUB", b"UNSUB", b"-ERR"]))
        || ((verb.len() < line.len() || rest.len() > 1) && is_one_of(&[b"INFO", b"CONNECT"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out() {
        assert!(is_deliberate(b"PUB a\r 1\r\nx\r\n"));
        assert!(is_deliberate(b"SUB \r\n"));
        assert!(!is_deliberate(b"PUB a 1\r\nx\r\n"));
        assert!(is_deliberate(b"LS+ a q -1\r\n") && is_deliberate(b"LS+ a q 3\x7f\r\n"));
        assert!(is_deliberate(b"LS+ a\t\r\n") && is_deliberate(b"LS+  a q 1\r\n"));
        assert!(is_deliberate(b"LS-\ta q\r\n") && is_deliberate(b"LS- a  q\r\n"));
        assert!(is_deliberate(b"LS- a q 1\r\n") && is_deliberate(b"LS- a \r\n"));
        for op in [&b"LS+ a\r\n"[..], b"LS+ a q 12\r\n", b"LS- a\r\n", b"ls- a q\n", b"LMSG a | q 0\r\n\r\n"]
        {
            assert!(!is_deliberate(op), "{}", op.escape_ascii());
        }
        assert!(DELIBERATE.iter().all(|known| !known.why.is_empty()));
    }

    #[test]
    fn who_asks_is_compared_wherever_it_stands() {
        let first = b"NATS/1.0\r\nNats-Request-Info: {\"acc\":\"B\",\"rtt\":12345}\r\nA: 1\r\n\r\n";
        let last = b"NATS/1.0\r\nA: 1\r\nNats-Request-Info: {\"acc\":\"B\"}\r\n\r\n";
        assert_eq!(header(first), last);
        assert_eq!(header(last), last);
        assert_ne!(header(b"NATS/1.0\r\nA: 1\r\nNats-Request-Info: {\"acc\":\"C\"}\r\n\r\n"), last);
        assert_eq!(header(b"no header at all"), b"no header at all");
        assert_eq!(without_token("\"_R_.abc\""), "\"_R_.?\"");
        assert_eq!(without_token("\"_R_.%\""), "\"_R_.%\"");
    }

    #[test]
    fn a_reset_may_come_in_the_middle_of_something() {
        let lines = |text: &str| text.split('|').map(str::to_owned).collect::<Vec<_>>();
        for (torn, whole) in [
            ("PONG|torn: x|closed", "PONG|MSG|PONG|closed"),
            ("PONG|torn: x", "PONG|MSG|PONG"),
            ("PONG|torn: x", "PONG"),
            ("torn: x|closed", "closed"),
        ] {
            assert!(is_cut_short(&lines(torn), &lines(whole)), "{torn}");
        }
        assert!(!is_cut_short(&lines("PONG|torn: x"), &lines("+OK|MSG")));
        assert!(!is_cut_short(&lines("PONG|MSG"), &lines("PONG")));
    }

    #[test]
    fn only_natsd_may_say_more_and_only_why() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (ours, theirs) = (
            vec!["PONG".into(), "-ERR Authorization Violation".into(), "closed".into()],
            lines("PONG closed"),
        );
        assert!(is_told_why(&ours, &theirs));
        assert!(!is_told_why(&theirs, &ours));
        assert!(!is_told_why(&ours, &lines("+OK closed")));
        assert!(!is_told_why(&lines("PONG +OK closed"), &theirs));
    }
}
