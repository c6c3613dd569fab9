//! The driver of the supervision machine: it makes and watches processes, and does what the machine says.

mod activation;
mod adopt;
mod answers;
mod boot;
mod ending;
mod follow;
mod processes;
mod reload;
mod saying;
mod service;
mod words;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard};

use lunix_core::supervise::{Action, Input, Report, ServiceId, Signal, State, System};
use lunix_core::time::Instant;
use rustix::process::{Rlimit, getpid, set_child_subreaper};

use super::boot::end::Ending;
use super::boot::is_first_of_machine;
use super::boot::watchdog::Watchdog;
use super::cgroup::Cgroups;
use super::definition::{Activation, Definition, Notification};
use super::files::InitSettings;
use super::link::Link;
use super::machine::boot::Times;
use super::machine::{Machine, Scope};
use super::resume::{Own, SERVICES, Table};
use super::terminal::{Look, Terminal};
use crate::log::{self, Level};
use crate::reactor::{App, Key, Reactor, Ready};
use crate::sys::pages::{give_back, let_go_of_code};
use crate::sys::signals::Signals;

use super::plan::Origin;
use service::{NotifySocket, Service};

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
    /// A process says that it is ready (s6).
    Descriptor(u16),
    /// A process listens somewhere.
    Listens(u16),
    /// Somebody wants what a service offers.
    Socket(u16),
    /// A group has changed.
    Groups,
    Bus,
    /// The kernel tells something of the machine.
    Machine,
    /// There is room for lines again.
    Terminal,
}

/// Where natsd listens if nobody says otherwise, when root starts it.
const SERVER: &str = "unix:///run/natsd.sock,nats://127.0.0.1:4222";
/// Relations between services at a time.
const RELATIONS: usize = 4096;
type Services = System<SERVICES, RELATIONS>;
/// The machine, at a place where memory that is not used yet takes none.
static SYSTEM: Mutex<Services> = Mutex::new(Services::new());

/// What a supervisor begins with.
#[derive(Debug)]
pub(super) struct Start {
    /// The program that the user called.
    pub(super) name: &'static str,
    pub(super) scope: Scope,
    pub(super) definitions: Vec<(Definition, Origin)>,
    /// The service that is our own server.
    pub(super) server: Option<String>,
    /// Where clients find the server, in order of preference.
    pub(super) urls: Vec<String>,
    /// Where sockets are.
    pub(super) folder: PathBuf,
    /// Where the files of services are, if there are any.
    pub(super) services: Option<PathBuf>,
    /// Services whose files are broken, and why.
    pub(super) left_out: Vec<(String, String)>,
    pub(super) settings: InitSettings,
    pub(super) table: Table,
    /// There was one before us.
    pub(super) resumed: bool,
    /// It had a fault.
    pub(super) fault: bool,
}

/// A supervisor at work.
#[derive(Debug)]
pub(super) struct Supervisor {
    name: &'static str,
    scope: Scope,
    system: MutexGuard<'static, Services>,
    /// By their places, as the machine counts them.
    services: Vec<Option<Service>>,
    server: Option<String>,
    urls: Vec<String>,
    folder: PathBuf,
    files: Option<PathBuf>,
    settings: InitSettings,
    environment: Vec<(String, String)>,
    table: Table,
    /// How many files services may have open: as many as we were given, where we took more.
    files_open: Option<Rlimit>,
    /// Places whose record in the table is old.
    stale: Vec<u16>,
    signals: Signals,
    terminal: Terminal,
    link: Link,
    machine: Machine<Token>,
    groups: Option<Cgroups>,
    watchdog: Option<Watchdog>,
    times: Times,
    /// What was wanted at boot and was not ready yet; `None` once everything was.
    awaited: Option<Vec<u16>>,
    width: usize,
    ending: Option<Ending>,
    /// When patience with services that do not stop is over.
    patience: Option<Instant>,
    /// What only the start needed was given back.
    rests: bool,
    /// Everything has stopped; only the bus is still told.
    down: bool,
    failed: bool,
    /// The server's stop signal, until the bus is closed.
    held: Option<Signal>,
    /// Somebody wants us to execute ourselves anew, as soon as the bus has heard everything.
    renewing: bool,
    resumed: bool,
    fault: bool,
    /// What the one after us reads.
    word: Option<std::os::fd::OwnedFd>,
}

