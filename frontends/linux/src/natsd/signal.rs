//! Signals: those that a running server gets, and those that `natsd --signal` sends.

use std::fs;
use std::process::ExitCode;

use rustix::process::{Pid, Signal};

use super::log::Tag;
use super::server::{Server, Token};
use crate::cli::Matches;
use crate::reactor::{Key, Reactor};

/// What nats-server calls the signals.
const NAMES: [(&str, Signal); 6] = [
    ("stop", Signal::KILL),
    ("quit", Signal::INT),
    ("term", Signal::TERM),
    ("reopen", Signal::USR1),
    ("reload", Signal::HUP),
    ("ldm", Signal::USR2),
];

impl Server {
    /// Does what signals ask for.
    pub(super) fn signal(&mut self, reactor: &mut Reactor<Token>, key: Key) {
        while let Some(signal) = self.signals.next() {
            match signal {
                libc::SIGUSR1 => {
                    self.wires.log.reopen();
                    self.wires.log.line(Tag::Info, "File log re-opened");
                }
                libc::SIGHUP => {
                    self.reload(reactor);
                }
                libc::SIGUSR2 => self.enter_lame_duck(reactor),
                _ => {
                    self.wires.log.line(Tag::Info, "Initiating Shutdown...");
                    reactor.stop();
                }
            }
        }
        reactor.read_blocked(key);
    }
}

/// `--signal NAME`, `NAME=PID` or `NAME=FILE`.
pub(super) fn send(matches: &Matches, text: &str) -> ExitCode {
    const EXPECTED: &str =
        "stop, quit, term, reopen, reload or ldm, and perhaps '=' and a process id or the path of a pid file";
    let (name, process) = text.split_once('=').unwrap_or((text, ""));
    let Some((_, signal)) = NAMES.iter().find(|(known, _)| *known == name) else {
        return matches.wrong("signal", EXPECTED, text).report();
    };
    let pid = if process.is_empty() {
        the_only_one()
    } else {
        let number = process.parse().ok().or_else(|| fs::read_to_string(process).ok()?.trim().parse().ok());
        match number.filter(|number: &i32| *number > 0).and_then(Pid::from_raw) {
            Some(pid) => Ok(pid),
            None => return matches.wrong("signal", EXPECTED, text).report(),
        }
    };
    let sent = pid.and_then(|pid| {
        rustix::process::kill_process(pid, *signal)
            .map_err(|error| format!("process {}: {error}", pid.as_raw_nonzero()))
    });
    match sent {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("natsd: {line}");
            ExitCode::FAILURE
        }
    }
}

/// The server that runs on this machine, if it is one.
fn the_only_one() -> Result<Pid, String> {
    let mut found: Vec<i32> = fs::read_dir("/proc")
        .map_err(|error| format!("/proc: {error}"))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| is_server(&line)))
        .collect();
    found.sort_unstable();
    match *found {
        [] => Err("no natsd processes running".to_owned()),
        [pid] => Pid::from_raw(pid).ok_or_else(|| "no natsd processes running".to_owned()),
        _ => {
            let pids: Vec<String> = found.iter().map(ToString::to_string).collect();
            Err(format!("multiple natsd processes running: {}", pids.join(", ")))
        }
    }
}

/// A command line (arguments that end with NUL) is that of a running server.
fn is_server(line: &[u8]) -> bool {
    let mut arguments = line.split(|byte| *byte == 0).filter_map(|argument| str::from_utf8(argument).ok());
    let name = |argument: &str| argument.rsplit('/').next().unwrap_or_default().to_owned();
    let natsd = match arguments.next().map(name).as_deref() {
        Some("natsd") => true,
        Some("lunix") => arguments.next() == Some("natsd"),
        _ => false,
    };
    let speaks = |argument: &str| {
        let flag = argument.trim_start_matches('-').split('=').next().unwrap_or_default();
        argument.starts_with('-')
            && matches!(flag, "signal" | "sl" | "t" | "help" | "h" | "version" | "v" | "check-config")
    };
    natsd && !arguments.any(speaks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_from_their_messengers() {
        for line in ["natsd\0", "/usr/bin/natsd\0-p\x004222\0", "lunix\0natsd\0-c\0x\0", "./lunix\0natsd\0"] {
            assert!(is_server(line.as_bytes()), "{line:?}");
        }
        for line in [
            "",
            "natsdev\0",
            "lunix\0natsdev\0",
            "lunix\0sub\0natsd\0",
            "natsd\0-sl\0ldm\0",
            "natsd\0--signal=ldm\0",
            "vi\0natsd\0",
        ] {
            assert!(!is_server(line.as_bytes()), "{line:?}");
        }
    }
}
