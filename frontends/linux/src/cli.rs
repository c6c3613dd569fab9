//! The command line as data: one table a program, from which come parsing, `--help`, shell completions
//! and man pages (the last two made by `cargo xtask dist`).

mod help;
mod parse;

pub(crate) use parse::distance;
pub use parse::{Matches, UsageError};

/// A program, or a command of the program `lunix`.
#[derive(Debug)]
pub struct Command {
    /// What the user types: `natsd`, `sub`.
    pub name: &'static str,
    /// One line, lower case, without a full stop.
    pub about: &'static str,
    /// The arguments without a dash, in order.
    pub arguments: &'static [Argument],
    /// The flags, in groups that several programs can share.
    pub flags: &'static [&'static [Flag]],
    /// The program that it is a command of, if it is none by itself.
    pub of: Option<&'static str>,
    /// How flags are written.
    pub style: Style,
    /// Commands with tables of their own: the first argument names one of them, and what follows is its.
    pub commands: &'static [&'static Command],
    /// Paragraphs of the manual page and of `--help`, below the flags.
    pub details: &'static [&'static str],
    /// What to type, and what it does.
    pub examples: &'static [(&'static str, &'static str)],
}

/// How flags are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `--name value`, `--name=value`, `-n value`, `-nvalue`, `-abc`; `--` ends the flags.
    Gnu,
    /// One dash or two, `-name value` or `-name=value`, as nats-server has them.
    Go,
    /// As [`Style::Gnu`], for programs whose callers know getopt_long(3): a long name may be cut short where it stays
    /// clear, a value in brackets belongs to its flag only behind `=` or in the same word, and a mistake ends with 1.
    Getopt,
}

/// An argument without a dash.
#[derive(Debug)]
pub struct Argument {
    /// As it stands in the usage line: `SUBJECT`.
    pub name: &'static str,
    /// One line.
    pub help: &'static str,
    /// It may not be left out.
    pub required: bool,
    /// It takes all that follow, too. Only for the last one.
    pub many: bool,
    /// What a shell may complete.
    pub hint: Hint,
}

/// A flag.
#[derive(Debug)]
pub struct Flag {
    /// All its names without dashes; the first one is the one that `Matches` knows. One letter = short.
    pub names: &'static [&'static str],
    /// The name of its value, as it stands in the help; in brackets, `[SECONDS]`, if it may be left out. `None` for a switch.
    pub value: Option<&'static str>,
    /// One line.
    pub help: &'static str,
    /// What a shell may complete.
    pub hint: Hint,
}

/// What a shell may complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Nothing.
    None,
    /// A file.
    File,
    /// A folder.
    Folder,
    /// One of these words. The parser accepts no other.
    OneOf(&'static [&'static str]),
}

/// `--help` and `--version`, which every program has.
pub const BASIC: &[Flag] = &[
    Flag { names: &["help", "h"], value: None, help: "show this help and exit", hint: Hint::None },
    Flag { names: &["version", "V"], value: None, help: "show the version and exit", hint: Hint::None },
];

/// Where the server is.
pub const SERVER: Flag = Flag {
    names: &["nats"],
    value: Some("URL"),
    help: "the NATS server: nats://HOST:PORT, tls://HOST:PORT or unix:///PATH, several with commas \
           [$NATS_URL, else nats://127.0.0.1:4222]",
    hint: Hint::None,
};

/// Whom a server's certificate must be of.
pub const AUTHORITIES: Flag = Flag {
    names: &["tlsca"],
    value: Some("FILE"),
    help: "who signs servers' certificates [$NATS_CA, else this machine's authorities]",
    hint: Hint::File,
};

/// Where the server is, and who the program is there: of every program but the server.
pub const NATS: &[Flag] = &[
    SERVER,
    Flag {
        names: &["creds"],
        value: Some("FILE"),
        help: "who we are: a user's token and seed, as nsc writes them [$NATS_CREDS]",
        hint: Hint::File,
    },
    Flag {
        names: &["nkey"],
        value: Some("FILE"),
        help: "who we are: the seed of an nkey [$NATS_NKEY]",
        hint: Hint::File,
    },
    AUTHORITIES,
    Flag { names: &["tlscert"], value: Some("FILE"), help: "our certificate [$NATS_CERT]", hint: Hint::File },
    Flag { names: &["tlskey"], value: Some("FILE"), help: "its key [$NATS_KEY]", hint: Hint::File },
];

/// What every daemon but the server has.
pub const DAEMON: &[Flag] = &[
    Flag { names: &["config", "c"], value: Some("FILE"), help: "configuration file", hint: Hint::File },
    Flag {
        names: &["check-config"],
        value: None,
        help: "check the configuration and exit",
        hint: Hint::None,
    },
    Flag {
        names: &["log"],
        value: Some("LEVEL"),
        help: "how much to say on stderr [info]",
        hint: Hint::OneOf(&["error", "warn", "info", "debug"]),
    },
];

impl Command {
    /// All flags, in the order of the help.
    pub fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.flags.iter().flat_map(|group| group.iter())
    }

    /// What the user types to call it: `natsd`, `lunix sub`.
    pub fn called(&self) -> String {
        match self.of {
            Some(program) => format!("{program} {}", self.name),
            None => self.name.to_owned(),
        }
    }

    /// Prints the help on stdout, in colours where that is a terminal.
    pub fn print_help(&self) {
        help::print(self);
    }
}

impl Flag {
    /// Its value may be left out.
    pub fn is_optional(&self) -> bool {
        self.value.is_some_and(|value| value.starts_with('['))
    }

    /// The name that `Matches` knows.
    pub fn key(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }
}
