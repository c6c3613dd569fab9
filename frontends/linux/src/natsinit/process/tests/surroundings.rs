//! Words, descriptors, environment, signals, limits and terminal.

use super::*;

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
fn the_number_is_written_by_the_kernel() {
    let number = AtomicU32::new(0);
    let definition = shell("echo $$");
    let mut process = launch(&Launch { number: Some(&number), ..of(&definition) }).unwrap();
    let said = all(process.output.take().unwrap());
    assert_eq!(said.trim(), number.load(Ordering::Relaxed).to_string());
    assert_eq!(said.trim(), process.pid.to_string());
    wait(&process);
}