impl Supervisor {
    /// Prepares everything and starts nothing.
    pub(super) fn new(start: Start, reactor: &mut Reactor<Token>) -> io::Result<Self> {
        let signals = Signals::new(&ending::signals(start.scope))?;
        reactor.add(&signals, Token::Signals, Ready::READ)?;
        set_child_subreaper(Some(getpid()))?;
        let mut environment: Vec<(String, String)> = Vec::new();
        if start.scope == Scope::Machine {
            // What a container's maker says counts more.
            let given = |name: &String| !is_first_of_machine() && std::env::var_os(name).is_some();
            let settings = start.settings.environment.clone();
            environment.extend(settings.into_iter().filter(|(name, _)| !given(name)));
        }
        if !start.urls.is_empty() {
            environment.retain(|(name, _)| name != "NATS_URL");
            environment.push(("NATS_URL".into(), start.urls.join(",")));
        }
        let groups = match start.scope {
            Scope::Machine => ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
                .iter()
                .find_map(|root| Cgroups::at(root.as_ref()).ok()),
            Scope::Session => Cgroups::own().ok(),
        };
        let now = reactor.now();
        let mut supervisor = Self {
            name: start.name,
            scope: start.scope,
            system: SYSTEM.try_lock().map_err(|_| io::Error::other("there is a supervisor already"))?,
            services: Vec::new(),
            server: start.server,
            urls: start.urls,
            folder: start.folder,
            files: start.services,
            settings: start.settings,
            environment,
            table: start.table,
            files_open: processes::open_files(start.table, start.resumed),
            stale: Vec::new(),
            signals,
            terminal: Terminal::new(),
            link: Link::default(),
            machine: Machine::open(reactor, Token::Machine, start.scope),
            groups,
            watchdog: None,
            times: Times::new(now),
            awaited: Some(Vec::new()),
            width: 0,
            ending: None,
            patience: None,
            rests: false,
            down: false,
            failed: false,
            held: None,
            renewing: false,
            resumed: start.resumed,
            fault: start.fault,
            word: None,
        };
        if let Some(groups) = &supervisor.groups {
            let _ = reactor.add(groups, Token::Groups, Ready::READ);
            for lack in groups.lacks() {
                log::line(
                    if start.scope == Scope::Machine { Level::Info } else { Level::Debug },
                    start.name,
                    lack,
                );
            }
        }
        supervisor.arm_watchdog(now);
        let before = if start.resumed { supervisor.records() } else { Vec::new() };
        for (definition, origin) in start.definitions {
            if let Some(id) = supervisor.find(&definition.name) {
                supervisor.line(id, Look::WARN, "is given twice: the second one is left out");
                continue;
            }
            supervisor.add(definition, origin, now);
        }
        supervisor.relate();
        for (name, why) in &start.left_out {
            supervisor.leave_out(name, why, now);
        }
        supervisor.adopt(before, reactor);
        supervisor.open_sockets(reactor);
        Ok(supervisor)
    }

    /// Starts everything, and comes back when everything has stopped: how it shall end then.
    pub(super) fn run(mut self, reactor: &mut Reactor<Token>) -> (ExitCode, Option<Ending>, InitSettings) {
        self.listen();
        if self.own_server().is_none_or(|server| self.state(server) == Some(State::Ready)) {
            self.open_link();
        }
        if self.resumed {
            self.go_on(reactor, self.fault);
        }
        if self.ending.is_none() {
            self.start_all(reactor.now());
        }
        self.drain(reactor);
        if let Err(error) = reactor.run(&mut self) {
            log::line(Level::Error, self.name, error);
            self.failed = true;
        }
        if std::process::id() != 1 {
            ending::sweep();
        }
        for service in self.services.iter_mut().flatten() {
            service.trigger.close(&service.definition, reactor);
            if let Some(socket) = service.notify.take() {
                socket.close(reactor);
            }
        }
        if let Some(groups) = self.groups.take() {
            for group in self.services.iter_mut().flatten().filter_map(|service| service.group.take()) {
                let _ = group.remove(&groups);
            }
            groups.end();
        }
        if let Some(watchdog) =
            self.watchdog.take().filter(|_| matches!(self.ending, Some(Ending::Halt | Ending::Exit)))
        {
            watchdog.disarm();
        }
        let code = if self.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        (code, self.ending, self.settings)
    }

    /// Adds a service to the machine and to our tables.
    fn add(&mut self, definition: Definition, origin: Origin, now: Instant) -> Option<ServiceId> {
        let id = match self.system.add(definition.policy) {
            Ok(id) => id,
            Err(error) => {
                log::line(Level::Error, self.name, format_args!("{}: {error}", definition.name));
                return None;
            }
        };
        self.width = self.width.max(definition.name.len());
        if self.services.len() <= id.index() {
            self.services.resize_with(id.index() + 1, || None);
        }
        if let Some(place) = self.services.get_mut(id.index()) {
            *place = Some(Service::new(definition, origin, now));
        }
        Some(id)
    }

