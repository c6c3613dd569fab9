//! natsd's TLS as clients see it: rustls, OpenSSL, nats-py, and those who mean no good.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod folder;
mod tls;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::DnType;
use rustls::version::{TLS12, TLS13};
use tls::{Authority, CONNECT, Client, Folder, PATIENCE, Secure, Server, block, line, secure, shakes_hands};

#[test]
fn messages_of_all_sizes_pass_with_either_version() {
    let server = Server::with_tls("", |_| {});
    for (version, name) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
        let config = server.config(&[version], None);
        let (mut publisher, info) = server.connect(config.clone());
        assert!(info.contains("\"tls_required\":true"), "{info}");
        assert!(!info.contains("tls_verify") && !info.contains("tls_available"), "{info}");
        let (mut subscriber, _) = server.connect(config);
        subscriber.say("SUB a 1\n");
        subscriber.sync();
        for size in [0, 1, 100, 16_383, 16_384, 16_385, 65_535, 65_536, 100_000, 1 << 20] {
            let body: String = ('a'..='z').cycle().take(size).collect();
            publisher.say(&format!("PUB a {size}\n{body}\n"));
            subscriber.expect(&format!("MSG a 1 {size}\n{body}\n"));
        }
        publisher.sync();
        server.wait_for_nth_log(&format!("TLS handshake complete: TLS version {name}, cipher suite TLS_"), 2);
    }
}

#[test]
fn many_small_messages_keep_their_order() {
    let server = Server::with_tls("", |_| {});
    let (mut publisher, _) = server.connect(server.trusting());
    let (mut subscriber, _) = server.connect(server.trusting());
    subscriber.say("SUB n 1\n");
    subscriber.sync();
    let (mut said, mut heard) = (String::new(), String::new());
    for number in 0..20_000 {
        let digits = number.to_string();
        write!(said, "PUB n {}\n{digits}\n", digits.len()).unwrap();
        write!(heard, "MSG n 1 {}\n{digits}\n", digits.len()).unwrap();
    }
    publisher.say(&said);
    subscriber.expect(&heard);
}

#[test]
fn a_handshake_may_come_byte_by_byte() {
    let server = Server::with_tls("timeout: 60", |_| {});
    for version in [&TLS12, &TLS13] {
        let stream = server.dial();
        stream.set_nodelay(true).unwrap();
        let mut plain = stream.try_clone().unwrap();
        assert!(line(&mut plain).starts_with("INFO"));
        let name = "localhost".try_into().unwrap();
        let config = std::sync::Arc::new(server.config(&[version], None));
        let mut session = rustls::ClientConnection::new(config, name).unwrap();
        session.writer().write_all(b"CONNECT {\"verbose\":true}\r\nPING\r\n").unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"PONG\r\n") {
            let mut out = Vec::new();
            while session.wants_write() {
                session.write_tls(&mut out).unwrap();
            }
            for byte in out {
                plain.write_all(&[byte]).unwrap();
            }
            session.read_tls(&mut plain).unwrap();
            let state = session.process_new_packets().unwrap();
            let mut bytes = vec![0; state.plaintext_bytes_to_read()];
            session.reader().read_exact(&mut bytes).unwrap();
            heard.extend(bytes);
        }
        assert_eq!(heard, b"+OK\r\nPONG\r\n");
    }
}

#[test]
fn a_version_that_is_too_old_is_refused_in_one_line() {
    let server = Server::with_tls("min_version: \"1.3\"", |_| {});
    let mut old = server.dial();
    line(&mut old);
    assert!(!shakes_hands(old, server.config(&[&TLS12], None)));
    server.wait_for_log("TLS handshake error: ");
    let (mut client, _) = server.connect(server.config(&[&TLS13], None));
    client.sync();
    assert_eq!(server.log().matches("[ERR]").count(), 1);
}

