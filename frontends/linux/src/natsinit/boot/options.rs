//! What the kernel's command line, and our own, ask for.

use std::path::PathBuf;

use crate::log::Level;

/// Words of a command line that are for PID 1. The last of each counts; all others are somebody else's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::natsinit) struct Options {
    /// `lunix.services=DIR`
    pub(in crate::natsinit) services: Option<PathBuf>,
    /// `lunix.emergency`, `emergency`, `-b`: a shell before the first service.
    pub(super) emergency: bool,
    /// `single`, `s`, `S`, `1`: as an emergency, which has no other services either.
    pub(super) single: bool,
    /// `lunix.log=LEVEL`; `quiet` is `warn`, `debug` is `debug`.
    pub(super) log: Option<Level>,
    /// `lunix.console=DEVICE`
    pub(super) console: Option<PathBuf>,
    /// `rw` or `ro`: how the root shall be.
    pub(super) writable_root: Option<bool>,
}

impl Options {
    /// `kernel` are words of `/proc/cmdline`, `own` those that the kernel has handed on.
    pub(super) fn parse<'w>(
        kernel: impl Iterator<Item = &'w str>,
        own: impl Iterator<Item = &'w str>,
    ) -> Self {
        let mut options = Self::default();
        for word in kernel.chain(own) {
            match word.split_once('=').unwrap_or((word, "")) {
                ("lunix.services", folder) if folder.starts_with('/') => {
                    options.services = Some(folder.into())
                }
                ("lunix.log", level) => options.log = Level::from_name(level).or(options.log),
                ("quiet", "") => options.log = options.log.or(Some(Level::Warn)),
                ("debug", "") => options.log = options.log.or(Some(Level::Debug)),
                ("lunix.console", device) if !device.is_empty() => {
                    options.console = Some(PathBuf::from("/dev").join(device));
                }
                ("lunix.emergency", "" | "1") | ("emergency" | "-b", "") => options.emergency = true,
                ("single" | "s" | "S" | "1", "") => options.single = true,
                ("rw", "") => options.writable_root = Some(true),
                ("ro", "") => options.writable_root = Some(false),
                _ => {}
            }
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kernel: &str, own: &str) -> Options {
        Options::parse(kernel.split(' '), own.split(' '))
    }

    #[test]
    fn words_of_all_kinds() {
        let all =
            parse("console=ttyS0 ro quiet lunix.services=/x lunix.log=debug lunix.console=ttyS1", "single");
        assert_eq!(all.services.as_deref(), Some("/x".as_ref()));
        assert_eq!(all.log, Some(Level::Debug));
        assert_eq!(all.console.as_deref(), Some("/dev/ttyS1".as_ref()));
        assert_eq!((all.single, all.emergency, all.writable_root), (true, false, Some(false)));
        assert!(parse("lunix.emergency", "").emergency && parse("", "emergency").emergency);
        assert_eq!(
            parse("lunix.log=loud lunix.services=x lunix.console=", "auto splash"),
            Options::default()
        );
        assert_eq!(parse("lunix.console=/dev/tty1", "").console.as_deref(), Some("/dev/tty1".as_ref()));
    }
}
