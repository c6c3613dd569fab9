//! `cargo xtask test`: every gate of the project, from the cheapest to the dearest.

mod budget;
mod contained;
mod edges;
mod example;
mod files;
mod gate;
mod hotplug;
mod image;
mod init;
mod offer;
mod rust;
mod scripts;
mod systemd;
mod upgrade;
mod vm;
mod web;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use self::gate::{Gate, Run, Tally};
use crate::image::kernel;
use crate::setup::Tool;
use crate::{paths, setup, shell, toolchain};

/// In the order in which they run.
const GATES: &[Gate] = &[
    Gate::new("edges", "dependencies point in one direction only", 1, edges::check),
    Gate::new("fmt", "rustfmt", 2, rust::fmt),
    Gate::new("files", "one subject a file: names those that have grown too long", 1, files::check),
    Gate::new("deny", "licences and sources of dependencies (cargo-deny)", 5, rust::deny),
    Gate::new("clippy", "clippy, warnings are errors", 15, rust::clippy),
    Gate::new("docs", "rustdoc, warnings are errors", 10, rust::docs),
    Gate::new("no-std", "each library alone on bare metal and wasm", 10, rust::no_std),
    Gate::new("no-alloc", "every public function links without an allocator", 10, rust::no_alloc),
    Gate::new("unit", "unit, property, documentation and process tests", 30, rust::unit)
        .with(setup::BUILD)
        .wanting(setup::WITNESSES),
    Gate::new("fuzz-replay", "every fuzz target over its committed corpus", 20, rust::fuzz_replay),
    Gate::new("budget", "size of the static programs and of the firmware", 20, budget::check)
        .wanting(setup::SIZES),
    Gate::new("dist", "man pages and completions", 20, scripts::dist)
        .with(setup::MUSL)
        .wanting(setup::READERS),
    Gate::new("interop", "official clients and servers", 20, scripts::interop).with(setup::PEERS).live(),
    Gate::new(
        "differential",
        "the same random scripts against natsd and nats-server",
        20,
        scripts::differential,
    )
    .live(),
    Gate::new("leaves", "natsd as leaf nodes of nats-server, across networks that break", 8, scripts::leaves)
        .with(setup::NETWORKS)
        .live(),
    Gate::new(
        "half-open",
        "natsmqtt and natsws, whose peers' machines go without a word",
        10,
        scripts::half_open,
    )
    .with(setup::NETWORKS)
    .live(),
    Gate::new("examples", "the examples of examples/, each run", 20, scripts::examples)
        .with(setup::PEERS)
        .wanting(setup::LANGUAGES)
        .live(),
    Gate::new("schema", "what the daemons say, against `lunix schema`", 10, scripts::schema)
        .with(setup::NODE)
        .live(),
    Gate::new("node-red", "Node-RED with its nodes, and all flows", 10, scripts::node_red)
        .with(setup::NODE)
        .live(),
    Gate::new("page", "the page of natsws in Chromium", 20, scripts::page).with(setup::BROWSER).live(),
    Gate::new("vm", "sticks in and out on a real kernel in QEMU", 15, vm::check).with(setup::VM).live(),
    Gate::new(
        "init",
        "natsinit on Debian's kernel: one kernel starts the next, shares of storage",
        10,
        init::check,
    )
    .with(setup::VM)
    .live(),
    Gate::new(
        "hotplug",
        "natsdev beside systemd-udevd, with all of Debian's modules and rules",
        10,
        hotplug::check,
    )
    .with(setup::DEBIAN)
    .live(),
    Gate::new("systemd", "Debian's systemd with natsdev in the place of systemd-udevd", 10, systemd::check)
        .with(setup::DEBIAN)
        .live(),
    Gate::new("image", "the boards in QEMU, from their own flash", 40, image::check)
        .with(setup::IMAGES)
        .live(),
    Gate::new(
        "contained",
        "services that behave badly on a board, held by the kernel's limits",
        10,
        contained::check,
    )
    .with(setup::IMAGES)
    .live(),
    Gate::new(
        "upgrade",
        "the boards in QEMU, upgraded over the network, for better and for worse",
        10,
        upgrade::check,
    )
    .with(setup::IMAGES)
    .live(),
];

/// Prints the names of the gates.
pub fn list() {
    for gate in GATES {
        println!("{:<12} {}", gate.name, gate.about);
    }
}

