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
    Gate::new("interop", "official clients and servers", 20, scripts::interop).with(setup::PEERS),
    Gate::new(
        "differential",
        "the same random scripts against natsd and nats-server",
        20,
        scripts::differential,
    ),
    Gate::new("leaves", "natsd as leaf nodes of nats-server, across networks that break", 8, scripts::leaves)
        .with(setup::NETWORKS),
    Gate::new(
        "half-open",
        "natsmqtt and natsws, whose peers' machines go without a word",
        10,
        scripts::half_open,
    )
    .with(setup::NETWORKS),
    Gate::new("examples", "the examples of examples/, each run", 20, scripts::examples)
        .with(setup::PEERS)
        .wanting(setup::LANGUAGES),
    Gate::new("schema", "what the daemons say, against `lunix schema`", 10, scripts::schema)
        .with(setup::NODE),
    Gate::new("node-red", "Node-RED with its nodes, and all flows", 10, scripts::node_red).with(setup::NODE),
    Gate::new("page", "the page of natsws in Chromium", 20, scripts::page).with(setup::BROWSER),
    Gate::new("vm", "sticks in and out on a real kernel in QEMU", 15, vm::check).with(setup::VM),
    Gate::new(
        "init",
        "natsinit on Debian's kernel: one kernel starts the next, shares of storage",
        10,
        init::check,
    )
    .with(setup::VM),
    Gate::new(
        "hotplug",
        "natsdev beside systemd-udevd, with all of Debian's modules and rules",
        10,
        hotplug::check,
    )
    .with(setup::DEBIAN),
    Gate::new("systemd", "Debian's systemd with natsdev in the place of systemd-udevd", 10, systemd::check)
        .with(setup::DEBIAN),
    Gate::new("image", "the boards in QEMU, from their own flash", 40, image::check).with(setup::IMAGES),
    Gate::new(
        "contained",
        "services that behave badly on a board, held by the kernel's limits",
        10,
        contained::check,
    )
    .with(setup::IMAGES),
    Gate::new(
        "upgrade",
        "the boards in QEMU, upgraded over the network, for better and for worse",
        10,
        upgrade::check,
    )
    .with(setup::IMAGES),
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
    for gate in gates() {
        progress(gate.name);
        let log = logs.join(format!("{}.log", gate.name));
        let mut run = Run::new(&log, verbose, Duration::from_secs(60 * gate.minutes))?;
        let start = Instant::now();
        let outcome = match setup::missing(gate.tools).first() {
            None => (gate.run)(&mut run),
            Some(tool) => {
                run.skip(gate.name, &format!("no {} here (Debian: {})", tool.program, tool.package));
                Ok(())
            }
        };
        let (mut tally, output, mut gate_notes) = run.finish();
        if tally.failed == 0 && outcome.is_err() {
            tally.failed = 1;
        }
        if tally == Tally::default() {
            tally.passed = 1;
        }
        report(gate.name, tally, start.elapsed());
        if tally.failed + tally.unsteady > 0 {
            if !verbose {
                output.iter().for_each(|line| println!("  | {line}"));
            }
            if let Err(e) = outcome {
                println!("  {}: {e:#}", gate.name);
            }
            println!("  {}: all its output is in {}", gate.name, shell::shown(&log));
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
