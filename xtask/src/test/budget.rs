//! The size budget: `targets/budget.toml` against what the size build makes and what the firmware needs.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::gate::{Form, Run};
use crate::compile::{self, Programs, Std};
use crate::{firmware, paths, setup};

pub(super) fn check(run: &mut Run) -> Result<()> {
    let budget = paths::root().join("targets/budget.toml");
    firmware(run, &read(&budget, "lm3s6965")?)?;
    for (name, limit) in read(&budget, "programs")? {
        let programs = match name.as_str() {
            "natsd" => Programs::Natsd,
            "natsd-bare" => Programs::NatsdBare,
            "daemons" => Programs::Daemons,
            "daemons-bare" => Programs::DaemonsBare,
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
        hold(run, &name, size, limit);
        if programs == Programs::NatsdBare {
            says_what_is_left_out(run, &program)?;
        }
    }
    Ok(())
}

/// Each part that natsd is built without has one clear line for those who configure it.
fn says_what_is_left_out(run: &mut Run, natsd: &Path) -> Result<()> {
    let scratch = paths::Scratch::under(&paths::target())?;
    let file = scratch.path().join("natsd.conf");
    fs::write(&file, "operator: x\nleafnodes { port: 1 }\nhttp: 1\n")?;
    let output = Command::new(natsd).args(["natsd", "--check-config", "--config"]).arg(&file).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let lines = [
        "1:11: operator: signed tokens are not in this build",
        "2:11: leafnodes: leaf nodes are not in this build",
        "3:7: http: monitoring is not in this build",
    ];
    let all = lines.iter().all(|line| said.contains(line));
    if all && output.status.code() == Some(2) {
        run.pass("left out");
    } else {
        run.fail("left out", &format!("expected {lines:#?}, found {said}"));
    }
    Ok(())
}

fn hold(run: &mut Run, name: &str, size: u64, limit: u64) {
    let line = format!("{name}: {size} of {limit} bytes ({} %)", size * 100 / limit.max(1));
    run.note(&line);
    if size > limit {
        run.fail(name, &line);
    } else {
        run.pass(name);
    }
}

/// The broker on a microcontroller.
fn firmware(run: &mut Run, limits: &[(String, u64)]) -> Result<()> {
    if let Some(tool) = setup::missing(setup::FIRMWARE).first() {
        run.skip("firmware", &format!("no {} here (Debian: {})", tool.program, tool.package));
        return Ok(());
    }
    let (said, needs) = firmware::weigh()?;
    run.write(&said);
    for (name, limit) in limits {
        let size = match name.as_str() {
            "flash" => needs.flash,
            "ram" => needs.ram,
            _ => bail!("targets/budget.toml: [lm3s6965] has flash and ram, not {name}"),
        };
        hold(run, &format!("firmware {name}"), size, *limit);
    }
    Ok(())
}

/// The entries of a table: a name and a number of bytes.
fn read(file: &Path, table: &str) -> Result<Vec<(String, u64)>> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    parse(&text, table).with_context(|| file.display().to_string())
}

/// The part of TOML that tables of numbers need.
fn parse(text: &str, table: &str) -> Result<Vec<(String, u64)>> {
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
            Some((name, value)) if section == table => entries.push((name.to_owned(), value)),
            Some(_) if matches!(section, "programs" | "lm3s6965") => {}
            Some(_) => bail!("line {}: the tables are [programs] and [lm3s6965]", number + 1),
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
        let text = "# a\n[lm3s6965]\nram = 1\n[programs]\nlunix = 600_000 # b\n";
        assert_eq!(parse(text, "programs").unwrap(), [("lunix".to_owned(), 600_000)]);
        assert_eq!(
            parse("[programs]\nx = y\n", "programs").unwrap_err().to_string(),
            "line 2: not `name = bytes`"
        );
    }
}
