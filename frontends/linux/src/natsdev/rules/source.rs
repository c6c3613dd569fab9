//! Where rules come from.

use std::path::PathBuf;

use super::{FOLDERS, Rules, Strictness};
use crate::cli::Matches;
use crate::config::Mistakes;
use crate::log::{self, Level};
use crate::natsdev::NAME;
use crate::natsdev::device::Root;

/// Folders of rules, and what becomes of mistakes in them.
#[derive(Clone, Debug)]
pub(in crate::natsdev) struct Source {
    folders: Vec<PathBuf>,
    strictness: Strictness,
}

impl Source {
    /// As the command line says.
    pub(in crate::natsdev) fn of(matches: &Matches, root: &Root) -> Self {
        let mut folders: Vec<PathBuf> = matches.all("rules").map(PathBuf::from).collect();
        if folders.is_empty() {
            folders = FOLDERS.iter().map(|folder| root.path(folder)).collect();
        }
        let strictness = if matches.has("skip-mistakes") { Strictness::LeaveOut } else { Strictness::Refuse };
        Self { folders, strictness }
    }

    /// Reads the rules. What is not wrong, but not what it seems, is logged.
    ///
    /// # Errors
    /// All mistakes of all files.
    pub(in crate::natsdev) fn read(&self) -> Result<Rules, Mistakes> {
        let rules = Rules::read(&self.folders, self.strictness)?;
        for remark in &rules.remarks {
            log::line(Level::Warn, NAME, remark);
        }
        Ok(rules)
    }
}
