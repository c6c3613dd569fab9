//! What it does not see, and may not do.

use super::*;

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
    let nobody = users().user("nobody").unwrap().id;
    assert_eq!(text, format!("{nobody}\n{:016x}\n2\n1\n1\nx\n1\nno\n", 1 << 10));
    assert_eq!(wait(&process), (Some(0), None));
}
