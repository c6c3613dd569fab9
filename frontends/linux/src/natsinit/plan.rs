//! What is to run here, where, and what cannot.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lunix_core::supervise::{Backoff, Policy, Readiness, Restart, Signal, Stop};

use super::definition::{Activation, Definition, Notification, Output, Program};
use super::rare::Rare;
use crate::applets::{DAEMONS, bridge};
use crate::escaped::Escaped;

/// Where a service comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Its file, which a reload reads anew.
    File,
    /// The command line, or ourselves.
    Fixed,
    /// It only serves the terminal, and nobody else is told of it.
    Hidden,
}

/// What the user asked for.
#[derive(Debug, Default)]
pub(crate) struct Wish<'a> {
    /// Daemons by name; all that there are if empty.
    pub(crate) services: Vec<&'a str>,
    /// Daemons are wanted at all.
    pub(crate) daemons: bool,
    /// `NAME=COMMAND`
    pub(crate) commands: Vec<&'a str>,
    /// A server that runs already.
    pub(crate) nats: Option<&'a str>,
    /// The port of our own server.
    pub(crate) port: Option<u16>,
    /// The command that shows live events.
    pub(crate) watch: bool,
    /// Restarts without a stable run before a service has failed.
    pub(crate) limit: Option<u16>,
    /// Where the files of more services are.
    pub(crate) files: Option<&'a str>,
    /// There was a supervisor before us, whose services are there.
    pub(crate) resumed: bool,
}

/// What will run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) services: Vec<(Definition, Origin)>,
    /// The service that is our own server, and its port.
    pub(crate) server: Option<(String, u16)>,
    /// Where clients find the server, in order of preference.
    pub(crate) urls: Vec<String>,
    /// What is different here, each in a line: the service and what is said of it.
    pub(crate) notes: Vec<(String, String)>,
}

/// Why there is no plan, in one line.
#[derive(Debug)]
pub(crate) enum PlanError {
    /// The user asked for what cannot be: exit code 2.
    Usage(String),
    /// The machine refuses: exit code 1.
    Machine(String),
}

impl std::fmt::Display for PlanError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Usage(line) | Self::Machine(line)) = self;
        out.write_str(line)
    }
}

const SERVER: &str = "natsd";
const SUPERVISOR: &str = "natsinit";
/// Daemons that are started only where somebody has asked for them: by name, or by this file.
const ON_REQUEST: &[(&str, &str)] = &[("natsmount", "/etc/lunix/natsmount.conf")];
const PORT: u16 = 4222;
/// The daemons that other protocols come by, if their program is beside ours, and where they listen; 0 is the session bus.
const BRIDGES: [(&str, u16); 3] = [("natsmqtt", MQTT), ("natsws", WEB), ("natstoast-dbus", 0)];
/// Where devices connect.
pub(crate) const MQTT: u16 = 1883;
/// Where the page is.
pub(crate) const WEB: u16 = 8080;

