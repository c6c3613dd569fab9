//! How our programs show who they are, and see whom they talk to: against Debian's nats-server and our natsd.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod folder;
mod nats_server;
mod tls;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use lunix_proto::nkey::base64::encode_url;
use nats_server::{Server, each};
use nkeys::KeyPair;
use serde_json::{Value, json};
use tls::{Authority, Folder};

/// Publishes, and waits until the server has it; with `more` flags, and nothing of the environment's.
fn publish(folder: &Folder, url: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lunix"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("NATS_")) {
        command.env_remove(name);
    }
    command.current_dir(&folder.0).stdin(Stdio::null());
    command.args(["pub", "--nats", url, "x", "y"]).args(more).output().unwrap()
}

#[track_caller]
fn accepted(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// It found no server that it would talk to, and said why in one line.
#[track_caller]
fn refused(output: &Output, why: &str) {
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), line.lines().count()), (Some(1), 1), "{line}");
    assert!(line.contains(why), "{line}");
}

/// The server with this configuration, and the certificates of an authority `ca` in `folder`.
fn configured(mut server: Server, folder: &Folder, config: &str) -> Server {
    let authority = Authority::new(&folder.0, "ca");
    authority.sign_server("server");
    authority.sign("client", &[(rcgen::DnType::CommonName, "client")], Vec::new());
    Authority::new(&folder.0, "other");
    let path = folder.0.join("conf");
    fs::write(&path, config.replace("DIR", &folder.0.display().to_string())).unwrap();
    server.restart_with(&["-c", path.to_str().unwrap()]);
    server
}

#[test]
fn what_the_server_wants_encrypted_is() {
    each("what_the_server_wants_encrypted_is", |server| {
        let folder = Folder::new();
        let server = configured(server, &folder, &tls::block(""));
        let plain = format!("nats://localhost:{}", server.port);
        accepted(&publish(&folder, &plain, &["--tlsca", "ca.pem"]));
        accepted(&publish(&folder, &format!("tls://127.0.0.1:{}", server.port), &["--tlsca", "ca.pem"]));
        refused(&publish(&folder, &plain, &["--tlsca", "other.pem"]), "TLS: invalid peer certificate");
    });
}

