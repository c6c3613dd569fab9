//! The toolchain of `rust-toolchain.toml`. rustup brings all of it when it installs that toolchain, and nothing
//! for one that was there before.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{paths, shell};

const FILE: &str = include_str!("../../rust-toolchain.toml");

/// Adds the targets and components that are not here, and says so.
pub fn complete() -> Result<()> {
    let mut missing = Vec::new();
    for target in list("targets") {
        if !has_std(target)? {
            missing.push(target);
        }
    }
    if !missing.is_empty() {
        rustup("target", &missing)?;
    }
    if list("components").any(|name| name == "rust-src") && !has_source()? {
        rustup("component", &["rust-src"])?;
    }
    Ok(())
}

/// Whether rustc has the target's libraries.
pub fn has_std(target: &str) -> Result<bool> {
    rustc(&["--print", "target-libdir", "--target", target]).map(|folder| Path::new(&folder).exists())
}

/// Whether the standard library's source is here, so that it can be built for size.
pub fn has_source() -> Result<bool> {
    let sysroot = rustc(&["--print", "sysroot"])?;
    Ok(Path::new(&sysroot).join("lib/rustlib/src/rust/library/Cargo.lock").exists())
}

fn rustc(arguments: &[&str]) -> Result<String> {
    let text = shell::read(Command::new("rustc").args(arguments).current_dir(paths::root()))?;
    Ok(text.trim().to_owned())
}

fn rustup(what: &str, names: &[&str]) -> Result<()> {
    let mut command = Command::new("rustup");
    command.args([what, "add"]).args(names).current_dir(paths::root());
    eprintln!("setup: {}", shell::line(&command));
    shell::quiet(&mut command).context("without rustup, add them by the means that Rust came by")
}

/// The strings of a list in `rust-toolchain.toml`.
fn list(key: &str) -> impl Iterator<Item = &'static str> {
    let from = FILE.split_once(&format!("{key} = [")).map_or("", |(_, rest)| rest);
    let inside = from.split_once(']').map_or("", |(inside, _)| inside);
    inside.split('"').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    #[test]
    fn lists_are_read() {
        assert!(super::list("targets").any(|target| target == "thumbv7m-none-eabi"));
        assert_eq!(super::list("components").next(), Some("rustfmt"));
        assert_eq!(super::list("others").next(), None);
    }
}
