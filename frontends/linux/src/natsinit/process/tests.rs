//! What a launched process finds, seen from inside.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lunix_core::supervise::Policy;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::*;
use crate::natsinit::definition::{Activation, Address, Landlock, Program, Resource, Sandbox};
use crate::natsinit::rare::Rare;

pub(crate) fn service(words: &[&str]) -> Definition {
    Definition {
        name: "test".to_owned(),
        description: String::new(),
        enabled: true,
        program: Program::Words(words.iter().map(|&word| word.to_owned()).collect()),
        policy: Policy::default(),
        relations: Rare::default(),
        readiness: Notification::Start,
        activation: Activation::None,
        reload: None,
        undo: None,
        identity: Rare::default(),
        surroundings: Rare::default(),
        limits: Rare::default(),
        sandbox: Rare::default(),
        output: Rare::default(),
    }
}

fn shell(script: &str) -> Definition {
    service(&["sh", "-c", script])
}

fn of(definition: &Definition) -> Launch<'_> {
    Launch {
        definition,
        instead: None,
        environment: &[],
        notify: None,
        sockets: &[],
        input: None,
        cgroup: None,
        die_with_parent: true,
        number: None,
        files: None,
    }
}

pub(crate) fn wait(process: &Launched) -> (Option<i32>, Option<i32>) {
    let status = waitid(WaitId::PidFd(process.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
    (status.exit_status(), status.terminating_signal())
}

pub(crate) fn launched(definition: &Definition, cgroup: Option<&Group>) -> Launched {
    launch(&Launch { cgroup, ..of(definition) }).unwrap()
}

/// Everything that a pipe brings until it is closed, within a time that is only for hopeless cases.
fn all(pipe: OwnedFd) -> String {
    fcntl_setfl(&pipe, OFlags::empty()).unwrap();
    let mut text = String::new();
    std::fs::File::from(pipe).read_to_string(&mut text).unwrap();
    text
}

fn output(launch_: &Launch<'_>) -> String {
    let mut process = launch(launch_).unwrap();
    assert_eq!(process.lacks, Vec::<String>::new());
    let text = all(process.output.take().unwrap());
    let (code, signal) = wait(&process);
    assert_eq!((code, signal), (Some(0), None), "{text}");
    text
}

fn said(script: &str, change: impl FnOnce(&mut Definition)) -> String {
    let mut definition = shell(script);
    change(&mut definition);
    output(&of(&definition))
}

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Root of the whole machine, and not only of a namespace of its own.
fn full_root() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    root() && map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn readable(fd: &impl std::os::fd::AsFd, within: Duration) -> bool {
    let within = Timespec { tv_sec: within.as_secs() as i64, tv_nsec: within.subsec_nanos().into() };
    poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&within)) == Ok(1)
}

fn status(key: &str) -> String {
    format!("grep ^{key}: /proc/self/status | cut -f2-")
}

macro_rules! needs_root {
    ($name:literal) => {
        if !full_root() {
            println!("SKIPPED {}: only root may", $name);
            return;
        }
    };
}

#[test]
fn it_gets_its_words_and_leads_its_group() {
    let definition =
        service(&["sh", "-c", "echo \"$0|$1|$2\"; cut -d' ' -f5 /proc/$$/stat; echo $$", "a b", "", "é"]);
    let text = output(&of(&definition));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "a b||é");
    assert_eq!(lines[1], lines[2]);
}

#[test]
fn a_failing_step_is_named_and_nothing_remains() {
    let line = |change: &dyn Fn(&mut Definition)| {
        let mut definition = shell("true");
        // An ordinary user may not even look into a folder of root's.
        definition.surroundings.environment = BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]);
        change(&mut definition);
        launch(&of(&definition)).unwrap_err().to_string()
    };
    let enoent = "No such file or directory (os error 2)";
    assert_eq!(line(&|it| it.program = Program::Words(vec!["nosuch".into()])), format!("nosuch: {enoent}"));
    assert_eq!(
        line(&|it| it.program = Program::Words(vec!["/etc/passwd".into()])),
        "/etc/passwd: Permission denied (os error 13)"
    );
    assert_eq!(line(&|it| it.program = Program::Words(vec![])), "no program is named");
    assert_eq!(
        line(&|it| it.surroundings.directory = Some("/nosuch".into())),
        format!("directory /nosuch: {enoent}")
    );
    assert_eq!(line(&|it| it.identity.user = Some("nosuch".into())), "user 'nosuch' is not in /etc/passwd");
    assert_eq!(line(&|it| it.identity.groups = vec!["nosuch".into()]), "group 'nosuch' is not in /etc/group");
    assert_eq!(
        line(&|it| it.identity.user = Some("54321".into())),
        "user 54321 is not in /etc/passwd and the definition names no group"
    );
    assert_eq!(
        line(&|it| it.surroundings.terminal = Some("/nosuch".into())),
        format!("terminal /nosuch: {enoent}")
    );
    assert_eq!(
        line(&|it| it.sandbox.seccomp = Some("nosuch".into())),
        "seccomp: expected one of service, network-client, strict, found 'nosuch'"
    );
    let nul = line(&|it| it.program = Program::Words(vec!["a\0b".into()]));
    assert!(nul.ends_with("/a\\0b' has a NUL in it"), "{nul}");
    assert!(line(&|it| it.readiness = Notification::Descriptor(2)).starts_with("descriptor 2 cannot"));
    // Those of this thread: other tests have theirs.
    assert_eq!(std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default(), "");
}