#[test]
fn suites_and_curves_are_those_that_are_named() {
    let server = Server::with_tls(
        "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\ncurve_preferences: [CurveP384]",
        |_| {},
    );
    let (mut client, _) = server.connect(server.config(&[&TLS12], None));
    client.sync();
    server.wait_for_log("TLS version 1.2, cipher suite TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    let (mut client, _) = server.connect(server.config(&[&TLS13], None));
    client.sync();
}

#[test]
fn handshake_first_says_nothing_in_the_clear() {
    let server = Server::with_tls("handshake_first: true, timeout: 2", |_| {});
    let mut client = secure(server.dial(), server.trusting());
    client.say(CONNECT);
    assert!(client.line().starts_with("INFO {"));
    client.sync();
    // Who waits for INFO waits in vain.
    let mut plain = Client(server.dial());
    assert_eq!(plain.rest(), "");
    server.wait_for_log("TLS handshake error: timeout");
}

#[test]
fn handshake_first_with_a_delay_serves_both_kinds_of_clients() {
    for delay in ["auto", "2s"] {
        let server = Server::with_tls(&format!("handshake_first: {delay}, timeout: 60"), |_| {});
        // Who begins has 50 ms with `auto`, which is not enough for everybody on a busy machine.
        if delay != "auto" {
            let mut first = secure(server.dial(), server.trusting());
            first.say(CONNECT);
            assert!(first.line().starts_with("INFO {"));
            first.sync();
        }
        let (mut second, info) = server.connect(server.trusting());
        assert!(info.contains("\"tls_required\":true"));
        second.sync();
    }
}

#[test]
fn allow_non_tls_lets_the_first_byte_choose() {
    let server =
        Server::start(&format!("allow_non_tls: true, ping_interval: 4s\n{}", block("timeout: 2")), |_| {});
    let (mut secure, info) = server.connect(server.trusting());
    assert!(info.contains("\"tls_available\":true") && !info.contains("tls_required"), "{info}");
    secure.say("SUB a 1\n");
    secure.sync();
    let mut plain = Client(server.dial());
    assert!(plain.line().starts_with("INFO"));
    plain.say(&format!("{CONNECT}PUB a 2\nhi\n"));
    plain.sync();
    secure.expect("MSG a 1 2\nhi\n");
    // Who says nothing at all becomes a plain client.
    let mut silent = Client(server.dial());
    assert!(silent.line().starts_with("INFO"));
    assert_eq!(silent.line(), "PING");
    silent.say("PONG\n");
}

#[test]
fn plain_text_where_tls_is_required_is_never_obeyed() {
    let server = Server::with_tls("", |_| {});
    let (mut listener, _) = server.connect(server.trusting());
    listener.say("SUB > 1\n");
    listener.sync();
    for text in [
        "CONNECT {\"tls_required\":false}\nPUB a 1\nx\nPING\n",
        "CONNECT {}\n",
        "PING\nPING\nPING\n",
        "GET / HTTP/1.1\nHost: localhost\n\n",
    ] {
        let mut plain = Client(server.dial());
        assert!(plain.line().starts_with("INFO"));
        plain.say(text);
        // At most a TLS alert, no word of the protocol.
        let rest = plain.rest();
        assert!(!["PONG", "+OK", "-ERR", "MSG"].iter().any(|word| rest.contains(word)), "{rest:?}");
    }
    server.wait_for_nth_log("TLS handshake error: ", 4);
    listener.sync();
}

#[test]
fn plain_text_after_the_handshake_ends_the_connection() {
    let server = Server::with_tls("", |_| {});
    let (mut client, _) = server.connect(server.trusting());
    client.sync();
    client.0.sock.write_all(b"PUB a 1\r\nx\r\n").unwrap();
    assert_eq!(client.rest(), "");
    let (mut other, _) = server.connect(server.trusting());
    other.sync();
}

#[test]
fn a_handshake_that_does_not_end_is_ended() {
    let server = Server::with_tls("timeout: 0.3", |_| {});
    // The beginning of a hello, and nothing more.
    let mut begun = Client(server.dial());
    begun.line();
    begun.bytes(&[0x16, 3, 1, 2, 0, 1, 0]);
    // Nothing at all.
    let mut silent = Client(server.dial());
    silent.line();
    let start = Instant::now();
    begun.rest();
    assert_eq!(silent.rest(), "");
    assert!(start.elapsed() < PATIENCE);
    server.wait_for_nth_log("TLS handshake error: timeout", 2);
    // A byte every now and then does not help: the time counts from the beginning.
    let mut slow = server.dial();
    line(&mut slow);
    let mut bytes = [0x16u8, 3, 1, 2, 0, 1, 0].into_iter().chain(std::iter::repeat(1));
    while slow.write_all(&[bytes.next().unwrap()]).is_ok() {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn garbage_is_one_line_in_the_log_and_nothing_else() {
    let server = Server::with_tls("", |_| {});
    let mut random = 0x5eed_u32;
    let mut byte = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 24) as u8
    };
    for round in 0..50 {
        let mut plain = server.dial();
        line(&mut plain);
        let mut garbage: Vec<u8> = (0..500).map(|_| byte()).collect();
        if round % 2 == 0 {
            garbage[..5].copy_from_slice(&[0x16, 3, 1, 1, 0xef]);
        }
        let _ = plain.write_all(&garbage);
        Client(plain).rest();
    }
    let (mut client, _) = server.connect(server.trusting());
    client.sync();
    assert_eq!(server.log().matches("TLS handshake error: ").count(), 50);
}

#[test]
fn a_socket_of_this_machine_needs_no_tls() {
    let server = Server::with_tls("", |_| {});
    let stream = UnixStream::connect(server.folder.0.join("sock")).unwrap();
    let mut client = Client(stream);
    let info = client.line();
    assert!(info.starts_with("INFO") && !info.contains("tls"), "{info}");
    client.say(CONNECT);
    client.sync();
}

#[test]
fn a_slow_subscriber_costs_no_more_than_it_may() {
    let server = Server::start(&format!("max_pending: 2MB\n{}", block("")), |_| {});
    let (mut subscriber, _) = server.connect(server.trusting());
    subscriber.say("SUB a 1\n");
    subscriber.sync();
    let (mut publisher, _) = server.connect(server.trusting());
    let body = "x".repeat(100_000);
    for _ in 0..400 {
        publisher.say(&format!("PUB a {}\n{body}\n", body.len()));
    }
    publisher.sync();
    server.wait_for_log("Slow Consumer");
    assert!(server.status("VmHWM") < 60_000, "{} kB", server.status("VmHWM"));
}

#[test]
fn a_renewed_certificate_is_shown_after_a_reload() {
    let server = Server::with_tls("", |_| {});
    let (mut before, _) = server.connect(server.trusting());
    before.sync();
    let shown = |client: &Client<Secure>| client.0.conn.peer_certificates().unwrap()[0].to_vec();
    let authority = Authority::new(&server.folder.0, "ca");
    authority.sign_server("server");
    server.kill("-HUP");
    server.wait_for_log("Reloaded server configuration");
    let (mut after, _) = server.connect(server.trusting());
    after.sync();
    assert_ne!(shown(&before), shown(&after));
    assert!(server.log().contains("Reload: tls: the files: changed"), "{}", server.log());
    // Who was there stays, and a reload with files that are wrong changes nothing.
    before.sync();
    fs::write(server.folder.0.join("server.pem"), "nothing").unwrap();
    server.kill("-HUP");
    server.wait_for_log("expected a certificate in PEM, found none");
    let (mut again, _) = server.connect(server.trusting());
    again.sync();
    assert_eq!(shown(&again), shown(&after));
}

#[test]
fn too_many_handshakes_a_second_are_told_to_come_later() {
    let server = Server::with_tls("connection_rate_limit: 2", |_| {});
    let mut refused = 0;
    // All wait to be taken at once: three in one second, whenever seconds begin.
    let clients: Vec<_> = (0..6).map(|_| Client(server.dial())).collect();
    for mut plain in clients {
        assert!(plain.line().starts_with("INFO"));
        // Who has nothing more to say is closed, refused or not.
        plain.0.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        let _ = plain.0.read_to_string(&mut text);
        refused += u32::from(text.contains("-ERR 'Connection throttling is active."));
    }
    assert!(refused >= 2, "{refused}");
}

#[test]
fn mistakes_are_lines_with_places() {
    let folder = Folder::new();
    let path = folder.0.join("natsd.conf");
    fs::write(folder.0.join("no.pem"), "no").unwrap();
    let run = |text: &str| {
        let text = text.replace("DIR", &folder.0.display().to_string());
        fs::write(&path, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_lunix"))
            .args(["natsd", "-t", "-c"])
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap().replace(&format!("{}/", folder.0.display()), "")
    };
    assert_eq!(
        run(
            "tls {\n min_version: 1.1, cipher_suites: [x]\n handshake_first: maybe, pinned_certs: [ab]\n verfy: true\n}"
        ),
        "natsd.conf:1:5: tls: expected cert_file and key_file\n\
         natsd.conf:2:15: min_version: expected 1.2 or 1.3, found '1.1'\n\
         natsd.conf:2:36: cipher_suites: expected one of TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, \
         TLS_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, \
         TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, \
         TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, \
         TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, found 'x'\n\
         natsd.conf:3:19: handshake_first: expected true, false, auto or a duration, found 'maybe'\n\
         natsd.conf:3:41: pinned_certs: expected 64 hexadecimal digits, the SHA-256 of a public key \
         (DER SubjectPublicKeyInfo), found 'ab'\n\
         natsd.conf:4:2: verfy: unknown key, did you mean 'verify'?\n"
    );
    assert_eq!(
        run("tls { cert_file: 'DIR/no.pem', key_file: 'DIR/no.pem' }"),
        "natsd.conf:1:5: tls: no.pem: expected a certificate in PEM, found none\n"
    );
}

/// The Python with nats-py that `cargo xtask test` has made, or none.
fn python() -> Option<PathBuf> {
    let python = PathBuf::from(std::env::var_os("HOME")?).join(".cache/lunix/interop-python/bin/python");
    python.is_file().then_some(python)
}

#[test]
fn openssl_and_nats_py_are_served() {
    let serve = |first: &str| {
        let block = format!("ca_file: \"DIR/ca.pem\", verify: true, timeout: 60, handshake_first: {first}");
        Server::with_tls(&block, |ca| {
            ca.sign("client", &[(DnType::CommonName, "client")], Vec::new());
        })
    };
    // With `auto`, who begins would have 50 ms for that.
    let (server, waits) = (serve("true"), serve("auto"));
    let folder = &server.folder.0;
    let spawned = Command::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-verify_return_error",
            "-connect",
            &format!("127.0.0.1:{}", server.port),
        ])
        .arg("-CAfile")
        .arg(folder.join("ca.pem"))
        .arg("-cert")
        .arg(folder.join("client.pem"))
        .arg("-key")
        .arg(folder.join("client-key.pem"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    match spawned {
        Err(error) => eprintln!("SKIPPED openssl_and_nats_py_are_served: openssl: {error}"),
        Ok(mut openssl) => {
            openssl.stdin.as_mut().unwrap().write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").unwrap();
            let mut out = openssl.stdout.take().unwrap();
            assert!(line(&mut out).starts_with("INFO"));
            assert_eq!(line(&mut out), "PONG");
            openssl.kill().unwrap();
            openssl.wait().unwrap();
        }
    }
    let Some(python) = python() else {
        eprintln!("SKIPPED openssl_and_nats_py_are_served: no Python with nats-py");
        return;
    };
    for (first, server) in [("False", &waits), ("True", &server)] {
        let folder = &server.folder.0;
        let script = format!(
            "import asyncio, ssl, nats\n\
             async def main():\n\
             \x20   context = ssl.create_default_context(cafile='ca.pem')\n\
             \x20   context.load_cert_chain('client.pem', 'client-key.pem')\n\
             \x20   nc = await nats.connect('tls://localhost:{}', tls=context, tls_handshake_first={first},\n\
             \x20       tls_hostname='localhost', allow_reconnect=False)\n\
             \x20   sub = await nc.subscribe('a')\n\
             \x20   await nc.publish('a', b'x' * 1000000)\n\
             \x20   print(len((await sub.next_msg(60)).data))\n\
             \x20   await nc.close()\n\
             asyncio.run(main())\n",
            server.port
        );
        let output = Command::new(&python).args(["-c", &script]).current_dir(folder).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "1000000\n", "{errors}");
    }
}

#[test]
fn monitoring_over_https() {
    let config = block("ca_file: \"DIR/ca.pem\", verify: true") + "https: \"127.0.0.1:-1\"";
    let server = Server::start(&config, |_| {});
    let ports = server.folder.0.join(format!("natsd_{}.ports", server.child.id()));
    let ports = fs::read_to_string(ports).unwrap();
    let address =
        ports.split("\"monitoring\":[\"https://").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let dial = || {
        let stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    // Readers need no certificate, though clients do.
    let mut reader = secure(dial(), server.trusting());
    for _ in 0..2 {
        reader.say("GET /healthz HTTP/1.1\nHost: x\n\n");
        assert_eq!(reader.line(), "HTTP/1.1 200 OK");
        let head = std::iter::from_fn(|| Some(reader.line()).filter(|line| !line.is_empty()));
        assert!(head.take(20).count() < 20);
        let mut body = [0; 15];
        reader.0.read_exact(&mut body).unwrap();
        assert_eq!(&body, b"{\"status\":\"ok\"}");
    }
    reader.say("GET /varz HTTP/1.1\nHost: x\nConnection: close\n\n");
    let varz = reader.rest();
    let port = address.rsplit(':').next().unwrap();
    assert!(varz.starts_with("HTTP/1.1 200 OK\n") && varz.contains("\"http_port\": 0"), "{varz}");
    assert!(!port.is_empty() && varz.contains("\"https_port\""), "{varz}");
    // It is renewed as the clients' is.
    let shown = |reader: Client<Secure>| reader.0.conn.peer_certificates().unwrap()[0].to_vec();
    let mut before = secure(dial(), server.trusting());
    before.say("GET /healthz HTTP/1.1\nHost: x\n\n");
    before.line();
    Authority::new(&server.folder.0, "ca").sign_server("server");
    server.kill("-HUP");
    server.wait_for_log("Reloaded server configuration");
    let mut after = secure(dial(), server.trusting());
    after.say("GET /healthz HTTP/1.1\nHost: x\n\n");
    assert_eq!(after.line(), "HTTP/1.1 200 OK");
    assert_ne!(shown(before), shown(after));
    let mut plain = dial();
    plain.write_all(b"GET /varz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!String::from_utf8_lossy(&said).contains("HTTP"));

    let mistake = |config: &str| {
        let folder = Folder::new();
        let path = folder.0.join("c.conf");
        fs::write(&path, config).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_lunix"))
            .args(["natsd", "-t", "-c"])
            .arg(&path)
            .output()
            .unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(mistake("https: 8443").contains("https: expected a tls block"));
    assert!(mistake("http: 8222\nhttps: 8443").contains("https: expected either HTTP or HTTPS"));
}
