//! How it ends: signals, the orderly stop, and what is left behind; and how we are executed anew.

use std::os::fd::AsFd as _;

use lunix_core::supervise::Input;
use lunix_core::time::Instant;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitOptions, getpid, pidfd_open, pidfd_send_signal, wait};

use super::super::boot::end::Ending;
use super::super::boot::is_first_of_machine;
use super::super::files::CtrlAltDel;
use super::super::machine::{Order, Scope};
use super::super::resume::Number;
use super::super::terminal::Look;
use super::{Supervisor, Token};
use crate::log::{self, Level};
use crate::reactor::{Key, Reactor};
use crate::sys::machine::real_time_signal;

/// Signals of PID 1 beyond those of POSIX, counted from SIGRTMIN, as systemd has them.
const REAL_TIME: [(i32, Word); 5] = [
    (3, Word::End(Ending::Halt)),
    (4, Word::End(Ending::PowerOff)),
    (5, Word::End(Ending::Reboot)),
    (6, Word::End(Ending::Kexec)),
    (RENEW, Word::Renew),
];
const RENEW: i32 = 25;

/// What a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    End(Ending),
    Reload,
    Renew,
    Keys,
    Nothing,
}

/// The signals that a supervisor hears.
pub(super) fn signals(scope: Scope) -> Vec<i32> {
    let mut signals = vec![libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGCHLD, real_time_signal(RENEW)];
    if scope == Scope::Machine {
        signals.extend([libc::SIGUSR1, libc::SIGUSR2, libc::SIGPWR, libc::SIGQUIT]);
        signals.extend(REAL_TIME.map(|(number, _)| real_time_signal(number)));
    }
    signals
}

/// What a signal means to PID 1: busybox's and sysvinit's words, and systemd's.
fn meaning(signal: i32, contained: bool) -> Word {
    match signal {
        libc::SIGINT | libc::SIGTERM if contained => Word::End(Ending::Exit),
        libc::SIGINT => Word::Keys,
        libc::SIGTERM => Word::End(Ending::Reboot),
        libc::SIGUSR1 => Word::End(Ending::Halt),
        libc::SIGUSR2 | libc::SIGPWR => Word::End(Ending::PowerOff),
        libc::SIGHUP => Word::Reload,
        libc::SIGQUIT => Word::Renew,
        other => {
            let known = REAL_TIME.iter().find(|(number, _)| real_time_signal(*number) == other);
            known.map_or(Word::Nothing, |(_, word)| *word)
        }
    }
}

impl Supervisor {
    pub(super) fn take_signals(&mut self, reactor: &mut Reactor<Token>, key: Key) {
        while let Some(signal) = self.signals.next() {
            if signal == libc::SIGCHLD {
                self.reap_orphans(reactor);
            } else if self.scope == Scope::Session {
                self.take_session_signal(reactor, signal);
            } else {
                self.take_machine_signal(reactor, signal);
            }
        }
        reactor.read_blocked(key);
    }

    fn take_session_signal(&mut self, reactor: &mut Reactor<Token>, signal: i32) {
        if signal == real_time_signal(RENEW) {
            return self.begin_renewal();
        }
        // A terminal that closes and a program that gives us time may say it twice; only Ctrl-C is haste.
        if self.ending.is_some() && signal != libc::SIGINT {
            return;
        }
        let again = self.ending.is_some();
        let said = if again { "killing everything" } else { "stopping; Ctrl-C kills" };
        self.terminal.line(&[(Look::DIM, said)]);
        if again {
            self.tell(reactor, Input::Abort);
        } else {
            self.end(reactor.now(), Ending::Exit);
            self.drain(reactor);
        }
    }

    fn take_machine_signal(&mut self, reactor: &mut Reactor<Token>, signal: i32) {
        let word = match meaning(signal, !is_first_of_machine()) {
            Word::Keys => match self.settings.ctrl_alt_del {
                CtrlAltDel::Reboot => Word::End(Ending::Reboot),
                CtrlAltDel::PowerOff => Word::End(Ending::PowerOff),
                CtrlAltDel::Nothing => Word::Nothing,
            },
            other => other,
        };
        match word {
            Word::End(ending) => {
                self.end(reactor.now(), ending);
                self.drain(reactor);
            }
            Word::Reload => self.reload_files(reactor),
            Word::Renew => self.begin_renewal(),
            Word::Keys | Word::Nothing => {}
        }
    }

    /// Does what somebody has ordered on the bus.
    pub(super) fn obey(&mut self, reactor: &mut Reactor<Token>, order: Order, reason: &str) {
        if !reason.is_empty() {
            self.terminal.line(&[(Look::PLAIN, reason)]);
        }
        let ending = match order {
            Order::PowerOff => Ending::PowerOff,
            Order::Reboot => Ending::Reboot,
            Order::Halt => Ending::Halt,
            Order::Kexec => Ending::Kexec,
            Order::Reexecute => return self.begin_renewal(),
        };
        self.end(reactor.now(), ending);
        self.drain(reactor);
    }

    /// Begins the orderly end. What follows is drained by whoever called. The first wish counts.
    pub(super) fn end(&mut self, now: Instant, ending: Ending) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some(ending);
        self.table.set(Number::Ending, ending.number());
        if self.scope == Scope::Machine {
            self.patience = Some(now + self.settings.shutdown_timeout);
            self.terminal.line(&[(Look::PLAIN, &format!("{}: stopping all services", ending.as_str()))]);
        }
        let _ = self.system.handle(now, Input::Shutdown);
    }

    /// Executes us anew as soon as the bus has heard everything; services are not touched.
    pub(super) fn begin_renewal(&mut self) {
        if self.ending.is_none() && !self.renewing {
            self.renewing = true;
            self.link.drain();
        }
    }

    /// Executes us anew, now. Comes back only if that cannot be.
    pub(super) fn renew(&mut self) {
        self.write_table();
        self.leave_word();
        let error = crate::sys::resume::succeed();
        log::line(Level::Error, self.name, format_args!("cannot be executed anew: {error}"));
        self.renewing = false;
        self.link.stay();
        self.open_link();
    }
}

/// Kills what services left behind that has become our child: all services are gone, so nobody owns it.
pub(super) fn sweep() {
    // Each round can bring the children of those killed in the one before.
    for _ in 0..4 {
        let me = getpid().as_raw_nonzero();
        let children = std::fs::read_to_string(format!("/proc/{me}/task/{me}/children")).unwrap_or_default();
        let left: Vec<Pid> =
            children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect();
        if left.is_empty() {
            return;
        }
        for pid in left {
            let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            let _ = pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
            let patience = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
            let _ = poll(&mut [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)], Some(&patience));
        }
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_that_is_heard_means_something() {
        for signal in signals(Scope::Machine) {
            if signal != libc::SIGCHLD {
                assert_ne!(meaning(signal, false), Word::Nothing, "{signal}");
            }
        }
        assert_eq!(meaning(libc::SIGTERM, true), Word::End(Ending::Exit));
        assert_eq!(meaning(real_time_signal(4), true), Word::End(Ending::PowerOff));
        assert_eq!(meaning(real_time_signal(7), false), Word::Nothing);
    }
}
