//! Packages of Debian for another processor, unpacked into the cache: nothing of this machine's apt or dpkg changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::kernel::Fnv;
use crate::paths::{Scratch, cache};
use crate::shell;

/// The tree of `packages` without what they depend on. To move to newer ones, delete it from the cache.
pub fn fetch(architecture: &str, packages: &[&str]) -> Result<PathBuf> {
    let mut hash = Fnv::default();
    packages.iter().for_each(|package| hash.add(package.as_bytes()));
    let dir = cache()?.join(format!("{architecture}-{:016x}", hash.0));
    if dir.exists() {
        return Ok(dir);
    }
    eprintln!(
        "image: fetching {} for {architecture}, and the list of its packages (10 MB, once)",
        packages.join(" ")
    );
    let scratch = Scratch::under(&cache()?)?;
    let (debs, tree) = (scratch.path().join("debs"), scratch.path().join("tree"));
    for folder in ["lists/partial", "cache/archives/partial", "debs", "tree"] {
        fs::create_dir_all(scratch.path().join(folder))?;
    }
    fs::write(scratch.path().join("status"), "")?;
    // A list that is of no use here may fail, such as that of a source that does not know this processor.
    let update = apt(architecture, scratch.path()).args(["update", "-q"]).output()?;
    let got = apt(architecture, scratch.path())
        .args(["download", "-q"])
        .args(packages)
        .current_dir(&debs)
        .output()?;
    ensure!(
        got.status.success(),
        "apt-get has no {} for {architecture}:\n{}{}",
        packages.join(" "),
        String::from_utf8_lossy(&update.stderr),
        String::from_utf8_lossy(&got.stderr)
    );
    for entry in fs::read_dir(&debs)? {
        shell::quiet(Command::new("dpkg-deb").arg("-x").arg(entry?.path()).arg(&tree))?;
    }
    fs::rename(&tree, &dir).with_context(|| format!("move packages to {}", dir.display()))?;
    Ok(dir)
}

/// apt-get for a machine of this processor that has no packages.
fn apt(architecture: &str, scratch: &Path) -> Command {
    let mut command = Command::new("apt-get");
    let path = |name: &str| scratch.join(name).display().to_string();
    for option in [
        format!("APT::Architecture={architecture}"),
        format!("APT::Architectures::={architecture}"),
        format!("Dir::State::lists={}", path("lists")),
        format!("Dir::State::status={}", path("status")),
        format!("Dir::Cache={}", path("cache")),
        format!("Dir::Cache::archives={}", path("cache/archives")),
        "Debug::NoLocking=1".to_owned(),
        // apt's own user cannot reach what is ours.
        format!("APT::Sandbox::User={}", std::env::var("USER").unwrap_or_else(|_| "root".to_owned())),
        "Acquire::Languages=none".to_owned(),
    ] {
        command.args(["-o", &option]);
    }
    command
}
