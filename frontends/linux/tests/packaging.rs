//! What is shipped for other inits, checked with their own means, and natsd started by those that are here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").canonicalize().unwrap()
}

/// A program along the PATH.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A folder of its own, which goes away.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lunix-packaging-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("bin")).unwrap();
        // Of the last two, which are another program's, only whether they are there is looked at.
        for daemon in ["natsd", "natsdev", "natsinit", "natsmount", "natstoast", "natsmqtt", "natsws"] {
            symlink(env!("CARGO_BIN_EXE_lunix"), path.join("bin").join(daemon)).unwrap();
        }
        Self(path)
    }

    /// A service's folder with all paths and ports in it ours.
    fn service(&self, from: &Path) -> PathBuf {
        let to = self.0.join("service");
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|it| it.path().is_file()) {
            let file = to.join(entry.file_name());
            fs::copy(entry.path(), &file).unwrap();
            let text = fs::read_to_string(&file).unwrap();
            let socket = self.socket();
            let text = text.replace("/run/natsd.sock", &format!("{} -p=-1", socket.display()));
            fs::write(&file, text).unwrap();
        }
        to
    }

    fn socket(&self) -> PathBuf {
        self.0.join("natsd.sock")
    }

    fn path(&self) -> String {
        format!("{}:{}", self.0.join("bin").display(), std::env::var("PATH").unwrap())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A supervisor, which gets SIGTERM at the end.
struct Supervisor(Child);

impl Drop for Supervisor {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn good(output: &Output) {
    let text = [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{text}");
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn shell_scripts_are_right() {
    let mut count = 0;
    for kind in ["runit", "s6", "s6-rc", "openrc"] {
        for entry in fs::read_dir(packaging().join(kind)).unwrap() {
            let path = entry.unwrap().path();
            let script = if path.is_dir() { path.join("run") } else { path };
            if script.is_file() {
                good(&run(Command::new("sh").arg("-n").arg(&script)));
                count += 1;
            }
        }
    }
    assert_eq!(count, 28);
}

#[test]
fn systemd_takes_the_units() {
    let name = "systemd_takes_the_units";
    let Some(analyze) = find("systemd-analyze") else {
        return eprintln!("SKIPPED {name}: no systemd-analyze");
    };
    // Beside one another, with our programs in the place of those of /usr/bin.
    let scratch = Scratch::new("systemd");
    let mut units = Vec::new();
    for entry in fs::read_dir(packaging().join("systemd")).unwrap() {
        let entry = entry.unwrap();
        let text = fs::read_to_string(entry.path()).unwrap();
        let text = text.replace("/usr/bin/nats", &format!("{}/nats", scratch.0.join("bin").display()));
        // A manual page is there once it is installed.
        let text: String =
            text.lines().filter(|it| !it.starts_with("Documentation=")).map(|it| format!("{it}\n")).collect();
        let unit = scratch.0.join(entry.file_name());
        fs::write(&unit, text).unwrap();
        units.push(unit);
    }
    assert_eq!(units.len(), 7);
    let output = run(Command::new(analyze).args(["verify", "--man=no"]).args(&units));
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("nats")).collect();
    assert!(ours.is_empty(), "{said}");
}

#[test]
fn natsinit_takes_the_services() {
    // The definitions must be right; whatever else is said of them belongs to natsinit's own tests.
    let folder = packaging().join("services");
    let text = |name: &str| fs::read_to_string(folder.join(name).with_extension("toml")).unwrap();
    let names = ["natsd", "natsdev", "natsmount", "natstoast"];
    let texts: Vec<(String, String)> = names.iter().map(|it| (format!("{it}.toml"), text(it))).collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
    assert_eq!(lunix::natsinit::mistakes_of(&files, ""), [""; 0]);
}

#[test]
fn runit_runs_natsd() {
    let name = "runit_runs_natsd";
    let Some(runsv) = find("runsv") else { return eprintln!("SKIPPED {name}: no runsv") };
    let scratch = Scratch::new("runit");
    let service = scratch.service(&packaging().join("runit/natsd"));
    let runsv = Command::new(runsv).arg(&service).env("PATH", scratch.path()).stdout(Stdio::null()).spawn();
    let _runsv = Supervisor(runsv.unwrap());
    until("natsd's socket", || scratch.socket().exists());
    let status = fs::read_to_string(service.join("supervise/stat")).unwrap();
    assert_eq!(status.trim(), "run");
    let pid = || fs::read_to_string(service.join("supervise/pid")).unwrap_or_default();
    let old = pid();
    good(&run(Command::new("kill").args(["-9", old.trim()])));
    until("natsd again", || !pid().is_empty() && pid() != old);
}

#[test]
fn s6_runs_natsd_and_knows_when_it_is_ready() {
    let name = "s6_runs_natsd_and_knows_when_it_is_ready";
    let (Some(supervise), Some(wait)) = (find("s6-supervise"), find("s6-svwait")) else {
        return eprintln!("SKIPPED {name}: no s6");
    };
    let scratch = Scratch::new("s6");
    let service = scratch.service(&packaging().join("s6/natsd"));
    let supervise =
        Command::new(supervise).arg(&service).env("PATH", scratch.path()).stdout(Stdio::null()).spawn();
    let _supervise = Supervisor(supervise.unwrap());
    until("s6-supervise", || service.join("supervise/status").exists());
    // -U: up and ready, as natsd said on its descriptor.
    good(&run(Command::new(wait).args(["-U", "-t", "20000"]).arg(&service)));
    assert!(scratch.socket().exists());
}

#[test]
fn s6_rc_compiles_the_sources() {
    let name = "s6_rc_compiles_the_sources";
    let Some(compile) = find("s6-rc-compile") else { return eprintln!("SKIPPED {name}: no s6-rc-compile") };
    let scratch = Scratch::new("s6-rc");
    good(&run(Command::new(compile).arg(scratch.0.join("compiled")).arg(packaging().join("s6-rc"))));
}
