//! Files that have outgrown one subject: named, not forbidden.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::gate::Run;
use crate::{paths, shell};

/// Lines of a file before its tests.
const LONG: usize = 600;

pub(super) fn check(run: &mut Run) -> Result<()> {
    let root = paths::root();
    let mut files = Vec::new();
    for folder in ["uevent", "proto", "core", "frontends", "xtask", "fuzz", "bench", "targets", "examples"] {
        collect(&root.join(folder), &mut files);
    }
    files.sort();
    for file in files {
        let lines = lines_before_tests(&fs::read_to_string(&file)?);
        if lines > LONG {
            run.note(&format!("long: {} has {lines} lines before its tests", shell::shown(&file)));
        }
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != "node_modules" {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn lines_before_tests(text: &str) -> usize {
    text.lines().take_while(|line| *line != "#[cfg(test)]").count()
}
