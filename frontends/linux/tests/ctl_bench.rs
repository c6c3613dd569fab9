//! `lunix bench` as a user types it, against natsd and Debian's nats-server.

#![allow(clippy::unwrap_used, reason = "a failing test may panic anywhere")]

mod nats_server;

use std::process::{Command, Output, Stdio};

use nats_server::{Server, each};

fn bench(server: &Server, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lunix"));
    command.arg("bench").args(args).env("NATS_URL", server.url()).stdin(Stdio::null());
    command.output().unwrap()
}

/// The first word of each line, and whether all that such a line says is there.
fn parts(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    for line in text.lines() {
        assert!(line.contains(" msgs/s ") && line.contains(" MB/s"), "{line}");
        let asks = line.starts_with("request ");
        assert_eq!(asks, [" p50 ", " p99 ", " max "].iter().all(|word| line.contains(word)), "{line}");
    }
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn all_parts_in_order() {
    each("all_parts_in_order", |server| {
        let output = bench(&server, &["--messages", "3000", "--requests", "50", "--size", "100"]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(parts(&output), ["publish", "hear", "request"]);
    });
}

#[test]
fn payloads_of_nothing_and_of_all_that_a_server_takes() {
    each("payloads_of_nothing_and_of_all_that_a_server_takes", |server| {
        for size in ["0", "1048576"] {
            let output = bench(&server, &["hear", "request", "-m", "20", "-r", "5", "--size", size]);
            assert!(output.status.success(), "{output:?}");
            assert_eq!(parts(&output), ["hear", "request"]);
        }
        let output = bench(&server, &["--size", "1048577"]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "lunix bench: --size: the server takes at most 1048576 bytes\n"
        );
    });
}

#[test]
fn mistakes_are_told_with_what_was_expected() {
    let server = Server::natsd();
    for (args, said) in [
        (&["everything"][..], "WHAT: expected publish, hear or request, found 'everything'"),
        (&["--messages", "0"], "--messages: expected a number from 1, found '0'"),
        (&["--requests", "1000001"], "--requests: expected a number from 1 to 1000000, found '1000001'"),
        (&["--size", "99999999"], "--size: expected at most 67108864 bytes, found '99999999'"),
        (&["--subject", "a.*"], "--subject: expected a subject without wildcards, found 'a.*'"),
    ] {
        let output = bench(&server, args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(stderr.lines().next(), Some(format!("lunix bench: {said}").as_str()));
    }
}
