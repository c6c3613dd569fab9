//! What a unit says, in the words of a service's file.

mod activation;
mod identity;
mod limits;
mod output;
mod sandbox;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::unit::{Directive, Unit};
use super::words::{self, Exec, Names};
use super::write::{File, list, quote};
use super::{reasons, service_name};
use crate::config::Span;

/// A service, its socket and its timer.
#[derive(Debug)]
pub(super) struct Units {
    pub(super) service: Unit,
    pub(super) socket: Option<Unit>,
    pub(super) timer: Option<Unit>,
    pub(super) names: Names,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Translation {
    pub(super) file: File,
    /// What could not be carried over: file, line, `KEY: why`.
    pub(super) left: Vec<(String, usize, String)>,
}

/// A year: what stands for ever where there has to be an end.
const LONG: Duration = Duration::from_secs(365 * 24 * 3600);

/// Translates. `there` are the services that a need may name.
pub(super) fn translate(units: &Units, there: &BTreeSet<String>) -> Translation {
    let mut work = Work {
        units,
        unit: &units.service,
        there,
        out: Translation::default(),
        undone: false,
        activated: false,
    };
    work.unit_section();
    work.commands();
    work.restarts();
    work.identity();
    work.limits();
    work.sandbox();
    work.output();
    work.activation();
    work.rest();
    work.out.left.sort();
    work.out.left.dedup();
    work.out
}

struct Work<'u> {
    units: &'u Units,
    unit: &'u Unit,
    there: &'u BTreeSet<String>,
    out: Translation,
    /// What would start it is not here, so it must not start at boot.
    undone: bool,
    /// A socket starts it.
    activated: bool,
}

impl<'u> Work<'u> {
    fn left(&mut self, directive: &Directive, why: impl std::fmt::Display) {
        self.left_of(self.unit, directive, why);
    }

    fn left_of(&mut self, unit: &Unit, directive: &Directive, why: impl std::fmt::Display) {
        self.out.left.push((unit.file.clone(), directive.line, format!("{}: {why}", directive.key)));
    }

    fn set(&mut self, table: &'static str, key: &str, value: impl std::fmt::Display) {
        self.out.file.set(table, key, value.to_string());
    }

    /// The directive of `[Service]` and its value without specifiers.
    fn value(&mut self, key: &str) -> Option<(&'u Directive, String)> {
        let unit = self.unit;
        let directive = unit.last("Service", key)?;
        // A share of something, as in `CPUQuota=50%`.
        let share =
            directive.value.strip_suffix('%').is_some_and(|it| it.bytes().all(|it| it.is_ascii_digit()));
        if share {
            return Some((directive, directive.value.clone()));
        }
        match self.units.names.expand(&directive.value) {
            Ok(value) => Some((directive, value)),
            Err(why) => {
                self.left(directive, why);
                None
            }
        }
    }

    /// What `read` makes of a directive's value; if that is nothing, it is left.
    fn read<T>(&mut self, key: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let (directive, value) = self.value(key)?;
        let read = read(&value);
        if read.is_none() {
            self.left(directive, format_args!("'{value}' has no meaning here"));
        }
        read
    }

    /// `[Unit]` and `[Install]`.
    fn unit_section(&mut self) {
        let unit = self.unit;
        if let Some(directive) = unit.last("Unit", "Description") {
            match self.units.names.expand(&directive.value) {
                Ok(text) => self.set("", "description", quote(&text)),
                Err(why) => self.left(directive, why),
            }
        }
        let mut related: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
        for (key, ours) in [
            ("Requires", "needs"),
            ("BindsTo", "needs"),
            ("Requisite", "needs"),
            ("Wants", "wants"),
            ("After", "after"),
            ("Conflicts", "conflicts"),
        ] {
            for directive in unit.all("Unit", key) {
                for name in directive.value.split_ascii_whitespace() {
                    let Ok(name) = self.units.names.expand(name) else {
                        self.left(directive, format_args!("{name}: a specifier has no meaning here"));
                        continue;
                    };
                    match self.other(&name) {
                        Ok(Some(service)) => match ours {
                            "needs" if !self.there.contains(&service) => {
                                self.left(
                                    directive,
                                    format_args!(
                                        "'{service}' is not here, so it is only wanted; import it, too"
                                    ),
                                );
                                related.entry("wants").or_default().insert(service);
                            }
                            "conflicts" if !self.there.contains(&service) => {
                                self.left(directive, format_args!("'{service}' is not here"));
                            }
                            ours => {
                                related.entry(ours).or_default().insert(service);
                            }
                        },
                        Ok(None) => {}
                        Err(why) => self.left(directive, why),
                    }
                }
            }
        }
        let of = |key| related.get(key).cloned().unwrap_or_default();
        let (needs, wants) = (of("needs"), of("wants"));
        let wants: BTreeSet<_> = wants.difference(&needs).cloned().collect();
        let after: BTreeSet<_> =
            of("after").difference(&needs).filter(|it| !wants.contains(*it)).cloned().collect();
        for (key, names) in
            [("needs", needs), ("wants", wants), ("after", after), ("conflicts", of("conflicts"))]
        {
            if !names.is_empty() {
                self.set("", key, list(names));
            }
        }
    }

