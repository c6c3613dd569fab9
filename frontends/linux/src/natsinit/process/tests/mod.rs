//! What a launched process finds, seen from inside.

macro_rules! needs_root {
    ($name:literal) => {
        if !full_root() {
            println!("SKIPPED {}: only root may", $name);
            return;
        }
    };
}

mod end;
mod identity;
mod readiness;
mod sandbox;
mod surroundings;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lunix_core::supervise::Policy;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::*;
use crate::natsinit::definition::{Activation, Address, Landlock, Program, Resource, Sandbox};
use crate::natsinit::rare::Rare;

pub(crate) fn service(words: &[&str]) -> Definition {
    Definition {
        name: "test".to_owned(),
        description: String::new(),
        enabled: true,
        program: Program::Words(words.iter().map(|&word| word.to_owned()).collect()),
        policy: Policy::default(),
        relations: Rare::default(),
        readiness: Notification::Start,
        activation: Activation::None,
        reload: None,
        undo: None,
        identity: Rare::default(),
        surroundings: Rare::default(),
        limits: Rare::default(),
        sandbox: Rare::default(),
        output: Rare::default(),
    }
}

fn shell(script: &str) -> Definition {
    service(&["sh", "-c", script])
}

fn of(definition: &Definition) -> Launch<'_> {
    Launch {
        definition,
        instead: None,
        environment: &[],
        notify: None,
        sockets: &[],
        input: None,
        cgroup: None,
        die_with_parent: true,
        number: None,
        files: None,
    }
}

pub(crate) fn wait(process: &Launched) -> (Option<i32>, Option<i32>) {
    let status = waitid(WaitId::PidFd(process.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
    (status.exit_status(), status.terminating_signal())
}

pub(crate) fn launched(definition: &Definition, cgroup: Option<&Group>) -> Launched {
    launch(&Launch { cgroup, ..of(definition) }).unwrap()
}

/// Everything that a pipe brings until it is closed, within a time that is only for hopeless cases.
fn all(pipe: OwnedFd) -> String {
    fcntl_setfl(&pipe, OFlags::empty()).unwrap();
    let mut text = String::new();
    std::fs::File::from(pipe).read_to_string(&mut text).unwrap();
    text
}

fn output(launch_: &Launch<'_>) -> String {
    let mut process = launch(launch_).unwrap();
    assert_eq!(process.lacks, Vec::<String>::new());
    let text = all(process.output.take().unwrap());
    let (code, signal) = wait(&process);
    assert_eq!((code, signal), (Some(0), None), "{text}");
    text
}

fn said(script: &str, change: impl FnOnce(&mut Definition)) -> String {
    let mut definition = shell(script);
    change(&mut definition);
    output(&of(&definition))
}

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Root of the whole machine, and not only of a namespace of its own.
fn full_root() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    root() && map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn users() -> accounts::Accounts {
    accounts::Accounts::read(Path::new("/etc"))
}

fn readable(fd: &impl std::os::fd::AsFd, within: Duration) -> bool {
    let within = Timespec { tv_sec: within.as_secs() as i64, tv_nsec: within.subsec_nanos().into() };
    poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&within)) == Ok(1)
}

fn status(key: &str) -> String {
    format!("grep ^{key}: /proc/self/status | cut -f2-")
}

fn stop(process: Launched) {
    let _ = kill_process_group(process.pid, Signal::KILL);
    wait(&process);
}
