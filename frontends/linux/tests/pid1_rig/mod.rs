//! natsinit as the first process of namespaces of its own, with a folder of services.

#![allow(unreachable_pub, reason = "a module of tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::free_port::free_port;
use crate::supervised::{PATIENCE, children, kill, switches, until};

const NAMESPACES: &[&str] = &["--user", "--map-root-user", "--pid", "--mount", "--fork", "--kill-child"];

/// A machine of its own: the host's files, its own first process.
pub struct Machine {
    child: Child,
    folder: PathBuf,
}

impl Machine {
    /// The folder of a test, with a folder of services; `None` where nobody may have namespaces.
    pub fn folder(name: &str) -> Option<PathBuf> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let works = Command::new("unshare")
            .args(NAMESPACES)
            .args(["sh", "-c", "mount -t tmpfs x /run"])
            .stderr(Stdio::null())
            .status();
        if !works.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED {name}: no namespaces of its own (unshare {})", NAMESPACES.join(" "));
            return None;
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("lunix-pid1-{name}-{}-{count}", std::process::id()));
        fs::create_dir_all(folder.join("services")).unwrap();
        Some(folder)
    }

    /// Starts natsinit as the first process, with `words` as the kernel, or a container's maker, would give them.
    pub fn start(folder: &Path, words: &[&str]) -> Self {
        let log = fs::File::create(folder.join("log")).unwrap();
        // It is called as the kernel calls it.
        let init = folder.join("init");
        let _ = std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lunix"), &init);
        // Its groups are below one of its own, so that machines do not meet there. Of the pressure that other tests make
        // it is told nothing.
        let script = "for root in /sys/fs/cgroup /sys/fs/cgroup/unified; do \
                [ ! -e $root/cgroup.procs ] || { mkdir $root/$0 && mount --bind $root/$0 $root; }; \
            done; \
            mount -t tmpfs x /run && mount -t proc proc /proc && \
            { [ ! -e /proc/pressure ] || mount -t tmpfs x /proc/pressure; } && exec \"$@\"";
        let child = Command::new("unshare")
            .args(NAMESPACES)
            .args(["sh", "-c", script])
            .arg(folder.file_name().unwrap())
            .arg(&init)
            .args(["--services", folder.join("services").to_str().unwrap()])
            .args(words)
            .current_dir(folder)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, folder: folder.to_owned() }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Waits for text in what it said.
    pub fn says(&self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < end, "no '{text}' in:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The first process, as we see it.
    pub fn pid(&self) -> u32 {
        until("the first process", || children(self.child.id()).first().copied())
    }

    /// Processes below the first one whose command line has this word.
    pub fn processes(&self, word: &str) -> Vec<u32> {
        let mut found = Vec::new();
        let mut todo = vec![self.pid()];
        while let Some(pid) = todo.pop() {
            for child in children(pid) {
                let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
                if String::from_utf8_lossy(&line).contains(word) && !line.is_empty() {
                    found.push(child);
                }
                todo.push(child);
            }
        }
        found.sort_unstable();
        found
    }

    pub fn one(&self, word: &str) -> u32 {
        until(word, || self.processes(word).first().copied())
    }

    /// Waits until it has done what there was to be done.
    pub fn sleeps(&self) {
        let state = |pid| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        until("rest", || {
            let before = switches(self.pid());
            std::thread::sleep(Duration::from_millis(100));
            (state(self.pid()).contains(") S ") && switches(self.pid()) == before).then_some(())
        });
    }

    pub fn signal(&self, signal: i32) {
        kill(self.pid(), signal);
    }

    /// Waits for the end of everything.
    pub fn end(&mut self) -> std::process::ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "no end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn service(folder: &Path, name: &str, text: &str) {
        fs::write(folder.join(format!("services/{name}.toml")), text).unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        if let Some(pid) = children(self.child.id()).first() {
            kill(*pid, libc::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            let group = Path::new(root).join(self.folder.file_name().unwrap());
            let end = Instant::now() + Duration::from_secs(1);
            while group.exists() && Instant::now() < end {
                remove_groups(&group);
            }
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes a group and those below it, as far as nothing lives in them.
fn remove_groups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

pub fn sleeper(number: u32) -> String {
    format!("command = [\"sleep\", \"{number}\"]\n")
}

/// Takes the events of services from a server that stands outside.
pub fn server() -> Option<(Child, String)> {
    let port = free_port();
    let child = Command::new(env!("CARGO_BIN_EXE_lunix"))
        .args(["natsd", "-a", "127.0.0.1", "-p", &port.to_string()])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .ok()?;
    Some((child, format!("127.0.0.1:{port}")))
}

pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
