//! Groups of processes (cgroup v2): what belongs to a service, how much it may use, and how much it uses.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use lunix_core::supervise::encode::Usage;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::fs::{Mode, OFlags, open, openat};
use rustix::process::{Pid, Signal, kill_process};

use super::definition::Limits;
use super::usage;
use crate::sys::launch::aside;

/// The part of the hierarchy that is ours: a group a service, and one for ourselves.
#[derive(Debug)]
pub(crate) struct Cgroups {
    root: PathBuf,
    /// Where we were before, to go back to; nowhere if all of the hierarchy is ours.
    home: Option<PathBuf>,
    events: OwnedFd,
    /// The group of each watched file.
    watched: RefCell<BTreeMap<i32, String>>,
    lacks: Vec<String>,
}

/// A group of one service. It stays when this value is dropped, so that a re-execution finds it again.
#[derive(Debug)]
pub(crate) struct Group {
    name: String,
    path: PathBuf,
    folder: OwnedFd,
    lacks: Vec<String>,
    killed: Cell<bool>,
}

/// What has changed in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The name that the group was made with.
    pub(crate) name: String,
    /// Whether there are processes in it or below.
    pub(crate) populated: bool,
    /// How many processes of it the kernel has killed for lack of memory since the group was made.
    pub(crate) oom_kills: u64,
    /// How often the kernel has refused it a process since then, as it has as many as it may.
    pub(crate) refused: u64,
}

/// The group for ourselves: a group that gives controllers to others may hold no process. A service's name has no dot.
const OURSELVES: &str = "init.scope";
/// What is limited and counted.
const CONTROLLERS: [&str; 4] = ["cpu", "memory", "pids", "io"];

impl Cgroups {
    /// As process 1: `root` is where the hierarchy is mounted and all of it is ours.
    ///
    /// # Errors
    /// It is no hierarchy of version 2, or cannot be written.
    pub(crate) fn at(root: &Path) -> io::Result<Self> {
        Self::take(root.to_owned(), None)
    }