#[test]
fn it_has_no_descriptor_but_its_own() {
    // What we inherited ourselves, without close-on-exec.
    let null = open(c"/dev/null", OFlags::RDWR, Mode::empty()).unwrap();
    let high = rustix::io::fcntl_dupfd_cloexec(&null, 300).unwrap();
    rustix::io::fcntl_setfd(&high, rustix::io::FdFlags::empty()).unwrap();
    let text = output(&of(&service(&["ls", "/proc/self/fd"])));
    // The last one is the folder that `ls` reads.
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);

    let (one, two) = std::os::unix::net::UnixStream::pair().unwrap();
    let sockets = [("web".to_owned(), one.as_fd()), ("admin".to_owned(), two.as_fd())];
    let mut definition = shell(
        "echo $LISTEN_FDS $LISTEN_FDNAMES $((LISTEN_PID == $$)); readlink /proc/$$/fd/3 /proc/$$/fd/4 | cut -d: -f1; \
         echo $(ls /proc/$$/fd); echo >&7",
    );
    definition.readiness = Notification::Descriptor(7);
    let mut process = launch(&Launch { sockets: &sockets, ..of(&definition) }).unwrap();
    let text = all(process.output.take().unwrap());
    assert_eq!(wait(&process), (Some(0), None));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..3], ["2 web:admin 1", "socket", "socket"]);
    // The shell reads what `ls` writes from one more, and may not have closed its end for writing yet.
    let numbers: Vec<_> = lines[3].split(' ').filter(|number| !["5", "6"].contains(number)).collect();
    assert_eq!(numbers, ["0", "1", "2", "3", "4", "7"]);
    assert_eq!(all(process.ready.take().unwrap()), "\n");
}

#[test]
fn its_input_is_what_it_is_given() {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    rustix::io::write(&write, b"from a message").unwrap();
    drop(write);
    let definition = service(&["cat"]);
    assert_eq!(output(&Launch { input: Some(read), ..of(&definition) }), "from a message");
    assert_eq!(output(&of(&definition)), "");
}

#[test]
fn its_environment_is_the_supervisors_with_its_own() {
    let mut definition = shell("echo $A $B $NOTIFY_SOCKET; test -n \"$PATH\" && echo ${LISTEN_FDS-none}");
    definition.surroundings.environment = BTreeMap::from([("A".into(), "own".into())]);
    let given = [("A".to_owned(), "given".to_owned()), ("B".to_owned(), "b".to_owned())];
    let launch_ = Launch { environment: &given, notify: Some(Path::new("/run/x")), ..of(&definition) };
    assert_eq!(output(&launch_), "own b /run/x\nnone\n");
    // What reloads it is not asked whether it is ready.
    let words = ["sh".to_owned(), "-c".to_owned(), "echo ${NOTIFY_SOCKET-none} $B".to_owned()];
    assert_eq!(output(&Launch { instead: Some(&words), ..launch_ }), "none b\n");
    // Where there is no program of that name along its own PATH, there is none.
    definition.surroundings.environment = BTreeMap::from([("PATH".into(), "/nosuch:/etc".into())]);
    assert!(launch(&of(&definition)).is_err());
}

#[test]
fn signals_have_their_default_effect() {
    // SIGPIPE is ignored by every program of Rust, and SIGUSR1 here.
    let _signals = crate::sys::signals::Signals::new(&[libc::SIGUSR1]).unwrap();
    let mut definition = service(&["cat", "/proc/self/status"]);
    for profile in [None, Some("strict".to_owned())] {
        definition.sandbox.seccomp = profile;
        let text = output(&of(&definition));
        for key in ["SigBlk", "SigIgn", "SigCgt"] {
            assert!(text.contains(&format!("{key}:\t0000000000000000\n")), "{text}");
        }
    }
}

