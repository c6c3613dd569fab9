//! Topics and subjects, as nats-server has them, and topics and filters.

use lunix_proto::Full;
use lunix_proto::mqtt::subject::{Pattern, SubjectError, from_filter, from_topic, to_topic};
use lunix_proto::mqtt::topic::{is_filter, is_name, matches};
use lunix_proto::nats;
use proptest::prelude::*;

/// The examples of nats-server's rules.
const TOPICS: &[(&str, &str)] = &[
    ("foo", "foo"),
    ("foo/bar", "foo.bar"),
    ("/", "/./"),
    ("//", "/././"),
    ("///", "/./././"),
    ("/foo", "/.foo"),
    ("//foo", "/./.foo"),
    ("foo//bar", "foo./.bar"),
    ("foo///bar", "foo././.bar"),
    ("foo/bar/", "foo.bar./"),
    ("bar/", "bar./"),
    ("bar//", "bar././"),
    ("/foo/", "/.foo./"),
    (".", "//"),
    ("..", "////"),
    ("...", "//////"),
    ("./foo", "//.foo"),
    ("foo.bar/baz", "foo//bar.baz"),
    ("foo/bar.baz", "foo.bar//baz"),
    ("foo.", "foo//"),
    (".foo", "//foo"),
    ("/.", "/.//"),
    ("./", "//./"),
    ("././.", "//.//.//"),
    ("././/.", "//.//././/"),
    ("//.foo.//", "/././/foo//././"),
    ("$SYS/x", "$SYS.x"),
    ("a*b/>c", "a*b.>c"),
    ("\u{e5}\u{e4}/\u{1F4A1}", "\u{e5}\u{e4}.\u{1F4A1}"),
];

const FILTERS: &[(&str, &str, Option<&str>)] = &[
    ("+", "*", None),
    ("/+", "/.*", None),
    ("+/", "*./", None),
    ("//+", "/./.*", None),
    ("foo/+", "foo.*", None),
    ("foo//+", "foo./.*", None),
    ("+/foo", "*.foo", None),
    ("+//foo", "*./.foo", None),
    ("+/+", "*.*", None),
    ("foo/+/bar", "foo.*.bar", None),
    ("foo.x/+", "foo//x.*", None),
    ("#", ">", None),
    ("/#", "/.>", None),
    ("//#", "/./.>", Some("/./")),
    ("foo/#", "foo.>", Some("foo")),
    ("foo//#", "foo./.>", Some("foo./")),
    ("foo/+/#", "foo.*.>", Some("foo.*")),
    ("+/#", "*.>", Some("*")),
    ("foo./#", "foo//.>", Some("foo//")),
    ("foo/bar", "foo.bar", None),
];

#[test]
fn topics_become_subjects_and_topics_again() {
    for (topic, subject) in TOPICS {
        let mut out = [0; 64];
        assert_eq!(from_topic(&mut out, topic), Ok(subject.as_bytes()), "{topic}");
        assert_eq!(to_topic(&mut out, subject.as_bytes()), Ok(*topic), "{subject}");
        let whole = from_filter(&mut out, topic);
        assert_eq!(whole, Ok(Pattern { subject: subject.as_bytes(), parent: None }));
    }
}

#[test]
fn filters_become_patterns() {
    for (filter, subject, parent) in FILTERS {
        let mut out = [0; 64];
        let expected = Pattern { subject: subject.as_bytes(), parent: parent.map(str::as_bytes) };
        assert_eq!(from_filter(&mut out, filter), Ok(expected), "{filter}");
    }
}

#[test]
fn what_no_subject_can_hold() {
    let mut out = [0; 64];
    for (topic, error) in [
        ("foo bar", SubjectError::Character),
        ("foo\tbar", SubjectError::Character),
        ("foo\n", SubjectError::Character),
        ("\rfoo", SubjectError::Character),
        ("foo/\x0C", SubjectError::Character),
        ("foo\x7F", SubjectError::Character),
        ("foo\0", SubjectError::Character),
        ("*", SubjectError::Wildcard),
        ("foo/>", SubjectError::Wildcard),
        ("foo/*/bar", SubjectError::Wildcard),
        ("", SubjectError::Invalid),
        ("foo#", SubjectError::Invalid),
    ] {
        assert_eq!(from_topic(&mut out, topic), Err(error), "{topic:?}");
        assert_eq!(from_filter(&mut out, topic), Err(error), "{topic:?}");
    }
    assert_eq!(from_topic(&mut out, "a/+"), Err(SubjectError::Invalid));
    assert_eq!(from_topic(&mut [0; 3], "a/b/c"), Err(SubjectError::Full(Full { needed: 5 })));
    assert_eq!(from_filter(&mut [0; 2], "+/b"), Err(SubjectError::Full(Full { needed: 3 })));
}

