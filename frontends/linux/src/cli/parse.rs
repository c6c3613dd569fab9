//! Arguments to [`Matches`], by a [`Command`]'s table.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::{fmt, fs};

use super::{Command, Flag, Hint, Style};
use crate::escaped::Escaped;

/// What the user gave, checked against the table: only flags that exist, values only where they belong.
#[derive(Clone, Debug)]
pub struct Matches {
    command: &'static Command,
    flags: Vec<(&'static str, Option<OsString>)>,
    /// Switches that were turned off by name.
    off: Vec<&'static str>,
    arguments: Vec<OsString>,
}

/// What is wrong with a command line, in one line that names the program and the flag. Exit code 2, or what the
/// program's style has.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError {
    line: String,
    code: u8,
}

impl fmt::Display for UsageError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.line)
    }
}

impl std::error::Error for UsageError {}

impl UsageError {
    /// Prints itself on stderr; the exit code that belongs to it.
    pub fn report(&self) -> ExitCode {
        eprintln!("{self}");
        ExitCode::from(self.code)
    }
}

impl Command {
    /// Parses `args` (without the program's name). `--help` and `--version` are answered here:
    /// then the caller only has to exit with the code.
    ///
    /// # Errors
    /// The exit code after the help, the version, or the one line that says what is wrong.
    pub fn parse(&'static self, args: impl IntoIterator<Item = OsString>) -> Result<Matches, ExitCode> {
        let matches = self.try_parse(args).map_err(|error| error.report())?;
        if matches.has("help") {
            matches.command.print_help();
            return Err(ExitCode::SUCCESS);
        }
        if matches.has("version") {
            println!("{} (lunix) {}", matches.command.called(), env!("CARGO_PKG_VERSION"));
            return Err(ExitCode::SUCCESS);
        }
        matches.require_arguments().map_err(|error| error.report())?;
        Ok(matches)
    }

    /// Parses `args` without printing anything and without asking for required arguments.
    ///
    /// # Errors
    /// The first flag or argument that does not fit.
    pub fn try_parse(&'static self, args: impl IntoIterator<Item = OsString>) -> Result<Matches, UsageError> {
        let mut matches =
            Matches { command: self, flags: Vec::new(), off: Vec::new(), arguments: Vec::new() };
        let mut args = args.into_iter();
        let mut only_arguments = false;
        while let Some(arg) = args.next() {
            let bytes = arg.as_bytes();
            if only_arguments || bytes == b"-" || !bytes.starts_with(b"-") {
                if matches.command.commands.is_empty() {
                    matches.push_argument(arg)?;
                } else {
                    matches.enter(&arg)?;
                }
            } else if bytes == b"--" {
                only_arguments = true;
            } else {
                matches.push_flag(bytes, &mut args)?;
            }
        }
        Ok(matches)
    }
}

