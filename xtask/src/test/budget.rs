//! The size budget: `targets/budget.toml` against what the size build makes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::gate::{Form, Run};
use crate::compile::{self, Programs, Std};
use crate::paths;

pub(super) fn check(run: &mut Run) -> Result<()> {
    for (name, limit) in read(&paths::root().join("targets/budget.toml"))? {
        let programs = match name.as_str() {
            "daemons" => Programs::Daemons,
            "lunix" => Programs::All,
            _ => bail!("targets/budget.toml: no build is called {name}"),
        };
        let (mut command, program, std) = compile::size_command(programs)?;
        run.command(Form::Silent, &mut command)?;
        if std == Std::Prebuilt {
            run.skip("budget", "no rust-src here: the standard library cannot be built for size");
            return Ok(());
        }
        let size = fs::metadata(&program).with_context(|| format!("look at {}", program.display()))?.len();
        let line = format!("{name}: {size} of {limit} bytes ({} %)", size * 100 / limit.max(1));
        run.note(&line);
        if size > limit {
            run.fail(&name, &line);
        } else {
            run.pass(&name);
        }
    }
    Ok(())
}

/// The entries of `[programs]`: a name and a number of bytes.
pub(crate) fn read(file: &Path) -> Result<Vec<(String, u64)>> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    parse(&text).with_context(|| file.display().to_string())
}

/// The part of TOML that a table of numbers needs.
fn parse(text: &str) -> Result<Vec<(String, u64)>> {
    let mut entries = Vec::new();
    let mut section = "";
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            continue;
        }
        let entry = line
            .split_once('=')
            .and_then(|(name, value)| Some((name.trim(), value.trim().replace('_', "").parse().ok()?)));
        match entry {
            Some((name, value)) if section == "programs" => entries.push((name.to_owned(), value)),
            Some(_) => bail!("line {}: [programs] is the only table", number + 1),
            None => bail!("line {}: not `name = bytes`", number + 1),
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bytes() {
        let text = "# a\n[programs]\nlunix = 600_000 # b\n";
        assert_eq!(parse(text).unwrap(), [("lunix".to_owned(), 600_000)]);
        assert_eq!(parse("[programs]\nx = y\n").unwrap_err().to_string(), "line 2: not `name = bytes`");
    }
}
