//! How every bridge starts: by its settings, or with a line that says what is wrong with them.

use std::io;
use std::process::ExitCode;

use lunix::cli::{Matches, UsageError};
use lunix::config::Mistakes;
use lunix::log::{self, Level};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Why there are no settings.
pub(crate) enum Wrong {
    Usage(UsageError),
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
pub(crate) fn start<S>(
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
    // Each connection takes one or two: as many as the system allows.
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    match serve(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::line(Level::Error, name, error);
            ExitCode::FAILURE
        }
    }
}
