//! Why a directive has nothing to correspond to.

/// Units of systemd that stand for what is done before any service starts, or after the last has ended.
pub(super) const DONE: [&str; 22] = [
    "basic.target",
    "cryptsetup.target",
    "default.target",
    "final.target",
    "graphical.target",
    "local-fs-pre.target",
    "local-fs.target",
    "multi-user.target",
    "paths.target",
    "remote-fs.target",
    "shutdown.target",
    "slices.target",
    "sockets.target",
    "swap.target",
    "sysinit.target",
    "syslog.socket",
    "syslog.target",
    "systemd-journald.socket",
    "systemd-remount-fs.service",
    "systemd-sysusers.service",
    "systemd-tmpfiles-setup.service",
    "timers.target",
];

/// Keys, and why; a `*` at the end stands for any rest.
const WHY: &[(&str, &str)] = &[
    ("Accept", "one process a connection: there is no such activation here"),
    ("AccuracySec", "timers are exact here"),
    ("Alias", "a service has one name"),
    ("Also", "import that unit, too"),
    ("Assert*", "there are no conditions here"),
    ("BusName", "names on D-Bus are nothing of lunix"),
    ("CPU*", "there is limits.cpu alone"),
    ("Condition*", "there are no conditions here"),
    ("Delegate*", "its group is natsinit's"),
    ("DynamicUser", "write the user that it runs as"),
    ("ExecCondition", "there are no conditions here"),
    ("ExecStartPost", "write a oneshot that needs it"),
    ("ExecStopPost", "nothing is executed once it has ended"),
    ("IO*", "there is limits.io_weight alone"),
    ("InaccessiblePaths", "write sandbox.landlock, which lists what may be used"),
    ("Memory*", "there are limits.memory and limits.memory_high alone"),
    ("OnFailure", "subscribe to service.NAME.failed instead"),
    ("OnSuccess", "subscribe to service.NAME.stopped instead"),
    ("PIDFile", "it has to stay in the foreground"),
    ("PartOf", "write needs, which it stops with"),
    ("Before", "write this one in the other's after"),
    ("Protect*", "write sandbox.writable or sandbox.landlock"),
    ("Private*", "there are private_tmp, private_network and private_pids alone"),
    ("ReadOnlyPaths", "write sandbox.writable: all else is read-only"),
    ("Restrict*", "a seccomp profile can forbid it (sandbox.seccomp)"),
    ("Slice", "each service has a group of its own"),
    ("SystemCall*", "write sandbox.seccomp, the name of a profile"),
    ("MemoryDenyWriteExecute", "a seccomp profile can forbid it (sandbox.seccomp)"),
    ("LockPersonality", "a seccomp profile can forbid it (sandbox.seccomp)"),
    ("Syslog*", "lines are on service.NAME.log"),
    ("TTY*", "its terminal is left as it is"),
    ("Requires*", "there is nothing like it here"),
    ("RestartPreventExitStatus", "any exit code but 0 is a failure"),
    ("SuccessExitStatus", "any exit code but 0 is a failure"),
    ("SendSIG*", "stop.signals says all that is sent"),
];

/// What changes nothing here, or is done anyway.
const SILENT: &[&str] = &[
    "DefaultDependencies",
    "DefaultInstance",
    "Documentation",
    "GuessMainPID",
    "IgnoreSIGPIPE",
    "RefuseManualStart",
    "RefuseManualStop",
    "SourcePath",
    "CollectMode",
    "UnitName",
];

/// Why; `None` where nothing is lost.
pub(super) fn why(section: &str, key: &str, value: &str) -> Option<&'static str> {
    if key.starts_with("X-") || section.starts_with("X-") || value.is_empty() || SILENT.contains(&key) {
        return None;
    }
    match (section, key) {
        ("Install", "WantedBy" | "RequiredBy") | ("Socket", "FileDescriptorName" | "Service") => return None,
        ("Timer", "Unit") => return None,
        ("Timer", "Persistent") => return Some("a timer counts from boot"),
        ("Timer", "RandomizedDelaySec") => return Some("timers are exact here"),
        ("Socket", _) => return Some("a socket has its address alone"),
        _ => {}
    }
    let exact = WHY.iter().find(|(known, _)| *known == key);
    let found = exact.or_else(|| {
        WHY.iter().find(|(known, _)| known.strip_suffix('*').is_some_and(|known| key.starts_with(known)))
    });
    Some(found.map_or("there is nothing like it here", |(_, why)| why))
}