#[test]
fn limits_hold_inside() {
    let text = said("umask; nice; ulimit -c; ulimit -n; ulimit -f; cat /proc/self/oom_score_adj", |it| {
        it.surroundings.umask = Some(0o027);
        it.limits.nice = Some(7);
        it.limits.oom_score = Some(500);
        it.limits.resources = vec![
            (Resource::Core, Some(0)),
            (Resource::OpenFiles, Some(20)),
            (Resource::FileSize, Some(1 << 20)),
        ];
    });
    assert_eq!(text, "0027\n7\n0\n20\n2048\n500\n");
    // The score is the child's alone, although memory is shared until it executes its program.
    assert_ne!(std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim(), "500");
    // Few descriptors are no obstacle for what has to be opened before.
    let text = said("ulimit -n", |it| {
        it.limits.resources = vec![(Resource::OpenFiles, Some(4))];
        it.limits.oom_score = Some(500);
        it.sandbox.landlock = Some(Landlock { read: vec!["/".into()], write: vec![] });
    });
    assert_eq!(text, "4\n");
}

#[test]
fn a_number_of_its_own_and_a_session_on_a_terminal() {
    use std::os::unix::ffi::OsStrExt as _;
    let master = std::fs::OpenOptions::new().read(true).write(true).open("/dev/ptmx");
    let Ok(master) = master else { return println!("SKIPPED terminal: no pseudo-terminals") };
    // TIOCSPTLCK, TIOCGPTN
    let (unlocked, mut number) = (0_i32, 0_i32);
    use std::os::fd::AsRawFd as _;
    #[allow(unsafe_code, reason = "a test's pseudo-terminal")]
    // SAFETY: each reads or writes one number.
    unsafe {
        assert_eq!(libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked), 0);
        assert_eq!(libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number), 0);
    }
    let path = PathBuf::from(format!("/dev/pts/{number}"));
    let mut definition = shell("tty; ps -o tpgid= -o sid= -o pid= -p $$ 2>/dev/null; exec sleep 100");
    definition.surroundings.terminal = Some(path.clone());
    let process = launch(&of(&definition)).unwrap();
    assert!(process.output.is_none());
    let mut text = Vec::new();
    let mut buffer = [0; 256];
    while !text.ends_with(b"\n") || text.iter().filter(|byte| **byte == b'\n').count() < 2 {
        let length = (&master).read(&mut buffer).unwrap();
        text.extend_from_slice(&buffer[..length]);
    }
    let text = String::from_utf8(text).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next().unwrap().trim().as_bytes(), path.as_os_str().as_bytes());
    let numbers: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    let pid = process.pid.as_raw_nonzero().to_string();
    assert_eq!(numbers, [&pid, &pid, &pid]);
    // Ctrl-C reaches it.
    use std::io::Write as _;
    (&master).write_all(b"\x03").unwrap();
    assert_eq!(wait(&process), (None, Some(libc::SIGINT)));
}

#[test]
fn another_user_has_its_groups_and_no_capabilities() {
    needs_root!("user");
    let script = format!("id -u; id -g; {}; {}; echo $HOME $USER", status("CapEff"), status("Uid"));
    let text = said(&script, |it| it.identity.user = Some("nobody".into()));
    let nobody = Accounts().user("nobody").unwrap();
    let expected = format!(
        "{0}\n{1}\n0000000000000000\n{0}\t{0}\t{0}\t{0}\n{2} nobody\n",
        nobody.id, nobody.group, nobody.home
    );
    assert_eq!(text, expected);
    let text = said("id -u; id -g; id -G", |it| {
        it.identity.user = Some("4711".into());
        it.identity.group = Some("4712".into());
        it.identity.groups = vec!["daemon".into(), "4713".into()];
    });
    assert_eq!(text, format!("4711\n4712\n4712 {} 4713\n", Accounts().group("daemon").unwrap()));
    // We are what we were, and our own /proc is still ours: the change made shared memory undumpable.
    assert!(root());
    assert_eq!(rustix::process::dumpable_behavior().unwrap(), rustix::process::DumpableBehavior::Dumpable);
}

#[allow(non_snake_case)]
fn Accounts() -> accounts::Accounts {
    accounts::Accounts::read(Path::new("/etc"))
}