impl Matches {
    /// The table that the arguments belong to: the program's, or that of the command that was named.
    pub fn command(&self) -> &'static Command {
        self.command
    }

    /// All flags with their values, in order.
    pub fn flags(&self) -> impl Iterator<Item = (&'static str, Option<&OsStr>)> {
        self.flags.iter().map(|(key, value)| (*key, value.as_deref()))
    }

    /// The flag was given.
    pub fn has(&self, key: &str) -> bool {
        self.flags.iter().any(|(name, _)| *name == key)
    }

    /// Looks into the file of `--config`, where there is nothing to configure but what the command line says: it has comments only.
    ///
    /// # Errors
    /// It cannot be read, or has a key.
    pub fn without_settings(&self) -> Result<(), UsageError> {
        let Some(file) = self.path("config") else { return Ok(()) };
        let name = file.display();
        let text = fs::read_to_string(file).map_err(|error| self.error(format!("{name}: {error}")))?;
        for (line, words) in (1..).zip(text.lines().map(str::trim)) {
            if !words.is_empty() && !words.starts_with('#') {
                let key = words.split(['=', ':', ' ']).next().unwrap_or_default();
                return Err(self.error(format!("{name}:{line}: unknown key '{}'", Escaped(key))));
            }
        }
        Ok(())
    }

    /// What a switch was turned to; `None` if it was not given.
    pub fn truth(&self, key: &str) -> Option<bool> {
        if self.has(key) { Some(true) } else { self.off.contains(&key).then_some(false) }
    }

    /// The flag's value, the last one if it was given several times.
    ///
    /// # Errors
    /// The value is not UTF-8.
    pub fn text(&self, key: &str) -> Result<Option<&str>, UsageError> {
        self.raw(key).map(|value| self.utf8(key, value)).transpose()
    }

    /// All the flag's values, in order.
    pub fn all(&self, key: &str) -> impl Iterator<Item = &OsStr> {
        self.flags.iter().filter(move |(name, _)| *name == key).filter_map(|(_, value)| value.as_deref())
    }

    /// All the flag's values as text, in order.
    ///
    /// # Errors
    /// A value is not UTF-8.
    pub fn texts(&self, key: &str) -> Result<Vec<&str>, UsageError> {
        self.all(key).map(|value| self.utf8(key, value)).collect()
    }

    /// The flag's value as a path.
    pub fn path(&self, key: &str) -> Option<&Path> {
        self.raw(key).map(Path::new)
    }

    /// The flag's value as a number or anything else that parses; `expected` says what, for the error.
    ///
    /// # Errors
    /// The value does not parse.
    pub fn parsed<T: FromStr>(&self, key: &str, expected: &str) -> Result<Option<T>, UsageError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.wrong(key, expected, text))
    }

    /// The argument at `index`, counted from 0.
    pub fn argument(&self, index: usize) -> Option<&OsStr> {
        self.arguments.get(index).map(OsString::as_os_str)
    }

    /// The argument at `index` as text.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn argument_text(&self, index: usize) -> Result<Option<&str>, UsageError> {
        self.argument(index)
            .map(|value| {
                let wrong = || self.error(format_args!("{}: expected UTF-8 text", self.argument_name(index)));
                value.to_str().ok_or_else(wrong)
            })
            .transpose()
    }

    /// All arguments.
    pub fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    /// All arguments as texts, each of which must be `expected`.
    ///
    /// # Errors
    /// One of them is not `valid`, or not UTF-8.
    pub fn arguments_that(
        &self,
        expected: &str,
        valid: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, UsageError> {
        let text = |(index, argument): (usize, &OsString)| {
            let valid = argument.to_str().filter(|text| valid(text));
            valid.map(str::to_owned).ok_or_else(|| {
                let (name, found) = (self.argument_name(index), argument.to_string_lossy());
                self.error(format_args!("{name}: expected {expected}, found '{}'", Escaped(&found)))
            })
        };
        self.arguments.iter().enumerate().map(text).collect()
    }

    /// What help calls the argument at `index`; the last one may stand for many.
    fn argument_name(&self, index: usize) -> &'static str {
        let arguments = self.command.arguments;
        arguments.get(index).or(arguments.last()).map_or("argument", |argument| argument.name)
    }

    /// An error about the value of `key`, in the form that all of them have.
    pub fn wrong(&self, key: &str, expected: &str, found: &str) -> UsageError {
        self.error(format_args!("--{key}: expected {expected}, found '{}'", Escaped(found)))
    }

    /// An error that names the program.
    pub fn error(&self, message: impl fmt::Display) -> UsageError {
        UsageError {
            line: format!("{}: {message}", self.command.called()),
            code: if self.command.style == Style::Getopt { 1 } else { 2 },
        }
    }

    fn raw(&self, key: &str) -> Option<&OsStr> {
        self.flags.iter().rev().find(|(name, _)| *name == key).and_then(|(_, value)| value.as_deref())
    }

    fn utf8<'a>(&self, key: &str, value: &'a OsStr) -> Result<&'a str, UsageError> {
        value.to_str().ok_or_else(|| self.error(format_args!("--{key}: expected UTF-8 text")))
    }

    fn require_arguments(&self) -> Result<(), UsageError> {
        match self.command.arguments.get(self.arguments.len()) {
            Some(missing) if missing.required => {
                Err(self.error(format_args!("{} is missing: {} (see --help)", missing.name, missing.help)))
            }
            _ => Ok(()),
        }
    }

    /// From here on, all belongs to the command `name`.
    fn enter(&mut self, name: &OsStr) -> Result<(), UsageError> {
        self.command =
            self.command.commands.iter().find(|command| command.name == name).ok_or_else(|| {
                self.error(format_args!(
                    "unknown command '{}' (see --help)",
                    Escaped(&name.to_string_lossy())
                ))
            })?;
        Ok(())
    }

    fn push_argument(&mut self, arg: OsString) -> Result<(), UsageError> {
        let table = self.command.arguments;
        let fits = self.arguments.len() < table.len() || table.last().is_some_and(|last| last.many);
        if !fits {
            return Err(self.error(format_args!(
                "unexpected argument '{}' (see --help)",
                Escaped(&arg.to_string_lossy())
            )));
        }
        self.arguments.push(arg);
        Ok(())
    }

    fn push_flag(&mut self, arg: &[u8], rest: &mut impl Iterator<Item = OsString>) -> Result<(), UsageError> {
        let long = arg.starts_with(b"--");
        let body = arg.get(if long { 2 } else { 1 }..).unwrap_or_default();
        let go = self.command.style == Style::Go;
        if !long && !go {
            return self.push_short(body, rest);
        }
        let (name, value) = match body.iter().position(|&byte| byte == b'=') {
            Some(at) => (body.get(..at).unwrap_or_default(), body.get(at + 1..)),
            None => (body, None),
        };
        let flag = self.find(name, long && !go)?;
        let value = match (flag.value, value) {
            (None, None) => None,
            (None, Some(value)) if go => {
                self.turn(flag, value)?;
                return Ok(());
            }
            (None, Some(_)) => {
                return Err(self.error(format_args!("--{}: takes no value", flag.key())));
            }
            (Some(_), Some(value)) => Some(OsString::from_vec(value.to_vec())),
            (Some(_), None) if flag.is_optional() => None,
            (Some(expected), None) => Some(self.following(flag, expected, rest)?),
        };
        self.push(flag, value)
    }

    /// `-flag=true` and `-flag=false`, with all words that Go's flag package knows.
    fn turn(&mut self, flag: &'static Flag, value: &[u8]) -> Result<(), UsageError> {
        let key = flag.key();
        self.flags.retain(|(name, _)| *name != key);
        match value {
            b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => self.push(flag, None),
            b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => {
                self.off.push(key);
                Ok(())
            }
            _ => Err(self.wrong(key, "true or false", &String::from_utf8_lossy(value))),
        }
    }

    fn push_short(
        &mut self,
        mut body: &[u8],
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), UsageError> {
        while let Some((_, tail)) = body.split_first() {
            let flag = self.find(body.get(..1).unwrap_or_default(), false)?;
            let Some(expected) = flag.value else {
                self.push(flag, None)?;
                body = tail;
                continue;
            };
            let value = if tail.is_empty() && flag.is_optional() {
                return self.push(flag, None);
            } else if tail.is_empty() {
                self.following(flag, expected, rest)?
            } else {
                OsString::from_vec(tail.strip_prefix(b"=").unwrap_or(tail).to_vec())
            };
            return self.push(flag, Some(value));
        }
        Ok(())
    }

    fn following(
        &self,
        flag: &Flag,
        expected: &str,
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<OsString, UsageError> {
        rest.next().ok_or_else(|| self.error(format_args!("--{}: {expected} is missing", flag.key())))
    }

    fn push(&mut self, flag: &'static Flag, value: Option<OsString>) -> Result<(), UsageError> {
        if let (Hint::OneOf(words), Some(value)) = (flag.hint, &value)
            && !words.iter().any(|word| value == word)
        {
            let expected = format!("one of {}", words.join(", "));
            return Err(self.wrong(flag.key(), &expected, &value.to_string_lossy()));
        }
        self.flags.push((flag.key(), value));
        Ok(())
    }

    fn find(&self, name: &[u8], only_long: bool) -> Result<&'static Flag, UsageError> {
        let fits = |known: &str| known.as_bytes() == name && !(only_long && known.len() == 1);
        if let Some(flag) = self.command.flags().find(|flag| flag.names.iter().any(|known| fits(known))) {
            return Ok(flag);
        }
        if only_long && self.command.style == Style::Getopt {
            let begins = |flag: &&Flag| {
                flag.names.iter().any(|known| known.len() > 1 && known.as_bytes().starts_with(name))
            };
            let mut found = self.command.flags().filter(begins);
            if let (Some(flag), None) = (found.next(), found.next()) {
                return Ok(flag);
            }
        }
        let name = String::from_utf8_lossy(name);
        let dashes = if name.chars().count() > 1 { "--" } else { "-" };
        let near = self
            .command
            .flags()
            .flat_map(|flag| flag.names.iter())
            .filter(|known| known.len() > 1)
            .map(|known| (distance(known, &name), known))
            .min()
            .filter(|(distance, known)| *distance <= 1 + known.len() / 4);
        Err(match near {
            Some((_, known)) => self
                .error(format_args!("unknown flag '{dashes}{}', did you mean '--{known}'?", Escaped(&name))),
            None => self.error(format_args!("unknown flag '{dashes}{}' (see --help)", Escaped(&name))),
        })
    }
}