    fn start_all(&mut self, now: Instant) {
        let wanted: Vec<ServiceId> = self
            .present()
            .filter(|(_, service)| service.definition.enabled && !service.leaving)
            .map(|(id, _)| id)
            .collect();
        // All before anything starts: stages count what is wanted.
        for id in wanted {
            // One that was there before us is how it was left.
            if self.service(id).is_some_and(|service| service.adopted) {
                continue;
            }
            self.stamp(id, 0, now);
            let _ = self.system.handle(now, Input::Start(id));
            self.await_at_boot(id);
        }
    }

    /// All services and their places.
    fn present(&self) -> impl Iterator<Item = (ServiceId, &Service)> {
        present(&self.services)
    }

    fn service(&self, id: ServiceId) -> Option<&Service> {
        self.services.get(id.index())?.as_ref()
    }

    fn service_mut(&mut self, id: ServiceId) -> Option<&mut Service> {
        self.services.get_mut(id.index())?.as_mut()
    }

    fn find(&self, name: &str) -> Option<ServiceId> {
        self.present().find(|(_, service)| service.name() == name).map(|(id, _)| id)
    }

    fn state(&self, id: ServiceId) -> Option<State> {
        self.system.status(id).map(|report| report.state)
    }

    fn own_server(&self) -> Option<ServiceId> {
        self.server.as_deref().and_then(|name| self.find(name))
    }

    fn open_link(&mut self) {
        let urls = self.urls.join(",");
        let urls = match (urls.as_str(), self.scope) {
            ("", Scope::Machine) => SERVER,
            ("", Scope::Session) => crate::bus::DEFAULT_URL,
            (urls, _) => urls,
        };
        if let Err(error) = self.link.open(urls, self.machine.subjects()) {
            log::line(Level::Error, self.name, error);
        }
    }

    /// Hears what services wait for, and, at somebody else's server, what is asked of their whereabouts.
    fn listen(&mut self) {
        let mut subjects = Vec::new();
        for (_, service) in self.present() {
            if let Notification::Publish(subject) = &service.definition.readiness {
                subjects.push(subject.clone());
            }
            match &service.definition.activation {
                Activation::Message(subject) => subjects.push(subject.clone()),
                Activation::Device { class, .. } => subjects.push(format!("hardware.{class}.add")),
                _ => {}
            }
        }
        self.link.hear(subjects);
        if self.scope == Scope::Session && self.server.is_none() {
            let public = self.present().filter(|(_, service)| service.is_public());
            let names = public.map(|(_, service)| service.name().to_owned()).collect();
            self.link.own(names);
        }
    }

    /// Opens the sockets on which services say how they are.
    fn open_sockets(&mut self, reactor: &mut Reactor<Token>) {
        let places: Vec<ServiceId> = self.present().map(|(id, _)| id).collect();
        for id in places {
            self.open_notify(id, reactor);
        }
    }

    fn open_notify(&mut self, id: ServiceId, reactor: &mut Reactor<Token>) {
        let folder = self.folder.clone();
        let (Some(service), Ok(place)) = (self.service_mut(id), u16::try_from(id.index())) else { return };
        if service.notify.is_some() {
            return;
        }
        match NotifySocket::open(&service.definition, place, &folder, reactor) {
            Ok(socket) => {
                let fd = socket.as_ref().map(std::os::fd::AsFd::as_fd);
                self.table.keep(place, super::resume::Of::Notify, fd);
                if let Some(service) = self.service_mut(id) {
                    service.notify = socket;
                }
            }
            Err(error) => self.line(id, Look::BAD, &format!("its socket: {error}")),
        }
    }

    /// Tells the machine what happened, and does what it says.
    fn tell(&mut self, reactor: &mut Reactor<Token>, input: Input) {
        if let Err(error) = self.system.handle(reactor.now(), input) {
            log::line(Level::Debug, self.name, error);
        }
        self.drain(reactor);
    }

    /// Does what the machine says.
    fn drain(&mut self, reactor: &mut Reactor<Token>) {
        while let Some(action) = self.system.poll() {
            match action {
                Action::Spawn(ticket) => self.spawn(reactor, ticket, false),
                Action::Undo(ticket) => self.spawn(reactor, ticket, true),
                Action::Signal { service, signal, .. } => self.signal(service, signal),
                Action::Announce(report) => self.announce(reactor, &report),
                Action::Down => {
                    self.down = true;
                    self.link.drain();
                }
            }
        }
        self.write_table();
    }

