//! What a reload would change.

use std::collections::BTreeMap;
use std::fmt;

use lunix_core::supervise::Policy;
use lunix_proto::json::Writer;

use super::super::definition::{Definition, Output};
use crate::config::Mistake;
use crate::encoded::encoded;

/// Mistakes that are told at a time.
const MISTAKES: usize = 200;

/// What is different between two sets of services; all sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) changed: Vec<Changed>,
}

/// A service whose definition is another one now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) name: String,
    /// The keys that differ, as in the file: `command`, `restart`.
    pub(crate) keys: Vec<&'static str>,
    /// What differs cannot be applied to a process that runs.
    pub(crate) restart: bool,
}

impl Changes {
    /// Nothing is different.
    pub(crate) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// `{"added":["a"],"removed":["b"],"changed":[{"name":"c","keys":["command"],"restart":true}],"mistakes":["a.toml:1: …"]}`;
    /// the last one only where there are some, and the first [`MISTAKES`] of them.
    pub(crate) fn json(&self, mistakes: &[Mistake]) -> Vec<u8> {
        let mistakes: Vec<String> = mistakes.iter().take(MISTAKES).map(ToString::to_string).collect();
        let room = self.added.iter().chain(&self.removed).map(|name| name.len() + 3).sum::<usize>();
        encoded(64 + room + 128 * self.changed.len(), |out| {
            let mut writer = Writer::new(out);
            writer.begin_object();
            for (key, names) in [("added", &self.added), ("removed", &self.removed)] {
                writer.key(key).begin_array();
                for name in names {
                    writer.string(name);
                }
                writer.end_array();
            }
            writer.key("changed").begin_array();
            for Changed { name, keys, restart } in &self.changed {
                writer.begin_object().key("name").string(name).key("keys").begin_array();
                for key in keys {
                    writer.string(key);
                }
                writer.end_array().key("restart").bool(*restart).end_object();
            }
            writer.end_array();
            if !mistakes.is_empty() {
                writer.key("mistakes").begin_array();
                for mistake in &mistakes {
                    writer.string(mistake);
                }
                writer.end_array();
            }
            writer.end_object().finish()
        })
    }
}

/// The plan for people, a line a service: `+ a`, `- b`, `~ c: command: restart`, `~ d: limits`.
impl fmt::Display for Changes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return out.write_str("no service changes");
        }
        let mut end = "";
        for name in &self.added {
            write!(out, "{end}+ {name}: new")?;
            end = "\n";
        }
        for name in &self.removed {
            write!(out, "{end}- {name}: stops, and is gone")?;
            end = "\n";
        }
        for Changed { name, keys, restart } in &self.changed {
            let what = if *restart { "restarts" } else { "goes on as it runs" };
            write!(out, "{end}~ {name}: {what}; other {}", keys.join(", "))?;
            end = "\n";
        }
        Ok(())
    }
}

/// What is different in `new`.
pub(crate) fn diff<'d>(old: impl IntoIterator<Item = &'d Definition>, new: &'d [Definition]) -> Changes {
    let (was, is): (ByName<'d>, ByName<'d>) = (by_name(&mut old.into_iter()), by_name(&mut new.iter()));
    let missing = |of: &ByName<'d>, from: &ByName<'d>| -> Vec<String> {
        of.keys().filter(|name| !from.contains_key(*name)).map(|name| (*name).to_owned()).collect()
    };
    Changes {
        added: missing(&is, &was),
        removed: missing(&was, &is),
        changed: is.iter().filter_map(|(name, new)| changed(was.get(name)?, new)).collect(),
    }
}

type ByName<'d> = BTreeMap<&'d str, &'d Definition>;

fn by_name<'d>(all: &mut dyn Iterator<Item = &'d Definition>) -> ByName<'d> {
    all.map(|definition| (definition.name.as_str(), definition)).collect()
}

/// Each key of the file, and whether what it says can be applied while the service runs: the machine asks for it when
/// something happens next, or the kernel takes it for the group as a whole.
fn changed(old: &Definition, new: &Definition) -> Option<Changed> {
    const LIVE: bool = false;
    const RESTART: bool = true;
    let (was, is) = (&old.policy, &new.policy);
    let output = |output: &Output| (output.inherit, output.ring);
    let table: &[(&'static str, bool, bool)] = &[
        ("description", LIVE, old.description != new.description),
        ("enabled", LIVE, old.enabled != new.enabled),
        ("command", RESTART, old.program != new.program),
        ("needs", LIVE, old.relations.needs != new.relations.needs),
        ("wants", LIVE, old.relations.wants != new.relations.wants),
        ("after", LIVE, old.relations.after != new.relations.after),
        ("conflicts", LIVE, old.relations.conflicts != new.relations.conflicts),
        ("type", RESTART, was.kind != is.kind),
        ("stage", LIVE, was.stage != is.stage),
        ("watchdog", RESTART, was.watchdog != is.watchdog),
        ("ready", RESTART, old.readiness != new.readiness || was.readiness != is.readiness),
        ("ready.timeout", LIVE, was.start_timeout != is.start_timeout),
        ("restart", LIVE, (was.restart, was.backoff) != (is.restart, is.backoff)),
        ("stop", LIVE, stop(was) != stop(is) || old.undo != new.undo),
        ("reload", LIVE, old.reload != new.reload || was.reload != is.reload),
        ("activation", RESTART, old.activation != new.activation),
        ("user", RESTART, old.identity.user != new.identity.user),
        ("group", RESTART, old.identity.group != new.identity.group),
        ("groups", RESTART, old.identity.groups != new.identity.groups),
        ("capabilities", RESTART, old.identity.capabilities != new.identity.capabilities),
        ("no_new_privileges", RESTART, old.identity.no_new_privileges != new.identity.no_new_privileges),
        ("environment", RESTART, old.surroundings.environment != new.surroundings.environment),
        ("directory", RESTART, old.surroundings.directory != new.surroundings.directory),
        ("umask", RESTART, old.surroundings.umask != new.surroundings.umask),
        ("terminal", RESTART, old.surroundings.terminal != new.surroundings.terminal),
        ("limits", LIVE, group(old) != group(new)),
        ("limits", RESTART, process(old) != process(new)),
        ("sandbox", RESTART, old.sandbox != new.sandbox),
        ("log", RESTART, output(&old.output) != output(&new.output)),
        ("log", LIVE, output(&old.output) == output(&new.output) && old.output != new.output),
    ];
    let differs = |(_, _, differs): &&(&'static str, bool, bool)| *differs;
    let mut keys: Vec<&'static str> = table.iter().filter(differs).map(|(key, _, _)| *key).collect();
    keys.dedup();
    let restart = table.iter().filter(differs).any(|(_, restart, _)| *restart);
    debug_assert_eq!(keys.is_empty(), old == new, "a part of the definition has no key here");
    (old != new).then(|| Changed { name: new.name.clone(), keys, restart })
}

/// How it is stopped.
fn stop(policy: &Policy) -> impl PartialEq + use<> {
    (policy.stop, policy.undo, policy.kill_timeout)
}

/// What the kernel takes for the group as a whole, at any time.
fn group(definition: &Definition) -> impl PartialEq + use<> {
    let limits = &definition.limits;
    (limits.memory, limits.memory_high, limits.cpu_percent, limits.pids, limits.io_weight)
}

/// What a process gets before it is executed.
fn process(definition: &Definition) -> impl PartialEq + '_ {
    let limits = &definition.limits;
    (&limits.resources, limits.nice, limits.oom_score)
}
