//! `targets/<board>/manifest`: what is in the root file system, one line a file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::board::Board;
use crate::paths;

/// Something in the root file system; its path begins with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `dir PATH [MODE]`
    Directory(String, u32),
    /// `file PATH [MODE]`: of the board's own folder `root/`, else of `targets/rootfs/`.
    File(String, u32),
    /// `program PATH NAME`: one that is built or fetched.
    Program(String, String),
    /// `link PATH TARGET`
    Link(String, String),
    /// `char PATH MODE MAJOR MINOR`
    Character(String, u32, u32, u32),
}

impl Entry {
    /// Where it is.
    pub fn path(&self) -> &str {
        match self {
            Self::Directory(path, _)
            | Self::File(path, _)
            | Self::Program(path, _)
            | Self::Link(path, _)
            | Self::Character(path, ..) => path,
        }
    }
}

/// What `board` has, every file of it once. All mistakes are told at once.
pub fn read(board: &Board) -> Result<Vec<Entry>> {
    let mut mistakes = Vec::new();
    let mut entries: Vec<Entry> = Vec::new();
    file(&board.folder().join("manifest"), &mut entries, &mut mistakes);
    if board.web {
        file(&paths::root().join("targets/rootfs/manifest.web"), &mut entries, &mut mistakes);
    }
    ensure!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    Ok(entries)
}

/// The file that a `file` line means.
pub fn source(board: &Board, path: &str) -> Result<PathBuf> {
    let inside = path.trim_start_matches('/');
    let places =
        [board.folder().join("root").join(inside), paths::root().join("targets/rootfs").join(inside)];
    let found = places.iter().find(|place| place.is_file());
    found
        .cloned()
        .with_context(|| format!("{path} is neither {} nor {}", places[0].display(), places[1].display()))
}

fn file(path: &Path, entries: &mut Vec<Entry>, mistakes: &mut Vec<String>) {
    let shown = crate::shell::shown(path);
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => {
            mistakes.push(format!("{shown}: {e}"));
            return;
        }
    };
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["include", other] => file(&paths::root().join("targets").join(other), entries, mistakes),
            // The programs of busybox: links with the names that follow.
            ["busybox", folder, names @ ..] => {
                let links = names
                    .iter()
                    .map(|name| Entry::Link(format!("{folder}/{name}"), "/bin/busybox".to_owned()));
                entries.extend(links);
            }
            words => match entry(words) {
                Ok(entry) if entries.iter().any(|other| other.path() == entry.path()) => {
                    mistakes.push(format!("{shown}:{number}: {} is there already", entry.path()));
                }
                Ok(entry) => entries.push(entry),
                Err(e) => mistakes.push(format!("{shown}:{number}: {e}")),
            },
        }
    }
}

fn entry(words: &[&str]) -> Result<Entry> {
    let path = |path: &str| -> Result<String> {
        let plain =
            path.starts_with('/') && !path.split('/').skip(1).any(|part| matches!(part, "" | "." | ".."));
        ensure!(plain, "expected a path from the root on, found {path}");
        Ok(path.to_owned())
    };
    let mode = |text: &str| {
        u32::from_str_radix(text, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777)
            .with_context(|| format!("expected a mode such as 0644, found {text}"))
    };
    let number = |text: &str| text.parse().with_context(|| format!("expected a number, found {text}"));
    Ok(match words {
        ["dir", at] => Entry::Directory(path(at)?, 0o755),
        ["dir", at, bits] => Entry::Directory(path(at)?, mode(bits)?),
        ["file", at] => Entry::File(path(at)?, 0o644),
        ["file", at, bits] => Entry::File(path(at)?, mode(bits)?),
        ["program", at, name] => Entry::Program(path(at)?, (*name).to_owned()),
        ["link", at, target] => Entry::Link(path(at)?, (*target).to_owned()),
        ["char", at, bits, major, minor] => {
            Entry::Character(path(at)?, mode(bits)?, number(major)?, number(minor)?)
        }
        _ => bail!("expected dir, file, program, link, char, busybox or include, found {}", words.join(" ")),
    })
}

#[cfg(test)]
mod tests {
    use super::super::board::BOARDS;
    use super::*;
    use crate::paths::Scratch;

    #[test]
    fn the_manifests_are_sound() {
        for board in BOARDS.iter().flat_map(|board| [board, Board::of(board.name, true).unwrap()]) {
            for entry in read(board).unwrap() {
                if let Entry::File(path, _) = &entry {
                    source(board, path).unwrap();
                }
            }
        }
    }

    #[test]
    fn all_mistakes_at_once() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().join("manifest");
        fs::write(&path, "dir /a\nfile a\nfile /b 999 # c\nlink /a b\nwhat\n").unwrap();
        let (mut entries, mut mistakes) = (Vec::new(), Vec::new());
        file(&path, &mut entries, &mut mistakes);
        assert_eq!(entries, [Entry::Directory("/a".to_owned(), 0o755)]);
        let lines: Vec<&str> =
            mistakes.iter().filter_map(|line| line.split_once("manifest:")).map(|(_, said)| said).collect();
        assert_eq!(
            lines,
            [
                "2: expected a path from the root on, found a",
                "3: expected a mode such as 0644, found 999",
                "4: /a is there already",
                "5: expected dir, file, program, link, char, busybox or include, found what",
            ]
        );
    }
}
