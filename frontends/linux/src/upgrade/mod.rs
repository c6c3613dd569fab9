//! `lunix upgrade`: replaces the system in the flash by a newer one, which has to show that it works.
//!
//! What is decided, and in which order the flash is written, is `lunix_core::slots`; here is the flash, the file, the network and
//! the user. Exit codes: 0 = done, 1 = it did not work or was refused, 2 = the command line is wrong.

mod apply;
mod command;
mod flash;
mod http;
mod keys;
mod pack;
mod plan;
mod source;
mod status;
mod system;
mod trial;

use std::fmt;
use std::process::ExitCode;

use crate::cli::{Matches, UsageError};

pub use command::COMMAND;

const NAME: &str = "lunix upgrade";

/// Why it ended.
#[derive(Debug)]
enum Failure {
    /// The command line is wrong.
    Usage(UsageError),
    /// One line, or several, that say why it did not work.
    Refused(String),
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl Failure {
    fn new(why: impl fmt::Display) -> Self {
        Self::Refused(why.to_string())
    }
}

/// What a flag has done.
type Verb = fn(&Matches) -> Result<(), Failure>;

/// What can be wanted, one at a time. `--plan` is what happens without any.
const VERBS: &[(&str, Verb)] = &[
    ("plan", plan::run),
    ("apply", apply::run),
    ("install", apply::install),
    ("confirm", status::confirm),
    ("rollback", status::rollback),
    ("status", status::run),
    ("watch-trial", trial::run),
    ("pack", pack::run),
    ("new-key", pack::new_key),
];

/// Runs the command.
pub fn run(matches: &Matches) -> ExitCode {
    let wanted: Vec<_> = VERBS.iter().filter(|(name, _)| matches.has(name)).collect();
    let result = match wanted.as_slice() {
        [] if matches.has("sign") => pack::sign(matches),
        [] => plan::run(matches),
        [(_, run)] => run(matches),
        [(first, _), (second, _), ..] => {
            Err(matches.error(format_args!("--{first} and --{second}: expected one of them")).into())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => error.report(),
        Err(Failure::Refused(why)) => {
            for line in why.lines() {
                eprintln!("{NAME}: {line}");
            }
            ExitCode::FAILURE
        }
    }
}
