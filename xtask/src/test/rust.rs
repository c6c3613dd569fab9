//! The gates that Cargo runs.

use std::process::Command;
use std::thread;

use anyhow::Result;

use super::edges::manifests;
use super::gate::{Form, Run, libtest_result};
use crate::{paths, peers, shell, toolchain};

/// The libraries that run anywhere.
const LIBRARIES: &[&str] = &["lunix-uevent", "lunix-proto", "lunix-core"];

/// No atomics with compare-and-swap; a common microcontroller; no atomics at all; no system at all.
const BARE_TARGETS: &[&str] =
    &["thumbv6m-none-eabi", "thumbv7m-none-eabi", "riscv32imc-unknown-none-elf", "wasm32-unknown-unknown"];

pub(super) fn fmt(run: &mut Run) -> Result<()> {
    for manifest in manifests()? {
        let name = shell::shown(&manifest);
        run.check(&name, shell::cargo().args(["fmt", "--all", "--check", "--manifest-path"]).arg(&manifest))?;
    }
    Ok(())
}

pub(super) fn clippy(run: &mut Run) -> Result<()> {
    for manifest in manifests()? {
        let mut command = shell::cargo();
        command
            .args(["clippy", "--keep-going", "--workspace", "--all-targets", "--manifest-path"])
            .arg(&manifest);
        if bare(&manifest) {
            // Its only target is bare metal, where there is no test harness.
            command = shell::cargo();
            let boot_loader = manifest.starts_with(paths::root().join("targets/boot-loader"));
            let target = if boot_loader { "armv7a-none-eabi" } else { "thumbv7m-none-eabi" };
            command.args(["clippy", "--target", target, "--manifest-path"]).arg(&manifest);
        }
        run.check(&shell::shown(&manifest), command.args(["--", "-D", "warnings"]))?;
    }
    Ok(())
}

/// A firmware: what is below `targets/`.
fn bare(manifest: &std::path::Path) -> bool {
    manifest.starts_with(paths::root().join("targets"))
}

pub(super) fn docs(run: &mut Run) -> Result<()> {
    let mut command = shell::cargo();
    command.args(["doc", "--workspace", "--no-deps", "--exclude", "xtask"]);
    run.command(Form::Silent, command.env("RUSTDOCFLAGS", "-D warnings"))
}

pub(super) fn deny(run: &mut Run) -> Result<()> {
    let program = match peers::cargo_deny() {
        Ok(program) => program,
        Err(error) => {
            run.skip("deny", &format!("no cargo-deny here, and none to be fetched: {error:#}"));
            return Ok(());
        }
    };
    let cargo_deny = |check| {
        let mut command = Command::new(&program);
        command.current_dir(paths::root()).args(["--log-level", "error", "check", check]);
        command
    };
    for check in ["bans", "licenses", "sources"] {
        run.check(check, &mut cargo_deny(check))?;
    }
    // The list of advisories lives on a server that a machine need not reach.
    let output = cargo_deny("advisories").output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().for_each(|line| run.write(line));
    if output.status.success() {
        run.pass("advisories");
    } else if text.contains("failed to fetch advisory database") {
        run.skip("advisories", "the advisory database cannot be fetched from here");
    } else {
        run.fail("advisories", "see above");
    }
    Ok(())
}

/// Library by library: in one command, what one of them needs would turn features on for the others.
pub(super) fn no_std(run: &mut Run) -> Result<()> {
    for library in LIBRARIES {
        for target in BARE_TARGETS {
            let name = format!("{library} on {target}");
            if !toolchain::has_std(target)? {
                run.skip(&name, &format!("rustup target add {target}"));
                continue;
            }
            let mut command = shell::cargo();
            command.args(["check", "--lib", "--no-default-features", "-p", library, "--target", target]);
            run.check(&name, &mut command)?;
        }
    }
    Ok(())
}

