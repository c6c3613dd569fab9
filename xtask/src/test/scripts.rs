//! The gates that are scripts beside what they test: official clients and servers, and the examples.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, ScopedJoinHandle};

use anyhow::{Result, anyhow};

use super::gate::{Form, Run};
use crate::differential::{self, Amount, Plan};
use crate::server::{Natsd, Server};
use crate::{paths, peers, shell};

/// Every `tests/interop/*/run.sh`. Each prints `ok name`, `FAILED name: why` or `SKIPPED name: why` lines.
pub(super) fn interop(run: &mut Run) -> Result<()> {
    let mut scripts: Vec<PathBuf> = paths::root()
        .join("tests/interop")
        .read_dir()
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("run.sh"))
        .filter(|script| script.exists())
        .collect();
    scripts.sort();
    if scripts.is_empty() {
        run.skip("interop", "there is no tests/interop/*/run.sh");
        return Ok(());
    }
    let server = server(run)?;
    for script in scripts {
        script_run(run, &server, &script)?;
    }
    Ok(())
}

pub(super) fn examples(run: &mut Run) -> Result<()> {
    let script = paths::root().join("examples/test.sh");
    if !script.exists() {
        run.skip("examples", "there is no examples/test.sh");
        return Ok(());
    }
    let server = server(run)?;
    script_run(run, &server, &script)
}

/// `frontends/node-red/test/run.sh`, which starts servers of its own.
pub(super) fn node_red(run: &mut Run) -> Result<()> {
    let server = server(run)?;
    script_run(run, &server, &paths::root().join("frontends/node-red/test/run.sh"))
}

/// `tests/page/run.sh`, which starts servers of its own.
pub(super) fn page(run: &mut Run) -> Result<()> {
    let server = server(run)?;
    script_run(run, &server, &paths::root().join("tests/page/run.sh"))
}

/// `tests/schema/run.sh`: the document of `lunix schema`, and whether the daemons keep to it.
pub(super) fn schema(run: &mut Run) -> Result<()> {
    let server = server(run)?;
    script_run(run, &server, &paths::root().join("tests/schema/run.sh"))
}

/// Where the programs are that the scripts use. Nothing here is measured, their optimised builds take minutes, and these
/// find overflows.
fn build(run: &mut Run) -> Result<PathBuf> {
    let packages = ["--package", "lunix", "--package", "lunix-bridge"];
    run.command(Form::Silent, shell::cargo().arg("build").args(packages))?;
    Ok(paths::target().join("debug"))
}

/// A server that runs, and the programs beside it.
fn server(run: &mut Run) -> Result<Server> {
    let programs = build(run)?;
    let server = Server::start(&programs.join("lunix"))?;
    server.join(&programs.join("lunix-bridge"))?;
    Ok(server)
}

/// Runs `script URL` as [`Server::command`] makes it. One that fails without naming what failed counts once.
fn script_run(run: &mut Run, server: &Server, script: &Path) -> Result<()> {
    let mut command = server.command(script)?;
    command.arg(server.url());
    let before = run.failed();
    if let Err(e) = run.command(Form::Lines, &mut command)
        && run.failed() == before
    {
        run.fail(&shell::shown(script), &format!("{e:#}"));
    }
    Ok(())
}

/// `tests/networks/run.sh leaves`: natsd and nats-server.
pub(super) fn leaves(run: &mut Run) -> Result<()> {
    let nats_server = match peers::nats_server() {
        Ok(program) => program,
        Err(error) => {
            run.skip("leaves", &format!("{error:#}"));
            return Ok(());
        }
    };
    let natsd = Natsd::of(&build(run)?.join("lunix"))?;
    networks(run, "leaves", &[("NATSD", natsd.program()), ("NATS_SERVER", &nats_server)])
}

/// `tests/networks/run.sh half-open`: natsmqtt and natsws before natsd.
pub(super) fn half_open(run: &mut Run) -> Result<()> {
    let server = server(run)?;
    let [natsmqtt, natsws] = ["natsmqtt", "natsws"].map(|name| server.programs().join(name));
    let programs = [("NATSD", server.program.as_path()), ("NATSMQTT", &natsmqtt), ("NATSWS", &natsws)];
    networks(run, "half-open", &programs)
}

fn networks(run: &mut Run, script: &str, programs: &[(&str, &Path)]) -> Result<()> {
    let mut command = Command::new(paths::root().join("tests/networks/run.sh"));
    command.arg(script).envs(programs.iter().copied()).env("LUNIX_CACHE", paths::cache()?);
    run.command(Form::Lines, &mut command)
}

/// A fixed number of scripts, the same ones each time; `cargo xtask differential` plays others.
pub(super) fn differential(run: &mut Run) -> Result<()> {
    const SCRIPTS: u64 = 5000;
    /// Each plays its part of them with servers of its own: what is compared depends on nobody's speed.
    const LANES: u64 = 2;
    if let Err(error) = peers::nats_server() {
        run.skip("differential", &format!("{error:#}"));
        return Ok(());
    }
    let natsd = Natsd::of(&build(run)?.join("lunix"))?;
    let play = |lane| {
        let plan =
            Plan { amount: Amount::Seeds(SCRIPTS / LANES), seed: 1 + lane * SCRIPTS / LANES, house: None };
        differential::compare(Some(natsd.program()), plan, |_| {})
    };
    let played: Vec<_> = thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|lane| scope.spawn(move || play(lane))).collect();
        lanes.into_iter().map(ScopedJoinHandle::join).collect()
    });
    let (mut scripts, mut differences) = (0, Vec::new());
    for findings in played {
        let findings = findings.map_err(|_| anyhow!("a lane has panicked"))??;
        scripts += findings.scripts;
        differences.extend(findings.differences);
    }
    differences.iter().for_each(|difference| run.fail("differential", difference));
    if differences.is_empty() {
        run.pass(&format!("differential: {scripts} scripts"));
    }
    Ok(())
}

/// Builds what a package would hold, and has each reader look at its part.
pub(super) fn dist(run: &mut Run) -> Result<()> {
    run.command(Form::Silent, shell::cargo().args(["xtask", "dist"]))?;
    let folder = paths::target().join("dist");
    let readers = [
        ("man/man1", "man", &["--warnings", "-E", "UTF-8", "-l"][..]),
        ("completions/bash", "bash", &["-n"]),
        ("completions/zsh", "zsh", &["-n"]),
        ("completions/fish", "fish", &["-n"]),
    ];
    for (part, reader, args) in readers {
        if shell::which(reader).is_none() {
            run.skip(part, &format!("no {reader} here"));
            continue;
        }
        let mut files: Vec<PathBuf> =
            folder.join(part).read_dir()?.flatten().map(|entry| entry.path()).collect();
        files.sort();
        for file in files {
            let name = shell::shown(&file);
            let output = Command::new(reader).args(args).arg(&file).env("MANPAGER", "cat").output()?;
            let complaint = String::from_utf8_lossy(&output.stderr);
            if !output.status.success() || !complaint.is_empty() {
                run.fail(&name, &complaint);
            } else {
                run.pass(&name);
            }
        }
    }
    Ok(())
}
