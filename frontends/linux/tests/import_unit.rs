//! `lunix import-unit` with units of systemd, and what natsinit says of what comes of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/units")
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn import(units: &[&str], flags: &[&str]) -> Said {
    let folder = self::units();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lunix"));
    command.current_dir(&folder).arg("import-unit").args(flags).args(units);
    let output = command.output().unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// What is written without comments.
fn keys(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lunix-import-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_daemon_with_most_of_what_daemons_have() {
    let folder = Scratch::new("daemon");
    let said = import(&["weather.service", "bus.service"], &["-o", folder.0.to_str().unwrap()]);
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{}", said.err);
    assert_eq!(
        keys(&folder.text("weather.toml")),
        [
            "description = \"Weather for the whole house\"",
            "needs = [\"bus\"]",
            "wants = [\"clock\"]",
            "command = [\"/bin/sleep\", \"--port\", \"8080\", \"--name\", \"the\", \"house\"]",
            "watchdog = \"60s\"",
            "user = \"nobody\"",
            "groups = [\"audio\", \"video\"]",
            "no_new_privileges = true",
            "capabilities = [\"net_bind_service\"]",
            "umask = \"027\"",
            "[environment]",
            "NAME = \"the house\"",
            "PORT = \"8080\"",
            "[ready]",
            "by = \"sd_notify\"",
            "timeout = \"90s\"",
            "[restart]",
            "when = \"on-failure\"",
            "base = \"500ms\"",
            "stable = \"60s\"",
            "limit = 3",
            "[stop]",
            "signals = [\"INT 20s\"]",
            "[reload]",
            "signal = \"HUP\"",
            "[limits]",
            "open_files = 4096",
            "memory = 67108864",
            "pids = \"unlimited\"",
            "cpu = \"50%\"",
            "nice = 5",
            "[sandbox]",
            "private_tmp = true",
            "read_only = true",
            "writable = [\"/var/lib\"]",
        ]
    );
    assert_eq!(
        said.err.lines().collect::<Vec<_>>(),
        [
            "weather.service:7: After: network.target: there are no targets; stages and needs order services",
            "weather.service:8: Before: write this one in the other's after",
            "weather.service:9: ConditionPathExists: there are no conditions here",
            "weather.service:38: ProtectClock: write sandbox.writable or sandbox.landlock",
            "weather.service:39: SystemCallFilter: write sandbox.seccomp, the name of a profile",
        ]
    );
    // The same is said at the head of the file.
    assert!(folder.text("weather.toml").contains("#   weather.service:38: ProtectClock"));
    // What a file must say becomes a shell's business.
    assert_eq!(
        keys(&folder.text("bus.toml"))[1],
        "command = [\"/bin/sh\", \"-c\", \"set -a; [ ! -r /etc/default/bus ] || . /etc/default/bus; set +a; \
         /bin/mkdir -p /run/bus || :; exec /bin/sleep $BUS_TIME\"]"
    );
}

#[test]
fn a_need_that_is_not_there_becomes_a_want() {
    let said = import(&["weather.service"], &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.err.contains("weather.service:5: Requires: 'bus' is not here, so it is only wanted"),
        "{}",
        said.err
    );
    assert!(said.out.contains("\nwants = [\"bus\", \"clock\"]\n"), "{}", said.out);
}

#[test]
fn sockets_timers_and_instances() {
    let said = import(&["web.service"], &[]);
    assert!(
        said.out.contains("[activation]\nsockets = [\"tcp:[::]:80\", \"unix:/run/web\"]\n"),
        "{}",
        said.out
    );
    assert!(!said.out.contains("enabled"), "{}", said.out);
    let said = import(&["clean.service"], &[]);
    assert!(said.out.contains("timer = { first = \"900s\", every = \"3600s\" }"), "{}", said.out);
    assert!(said.out.contains("type = \"oneshot\""));
    let script = "/bin/true one || exit; /bin/false || :; exec /bin/true 'it'\\\\''s done'";
    assert!(said.out.contains(script), "{}", said.out);
    assert_eq!(
        said.err,
        "clean.timer:6: OnCalendar: there is no calendar here: a timer counts from boot (activation.timer)\n"
    );
    let said = import(&["getty@tty1.service"], &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("command = [\"/bin/cat\", \"tty1\"]"), "{}", said.out);
    assert!(said.out.contains("terminal = \"/dev/tty1\""), "{}", said.out);
}

#[test]
fn what_goes_into_the_background_is_not_enabled() {
    let said = import(&["old.service"], &[]);
    assert!(said.out.contains("enabled = false"), "{}", said.out);
    let lines: Vec<&str> = said.err.lines().collect();
    assert!(lines[0].starts_with("old.service:2: Type: it goes into the background"), "{lines:?}");
    assert_eq!(lines[1], "old.service:3: PIDFile: it has to stay in the foreground");
    assert_eq!(lines[2], "old.service:5: ExecStop: a longrun is stopped by signals alone");
}

#[test]
fn nothing_is_written_if_anything_is_wrong() {
    let folder = Scratch::new("wrong");
    let bad = folder.0.join("bad.service");
    fs::write(&bad, "[Service]\nExecStart\n").unwrap();
    let none = folder.0.join("none.service");
    fs::write(&none, "[Unit]\nDescription=x\n").unwrap();
    let out = folder.0.join("out");
    fs::create_dir(&out).unwrap();
    let names = [
        bad.to_str().unwrap(),
        none.to_str().unwrap(),
        "web.service",
        "web.socket",
        "getty@.service",
        "no.service",
    ];
    let said = import(&names, &["-o", out.to_str().unwrap()]);
    assert_eq!(said.code, 2);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    let err = said.err.replace(&format!("{}/", folder.0.display()), "");
    assert_eq!(
        err.lines().collect::<Vec<_>>(),
        [
            "web.socket: expected a .service",
            "getty@.service: a template: name an instance, such as getty@NAME.service",
            "no.service: there is no such file",
            "bad.service:2: expected KEY=VALUE, found no '='",
            "none.service: expected a section [Service], found none",
        ]
    );
    // What is there stays, unless it is said otherwise.
    fs::write(out.join("web.toml"), "mine").unwrap();
    let flags = ["-o", out.to_str().unwrap()];
    assert_eq!(import(&["web.service"], &flags).code, 2);
    assert_eq!(fs::read_to_string(out.join("web.toml")).unwrap(), "mine");
    assert_eq!(import(&["web.service"], &[&flags[..], &["--force"]].concat()).code, 0);
    assert!(fs::read_to_string(out.join("web.toml")).unwrap().contains("/bin/cat"));
}

#[test]
fn every_unit_of_this_machine_becomes_what_natsinit_takes() {
    let name = "every_unit_of_this_machine_becomes_what_natsinit_takes";
    let Ok(entries) = fs::read_dir("/lib/systemd/system") else {
        return eprintln!("SKIPPED {name}: no /lib/systemd/system");
    };
    let mut count = 0;
    for path in entries.map(|entry| entry.unwrap().path()) {
        let Some(file) = path.file_name().and_then(|it| it.to_str()).filter(|it| it.ends_with(".service"))
        else {
            continue;
        };
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if file.ends_with("@.service") || !text.contains("[Service]") {
            continue;
        }
        let output =
            Command::new(env!("CARGO_BIN_EXE_lunix")).arg("import-unit").arg(&path).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        // Its program or user may be missing here; nothing else may be wrong.
        let of_us = |line: &&str| line.split(':').next().is_some_and(|file| file.ends_with(".toml"));
        let missing =
            ["No such file", "no such program", "there is no user", "there is no group", "not executable"];
        let wrong: Vec<&str> =
            err.lines().filter(of_us).filter(|line| !missing.iter().any(|why| line.contains(why))).collect();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", path.display());
        assert!(output.status.code().is_some_and(|code| code < 2), "{}: {err}", path.display());
        count += 1;
    }
    if count == 0 {
        eprintln!("SKIPPED {name}: no units");
    }
    println!("{count} units");
}
