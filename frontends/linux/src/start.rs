//! How a daemon starts: by its settings, or with a line that says what is wrong with them.

use std::io;
use std::process::ExitCode;

use crate::cli::{Matches, UsageError};
use crate::config::Mistakes;
use crate::log::{self, Level};

/// Why there are no settings.
#[derive(Debug)]
pub enum Wrong {
    /// What the command line says.
    Usage(UsageError),
    /// What the file says that it names.
    File(Mistakes),
}

impl From<UsageError> for Wrong {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<Mistakes> for Wrong {
    fn from(mistakes: Mistakes) -> Self {
        Self::File(mistakes)
    }
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(out),
            Self::File(mistakes) => mistakes.fmt(out),
        }
    }
}

/// Serves as the settings say, unless they were only to be checked.
pub fn start<S>(
    name: &str,
    matches: &Matches,
    settings: Result<S, Wrong>,
    serve: impl FnOnce(S) -> io::Result<()>,
) -> ExitCode {
    let settings = match settings {
        Ok(settings) => settings,
        Err(Wrong::Usage(error)) => return error.report(),
        Err(Wrong::File(mistakes)) => {
            eprintln!("{mistakes}");
            return ExitCode::from(2);
        }
    };
    if matches.has("check-config") {
        return ExitCode::SUCCESS;
    }
    match serve(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::line(Level::Error, name, error);
            ExitCode::FAILURE
        }
    }
}
