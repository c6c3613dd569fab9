//! The machine against drivers that know little. What the language means is tested with its parser, in the frontend.

extern crate std;

use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use proptest::prelude::*;

use super::Operator::{Add, Assign, Final, Match, NoMatch};
use super::*;

fn token<'t>(key: Key, operator: Operator, name: &'t str, value: &'t str) -> Token<'t> {
    Token::new(key, operator, false, name.as_bytes(), value.as_bytes())
}

fn table(lines: &[&[Token<'_>]]) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 16];
    let mut builder = Builder::new(&mut bytes);
    for (line, tokens) in (1..).zip(lines) {
        builder.begin(Origin { file: 0, line }).unwrap();
        tokens.iter().for_each(|token| builder.token(token).unwrap());
    }
    let len = builder.len();
    bytes.truncate(len);
    bytes
}

/// Two devices above `sda`: a host with a driver, and a bridge. How often each question was asked is counted.
struct Driver {
    asked: Vec<String>,
}

impl Driver {
    fn answer(&mut self, question: Question<'_>) -> Answer<'static> {
        self.asked.push(format!("{question:?}"));
        match question {
            Question::Parent { device: 1 } => {
                Answer::Device { devpath: b"/devices/bridge/host0", subsystem: b"scsi" }
            }
            Question::Parent { device: 2 } => {
                Answer::Device { devpath: b"/devices/bridge", subsystem: b"pci" }
            }
            Question::Driver { device: 1 } => Answer::Text(b"sd"),
            Question::Attribute { device: 0, name: b"size" } => Answer::Text(b"2048  \n"),
            Question::Attribute { device: 1, name: b"vendor" } => Answer::Text(b"ATA\n"),
            Question::Attribute { device: 2, name: b"vendor" } => Answer::Text(b"0x8086\n"),
            Question::Program(b"/bin/name 2048") => Answer::Text(b"one; two\n\n"),
            Question::ImportProgram(_) => Answer::Text(b"# no\nA = 'x y'\nB=\nC=\"z\nD=1=2\n"),
            Question::ImportParent(_) => Answer::Text(b"ID_A=1\nID_B=2\nX=3\n"),
            Question::ImportDatabase(b"OLD") => Answer::Text(b"kept"),
            Question::ImportCommandLine(b"quiet") => Answer::Yes,
            Question::User(b"root") => Answer::Text(b"0"),
            _ => Answer::No,
        }
    }
}

fn drive<'t, 'm>(bytes: &'t [u8], memory: &'m mut [u8], driver: &mut Driver) -> (Evaluation<'t, 'm>, usize) {
    let table = Table::new(bytes).unwrap();
    let mut evaluation =
        Evaluation::new(table, memory, b"add", b"/devices/bridge/host0/sda", b"block").unwrap();
    for (key, value) in [("MAJOR", "8"), ("MINOR", "0"), ("DEVNAME", "sda")] {
        evaluation.property(key.as_bytes(), value.as_bytes()).unwrap();
    }
    let mut refused = 0;
    while let Some(action) = evaluation.poll() {
        match action {
            Action::Ask(question) => {
                let answer = driver.answer(question);
                let _ = evaluation.handle(answer);
            }
            Action::NoRoom(_) => refused += 1,
            _ => {}
        }
    }
    (evaluation, refused)
}

fn links(lines: &[&[Token<'_>]]) -> (Vec<String>, Vec<String>) {
    let bytes = table(lines);
    let mut memory = vec![0; 1 << 16];
    let mut driver = Driver { asked: Vec::new() };
    let (evaluation, refused) = drive(&bytes, &mut memory, &mut driver);
    assert_eq!(refused, 0);
    let links = evaluation.outcome().links().map(|link| String::from_utf8_lossy(link).into_owned());
    (links.collect(), driver.asked)
}

#[test]
fn all_tokens_about_parents_are_about_the_same() {
    let (found, _) = links(&[
        &[
            token(Key::Subsystems, Match, "", "pci"),
            token(Key::Attrs, Match, "vendor", "ATA"),
            token(Key::SetSymlink, Add, "", "never"),
        ],
        &[
            token(Key::Subsystems, Match, "", "scsi"),
            token(Key::Drivers, Match, "", "sd"),
            token(Key::Attrs, Match, "vendor", "ATA"),
            token(Key::SetSymlink, Add, "", "$id-$driver-$attr{vendor}"),
        ],
        &[token(Key::Attrs, Match, "vendor", "0x*"), token(Key::SetSymlink, Add, "", "%b")],
        &[token(Key::Kernels, Match, "", "sda"), token(Key::SetSymlink, Add, "", "%b-%P")],
    ]);
    assert_eq!(found, ["host0-sd-ATA", "bridge", "sda-"]);
}

#[test]
fn what_is_known_is_not_asked_again() {
    let line: &[Token<'_>] = &[
        token(Key::Attr, NoMatch, "size", "0"),
        token(Key::Program, Match, "", "/bin/name $attr{size}"),
        token(Key::Result, Match, "", "one_ two"),
        token(Key::SetSymlink, Add, "", "%c{2}-%c{1+}-$attr{size}"),
    ];
    let (found, asked) = links(&[line, line]);
    // The space between the two words of the result separates two links.
    assert_eq!(found, ["two-one_", "two-2048"]);
    let programs = asked.iter().filter(|question| question.starts_with("Program")).count();
    let attributes = asked.iter().filter(|question| question.starts_with("Attribute")).count();
    assert_eq!((programs, attributes), (2, 1), "{asked:?}");
}

#[test]
fn properties_come_from_everywhere() {
    let bytes = table(&[&[
        token(Key::ImportProgram, Match, "", "/bin/x"),
        token(Key::ImportDb, Match, "", "OLD"),
        token(Key::ImportDb, NoMatch, "", "NEW"),
        token(Key::ImportCmdline, Match, "", "quiet"),
        token(Key::ImportParent, Match, "", "ID_*"),
        token(Key::SetEnv, Assign, "MINOR", ""),
        token(Key::SetEnv, Add, "A", "$env{D}"),
    ]]);
    let mut memory = vec![0; 1 << 16];
    let (evaluation, _) = drive(&bytes, &mut memory, &mut Driver { asked: Vec::new() });
    let properties: Vec<_> = evaluation
        .outcome()
        .properties()
        .skip(3)
        .map(|(key, value)| format!("{}={}", key.escape_ascii(), value.escape_ascii()))
        .collect();
    let expected =
        ["MAJOR=8", "DEVNAME=/dev/sda", "D=1=2", "OLD=kept", "quiet=1", "ID_A=1", "ID_B=2", "A=x y 1=2"];
    assert_eq!(properties, expected);
}

#[test]
fn what_is_final_stays() {
    let bytes = table(&[
        &[
            token(Key::Owner, Final, "", "root"),
            token(Key::Group, Assign, "", "nobody"),
            token(Key::Mode, Final, "", "0640"),
            token(Key::SetSymlink, Final, "", "a b"),
            token(Key::RunProgram, Final, "", "/bin/one"),
        ],
        &[
            token(Key::Owner, Assign, "", "7"),
            token(Key::Group, Assign, "", "9"),
            token(Key::Mode, Assign, "", "0666"),
            token(Key::SetSymlink, Assign, "", "c"),
            token(Key::RunProgram, Add, "", "/bin/two"),
        ],
    ]);
    let mut memory = vec![0; 1 << 16];
    let (evaluation, _) = drive(&bytes, &mut memory, &mut Driver { asked: Vec::new() });
    let outcome = evaluation.outcome();
    assert_eq!((outcome.owner(), outcome.group(), outcome.mode()), (Some(0), Some(9), Some(0o640)));
    assert!(outcome.links().eq([b"a", b"b"]));
    assert!(outcome.runs().eq([Run { builtin: false, command: b"/bin/one" }]));
}

#[test]
fn what_does_not_fit_is_left_out_and_said() {
    let long = "x".repeat(3000);
    let lines: &[&[Token<'_>]] = &[
        &[token(Key::SetEnv, Assign, "LONG", &long), token(Key::SetSymlink, Add, "", "a")],
        &[token(Key::Env, Match, "LONG", "?*"), token(Key::SetSymlink, Add, "", "b")],
        &[token(Key::Program, Match, "", &long), token(Key::SetSymlink, Add, "", "c")],
    ];
    let bytes = table(lines);
    let mut memory = vec![0; MIN_MEMORY];
    let (evaluation, refused) = drive(&bytes, &mut memory, &mut Driver { asked: Vec::new() });
    assert!(evaluation.outcome().links().eq([b"a"]));
    assert_eq!(refused, 2);
}

#[test]
fn answers_that_find_no_room_are_asked_for_again() {
    let names: Vec<String> = (0..200).map(|number| format!("attribute{number}")).collect();
    let lines: Vec<Vec<Token<'_>>> = names
        .iter()
        .map(|name| {
            let [size, other] =
                [("size", "2048"), (name, "none")].map(|(name, value)| token(Key::Attr, Match, name, value));
            vec![size, other, token(Key::SetSymlink, Add, "", "never")]
        })
        .chain([vec![token(Key::Attr, Match, "size", "2048"), token(Key::SetSymlink, Add, "", "a")]])
        .collect();
    let lines: Vec<&[Token<'_>]> = lines.iter().map(Vec::as_slice).collect();
    let bytes = table(&lines);
    let mut memory = vec![0; MIN_MEMORY];
    let mut driver = Driver { asked: Vec::new() };
    let (evaluation, refused) = drive(&bytes, &mut memory, &mut driver);
    assert!(evaluation.outcome().links().eq([b"a"]));
    assert_eq!(refused, 0);
    let size = driver.asked.iter().filter(|question| question.contains("[115, 105, 122, 101]")).count();
    assert!(size > 1 && size < 30, "{size}");
}

#[test]
fn a_goto_leads_only_forward() {
    let goto = |lines: u32| Token::new(Key::Goto, Assign, false, b"", lines.to_le_bytes().to_vec().leak());
    let link = |name| [token(Key::SetSymlink, Add, "", name)];
    let (found, _) = links(&[&[goto(1)], &link("a"), &link("b"), &[goto(u32::MAX)], &link("c")]);
    assert_eq!(found, ["b"]);
}

#[test]
fn a_device_that_goes_gets_no_node() {
    let bytes = table(&[
        &[token(Key::Mode, Assign, "", "0666")],
        &[token(Key::RunProgram, Add, "", "/bin/gone %k $env{DEVNAME}")],
    ]);
    let mut memory = vec![0; MIN_MEMORY];
    let table = Table::new(&bytes).unwrap();
    let mut evaluation = Evaluation::new(table, &mut memory, b"remove", b"/devices/a!b1", b"block").unwrap();
    evaluation.property(b"MAJOR", b"8").unwrap();
    evaluation.property(b"DEVNAME", b"a/b1").unwrap();
    while evaluation.poll().is_some() {}
    assert_eq!(evaluation.outcome().mode(), None);
    let run = evaluation.outcome().runs().next().unwrap();
    assert_eq!(run.command, b"/bin/gone a/b1 /dev/a/b1");
}

proptest! {
    #[test]
    fn bytes_that_are_no_table_are_refused_or_harmless(
        mut bytes in Just(table(&[
            &[token(Key::Subsystems, Match, "", "scsi"), token(Key::Attrs, Match, "$env{A}", "a*")],
            &[token(Key::Program, Match, "", "/bin/x %s{size}"), token(Key::SetEnv, Add, "A", "%c{1+}")],
            &[token(Key::SetSymlink, Add, "", "x/../y $links"), token(Key::Goto, Assign, "", "\u{1}\u{0}\u{0}\u{0}")],
        ])),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        length in any::<prop::sample::Index>(),
    ) {
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(length.index(bytes.len() + 1));
        if Table::new(&bytes).is_ok() {
            let mut memory = vec![0; MIN_MEMORY];
            drive(&bytes, &mut memory, &mut Driver { asked: Vec::new() });
        }
    }
}
