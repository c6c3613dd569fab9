//! Where rules come from.

use std::path::{Path, PathBuf};

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
    /// Nobody has named other folders.
    usual: bool,
    strictness: Strictness,
}

/// For machines where there are none at all.
const DEFAULT: &[u8] = include_bytes!("default.rules");

impl Source {
    /// As the command line says.
    pub(in crate::natsdev) fn of(matches: &Matches, root: &Root) -> Self {
        let folders: Vec<PathBuf> = matches.all("rules").map(PathBuf::from).collect();
        let strictness = if matches.has("skip-mistakes") { Strictness::LeaveOut } else { Strictness::Refuse };
        if folders.is_empty() {
            Self::usual(root, strictness)
        } else {
            Self { folders, usual: false, strictness }
        }
    }

    /// Where rules are if nobody says so.
    pub(in crate::natsdev) fn usual(root: &Root, strictness: Strictness) -> Self {
        Self { folders: FOLDERS.iter().map(|folder| root.path(folder)).collect(), usual: true, strictness }
    }

    /// Reads the rules. What is not wrong, but not what it seems, is logged.
    ///
    /// # Errors
    /// All mistakes of all files.
    pub(in crate::natsdev) fn read(&self) -> Result<Rules, Mistakes> {
        let mut rules = Rules::read(&self.folders, self.strictness)?;
        if self.usual && rules.files().is_empty() {
            rules = Rules::parse(Path::new("default.rules"), DEFAULT, self.strictness)?;
        }
        for remark in &rules.remarks {
            log::line(Level::Warn, NAME, remark);
        }
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_our_own_are_right() {
        let rules = Rules::parse(Path::new("default.rules"), DEFAULT, Strictness::Refuse).unwrap();
        assert!(rules.remarks.is_empty(), "{:?}", rules.remarks);
        assert!(rules.table().lines() > 40);
    }
}