impl Plan {
    /// Decides what runs; `folder` is where sockets will be.
    pub(crate) fn make(wish: &Wish<'_>, folder: &Path) -> Result<Self, PlanError> {
        let mut plan = Self { services: Vec::new(), server: None, urls: Vec::new(), notes: Vec::new() };
        let own = || DAEMONS.iter().map(|applet| applet.command.name).filter(|name| *name != SUPERVISOR);
        let bridge = bridge();
        let bridges = || BRIDGES.into_iter().filter(|_| bridge.is_some());
        let known = || own().chain(bridges().map(|(name, _)| name));
        if let Some(unknown) = wish.services.iter().find(|wanted| known().all(|name| name != **wanted)) {
            let names = known().collect::<Vec<_>>().join(", ");
            let unknown = Escaped(unknown);
            return Err(PlanError::Usage(format!("--service: expected one of {names}, found '{unknown}'")));
        }
        let policy = Policy {
            readiness: Readiness::Notify,
            stop: Stop::new(Signal::TERM, Duration::from_secs(3)),
            kill_timeout: Duration::from_secs(1),
            backoff: Backoff { limit: Some(wish.limit.unwrap_or(10)), ..Backoff::default() },
            ..Policy::default()
        };
        match wish.nats {
            Some(urls) => plan.urls = urls.split(',').map(str::to_owned).collect(),
            None if wish.daemons && own().any(|name| name == SERVER) => {
                plan.add_server(wish, folder, policy)?
            }
            None => {}
        }
        let needs: Vec<String> = plan.server.iter().map(|(name, _)| name.clone()).collect();
        if wish.watch && crate::applets::find("watch").is_some() {
            let policy = Policy { readiness: Readiness::Start, restart: Restart::OnFailure, ..policy };
            let mut watch = service("watch", Program::Command(vec!["watch".into()]), policy);
            watch.relations.needs = needs.clone();
            watch.output.inherit = true;
            plan.services.push((watch, Origin::Hidden));
        }
        let wanted = |name: &str| match configuration(name) {
            _ if wish.services.contains(&name) => true,
            Some(file) => wish.services.is_empty() && file.exists(),
            None => wish.services.is_empty(),
        };
        for name in own().filter(|name| wish.daemons && *name != SERVER && wanted(name)) {
            let file = configuration(name).filter(|file| file.exists());
            let mut words = vec![name.to_owned()];
            words.extend(file.iter().flat_map(|file| ["--config".to_owned(), file.display().to_string()]));
            plan.notes.extend(notes(name).into_iter().map(|note| (name.to_owned(), note.to_owned())));
            let mut daemon = service(name, Program::Applet(words), policy);
            daemon.relations.needs.clone_from(&needs);
            plan.services.push((daemon, Origin::Fixed));
        }
        for (name, port) in bridges().filter(|(name, _)| wish.daemons && wanted(name)) {
            let missing = match port {
                0 => std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_none(),
                // Those of the one before us are there.
                port => !wish.resumed && probe(port).is_err(),
            };
            if missing {
                let why = match port {
                    0 => "there is no session bus: it is not started".into(),
                    port => format!("port {port} is taken: it is not started"),
                };
                plan.notes.push((name.into(), why));
                continue;
            }
            let words = bridge.iter().map(|path| path.display().to_string()).chain([name.to_owned()]);
            let mut daemon = service(name, Program::Words(words.collect()), policy);
            daemon.relations.needs.clone_from(&needs);
            plan.services.push((daemon, Origin::Fixed));
        }
        for command in &wish.commands {
            plan.add_command(command, Policy { readiness: Readiness::Start, ..policy })?;
        }
        Ok(plan)
    }

    fn add_server(&mut self, wish: &Wish<'_>, folder: &Path, policy: Policy) -> Result<(), PlanError> {
        let port = match wish.port {
            // The server of the one before us is there.
            Some(port) if wish.resumed => port,
            Some(port) => probe(port)
                .map_err(|error| PlanError::Machine(format!("--port: 127.0.0.1:{port}: {error}")))?,
            None => (PORT..PORT + 100)
                .find_map(|port| probe(port).ok())
                .ok_or_else(|| PlanError::Machine("no port from 4222 to 4321 is free on 127.0.0.1".into()))?,
        };
        if wish.port.is_none() && port != PORT {
            self.notes.push((SERVER.into(), format!("port {PORT} is taken: it listens on {port}")));
        }
        let socket = folder.join("natsd.sock");
        self.urls = vec![format!("unix://{}", socket.display()), format!("nats://127.0.0.1:{port}")];
        self.server = Some((SERVER.into(), port));
        let arguments =
            [SERVER, "-T=false", "-a", "127.0.0.1", "-p", &port.to_string(), "--socket"].map(str::to_owned);
        let arguments = arguments.into_iter().chain([socket.display().to_string()]).collect();
        self.services.push((service(SERVER, Program::Applet(arguments), policy), Origin::Fixed));
        Ok(())
    }

