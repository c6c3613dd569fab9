//! Uevents, libudev messages and modalias patterns against naive models.

use lunix_uevent::{BuildError, Builder, MAX_MESSAGE, MAX_VARS, ParseError, Uevent, modalias, monitor};

type Pair<'b> = (&'b [u8], &'b [u8]);

/// Reads any bytes as a kernel message, and compares with a reader that splits into vectors.
pub fn parse(data: &[u8]) {
    let parsed = Uevent::parse(data);
    match (&parsed, model(data)) {
        (Ok(uevent), Ok((action, devpath, vars))) => {
            assert_eq!(uevent.action().as_bytes(), action);
            assert_eq!(uevent.devpath(), devpath);
            assert!(uevent.vars().eq(vars.iter().copied()));
            for (key, _) in &vars {
                let first = vars.iter().find(|(other, _)| other == key).map(|(_, value)| *value);
                if let Ok(key) = str::from_utf8(key) {
                    assert_eq!(uevent.get(key), first);
                }
            }
            touch(uevent);
        }
        (Err(error), Err(expected)) => assert_eq!(*error, expected),
        (parsed, model) => panic!("{parsed:?}, but {model:?}"),
    }
}

type Message<'b> = (&'b [u8], &'b [u8], Vec<Pair<'b>>);

fn model(data: &[u8]) -> Result<Message<'_>, ParseError> {
    if data.len() > MAX_MESSAGE {
        return Err(ParseError::TooLong);
    }
    if data.starts_with(b"libudev\0") {
        return Err(ParseError::LibudevMessage);
    }
    let body = data.strip_suffix(b"\0").ok_or(ParseError::NotTerminated)?;
    let strings: Vec<_> = body.split(|byte| *byte == 0).collect();
    if strings.len() > MAX_VARS + 1 {
        return Err(ParseError::TooManyVars);
    }
    let (action, devpath) = split(strings[0], b'@').ok_or(ParseError::Header)?;
    if action.is_empty() || !devpath.starts_with(b"/") {
        return Err(ParseError::Header);
    }
    let mut at = strings[0].len() + 1;
    let mut vars = Vec::new();
    for string in &strings[1..] {
        match split(string, b'=') {
            Some((key, value)) if !key.is_empty() => vars.push((key, value)),
            _ => return Err(ParseError::Variable(at as u16)),
        }
        at += string.len() + 1;
    }
    for (key, said) in [(&b"ACTION"[..], action), (b"DEVPATH", devpath)] {
        if vars.iter().find(|(found, _)| *found == key).is_some_and(|(_, value)| *value != said) {
            return Err(ParseError::Mismatch);
        }
    }
    Ok((action, devpath, vars))
}

fn split(string: &[u8], at: u8) -> Option<Pair<'_>> {
    let place = string.iter().position(|byte| *byte == at)?;
    Some((&string[..place], &string[place + 1..]))
}

fn touch(uevent: &Uevent<'_>) {
    let numbers = (uevent.seqnum(), uevent.major(), uevent.minor(), uevent.devmode(), uevent.ifindex());
    let names =
        (uevent.subsystem(), uevent.devname(), uevent.devtype(), uevent.driver(), uevent.devpath_old());
    let synth = (uevent.synth_uuid(), uevent.synth_args().count());
    let text = (format!("{uevent:?}"), uevent.action().to_string());
    std::hint::black_box((numbers, names, synth, text));
    let _ = uevent.modalias().map(modalias::decode);
    let mut out = [0; 2 * MAX_MESSAGE];
    let built = monitor::Builder::from_uevent(&mut out, uevent).finish().expect("a kernel message fits");
    let message = monitor::Message::parse(&out[..built]).expect("what was built");
    assert!(message.properties().eq(uevent.vars()));
}

/// Builds a message of the lines of the input, and reads it back. The first byte is the buffer's size.
pub fn roundtrip(data: &[u8]) {
    let Some((size, rest)) = data.split_first() else { return };
    let mut lines = rest.split(|byte| *byte == b'\n');
    let (action, devpath) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let vars: Vec<_> = lines.map(|line| split(line, b'=').unwrap_or((line, b""))).collect();
    let mut room = [0; 2 * MAX_MESSAGE];
    let build = |out: &mut [u8]| {
        let builder = Builder::new(out, action, devpath);
        vars.iter().fold(builder, |builder, (key, value)| builder.var(key, value)).finish()
    };
    let whole = build(&mut room);
    let said = |(key, _): &&Pair<'_>| matches!(*key, b"ACTION" | b"DEVPATH");
    if let Ok(len) = whole {
        let uevent = Uevent::parse(&room[..len]).expect("what was built");
        assert_eq!(uevent.action().as_bytes(), action);
        assert_eq!(uevent.devpath(), devpath);
        assert!(uevent.vars().skip(2).eq(vars.iter().filter(|var| !said(var)).copied()));
    }
    let small = usize::from(*size) * 4;
    let expected = match whole {
        Ok(needed) if needed > small => Err(BuildError::Full { needed }),
        other => other,
    };
    let outcome = build(&mut room[..small]);
    // A repeated ACTION or DEVPATH cannot be compared with what did not fit.
    if !(whole == Err(BuildError::Malformed) && vars.iter().any(|var| said(&var))) {
        assert_eq!(outcome, expected);
    }
}