#[test]
fn capabilities_are_all_that_there_will_ever_be() {
    needs_root!("capabilities");
    let keys = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"].map(status).join("; ");
    // CAP_NET_BIND_SERVICE
    let bits = format!("{:016x}", 1 << 10);
    let none = "0000000000000000";
    let text = said(&keys, |it| {
        it.identity.user = Some("nobody".into());
        it.identity.capabilities = Some(vec![10]);
    });
    assert_eq!(text, format!("{bits}\n{bits}\n{bits}\n{bits}\n{bits}\n0\n"));
    let text = said(&keys, |it| it.identity.capabilities = Some(vec![10]));
    assert_eq!(text, format!("{bits}\n{bits}\n{bits}\n{bits}\n{none}\n0\n"));
    let text = said(&keys, |it| it.identity.capabilities = Some(vec![]));
    assert_eq!(text, format!("{none}\n{none}\n{none}\n{none}\n{none}\n0\n"));
    let text = said(
        "mount -t tmpfs none /mnt 2>&1 || echo refused; chown 1 /proc/self 2>/dev/null || echo no",
        |it| {
            it.identity.capabilities = Some(vec![]);
            it.identity.no_new_privileges = true;
        },
    );
    assert!(text.ends_with("refused\nno\n"), "{text}");
    let error = launch(&of(&{
        let mut it = shell("true");
        it.identity.capabilities = Some(vec![63]);
        it
    }));
    assert_eq!(error.unwrap_err().to_string(), "capability 63 is not the supervisor's to give");
}

#[test]
fn an_ordinary_user_has_none_to_give() {
    if root() {
        return println!("SKIPPED ordinary: we are root");
    }
    let keys = ["CapEff", "NoNewPrivs"].map(status).join("; ");
    assert_eq!(said(&keys, |it| it.identity.capabilities = Some(vec![])), "0000000000000000\n1\n");
    let mut definition = shell("true");
    definition.identity.capabilities = Some(vec![10]);
    assert!(launch(&of(&definition)).unwrap_err().to_string().starts_with("capability 10"));
    definition.identity.capabilities = None;
    definition.identity.user = Some("root".into());
    assert!(launch(&of(&definition)).unwrap_err().to_string().contains("Operation not permitted"));
}

