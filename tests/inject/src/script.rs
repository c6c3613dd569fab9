//! Events as text: one variable a line, an empty line behind each event. `udevadm monitor --kernel --property` writes so.

use std::fmt;

use lunix_uevent::{BuildError, Builder, MAX_MESSAGE};

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// From 1 on.
    pub line: usize,
    /// In bytes, from 1 on.
    pub column: usize,
    /// What was expected.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.what)
    }
}

/// The events of `text`. The kernel gives each its number, so that `SEQNUM` is left out.
///
/// A line is `KEY=VALUE`, a comment behind `#`, or a headline of `udevadm monitor`. In a value, `\n \r \t \0 \\` and `\xHH`
/// stand for bytes that a line cannot hold.
///
/// # Errors
/// The first mistake.
pub fn read(text: &[u8]) -> Result<Vec<Vec<u8>>, Mistake> {
    let mut events = Vec::new();
    let mut vars: Vec<(&[u8], Vec<u8>)> = Vec::new();
    let mut begin = 1;
    // An empty line ends the last one, too.
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n').chain([&b""[..]])) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() && !vars.is_empty() {
            events.push(build(&vars).map_err(|what| Mistake { line: begin, column: 1, what })?);
            vars.clear();
        }
        if line.is_empty() || line.starts_with(b"#") || is_headline(line) {
            continue;
        }
        let wrong = |column, what: &str| Mistake { line: number, column, what: what.to_owned() };
        let equals = line.iter().position(|byte| *byte == b'=');
        let (key, value) = match equals {
            Some(at) if at > 0 => (&line[..at], &line[at + 1..]),
            _ => return Err(wrong(1, "expected KEY=VALUE")),
        };
        let value = unescaped(value).map_err(|at| {
            wrong(key.len() + 2 + at, "expected one of \\n \\r \\t \\0 \\\\ \\xHH behind a backslash")
        })?;
        if vars.is_empty() {
            begin = number;
        }
        if key != b"SEQNUM" {
            vars.push((key, value));
        }
    }
    Ok(events)
}

/// What `udevadm monitor` says before the variables of an event, and at its start.
fn is_headline(line: &[u8]) -> bool {
    line.starts_with(b"KERNEL[") || line.starts_with(b"KERNEL - ") || line.starts_with(b"monitor will print")
}

/// The bytes that are meant, or where they are not said rightly.
fn unescaped(text: &[u8]) -> Result<Vec<u8>, usize> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let start = at - 1;
        out.push(match text.get(at) {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits = text.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
                at += 2;
                digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or(start)?
            }
            _ => return Err(start),
        });
        at += 1;
    }
    Ok(out)
}

fn build(vars: &[(&[u8], Vec<u8>)]) -> Result<Vec<u8>, String> {
    let get = |wanted: &str| {
        let found = vars.iter().find(|(key, _)| *key == wanted.as_bytes());
        found.map(|(_, value)| value.as_slice()).ok_or(format!("expected {wanted}= in this event"))
    };
    let mut out = vec![0; MAX_MESSAGE];
    let builder = Builder::new(&mut out, get("ACTION")?, get("DEVPATH")?);
    let built = vars.iter().fold(builder, |builder, (key, value)| builder.var(key, value)).finish();
    let length = built.map_err(|error: BuildError| format!("no event of the kernel: {error}"))?;
    if length > super::LONGEST {
        return Err(format!("expected at most {} bytes, found {length}", super::LONGEST));
    }
    out.truncate(length);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use lunix_uevent::Uevent;

    use super::*;

    #[test]
    fn what_udevadm_records_is_said_again() {
        let text = b"monitor will print the received events for:\nKERNEL - the kernel uevent\n\n\
            KERNEL[12.5] add      /devices/a (mem)\nACTION=add\nDEVPATH=/devices/a\nSUBSYSTEM=mem\nSEQNUM=7\n\n\
            # by hand\nDEVPATH=/devices/b\nACTION=remove\nNAME=a\\xff\\nb\\\\c=d";
        let events = read(text).unwrap();
        assert_eq!(events[0], b"add@/devices/a\0ACTION=add\0DEVPATH=/devices/a\0SUBSYSTEM=mem\0");
        let second = Uevent::parse(&events[1]).unwrap();
        assert_eq!(
            (second.action().as_bytes(), second.get("NAME")),
            (&b"remove"[..], Some(&b"a\xff\nb\\c=d"[..]))
        );
        assert_eq!(events.len(), 2);
    }

    #[test]
    fn a_mistake_is_said_with_its_place() {
        for (text, said) in [
            ("\nACTION", "2:1: expected KEY=VALUE"),
            ("ACTION=add\n=x", "2:1: expected KEY=VALUE"),
            (
                "\nACTION=add\nDEVPATH=/a\\q",
                "3:11: expected one of \\n \\r \\t \\0 \\\\ \\xHH behind a backslash",
            ),
            ("A=\\x", "1:3: expected one of \\n \\r \\t \\0 \\\\ \\xHH behind a backslash"),
            ("A=\\", "1:3: expected one of \\n \\r \\t \\0 \\\\ \\xHH behind a backslash"),
            ("\n\nACTION=add\n\n", "3:1: expected DEVPATH= in this event"),
            (
                "ACTION=add\nDEVPATH=a",
                "1:1: no event of the kernel: a part that would not read back the same",
            ),
            (
                "ACTION=add\nDEVPATH=/a\nB=\\0",
                "1:1: no event of the kernel: a part that would not read back the same",
            ),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap_err().to_string(), said, "{text}");
        }
        let long = format!("ACTION=add\nDEVPATH=/{}", "x".repeat(1000));
        assert!(read(long.as_bytes()).unwrap_err().what.starts_with("expected at most 2004 bytes"));
    }
}