#[test]
fn a_megabyte_goes_through_in_order() {
    each("a_megabyte_goes_through_in_order", |server| {
        let folder = Folder::new();
        let server = configured(server, &folder, &tls::block(""));
        let url = format!("tls://localhost:{}", server.port);
        let text: String = (0..100_000).map(|number| format!("{number:09} ")).collect();
        let lunix = |args: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_lunix"));
            command.current_dir(&folder.0).args(args).args(["--nats", &url, "--tlsca", "ca.pem"]);
            command
        };
        let mut subscriber =
            lunix(&["sub", "big", "--count", "3", "--raw"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = subscriber.stdout.take().unwrap();
        // The subscription is there once somebody hears it.
        tls::wait(|| {
            let knock = lunix(&["req", "big", "--timeout", "1"]).output().unwrap();
            (!String::from_utf8_lossy(&knock.stderr).contains("nobody")).then_some(())
        });
        for _ in 0..2 {
            let mut publisher = lunix(&["pub", "big", "-"]).stdin(Stdio::piped()).spawn().unwrap();
            publisher.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
            assert!(publisher.wait().unwrap().success());
        }
        let mut heard = String::new();
        out.read_to_string(&mut heard).unwrap();
        assert!(subscriber.wait().unwrap().success());
        let heard: String = heard.split('\n').collect();
        assert!(heard == format!("{text}{text}"), "{} bytes", heard.len());
    });
}

#[test]
fn a_certificate_of_ours_is_shown() {
    each("a_certificate_of_ours_is_shown", |server| {
        let folder = Folder::new();
        let config = tls::block("ca_file: \"DIR/ca.pem\", verify_and_map: true")
            + "authorization { users: [{ user: \"CN=client\" }] }";
        let server = configured(server, &folder, &config);
        let url = server.url();
        let shown = ["--tlsca", "ca.pem", "--tlscert", "client.pem", "--tlskey", "client-key.pem"];
        accepted(&publish(&folder, &url, &shown));
        let output = publish(&folder, &url, &["--tlsca", "ca.pem"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    });
}

#[test]
fn a_server_that_cannot_encrypt_hears_nothing() {
    for (info, first) in [("INFO {}\r\n", 0x16), ("INFO {\"tls_required\":true}\r\nPING\r\n", 0)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(info.as_bytes()).unwrap();
            let mut byte = [0];
            let _ = stream.read(&mut byte);
            byte[0]
        });
        let folder = Folder::new();
        Authority::new(&folder.0, "ca");
        let output = publish(&folder, &format!("tls://127.0.0.1:{port}"), &["--tlsca", "ca.pem"]);
        assert_eq!(heard.join().unwrap(), first, "{info:?}");
        refused(&output, if first == 0 { "more in the clear" } else { "no server" });
    }
}

#[test]
fn an_nkey_signs() {
    each("an_nkey_signs", |server| {
        let folder = Folder::new();
        let (user, other) = (KeyPair::new_user(), KeyPair::new_user());
        for (key, name) in [(&user, "user"), (&other, "other")] {
            fs::write(folder.0.join(name), key.seed().unwrap() + "\n").unwrap();
        }
        let config = format!("authorization {{ users = [{{ nkey: {} }}] }}", user.public_key());
        let server = configured(server, &folder, &config);
        accepted(&publish(&folder, &server.url(), &["--nkey", "user"]));
        refused(&publish(&folder, &server.url(), &["--nkey", "other"]), "authorization violation");
        refused(&publish(&folder, &server.url(), &[]), "authorization violation");
    });
}

/// A token, as `nsc` makes them.
fn token(issuer: &KeyPair, subject: &KeyPair, mut nats: Value) -> String {
    let base64 = |bytes: &[u8]| {
        let mut room = vec![0; bytes.len() * 2];
        encode_url(bytes, &mut room).unwrap().to_owned()
    };
    nats["version"] = json!(2);
    let claims = json!({
        "jti": "x", "iat": 1, "iss": issuer.public_key(), "sub": subject.public_key(), "name": "n", "nats": nats
    });
    let header = base64(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let signed = format!("{header}.{}", base64(claims.to_string().as_bytes()));
    let signature = base64(&issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

#[test]
fn credentials_sign() {
    each("credentials_sign", |server| {
        let folder = Folder::new();
        let [operator, account, user] =
            [KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user()];
        let limits = json!({"subs": -1, "conn": -1, "data": -1, "payload": -1, "wildcards": true});
        let operators = token(&operator, &operator, json!({"type": "operator"}));
        let accounts = token(&operator, &account, json!({"type": "account", "limits": limits}));
        let config = format!(
            "operator: \"{operators}\"\nresolver: MEMORY\nresolver_preload: {{ {}: \"{accounts}\" }}",
            account.public_key()
        );
        let server = configured(server, &folder, &config);
        let users = token(
            &account,
            &user,
            json!({"type": "user", "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}}),
        );
        let file = format!(
            "-----BEGIN NATS USER JWT-----\n{users}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            user.seed().unwrap()
        );
        fs::write(folder.0.join("user.creds"), file).unwrap();
        accepted(&publish(&folder, &server.url(), &["--creds", "user.creds"]));
        refused(&publish(&folder, &server.url(), &[]), "authorization violation");
    });
}

#[test]
fn mistakes_are_said_before_anything_begins() {
    let folder = Folder::new();
    fs::write(folder.0.join("empty"), "").unwrap();
    for (flags, line) in [
        (
            &["--creds", "missing"][..],
            "lunix pub: --creds: missing: No such file or directory (os error 2)\n",
        ),
        (&["--creds", "empty"], "lunix pub: --creds: empty: expected a user's token and seed\n"),
        (&["--nkey", "empty"], "lunix pub: --nkey: empty: no nkey\n"),
        (&["--nkey", "empty", "--creds", "empty"], "lunix pub: --creds and --nkey: expected one of them\n"),
        (&["--tlsca", "empty"], "lunix pub: --tlsca: empty: expected a certificate in PEM, found none\n"),
    ] {
        let output = publish(&folder, "nats://127.0.0.1:1", flags);
        assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(2), line));
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_lunix"));
    let output = command.args(["pub", "x"]).env("NATS_CREDS", Path::new("/nowhere")).output().unwrap();
    let line = String::from_utf8_lossy(&output.stderr);
    assert!(
        line.starts_with("lunix pub: $NATS_CREDS: /nowhere: ") && output.status.code() == Some(2),
        "{line}"
    );
}
