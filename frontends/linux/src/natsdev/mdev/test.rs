//! `natsdev test --mdev-conf`: what the lines want of a device; with `--apply`, done as well.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use super::apply::{self, Machine};
use super::plan::steps;
use super::{Conf, Line};
use crate::log::{self, Level};
use crate::natsdev::NAME;
use crate::natsdev::device::{Device, Root};

impl Conf {
    /// Prints a line for each thing that is wanted.
    pub(in crate::natsdev) fn test(
        &self,
        root: &Root,
        devpath: &[u8],
        action: &str,
        apply: bool,
    ) -> io::Result<ExitCode> {
        let of_path =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", devpath.escape_ascii()));
        let device = Device::read(root, devpath, action.as_bytes()).map_err(of_path)?;
        let mut text = String::new();
        let mut code = ExitCode::SUCCESS;
        let steps = steps(self, &device, |line, name| {
            let place = self.place(line);
            log::line(
                Level::Error,
                NAME,
                format_args!("{place}: '{}' leads out of /dev", name.escape_ascii()),
            );
            code = ExitCode::FAILURE;
        });
        for step in &steps {
            let place = self.place(step.line);
            let name = step.name.escape_ascii();
            if step.node.is_some() {
                let Line { owner, group, mode, .. } = step.line;
                let _ =
                    writeln!(text, "{place}: node /dev/{name} owner {owner} group {group} mode {mode:04o}");
            }
            if step.node.is_some() && step.is_linked {
                let _ = writeln!(text, "{place}: link /dev/{}", step.kernels.escape_ascii());
            }
            if let Some(command) = step.command {
                let _ = writeln!(text, "{place}: run {} with MDEV={name}", command.escape_ascii());
            }
        }
        // A reader that went away is no error of ours.
        let _ = io::stdout().lock().write_all(text.as_bytes());
        if apply {
            let kernel_makes_nodes = root.kernel_makes_nodes();
            let machine = Machine { root, kernel_makes_nodes, environment: apply::ENVIRONMENT };
            for step in &steps {
                machine.take(step, &device, &mut |what, error| {
                    log::line(Level::Error, NAME, format_args!("{what}: {error}"));
                    code = ExitCode::FAILURE;
                });
            }
        }
        Ok(code)
    }
}