#[test]
fn subjects_that_no_topic_becomes() {
    let mut out = [0; 64];
    // A lone `/` stands for itself, as nats-server has it, so two subjects are the same topic.
    assert_eq!(to_topic(&mut out, b"n/x"), Ok("n/x"));
    assert_eq!(to_topic(&mut out, b"n.x"), Ok("n/x"));
    assert_eq!(to_topic(&mut out, b"a///b"), Ok("a./b"));
    for (subject, error) in [
        (&b"a+b"[..], SubjectError::Wildcard),
        (b"a.#", SubjectError::Wildcard),
        (b"a.*", SubjectError::Invalid),
        (b"a..b", SubjectError::Invalid),
        (b"", SubjectError::Invalid),
        // The topic would be empty.
        (b"/", SubjectError::Invalid),
        (b"a\xFF", SubjectError::Character),
        (b"a\x01", SubjectError::Character),
    ] {
        assert_eq!(to_topic(&mut out, subject), Err(error), "{}", subject.escape_ascii());
    }
    assert_eq!(to_topic(&mut [0; 1], b"a.b"), Err(SubjectError::Full(Full { needed: 3 })));
    let long = [b'x'; 0x1_0000];
    assert_eq!(to_topic(&mut [0; 0x1_0000], &long), Err(SubjectError::Invalid));
}

#[test]
fn filters_match_as_the_specification_has_it() {
    // [4.7.1.2, 4.7.1.3, 4.7.2]
    for (filter, topics, others) in [
        (
            "sport/tennis/player1/#",
            &["sport/tennis/player1", "sport/tennis/player1/ranking"][..],
            &["sport/tennis/player2"][..],
        ),
        ("sport/#", &["sport", "sport/", "sport/a/b"], &["sports", "/sport"]),
        ("#", &["a", "/", "a/b/c"], &["$SYS", "$SYS/a"]),
        (
            "sport/tennis/+",
            &["sport/tennis/player1", "sport/tennis/"],
            &["sport/tennis/player1/ranking", "sport/tennis"],
        ),
        ("sport/+", &["sport/"], &["sport"]),
        ("+/+", &["/finance", "a/b"], &["finance", "a/b/c", "$SYS/a"]),
        ("/+", &["/finance"], &["finance", "a/finance"]),
        ("+", &["finance"], &["/finance", "$SYS"]),
        ("$SYS/#", &["$SYS", "$SYS/monitor/Clients"], &["$SYSTEM"]),
        ("$SYS/monitor/+", &["$SYS/monitor/Clients"], &["$SYS/monitor"]),
        ("a/b", &["a/b"], &["a", "a/b/", "A/b"]),
    ] {
        assert!(is_filter(filter));
        assert!(topics.iter().all(|topic| is_name(topic) && matches(filter, topic)), "{filter}");
        assert!(others.iter().all(|topic| is_name(topic) && !matches(filter, topic)), "{filter}");
    }
}

proptest! {
    #[test]
    fn a_filter_matches_what_its_patterns_match(filter in "[ab.+#/]{1,6}", name in "[ab./]{1,6}") {
        let mut out = [0; 16];
        prop_assert_eq!(to_topic(&mut out, from_topic(&mut [0; 16], &name).unwrap()), Ok(name.as_str()));
        prop_assume!(is_filter(&filter));
        let mut room = [0; 16];
        let pattern = from_filter(&mut room, &filter).unwrap();
        let mut room = [0; 16];
        let subject = from_topic(&mut room, &name).unwrap();
        let one = nats::subject::matches(pattern.subject, subject);
        let other = pattern.parent.is_some_and(|parent| nats::subject::matches(parent, subject));
        prop_assert!(!(one && other));
        prop_assert_eq!(one || other, matches(&filter, &name), "{} {}", filter, name);
    }

    #[test]
    fn topics_become_different_subjects(one in "\\PC{1,8}|[a./]{1,5}", other in "\\PC{1,8}|[a./]{1,5}") {
        let (mut room, mut other_room) = ([0; 80], [0; 80]);
        let one_subject = from_topic(&mut room, &one);
        if let (Ok(subject), Ok(other_subject)) = (one_subject, from_topic(&mut other_room, &other)) {
            prop_assert!(nats::subject::is_literal(subject));
            prop_assert_eq!(subject == other_subject, one == other);
        }
    }
}
