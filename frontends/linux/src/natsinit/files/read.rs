//! The file of one service.

use std::collections::BTreeMap;
use std::time::Duration;

use lunix_core::supervise::{Backoff, Restart, Signal};
use lunix_proto::nats::subject;

use super::super::definition::{
    Activation, Definition, Identity, Landlock, Limits, Notification, Output, Program, Relations, Resource,
    Sandbox, Surroundings,
};
use super::super::process::PROFILES;
use super::policy::Said;
use super::values::{self, table, take};
use super::world::World;
use crate::config::{Place, Section, Value};
use crate::escaped::Escaped;

/// How a service is related to another one, and where that stands.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) key: &'static str,
    pub(super) on: String,
    pub(super) place: Place,
}

/// The service `name` of a file. What is wrong is noted in the section; what is answered then says only how it is related.
pub(super) fn definition(section: &mut Section, name: &str, world: &World) -> (Definition, Vec<Edge>) {
    let mut edges = Vec::new();
    let mut related = |section: &mut Section, key: &'static str| {
        let read = |value: Value| {
            let place = value.place().clone();
            let on = values::name(value)?;
            edges.push(Edge { key, on: on.clone(), place });
            Some(on)
        };
        let names = take(section, key, |value| values::list(value, "[\"natsd\"]", read));
        let mut names = names.unwrap_or_default();
        names.sort();
        names.dedup();
        names
    };
    let relations = Relations {
        needs: related(section, "needs"),
        wants: related(section, "wants"),
        after: related(section, "after"),
        conflicts: related(section, "conflicts"),
    };
    let mut said = Said::new(take(section, "type", kind).unwrap_or_default());
    let surroundings = surroundings(section);
    let path = surroundings.environment.get("PATH").map(String::as_str);
    let program = match section.take(&["command"]) {
        Some(value) => command(value, world, path),
        None => {
            section.note("command: expected a program and its arguments, found nothing");
            None
        }
    };
    said.stage = section.integer(&["stage"], 0, 9).and_then(|stage| u8::try_from(stage).ok());
    said.watchdog = take(section, "watchdog", values::duration(Duration::from_millis(100)));
    let readiness = table(section, "ready", |ready| ready_by(ready, &mut said));
    table(section, "restart", |restart| restarts(restart, &mut said));
    let undo = table(section, "stop", |stop| stops(stop, &mut said, world, path));
    let reload = table(section, "reload", |reload| {
        said.reload = take(reload, "signal", values::signal);
        let words = reload.take(&["command"]).and_then(|value| words(value, world, path));
        if said.reload.is_some() && words.is_some() {
            reload.note("expected a signal or a command, found both");
        }
        words
    });
    let activation = table(section, "activation", |activation| activated(activation, name)).0;
    said.on_demand = activation != Activation::None;
    said.undo = undo.is_some();
    let identity = identity(section, world);
    let definition = Definition {
        name: name.to_owned(),
        description: take(section, "description", line).unwrap_or_default(),
        enabled: section.truth(&["enabled"]).unwrap_or(true),
        program: program.unwrap_or(Program::Words(Vec::new())),
        policy: said.policy(&readiness.0),
        relations: relations.into(),
        readiness: readiness.0,
        activation,
        reload,
        undo,
        identity: identity.into(),
        surroundings: surroundings.into(),
        limits: table(section, "limits", limits).into(),
        sandbox: table(section, "sandbox", sandbox).into(),
        output: table(section, "log", output).into(),
    };
    (definition, edges)
}

/// A line for people.
fn line(value: Value) -> Option<String> {
    let text = values::text(value.clone())?;
    if text.contains(['\n', '\r']) {
        value.note("expected one line");
        return None;
    }
    Some(text)
}

fn kind(value: Value) -> Option<bool> {
    value.parsed("\"longrun\" or \"oneshot\"", |text| match text {
        "longrun" => Some(false),
        "oneshot" => Some(true),
        _ => None,
    })
}

fn words(value: Value, world: &World, path: Option<&str>) -> Option<Vec<String>> {
    match command(value, world, path)? {
        Program::Words(words) | Program::Applet(words) => Some(words),
        Program::Command(words) => Some(std::iter::once("lunix".to_owned()).chain(words).collect()),
    }
}

/// A command whose program is there. The daemons of this binary need no file, nor do the commands of `lunix`.
fn command(value: Value, world: &World, path: Option<&str>) -> Option<Program> {
    let words = values::words(value.clone())?;
    let first = words.first().map(String::as_str).unwrap_or_default();
    if crate::applets::DAEMONS.iter().any(|daemon| daemon.command.name == first) {
        return Some(Program::Applet(words));
    }
    if first == "lunix" && words.get(1).is_some_and(|name| crate::applets::find(name).is_some()) {
        return Some(Program::Command(words.into_iter().skip(1).collect()));
    }
    if let Err(why) = world.program(first, path) {
        value.note(why);
        return None;
    }
    Some(Program::Words(words))
}