/// Runs the named gates, or all. True if nothing failed.
pub fn run(names: &[&str], verbose: bool) -> Result<bool> {
    if let Some(unknown) = names.iter().find(|name| GATES.iter().all(|gate| gate.name != **name)) {
        bail!("no gate {unknown}; `cargo xtask test --list` names them");
    }
    let gates = || GATES.iter().filter(|gate| names.is_empty() || names.contains(&gate.name));
    let mut tools: Vec<Tool> =
        gates().flat_map(|gate| gate.tools.iter().chain(gate.wants).copied()).collect();
    if names.is_empty() {
        // Before it is built beside the gates: nothing is installed while tests run.
        tools.extend(setup::KERNEL);
    }
    for lack in [setup::need(&tools), toolchain::complete()].into_iter().filter_map(Result::err) {
        eprintln!("setup: {lack:#}");
    }
    let logs = paths::target().join("test-logs");
    fs::create_dir_all(&logs)?;
    // The dearest that is needed, and only at the end.
    let _kernel = names.is_empty().then(|| kernel::ahead(image::FIRST)).transpose()?;
    let begin = Instant::now();
    let mut total = Tally::default();
    let mut notes = Vec::new();
    let mut unsteady = 0;
    for gate in gates() {
        progress(gate.name);
        let start = Instant::now();
        let Outcome { mut tally, output, notes: mut gate_notes, error } =
            once(gate, &logs, gate.name, verbose)?;
        // Who runs one gate wants to know of its failure at once.
        if tally.failed > 0 && gate.live && names.is_empty() && steady_alone(gate, &logs, verbose)? {
            tally.unsteady += std::mem::take(&mut tally.failed);
            unsteady += 1;
            gate_notes.push(format!(
                "UNSTEADY {}: {} of its checks failed once, and all passed {ALONE} times of {ALONE} after that",
                gate.name, tally.unsteady
            ));
            if unsteady > UNSTEADY {
                tally.failed = std::mem::take(&mut tally.unsteady);
            }
        }
        report(gate.name, tally, start.elapsed());
        if tally.failed + tally.unsteady > 0 {
            if !verbose {
                output.iter().for_each(|line| println!("  | {line}"));
            }
            if let Some(e) = error {
                println!("  {}: {e:#}", gate.name);
            }
            println!("  {}: all its output is in {}", gate.name, shell::shown(&log(&logs, gate.name)));
        }
        notes.append(&mut gate_notes);
        total += tally;
    }
    println!();
    notes.iter().for_each(|note| println!("{note}"));
    println!("{:.0} s", begin.elapsed().as_secs_f64());
    let unsteady = if total.unsteady > 0 { format!("{} unsteady, ", total.unsteady) } else { String::new() };
    println!("{} passed, {} failed, {unsteady}{} skipped", total.passed, total.failed, total.skipped);
    Ok(total.failed == 0)
}

/// How often a gate that failed must pass after that to be called unsteady.
const ALONE: usize = 2;

/// More gates than these do not fail by chance.
const UNSTEADY: usize = 2;

/// What came of one gate.
struct Outcome {
    tally: Tally,
    /// What explains a failure.
    output: Vec<String>,
    /// Repeated at the end of everything.
    notes: Vec<String>,
    error: Option<anyhow::Error>,
}

fn once(gate: &Gate, logs: &Path, name: &str, verbose: bool) -> Result<Outcome> {
    let mut run = Run::new(&log(logs, name), verbose, Duration::from_secs(60 * gate.minutes))?;
    let error = match setup::missing(gate.tools).first() {
        None => (gate.run)(&mut run).err(),
        Some(tool) => {
            run.skip(gate.name, &format!("no {} here (Debian: {})", tool.program, tool.package));
            None
        }
    };
    let (mut tally, output, notes) = run.finish();
    if error.is_some() && tally.failed == 0 {
        tally.failed = 1;
    }
    if tally == Tally::default() {
        tally.passed = 1;
    }
    Ok(Outcome { tally, output, notes, error })
}

/// Tells a gate that fails from one that chance has failed once. The latter is counted by its own name: it is still to
/// be mended.
fn steady_alone(gate: &Gate, logs: &Path, verbose: bool) -> Result<bool> {
    for _ in 0..ALONE {
        if once(gate, logs, &format!("{}-again", gate.name), verbose)?.tally.failed > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn log(logs: &Path, name: &str) -> PathBuf {
    logs.join(format!("{name}.log"))
}

/// Says what is going on, where that can be taken back.
fn progress(name: &str) {
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        let _ = write!(out, "{name} …").and_then(|()| out.flush());
    }
}

fn report(name: &str, tally: Tally, time: Duration) {
    let word = match tally {
        Tally { failed: 1.., .. } => "FAILED",
        Tally { unsteady: 1.., .. } => "unsteady",
        Tally { passed: 0, .. } => "skipped",
        _ => "ok",
    };
    let back = if io::stdout().is_terminal() { "\r\x1b[K" } else { "" };
    println!("{back}{name:<12} {word:<8} {:>7.1} s   {}", time.as_secs_f64(), counts(tally));
}

/// What passed, and whatever else there is.
fn counts(tally: Tally) -> String {
    let others = [(tally.failed, "failed"), (tally.unsteady, "unsteady"), (tally.skipped, "skipped")];
    let others =
        others.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!(", {count} {word}"));
    format!("{} passed{}", tally.passed, others.collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::paths::Scratch;

    #[test]
    fn who_fails_once_is_unsteady_and_who_fails_again_is_not() {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        /// Fails at first, and at the fourth time.
        fn sometimes(run: &mut Run) -> Result<()> {
            match RUNS.fetch_add(1, Ordering::Relaxed) {
                0 => bail!("it is too early"),
                3 => run.fail("x", "it is too late"),
                _ => run.pass("x"),
            }
            Ok(())
        }
        let scratch = Scratch::new().unwrap();
        let gate = Gate::new("sometimes", "", 1, sometimes).live();
        let first = once(&gate, scratch.path(), "sometimes", false).unwrap();
        assert_eq!(first.tally, Tally { failed: 1, ..Tally::default() });
        assert_eq!(first.error.unwrap().to_string(), "it is too early");
        assert!(steady_alone(&gate, scratch.path(), false).unwrap());
        assert!(!steady_alone(&gate, scratch.path(), false).unwrap());
        assert!(scratch.path().join("sometimes-again.log").exists());
    }
}
