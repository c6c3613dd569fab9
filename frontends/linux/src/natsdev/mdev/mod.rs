//! `mdev.conf`, by which busybox's mdev gives devices their nodes: instead of udev's rules, for small machines.
//!
//! | file | what it does |
//! |---|---|
//! | `parse` | reads the file |
//! | `plan` | says what its lines want of a device |
//! | `apply` | does it |
//! | `test` | `natsdev test --mdev-conf` |
//! | `command` | `mdev`, for scripts and kernels that call it by that name |

mod apply;
pub mod command;
mod parse;
mod plan;
mod test;

use std::io;
use std::path::{Path, PathBuf};

use super::device::Root;
use super::rules;
use crate::config::{Mistake, Mistakes};

/// Where it usually is. Without it, the node of a device has its own name and is root's.
pub(super) const USUAL: &str = "/etc/mdev.conf";
/// The longest file.
const BYTES: u64 = 1 << 20;

/// What is to become of devices.
#[derive(Clone, Debug)]
pub(super) struct Conf {
    path: PathBuf,
    lines: Vec<Line>,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    /// In the file; 0 for what counts where no line does.
    number: usize,
    /// Those after it count, too, if it fits.
    goes_on: bool,
    /// Of each variable, a part must fit the expression.
    given: Vec<Condition>,
    subject: Subject,
    owner: u32,
    group: u32,
    mode: u32,
    name: Name,
    command: Option<Command>,
}

/// Which devices a line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    /// The expression fits the whole name.
    Name(Vec<u8>),
    /// The expression fits the whole of the variable.
    Variable(Condition),
    /// The node has one of these numbers.
    Number {
        major: u32,
        first: u32,
        last: u32,
    },
    All,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    variable: Vec<u8>,
    regex: Vec<u8>,
}

/// What the node is called. In texts, `%0` to `%9` stand for groups of the expression.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    /// As the kernel calls it.
    Kernels,
    /// `=`
    Other(Vec<u8>),
    /// `>`: the kernel's name is a link to it.
    Linked(Vec<u8>),
    /// `!`: there is none.
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Command {
    when: When,
    text: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// `@`: after the node is made.
    Comes,
    /// `$`: before it is removed.
    Goes,
    /// `*`: at both, and whatever else happens.
    Always,
}

impl Conf {
    /// Reads a file. Only the usual one may be absent.
    ///
    /// # Errors
    /// All its mistakes.
    pub(super) fn read(path: &Path, root: &Root) -> Result<Self, Mistakes> {
        match rules::text(path, BYTES) {
            Ok(text) => Self::parse(path, &text, root),
            Err(error) if error.kind() == io::ErrorKind::NotFound && path == root.path(USUAL) => {
                Self::parse(path, b"", root)
            }
            Err(error) => Err(Mistake::of_file(path, &error).into()),
        }
    }

    pub(super) fn lines(&self) -> usize {
        self.lines.len() - 1
    }

    /// `FILE:LINE`
    fn place(&self, line: &Line) -> String {
        match line.number {
            0 => "no line".to_owned(),
            number => format!("{}:{number}", self.path.display()),
        }
    }
}
