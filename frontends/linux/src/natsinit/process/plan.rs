//! What a process does before its program, from its definition.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::process::{Resource as Kernels, Rlimit, getegid, geteuid};
use rustix::thread::{CapabilitySet, capabilities};

use super::accounts::{Accounts, User, number};
use super::{Launch, LaunchError, filter};
use crate::natsinit::definition::{Address, Definition, Notification, Program, Resource};
use crate::sys::landlock;
use crate::sys::launch::{Namespaces, Step, Tree, Words};

/// Everything that the steps point to.
#[derive(Debug)]
pub(super) struct Plan {
    /// The program as people know it.
    pub(super) name: String,
    pub(super) programs: Vec<CString>,
    pub(super) arguments: Words,
    pub(super) environment: Words,
    pub(super) namespaces: Namespaces,
    pub(super) lacks: Vec<String>,
    /// The lines of `uid_map` and `gid_map`.
    maps: (CString, CString),
    who: Who,
    rights: Rights,
    oom_score: Option<CString>,
    terminal: Option<CString>,
    directory: CString,
    kept: Vec<CString>,
    /// A socket below a folder that becomes private.
    notify: Option<CString>,
    notifies: Option<Vec<libc::sock_filter>>,
    profile: Option<Vec<libc::sock_filter>>,
    landlock: Option<(u64, Vec<(CString, u64)>)>,
}

/// Who a process becomes.
#[derive(Debug, Default)]
struct Who {
    entry: Option<User>,
    user: Option<u32>,
    group: Option<u32>,
    groups: Option<Vec<u32>>,
}

/// What a process may do beyond others of its user.
#[derive(Debug, Default)]
struct Rights {
    /// All that can ever be had, as bits.
    bounding: Option<u64>,
    /// Outlast the change of the user.
    keep: bool,
    /// What it has, as bits.
    has: Option<u64>,
    /// What its program inherits although its user is not root, by number.
    ambient: Vec<u8>,
    no_new_privileges: bool,
    /// A filter needs either of the two: this right, or that nothing more can be gained.
    before_filter: bool,
}

impl Plan {
    pub(super) fn of(launch: &Launch<'_>) -> Result<Self, LaunchError> {
        let definition = launch.definition;
        let sandbox = &definition.sandbox;
        let who = Who::of(definition)?;
        let ours = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
        let namespaces = {
            let mount = sandbox.private_tmp || sandbox.private_pids || sandbox.read_only_except.is_some();
            let (net, pid) = (sandbox.private_network, sandbox.private_pids);
            let user = (mount || net) && !ours.contains(CapabilitySet::SYS_ADMIN);
            Namespaces { user, mount, net, pid }
        };
        let rights = Rights::of(definition, &who, ours, namespaces.user)?;
        let environment = environment(launch, who.entry.as_ref());
        let (name, programs, words) = program(launch, environment.get(OsStr::new("PATH")))?;
        let mut lacks = Vec::new();
        let landlock = match sandbox.landlock.as_ref().map(|rules| (rules, landlock::every())) {
            None => None,
            Some((_, None)) => {
                lacks.push("landlock: this kernel has none, so every file is allowed".to_owned());
                None
            }
            Some((rules, Some(every))) => Some((every, allowed(rules, every, &programs)?)),
        };
        let profile = match &sandbox.seccomp {
            None => None,
            Some(name) => Some(filter::profile(name).ok_or_else(|| {
                let known: Vec<_> = filter::PROFILES.iter().map(|(name, _)| *name).collect();
                LaunchError::said(format!("seccomp: expected one of {}, found '{name}'", known.join(", ")))
            })?),
        };
        let notifies = match (&definition.readiness, launch.instead) {
            (Notification::Listens(addresses), None) => {
                let datagram = |address| matches!(address, &Address::Udp(_) | &Address::UnixDatagram(_));
                Some(filter::listens(addresses.iter().any(datagram)))
            }
            _ => None,
        };
        let notify = launch.notify.filter(|path| {
            sandbox.private_tmp
                && TEMPORARY.iter().any(|folder| path.starts_with(OsStr::from_bytes(folder.to_bytes())))
        });
        let path = |path: &Path| word(path.as_os_str());
        let mut plan = Self {
            name,
            programs,
            arguments: Words::new(words),
            environment: variables(environment)?,
            namespaces,
            lacks,
            maps: (
                text(format!("{0} {0} 1", geteuid().as_raw()))?,
                text(format!("{0} {0} 1", getegid().as_raw()))?,
            ),
            who,
            rights,
            oom_score: definition.limits.oom_score.map(|score| text(score.to_string())).transpose()?,
            terminal: definition.surroundings.terminal.as_deref().map(path).transpose()?,
            directory: path(definition.surroundings.directory.as_deref().unwrap_or(Path::new("/")))?,
            kept: Vec::new(),
            notify: notify.map(path).transpose()?,
            notifies,
            profile,
            landlock,
        };
        if let Some(except) = &sandbox.read_only_except {
            let machine = ["/dev", "/proc", "/sys"].map(Path::new).into_iter().filter(|path| path.is_dir());
            plan.kept =
                machine.chain(except.iter().map(|path| &**path)).map(path).collect::<Result<_, _>>()?;
            let most = usize::from(Tree::MOST) - 1;
            if plan.kept.len() > most {
                return Err(LaunchError::said(format!("read-only: at most {} exceptions", most - 3)));
            }
        }
        Ok(plan)
    }