/// [`Notification::Start`] if there is no table.
#[derive(Debug)]
struct Readiness(Notification);

impl Default for Readiness {
    fn default() -> Self {
        Self(Notification::Start)
    }
}

fn ready_by(ready: &mut Section, said: &mut Said) -> Readiness {
    const BY: [&str; 5] = ["start", "fd", "sd_notify", "publish", "listen"];
    let fd = ready.take(&["fd"]);
    let subject = ready.take(&["subject"]);
    let address = ready.take(&["address"]);
    said.start_timeout = take(ready, "timeout", values::duration_or_none);
    let by = take(ready, "by", |value| {
        value.parsed("\"start\", \"fd\", \"sd_notify\", \"publish\" or \"listen\"", |text| {
            BY.into_iter().find(|by| *by == text)
        })
    });
    let of = [("fd", &fd, "fd"), ("subject", &subject, "publish"), ("address", &address, "listen")];
    let by = by.or_else(|| of.iter().find(|(_, value, _)| value.is_some()).map(|(_, _, by)| *by));
    for (_, value, of) in of {
        if let Some(value) = value
            && by != Some(of)
        {
            value.note(format_args!("has no meaning with by = \"{}\"", by.unwrap_or_default()));
        }
    }
    let missing = |key: &str, example: &str| {
        ready.note(format_args!("by: expected {key} = {example} beside it, found nothing"));
        Notification::Start
    };
    Readiness(match by {
        Some("fd") => {
            let fd = fd.and_then(|value| value.integer(3, 255)).and_then(|fd| i32::try_from(fd).ok());
            Notification::Descriptor(fd.unwrap_or(3))
        }
        Some("sd_notify") => Notification::Socket,
        Some("publish") => match subject {
            Some(value) => Notification::Publish(literal(&value).unwrap_or_default()),
            None => missing("subject", "\"my.subject\""),
        },
        Some("listen") => match address {
            Some(value) if value.is_list() => {
                let addresses = values::list(value.clone(), "[\"tcp:127.0.0.1:80\"]", values::address);
                if addresses.as_ref().is_some_and(Vec::is_empty) {
                    value.note("expected an address, found none");
                }
                Notification::Listens(addresses.unwrap_or_default())
            }
            Some(value) => Notification::Listens(values::address(value).into_iter().collect()),
            None => missing("address", "\"tcp:127.0.0.1:80\""),
        },
        _ => Notification::Start,
    })
}

fn literal(value: &Value) -> Option<String> {
    value.parsed("a subject without wildcards", |text| {
        (text.len() <= 255 && subject::is_literal(text.as_bytes())).then(|| text.to_owned())
    })
}

fn restarts(restart: &mut Section, said: &mut Said) {
    said.restart = take(restart, "when", |value| {
        value.parsed("\"always\", \"on-failure\" or \"never\"", |text| match text {
            "always" => Some(Restart::Always),
            "on-failure" => Some(Restart::OnFailure),
            "never" => Some(Restart::Never),
            _ => None,
        })
    });
    let backoff = Backoff::default();
    let base = take(restart, "base", values::duration(Duration::ZERO)).unwrap_or(backoff.base);
    let cap = restart.take(&["cap"]);
    let cap = match cap {
        Some(value) => {
            let cap = values::duration(Duration::ZERO)(value.clone()).unwrap_or(base);
            if cap < base {
                value.note("expected no less than base");
            }
            cap
        }
        None => backoff.cap.max(base),
    };
    let limit = take(restart, "limit", values::count(1, u64::from(u16::MAX)));
    let stable = take(restart, "stable", values::duration(Duration::ZERO)).unwrap_or(backoff.stable);
    let limit = limit.map_or(backoff.limit, |limit| limit.and_then(|limit| u16::try_from(limit).ok()));
    said.backoff = Some(Backoff { base, cap, limit, stable });
}

/// The command that undoes a oneshot.
fn stops(stop: &mut Section, said: &mut Said, world: &World, path: Option<&str>) -> Option<Vec<String>> {
    if let Some(value) = stop.take(&["signals"]) {
        let steps =
            values::list(value.clone(), "[\"TERM 5s\", \"INT 2s\"]", values::step).unwrap_or_default();
        if steps.len() > 4 {
            value.note(format_args!("expected at most 4 signals, found {}", steps.len()));
        }
        if steps.iter().any(|(signal, _)| *signal == Signal::KILL) {
            value.note("expected signals other than KILL, which comes by itself at the end");
        }
        said.stop = Some(steps);
    }
    said.kill_timeout = take(stop, "kill_timeout", values::duration(Duration::from_millis(10)));
    let undo = stop.take(&["command"])?;
    if !said.oneshot {
        undo.note("only a oneshot has one: a longrun is stopped by signals");
        return None;
    }
    words(undo, world, path)
}

