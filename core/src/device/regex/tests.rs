extern crate std;

use std::borrow::ToOwned as _;
use std::string::String;
use std::vec::Vec;
use std::{panic, vec};

use super::*;

fn captured(text: &str, subject: &str) -> Option<Vec<Option<String>>> {
    let regex = Regex::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let captures = regex.captures(subject.as_bytes())?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Some((1..=groups(regex.0)).map(|number| captures.get(number).map(text)).collect())
}

#[test]
fn names_are_matched_whole() {
    for (text, fits, differs) in [
        ("sd[a-z][0-9]*", &["sda", "sdb12"][..], &["sd", "asda", "sda1x", ""][..]),
        ("tty[^Sa-c]?", &["tty", "tty1", "ttyd"], &["ttyS", "ttya", "tty11"]),
        (".*", &["", "a", "\u{ff}"], &[]),
        ("a.c", &["abc", "a.c"], &["ac", "a\u{e9}c"]),
        ("a\\.c|\\[x]", &["a.c", "[x]"], &["abc", "x"]),
        ("[]a]+", &["]", "a]"], &["", "b"]),
        ("[^]]", &["a"], &["]"]),
        ("[a-]", &["a", "-"], &["b"]),
        ("[\\.]", &["\\", "."], &["a"]),
        ("[[:digit:][:upper:]_]{2,3}", &["1A", "___"], &["1", "aa", "1234"]),
        ("(|a)b", &["b", "ab"], &["a"]),
        ("a||b", &["a", "", "b"], &["ab"]),
        ("^a$", &["a"], &["aa"]),
        ("a^b", &[], &["ab", "a^b"]),
        ("(a{2}){2,}", &["aaaa", "aaaaaa"], &["aa", "aaaaa"]),
        ("a{0}b", &["b"], &["ab"]),
        ("a+?", &["", "aa"], &["b"]),
        ("(a*)*b", &["b", "aab"], &["aa"]),
        ("()", &[""], &["a"]),
        ("x}y{1}", &["x}y"], &["xy"]),
    ] {
        for (subjects, expected) in [(fits, true), (differs, false)] {
            for subject in subjects {
                assert_eq!(captured(text, subject).is_some(), expected, "{text} {subject:?}");
            }
        }
    }
}

#[test]
fn a_part_is_found_anywhere() {
    for (text, subject, expected) in [
        ("b", "abc", true),
        ("^b", "abc", false),
        ("c$", "abc", true),
        ("", "abc", true),
        ("x|c", "abc", true),
        ("ac", "abc", false),
    ] {
        assert_eq!(Regex::parse(text.as_bytes()).unwrap().is_match(subject.as_bytes()), expected, "{text}");
    }
}

#[test]
fn groups_are_as_long_as_can_be_the_first_one_first() {
    let some = |texts: &[&str]| Some(texts.iter().map(|text| Some((*text).to_owned())).collect::<Vec<_>>());
    assert_eq!(captured("s([0-9])*d([a-z]+)", "sda"), Some(vec![None, Some("a".to_owned())]));
    assert_eq!(captured("(a|ab)(c|bcd)?(d*)", "abcd"), some(&["ab", "c", "d"]));
    assert_eq!(captured("(tty|ttyS)(.*)", "ttyS0"), some(&["ttyS", "0"]));
    assert_eq!(captured("(a*)(a*)", "aa"), some(&["aa", ""]));
    assert_eq!(captured("(a|b)*", "aab"), some(&["b"]));
    assert_eq!(captured("((a)|b)*", "ab"), Some(vec![Some("b".to_owned()), None]));
    assert_eq!(captured("(a*)*", ""), some(&[""]));
    assert_eq!(captured("(a)*", ""), Some(vec![None]));
    assert_eq!(captured("(a){0}", ""), Some(vec![None]));
    assert_eq!(captured("([hs]d([a-z]))([0-9]+)", "sdb12"), some(&["sdb", "b", "12"]));
    assert_eq!(captured("(a*){3}", "aa"), some(&[""]));
    assert_eq!(captured("(a|aa){2}", "aaa"), some(&["a"]));
    let ten = "(a)".repeat(11);
    let regex = Regex::parse(ten.as_bytes()).unwrap();
    let captures = regex.captures(b"aaaaaaaaaaa").unwrap();
    assert_eq!((captures.get(9), captures.get(10)), (Some(&b"a"[..]), None));
}

#[test]
fn what_is_no_expression_is_said_by_its_place() {
    for (text, at, expected) in [
        ("a(b", 1, "')' for this '('"),
        ("a)b", 1, "a '(' before this ')'"),
        ("(a))", 3, "a '(' before this ')'"),
        ("ab[c", 2, "']' for this '['"),
        ("((x|[z-a]))", 5, "a range that goes up"),
        ("[[:digits:]]", 1, "a class such as [:digit:]"),
        ("[[.a.]]", 1, "a class such as [:digit:]"),
        ("*", 0, "something that is to be repeated"),
        ("a|*b", 2, "something that is to be repeated"),
        ("(+)", 1, "something that is to be repeated"),
        ("a{3,2}", 1, "numbers of at most 255, the larger one last, in braces such as {2,3}"),
        ("a{256}", 1, "numbers of at most 255, the larger one last, in braces such as {2,3}"),
        ("a{x", 1, "numbers of at most 255, the larger one last, in braces such as {2,3}"),
        ("a{2}{3}", 4, "something that is to be repeated"),
        ("a*{3}", 2, "something that is to be repeated"),
        ("(a\\d)", 2, "a sign after '\\': neither a letter nor a digit"),
        ("a\\", 1, "a sign after '\\'"),
    ] {
        assert_eq!(Regex::parse(text.as_bytes()), Err(RegexError { at, expected }), "{text}");
    }
    let deep = |depth| "(".repeat(depth) + &")".repeat(depth);
    assert!(Regex::parse(deep(16).as_bytes()).is_ok());
    assert_eq!(Regex::parse(deep(17).as_bytes()).unwrap_err().at, 16);
}

#[test]
fn no_subject_takes_long() {
    let subject = [b'a'; MAX_SUBJECT];
    for text in ["(a*)*(b|(a|aa)*)*c", "((a{255}){255}){255}", "(((a*)*)*)*b", "(.*)(.*)(.*)(.*)x"] {
        assert_eq!(Regex::parse(text.as_bytes()).unwrap().captures(&subject), None, "{text}");
    }
    assert!(Regex::parse(b".*").unwrap().captures(&[b'a'; MAX_SUBJECT + 1]).is_none());
    let half = Regex::parse(b"(.*)(a{255})").unwrap();
    assert_eq!(half.captures(&subject).unwrap().get(1).unwrap().len(), MAX_SUBJECT - 255);
}
