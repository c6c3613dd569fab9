//! How it is known that it is ready: sockets that listen, a descriptor that is written to.

use super::*;

fn hear(listens: &Listens) -> Heard {
    loop {
        assert!(readable(listens, Duration::from_secs(20)), "nobody listens");
        match listens.next().unwrap().unwrap() {
            Heard::Other => {}
            heard => return heard,
        }
    }
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
