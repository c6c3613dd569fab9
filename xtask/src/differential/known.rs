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
];

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
];

/// Whether scripts must leave `op` out.
pub(super) fn is_deliberate(op: &[u8]) -> bool {
    DELIBERATE.iter().any(|known| (known.applies)(op))
}

fn stray_cr(op: &[u8]) -> bool {
    op.iter().zip(op.iter().skip(1).chain([&0])).any(|(byte, next)| *byte == b'\r' && *next != b'\n')
}

fn lf_for_arguments(op: &[u8]) -> bool {
    op.split(|byte| *byte == b'\n').any(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let verb = line.trim_ascii_end();
        verb.len() < line.len()
            && [&b"PUB"[..], b"HPUB", b"SUB", b"UNSUB", b"-ERR", b"INFO", b"CONNECT"]
                .iter()
                .any(|known| verb.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out() {
        assert!(is_deliberate(b"PUB a\r 1\r\nx\r\n"));
        assert!(is_deliberate(b"SUB \r\n"));
        assert!(!is_deliberate(b"PUB a 1\r\nx\r\n"));
        assert!(DELIBERATE.iter().all(|known| !known.why.is_empty()));
    }
}