    /// The steps in their order: descriptors first, then what needs privileges, then what gives them up.
    pub(super) fn steps<'a>(&'a self, launch: &Launch<'a>, places: &'a [(RawFd, RawFd)]) -> Vec<Step<'a>> {
        let definition = launch.definition;
        let (limits, sandbox) = (&definition.limits, &definition.sandbox);
        let mut steps = Vec::with_capacity(48);
        steps.push(Step::Descriptors(places));
        steps.extend(launch.files.map(|limit| Step::Limit("RLIMIT_NOFILE", Kernels::Nofile, limit)));
        if self.namespaces.user {
            steps.push(Step::Users(&self.maps.0, &self.maps.1));
        }
        steps.push(match &self.terminal {
            Some(terminal) => Step::Terminal(terminal),
            None => Step::ProcessGroup,
        });
        if let Some(filter) = &self.notifies {
            if self.rights.before_filter {
                steps.push(Step::NoNewPrivileges);
            }
            steps.push(Step::Notify(filter));
        }
        steps.extend(self.oom_score.as_deref().map(Step::OomScore));
        steps.extend(limits.nice.map(Step::Nice));
        steps.extend(definition.surroundings.umask.map(Step::Umask));
        if sandbox.private_network {
            steps.push(Step::Loopback);
        }
        self.mounts(definition, &mut steps);
        if let Some((handled, rules)) = &self.landlock {
            steps.push(Step::Landlock(*handled));
            steps.extend(rules.iter().map(|(path, access)| Step::Allow(path, *access)));
        }
        steps.extend(limits.resources.iter().map(|(resource, limit)| {
            let limit = Rlimit { current: *limit, maximum: *limit };
            let (name, resource) = kernels(*resource);
            Step::Limit(name, resource, limit)
        }));
        let (rights, who) = (&self.rights, &self.who);
        steps.extend(rights.bounding.map(Step::Bounding));
        steps.extend(rights.keep.then_some(Step::KeepCapabilities));
        steps.extend(who.groups.as_deref().map(Step::Groups));
        steps.extend(who.group.map(Step::Group));
        steps.extend(who.user.map(Step::User));
        steps.extend(rights.has.map(Step::Capabilities));
        steps.extend(rights.ambient.iter().copied().map(Step::Ambient));
        steps.push(Step::Directory(&self.directory));
        if rights.no_new_privileges {
            steps.push(Step::NoNewPrivileges);
        }
        if self.landlock.is_some() {
            steps.push(Step::Enforce);
        }
        if launch.die_with_parent {
            steps.push(Step::DieWithParent);
        }
        steps.extend(self.profile.as_deref().map(Step::Filter));
        steps
    }

    fn mounts<'a>(&'a self, definition: &Definition, steps: &mut Vec<Step<'a>>) {
        let sandbox = &definition.sandbox;
        if !self.namespaces.mount {
            return;
        }
        steps.push(Step::OwnMounts);
        let trees = || (0..).zip(&self.kept).map(|(place, path)| Tree { path, place, anew: false });
        let notify = self.notify.as_deref().map(|path| Tree { path, place: Tree::MOST - 1, anew: true });
        steps.extend(trees().chain(notify).map(Step::Keep));
        if sandbox.read_only_except.is_some() {
            steps.push(Step::ReadOnly);
        }
        steps.extend(trees().map(Step::Return));
        if sandbox.private_tmp {
            steps.extend(TEMPORARY.map(Step::Temporary));
        }
        steps.extend(notify.map(Step::Return));
        if sandbox.private_pids {
            steps.push(Step::Proc);
        }
    }
}

/// The folders for anybody's files (hier(7)).
const TEMPORARY: [&std::ffi::CStr; 2] = [c"/tmp", c"/var/tmp"];

