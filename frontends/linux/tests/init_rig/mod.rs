//! natsinit as process 1 of a small machine: namespaces of its own, a root in memory, its services' files in a folder that
//! the test writes to, natsd as one of its services. No root needed.

#![allow(dead_code, unreachable_pub, reason = "every test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod bus;
#[path = "../supervised/processes.rs"]
mod processes;

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use bus::Bus;
pub use processes::*;

const NAMESPACES: [&str; 6] = ["--user", "--map-root-user", "--pid", "--mount", "--net", "--uts"];

/// `$0` is where the root is mounted, then the test's folder, the program, what else is to be done, and words for natsinit.
const ENTER: &str = r#"
set -e
root=$0 shared=$1 program=$2 before=$3
shift 3
mount -t tmpfs -o mode=755 none "$root"
cd "$root"
mkdir usr etc dev proc run tmp sys var root srv shared
for link in bin sbin lib lib64; do
    if [ -L /$link ]; then ln -s usr/$link $link; elif [ -d /$link ]; then mkdir $link; mount --rbind /$link $link; fi
done
mount --rbind /usr usr
mount --bind "$shared" shared
mount -t proc proc proc
mkdir etc/lunix
ln -s /shared/services etc/lunix/services
ln -s /shared/init.toml etc/lunix/init.toml
printf 'root:x:0:0:root:/root:/bin/sh\n' > etc/passwd
printf 'root:x:0:\n' > etc/group
for device in null zero full random urandom; do : > dev/$device; mount --bind /dev/$device dev/$device; done
: > srv/lunix
mount --bind "$program" srv/lunix
ip link set lo up
eval "$before"
exec chroot . /srv/lunix natsinit "$@"
"#;

/// natsd as every machine here has it.
pub const NATSD: &str = r#"
command = ["natsd", "-a", "127.0.0.1", "--socket", "/shared/natsd.sock"]
ready = { by = "sd_notify" }
stage = 1
"#;

/// A machine that is not switched on yet.
pub struct Setup {
    name: String,
    folder: PathBuf,
    before: String,
    words: Vec<String>,
}

/// A running one. Dropping it ends everything in it.
pub struct Machine {
    outer: Child,
    /// Process 1, as seen from here.
    pub init: u32,
    /// `/shared` in it.
    pub folder: PathBuf,
    lines: Receiver<String>,
    said: Arc<Mutex<Vec<String>>>,
}

/// Whether the test `name` cannot run here, which is said.
pub fn skipped(name: &str) -> bool {
    let mut command = Command::new("unshare");
    command.args(NAMESPACES).args(["--ipc", "--fork", "mount", "-t", "proc", "proc", "/proc"]);
    let works = command.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !works {
        eprintln!("SKIPPED {name}: no namespaces of its own (unshare {})", NAMESPACES.join(" "));
    }
    !works
}

impl Setup {
    /// With natsd and nothing else.
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("lunix-init-{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(folder.join("root")).unwrap();
        fs::create_dir_all(folder.join("shared/services")).unwrap();
        let setup = Self { name: name.to_owned(), folder, before: String::new(), words: Vec::new() };
        setup.init("").service("natsd", NATSD)
    }

    /// The file of a service.
    pub fn service(self, name: &str, text: &str) -> Self {
        fs::write(self.folder.join("shared/services").join(format!("{name}.toml")), text).unwrap();
        self
    }

    /// PID 1's own settings.
    pub fn init(self, text: &str) -> Self {
        fs::write(self.folder.join("shared/init.toml"), text).unwrap();
        self
    }

    /// A script, `/shared/NAME`.
    pub fn script(self, name: &str, text: &str) -> Self {
        write_script(&self.folder.join("shared").join(name), text);
        self
    }

    /// Lines of shell to be run in the new root, as its root, before natsinit.
    pub fn before(mut self, text: &str) -> Self {
        self.before += text;
        self.before.push('\n');
        self
    }

    /// A word of natsinit's own command line.
    pub fn word(mut self, word: &str) -> Self {
        self.words.push(word.to_owned());
        self
    }

    /// Switches it on.
    pub fn boot(self) -> Machine {
        let shared = self.folder.join("shared");
        let mut outer = Command::new("unshare")
            .args(NAMESPACES)
            .args(["--ipc", "--fork", "--kill-child", "sh", "-c", ENTER])
            .args([&self.folder.join("root"), &shared, Path::new(env!("CARGO_BIN_EXE_lunix"))])
            .arg(&self.before)
            .args(&self.words)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let said = Arc::new(Mutex::new(Vec::new()));
        let out: Box<dyn Read + Send> = Box::new(outer.stdout.take().unwrap());
        let err: Box<dyn Read + Send> = Box::new(outer.stderr.take().unwrap());
        for stream in [out, err] {
            let (sender, said, name) = (sender.clone(), Arc::clone(&said), self.name.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    println!("{name}: {line}");
                    let mut said = said.lock().unwrap();
                    // What floods is not kept twice.
                    if said.len() < 10_000 {
                        said.push(line.clone());
                        let _ = sender.send(line);
                    }
                }
            });
        }
        let id = outer.id();
        let init = until("process 1", || children(id).first().copied());
        let machine = Machine { outer, init, folder: shared, lines, said };
        until("natsinit", || {
            let comm = fs::read_to_string(format!("/proc/{init}/cmdline")).unwrap_or_default();
            assert!(Path::new(&format!("/proc/{init}")).exists(), "it has ended: {}", machine.said());
            comm.contains("natsinit").then_some(())
        });
        machine
    }
}