    /// As a session: finds the hierarchy and our own group, and makes one for this session below it.
    ///
    /// # Errors
    /// There is no hierarchy of version 2, or our group is not ours to write: then services are process groups, and
    /// what they use is read from `/proc`.
    pub(crate) fn own() -> io::Result<Self> {
        let read = |path| fs::read_to_string(path);
        let found = own_group(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?);
        let own =
            found.ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "no cgroup v2 is mounted"))?;
        let session = format!("natsinit.{}", std::process::id());
        // Before a re-execution we were there already.
        let (home, root) = match own.ends_with(Path::new(&session).join(OURSELVES)) {
            true => {
                let root = own.parent().unwrap_or(&own).to_owned();
                (root.parent().unwrap_or(&root).to_owned(), root)
            }
            false => (own.clone(), own.join(session)),
        };
        make(&root)?;
        sweep(&home);
        Self::take(root, Some(home))
    }

    fn take(root: PathBuf, home: Option<PathBuf>) -> io::Result<Self> {
        let available = fs::read_to_string(root.join("cgroup.controllers"))?;
        let ourselves = root.join(OURSELVES);
        let entered = make(&ourselves).and_then(|()| fs::write(ourselves.join("cgroup.procs"), "0"));
        if let Err(error) = entered {
            let _ = fs::remove_dir(&ourselves);
            if home.is_some() {
                let _ = fs::remove_dir(&root);
            }
            return Err(error);
        }
        let mut lacks = Vec::new();
        for controller in CONTROLLERS {
            let give =
                |group: &Path| fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
            // Other processes of our group would be in the way; they are not ours to move.
            let above = home.as_deref().map_or(Ok(()), give);
            match above.and_then(|()| give(&root)) {
                Ok(()) => {}
                Err(_) if !available.split_whitespace().any(|word| word == controller) && home.is_none() => {
                    lacks.push(format!("cgroup: this kernel has no {controller} controller"));
                }
                Err(error) => lacks.push(format!("cgroup: no {controller} controller here: {error}")),
            }
        }
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { root, home, events, watched: RefCell::default(), lacks })
    }

    /// What this hierarchy cannot do, a line each.
    pub(crate) fn lacks(&self) -> &[String] {
        &self.lacks
    }

    /// Where the groups are.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the group of a service, or takes the one that is there, and sets its limits; also when they change.
    ///
    /// # Errors
    /// The group cannot be made. A limit that cannot be set is in [`Group::lacks`].
    pub(crate) fn make(&self, name: &str, limits: &Limits) -> io::Result<Group> {
        if name.is_empty() || name.contains(['.', '/']) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let path = self.root.join(name);
        make(&path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = aside(open(&path, flags, Mode::empty())?);
        let always = WatchFlags::MODIFY;
        // Who multiplies without end would be told of without end.
        let once = always | WatchFlags::ONESHOT;
        for (file, flags) in [("cgroup.events", always), ("memory.events", always), ("pids.events", once)] {
            if flags == once && limits.pids.is_none() {
                continue;
            }
            // The kernel says that such a file has changed as if it had been written (cgroup-v2.rst, [Un]populated).
            match inotify::add_watch(&self.events, path.join(file), flags) {
                Ok(watch) => drop(self.watched.borrow_mut().insert(watch, name.to_owned())),
                Err(rustix::io::Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let mut group =
            Group { name: name.to_owned(), path, folder, lacks: Vec::new(), killed: Cell::new(false) };
        group.limit(limits);
        Ok(group)
    }

    /// The groups that have changed since the last call. The descriptor of [`AsFd`] is readable when there are some.
    pub(crate) fn changes(&mut self) -> Vec<Change> {
        let mut names = BTreeSet::new();
        let mut buffer = [const { MaybeUninit::uninit() }; 4096];
        let mut reader = Reader::new(&self.events, &mut buffer);
        let watched = self.watched.get_mut();
        while let Ok(event) = reader.next() {
            let gone = event.events().contains(ReadFlags::IGNORED);
            let name = if gone { watched.remove(&event.wd()) } else { watched.get(&event.wd()).cloned() };
            names.extend(name);
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                names.extend(watched.values().cloned());
            }
        }
        let change = |name: String| {
            let path = self.root.join(&name);
            let keys =
                [("cgroup.events", "populated"), ("memory.events", "oom_kill"), ("pids.events", "max")];
            let read = |file| fs::read_to_string(path.join(file)).ok();
            let [populated, killed, refused] = keys.map(|(file, key)| keyed(&read(file)?, key));
            let (populated, oom_kills) = (populated? == 1, killed.unwrap_or_default());
            Some(Change { name, populated, oom_kills, refused: refused.unwrap_or_default() })
        };
        names.into_iter().filter_map(change).collect()
    }

    /// Removes what was made for ourselves, after the services' groups were removed.
    pub(crate) fn end(self) {
        let Some(home) = &self.home else { return };
        // A group that gives controllers may hold no process.
        for controller in CONTROLLERS {
            for group in [&self.root, home] {
                let _ = fs::write(group.join("cgroup.subtree_control"), format!("-{controller}"));
            }
        }
        let _ = fs::write(home.join("cgroup.procs"), "0");
        let _ = fs::remove_dir(self.root.join(OURSELVES));
        let _ = fs::remove_dir(&self.root);
    }
}

impl AsFd for Cgroups {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

impl Group {
    /// The name that it was made with.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The limits that this kernel has not, a line each.
    pub(crate) fn lacks(&self) -> &[String] {
        &self.lacks
    }

    /// Sets each limit, or lifts it.
    fn limit(&mut self, limits: &Limits) {
        let number = |limit: Option<u64>| limit.map_or("max".to_owned(), |limit| limit.to_string());
        let cpu =
            limits.cpu_percent.map_or("max".to_owned(), |percent| (u64::from(percent) * 1000).to_string());
        let weight = limits.io_weight.unwrap_or(100);
        // Its weights end at 1000.
        let bfq = if weight > 100 { 100 + (weight - 100) / 11 } else { weight };
        let bfq = self.write("io.bfq.weight", &format!("default {bfq}")).is_ok();
        let mut set = |what: &str, file: &str, wanted: bool, text: String| {
            if let (Err(error), true) = (self.write(file, &text), wanted) {
                let why = match error.kind() {
                    io::ErrorKind::NotFound => "this group has no such controller".to_owned(),
                    _ => error.to_string(),
                };
                self.lacks.push(format!("{what}: not limited: {why}"));
            }
        };
        // The lower one first: while only it is in force, nothing is killed.
        set("memory_high", "memory.high", limits.memory_high.is_some(), number(limits.memory_high));
        set("memory", "memory.max", limits.memory.is_some(), number(limits.memory));
        set("cpu", "cpu.max", limits.cpu_percent.is_some(), format!("{cpu} 100000"));
        set("pids", "pids.max", limits.pids.is_some(), number(limits.pids));
        set("io_weight", "io.weight", limits.io_weight.is_some() && !bfq, format!("default {weight}"));
    }

    fn read(&self, file: &str) -> Option<String> {
        let file = openat(&self.folder, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        io::read_to_string(fs::File::from(file)).ok()
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        let file = openat(&self.folder, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(&file, text.as_bytes())?;
        Ok(())
    }

    /// It was killed: kernels that count kills (6.12.14, 6.13.3 and later) kill whoever is born in it by `clone3`, for ever.
    pub(crate) fn is_killed(&self) -> bool {
        self.killed.get()
    }

    /// As if it had been killed: nobody knows whether it was.
    pub(crate) fn suspect(&self) {
        self.killed.set(true);
    }

    /// Kills all processes in it, however they try to multiply.
    ///
    /// # Errors
    /// The group is gone.
    pub(crate) fn kill(&self) -> io::Result<()> {
        self.killed.set(true);
        match self.write("cgroup.kill", "1") {
            // Before 5.14: what stands still does not multiply, and is killed all the same.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.path.exists() => {
                self.freeze(true)?;
                for pid in below(&self.path).iter().flat_map(|path| processes(path)) {
                    let _ = kill_process(pid, Signal::KILL);
                }
                self.freeze(false)
            }
            result => result,
        }
    }

    /// Stops all its processes where they are, or lets them go on.
    ///
    /// # Errors
    /// The group is gone.
    pub(crate) fn freeze(&self, still: bool) -> io::Result<()> {
        self.write("cgroup.freeze", if still { "1" } else { "0" })
    }

    /// What its processes use and have used. Without a controller for it, it is the sum of what `/proc` says of the
    /// processes that live now.
    pub(crate) fn usage(&self) -> Usage {
        let number = |file| self.read(file)?.trim().parse().ok();
        let cpu_us = self.read("cpu.stat").and_then(|text| keyed(&text, "usage_usec"));
        let io = self.read("io.stat").map(|text| (summed(&text, "rbytes="), summed(&text, "wbytes=")));
        let usage = Usage {
            cpu_us,
            rss: number("memory.current"),
            peak_rss: number("memory.peak"),
            pids: number("pids.current"),
            io_read: io.map(|io| io.0),
            io_write: io.map(|io| io.1),
        };
        if usage.rss.is_some() && usage.pids.is_some() && io.is_some() {
            return usage;
        }
        let pids = below(&self.path).into_iter().flat_map(|path| processes(&path));
        let living = usage::of_processes(pids.map(|pid| pid.as_raw_nonzero().get().cast_unsigned()));
        Usage {
            cpu_us: usage.cpu_us.or(living.cpu_us),
            rss: usage.rss.or(living.rss),
            peak_rss: usage.peak_rss.or(living.peak_rss),
            pids: usage.pids.or(living.pids),
            io_read: usage.io_read.or(living.io_read),
            io_write: usage.io_write.or(living.io_write),
        }
    }

    /// Whether a process is in it or below.
    pub(crate) fn holds(&self, pid: Pid) -> bool {
        below(&self.path).iter().any(|path| processes(path).contains(&pid))
    }

    /// Whether there are processes in it or below.
    ///
    /// # Errors
    /// The group is gone.
    pub(crate) fn populated(&self) -> io::Result<bool> {
        let events = self.read("cgroup.events").ok_or(io::ErrorKind::NotFound)?;
        Ok(keyed(&events, "populated") == Some(1))
    }

    /// Removes it, and what its processes have made below it.
    ///
    /// # Errors
    /// There are processes in it.
    pub(crate) fn remove(self, of: &Cgroups) -> io::Result<()> {
        let watches = |watched: &BTreeMap<i32, String>| {
            watched
                .iter()
                .filter(|(_, name)| **name == self.name)
                .map(|(watch, _)| *watch)
                .collect::<Vec<_>>()
        };
        for path in below(&self.path).iter().rev() {
            match fs::remove_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let mut watched = of.watched.borrow_mut();
        for watch in watches(&watched) {
            watched.remove(&watch);
        }
        Ok(())
    }
}

impl AsFd for Group {
    /// Its folder, as `clone3` wants it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

fn make(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// Removes what sessions that were killed have left behind, if nothing lives in it.
fn sweep(home: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("natsinit.")?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            for path in below(&entry.path()).iter().rev() {
                let _ = fs::remove_dir(path);
            }
        }
    }
}

/// A group and all below it, a group before what is below it.
fn below(path: &Path) -> Vec<PathBuf> {
    let mut all = vec![path.to_owned()];
    let mut next = 0;
    while let Some(path) = all.get(next) {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let folders: Vec<_> = folders.map(|entry| entry.path()).collect();
        all.extend(folders);
        next += 1;
    }
    all
}

fn processes(path: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect()
}

/// The number in the line `key number`.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The sum of all words `key` with a number.
fn summed(text: &str, key: &str) -> u64 {
    let numbers = text.split_whitespace().filter_map(|word| word.strip_prefix(key)?.parse().ok());
    numbers.fold(0, u64::saturating_add)
}

/// The folder of our own group (proc_pid_mountinfo(5), cgroups(7)).
fn own_group(mounts: &str, groups: &str) -> Option<PathBuf> {
    let own = Path::new(groups.lines().find_map(|line| line.strip_prefix("0::"))?);
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        if kind.split(' ').next() != Some("cgroup2") {
            return None;
        }
        // A mount can show a part of the hierarchy, which need not be ours.
        let own = own.strip_prefix(unescaped(root)).ok()?;
        let inside = own.components().all(|part| matches!(part, Component::Normal(_)));
        inside.then(|| Path::new(&unescaped(at)).join(own))
    })
}

/// A field of mountinfo without `\040`.
fn unescaped(field: &str) -> String {
    ["040", "011", "012", "134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(field.to_owned(), |text, (code, to)| text.replace(&format!("\\{code}"), to))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    #[test]
    fn our_own_group_is_found() {
        let mounts = "25 1 0:5 / /proc rw - proc proc rw\n\
            30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let found = |mounts: &str, own: &str| own_group(mounts, &format!("4:cpu:/x\n0::{own}\n"));
        assert_eq!(found(mounts, "/").unwrap(), Path::new("/sys/fs/cgroup"));
        assert_eq!(found(mounts, "/user.slice/a").unwrap(), Path::new("/sys/fs/cgroup/user.slice/a"));
        assert_eq!(found(mounts, "/../other"), None);
        let part = "30 25 0:26 /a\\040b /mnt/c\\040d rw - cgroup2 none rw\n";
        assert_eq!(found(part, "/a b/e").unwrap(), Path::new("/mnt/c d/e"));
        assert_eq!(found(part, "/x"), None);
        assert_eq!(found("", "/"), None);
        assert_eq!(own_group(mounts, "1:name=systemd:/\n"), None);
    }

    #[test]
    fn numbers_are_found() {
        assert_eq!(keyed("usage_usec 12\nuser_usec 3\n", "usage_usec"), Some(12));
        assert_eq!(keyed("oom 1\noom_kill 2\n", "oom_kill"), Some(2));
        assert_eq!(keyed("usage_usecs 12\n", "usage_usec"), None);
        let io = "8:0 rbytes=4096 wbytes=1 rios=2 wios=3 dbytes=0 dios=0\n259:1 rbytes=5 wbytes=6\n";
        assert_eq!((summed(io, "rbytes="), summed(io, "wbytes=")), (4101, 7));
    }

    fn settled(cgroups: &mut Cgroups, mut done: impl FnMut(&Change) -> bool) {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let second = Timespec { tv_sec: 1, tv_nsec: 0 };
            poll(&mut [PollFd::from_borrowed_fd(cgroups.as_fd(), PollFlags::IN)], Some(&second)).unwrap();
            if cgroups.changes().iter().any(&mut done) {
                return;
            }
            assert!(Instant::now() < until, "nothing changed");
        }
    }

    /// Runs the rest of a test in a process of its own, which can move itself about. Says whether this is it.
    fn alone(test: &str) -> bool {
        if std::env::var_os("LUNIX_ALONE").is_some() {
            return true;
        }
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--nocapture", test]).env("LUNIX_ALONE", "1");
        assert!(command.status().unwrap().success());
        false
    }

    #[test]
    fn a_group_holds_freezes_counts_and_kills() {
        use crate::natsinit::process::tests::{launched, service};
        if !alone("natsinit::cgroup::tests::a_group_holds_freezes_counts_and_kills") {
            return;
        }
        let mut cgroups = match Cgroups::own() {
            Ok(cgroups) => cgroups,
            Err(error) => return println!("SKIPPED cgroup: {error}"),
        };
        let limits =
            Limits { memory: Some(64 << 20), pids: Some(10), cpu_percent: Some(50), ..Limits::default() };
        let group = cgroups.make("web", &limits).unwrap();
        assert_eq!(cgroups.make("a.b", &limits).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        println!("{:?} {:?}", cgroups.lacks(), group.lacks());
        assert!(!group.populated().unwrap());
        // It daemonises, leaves its process group, and multiplies.
        let script = "setsid sh -c 'sleep 1000 & sleep 1000' & exec sleep 1000";
        let process = launched(&service(&["sh", "-c", script]), Some(&group));
        settled(&mut cgroups, |change| change.name == "web" && change.populated);
        let own = fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).unwrap();
        assert!(own.lines().any(|line| line.starts_with("0::") && line.ends_with("/web")), "{own}");
        let until = Instant::now() + Duration::from_secs(10);
        while processes(&group.path).len() < 4 {
            assert!(Instant::now() < until);
            std::thread::yield_now();
        }
        let usage = group.usage();
        assert_eq!(usage.pids, Some(4));
        assert!(
            usage.cpu_us.is_some_and(|us| us > 0) && usage.rss.is_some_and(|rss| rss > 4096),
            "{usage:?}"
        );
        group.freeze(true).unwrap();
        settled(&mut cgroups, |_| keyed(&group.read("cgroup.events").unwrap(), "frozen") == Some(1));
        group.freeze(false).unwrap();
        group.kill().unwrap();
        settled(&mut cgroups, |change| change.name == "web" && !change.populated);
        crate::natsinit::process::tests::wait(&process);
        fs::create_dir(group.path.join("below")).unwrap();
        let (path, root) = (group.path.clone(), cgroups.root().to_owned());
        group.remove(&cgroups).unwrap();
        assert!(!path.exists());
        // Somebody else may remove it, too.
        let group = cgroups.make("web", &limits).unwrap();
        assert!(group.populated().is_ok());
        fs::remove_dir(&path).unwrap();
        assert!(group.populated().is_err());
        group.remove(&cgroups).unwrap();
        assert!(cgroups.watched.borrow().is_empty());
        cgroups.end();
        assert!(!root.exists());
    }
}