impl Who {
    fn of(definition: &Definition) -> Result<Self, LaunchError> {
        let identity = &definition.identity;
        if identity.user.is_none() && identity.group.is_none() && identity.groups.is_empty() {
            return Ok(Self::default());
        }
        let accounts = Accounts::read(Path::new("/etc"));
        let group = |name: &String| {
            let missing = || LaunchError::said(format!("group '{name}' is not in /etc/group"));
            accounts.group(name).ok_or_else(missing)
        };
        let mut who = Self { group: identity.group.as_ref().map(group).transpose()?, ..Self::default() };
        if let Some(name) = &identity.user {
            who.entry = accounts.user(name);
            who.user = match (&who.entry, number(name)) {
                (Some(entry), _) => Some(entry.id),
                (None, Some(id)) => Some(id),
                (None, None) => {
                    return Err(LaunchError::said(format!("user '{name}' is not in /etc/passwd")));
                }
            };
            who.group = match (who.group, &who.entry) {
                (Some(group), _) => Some(group),
                (None, Some(entry)) => Some(entry.group),
                (None, None) => {
                    let line = format!("user {name} is not in /etc/passwd and the definition names no group");
                    return Err(LaunchError::said(line));
                }
            };
        }
        let listed = identity.groups.iter().map(group).collect::<Result<Vec<_>, _>>()?;
        who.groups = match (listed.is_empty(), &who.entry, who.group) {
            (false, ..) => Some(listed),
            (true, Some(entry), _) => Some(accounts.groups_of(entry)),
            (true, None, Some(group)) => Some(vec![group]),
            (true, None, None) => None,
        };
        // Nothing to become, and an ordinary user may not try.
        if geteuid().as_raw() != 0 && who.user.is_none_or(|user| user == geteuid().as_raw()) {
            who.user = None;
            if who.group == Some(getegid().as_raw()) {
                who.group = None;
            }
            if identity.groups.is_empty() {
                who.groups = None;
            }
        }
        Ok(who)
    }
}

impl Rights {
    fn of(
        definition: &Definition,
        who: &Who,
        ours: CapabilitySet,
        own_users: bool,
    ) -> Result<Self, LaunchError> {
        let (identity, sandbox) = (&definition.identity, &definition.sandbox);
        let confined = sandbox.seccomp.is_some() || sandbox.landlock.is_some();
        let mut rights = Self {
            no_new_privileges: identity.no_new_privileges || confined,
            before_filter: !own_users && !ours.contains(CapabilitySet::SYS_ADMIN),
            ..Self::default()
        };
        let Some(wanted) = &identity.capabilities else {
            if own_users {
                // In a namespace of its own users it was given all, for its mounts; they were not ours.
                (rights.bounding, rights.has) = (Some(0), Some(0));
            }
            return Ok(rights);
        };
        let bits =
            wanted.iter().fold(0_u64, |bits, number| bits | 1_u64.checked_shl((*number).into()).unwrap_or(0));
        if let Some(number) =
            wanted.iter().find(|number| ours.bits().checked_shr((**number).into()).unwrap_or(0) & 1 == 0)
        {
            return Err(LaunchError::said(format!("capability {number} is not the supervisor's to give")));
        }
        let user = who.user.unwrap_or(geteuid().as_raw());
        rights.has = Some(bits);
        match own_users || ours.contains(CapabilitySet::SETPCAP) {
            true => rights.bounding = Some(bits),
            // What it can gain cannot be bounded; so it must not gain.
            false => rights.no_new_privileges = true,
        }
        if user != 0 {
            rights.keep = bits != 0 && who.user.is_some();
            rights.ambient.clone_from(wanted);
        }
        Ok(rights)
    }
}

/// What every program may use although no rule says so.
const DEVICES: [(&str, bool); 6] = [
    ("/dev/null", true),
    ("/dev/zero", true),
    ("/dev/full", true),
    ("/dev/tty", true),
    ("/dev/random", false),
    ("/dev/urandom", false),
];

fn allowed(
    rules: &crate::natsinit::definition::Landlock,
    every: u64,
    programs: &[CString],
) -> Result<Vec<(CString, u64)>, LaunchError> {
    let read = rules.read.iter().map(|path| (path.as_path(), landlock::READ));
    let write = rules.write.iter().map(|path| (path.as_path(), every));
    let devices = DEVICES
        .iter()
        .map(|(path, written)| (Path::new(path), if *written { every } else { landlock::READ }));
    let programs =
        programs.iter().map(|path| (Path::new(OsStr::from_bytes(path.to_bytes())), landlock::READ));
    let there = devices.chain(programs).filter(|(path, _)| path.exists());
    read.chain(write).chain(there).map(|(path, access)| Ok((word(path.as_os_str())?, access))).collect()
}

