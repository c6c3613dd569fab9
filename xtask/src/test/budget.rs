//! The size budget: `targets/budget.toml` against what the size build makes and what the firmware needs.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::gate::{Form, Run};
use crate::compile::{self, Programs, Std};
use crate::image::budget;
use crate::{firmware, paths, setup};

pub(super) fn check(run: &mut Run) -> Result<()> {
    let file = paths::root().join("targets/budget.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let mut tables = budget::parse(&text).with_context(|| file.display().to_string())?;
    let mut table = |name: &str| tables.remove(name).unwrap_or_default();
    firmware(run, &table("lm3s6965"))?;
    for (name, limit) in table("programs") {
        let programs = match name.as_str() {
            "natsd" => Programs::Natsd,
            "natsd-bare" => Programs::NatsdBare,
            "daemons" => Programs::Daemons,
            "daemons-bare" => Programs::DaemonsBare,
            "lunix" => Programs::All,
            "lunix-bridge" => Programs::Bridge,
            _ => bail!("targets/budget.toml: no build is called {name}"),
        };
        if let (Programs::Bridge, Some(tool)) = (programs, setup::missing(setup::MUSL).first()) {
            run.skip(&name, &format!("no {} here (Debian: {})", tool.program, tool.package));
            continue;
        }
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