    fn add_command(&mut self, command: &str, policy: Policy) -> Result<(), PlanError> {
        let (name, words) = command.split_once('=').unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if name.is_empty() || name.len() > 32 || !name.chars().all(plain) || words.trim().is_empty() {
            let found = Escaped(command);
            return Err(PlanError::Usage(format!(
                "expected NAME=COMMAND, NAME of letters, digits, - and _, found '{found}'"
            )));
        }
        if self.services.iter().any(|(known, _)| known.name == name) {
            return Err(PlanError::Usage(format!("the service {name} is given twice")));
        }
        let words = words.split_whitespace().map(str::to_owned).collect();
        self.services.push((service(name, Program::Words(words), policy), Origin::Fixed));
        Ok(())
    }
}

/// A service of this name that is shown on our stderr, and all else by default.
fn service(name: &str, program: Program, policy: Policy) -> Definition {
    let readiness = match policy.readiness {
        Readiness::Notify => Notification::Socket,
        Readiness::Start => Notification::Start,
    };
    Definition {
        name: name.into(),
        description: String::new(),
        enabled: true,
        program,
        policy,
        relations: Rare::default(),
        readiness,
        activation: Activation::None,
        reload: None,
        undo: None,
        identity: Rare::default(),
        surroundings: Rare::default(),
        limits: Rare::default(),
        sandbox: Rare::default(),
        output: Output { show: true, ..Output::default() }.into(),
    }
}

/// What is left of a service whose file is gone: it goes on, and does not start again.
pub(super) fn remnant(name: &str) -> Definition {
    let policy = Policy { restart: Restart::Never, ..Policy::default() };
    Definition { enabled: false, ..service(name, Program::Words(vec!["false".into()]), policy) }
}

/// A login on `terminal`, whatever this machine has for that; `None` if it has nothing.
pub(super) fn login(terminal: &Path) -> Option<Definition> {
    let name = terminal.strip_prefix("/dev").unwrap_or(terminal).display().to_string();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let candidates = [
        words(&["/sbin/agetty", "-L", "115200", &name, "vt100"]),
        words(&["/sbin/getty", "-L", "115200", &name, "vt100"]),
        words(&["/bin/busybox", "getty", "-L", "115200", &name, "vt100"]),
        words(&["/sbin/sulogin"]),
        words(&["/bin/sh"]),
    ];
    let there = |words: &Vec<String>| words.first().is_some_and(|program| Path::new(program).exists());
    let found = candidates.into_iter().find(there)?;
    let mut login = service("login", Program::Words(found), Policy::default());
    login.surroundings.terminal = Some(terminal.into());
    Some(login)
}

/// The file that asks for a daemon which is not started otherwise.
fn configuration(daemon: &str) -> Option<&'static Path> {
    ON_REQUEST.iter().find(|(name, _)| *name == daemon).map(|(_, file)| Path::new(file))
}

/// The port, if a server could listen there now; a free one for 0.
fn probe(port: u16) -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", port))?.local_addr()?.port())
}

/// What `daemon` cannot do on this machine.
fn notes(daemon: &str) -> Vec<&'static str> {
    let mut notes = Vec::new();
    if daemon == "natsdev" {
        if !rustix::process::geteuid().is_root() {
            notes.push("not root: it announces devices, but makes no device nodes and loads no modules");
        }
        if !Path::new("/sys/bus/usb").exists() {
            notes.push("this kernel has no USB: there will be no hardware.usb.* events");
        }
    }
    if daemon == "natsmount" && !rustix::process::geteuid().is_root() {
        notes.push("not root: it cannot mount anything");
    }
    notes
}

/// A folder for sockets that nobody else can enter.
///
/// `$XDG_RUNTIME_DIR/lunix` (for root without one `/run/lunix`) if no other supervisor is there, else a folder of
/// a new name beside it, else one in the folder for temporary files.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Held for as long as the folder is in use; `None` where the name is new and nobody else can know it.
    lock: Option<File>,
}

