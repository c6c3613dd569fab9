//! Runs a plan: the driver of the supervision machine.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use lunix_core::supervise::{
    Action, Exit, Input, Readiness, Report, ServiceId, Signal, SpawnTicket, State, System,
};
use lunix_core::time::{Duration, Instant};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, WaitOptions, getpid, pidfd_open, pidfd_send_signal, set_child_subreaper, wait,
};

use super::child::{Child, NotifySocket};
use super::link::{self, Link, Request, Verb};
use super::plan::Plan;
use super::terminal::{Look, Terminal};
use super::usage;
use crate::log::{self, Level};
use crate::reactor::{App, Key, Reactor, Ready};
use crate::sys::signals::Signals;

/// What woke the supervisor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Signals,
    /// A process has ended.
    Exit(u16),
    /// A process wrote something.
    Output(u16),
    /// A process says how it is.
    Notify(u16),
    Bus,
    /// There is room for lines again.
    Terminal,
}

/// The most services and needs of a session.
type Services = System<128, 512>;

/// A supervisor at work.
#[derive(Debug)]
pub(super) struct Session {
    name: &'static str,
    plan: Plan,
    system: Services,
    children: Vec<Option<Child>>,
    sockets: Vec<Option<NotifySocket>>,
    starting: Vec<Instant>,
    environment: Vec<(&'static str, String)>,
    signals: Signals,
    terminal: Terminal,
    link: Link,
    width: usize,
    ending: bool,
    /// Everything has stopped; only the bus is still told.
    down: bool,
    failed: bool,
    /// The server's stop signal, until the bus is closed.
    held: Option<Signal>,
}

impl Session {
    /// Prepares everything and starts nothing. `name` is the program that the user called.
    pub(super) fn new(
        name: &'static str,
        plan: Plan,
        folder: &Path,
        reactor: &mut Reactor<Token>,
    ) -> io::Result<Self> {
        let signals = Signals::new(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGCHLD])?;
        reactor.add(&signals, Token::Signals, Ready::READ)?;
        set_child_subreaper(Some(getpid()))?;
        let mut system = Services::new();
        let mut sockets = Vec::new();
        for (index, unit) in (0_u16..).zip(&plan.units) {
            system.add(unit.policy).map_err(io::Error::other)?;
            sockets.push(NotifySocket::open(unit, index, folder, reactor)?);
        }
        for (of, unit) in (0_u16..).zip(&plan.units) {
            for on in unit.needs.iter().filter_map(|on| u16::try_from(*on).ok()) {
                system.need(ServiceId::new(of), ServiceId::new(on)).map_err(io::Error::other)?;
            }
        }
        let count = plan.units.len();
        let width = plan.units.iter().map(|unit| unit.name.len()).max().unwrap_or_default();
        let environment = match plan.urls.is_empty() {
            true => Vec::new(),
            false => vec![("NATS_URL", plan.urls.join(","))],
        };
        Ok(Self {
            name,
            system,
            children: std::iter::repeat_with(|| None).take(count).collect(),
            sockets,
            starting: vec![reactor.now(); count],
            environment,
            signals,
            terminal: Terminal::new(),
            link: Link::default(),
            width,
            ending: false,
            down: false,
            failed: false,
            held: None,
            plan,
        })
    }

