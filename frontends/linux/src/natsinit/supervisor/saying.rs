//! What people are told, in lines.

use std::io;

use lunix_core::supervise::{Exit, Kind, Readiness, Report, ServiceId, State};
use lunix_core::time::{Duration, Instant};

use super::super::link;
use super::super::terminal::Look;
use super::Supervisor;
use crate::log::{self, Level};

impl Supervisor {
    /// Says what a report means.
    pub(super) fn say(&mut self, report: &Report) {
        let id = report.service;
        let Some(service) = self.service(id) else { return };
        let policy = service.definition.policy;
        let took = report.at.since(service.starting);
        let end = match report.exit {
            Some(Exit::Code(code)) => format!("exit code {code}"),
            Some(Exit::Signal(signal)) => format!("signal {signal}"),
            Some(Exit::NotSpawned(errno)) => io::Error::from_raw_os_error(errno).to_string(),
            None => "no process".to_owned(),
        };
        match report.state {
            State::Ready if policy.kind == Kind::Oneshot && report.pid.is_none() => {
                self.line(id, Look::GOOD, &format!("done after {}", milliseconds(took)));
            }
            State::Ready if policy.readiness == Readiness::Notify && report.pid.is_some() => {
                self.line(id, Look::GOOD, &format!("ready after {}", milliseconds(took)));
            }
            // That it cannot be started was said when it was tried.
            State::Backoff if matches!(report.exit, Some(Exit::NotSpawned(_))) => {}
            State::Backoff => self.line(id, Look::WARN, &format!("ended by itself ({end}), starts again")),
            State::Failed if report.pid.is_some() => {
                self.line(id, Look::BAD, "does not end on SIGKILL and is left behind");
            }
            State::Failed => {
                let why = format!("failed ({end}) after {} restarts", report.restarts);
                self.line(id, Look::BAD, &why);
            }
            State::Stopped if self.ending.is_none() => self.line(id, Look::DIM, "stopped"),
            _ => {}
        }
    }

    /// A line about a service.
    pub(super) fn line(&mut self, id: ServiceId, look: Look, text: &str) {
        if matches!(look, Look::GOOD | Look::DIM) && !log::enabled(Level::Info) {
            return;
        }
        let name = self.service(id).map_or("", |service| service.name());
        let name = format!("{name:<width$}", width = self.width);
        self.terminal.line(&[(colour(id), &name), (Look::DIM, " | "), (look, text)]);
    }

    /// A service whose file is broken: it does not run, and everybody is told.
    pub(super) fn leave_out(&mut self, name: &str, why: &str, now: Instant) {
        self.terminal.line(&[(Look::BAD, &format!("{name}: is left out: {why}"))]);
        let payload = link::left_out(name, why, now);
        let mut subject = [0; 128];
        if let Ok(len) = lunix_core::supervise::encode::subject(&mut subject, name, State::Failed) {
            self.link.publish(subject.get(..len).unwrap_or_default(), &payload);
        }
    }
}

fn colour(service: ServiceId) -> Look {
    let palette = Look::SERVICES;
    palette.get(service.index() % palette.len()).copied().unwrap_or(Look::PLAIN)
}

/// How a line looks, without what stands beside it already: our daemons begin with their name, the server with its
/// process id, and then comes how bad it is.
pub(super) fn reading<'l>(name: &str, line: &'l str) -> (Look, &'l str) {
    let line = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(line);
    let line = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((pid, rest)) if pid.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => line,
    };
    let looks = [
        ("[INF] ", Look::DIM),
        ("[WRN] ", Look::WARN),
        ("[ERR] ", Look::BAD),
        ("[FTL] ", Look::BAD),
        ("warn: ", Look::WARN),
        ("error: ", Look::BAD),
    ];
    looks
        .iter()
        .find_map(|(word, look)| line.strip_prefix(word).map(|rest| (*look, rest)))
        .unwrap_or((Look::PLAIN, line))
}

fn milliseconds(span: Duration) -> String {
    let micros = span.as_micros();
    if micros < 10_000 {
        format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
    } else {
        format!("{} ms", micros / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_what_stands_beside_them() {
        for (line, text) in [
            ("[12] [INF] Server is ready", "Server is ready"),
            ("[12] [ERR] no", "no"),
            ("natsd: warn: late", "late"),
            ("natsd: up", "up"),
            ("[x] y", "[x] y"),
            ("natsdx: y", "natsdx: y"),
            ("", ""),
        ] {
            assert_eq!(reading("natsd", line).1, text);
        }
        assert_eq!(reading("natsd", "natsd: error: no").0, Look::BAD);
        assert_eq!(milliseconds(Duration::from_micros(1_250)), "1.2 ms");
        assert_eq!(milliseconds(Duration::from_millis(12)), "12 ms");
    }
}
