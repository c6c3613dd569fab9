//! Which keys there are, what stands in their braces, and which operators and values they take.

use lunix_core::device::rules::Operator::{self, Add, Assign, Final, Remove};
use lunix_core::device::rules::{Key, Token, check_format};

use super::lines::Line;
use super::parse::Pair;
use super::{Draft, Reading};
use crate::cli::distance;
use crate::escaped::Escaped;

/// A token with a memory of its own.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) key: Key,
    operator: Operator,
    any_case: bool,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Owned {
    pub(super) fn borrow(&self) -> Token<'_> {
        Token::new(self.key, self.operator, self.any_case, &self.name, &self.value)
    }

    /// Whether it does more than to let other tokens do something.
    pub(super) fn has_consequence(&self) -> bool {
        !self.key.is_match() || self.key >= Key::Program && self.key < Key::Result
    }
}

/// What stands in the braces of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Braces {
    No,
    Name,
    Mode,
    /// One of these; the first may be left out if it is empty.
    OneOf(&'static [&'static str]),
}

/// Which operators a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// `==` and `!=`.
    Match,
    /// `==` and `!=`, and all others stand for `==`.
    Bring,
    /// These, and of others that change something, all stand for `=` but `-=`.
    Change(&'static [Operator]),
    /// Both.
    Both(&'static [Operator]),
}

struct Entry {
    name: &'static str,
    braces: Braces,
    takes: Takes,
    /// The key for `==`, and for the others.
    keys: (Key, Key),
}

const fn entry(name: &'static str, braces: Braces, takes: Takes, matching: Key, changing: Key) -> Entry {
    Entry { name, braces, takes, keys: (matching, changing) }
}

const IMPORTS: &[&str] = &["program", "builtin", "file", "db", "cmdline", "parent"];

/// All keys.
const KEYS: &[Entry] = &[
    entry("ACTION", Braces::No, Takes::Match, Key::Action, Key::Action),
    entry("DEVPATH", Braces::No, Takes::Match, Key::Devpath, Key::Devpath),
    entry("KERNEL", Braces::No, Takes::Match, Key::Kernel, Key::Kernel),
    entry("SUBSYSTEM", Braces::No, Takes::Match, Key::Subsystem, Key::Subsystem),
    entry("DRIVER", Braces::No, Takes::Match, Key::Driver, Key::Driver),
    entry("NAME", Braces::No, Takes::Both(&[Assign, Final]), Key::Name, Key::SetName),
    entry("SYMLINK", Braces::No, Takes::Both(&[Assign, Add, Remove, Final]), Key::Symlink, Key::SetSymlink),
    entry("ATTR", Braces::Name, Takes::Both(&[Assign]), Key::Attr, Key::SetAttr),
    entry("SYSCTL", Braces::Name, Takes::Both(&[Assign]), Key::Sysctl, Key::SetSysctl),
    entry("KERNELS", Braces::No, Takes::Match, Key::Kernels, Key::Kernels),
    entry("SUBSYSTEMS", Braces::No, Takes::Match, Key::Subsystems, Key::Subsystems),
    entry("DRIVERS", Braces::No, Takes::Match, Key::Drivers, Key::Drivers),
    entry("ATTRS", Braces::Name, Takes::Match, Key::Attrs, Key::Attrs),
    entry("TAGS", Braces::No, Takes::Match, Key::Tags, Key::Tags),
    entry("ENV", Braces::Name, Takes::Both(&[Assign, Add]), Key::Env, Key::SetEnv),
    entry("CONST", Braces::OneOf(&["arch", "virt", "cvm"]), Takes::Match, Key::Const, Key::Const),
    entry("TAG", Braces::No, Takes::Both(&[Assign, Add, Remove]), Key::Tag, Key::SetTag),
    entry("TEST", Braces::Mode, Takes::Match, Key::Test, Key::Test),
    entry("PROGRAM", Braces::No, Takes::Bring, Key::Program, Key::Program),
    entry("RESULT", Braces::No, Takes::Match, Key::Result, Key::Result),
    entry("IMPORT", Braces::OneOf(IMPORTS), Takes::Bring, Key::ImportProgram, Key::ImportProgram),
    entry("OWNER", Braces::No, Takes::Change(&[Assign, Final]), Key::Owner, Key::Owner),
    entry("GROUP", Braces::No, Takes::Change(&[Assign, Final]), Key::Group, Key::Group),
    entry("MODE", Braces::No, Takes::Change(&[Assign, Final]), Key::Mode, Key::Mode),
    entry("SECLABEL", Braces::Name, Takes::Change(&[Assign, Add]), Key::Seclabel, Key::Seclabel),
    entry(
        "RUN",
        Braces::OneOf(&["", "program", "builtin"]),
        Takes::Change(&[Assign, Add, Final]),
        Key::RunProgram,
        Key::RunProgram,
    ),
    entry("OPTIONS", Braces::No, Takes::Change(&[Assign, Add, Final]), Key::Dump, Key::Dump),
    entry("GOTO", Braces::No, Takes::Change(&[Assign]), Key::Goto, Key::Goto),
    entry("LABEL", Braces::No, Takes::Change(&[Assign]), Key::Goto, Key::Goto),
];

/// What `IMPORT{builtin}` and `RUN{builtin}` know.
const BUILTINS: [&str; 14] = [
    "blkid",
    "btrfs",
    "dissect_image",
    "factory_reset",
    "hwdb",
    "input_id",
    "keyboard",
    "kmod",
    "net_driver",
    "net_id",
    "net_setup_link",
    "path_id",
    "uaccess",
    "usb_id",
];

/// Properties that are no rule's business.
const FIXED: [&str; 12] = [
    "ACTION",
    "DEVLINKS",
    "DEVNAME",
    "DEVPATH",
    "DEVTYPE",
    "DRIVER",
    "IFINDEX",
    "MAJOR",
    "MINOR",
    "SEQNUM",
    "SUBSYSTEM",
    "TAGS",
];

/// Adds a pair to the line. Whether it may be there; else the mistake is noted.
pub(super) fn take(draft: &mut Draft, line: &Line<'_>, pair: Pair<'_>, reading: &Reading) -> bool {
    let said = String::from_utf8_lossy(pair.key).into_owned();
    let wrong = |at: usize, message: &str| {
        reading.wrong(&line.place(at), format!("{}: {message}", Escaped(&said)));
        false
    };
    let Some(entry) = KEYS.iter().find(|entry| entry.name.as_bytes() == pair.key) else {
        let near = KEYS.iter().map(|entry| entry.name).min_by_key(|name| distance(name, &said));
        let near = near.filter(|near| distance(near, &said) <= 2);
        let hint = near.map_or_else(String::new, |near| format!(", did you mean '{near}'?"));
        return wrong(pair.key_at, &format!("unknown key{hint}"));
    };
    let remark = |at: usize, message: &str| {
        reading.notes.remark(&line.place(at), format!("{said}: {message}"));
    };
    if let Err(message) = braces(entry, pair.name) {
        return wrong(pair.key_at + pair.key.len(), &message);
    }
    let Some((matches, operator)) = operator(entry, pair.operator) else {
        return wrong(
            pair.key_at,
            &format!("expected {}, found {}", entry.takes.says(), pair.operator.as_str()),
        );
    };
    let changed = operator != pair.operator && !matches!(entry.takes, Takes::Bring);
    // udev does not even say this one.
    if changed && entry.name != "OPTIONS" {
        remark(pair.key_at, &format!("'{}' is taken for '='", pair.operator.as_str()));
    }
    let key = if matches { entry.keys.0 } else { entry.keys.1 };
    let name = pair.name.unwrap_or_default();
    let mut token = Owned { key, operator, any_case: pair.any_case, name: name.to_vec(), value: pair.value };
    if token.any_case && (!matches || matches!(entry.takes, Takes::Bring) || key == Key::Test) {
        return wrong(pair.value_at, "i\"…\" is only for what is compared");
    }
    match specialise(&mut token, entry) {
        Ok(()) => {}
        Err(Special::Wrong(message)) => return wrong(pair.value_at, &message),
        Err(Special::Ignored(message)) => {
            remark(pair.value_at, &message);
            return true;
        }
        Err(Special::Label) => {
            draft.labels.push(token.value);
            return true;
        }
        Err(Special::Goto) => {
            if draft.goto.is_some() {
                remark(pair.key_at, "only the first of a line counts");
            } else {
                draft.goto = Some((token.value, line.place(pair.key_at)));
            }
            return true;
        }
    }
    if takes_format(token.key)
        && let Err((_, error)) = check_format(&token.value)
    {
        remark(pair.value_at, &format!("in \"{}\": {error}", token.value.escape_ascii()));
    }
    draft.tokens.push(token);
    true
}

impl Takes {
    fn says(self) -> String {
        let (matches, others) = match self {
            Self::Match => (true, &[][..]),
            Self::Bring => (true, &[Assign, Add, Final][..]),
            Self::Change(others) => (false, others),
            Self::Both(others) => (true, others),
        };
        let all: Vec<_> = [Operator::Match, Operator::NoMatch]
            .iter()
            .filter(|_| matches)
            .chain(others)
            .map(|operator| operator.as_str())
            .collect();
        match all.as_slice() {
            [one] => (*one).to_owned(),
            all => format!("one of {}", all.join(" ")),
        }
    }
}

/// Whether this is a match, and the operator that counts; `None` if the key does not take it.
fn operator(entry: &Entry, operator: Operator) -> Option<(bool, Operator)> {
    let matches = matches!(operator, Operator::Match | Operator::NoMatch);
    match entry.takes {
        Takes::Match | Takes::Bring | Takes::Both(_) if matches => Some((true, operator)),
        Takes::Bring if operator != Remove => Some((true, Operator::Match)),
        Takes::Change(allowed) | Takes::Both(allowed) if !matches => {
            if allowed.contains(&operator) {
                return Some((false, operator));
            }
            // Where a label is, nothing can be added.
            let lenient = operator != Remove && entry.keys.1 != Key::Goto;
            lenient.then_some((false, Assign))
        }
        _ => None,
    }
}

fn braces(entry: &Entry, name: Option<&[u8]>) -> Result<(), String> {
    let found = || format!("found '{{{}}}'", name.unwrap_or_default().escape_ascii());
    match (entry.braces, name) {
        (Braces::No, None) | (Braces::Mode, None) => Ok(()),
        (Braces::No, Some(_)) => Err(format!("expected no braces, {}", found())),
        (Braces::Mode, Some(name)) if name.is_empty() || is_mode(name) => Ok(()),
        (Braces::Mode, Some(_)) => Err(format!("expected octal digits in the braces, {}", found())),
        (Braces::Name, None | Some([])) => Err("expected a name in braces".to_owned()),
        (Braces::Name, Some(name)) if name.len() <= 255 => Ok(()),
        (Braces::Name, Some(_)) => Err("a name may have 255 bytes".to_owned()),
        (Braces::OneOf(words), None) if words.first() == Some(&"") => Ok(()),
        (Braces::OneOf(words), Some(name)) if words.iter().any(|word| word.as_bytes() == name) => Ok(()),
        (Braces::OneOf(words), _) => {
            let words: Vec<_> = words.iter().filter(|word| !word.is_empty()).copied().collect();
            Err(format!("expected one of {{{}}}", words.join("} {")))
        }
    }
}

fn is_mode(text: &[u8]) -> bool {
    let digits = (1..=8).contains(&text.len()) && text.iter().all(|digit| (b'0'..=b'7').contains(digit));
    digits && text.iter().fold(0, |mode, digit| mode << 3 | u32::from(digit & 7)) <= 0o7777
}

/// What becomes of a pair that is no token as it stands.
enum Special {
    Wrong(String),
    Ignored(String),
    Label,
    Goto,
}

/// Finds the key that name and value mean together.
fn specialise(token: &mut Owned, entry: &Entry) -> Result<(), Special> {
    let wrong = |message: &str| Err(Special::Wrong(message.to_owned()));
    let value = token.value.as_slice();
    let first_word = value.split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
    let builtin = BUILTINS.iter().any(|name| name.as_bytes() == first_word);
    match entry.name {
        // Three names for the same thing.
        "SUBSYSTEM" if matches!(value, b"subsystem" | b"bus" | b"class") => {
            token.value = b"subsystem|bus|class".to_vec();
        }
        "NAME" if token.key == Key::SetName && value.is_empty() => {
            return wrong("expected a name, found nothing");
        }
        "NAME" if token.key == Key::SetName && value == b"%k" => {
            return wrong("expected another name than the kernel's, found '%k'");
        }
        "MODE"
            if !value.iter().any(|byte| matches!(byte, b'%' | b'$')) && !is_mode(value.trim_ascii_end()) =>
        {
            return Err(Special::Ignored(format!("expected octal digits, found '{}'", value.escape_ascii())));
        }
        "ENV" if token.key == Key::SetEnv && FIXED.iter().any(|name| name.as_bytes() == token.name) => {
            let name = token.name.escape_ascii();
            return Err(Special::Wrong(format!("expected a property of your own, found '{name}'")));
        }
        "IMPORT" => {
            token.key = match token.name.as_slice() {
                b"file" => Key::ImportFile,
                b"db" => Key::ImportDb,
                b"cmdline" => Key::ImportCmdline,
                b"parent" => Key::ImportParent,
                b"builtin" if !builtin => return wrong(&unknown_builtin(first_word)),
                // Some built-ins were programs once.
                _ if builtin => Key::ImportBuiltin,
                _ => Key::ImportProgram,
            };
            token.name.clear();
        }
        "RUN" => {
            match token.name.as_slice() {
                b"builtin" if !builtin => return wrong(&unknown_builtin(first_word)),
                b"builtin" => token.key = Key::RunBuiltin,
                _ => {}
            }
            token.name.clear();
        }
        "OPTIONS" => return option(token),
        "LABEL" => return Err(Special::Label),
        "GOTO" => return Err(Special::Goto),
        _ => {}
    }
    Ok(())
}

fn unknown_builtin(name: &[u8]) -> String {
    format!("expected one of {}, found '{}'", BUILTINS.join(" "), name.escape_ascii())
}

fn option(token: &mut Owned) -> Result<(), Special> {
    let value = token.value.clone();
    let (word, argument) = match value.iter().position(|byte| *byte == b'=') {
        Some(at) => (value.get(..at).unwrap_or_default(), value.get(at + 1..)),
        None => (value.as_slice(), None),
    };
    let wrong = |expected: &str| {
        let found = argument.unwrap_or_default().escape_ascii();
        Err(Special::Wrong(format!("expected {expected}, found '{found}'")))
    };
    let text = str::from_utf8(argument.unwrap_or_default()).unwrap_or_default();
    let (key, value) = match (word, argument) {
        (b"dump", None) => (Key::Dump, Vec::new()),
        (b"string_escape", Some(how @ (b"none" | b"replace"))) => (Key::StringEscape, how.to_vec()),
        (b"db_persist", None) => (Key::DbPersist, Vec::new()),
        (b"watch" | b"nowatch", None) => (Key::Watch, word.to_vec()),
        (b"static_node", Some(node)) => (Key::StaticNode, node.to_vec()),
        (b"link_priority", Some(_)) => match text.parse::<i32>() {
            Ok(priority) => (Key::LinkPriority, priority.to_string().into_bytes()),
            Err(_) => return wrong("a number as link_priority"),
        },
        (b"log_level", Some(_)) => match level(text) {
            Some(level) => (Key::LogLevel, level.to_string().into_bytes()),
            None => return wrong("one of emerg alert crit err warning notice info debug reset as log_level"),
        },
        _ => {
            return Err(Special::Ignored(format!("there is no option '{}'", value.escape_ascii())));
        }
    };
    (token.key, token.value) = (key, value);
    Ok(())
}

fn level(text: &str) -> Option<i8> {
    const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
    if text == "reset" {
        return Some(-1);
    }
    let named = LEVELS.iter().position(|name| *name == text);
    named
        .and_then(|level| i8::try_from(level).ok())
        .or_else(|| text.parse().ok().filter(|level| (0..8).contains(level)))
}

/// Whether `$kernel` and the like have a meaning in the value.
fn takes_format(key: Key) -> bool {
    let plain = [Key::ImportDb, Key::ImportCmdline, Key::StaticNode, Key::LinkPriority, Key::Goto];
    key >= Key::Test && key != Key::Result && !plain.contains(&key)
}
