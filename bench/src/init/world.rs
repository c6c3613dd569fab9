//! A small machine in namespaces of its own, whose process 1 is the supervisor; no root needed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::doze::{self, Doze, Seen};
use super::rival::Rival;
use crate::tree;

/// What presses upon the machine that measures is nobody's business in there: natsinit would tell of it.
/// `$0` is where the tree is mounted, then what is laid over it, the folder of services, and the supervisor's words.
const ENTER: &str = r#"
set -e
files=$1 doze=$2
shift 2
mount -t tmpfs -o mode=755 none "$0"
cd "$0"
mkdir usr etc dev proc run tmp sys var doze root srv
for link in bin sbin lib lib64; do ln -s usr/$link $link; done
mount --rbind /usr usr
mount --bind "$doze" doze
mount -t proc proc proc
[ ! -e proc/pressure ] || mount -t tmpfs none proc/pressure
for device in null zero urandom; do : > dev/$device; mount --bind /dev/$device dev/$device; done
ip link set lo up
cp -a "$files/." .
: < doze/begin
exec chroot . "$@"
"#;

/// The longest that all services may take to start.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running one; dropping it ends everything in it.
pub struct World {
    outer: Child,
    /// Process 1 in it.
    pub init: u32,
    doze: Doze,
    folder: PathBuf,
    /// From the execution of the supervisor to that of the last service.
    pub start: Duration,
}

/// What the supervisor is.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    pub processes: usize,
    /// In KiB: mapped by no other process than these.
    pub private: u64,
    /// In KiB: of no file.
    pub written: u64,
    /// In KiB.
    pub pss: u64,
    /// Of natsd, in KiB, which peers do without.
    pub natsd: u64,
}

impl World {
    /// Starts the supervisor with so many services, and waits until it has executed each.
    pub fn start(rival: &Rival, services: usize) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("lunix-bench-init-{}-{number}", std::process::id()));
        let (tree, files) = (folder.join("tree"), folder.join("files"));
        fs::create_dir_all(&tree)?;
        fs::create_dir_all(&files)?;
        let words = rival.prepare(&files, services)?;
        let mut doze = Doze::new(folder.join("doze"), services)?;
        let log = File::create(folder.join("log"))?;
        let outer = Command::new("unshare")
            .args(["--user", "--map-root-user", "--pid", "--mount", "--net", "--fork", "--kill-child"])
            .args(["sh", "-c", ENTER])
            .args([&tree, &files, doze.folder()])
            .args(&words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let (mut begin, mut last, mut up) = (None, None, vec![false; services]);
        let all = doze.watch(PATIENCE, |seen, now| {
            match seen {
                Seen::Begin => begin = Some(now),
                Seen::Service(service) => {
                    last = Some(now);
                    if let Some(up) = up.get_mut(service) {
                        *up = true;
                    }
                }
            }
            up.iter().all(|up| *up)
        });
        // From here on, what is there ends with it.
        let mut world = Self { outer, init: 0, doze, folder, start: Duration::ZERO };
        if !all? {
            let count = up.iter().filter(|up| **up).count();
            return Err(world.trouble(&format!("started {count} of {services} services")));
        }
        let (Some(begin), Some(last)) = (begin, last) else { return Err(world.trouble("did not begin")) };
        world.start = last - begin;
        world.init =
            *tree::processes(world.outer.id()).get(1).ok_or_else(|| world.trouble("has no process"))?;
        Ok(world)
    }

    /// What went wrong, with the last that the supervisor said.
    fn trouble(&self, what: &str) -> io::Error {
        let log = fs::read(self.folder.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        io::Error::other(format!("{what}; its last words: {last:?}"))
    }

    /// The supervisor's processes: all but the services.
    pub fn supervisor(&self) -> Vec<u32> {
        let mut processes = tree::processes(self.init);
        processes.retain(|process| doze::service(*process).is_none() && !is_natsd(*process));
        processes
    }

    /// Of each service, by its number.
    pub fn services(&self) -> Vec<Option<u32>> {
        let mut services = Vec::new();
        for process in tree::processes(self.init) {
            if let Some(service) = doze::service(process) {
                services.resize(services.len().max(service + 1), None);
                services[service] = Some(process);
            }
        }
        services
    }

    pub fn rest(&self) -> Rest {
        let processes = self.supervisor();
        let natsd: Vec<u32> =
            tree::processes(self.init).into_iter().filter(|process| is_natsd(*process)).collect();
        let private = ["Private_Clean", "Private_Dirty"];
        Rest {
            processes: processes.len(),
            private: tree::memory_of(&processes, &private),
            written: tree::memory_of(&processes, &["Anonymous"]),
            pss: tree::memory_of(&processes, &["Pss"]),
            natsd: tree::memory_of(&natsd, &private),
        }
    }

    /// How often its processes were woken or made to wait in `time`.
    pub fn wakes(&self, time: Duration) -> u64 {
        let processes = self.supervisor();
        let before = tree::switches_of(&processes);
        std::thread::sleep(time);
        tree::switches_of(&processes).saturating_sub(before)
    }

    /// Waits until nothing of it has run for a second, or for `most`.
    pub fn settle(&self, most: Duration) {
        let end = Instant::now() + most;
        while self.wakes(Duration::from_millis(1100)) > 0 && Instant::now() < end {}
    }

    /// Kills a service's process; how long until it is executed again, if it is within `patience`.
    pub fn kill(&mut self, service: usize, process: u32, patience: Duration) -> io::Result<Option<Duration>> {
        // What was executed before is over.
        self.doze.watch(Duration::ZERO, |_, _| false)?;
        let mut back = None;
        let pid = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("no such process"))?;
        let begin = Instant::now();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
        self.doze.watch(patience, |seen, now| {
            if seen == Seen::Service(service) {
                back = Some(now - begin);
            }
            back.is_some()
        })?;
        Ok(back)
    }

    /// The process of `service`, once it is no longer `old`.
    pub fn successor(&self, service: usize, old: u32) -> Option<u32> {
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            if let Some(Some(new)) = self.services().get(service)
                && *new != old
            {
                return Some(*new);
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        None
    }
}

fn is_natsd(process: u32) -> bool {
    fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| line.starts_with(b"natsd\0"))
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.outer.kill();
        let _ = self.outer.wait();
        // The kernel ends all of a namespace with its process 1, and that takes a moment.
        for _ in 0..1000 {
            if self.init == 0 || !Path::new(&format!("/proc/{}", self.init)).exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