/// [`Activation::None`] if there is no table.
#[derive(Debug)]
struct Activated(Activation);

impl Default for Activated {
    fn default() -> Self {
        Self(Activation::None)
    }
}

fn activated(activation: &mut Section, name: &str) -> Activated {
    let given = [
        take(activation, "sockets", |value| sockets(value, name)).map(Activation::Sockets),
        take(activation, "timer", timer),
        take(activation, "device", device),
        take(activation, "subject", |value| {
            value.parsed("a subject; wildcards are allowed", |text| {
                (text.len() <= 255 && subject::is_pattern(text.as_bytes())).then(|| text.to_owned())
            })
        })
        .map(Activation::Message),
    ];
    let mut given = given.into_iter().flatten();
    let first = given.next();
    if given.next().is_some() {
        activation.note("expected one of sockets, timer, device and subject, found several");
    }
    Activated(first.unwrap_or(Activation::None))
}

fn sockets(value: Value, name: &str) -> Option<Vec<(String, super::super::definition::Address)>> {
    const MOST: usize = 16;
    let whole = value.clone();
    let sockets: Vec<_> = if value.is_list() {
        let addresses = values::list(value, "[\"tcp:0.0.0.0:80\"]", values::address)?;
        addresses.into_iter().map(|address| (name.to_owned(), address)).collect()
    } else if value.is_block() {
        let named = |value: Value| {
            // LISTEN_FDNAMES has them between colons.
            let name = value.key().to_owned();
            if name.is_empty() || name.len() > 255 || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
            {
                value.note("expected a name without blanks and ':'");
                return None;
            }
            Some((name, values::address(value)?))
        };
        value.block()?.take_all().into_iter().map(named).collect::<Option<_>>()?
    } else {
        value.wrong("a table or a list, such as { http = \"tcp:0.0.0.0:80\" }");
        return None;
    };
    if sockets.is_empty() || sockets.len() > MOST {
        whole.note(format_args!("expected 1 to {MOST} addresses, found {}", sockets.len()));
        return None;
    }
    Some(sockets)
}

fn timer(value: Value) -> Option<Activation> {
    let least = Duration::from_millis(1);
    let mut timer = value.block()?;
    let first = take(&mut timer, "first", values::duration(Duration::ZERO));
    let every = take(&mut timer, "every", values::duration(least));
    if first.is_none() && every.is_none() {
        timer.note("expected first or every, such as { every = \"15m\" }");
    }
    timer.end();
    let first = first.or(every)?;
    Some(Activation::Timer { first, every })
}

fn device(value: Value) -> Option<Activation> {
    let mut device = value.block()?;
    let class = match device.take(&["class"]) {
        Some(value) => value.parsed("a class of devices, such as \"usb\"", |text| {
            (subject::is_literal(text.as_bytes()) && !text.contains('.')).then(|| text.to_owned())
        }),
        None => {
            device.note("expected a class, such as { class = \"usb\" }");
            None
        }
    };
    let matches = table(&mut device, "matches", pairs);
    device.end();
    Some(Activation::Device { class: class?, matches })
}

/// All keys of a table with their texts.
fn pairs(section: &mut Section) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    for value in section.take_all() {
        let key = value.key().to_owned();
        if let Some(text) = values::word(value) {
            pairs.insert(key, text);
        }
    }
    pairs
}

/// Variables of the environment.
pub(super) fn environment(section: &mut Section) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for value in section.take_all() {
        let key = value.key().to_owned();
        if key.is_empty() || key.len() > 255 || key.contains(['=', '\0']) {
            value.note("expected the name of a variable, which has no '='");
        } else if let Some(text) = values::word(value) {
            variables.insert(key, text);
        }
    }
    variables
}

fn identity(section: &mut Section, world: &World) -> Identity {
    let known = |value: Value, is: &dyn Fn(&str) -> bool, what: &str| {
        let name = values::account(value.clone())?;
        if !is(&name) {
            value.note(format_args!("there is no {what} '{name}'"));
            return None;
        }
        Some(name)
    };
    let user = |value: Value| known(value, &|name| world.user(name), "user");
    let group = |value: Value| known(value, &|name| world.group(name), "group");
    Identity {
        user: take(section, "user", user),
        group: take(section, "group", group),
        groups: take(section, "groups", |value| values::list(value, "[\"audio\"]", group))
            .unwrap_or_default(),
        capabilities: take(section, "capabilities", |value| {
            let mut kept = values::list(value, "[\"net_admin\"]", values::capability)?;
            kept.sort_unstable();
            kept.dedup();
            Some(kept)
        }),
        no_new_privileges: section.truth(&["no_new_privileges"]).unwrap_or_default(),
    }
}