    /// Starts everything, and comes back when everything has stopped.
    pub(super) fn run(mut self, reactor: &mut Reactor<Token>) -> ExitCode {
        if self.plan.server.is_none() {
            self.open_link();
        }
        for id in self.ids() {
            self.tell(reactor, Input::Start(id));
        }
        if let Err(error) = reactor.run(&mut self) {
            log::line(Level::Error, self.name, error);
            self.failed = true;
        }
        sweep();
        if self.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    fn ids(&self) -> impl Iterator<Item = ServiceId> + use<> {
        (0..u16::try_from(self.plan.units.len()).unwrap_or(u16::MAX)).map(ServiceId::new)
    }

    fn unit_name(&self, id: ServiceId) -> &str {
        self.plan.units.get(id.index()).map_or("", |unit| unit.name.as_str())
    }

    fn open_link(&mut self) {
        let urls = self.plan.urls.join(",");
        let urls = if urls.is_empty() { "nats://127.0.0.1:4222" } else { &urls };
        if let Err(error) = self.link.open(urls, &self.plan.units) {
            log::line(Level::Error, self.name, error);
        }
    }

    /// Tells the machine what happened, and does what it says.
    fn tell(&mut self, reactor: &mut Reactor<Token>, input: Input) {
        if let Err(error) = self.system.handle(reactor.now(), input) {
            log::line(Level::Debug, self.name, error);
        }
        while let Some(action) = self.system.poll() {
            match action {
                Action::Spawn(ticket) => self.spawn(reactor, ticket),
                Action::Signal { service, signal, .. } => self.signal(service, signal),
                Action::Announce(report) => self.announce(reactor, &report),
                Action::Down => {
                    self.down = true;
                    self.link.drain();
                }
            }
        }
    }

    fn signal(&mut self, service: ServiceId, signal: Signal) {
        let is_server = self.plan.server == Some(service.index());
        if self.ending && is_server && signal != Signal::KILL && !self.link.is_closed() {
            // We take our leave first; should that take too long, SIGKILL comes by itself.
            self.link.drain();
            self.held = Some(signal);
            return;
        }
        if let Some(Some(child)) = self.children.get(service.index())
            && let Err(error) = child.signal(signal)
        {
            log::line(Level::Debug, self.name, error);
        }
    }

    fn spawn(&mut self, reactor: &mut Reactor<Token>, ticket: SpawnTicket) {
        let service = ticket.service();
        let (Some(unit), Ok(index)) = (self.plan.units.get(service.index()), u16::try_from(service.index()))
        else {
            return;
        };
        let socket = self.sockets.get(service.index()).and_then(Option::as_ref);
        // What an earlier process said must not make this one ready.
        while socket.is_some_and(|socket| socket.receive().is_some()) {}
        if let Some(starting) = self.starting.get_mut(service.index()) {
            *starting = reactor.now();
        }
        let path = socket.map(NotifySocket::path);
        let made = Child::spawn(unit, index, &self.environment, path, reactor);
        let input = match made {
            Ok(child) => {
                let pid = child.pid().as_raw_nonzero().get().cast_unsigned();
                if let Some(place) = self.children.get_mut(service.index()) {
                    *place = Some(child);
                }
                Input::Spawned { ticket, pid }
            }
            Err(error) => {
                let why = format!("cannot be started: {error}");
                self.line(service, Look::BAD, &why);
                Input::NotSpawned { ticket, errno: error.raw_os_error().unwrap_or_default() }
            }
        };
        // The loop that called drains what follows from it.
        let _ = self.system.handle(reactor.now(), input);
    }

    fn announce(&mut self, reactor: &mut Reactor<Token>, report: &Report) {
        let Some(unit) = self.plan.units.get(report.service.index()) else { return };
        if unit.public {
            self.link.tell(&unit.name, report);
        }
        let is_server = self.plan.server == Some(report.service.index());
        let notifies = unit.policy.readiness == Readiness::Notify;
        let end = match report.exit {
            Some(Exit::Code(code)) => format!("exit code {code}"),
            Some(Exit::Signal(signal)) => format!("signal {signal}"),
            Some(Exit::NotSpawned(errno)) => io::Error::from_raw_os_error(errno).to_string(),
            None => "no process".to_owned(),
        };
        match report.state {
            State::Ready => {
                let since = self.starting.get(report.service.index()).copied().unwrap_or_default();
                let took = report.at.since(since);
                if notifies {
                    self.line(report.service, Look::GOOD, &format!("ready after {}", milliseconds(took)));
                }
                if is_server {
                    self.open_link();
                }
            }
            // That it cannot be started was said when it was tried.
            State::Backoff if matches!(report.exit, Some(Exit::NotSpawned(_))) => {}
            State::Backoff => {
                self.line(report.service, Look::WARN, &format!("ended by itself ({end}), starts again"));
            }
            State::Failed if report.pid.is_some() => {
                self.line(report.service, Look::BAD, "does not end on SIGKILL and is left behind");
            }
            State::Failed => {
                let why = format!("failed ({end}) after {} restarts", report.restarts);
                self.line(report.service, Look::BAD, &why);
                if is_server {
                    // Without a server there is nothing to live for.
                    self.failed = true;
                    self.end(reactor.now());
                }
            }
            State::Stopped if !self.ending => self.line(report.service, Look::DIM, "stopped"),
            _ => {}
        }
    }

    /// Begins the orderly end. What follows is drained by whoever called.
    fn end(&mut self, now: Instant) {
        self.ending = true;
        let _ = self.system.handle(now, Input::Shutdown);
    }

    fn line(&mut self, service: ServiceId, look: Look, text: &str) {
        let name = format!("{:<width$}", self.unit_name(service), width = self.width);
        self.terminal.line(&[(colour(service), &name), (Look::DIM, " | "), (look, text)]);
    }

    fn take_signals(&mut self, reactor: &mut Reactor<Token>, key: Key) {
        while let Some(signal) = self.signals.next() {
            if signal == libc::SIGCHLD {
                self.reap_orphans(reactor);
                continue;
            }
            // A terminal that closes and a program that gives us time may say it twice; only Ctrl-C is haste.
            if self.ending && signal != libc::SIGINT {
                continue;
            }
            let input = if self.ending { Input::Abort } else { Input::Shutdown };
            let said = if self.ending { "killing everything" } else { "stopping; Ctrl-C kills" };
            self.terminal.line(&[(Look::DIM, said)]);
            self.ending = true;
            self.tell(reactor, input);
        }
        reactor.read_blocked(key);
    }

    /// As subreaper we inherit what our children leave behind.
    fn reap_orphans(&mut self, reactor: &mut Reactor<Token>) {
        for index in 0..self.children.len() {
            self.reap(reactor, index);
        }
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            // A child that ended since the loop above.
            let known = |child: &Option<Child>| child.as_ref().is_some_and(|child| child.pid() == pid);
            if let Some(index) = self.children.iter().position(known) {
                let exit = match status.exit_status() {
                    Some(code) => Exit::Code(code),
                    None => Exit::Signal(status.terminating_signal().unwrap_or_default()),
                };
                self.ended(reactor, index, exit);
            }
        }
    }