    /// The service of another unit; `None` where the need is fulfilled before any service starts.
    fn other(&self, name: &str) -> Result<Option<String>, String> {
        let (stem, kind) = name.rsplit_once('.').unwrap_or((name, "service"));
        if reasons::DONE.contains(&name) {
            return Ok(None);
        }
        let own = service_name(&self.units.names.full);
        match kind {
            "service" | "socket" | "timer" => {
                let name = service_name(stem);
                if name.as_ref().is_some_and(|name| Some(name) == own.as_ref()) {
                    return Ok(None);
                }
                name.map(Some).ok_or_else(|| format!("{stem}: its name is too long here"))
            }
            "target" => Err(format!("{name}: there are no targets; stages and needs order services")),
            "device" => Err(format!("{name}: write activation.device instead")),
            "mount" | "automount" | "swap" => {
                Err(format!("{name}: mounts are in init.toml, and made before services start"))
            }
            _ => Err(format!("{name}: there are no units of this kind")),
        }
    }

    /// What is executed, and how it says that it is ready.
    fn commands(&mut self) {
        let unit = self.unit;
        let mut oneshot = false;
        if let Some((directive, value)) = self.value("Type") {
            match value.as_str() {
                "simple" | "exec" | "idle" => {}
                "notify" => self.set("ready", "by", "\"sd_notify\""),
                "notify-reload" => {
                    self.set("ready", "by", "\"sd_notify\"");
                    self.set("reload", "signal", "\"HUP\"");
                }
                "oneshot" => oneshot = true,
                "forking" => {
                    self.undone = true;
                    self.left(
                        directive,
                        "it goes into the background, where it cannot be watched: \
                         write the option that keeps it in front, and enabled = true",
                    );
                }
                "dbus" => self.left(directive, "a name on D-Bus does not make it ready here"),
                other => self.left(directive, format_args!("there is no type '{other}' here")),
            }
        } else if unit.last("Service", "ExecStart").is_none() {
            oneshot = true;
        }
        if oneshot {
            self.set("", "type", "\"oneshot\"");
        }
        let variables = self.environment();
        let files = self.environment_files();
        let user = unit.last("Service", "User").is_some_and(|user| user.value != "root" && user.value != "0");
        let mut commands = Vec::new();
        for (key, main) in [("ExecStartPre", false), ("ExecStart", true)] {
            for directive in unit.all("Service", key) {
                let parsed = self.exec(directive, user);
                commands.extend(parsed.into_iter().map(|exec| (main, exec)));
            }
        }
        // What follows the last main command was said before: `ExecStartPre` stands in front.
        if commands.iter().any(|(main, exec)| *main && exec.may_fail) && !oneshot {
            for directive in
                unit.all("Service", "ExecStart").into_iter().filter(|it| it.value.starts_with('-'))
            {
                self.left(directive, "that it fails does count here ('-')");
            }
        }
        let words = match commands.as_slice() {
            [] => vec!["true".to_owned()],
            [(_, only)] if files.is_empty() && !(only.may_fail && oneshot) => only.resolved(&variables),
            _ => shell(&files, &commands, oneshot, &variables),
        };
        let command = list(&words);
        self.set("", "command", command);
        for (name, value) in &variables {
            self.set("environment", name, quote(value));
        }
        self.stops(oneshot, user, &variables);
        self.reloads(user, &variables);
        if let Some(timeout) = self.span("TimeoutStartSec").or_else(|| self.span("TimeoutSec")) {
            let timeout = timeout.filter(|timeout| !timeout.is_zero());
            self.set(
                "ready",
                "timeout",
                quote(&timeout.map_or("none".to_owned(), |it| Span(it.min(LONG)).to_string())),
            );
        } else if !oneshot {
            // systemd waits for so long.
            self.set("ready", "timeout", "\"90s\"");
        }
        if let Some(Some(span)) = self.span("WatchdogSec")
            && !span.is_zero()
        {
            self.set(
                "",
                "watchdog",
                quote(&Span(span.max(Duration::from_millis(100)).min(LONG)).to_string()),
            );
        }
        // It is so here: every process of the service is listened to.
        self.value("NotifyAccess");
        self.value("RemainAfterExit");
    }