pub(super) fn no_alloc(run: &mut Run) -> Result<()> {
    let manifest = paths::root().join("targets/no-alloc-link/Cargo.toml");
    if !manifest.exists() {
        run.skip("no-alloc", "targets/no-alloc-link is not there");
        return Ok(());
    }
    let mut command = shell::cargo();
    command.args(["build", "--release", "--target", "thumbv7m-none-eabi", "--manifest-path"]).arg(&manifest);
    run.command(Form::Silent, &mut command)
}

pub(super) fn unit(run: &mut Run) -> Result<()> {
    let mut command = shell::cargo();
    match peers::nats_server() {
        // Tests without it take the one in $PATH, or say that they are skipped.
        Ok(program) => drop(command.env("NATS_SERVER", program)),
        Err(error) => run.write(&format!("nats-server {}: {error:#}", peers::NATS_SERVER)),
    }
    if let Err(error) = peers::nats_py() {
        run.write(&format!("nats-py: {error:#}"));
    }
    command.args(["test", "--workspace", "--no-fail-fast", "--", "--show-output"]);
    // Most of them wait for others most of the time.
    let threads = 2 * thread::available_parallelism().map_or(1, usize::from);
    command.arg(format!("--test-threads={threads}"));
    let outcome = run.command(Form::Libtest, &mut command);
    match run.failed_tests() {
        Some(failed) if (1..=UNSTEADY).contains(&failed.len()) => again(run, &mut command, &failed, outcome),
        _ => outcome,
    }
}

/// More tests than these do not fail by chance.
const UNSTEADY: usize = 3;

/// How often a test that failed among all the others must pass by itself to be called unsteady.
const ALONE: usize = 5;

/// Tells a test that fails from one that a busy machine has failed once. The latter is counted by its own name: it is
/// still to be mended.
fn again(run: &mut Run, unit: &mut Command, failed: &[String], outcome: Result<()>) -> Result<()> {
    unit.arg("--exact").args(failed);
    for _ in 0..ALONE {
        let passed = match shell::read(unit) {
            Ok(output) => output.lines().filter_map(libtest_result).map(|(passed, _)| passed).sum::<u64>(),
            Err(error) => {
                run.write(&format!("{error:#}"));
                return outcome;
            }
        };
        if passed < failed.len() as u64 {
            return outcome;
        }
    }
    run.unsteady(&format!("failed once among all the others, and passed {ALONE} times of {ALONE} by itself"));
    Ok(())
}

pub(super) fn fuzz_replay(run: &mut Run) -> Result<()> {
    let mut command = shell::cargo();
    command.args(["test", "--manifest-path", "fuzz/Cargo.toml", "--no-fail-fast", "--", "--show-output"]);
    run.command(Form::Libtest, &mut command)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::paths::Scratch;
    use crate::test::gate::Tally;

    /// A harness that has a test fail the first time, and each time if `always`.
    fn harness(folder: &Scratch, always: bool) -> Command {
        let report = |word: &str, passed, failed| {
            format!("echo 'test result: {word}. {passed} passed; {failed} failed'")
        };
        let fails = format!("printf 'failures:\\n    late\\n\\n'; {}; exit 101", report("FAILED", 6, 1));
        let again = if always { &fails } else { &report("ok", 1, 0) };
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("if [ -e seen ]; then {again}; else touch seen; {fails}; fi"));
        command.current_dir(folder.path());
        command
    }

    #[test]
    fn a_test_that_fails_once_is_unsteady_and_one_that_fails_again_is_not() {
        for (always, expected) in [
            (false, Tally { passed: 6, unsteady: 1, ..Tally::default() }),
            (true, Tally { passed: 6, failed: 1, ..Tally::default() }),
        ] {
            let scratch = Scratch::new().unwrap();
            let mut run = Run::new(&scratch.path().join("log"), false, Duration::from_secs(60)).unwrap();
            let mut command = harness(&scratch, always);
            let outcome = run.command(Form::Libtest, &mut command);
            assert!(outcome.is_err());
            let failed = run.failed_tests().unwrap();
            assert_eq!(failed, ["late"]);
            assert_eq!(again(&mut run, &mut command, &failed, outcome).is_err(), always);
            assert_eq!(run.finish().0, expected);
        }
    }
}