impl Machine {
    /// A client of its natsd, once natsinit is there, too.
    pub fn bus(&self) -> Bus {
        let mut bus = Bus::connect(&self.folder.join("natsd.sock"), || {
            assert!(Path::new(&format!("/proc/{}", self.init)).exists(), "it has ended: {}", self.said());
        });
        until("natsinit on the bus", || {
            bus.try_ask("service.list", "", PATIENCE).filter(|answer| answer.starts_with('['))
        });
        bus
    }

    /// Writes the file of a service, which counts after a reload.
    pub fn service(&self, name: &str, text: &str) {
        let file = self.folder.join("services").join(format!("{name}.toml"));
        // At once, as people's editors do.
        fs::write(self.folder.join("new"), text).unwrap();
        fs::rename(self.folder.join("new"), file).unwrap();
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.folder.join("services").join(format!("{name}.toml"))).unwrap();
    }

    pub fn script(&self, name: &str, text: &str) {
        write_script(&self.folder.join(name), text);
    }

    /// What a file in `/shared` holds; nothing if it is not there.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    /// Everything that it wrote to its console so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    /// Waits until all these are on its console, which is read a moment after it was written to; what is there then.
    pub fn says(&self, texts: &[&str]) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let said = self.said();
            let Some(missing) = texts.iter().find(|text| !said.contains(**text)) else { return said };
            assert!(Instant::now() < end, "no '{missing}' in: {said}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for a line on its console that holds `text`.
    pub fn line(&self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("no line with '{text}' in: {}", self.said()));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// All processes but the first, zombies apart, whose command line holds `word`; as seen from here.
    pub fn processes(&self, word: &str) -> Vec<u32> {
        let mut found = self.everybody();
        found.retain(|pid| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let command: Vec<u8> =
                command.into_iter().map(|byte| if byte == 0 { b' ' } else { byte }).collect();
            !command.is_empty() && String::from_utf8_lossy(&command).contains(word)
        });
        found
    }

    /// All that descend from process 1. Everybody is asked for the parent: in its list of children the kernel may leave
    /// out one while another one ends (proc_pid_task_children(5)).
    fn everybody(&self) -> Vec<u32> {
        let pids = fs::read_dir("/proc").unwrap().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let mut parents: Vec<(u32, u32)> = pids.filter_map(|pid| Some((parent(pid)?, pid))).collect();
        parents.sort_unstable();
        let of = |pid: u32| {
            let first = parents.partition_point(|(parent, _)| *parent < pid);
            parents[first..].iter().take_while(move |(parent, _)| *parent == pid).map(|(_, child)| *child)
        };
        let mut found: Vec<u32> = of(self.init).collect();
        let mut next = 0;
        while let Some(&pid) = found.get(next) {
            next += 1;
            found.extend(of(pid));
        }
        found
    }

    /// What is called `pid` in there is called this here.
    pub fn outside(&self, pid: u64) -> Option<u32> {
        self.everybody().into_iter().find(|found| inside(*found) == Some(pid))
    }

    /// Those of [`Machine::processes`] that are children of process 1.
    pub fn own(&self, word: &str) -> Vec<u32> {
        let own = children(self.init);
        self.processes(word).into_iter().filter(|pid| own.contains(pid)).collect()
    }

    /// The file behind a descriptor of process 1, by what that is to.
    pub fn file(&self, target: &str) -> PathBuf {
        let found = fs::read_dir(format!("/proc/{}/fd", self.init)).unwrap();
        let mut found = found.map(|entry| entry.unwrap().path());
        found.find(|path| fs::read_link(path).is_ok_and(|to| to == Path::new(target))).unwrap()
    }

    /// Ended processes that wait for process 1.
    pub fn zombies(&self) -> Vec<String> {
        zombies(self.init)
    }

    /// The descriptors of process 1, as what they are.
    pub fn descriptors(&self) -> Vec<String> {
        let mut found: Vec<String> = fs::read_dir(format!("/proc/{}/fd", self.init))
            .unwrap()
            .filter_map(|entry| Some(fs::read_link(entry.ok()?.path()).ok()?.display().to_string()))
            // Sockets and pipes are numbered.
            .map(|name| name.split(':').next().unwrap_or_default().to_owned())
            .collect();
        found.sort();
        found
    }

    /// Memory of process 1 that nobody shares, in KiB.
    pub fn memory(&self) -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.init)).unwrap_or_default();
        let of = |line: &str| {
            let size = line.strip_prefix("Private_Dirty:")?.trim().strip_suffix(" kB")?;
            size.parse::<u64>().ok()
        };
        rollup.lines().filter_map(of).sum()
    }

    /// How often process 1 went to sleep or was interrupted.
    pub fn switches(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.init)).unwrap();
        let count = |line: &str| line.split_once("ctxt_switches:")?.1.trim().parse::<u64>().ok();
        status.lines().filter_map(count).sum()
    }

    /// Sends a signal to process 1.
    pub fn signal(&self, signal: i32) {
        kill(self.init, signal);
    }

    /// How it ended, if it has: as `unshare` says it.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.outer.try_wait().unwrap()
    }

    pub fn is_alive(&mut self) -> bool {
        self.outer.try_wait().unwrap().is_none()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Nothing outlives process 1 of a namespace.
        let _ = self.outer.kill();
        let _ = self.outer.wait();
        let end = Instant::now() + Duration::from_secs(5);
        while Path::new(&format!("/proc/{}", self.init)).exists() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = fs::remove_dir_all(self.folder.parent().unwrap_or(&self.folder));
    }
}

/// The parent (proc_pid_stat(5), the second after the name).
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// Written by a process of its own: what another thread starts meanwhile has our open files until it is executed, and
/// what somebody has open for writing cannot be executed (ETXTBSY).
fn write_script(path: &Path, text: &str) {
    let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 755 \"$0\"";
    let status = Command::new("sh").args(["-c", write]).arg(path).arg(text).status().unwrap();
    assert!(status.success(), "{status}");
}