    fn exec(&mut self, directive: &Directive, user: bool) -> Vec<Exec> {
        let commands = match Exec::parse(&directive.value, &self.units.names) {
            Ok(commands) => commands,
            Err(why) => {
                self.left(directive, why);
                return Vec::new();
            }
        };
        for exec in &commands {
            if exec.privileged && user {
                self.left(directive, "'+' and '!': it runs with the service's rights here");
            }
            if exec.renamed {
                self.left(directive, "'@': it is called by its own name here");
            }
        }
        commands
    }

    /// `Environment=`
    fn environment(&mut self) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        for directive in self.unit.all("Service", "Environment") {
            let pairs = words::split(&directive.value).and_then(|words| {
                words.iter().map(|word| self.units.names.expand(word)).collect::<Result<Vec<_>, _>>()
            });
            let pairs = pairs.unwrap_or_else(|why| {
                self.left(directive, why);
                Vec::new()
            });
            for pair in pairs {
                match pair.split_once('=').filter(|(name, _)| !name.is_empty() && name.len() <= 255) {
                    Some((name, value)) => {
                        variables.insert(name.to_owned(), value.to_owned());
                    }
                    None => self.left(directive, format_args!("expected NAME=VALUE, found '{pair}'")),
                }
            }
        }
        variables
    }

    /// `EnvironmentFile=`: what a shell does to read each.
    fn environment_files(&mut self) -> Vec<String> {
        let mut files = Vec::new();
        for directive in self.unit.all("Service", "EnvironmentFile") {
            let (optional, path) = match directive.value.strip_prefix('-') {
                Some(path) => (true, path),
                None => (false, directive.value.as_str()),
            };
            match self.units.names.expand(path) {
                Ok(path) if path.starts_with('/') && !path.contains('*') => {
                    let path = words::quoted(&path);
                    files.push(if optional {
                        format!("[ ! -r {path} ] || . {path}")
                    } else {
                        format!(". {path}")
                    });
                }
                Ok(_) => self.left(directive, "expected one absolute path"),
                Err(why) => self.left(directive, why),
            }
        }
        files
    }

    fn stops(&mut self, oneshot: bool, user: bool, variables: &BTreeMap<String, String>) {
        let mut signal = self.read("KillSignal", signal).unwrap_or_else(|| "TERM".to_owned());
        let mut said = self.unit.last("Service", "KillSignal").is_some();
        for directive in self.unit.all("Service", "ExecStop") {
            for exec in self.exec(directive, user) {
                match exec.kills() {
                    Some(name) if !oneshot => match self::signal(&name) {
                        Some(name) => (signal, said) = (name, true),
                        None => self.left(directive, format_args!("there is no signal '{name}' here")),
                    },
                    _ if oneshot => {
                        if exec.variables().contains(&"MAINPID") {
                            self.left(directive, "$MAINPID: a oneshot has no process any more");
                        } else {
                            let words = exec.resolved(variables);
                            self.set("stop", "command", list(&words));
                        }
                    }
                    _ => self.left(directive, "a longrun is stopped by signals alone"),
                }
            }
        }
        let timeout = self.span("TimeoutStopSec").or_else(|| self.span("TimeoutSec"));
        if said || timeout.is_some() {
            // What systemd waits if nothing is said.
            // 0 is for ever, too.
            let span = timeout.unwrap_or(Some(Duration::from_secs(90))).filter(|span| !span.is_zero());
            let span = span.unwrap_or(LONG).min(LONG);
            if signal == "KILL" {
                self.set("stop", "signals", "[]");
            } else {
                self.set("stop", "signals", list([format!("{signal} {}", Span(span))]));
            }
        }
        if let Some((directive, mode)) = self.value("KillMode")
            && mode != "control-group"
        {
            self.left(
                directive,
                format_args!("'{mode}': the signal is for the main process, KILL at the end for all"),
            );
        }
    }

    fn reloads(&mut self, user: bool, variables: &BTreeMap<String, String>) {
        let directives = self.unit.all("Service", "ExecReload");
        let commands: Vec<_> = directives
            .iter()
            .flat_map(|it| self.exec(it, user).into_iter().map(|exec| (*it, exec)))
            .collect();
        // Many look first whether the configuration is right.
        let Some(((directive, last), before)) = commands.split_last() else { return };
        for (directive, _) in before {
            self.left(directive, "one command reloads; this one is not executed");
        }
        if let Some(name) = last.kills() {
            match signal(&name) {
                Some(name) => self.set("reload", "signal", quote(&name)),
                None => self.left(directive, format_args!("there is no signal '{name}' here")),
            }
        } else if last.variables().contains(&"MAINPID") {
            self.left(directive, "$MAINPID is not known here");
        } else {
            let words = last.resolved(variables);
            self.set("reload", "command", list(&words));
        }
    }

    /// A duration; `Some(None)` for ever.
    fn span(&mut self, key: &str) -> Option<Option<Duration>> {
        self.read(key, words::span)
    }

    fn restarts(&mut self) {
        let when = self.read("Restart", |value| {
            Some(match value {
                "no" => "never",
                "always" => "always",
                "on-failure" | "on-abnormal" | "on-abort" | "on-watchdog" => "on-failure",
                _ => return None,
            })
        });
        self.set("restart", "when", quote(when.unwrap_or("never")));
        let base = self.span("RestartSec").flatten();
        if let Some(base) = base {
            self.set("restart", "base", quote(&Span(base.min(LONG)).to_string()));
        }
        if let Some(Some(cap)) = self.span("RestartMaxDelaySec") {
            self.set("restart", "cap", quote(&Span(cap.max(base.unwrap_or_default()).min(LONG)).to_string()));
        }
        // They were in [Service] once.
        let unit = self.unit;
        let of = |keys: [&str; 2]| {
            keys.into_iter().find_map(|key| unit.last("Unit", key).or(unit.last("Service", key)))
        };
        let burst = of(["StartLimitBurst", "StartLimitBurst"]);
        let interval = of(["StartLimitIntervalSec", "StartLimitInterval"]);
        if let Some(directive) = interval {
            match words::span(&directive.value) {
                Some(Some(Duration::ZERO)) => self.set("restart", "limit", "\"unlimited\""),
                Some(Some(span)) => self.set("restart", "stable", quote(&Span(span.min(LONG)).to_string())),
                _ => self.left(directive, format_args!("'{}' has no meaning here", directive.value)),
            }
        }
        if let Some(directive) = burst {
            match directive.value.parse::<u16>() {
                Ok(0) => self.set("restart", "limit", "\"unlimited\""),
                Ok(limit) => self.set("restart", "limit", limit),
                Err(_) => self.left(directive, format_args!("'{}' has no meaning here", directive.value)),
            }
        }
    }

    /// What nobody has asked for.
    fn rest(&mut self) {
        let units = self.units;
        let all = [Some(&units.service), units.socket.as_ref(), units.timer.as_ref()];
        for unit in all.into_iter().flatten() {
            // Of a socket and a timer that is the service's.
            unit.last("Unit", "Description");
            for directive in unit.rest() {
                if let Some(why) = reasons::why(&directive.section, &directive.key, &directive.value) {
                    self.left_of(unit, directive, why);
                }
            }
        }
    }
}

