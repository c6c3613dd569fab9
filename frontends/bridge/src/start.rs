//! How every bridge starts.

use std::io;
use std::process::ExitCode;

use lunix::cli::Matches;
pub(crate) use lunix::start::Wrong;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Serves as the settings say, unless they were only to be checked.
pub(crate) fn start<S>(
    name: &str,
    matches: &Matches,
    settings: Result<S, Wrong>,
    serve: impl FnOnce(S) -> io::Result<()>,
) -> ExitCode {
    lunix::start::start(name, matches, settings, |settings| {
        // Each connection takes one or two: as many as the system allows.
        let limit = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
        serve(settings)
    })
}
