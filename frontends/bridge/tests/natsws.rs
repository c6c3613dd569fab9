//! `natsws` as a program, between browsers that behave and those that do not and a server that is made up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

mod ws_rig;

use std::io::{ErrorKind, Read as _, Write as _};
use std::process::Command;
use std::time::Duration;

use lunix_proto::ws::{CloseCode, encode};
use ws_rig::{Control, KEY, Natsws, Server, file, line, own, upgrade};

#[test]
fn operations_pass_both_ways_and_info_says_where_the_browser_is() {
    let server = Server::start(r#","connect_urls":["10.9.8.8:4222"],"later":[1]"#);
    let natsws = Natsws::start(&server.url, &[]);
    let (mut nats, mut browser) = server.meet(|| natsws.browser(&own(&natsws)));
    let info = browser.line();
    let (ip, port) = (natsws.address.ip(), natsws.address.port());
    assert!(info.contains(&format!(r#""later":[1],"host":"{ip}","port":{port}"#)), "{info}");
    assert!(!info.contains("10.9.8"), "{info}");

    // Operations cut anywhere.
    browser.send(b"CONN");
    browser.send(b"ECT {\"verbose\":false}\r\nPI");
    browser.send(b"NG\r\nSUB a 1\r\n");
    let heard = [line(&mut nats), line(&mut nats), line(&mut nats)];
    assert_eq!(heard, [r#"CONNECT {"verbose":false}"#, "PING", "SUB a 1"]);
    nats.get_mut().write_all(b"PONG\r\nMSG a 1 3\r\na\r\n").unwrap();
    assert_eq!(browser.line(), "PONG");
    let rest = b"\r\nINFO {\"ldm\":true,\"connect_urls\":[\"10.0.0.1:4222\"]}\r\nPING\r\n";
    nats.get_mut().write_all(rest).unwrap();
    assert_eq!([browser.line(), browser.line(), browser.line()], ["MSG a 1 3", "a", ""]);
    assert_eq!(browser.line(), format!(r#"INFO {{"ldm":true,"host":"{ip}","port":{port}}}"#));
    assert_eq!(browser.line(), "PING");

    let mut frame = [0; 20];
    let len = encode::ping(&mut frame, b"there?", Some(KEY)).unwrap();
    browser.socket.write_all(&frame[..len]).unwrap();
    assert_eq!(browser.next(), Some(Control::Pong(b"there?".to_vec())));
    let len = encode::close(&mut frame, CloseCode(4000), "done", Some(KEY)).unwrap();
    browser.socket.write_all(&frame[..len]).unwrap();
    assert_eq!(browser.closed(), (4000, String::new()));
    assert_eq!(nats.read(&mut [0]).unwrap(), 0);
}

#[test]
fn pages_of_other_origins_are_refused() {
    let server = Server::start("");
    let natsws = Natsws::start(&server.url, &["--origin", "https://lunix.example"]);
    for origin in ["http://evil.example", "null", "http://lunix.example", "https://127.0.0.1:1"] {
        let answer = natsws.answer(&upgrade(&format!("Origin: {origin}\r\n")));
        assert!(answer.starts_with("HTTP/1.1 403 "), "{origin}: {answer}");
    }
    // A name that was made to point here.
    let rebound = upgrade("Origin: http://evil.example\r\n").replace("HERE", "evil.example");
    assert!(natsws.answer(&rebound).starts_with("HTTP/1.1 403 "));
    for fields in [own(&natsws), "Origin: https://lunix.example\r\n".to_owned(), String::new()] {
        let (_nats, mut browser) = server.meet(|| natsws.browser(&fields));
        assert!(browser.line().starts_with("INFO "));
    }
}

#[test]
fn our_rights_are_lent_to_our_user_alone() {
    let lends = |info, args: &[&str], fields: &str| {
        let server = Server::start(info);
        let natsws = Natsws::start(&server.url.replace("//", "//web:secret@"), args);
        let (mut nats, mut browser) = server.meet(|| natsws.browser(fields));
        assert!(browser.line().starts_with("INFO "));
        browser.send(b"CONNECT {}\r\n");
        let connect = line(&mut nats);
        if connect.is_empty() {
            assert_eq!(browser.line(), "-ERR 'Authorization Violation'");
            assert_eq!(browser.closed(), (1008, "Authorization Violation".to_owned()));
        }
        connect
    };
    let (asks, ours) = (r#","auth_required":true"#, r#"CONNECT {"user":"web","pass":"secret"}"#);
    assert_eq!(lends("", &[], ""), ours);
    assert_eq!(lends(asks, &[], ""), ours);
    let foreign = "X-Forwarded-For: 10.0.0.1\r\n";
    assert_eq!(lends("", &[], foreign), "");
    assert_eq!(lends(asks, &[], foreign), "CONNECT {}");
    assert_eq!(lends("", &["--anonymous"], foreign), ours);

    let path = file("lend", "lend: nobody\nallowed_origins: [{ origin: 'https://a.example', lend: user }]\n");
    let args = ["--config", &path];
    assert_eq!(lends("", &args, ""), "");
    assert_eq!(lends(asks, &args, ""), "CONNECT {}");
    assert_eq!(lends("", &args, "Origin: https://a.example\r\n"), ours);
    std::fs::remove_file(path).unwrap();
}

#[test]
#[cfg(feature = "credentials")]
fn natsws_itself_may_have_an_nkey() {
    let users = file(
        "nkey",
        "authorization { users: [{ nkey: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4 }] }\n",
    );
    let seed = file("seed", "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY\n");
    let arguments = ["-p", "-1", "--socket", "none", "-l", "/dev/null", "-c", &users];
    let server = lunix::natsd::Server::start(arguments).unwrap();
    let ask = |args: &[&str], fields: &str| {
        let natsws = Natsws::start(&server.client_url(), args);
        let mut browser = natsws.browser(fields);
        assert!(browser.line().contains("\"nonce\""));
        browser.send(b"CONNECT {\"verbose\":false}\r\nPING\r\n");
        browser.line()
    };
    assert_eq!(ask(&["--nkey", &seed], ""), "PONG");
    let refused = "-ERR 'Authorization Violation'";
    assert_eq!(ask(&["--nkey", &seed], "Via: 1.1 proxy\r\n"), refused);
    assert_eq!(ask(&[], ""), refused);
    std::fs::remove_file(users).unwrap();
    std::fs::remove_file(seed).unwrap();
}

#[test]
fn cookies_log_in() {
    let server = Server::start(r#","auth_required":true"#);
    let path = file("cookies", "user_cookie: who\npass_cookie: what\n");
    let natsws = Natsws::start(&server.url, &["--config", &path]);
    let (mut nats, mut browser) = server.meet(|| natsws.browser("Cookie: who=ann; what=se\"cret\r\n"));
    browser.send(b"CONNECT {\"verbose\":false,\"user\":\"\"}\r\n");
    assert_eq!(line(&mut nats), r#"CONNECT {"verbose":false,"user":"ann","pass":"se\"cret"}"#);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn requests_that_are_none() {
    let server = Server::start("");
    let natsws = Natsws::start(&server.url, &[]);
    let long = format!("GET / HTTP/1.1\r\nHost: HERE\r\nX: {}", "a".repeat((16 << 10) - 40));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: a\r\n".repeat(65));
    for (request, status) in [
        ("hello\r\n\r\n", 400),
        (&long, 431),
        (&many, 431),
        (&upgrade("").replace("GET", "PUT"), 405),
        (&upgrade("").replace("Version: 13", "Version: 12"), 426),
        (&upgrade("").replace("Key: dGhl", "Key: "), 400),
        (&upgrade("").replace("Host", "Ghost"), 400),
        (&format!("{}early", upgrade("")), 400),
    ] {
        let answer = natsws.answer(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
}

#[test]
fn frames_that_break_the_protocol_get_its_code() {
    let server = Server::start("");
    let natsws = Natsws::start(&server.url, &[]);
    for (frame, code) in [
        (&b"\x82\x01a"[..], 1002),
        (b"\xC2\x80keys", 1002),
        (b"\x83\x80keys", 1002),
        (b"\x09\x80keys", 1002),
        (b"\x80\x80keys", 1002),
        (b"\x81\x81\0\0\0\0\xFF", 1007),
        (b"\x82\xFF\0\0\0\0\x10\0\0\0keys", 1009),
        (b"\x88\x82\0\0\0\0\x03\xED", 1002),
    ] {
        let (_nats, mut browser) = server.meet(|| natsws.browser(""));
        browser.socket.write_all(frame).unwrap();
        assert_eq!(browser.closed().0, code, "{frame:?}");
    }
    let (_nats, mut browser) = server.meet(|| natsws.browser(""));
    browser.line();
    browser.send(b"PUB a 1\r\nx\r\n");
    assert_eq!(browser.line(), "-ERR 'Unknown Protocol Operation'");
    assert_eq!(browser.closed().0, 1002);
}

#[test]
fn the_server_ends_and_is_away() {
    let server = Server::start("");
    let natsws = Natsws::start(&server.url, &[]);
    for (said, code, reason) in [
        ("-ERR 'Authorization Violation'\r\n", 1008, "Authorization Violation"),
        ("-ERR 'Maximum Payload Violation'\r\n", 1009, "Maximum Payload Violation"),
        ("PING\r\n", 1001, "the server has closed the connection"),
        ("MSG a 1 nonsense\r\n", 1011, "the server broke the protocol"),
    ] {
        let (mut nats, mut browser) = server.meet(|| natsws.browser(""));
        nats.get_mut().write_all(said.as_bytes()).unwrap();
        drop(nats);
        assert_eq!(browser.closed(), (code, reason.to_owned()));
    }
    drop(server);
    assert!(natsws.answer(&upgrade("")).starts_with("HTTP/1.1 503 "));
}

#[test]
fn who_says_half_a_request_is_not_waited_for() {
    let server = Server::start("");
    let path = file("slow", "handshake_timeout: 1s\nmax_connections: 3\n");
    let natsws = Natsws::start(&server.url, &["--config", &path]);
    let mut slow = [natsws.ask("GET / HT"), natsws.ask(""), natsws.ask("")];
    // No room, until those are gone.
    assert_eq!(natsws.ask("").read(&mut [0]).unwrap(), 0);
    for socket in &mut slow {
        assert_eq!(socket.read(&mut [0]).unwrap(), 0);
    }
    let (_nats, mut browser) = server.meet(|| natsws.browser(""));
    assert!(browser.line().starts_with("INFO "));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_frame_of_16_mb_passes_in_pieces_and_a_slow_browser_is_not_read_for() {
    let server = Server::start("");
    let natsws = Natsws::start(&server.url, &[]);
    let (mut nats, mut browser) = server.meet(|| natsws.browser(""));
    assert!(browser.line().starts_with("INFO "));
    browser.send(b"CONNECT {}\r\n");
    assert_eq!(line(&mut nats), "CONNECT {}");
    std::thread::scope(|scope| {
        scope.spawn(|| browser.send(&vec![b'x'; 16 << 20]));
        let mut left = 16 << 20;
        let mut piece = vec![0; 64 << 10];
        while left > 0 {
            let len = nats.read(&mut piece).unwrap();
            assert!(len > 0 && piece[..len].iter().all(|byte| *byte == b'x'));
            left -= len;
        }
    });

    // The browser reads nothing: what the server can say is what sockets hold, and no more.
    nats.get_ref().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let message = [&b"MSG a 1 1000\r\n"[..], &[b'x'; 1000], b"\r\n"].concat();
    let (mut said, most) = (0_usize, 256 << 20);
    while said < most {
        match nats.get_mut().write(&message[said % message.len()..]) {
            Ok(len) => said += len,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
                break;
            }
        }
    }
    assert!(said < most, "natsws reads what nobody takes");
    assert!(natsws.peak() < 32 << 10, "{} KiB", natsws.peak());
    // Nothing is lost.
    for _ in 0..said / message.len() {
        assert_eq!(browser.line(), "MSG a 1 1000");
        assert_eq!(browser.line().len(), 1000);
    }
}

#[test]
fn the_end_is_said_to_browsers() {
    let server = Server::start("");
    let natsws = Natsws::start(&server.url, &[]);
    let (_nats, mut browser) = server.meet(|| natsws.browser(""));
    assert!(browser.line().starts_with("INFO "));
    std::thread::scope(|scope| {
        let ended = scope.spawn(|| natsws.end());
        assert_eq!(browser.closed(), (1001, "natsws ends".to_owned()));
        drop(browser);
        assert_eq!(ended.join().unwrap().0, Some(0));
    });
}

#[test]
fn the_page_is_served_beside_the_socket() {
    let natsws = Natsws::start("nats://127.0.0.1:1", &[]);
    let get = |method: &str, path: &str, fields: &str| {
        let answer = natsws.answer(&format!("{method} {path} HTTP/1.1\r\nHost: HERE\r\n{fields}\r\n"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    };
    for (path, kind) in [("/", "text/html"), ("/page.css?x", "text/css"), ("/page.js", "text/javascript")] {
        let (head, body) = get("GET", path, "");
        assert!(
            head.starts_with("HTTP/1.1 200 OK") && head.contains(&format!("Content-Type: {kind}")),
            "{head}"
        );
        assert!(head.contains("Content-Security-Policy: default-src 'none'; script-src 'self'; "), "{head}");
        assert!(
            head.contains("X-Content-Type-Options: nosniff")
                && head.contains(&format!("Length: {}", body.len()))
        );
        let (same, empty) = get("HEAD", path, "");
        assert_eq!((same, empty.len()), (head, 0));
    }
    assert!(get("GET", "/../etc/passwd", "").0.starts_with("HTTP/1.1 404 "));
    assert!(get("POST", "/", "").0.starts_with("HTTP/1.1 405 "));
    let mut bytes = Vec::new();
    natsws.ask("GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n").read_to_end(&mut bytes).unwrap();
    let start = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(String::from_utf8_lossy(&bytes[..start]).contains("Content-Encoding: gzip"));
    assert_eq!(bytes[start..start + 2], [0x1F, 0x8B]);
    // What a browser has already is not sent again, unless in another coding.
    let tag = |head: &str| head.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap().to_owned();
    let (plain, packed) = (tag(&get("GET", "/", "").0), tag(&String::from_utf8_lossy(&bytes[..start])));
    let (head, body) = get("GET", "/", &format!("If-None-Match: \"x\", {plain}\r\n"));
    assert!(head.starts_with("HTTP/1.1 304 ") && body.is_empty() && tag(&head) == plain, "{head}");
    assert!(get("GET", "/", &format!("If-None-Match: {packed}\r\n")).0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_folder_is_served_in_the_place_of_the_page() {
    let folder = std::env::temp_dir().join(format!("natsws-{}-page", std::process::id()));
    std::fs::create_dir_all(folder.join("sub")).unwrap();
    std::fs::write(folder.join("sub/index.html"), "plain").unwrap();
    std::fs::write(folder.join("sub/index.html.gz"), "compressed").unwrap();
    let natsws = Natsws::start("nats://127.0.0.1:1", &["--page", folder.to_str().unwrap()]);
    let plain = natsws.answer("GET /sub/ HTTP/1.1\r\n\r\n");
    assert!(plain.contains("text/html") && plain.ends_with("\r\n\r\nplain"), "{plain}");
    let compressed = natsws.answer("GET /sub/ HTTP/1.1\r\nAccept-Encoding: br, gzip\r\n\r\n");
    assert!(
        compressed.contains("Content-Encoding: gzip") && compressed.ends_with("compressed"),
        "{compressed}"
    );
    std::fs::write(folder.join("sub/index.html.br"), "smaller").unwrap();
    let smaller = natsws.answer("GET /sub/ HTTP/1.1\r\nAccept-Encoding: gzip, br\r\n\r\n");
    assert!(smaller.contains("Content-Encoding: br") && smaller.ends_with("smaller"), "{smaller}");
    assert!(natsws.answer("GET /page.js HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    std::fs::remove_dir_all(folder).unwrap();
}

/// A certificate for this machine, in a folder of this test's own.
#[cfg(feature = "tls")]
fn certificate(name: &str) -> (rcgen::CertifiedKey<rcgen::KeyPair>, [String; 2]) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let paths = ["cert", "key"].map(|kind| {
        let path = std::env::temp_dir().join(format!("natsws-{}-{name}-{kind}.pem", std::process::id()));
        path.to_str().unwrap().to_owned()
    });
    std::fs::write(&paths[0], made.cert.pem()).unwrap();
    std::fs::write(&paths[1], made.signing_key.serialize_pem()).unwrap();
    (made, paths)
}

#[test]
#[cfg(feature = "tls")]
fn with_a_certificate_it_speaks_tls() {
    let (made, files) = certificate("browser");
    let server = Server::start("");
    let mut natsws = Natsws::start(&server.url, &["--tlscert", &files[0], "--tlskey", &files[1]]);

    let mut authorities = rustls::RootCertStore::empty();
    authorities.add(made.cert.der().clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authorities)
        .with_no_client_auth();
    let config = std::sync::Arc::new(config);
    let name = "localhost".to_owned().try_into().unwrap();
    let mut session = rustls::ClientConnection::new(config.clone(), name).unwrap();
    let mut socket = natsws.ask("");
    let (_nats, said) = server.meet(|| {
        let mut stream = rustls::Stream::new(&mut session, &mut socket);
        stream.write_all(upgrade("").as_bytes()).unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"}\r\n") {
            let mut piece = [0; 1024];
            let len = stream.read(&mut piece).unwrap();
            said.extend_from_slice(&piece[..len]);
        }
        String::from_utf8_lossy(&said).into_owned()
    });
    assert!(said.starts_with("HTTP/1.1 101 ") && said.contains(r#""tls_required":true"#), "{said}");

    // The next ones are shown another.
    certificate("browser");
    Command::new("kill").args(["-HUP", &natsws.child.id().to_string()]).status().unwrap();
    assert!(natsws.lines.next().unwrap().unwrap().ends_with("the certificates are read anew"));
    let mut session = rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let mut socket = natsws.ask("");
    let error = rustls::Stream::new(&mut session, &mut socket).read(&mut [0]).unwrap_err();
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    assert!(natsws.lines.next().unwrap().unwrap().contains("TLS: the other side says "));
    files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
}

#[test]
#[cfg(feature = "tls")]
fn a_server_speaks_tls() {
    let (made, files) = certificate("server");
    let server = Server::start(r#","tls_required":true"#);
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], made.signing_key.into())
        .unwrap();
    let port = server.listener.local_addr().unwrap().port();
    let natsws = Natsws::start(&format!("tls://127.0.0.1:{port}"), &["--tlsca", &files[0]]);
    // The handshake with the server is one with the browser's.
    std::thread::scope(|scope| {
        let heard = scope.spawn(|| {
            let (nats, ()) = server.meet(|| ());
            let mut session = rustls::ServerConnection::new(std::sync::Arc::new(config)).unwrap();
            let mut socket = nats.into_inner();
            let mut stream = rustls::Stream::new(&mut session, &mut socket);
            let mut heard = vec![0; 1024];
            let len = stream.read(&mut heard).unwrap();
            heard.truncate(len);
            String::from_utf8(heard).unwrap()
        });
        let mut browser = natsws.browser("");
        assert!(!browser.line().contains("tls_required"));
        browser.send(b"CONNECT {}\r\n");
        assert_eq!(heard.join().unwrap(), "CONNECT {}\r\n");
    });

    // Without tls:// it is not reached, and no word is said in the clear.
    let plain = Natsws::start(&server.url, &[]);
    let (mut nats, answer) = server.meet(|| plain.answer(&upgrade("")));
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(nats.read(&mut [0]).unwrap(), 0);
    files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
}

#[test]
fn mistakes_exit_with_2() {
    for args in [
        &["--origin", "x"][..],
        &["--listen", "x"],
        &["--nats", "ws://a"],
        &["--config", "/nowhere.conf"],
        &["--nkey", "/dev/null"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lunix-bridge"));
        let output = command.arg("natsws").args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty());
    }
}