/// One shell that does what several commands do; the last one takes its place.
fn shell(
    files: &[String],
    commands: &[(bool, Exec)],
    oneshot: bool,
    variables: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut script = String::new();
    if !files.is_empty() {
        script.push_str(&format!("set -a; {}; set +a; ", files.join("; ")));
    }
    for (at, (_, exec)) in commands.iter().enumerate() {
        // Only a file can say what a variable is that nobody has set; the rest are known.
        let command = if files.is_empty() {
            let words = exec.resolved(variables);
            words.iter().map(|word| words::quoted(word)).collect::<Vec<_>>().join(" ")
        } else {
            exec.shell()
        };
        script.push_str(&match (
            at + 1 == commands.len(),
            exec.may_fail && (oneshot || at + 1 < commands.len()),
        ) {
            (false, true) => format!("{command} || :; "),
            (false, false) => format!("{command} || exit; "),
            (true, true) => format!("{command} || :"),
            (true, false) => format!("exec {command}"),
        });
    }
    vec!["/bin/sh".to_owned(), "-c".to_owned(), script]
}

/// The name of a signal without `SIG`.
fn signal(text: &str) -> Option<String> {
    crate::natsinit::files::is_signal(text).then(|| text.strip_prefix("SIG").unwrap_or(text).to_owned())
}