#[test]
fn its_temporary_folders_end_with_it() {
    let folder = std::env::temp_dir().join(format!("lunix-process-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let script = format!(
        "ls -A /tmp; echo x >/tmp/lunix-private && cat /tmp/lunix-private; stat -c %a /tmp; \
         test -S {0} && python3 -c 'import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b\"READY=1\", \"{0}\")'",
        path.display()
    );
    let mut definition = shell(&script);
    definition.sandbox.private_tmp = true;
    let text = match launch(&Launch { notify: Some(&path), ..of(&definition) }) {
        Err(error) if !root() => return println!("SKIPPED private_tmp: {error}"),
        Err(error) => panic!("{error}"),
        Ok(mut process) => {
            let text = all(process.output.take().unwrap());
            wait(&process);
            text
        }
    };
    assert_eq!(text, format!("{}\nx\n1777\n", folder.file_name().unwrap().to_str().unwrap()));
    assert!(!Path::new("/tmp/lunix-private").exists());
    let mut buffer = [0; 16];
    socket.set_nonblocking(true).unwrap();
    assert_eq!(socket.recv(&mut buffer).unwrap(), 7);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn everything_is_read_only_but_what_is_named() {
    let folder = std::env::temp_dir().join(format!("lunix-read-only-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("written")).unwrap();
    let script = "cd $0; (echo >no) 2>/dev/null || echo refused; echo yes >written/yes && cat written/yes; \
        echo >/dev/null && cat /proc/self/comm; touch /run/lunix-x 2>/dev/null || echo refused";
    let mut definition = service(&["sh", "-c", script, folder.to_str().unwrap()]);
    definition.sandbox.read_only_except = Some(vec![folder.join("written")]);
    match launch(&of(&definition)) {
        Err(error) if !root() => println!("SKIPPED read_only: {error}"),
        Err(error) => panic!("{error}"),
        Ok(mut process) => {
            assert_eq!(all(process.output.take().unwrap()), "refused\nyes\ncat\nrefused\n");
            wait(&process);
            assert!(folder.join("written/yes").exists() && !folder.join("no").exists());
        }
    }
    definition.sandbox.read_only_except = Some(vec!["/nosuch".into()]);
    let error = launch(&of(&definition)).unwrap_err().to_string();
    assert!(!root() || error == "keeping /nosuch: No such file or directory (os error 2)", "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn its_network_is_a_loopback() {
    let script = "cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '; python3 -c '
import socket
s = socket.create_server((\"127.0.0.1\", 0))
socket.create_connection(s.getsockname()).close()
try:
    socket.create_connection((\"192.0.2.1\", 80), 1)
except OSError as error:
    print(error.strerror)
'";
    let mut definition = shell(script);
    definition.sandbox.private_network = true;
    match launch(&of(&definition)) {
        Err(error) if !root() => println!("SKIPPED private_network: {error}"),
        Err(error) => panic!("{error}"),
        Ok(mut process) => {
            let text = all(process.output.take().unwrap());
            wait(&process);
            assert!(text.starts_with("lo\n") && text.ends_with("Network is unreachable\n"), "{text}");
        }
    }
}

#[test]
fn it_is_process_1_of_its_namespace() {
    let mut definition = shell("echo $$; echo /proc/[0-9]*; sleep 100 & sleep 100");
    definition.sandbox.private_pids = true;
    let mut process = match launch(&of(&definition)) {
        Err(error) if !root() => return println!("SKIPPED private_pids: {error}"),
        process => process.unwrap(),
    };
    assert_ne!(process.pid.as_raw_nonzero().get(), 1);
    let pipe = process.output.take().unwrap();
    let (mut text, mut buffer) = (Vec::new(), [0; 64]);
    while text.iter().filter(|byte| **byte == b'\n').count() < 2 {
        assert!(readable(&pipe, Duration::from_secs(10)));
        let length = rustix::io::read(&pipe, &mut buffer).unwrap();
        text.extend_from_slice(&buffer[..length]);
    }
    assert_eq!(text, b"1\n/proc/1\n");
    // With process 1 of it, all of the namespace ends; it cannot be told to by SIGTERM, whose effect is the default.
    pidfd_send_signal(&process.pidfd, Signal::KILL).unwrap();
    assert_eq!(wait(&process), (None, Some(libc::SIGKILL)));
    assert_eq!(all(pipe), "");
}

#[test]
fn seccomp_refuses_and_the_rest_works() {
    let python = |name: &str, script: &str| {
        said(&format!("python3 -c '{script}'"), |it| it.sandbox.seccomp = Some(name.to_owned()))
    };
    let attempts = r#"
import ctypes, os, socket, subprocess, threading, tempfile
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    result = getattr(libc, name)(*arguments)
    return "ok" if result >= 0 else os.strerror(ctypes.get_errno())
refused = "Operation not permitted"
assert call("unshare", 0x10000000) == refused
assert call("mount", b"none", b"/mnt", b"tmpfs", 0, None) == refused
assert call("reboot", 0) == refused
assert call("ptrace", 0, 0, 0, 0) == refused
assert call("syscall", 321, 0, 0, 0) == refused
thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
assert subprocess.run(["true"]).returncode == 0
with tempfile.TemporaryFile() as file: file.write(b"x")
server = socket.socket()
server.bind(("127.0.0.1", 0))
"#;
    let listening = "server.listen()\nprint(\"listens\")\n";
    for name in ["service", "strict"] {
        assert_eq!(python(name, &format!("{attempts}{listening}")), "listens\n", "{name}");
    }
    let refused = "\ntry:\n    server.listen()\nexcept PermissionError:\n    print(\"refused\")\n";
    assert_eq!(python("network-client", &format!("{attempts}{refused}")), "refused\n");
    let strict = r#"
import os, socket
for attempt in (lambda: os.setuid(os.getuid()), lambda: os.chown("/", -1, -1), lambda: os.mknod("/tmp/x")):
    try: attempt()
    except PermissionError: print("refused")
try: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
except OSError as error: print(error.errno)
"#;
    assert_eq!(python("strict", strict), format!("refused\nrefused\nrefused\n{}\n", libc::EAFNOSUPPORT));
    let keys = ["NoNewPrivs", "Seccomp"].map(status).join("; ");
    assert_eq!(said(&keys, |it| it.sandbox.seccomp = Some("strict".to_owned())), "1\n2\n");
}

#[test]
fn landlock_allows_what_is_named() {
    let folder = std::env::temp_dir().join(format!("lunix-landlock-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("read")).unwrap();
    std::fs::create_dir_all(folder.join("written")).unwrap();
    std::fs::write(folder.join("read/file"), "text\n").unwrap();
    let script = "cd $0; cat read/file; (echo >read/no) 2>/dev/null || echo refused; echo yes >written/yes && cat written/yes; \
        cat /etc/passwd 2>/dev/null || echo refused; ls / 2>/dev/null || echo refused; echo >/dev/null";
    let mut definition = service(&["sh", "-c", script, folder.to_str().unwrap()]);
    let system = ["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache"].map(PathBuf::from);
    let system = system.into_iter().filter(|path| path.exists());
    definition.sandbox.landlock = Some(Landlock {
        read: system.chain([folder.join("read")]).collect(),
        write: vec![folder.join("written")],
    });
    let mut process = launch(&of(&definition)).unwrap();
    let text = all(process.output.take().unwrap());
    wait(&process);
    match crate::sys::landlock::every() {
        None => {
            println!("SKIPPED landlock: this kernel has none");
            assert_eq!(process.lacks, ["landlock: this kernel has none, so every file is allowed"]);
        }
        Some(_) => assert_eq!(text, "text\nrefused\nyes\nrefused\nrefused\n"),
    }
    definition.sandbox.landlock = Some(Landlock { read: vec!["/nosuch".into()], write: Vec::new() });
    let error = launch(&of(&definition)).unwrap_err().to_string();
    assert_eq!(error, "landlock /nosuch: No such file or directory (os error 2)");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn everything_at_once() {
    needs_root!("everything");
    let script = format!(
        "id -u; {}; {}; {}; echo $$; touch /tmp/x; ls /tmp; echo $LISTEN_PID; (touch /etc/x) 2>/dev/null || echo no",
        status("CapEff"),
        status("Seccomp"),
        status("NoNewPrivs")
    );
    let (one, _two) = std::os::unix::net::UnixStream::pair().unwrap();
    let sockets = [("x".to_owned(), one.as_fd())];
    let mut it = shell(&script);
    it.identity.user = Some("nobody".into());
    it.identity.capabilities = Some(vec![10]);
    it.limits.oom_score = Some(100);
    it.limits.nice = Some(-5);
    it.limits.resources = vec![(Resource::Processes, Some(64)), (Resource::Stack, Some(1 << 20))];
    it.sandbox = Sandbox {
        private_tmp: true,
        read_only_except: Some(vec!["/var".into()]),
        private_network: true,
        private_pids: true,
        seccomp: Some("service".into()),
        landlock: Some(Landlock {
            read: ["/usr", "/lib", "/lib64", "/bin", "/etc", "/proc"]
                .map(PathBuf::from)
                .into_iter()
                .filter(|p| p.exists())
                .collect(),
            write: vec!["/tmp".into()],
        }),
    }
    .into();
    it.readiness = Notification::Listens(vec![Address::Tcp(([127, 0, 0, 1], 1).into())]);
    let mut process = launch(&Launch { sockets: &sockets, ..of(&it) }).unwrap();
    let text = all(process.output.take().unwrap());
    let nobody = Accounts().user("nobody").unwrap().id;
    assert_eq!(text, format!("{nobody}\n{:016x}\n2\n1\n1\nx\n1\nno\n", 1 << 10));
    assert_eq!(wait(&process), (Some(0), None));
}

fn hear(listens: &Listens) -> Heard {
    loop {
        assert!(readable(listens, Duration::from_secs(20)), "nobody listens");
        match listens.next().unwrap().unwrap() {
            Heard::Other => {}
            heard => return heard,
        }
    }
}

fn stop(process: Launched) {
    let _ = kill_process_group(process.pid, Signal::KILL);
    wait(&process);
}

fn listener(words: &[&str], addresses: Vec<Address>) -> Launched {
    let mut definition = service(words);
    definition.readiness = Notification::Listens(addresses);
    let process = launch(&of(&definition)).unwrap();
    assert_eq!(process.lacks, Vec::<String>::new());
    process
}

#[test]
fn a_socket_that_listens_is_heard_of() {
    let wanted = Address::Tcp(([127, 0, 0, 1], 0).into());
    let process = listener(&["python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"], vec![wanted]);
    let Heard::Address(Address::Tcp(address)) = hear(process.listens.as_ref().unwrap()) else { panic!() };
    assert!(address.ip().is_loopback() && address.port() != 0);
    // It does listen: when we hear of it, one can connect.
    std::net::TcpStream::connect(address).unwrap();
    stop(process);
}

#[test]
fn a_nats_server_is_ready_when_its_clients_port_listens() {
    if std::process::Command::new("nats-server").arg("-v").output().is_err() {
        return println!("SKIPPED nats-server: not installed");
    }
    let process = listener(&["nats-server", "-a", "127.0.0.1", "-p", "-1", "-m", "-1"], vec![]);
    let listens = process.listens.as_ref().unwrap();
    // A program of Go, with many threads, which listens twice.
    for _ in 0..2 {
        let Heard::Address(Address::Tcp(address)) = hear(listens) else { panic!() };
        let reached = std::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, address.port()));
        assert!(reached.is_ok());
    }
    let Launched { pidfd, pid, listens, .. } = process;
    let _ = kill_process_group(pid, Signal::KILL);
    waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap();
    // Nobody is left who could ask.
    let listens = listens.unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while listens.next().is_ok() {
        assert!(Instant::now() < until);
        std::thread::yield_now();
    }
}

#[test]
fn other_sockets_are_told_apart() {
    let script = r#"
import socket, os, sys, threading
os.chdir(sys.argv[1])
try: os.close(99)
except OSError: pass
def other():
    stream = socket.socket(socket.AF_UNIX); stream.bind("stream"); stream.listen(3)
thread = threading.Thread(target=other); thread.start(); thread.join()
six = socket.socket(socket.AF_INET6); six.bind(("::", 0)); six.listen()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("127.0.0.1", 0))
gram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); gram.bind("gram")
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for fd in (99, 0):
    assert libc.listen(fd, 1) == -1
    print(ctypes.get_errno(), flush=True)
try: udp.bind(("127.0.0.1", 0))
except OSError as error: print(error.errno, flush=True)
low = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try: low.bind(("127.0.0.1", 9)); print("bound", flush=True)
except OSError as error: print(error.errno, flush=True)
print(udp.getsockname()[1], six.getsockname()[1])
"#;
    let folder = std::env::temp_dir().join(format!("lunix-listens-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let words = ["python3", "-c", script, folder.to_str().unwrap()];
    let mut process = listener(&words, vec![Address::UnixDatagram(folder.join("gram"))]);
    let listens = process.listens.take().unwrap();
    let mut heard = Vec::new();
    while !readable(&process.pidfd, Duration::ZERO) {
        let mut fds = [PollFd::new(&listens, PollFlags::IN), PollFd::new(&process.pidfd, PollFlags::IN)];
        poll(&mut fds, None).unwrap();
        while let Ok(Some(next)) = listens.next() {
            if next != Heard::Other {
                heard.push(next);
            }
        }
    }
    let text = all(process.output.take().unwrap());
    assert_eq!(wait(&process), (Some(0), None), "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..3], ["9", "88", "22"]);
    assert_eq!(lines[3], if full_root() { "bound" } else { "13" });
    let (udp, six) = lines[4].split_once(' ').unwrap();
    let at = |host: &str, port: &str| format!("{host}:{port}").parse().unwrap();
    let stream = Address::Unix(folder.join("stream"));
    let mut expected = vec![
        stream.clone(),
        Address::Tcp(at("[::]", six)),
        Address::Udp(at("127.0.0.1", udp)),
        Address::UnixDatagram(folder.join("gram")),
    ];
    if full_root() {
        expected.push(Address::Udp(at("127.0.0.1", "9")));
    }
    assert_eq!(heard, expected.into_iter().map(Heard::Address).collect::<Vec<_>>());
    // By another name it is the same file.
    assert!(covers(
        &stream,
        &Address::Unix(folder.join("../").join(folder.file_name().unwrap()).join("stream"))
    ));
    assert!(covers(&Address::Tcp(at("[::]", "80")), &Address::Tcp(at("127.0.0.1", "80"))));
    assert!(covers(&Address::Tcp(at("0.0.0.0", "80")), &Address::Tcp(at("127.0.0.1", "80"))));
    assert!(!covers(&Address::Tcp(at("0.0.0.0", "80")), &Address::Tcp(at("[::1]", "80"))));
    assert!(!covers(&Address::Tcp(at("0.0.0.0", "80")), &Address::Udp(at("127.0.0.1", "80"))));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn one_that_closes_its_descriptor_says_nothing() {
    let mut definition = shell("exec 5>&-; exec sleep 100");
    definition.readiness = Notification::Descriptor(5);
    let process = launch(&of(&definition)).unwrap();
    let ready = process.ready.as_ref().unwrap();
    assert!(readable(ready, Duration::from_secs(10)));
    assert_eq!(rustix::io::read(ready, &mut [0; 8]), Ok(0));
    stop(process);
}

#[test]
fn it_dies_with_the_thread_that_made_it() {
    let pidfd =
        std::thread::spawn(|| launch(&of(&service(&["sleep", "100"]))).unwrap().pidfd).join().unwrap();
    let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
    assert_eq!(status.terminating_signal(), Some(libc::SIGKILL));
    let definition = service(&["sleep", "100"]);
    let process =
        std::thread::spawn(move || launch(&Launch { die_with_parent: false, ..of(&definition) }).unwrap());
    let process = process.join().unwrap();
    assert!(!readable(&process.pidfd, Duration::from_millis(100)));
    stop(process);
}

#[test]
fn a_fork_bomb_stays_below_its_limit() {
    needs_root!("fork bomb");
    // A user of its own, whose processes are counted.
    let mut definition = service(&[
        "python3",
        "-c",
        "import os, time\nfor n in range(1000):\n    try:\n        if os.fork() == 0: time.sleep(100)\n    except BlockingIOError: print(n, flush=True); break\ntime.sleep(100)",
    ]);
    definition.identity.user = Some("61234".into());
    definition.identity.group = Some("61234".into());
    definition.limits.resources = vec![(Resource::Processes, Some(50))];
    let mut process = launch(&of(&definition)).unwrap();
    let pipe = process.output.take().unwrap();
    let (mut text, mut buffer) = (Vec::new(), [0; 8]);
    while !text.ends_with(b"\n") {
        assert!(readable(&pipe, Duration::from_secs(30)));
        let length = rustix::io::read(&pipe, &mut buffer).unwrap();
        text.extend_from_slice(&buffer[..length]);
    }
    let made: u32 = String::from_utf8(text).unwrap().trim().parse().unwrap();
    assert!((40..50).contains(&made), "{made}");
    stop(process);
    // All of it has ended: nobody has the pipe any more.
    assert_eq!(all(pipe), "");
}

#[test]
fn one_that_daemonises_ends_with_its_family() {
    // Away from its process group, with its parent gone, and from its session.
    let script = "(sleep 1000 &); setsid sleep 1000 & sh -c 'setsid sh -c \"sleep 1000 & sleep 1000\"' & \
        echo; exec sleep 1000";
    let process = launch(&of(&shell(script))).unwrap();
    let pipe = process.output.as_ref().unwrap();
    assert!(readable(pipe, Duration::from_secs(20)));
    let until = Instant::now() + Duration::from_secs(20);
    while usage::family(process.pid.as_raw_nonzero().get().cast_unsigned()).len() < 5 {
        assert!(Instant::now() < until);
        std::thread::yield_now();
    }
    kill_family(process.pid);
    assert_eq!(wait(&process), (None, Some(libc::SIGKILL)));
    // Nobody has the pipe any more.
    assert_eq!(all(process.output.unwrap()), "\n");
}

#[test]
fn a_thousand_leave_nothing_behind() {
    let fds = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let definition = service(&["true"]);
    let missing = service(&["/nosuch"]);
    // Other tests run meanwhile and have some open; only a leak of this one would be so many.
    let before = fds();
    for _ in 0..500 {
        let process = launch(&of(&definition)).unwrap();
        assert_eq!(wait(&process), (Some(0), None));
        launch(&of(&missing)).unwrap_err();
    }
    assert!(fds() < before + 100);
}

/// Prints what it costs from the call until the program has begun and ended, beside others in turn.
#[test]
#[ignore = "a measurement"]
fn what_a_process_costs() {
    let definition = service(&["/bin/true"]);
    let mut scored = definition.clone();
    scored.limits.oom_score = Some(0);
    let launched = |definition: &Definition| {
        let process = launch(&of(definition)).unwrap();
        let begun = Instant::now();
        wait(&process);
        begun
    };
    let command = || {
        let mut command = std::process::Command::new("/bin/true");
        let output = std::process::Stdio::piped;
        command.stdin(std::process::Stdio::null()).stdout(output()).stderr(output());
        command
    };
    let own = || launched(&definition);
    let copied = || launched(&scored);
    let posix = || {
        let mut child = command().spawn().unwrap();
        let begun = Instant::now();
        child.wait().unwrap();
        begun
    };
    let forked = || {
        let child = crate::sys::spawn::spawn(&mut command()).unwrap();
        let begun = Instant::now();
        waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap();
        begun
    };
    let ways: [(&str, &dyn Fn() -> Instant); 4] = [
        ("launch", &own),
        ("launch, with a copy", &copied),
        ("std: posix_spawn", &posix),
        ("std: fork, pre_exec", &forked),
    ];
    for megabytes in [0, 64] {
        let mut ballast = vec![0_u8; megabytes << 20];
        ballast.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        let mut times = [const { Vec::new() }; 4];
        for _ in 0..300 {
            for ((_, way), times) in ways.iter().zip(&mut times) {
                let start = Instant::now();
                let begun = way();
                times.push((begun - start, start.elapsed()));
            }
        }
        for ((name, _), mut times) in ways.iter().zip(times) {
            times.sort();
            let (call, _) = times[times.len() / 2];
            times.sort_by_key(|(_, whole)| *whole);
            let (_, whole) = times[times.len() / 2];
            println!(
                "{megabytes} MB more: {name}: call {call:?}, until it has ended {whole:?} (medians of 300)"
            );
        }
        std::hint::black_box(&ballast);
    }
}

#[test]
fn the_number_is_written_by_the_kernel() {
    let number = AtomicU32::new(0);
    let definition = shell("echo $$");
    let mut process = launch(&Launch { number: Some(&number), ..of(&definition) }).unwrap();
    let said = all(process.output.take().unwrap());
    assert_eq!(said.trim(), number.load(Ordering::Relaxed).to_string());
    assert_eq!(said.trim(), process.pid.to_string());
    wait(&process);
}
