//! udev's rules: any text as a file of them, any bytes as a table, and what comes of it with any answers.

use lunix::natsdev::rules::{Rules, Strictness};
use lunix_core::device::rules::{Action, Answer, Evaluation, MIN_MEMORY, Question, Table};

/// Any text as a file of rules: mistakes are where there is text, and what is left is a table that can be applied.
pub fn parse(data: &[u8]) {
    let strict = Rules::parse("x".as_ref(), data, Strictness::Refuse);
    let lenient = Rules::parse("x".as_ref(), data, Strictness::LeaveOut);
    if let Err(mistakes) = &strict {
        mistakes.to_string().lines().for_each(|line| check(line, data));
    }
    let Ok(rules) = lenient else {
        assert!(strict.is_err(), "what is refused leniently is refused");
        return;
    };
    rules.remarks.iter().for_each(|remark| check(&remark.to_string(), data));
    if let Ok(strict) = strict {
        assert_eq!((strict.size(), strict.remarks.len()), (rules.size(), rules.remarks.len()));
    }
    apply(rules.table(), 0);
}

/// Any bytes as a table. The first byte chooses the answers.
pub fn evaluate(data: &[u8]) {
    let Some((seed, bytes)) = data.split_first() else { return };
    if let Ok(table) = Table::new(bytes) {
        apply(table, *seed);
    }
}

/// A mistake names a place that there is.
fn check(line: &str, text: &[u8]) {
    let mut fields = line.splitn(4, ':').skip(1).map(str::parse::<usize>);
    let (Some(Ok(row)), Some(Ok(column))) = (fields.next(), fields.next()) else {
        panic!("no place: {line}")
    };
    let longest = text.split(|byte| *byte == b'\n').nth(row.wrapping_sub(1)).map(|line| line.len() + 1);
    assert!(longest.is_some_and(|longest| (1..=longest).contains(&column)), "{line}");
}

/// However small the memory, what is made of a device is the same, unless the machine says that it had no room.
fn apply(table: Table<'_>, seed: u8) {
    let mut large = vec![0; 1 << 18];
    let reference = outcome(table, seed, &mut large);
    for size in [MIN_MEMORY, 4 * MIN_MEMORY] {
        let small = outcome(table, seed, &mut vec![0; size]);
        if let (Some(reference), Some(small)) = (&reference, &small) {
            assert_eq!(reference, small);
        }
    }
}

/// What the rules make of a device, as text; `None` if something found no room.
fn outcome(table: Table<'_>, seed: u8, memory: &mut [u8]) -> Option<Vec<Vec<u8>>> {
    let mut evaluation =
        Evaluation::new(table, memory, b"add", b"/devices/a/b!c1", b"block").expect("a small device");
    for (key, value) in [("MAJOR", "8"), ("MINOR", "1"), ("DEVNAME", "b/c1"), ("IFINDEX", "2")] {
        evaluation.property(key.as_bytes(), value.as_bytes()).expect("few properties");
    }
    let mut room = true;
    while let Some(action) = evaluation.poll() {
        match action {
            Action::Ask(question) => {
                let answer = answer(&question, seed);
                room &= evaluation.handle(answer).is_ok();
            }
            Action::NoRoom(_) => room = false,
            Action::Did(_) | Action::Write { .. } => {}
        }
    }
    let outcome = evaluation.outcome();
    let mut all = Vec::new();
    for link in outcome.links() {
        assert!(
            !link.is_empty()
                && link.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
        );
        all.push(link.to_vec());
    }
    for tag in outcome.tags() {
        assert!(!tag.is_empty() && !tag.contains(&b'/'));
        all.push(tag.to_vec());
    }
    all.extend(outcome.properties().map(|(key, value)| [key, b"=", value].concat()));
    all.extend(outcome.labels().map(|(module, label)| [module, b":", label].concat()));
    all.extend(outcome.runs().map(|run| run.command.to_vec()));
    all.extend(outcome.name().map(<[u8]>::to_vec));
    assert!(outcome.mode().is_none_or(|mode| mode <= 0o7777));
    let numbers = (outcome.owner(), outcome.group(), outcome.mode(), outcome.link_priority());
    let options = (outcome.db_persist(), outcome.watch(), outcome.log_level(), outcome.dump());
    all.push(format!("{numbers:?}{options:?}").into_bytes());
    room.then_some(all)
}

/// The same for the same question.
fn answer(question: &Question<'_>, seed: u8) -> Answer<'static> {
    const TEXTS: [&[u8]; 6] =
        [b"", b"a\n", b"A=1\nID='x y'\n# no\n", b"../$x %k; \xff\xc3\xa4 z", b"0660", b"1\0two"];
    if let Question::Parent { device } = question {
        return match device {
            1 => Answer::Device { devpath: b"/devices/a", subsystem: b"scsi" },
            2 => Answer::Device { devpath: b"/devices", subsystem: b"" },
            _ => Answer::No,
        };
    }
    let hash = format!("{question:?}").bytes().fold(seed, |hash, byte| hash.wrapping_mul(31) ^ byte);
    match hash % 8 {
        6 => Answer::No,
        7 => Answer::Yes,
        text => Answer::Text(TEXTS[usize::from(text)]),
    }
}