    fn reap(&mut self, reactor: &mut Reactor<Token>, index: usize) {
        let exit = self.children.get(index).and_then(Option::as_ref).and_then(Child::reap);
        if let Some(exit) = exit {
            self.ended(reactor, index, exit);
        }
    }

    fn ended(&mut self, reactor: &mut Reactor<Token>, index: usize, exit: Exit) {
        let Some(child) = self.children.get_mut(index).and_then(Option::take) else { return };
        let Ok(service) = u16::try_from(index).map(ServiceId::new) else { return };
        let pid = child.pid().as_raw_nonzero().get().cast_unsigned();
        let mut lines = Vec::new();
        child.close(reactor, |line| lines.push(line.to_owned()));
        self.show(service, lines);
        self.tell(reactor, Input::Exited { service, pid, exit });
    }

    fn read_output(&mut self, reactor: &mut Reactor<Token>, index: u16) {
        let Some(Some(child)) = self.children.get_mut(usize::from(index)) else { return };
        let mut lines = Vec::new();
        child.read(reactor, |line| lines.push(line.to_owned()));
        self.show(ServiceId::new(index), lines);
    }

    fn show(&mut self, service: ServiceId, lines: Vec<String>) {
        for line in lines {
            let (look, text) = reading(self.unit_name(service), &line);
            self.line(service, look, text);
        }
    }

