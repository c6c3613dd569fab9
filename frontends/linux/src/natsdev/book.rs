//! By what natsdev handles devices: udev's rules, or an `mdev.conf`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::device::Root;
use super::mdev::Conf;
use super::rules::{self, Rules};
use crate::cli::Matches;
use crate::config::Mistakes;

/// What was read.
#[derive(Debug)]
pub(super) enum Book {
    Udev(Rules),
    Mdev(Conf),
}

/// Where it is read, again and again.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Udev(rules::source::Source),
    Mdev(PathBuf),
}

impl Source {
    /// As the command line says.
    pub(super) fn of(matches: &Matches, root: &Root) -> Self {
        match matches.path("mdev-conf") {
            Some(path) => Self::Mdev(path.to_path_buf()),
            _ => Self::Udev(rules::source::Source::of(matches, root)),
        }
    }

    /// # Errors
    /// All mistakes of all files.
    pub(super) fn read(&self, root: &Root) -> Result<Book, Mistakes> {
        match self {
            Self::Udev(source) => source.read().map(Book::Udev),
            Self::Mdev(path) => Conf::read(path, root).map(Book::Mdev),
        }
    }
}

impl Book {
    /// What the command line names. Mistakes are printed on stderr.
    ///
    /// # Errors
    /// The exit code after that.
    pub(super) fn of(matches: &Matches) -> Result<(Self, Root), ExitCode> {
        let root = Root::new(matches.path("root").unwrap_or(Path::new("/")));
        match Source::of(matches, &root).read(&root) {
            Ok(book) => Ok((book, root)),
            Err(mistakes) => {
                eprintln!("{mistakes}");
                Err(ExitCode::from(2))
            }
        }
    }

    /// Lines that count.
    pub(super) fn lines(&self) -> usize {
        match self {
            Self::Udev(rules) => rules.table().lines() as usize,
            Self::Mdev(conf) => conf.lines(),
        }
    }
}
