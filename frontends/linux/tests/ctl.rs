//! `lunix sub`, `pub` and `req` as a user types them, against Debian's nats-server.

#![allow(clippy::unwrap_used, reason = "a failing test may panic anywhere")]

mod nats_server;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};

use nats_server::Server;

fn lunix(server: &Server, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lunix"));
    command.args(args).env("NATS_URL", server.url()).stdin(Stdio::null());
    command
}

fn output(server: &Server, args: &[&str]) -> Output {
    lunix(server, args).output().unwrap()
}

/// A `lunix sub` whose subscriptions the server has: it received what was published until it did.
struct Subscriber {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Subscriber {
    /// `args` must subscribe to `sync`, too.
    fn start(server: &Server, args: &[&str]) -> Self {
        let mut child = lunix(server, args).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (said, heard) = std::sync::mpsc::channel();
        let (url, program) = (server.url(), env!("CARGO_BIN_EXE_lunix"));
        // One of these arrives after the subscription; the reader waits for it, not the clock.
        let knocking = std::thread::spawn(move || {
            while heard.try_recv().is_err() {
                Command::new(program).args(["pub", "sync", "sync", "--nats", &url]).status().unwrap();
            }
            Command::new(program).args(["pub", "sync", "end of sync", "--nats", &url]).status().unwrap();
        });
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        said.send(()).unwrap();
        while !line.contains("end of sync") {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "lunix sub ended");
        }
        knocking.join().unwrap();
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    fn stop(mut self) -> Option<i32> {
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // After `stop` it has been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_published_is_printed() {
    let Some(server) = Server::start("what_is_published_is_printed") else { return };
    let mut subscriber = Subscriber::start(&server, &["sub", "sync", "news.*"]);
    assert_eq!(output(&server, &["pub", "news.at", "ten"]).status.code(), Some(0));
    assert_eq!(subscriber.line(), "news.at ten\n");
    output(&server, &["pub", "news.at", "esc\u{1b}[2J", "--reply", "to.me"]);
    assert_eq!(subscriber.line(), "news.at [to.me] esc\\u{1b}[2J\n");
    assert_eq!(subscriber.stop(), Some(0), "SIGTERM is a normal end");

    let mut subscriber = Subscriber::start(&server, &["sub", "--raw", "--headers", "sync", "news.*"]);
    output(&server, &["pub", "-n", "2", "-H", "Kind=test", "news.at", "ten"]);
    for _ in 0..2 {
        assert_eq!(
            [subscriber.line(), subscriber.line(), subscriber.line()],
            ["Kind: test\n", "\n", "ten\n"]
        );
    }
}

#[test]
fn stdin_is_a_payload_and_count_ends() {
    let Some(server) = Server::start("stdin_is_a_payload_and_count_ends") else { return };
    let mut child =
        lunix(&server, &["sub", "--raw", "--count", "100", "in"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut arrived = 0;
    while child.try_wait().unwrap().is_none() {
        let mut publisher = lunix(&server, &["pub", "in", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        publisher.stdin.take().unwrap().write_all(b"binary \xff\x00").unwrap();
        assert!(publisher.wait().unwrap().success());
        arrived += 1;
        assert!(arrived < 5_000, "lunix sub does not end");
    }
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.stdout, b"binary \xff\x00\n".repeat(100));
}

#[test]
fn requests_and_their_failures() {
    let Some(server) = Server::start("requests_and_their_failures") else { return };
    let nobody = output(&server, &["req", "nobody"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert_eq!(nobody.stderr, b"lunix req: nobody answers on 'nobody'\n");

    let subscriber = Subscriber::start(&server, &["sub", "sync", "silent"]);
    let silent = output(&server, &["req", "--timeout", "50ms", "silent"]);
    assert_eq!(silent.status.code(), Some(1));
    assert_eq!(silent.stderr, b"lunix req: no answer on 'silent' within 50ms\n");
    assert_eq!(subscriber.stop(), Some(0));
}

#[test]
fn a_subscriber_outlives_its_server() {
    let Some(mut server) = Server::start("a_subscriber_outlives_its_server") else { return };
    let mut subscriber = Subscriber::start(&server, &["sub", "--raw", "sync", "news"]);
    server.restart();
    // Until it has come back, nobody hears what is published.
    let url = server.url();
    let (said, heard) = std::sync::mpsc::channel();
    let publisher = std::thread::spawn(move || {
        while heard.try_recv().is_err() {
            let args = ["pub", "news", "again", "--nats", &url];
            Command::new(env!("CARGO_BIN_EXE_lunix")).args(args).status().unwrap();
        }
    });
    assert_eq!(subscriber.line(), "again\n");
    said.send(()).unwrap();
    publisher.join().unwrap();
    assert_eq!(subscriber.stop(), Some(0));
}

#[test]
fn wrong_command_lines_exit_2_and_missing_servers_1() {
    let Some(mut server) = Server::start("wrong_command_lines_exit_2_and_missing_servers_1") else { return };
    for args in [
        &["pub", "a.*", "x"][..],
        &["pub"],
        &["pub", "a", "b", "c"],
        &["pub", "--count", "many", "a"],
        &["pub", "--header", "no value", "a"],
        &["sub", "a..b"],
        &["req", "a", "--timeout", "soon"],
        &["req", "a", "--nats", "http://127.0.0.1"],
    ] {
        let out = output(&server, args);
        assert_eq!(out.status.code(), Some(2), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&out.stderr).lines().count(), 1, "{args:?}");
    }
    server.kill();
    for args in [&["pub", "a"][..], &["req", "a"], &["sub", "a"]] {
        let out = output(&server, args);
        assert_eq!(out.status.code(), Some(1), "{args:?}");
        assert!(String::from_utf8_lossy(&out.stderr).contains("no server"), "{args:?}");
    }
    let mut waiting = lunix(&server, &["pub", "--wait", "a", "b"]).spawn().unwrap();
    server.restart();
    assert!(waiting.wait().unwrap().success());
}