fn surroundings(section: &mut Section) -> Surroundings {
    Surroundings {
        environment: table(section, "environment", environment),
        directory: take(section, "directory", values::path),
        umask: take(section, "umask", values::umask),
        terminal: take(section, "terminal", values::path),
    }
}

/// The keys of what `setrlimit(2)` limits; those of bytes come first.
const RESOURCES: [(&str, Resource); 9] = [
    ("address_space", Resource::AddressSpace),
    ("core", Resource::Core),
    ("data", Resource::Data),
    ("file_size", Resource::FileSize),
    ("locked_memory", Resource::LockedMemory),
    ("stack", Resource::Stack),
    ("cpu_seconds", Resource::CpuSeconds),
    ("open_files", Resource::OpenFiles),
    ("processes", Resource::Processes),
];

fn limits(limits: &mut Section) -> Limits {
    const PAGE: u64 = 4096;
    let mut resources = Vec::new();
    for (at, (key, resource)) in RESOURCES.into_iter().enumerate() {
        let limit = match at {
            0..6 => take(limits, key, values::limit(0)),
            _ => take(limits, key, values::count(0, u64::from(u32::MAX))),
        };
        resources.extend(limit.map(|limit| (resource, limit)));
    }
    resources.sort_unstable();
    let narrow = |number: i64| i32::try_from(number).ok();
    Limits {
        memory: take(limits, "memory", values::limit(PAGE)).flatten(),
        memory_high: take(limits, "memory_high", values::limit(PAGE)).flatten(),
        cpu_percent: take(limits, "cpu", values::percent).flatten(),
        pids: take(limits, "pids", values::count(1, 4 << 20)).flatten(),
        io_weight: limits.integer(&["io_weight"], 1, 10_000).and_then(|weight| u16::try_from(weight).ok()),
        resources,
        nice: limits.integer(&["nice"], -20, 19).and_then(narrow),
        oom_score: limits.integer(&["oom_score"], -1000, 1000).and_then(narrow),
    }
}

fn sandbox(sandbox: &mut Section) -> Sandbox {
    let read_only = sandbox.truth(&["read_only"]);
    let writable = sandbox.take(&["writable"]);
    if let Some(value) = &writable
        && read_only == Some(false)
    {
        value.note("has no meaning with read_only = false");
    }
    let writable = writable.and_then(values::paths);
    Sandbox {
        private_tmp: sandbox.truth(&["private_tmp"]).unwrap_or_default(),
        read_only_except: if read_only == Some(true) { Some(writable.unwrap_or_default()) } else { writable },
        private_network: sandbox.truth(&["private_network"]).unwrap_or_default(),
        private_pids: sandbox.truth(&["private_pids"]).unwrap_or_default(),
        seccomp: take(sandbox, "seccomp", profile),
        landlock: take(sandbox, "landlock", |value| {
            let mut landlock = value.block()?;
            let read = take(&mut landlock, "read", values::paths).unwrap_or_default();
            let write = take(&mut landlock, "write", values::paths).unwrap_or_default();
            landlock.end();
            Some(Landlock { read, write })
        }),
    }
}

fn profile(value: Value) -> Option<String> {
    let names = || PROFILES.iter().map(|(name, _)| *name);
    let text = values::text(value.clone())?;
    if names().any(|name| name == text) {
        return Some(text);
    }
    let near = names()
        .map(|name| (crate::cli::distance(name, &text), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4);
    match near {
        Some((_, near)) => {
            let text = Escaped(&text);
            value.note(format_args!("there is no profile '{text}', did you mean '{near}'?"));
        }
        None => {
            let all: Vec<String> = names().map(|name| format!("\"{name}\"")).collect();
            value.wrong(&format!("one of {}", all.join(", ")));
        }
    }
    None
}

fn output(log: &mut Section) -> Output {
    let usual = Output::default();
    let size = |value: Value, least: u64, most: u64| {
        value.parsed(&format!("a size from {least} to {most} bytes, such as 64K"), |text| {
            values::bytes(text).filter(|bytes| (least..=most).contains(bytes))
        })
    };
    let ring = take(log, "ring", |value| size(value, 4 << 10, 1 << 20));
    let file_size = log.take(&["file_size"]);
    let file = take(log, "file", values::path);
    if let Some(value) = &file_size
        && file.is_none()
    {
        value.note("has no meaning without file");
    }
    Output {
        inherit: log.truth(&["inherit"]).unwrap_or_default(),
        show: log.truth(&["show"]).unwrap_or_default(),
        ring: ring.and_then(|ring| usize::try_from(ring).ok()).unwrap_or(usual.ring),
        file,
        file_size: file_size.and_then(|value| size(value, 4 << 10, 1 << 40)).unwrap_or(usual.file_size),
    }
}