    /// Follows what a report means for ourselves.
    fn announce(&mut self, reactor: &mut Reactor<Token>, report: &Report) {
        let id = report.service;
        self.note(id);
        self.say(report);
        if let Some(service) = self.service(id).filter(|service| service.is_public()) {
            let name = service.definition.name.clone();
            self.link.tell(&name, &self.seen(report));
        }
        self.follow_trigger(reactor, report);
        let is_server = self.own_server() == Some(id);
        match report.state {
            State::Ready => {
                self.stamp(id, 2, report.at);
                if is_server && self.ending.is_none() && !self.renewing {
                    self.open_link();
                }
            }
            State::Failed if report.pid.is_none() && is_server && self.scope == Scope::Session => {
                // Without a server there is nothing to live for.
                self.failed = true;
                self.end(reactor.now(), Ending::Exit);
            }
            State::Stopped | State::Failed if self.service(id).is_some_and(|service| service.leaving) => {
                self.remove(reactor, id);
            }
            _ => {}
        }
        self.look_at_health(report.at);
    }

    fn arm_watchdog(&mut self, now: Instant) {
        let Some(settings) = self.settings.watchdog.as_ref().filter(|_| self.scope == Scope::Machine) else {
            return;
        };
        let armed = match self.table.inherit_own(Own::Watchdog) {
            Some(fd) => Watchdog::adopt(fd, settings, now),
            None => Watchdog::arm(settings, now),
        };
        match armed {
            Ok(watchdog) => {
                self.table.keep_own(Own::Watchdog, Some(std::os::fd::AsFd::as_fd(&watchdog)));
                self.watchdog = Some(watchdog);
            }
            Err(error) => {
                let device = settings.device.display();
                log::line(Level::Warn, self.name, format_args!("watchdog {device}: {error}"));
            }
        }
    }
}

/// The services that are there, and their places.
fn present(services: &[Option<Service>]) -> impl Iterator<Item = (ServiceId, &Service)> {
    let places = (0_u16..).map(ServiceId::new).zip(services);
    places.filter_map(|(id, service)| Some((id, service.as_ref()?)))
}

impl App for Supervisor {
    type Token = Token;

    fn ready(&mut self, reactor: &mut Reactor<Token>, key: Key, token: Token, _: Ready) {
        match token {
            Token::Signals => self.take_signals(reactor, key),
            Token::Exit(place) => {
                reactor.read_blocked(key);
                self.reap(reactor, ServiceId::new(place));
            }
            Token::Output(place) => self.read_output(reactor, ServiceId::new(place)),
            Token::Notify(place) => self.read_notice(reactor, key, ServiceId::new(place)),
            Token::Descriptor(place) => self.read_descriptor(reactor, key, ServiceId::new(place)),
            Token::Listens(place) => self.read_listens(reactor, key, ServiceId::new(place)),
            Token::Socket(place) => {
                reactor.read_blocked(key);
                self.tell(reactor, Input::Trigger(ServiceId::new(place)));
            }
            Token::Groups => {
                reactor.read_blocked(key);
                self.count_kills(reactor.now());
            }
            Token::Bus => self.link.ready(reactor, key),
            Token::Machine => self.machine.ready(reactor, key),
            Token::Terminal => {}
        }
    }

    fn deadline(&mut self, reactor: &mut Reactor<Token>) {
        let now = reactor.now();
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.feed(now);
        }
        if self.patience.is_some_and(|at| at <= now) {
            self.patience = None;
            self.tell(reactor, Input::Abort);
        }
        self.fire_timers(reactor);
        self.tell(reactor, Input::Tick);
        self.link.deadline(reactor);
    }

    fn flush(&mut self, reactor: &mut Reactor<Token>) {
        while let Some((message, request)) = self.link.next() {
            self.take_message(reactor, &message, request);
        }
        while let Some(said) = self.machine.next() {
            self.link.publish(said.subject.as_bytes(), &said.payload);
        }
        self.link.flush(reactor);
        if self.link.is_closed() {
            if let Some((signal, server)) = self.held.take().zip(self.own_server()) {
                self.signal(server, signal);
            }
            if self.down {
                reactor.stop();
            } else if self.renewing {
                self.renew();
            }
        }
        self.terminal.flush(reactor);
        if !self.rests && self.awaited.is_none() && self.link.has_told() {
            self.rests = true;
            give_back();
            let_go_of_code();
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let timers = self.services.iter().flatten().filter_map(|service| service.trigger.deadline()).min();
        let watchdog = self.watchdog.as_ref().map(Watchdog::deadline);
        [self.system.next_deadline(), self.link.next_deadline(), timers, watchdog, self.patience]
            .into_iter()
            .flatten()
            .min()
    }
}