    fn read_notice(&mut self, reactor: &mut Reactor<Token>, key: Key, index: u16) {
        let Some(Some(socket)) = self.sockets.get(usize::from(index)) else { return };
        let Some(ready) = socket.receive() else {
            reactor.read_blocked(key);
            return;
        };
        let service = ServiceId::new(index);
        // What it wrote before comes before.
        self.read_output(reactor, index);
        if ready && let Some(pid) = self.system.status(service).and_then(|report| report.pid) {
            self.tell(reactor, Input::Ready { service, pid });
        }
    }

    fn answer(&mut self, reactor: &mut Reactor<Token>, request: Request) -> Vec<u8> {
        let Request::Service(index, verb) = request else {
            let reports = self.system.services().zip(&self.plan.units).filter(|(_, unit)| unit.public);
            let reports: Vec<_> = reports.map(|(report, unit)| link::report(&unit.name, &report)).collect();
            return [&b"["[..], &reports.join(&b','), b"]"].concat();
        };
        let service = ServiceId::new(index);
        let input = match verb {
            Verb::Status | Verb::Usage => None,
            Verb::Start => Some(Input::Start(service)),
            Verb::Stop => Some(Input::Stop(service)),
            Verb::Restart => Some(Input::Restart(service)),
        };
        if let Some(input) = input {
            if self.ending {
                return link::refusal("everything is being stopped");
            }
            self.tell(reactor, input);
        }
        let name = self.unit_name(service);
        match (self.system.status(service), verb) {
            (Some(Report { pid: Some(pid), .. }), Verb::Usage) => link::usage(name, &usage::of_process(pid)),
            (Some(_), Verb::Usage) => link::refusal("it does not run"),
            (Some(report), _) => link::report(name, &report),
            (None, _) => link::refusal("there is no such service"),
        }
    }
}

impl App for Session {
    type Token = Token;

    fn ready(&mut self, reactor: &mut Reactor<Token>, key: Key, token: Token, _: Ready) {
        match token {
            Token::Signals => self.take_signals(reactor, key),
            Token::Exit(index) => {
                reactor.read_blocked(key);
                self.reap(reactor, index.into());
            }
            Token::Output(index) => self.read_output(reactor, index),
            Token::Notify(index) => self.read_notice(reactor, key, index),
            Token::Bus => self.link.ready(reactor, key),
            Token::Terminal => {}
        }
    }

    fn deadline(&mut self, reactor: &mut Reactor<Token>) {
        self.tell(reactor, Input::Tick);
        self.link.deadline(reactor);
    }

    fn flush(&mut self, reactor: &mut Reactor<Token>) {
        while let Some((message, request)) = self.link.next() {
            let answer = self.answer(reactor, request);
            self.link.answer(&message, &answer);
        }
        self.link.flush(reactor);
        if self.link.is_closed() {
            if let Some((signal, server)) = self.held.take().zip(self.plan.server)
                && let Ok(index) = u16::try_from(server)
            {
                self.signal(ServiceId::new(index), signal);
            }
            if self.down {
                reactor.stop();
            }
        }
        self.terminal.flush(reactor);
    }

    fn next_deadline(&self) -> Option<Instant> {
        [self.system.next_deadline(), self.link.next_deadline()].into_iter().flatten().min()
    }
}

fn colour(service: ServiceId) -> Look {
    let palette = Look::SERVICES;
    palette.get(service.index() % palette.len()).copied().unwrap_or(Look::PLAIN)
}

/// How a line looks, without what stands beside it already: our daemons begin with their name, the server with its
/// process id, and then comes how bad it is.
fn reading<'l>(name: &str, line: &'l str) -> (Look, &'l str) {
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

/// Kills what services left behind that has become our child: all services are gone, so nobody owns it.
fn sweep() {
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