type Variables = BTreeMap<OsString, OsString>;

/// What sd_listen_fds(3) and sd_notify(3) say to a process, which is for nobody else.
const OURS: [&str; 6] =
    ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_USEC", "WATCHDOG_PID"];

fn environment(launch: &Launch<'_>, user: Option<&User>) -> Variables {
    let mut all: Variables = std::env::vars_os().collect();
    for name in OURS {
        all.remove(OsStr::new(name));
    }
    let mut set = |name: &str, value: &OsStr| {
        all.insert(name.into(), value.into());
    };
    if let Some(user) = user {
        set("HOME", user.home.as_ref());
        set("USER", user.name.as_ref());
        set("LOGNAME", user.name.as_ref());
        set("SHELL", user.shell.as_ref());
    }
    for (name, value) in launch.environment {
        set(name, value.as_ref());
    }
    if let (Some(path), None) = (launch.notify, launch.instead) {
        set("NOTIFY_SOCKET", path.as_os_str());
    }
    if !launch.sockets.is_empty() {
        set("LISTEN_FDS", launch.sockets.len().to_string().as_ref());
        let names: Vec<_> = launch.sockets.iter().map(|(name, _)| name.as_str()).collect();
        set("LISTEN_FDNAMES", names.join(":").as_ref());
    }
    for (name, value) in &launch.definition.surroundings.environment {
        set(name, value.as_ref());
    }
    all.entry("PATH".into()).or_insert_with(|| PATH.into());
    all
}

/// Where programs are looked for if nobody says where.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn variables(variables: Variables) -> Result<Words, LaunchError> {
    let words = variables.into_iter().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        word(&name)
    });
    words.collect::<Result<_, _>>().map(Words::new)
}

/// What the program is called, where it may be, and its words.
fn program(
    launch: &Launch<'_>,
    path: Option<&OsString>,
) -> Result<(String, Vec<CString>, Vec<CString>), LaunchError> {
    let ourselves = || vec![c"/proc/self/exe".to_owned()];
    let words =
        |words: &[String]| words.iter().map(|text| word(text.as_ref())).collect::<Result<Vec<_>, _>>();
    let given = match (launch.instead, &launch.definition.program) {
        (Some(given), _) => given,
        (None, Program::Words(given)) => given.as_slice(),
        (None, Program::Applet(given)) => {
            return Ok((given.first().cloned().unwrap_or_default(), ourselves(), words(given)?));
        }
        (None, Program::Command(given)) => {
            let mut all = words(given)?;
            all.insert(0, c"lunix".to_owned());
            return Ok(("lunix".to_owned(), ourselves(), all));
        }
    };
    let Some(first) = given.first().filter(|first| !first.is_empty()) else {
        return Err(LaunchError::said("no program is named".to_owned()));
    };
    let programs = match first.contains('/') {
        true => vec![word(first.as_ref())?],
        false => {
            let folders = path.map_or(OsStr::new(PATH), OsString::as_os_str).as_bytes();
            let folders = folders.split(|byte| *byte == b':').filter(|folder| !folder.is_empty());
            folders
                .map(|folder| word(OsStr::from_bytes(&[folder, b"/", first.as_bytes()].concat())))
                .collect::<Result<_, _>>()?
        }
    };
    Ok((first.clone(), programs, words(given)?))
}

fn word(text: &OsStr) -> Result<CString, LaunchError> {
    CString::new(text.as_bytes()).map_err(|_| {
        LaunchError::said(format!("'{}' has a NUL in it", text.to_string_lossy().escape_debug()))
    })
}

fn text(text: String) -> Result<CString, LaunchError> {
    word(text.as_ref())
}

fn kernels(resource: Resource) -> (&'static str, rustix::process::Resource) {
    match resource {
        Resource::AddressSpace => ("RLIMIT_AS", Kernels::As),
        Resource::Core => ("RLIMIT_CORE", Kernels::Core),
        Resource::CpuSeconds => ("RLIMIT_CPU", Kernels::Cpu),
        Resource::Data => ("RLIMIT_DATA", Kernels::Data),
        Resource::FileSize => ("RLIMIT_FSIZE", Kernels::Fsize),
        Resource::LockedMemory => ("RLIMIT_MEMLOCK", Kernels::Memlock),
        Resource::OpenFiles => ("RLIMIT_NOFILE", Kernels::Nofile),
        Resource::Processes => ("RLIMIT_NPROC", Kernels::Nproc),
        Resource::Stack => ("RLIMIT_STACK", Kernels::Stack),
    }
}