/// Levenshtein's distance, for "did you mean".
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(usize::MAX);
            let cost = (diagonal + usize::from(x != y)).min(left + 1).min(above + 1);
            diagonal = above;
            if let Some(place) = row.get_mut(j) {
                *place = left;
            }
            left = cost;
        }
        if let Some(place) = row.last_mut() {
            *place = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{Argument, BASIC};
    use super::*;

    static SUB: Command = Command {
        name: "sub",
        about: "listen",
        arguments: &[
            Argument {
                name: "SUBJECT",
                help: "what to listen to",
                required: true,
                many: false,
                hint: Hint::None,
            },
            Argument { name: "MORE", help: "more of them", required: false, many: true, hint: Hint::None },
        ],
        flags: &[
            &[
                Flag { names: &["count", "c"], value: Some("N"), help: "stop after N", hint: Hint::None },
                Flag { names: &["raw", "r"], value: None, help: "only payloads", hint: Hint::None },
                Flag {
                    names: &["log"],
                    value: Some("LEVEL"),
                    help: "",
                    hint: Hint::OneOf(&["info", "debug"]),
                },
            ],
            BASIC,
        ],
        of: Some("lunix"),
        style: Style::Gnu,
        details: &[],
        commands: &[],
        examples: &[],
    };

    static GO: Command = Command { name: "natsd", of: None, style: Style::Go, arguments: &[], ..SUB_LIKE };
    const SUB_LIKE: Command = Command {
        name: "",
        about: "",
        arguments: &[],
        flags: &[
            &[
                Flag { names: &["addr", "a", "net"], value: Some("HOST"), help: "", hint: Hint::None },
                Flag { names: &["DV"], value: None, help: "", hint: Hint::None },
            ],
            BASIC,
        ],
        of: Some("lunix"),
        style: Style::Gnu,
        details: &[],
        commands: &[],
        examples: &[],
    };

    fn parse(command: &'static Command, args: &[&str]) -> Result<Matches, String> {
        command.try_parse(args.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn gnu_flags_in_all_their_forms() {
        for form in [&["-c5"][..], &["-c", "5"], &["-c=5"], &["--count", "5"], &["--count=5"], &["-rc5"]] {
            let matches = parse(&SUB, form).unwrap();
            assert_eq!(matches.parsed::<u32>("count", "a number"), Ok(Some(5)), "{form:?}");
        }
        let matches = parse(&SUB, &["a.b", "--raw", "--", "-x", "-"]).unwrap();
        assert!(matches.has("raw"));
        assert_eq!(matches.arguments(), ["a.b", "-x", "-"]);
    }

    #[test]
    fn go_flags_with_one_dash_or_two() {
        for form in [&["-a", "h"][..], &["--a=h"], &["-addr=h"], &["--addr", "h"], &["-net", "h"]] {
            assert_eq!(parse(&GO, form).unwrap().text("addr"), Ok(Some("h")), "{form:?}");
        }
        assert!(parse(&GO, &["-DV"]).unwrap().has("DV"));
        for (form, truth) in [
            (&["-DV"][..], Some(true)),
            (&["--DV=true"], Some(true)),
            (&["-DV=0"], Some(false)),
            (&["-DV", "-DV=false"], Some(false)),
            (&["-DV=f", "-DV=T"], Some(true)),
            (&[], None),
        ] {
            let matches = parse(&GO, form).unwrap();
            assert_eq!((matches.truth("DV"), matches.has("DV")), (truth, truth == Some(true)), "{form:?}");
        }
        assert_eq!(parse(&GO, &["-DV=x"]).unwrap_err(), "natsd: --DV: expected true or false, found 'x'");
        assert_eq!(parse(&GO, &["x"]).unwrap_err(), "natsd: unexpected argument 'x' (see --help)");
    }

    #[test]
    fn mistakes_are_one_line_that_names_the_flag() {
        for (args, line) in [
            (&["--cuont", "5"][..], "lunix sub: unknown flag '--cuont', did you mean '--count'?"),
            (&["--zzz"], "lunix sub: unknown flag '--zzz' (see --help)"),
            (&["-q"], "lunix sub: unknown flag '-q' (see --help)"),
            (&["--count"], "lunix sub: --count: N is missing"),
            (&["--raw=1"], "lunix sub: --raw: takes no value"),
            (&["--log", "loud"], "lunix sub: --log: expected one of info, debug, found 'loud'"),
        ] {
            assert_eq!(parse(&SUB, args).unwrap_err(), line);
        }
        let matches = parse(&SUB, &["-c", "five"]).unwrap();
        assert_eq!(
            matches.parsed::<u32>("count", "a whole number").unwrap_err().to_string(),
            "lunix sub: --count: expected a whole number, found 'five'"
        );
        assert_eq!(
            matches.require_arguments().unwrap_err().to_string(),
            "lunix sub: SUBJECT is missing: what to listen to (see --help)"
        );
    }

    #[test]
    fn flags_as_getopt_has_them() {
        static WAIT: Command = Command {
            name: "wait",
            flags: &[&[
                Flag { names: &["exit"], value: None, help: "", hint: Hint::None },
                Flag { names: &["every", "all"], value: None, help: "", hint: Hint::None },
                Flag { names: &["timeout", "t"], value: Some("[SECONDS]"), help: "", hint: Hint::None },
            ]],
            of: Some("tool"),
            style: Style::Getopt,
            ..SUB_LIKE
        };
        static TOOL: Command =
            Command { name: "tool", of: None, style: Style::Getopt, commands: &[&WAIT], ..SUB_LIKE };
        for (args, value) in [
            (&["wait", "--time=5"][..], Some("5")),
            (&["-V", "wait", "-t5"], Some("5")),
            (&["wait", "--timeout", "--exi"], None),
            (&["wait", "-t", "--al"], None),
        ] {
            let matches = parse(&TOOL, args).unwrap();
            assert_eq!((matches.command().name, matches.has("timeout")), ("wait", true), "{args:?}");
            assert_eq!(matches.text("timeout"), Ok(value), "{args:?}");
        }
        let error = TOOL.try_parse(["wait", "--e"].map(OsString::from)).unwrap_err();
        assert_eq!((error.line.as_str(), error.code), ("tool wait: unknown flag '-e' (see --help)", 1));
        assert_eq!(parse(&TOOL, &["wiat"]).unwrap_err(), "tool: unknown command 'wiat' (see --help)");
        assert_eq!(
            parse(&TOOL, &["wait", "x"]).unwrap_err(),
            "tool wait: unexpected argument 'x' (see --help)"
        );
    }

    #[test]
    fn distances() {
        assert_eq!(distance("count", "cuont"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
