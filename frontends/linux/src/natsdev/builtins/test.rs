//! `natsdev test-builtin`: what a built-in finds of a device.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;

use super::{lines, run as run_builtin};
use crate::cli::Matches;
use crate::log::{self, Level};
use crate::natsdev::NAME;
use crate::natsdev::device::{Device, Root};
use crate::natsdev::rules::evaluate::Writes;

/// Runs `natsdev test-builtin COMMAND DEVPATH`.
pub(in crate::natsdev) fn run(matches: &Matches) -> ExitCode {
    let (Some(command), Some(devpath)) = (matches.argument(1), matches.argument(2)) else {
        return matches.error("expected a built-in and DEVPATH").report();
    };
    let root = Root::new(matches.path("root").unwrap_or(Path::new("/")));
    let writes = if matches.has("apply") { Writes::Done } else { Writes::Told };
    match test(&root, command, devpath.as_bytes(), writes) {
        Ok(Some(text)) => {
            // A reader that went away is no error of ours.
            let _ = io::stdout().lock().write_all(&text);
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::FAILURE,
        Err(error) => {
            log::line(Level::Error, NAME, format_args!("{}: {error}", command.display()));
            ExitCode::FAILURE
        }
    }
}

fn test(root: &Root, command: &OsStr, devpath: &[u8], writes: Writes) -> io::Result<Option<Vec<u8>>> {
    let devpath = devpath.strip_prefix(b"/sys").filter(|rest| rest.starts_with(b"/")).unwrap_or(devpath);
    let device = Device::read(root, devpath, b"add")?;
    Ok(run_builtin(root, &device, &[], writes, command.as_bytes())?.map(|properties| lines(&properties)))
}