/// Reads any bytes as a libudev message, and builds what was read again.
pub fn libudev_message(data: &[u8]) {
    let Ok(message) = monitor::Message::parse(data) else { return };
    let properties: Vec<_> = message.properties().collect();
    for (key, value) in &properties {
        assert!(!key.is_empty() && !key.contains(&b'=') && !key.contains(&0) && !value.contains(&0));
    }
    let mut room = [0; monitor::MAX_MESSAGE];
    let builder = monitor::Builder::new(&mut room);
    let built =
        properties.iter().fold(builder, |builder, (key, value)| builder.property(key, value)).finish();
    let needed = monitor::HEADER_LEN
        + properties.iter().map(|(key, value)| key.len() + value.len() + 2).sum::<usize>();
    if needed > monitor::MAX_MESSAGE {
        assert_eq!(built, Err(BuildError::TooLong));
        return;
    }
    assert_eq!(built, Ok(needed));
    let again = monitor::Message::parse(&room[..needed]).expect("what was built");
    assert!(again.properties().eq(properties.iter().copied()));
    for (key, hash) in [("SUBSYSTEM", again.subsystem_hash()), ("DEVTYPE", again.devtype_hash())] {
        // The builder hashes the last of equal keys.
        let value =
            properties.iter().rev().find(|(found, _)| *found == key.as_bytes()).map(|(_, value)| *value);
        assert_eq!(hash, value.map_or(0, monitor::hash));
    }
}

/// Matches the input's first line as a pattern with the rest, and compares with a table of all prefixes.
pub fn modalias_match(data: &[u8]) {
    let (pattern, text) = split(data, b'\n').unwrap_or((data, b""));
    let _ = modalias::decode(text);
    for alias in modalias::aliases(data) {
        assert!(!alias.pattern.is_empty() && !alias.module.is_empty());
    }
    if pattern.len() > 256 || text.len() > 256 {
        return;
    }
    assert_eq!(modalias::matches(pattern, text), matches_by_table(&elements(pattern), text));
}

enum Element {
    Many,
    One(Box<dyn Fn(u8) -> bool>),
}

fn matches_by_table(elements: &[Element], text: &[u8]) -> bool {
    // fits[n]: the elements so far match the first n bytes.
    let mut fits = vec![false; text.len() + 1];
    fits[0] = true;
    for element in elements {
        let before = fits;
        fits = vec![false; text.len() + 1];
        for n in 0..=text.len() {
            fits[n] = match element {
                Element::Many => before[n] || (n > 0 && fits[n - 1]),
                Element::One(holds) => n > 0 && before[n - 1] && holds(text[n - 1]),
            };
        }
    }
    fits[text.len()]
}

fn elements(mut pattern: &[u8]) -> Vec<Element> {
    let same = |a: u8, b: u8| a == b || (matches!(a, b'-' | b'_') && matches!(b, b'-' | b'_'));
    let mut elements = Vec::new();
    while !pattern.is_empty() {
        let mut used = 1;
        elements.push(match pattern[0] {
            b'*' => Element::Many,
            b'?' => Element::One(Box::new(|_| true)),
            b'[' if class_end(pattern).is_some() => {
                used = class_end(pattern).unwrap_or(0) + 1;
                let negated = matches!(pattern[1], b'!' | b'^');
                let members = pattern[1 + usize::from(negated)..used - 1].to_vec();
                Element::One(Box::new(move |byte| class_holds(&members, byte) != negated))
            }
            b'\\' if pattern.len() > 1 => {
                used = 2;
                let literal = pattern[1];
                Element::One(Box::new(move |byte| same(literal, byte)))
            }
            literal => Element::One(Box::new(move |byte| same(literal, byte))),
        });
        pattern = &pattern[used..];
    }
    elements
}

/// Where the class's `]` stands: not first, and not as the end of a range.
fn class_end(pattern: &[u8]) -> Option<usize> {
    let first = if matches!(pattern.get(1), Some(b'!' | b'^')) { 2 } else { 1 };
    let mut at = first;
    loop {
        if *pattern.get(at)? == b']' && at > first {
            return Some(at);
        }
        let range =
            pattern.get(at + 1) == Some(&b'-') && pattern.get(at + 2).is_some_and(|high| *high != b']');
        at += if range { 3 } else { 1 };
    }
}

fn class_holds(mut members: &[u8], byte: u8) -> bool {
    let byte = if byte == b'-' { b'_' } else { byte };
    while let Some(first) = members.first() {
        if members.len() > 2 && members[1] == b'-' {
            if (*first..=members[2]).contains(&byte) {
                return true;
            }
            members = &members[3..];
        } else {
            if *first == byte || (*first == b'-' && byte == b'_') {
                return true;
            }
            members = &members[1..];
        }
    }
    false
}