impl Folder {
    pub(crate) fn open() -> io::Result<Self> {
        let runtime =
            std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let system = || rustix::process::geteuid().is_root().then(|| PathBuf::from("/run"));
        // The path of a socket has at most 107 bytes.
        let bases = [runtime.or_else(system), Some(std::env::temp_dir()), Some("/tmp".into())];
        let mut bases =
            bases.into_iter().flatten().filter(|base| base.is_dir() && base.as_os_str().len() <= 60);
        let Some(base) = bases.next() else { return Err(io::ErrorKind::NotFound.into()) };
        if base != std::env::temp_dir()
            && let Some(folder) = Self::shared(base.join("lunix"))
        {
            return Ok(folder);
        }
        std::iter::once(base).chain(bases).find_map(|base| Self::fresh(&base)).ok_or_else(|| {
            io::Error::new(io::ErrorKind::PermissionDenied, "no folder for sockets can be made")
        })
    }

    /// The folder of the supervisor before us.
    pub(crate) fn again(path: PathBuf, lock: Option<File>) -> Self {
        Self { path, lock }
    }

    /// What holds it as ours.
    pub(crate) fn lock(&self) -> Option<&File> {
        self.lock.as_ref()
    }

    /// The folder of the machine's supervisor, which services of other users may enter, but not list.
    pub(crate) fn of_machine() -> io::Result<Self> {
        let path = PathBuf::from("/run/lunix");
        match DirBuilder::new().mode(0o711).recursive(true).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o711))?;
                Ok(Self { path, lock: None })
            }
        }
    }

    fn shared(path: PathBuf) -> Option<Self> {
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return None,
            _ => {}
        }
        let found = fs::symlink_metadata(&path).ok()?;
        let ours =
            found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o077 == 0;
        let lock = ours.then(|| File::create(path.join("lock")).ok()).flatten()?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).ok()?;
        Some(Self { path, lock: Some(lock) })
    }

    fn fresh(base: &Path) -> Option<Self> {
        // A name that exists is no danger, as nothing is opened that was not made here; it only needs another try.
        (0..100).find_map(|attempt| {
            let path = base.join(format!("lunix-{}-{attempt}", std::process::id()));
            DirBuilder::new().mode(0o700).create(&path).ok().map(|()| Self { path, lock: None })
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path.join("natsd.sock"));
        if self.lock.is_none() && self.path != Path::new("/run/lunix") {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_become_services() {
        let wish = Wish { commands: vec!["a=sleep 1", "b-2= x"], ..Wish::default() };
        let plan = Plan::make(&wish, Path::new("/nowhere")).unwrap();
        let names: Vec<_> = plan.services.iter().map(|(service, _)| service.name.as_str()).collect();
        assert_eq!(names, ["a", "b-2"]);
        assert!(plan.server.is_none());
        for wrong in ["", "a", "=x", "a=", "a b=x", "a.b=x"] {
            let wish = Wish { commands: vec![wrong], ..Wish::default() };
            assert!(matches!(Plan::make(&wish, Path::new("/")), Err(PlanError::Usage(_))), "{wrong}");
        }
        let twice = Wish { commands: vec!["a=x", "a=y"], ..Wish::default() };
        assert!(Plan::make(&twice, Path::new("/")).is_err());
    }

    #[test]
    fn unknown_daemons_are_named() {
        let wish = Wish { daemons: true, services: vec!["natsfoo"], ..Wish::default() };
        let Err(PlanError::Usage(line)) = Plan::make(&wish, Path::new("/")) else { panic!() };
        assert!(line.contains("found 'natsfoo'"), "{line}");
    }

    #[test]
    fn a_folder_is_ours_alone_and_goes_away() {
        let base = std::env::temp_dir();
        let one = Folder::fresh(&base).unwrap();
        let two = Folder::fresh(&base).unwrap();
        assert_ne!(one.path(), two.path());
        let path = one.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        drop(one);
        assert!(!path.exists());
    }
}
