//! natsmqtt's listeners with TLS as mosquitto's programs and OpenSSL see them, and whom certificates make of who connects.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod mqtt_rig;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use mqtt_rig::{Gateway, Nats, natsd};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A folder of certificates, which goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("natsmqtt-tls-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Somebody who signs.
struct Authority<'f> {
    folder: &'f Folder,
    issuer: Issuer<'static, KeyPair>,
}

impl<'f> Authority<'f> {
    /// Whose own certificate is `NAME.pem`.
    fn new(folder: &'f Folder, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        fs::write(folder.path(&format!("{name}.pem")), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    /// Makes `NAME.pem` and `NAME-key.pem`, valid to the end of `year`.
    fn sign(&self, name: &str, common: &str, names: Vec<SanType>, year: i32) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common);
        params.subject_alt_names = names;
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.folder.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(self.folder.path(&format!("{name}-key.pem")), key.serialize_pem()).unwrap();
    }

    fn sign_server(&self) {
        let names = ["localhost".try_into().map(SanType::DnsName).unwrap()];
        let address = SanType::IpAddress("127.0.0.1".parse().unwrap());
        self.sign("server", "server", names.into_iter().chain([address]).collect(), 2999);
    }
}

/// natsmqtt with a listener with TLS, by the certificates of `folder`, and what else its file says.
fn gateway(nats: &lunix::natsd::Server, folder: &Folder, tls: &str, rest: &str) -> Gateway {
    let text = format!("tls {{ cert_file: 'server.pem', key_file: 'server-key.pem', {tls} }}\n{rest}\n");
    let path = folder.path("natsmqtt.conf");
    fs::write(
        &path,
        text.replace("'server", &format!("'{}/server", folder.0.display()))
            .replace("DIR", folder.0.to_str().unwrap()),
    )
    .unwrap();
    Gateway::start(nats, &["--listen", "mqtts://127.0.0.1:0", "--config", &path])
}

/// mosquitto_pub at the listener with TLS, with a certificate of the folder if one is named.
fn publish(gateway: &Gateway, folder: &Folder, certificate: Option<&str>, args: &[&str]) -> Output {
    let address = gateway.listener("mqtts");
    let (_, port) = address.rsplit_once(':').unwrap();
    let mut command = Command::new("mosquitto_pub");
    command.args([
        "-h",
        "localhost",
        "-p",
        port,
        "-V",
        "mqttv5",
        "-q",
        "1",
        "--cafile",
        &folder.path("ca.pem"),
    ]);
    if let Some(name) = certificate {
        command.args(["--cert", &folder.path(&format!("{name}.pem"))]);
        command.args(["--key", &folder.path(&format!("{name}-key.pem"))]);
    }
    command.args(args).output().unwrap()
}

fn has_mosquitto(test: &str) -> bool {
    let found = Command::new("mosquitto_pub").arg("--help").stdout(Stdio::null()).status().is_ok();
    if !found {
        println!("SKIPPED {test}: no mosquitto_pub here");
    }
    found
}

#[test]
fn with_a_certificate_of_ours_devices_speak_tls() {
    if !has_mosquitto("with_a_certificate_of_ours_devices_speak_tls") {
        return;
    }
    let (server, folder) = (natsd("-1"), Folder::new("ours"));
    Authority::new(&folder, "ca").sign_server();
    let gateway = gateway(&server, &folder, "", "users: [{ user: sensor, password: secret }]");
    let mut nats = Nats::connect(&server);
    nats.say("SUB a.b 1\r\nSUB down 2");
    nats.flush();
    let user = ["-u", "sensor", "-P"];
    let said = publish(&gateway, &folder, None, &[&user[..], &["secret", "-t", "a/b", "-m", "17"]].concat());
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(nats.message().1.ends_with("\r\n\r\n17"));
    // More than a record of TLS, more than a piece, and less than a pipe holds.
    let large = "x".repeat(50_000);
    let file = folder.path("large");
    fs::write(&file, &large).unwrap();
    let args = [&user[..], &["secret", "-t", "a/b", "-f", &file]].concat();
    assert!(publish(&gateway, &folder, None, &args).status.success());
    assert!(nats.message().1.ends_with(&format!("\r\n\r\n{large}")));
    let said = publish(&gateway, &folder, None, &[&user[..], &["wrong", "-t", "a/b", "-m", "17"]].concat());
    assert!(!said.status.success());
    // And back.
    let address = gateway.listener("mqtts");
    let (_, port) = address.rsplit_once(':').unwrap();
    let mut listener = Command::new("mosquitto_sub")
        .args([
            "-h",
            "localhost",
            "-p",
            port,
            "--cafile",
            &folder.path("ca.pem"),
            "-u",
            "sensor",
            "-P",
            "secret",
        ])
        .args(["-t", "down", "-C", "1", "-W", "60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It does not say when it has subscribed: until it hears something, it is said again.
    while listener.try_wait().unwrap().is_none() {
        nats.say(&format!("PUB down {}\r\n{large}", large.len()));
        nats.message();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let mut told = String::new();
    listener.stdout.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(told.trim_end(), large);
}

#[test]
fn a_certificate_is_a_user() {
    if !has_mosquitto("a_certificate_is_a_user") {
        return;
    }
    let (server, folder) = (natsd("-1"), Folder::new("users"));
    let authority = Authority::new(&folder, "ca");
    authority.sign_server();
    let email = |name: &str| vec![SanType::Rfc822Name(name.try_into().unwrap())];
    let dns = |name: &str| vec![SanType::DnsName(name.try_into().unwrap())];
    authority.sign("by-name", "lamp", Vec::new(), 2999);
    authority.sign("by-email", "x", email("lamp@home"), 2999);
    authority.sign("by-dns", "x", dns("lamp.home"), 2999);
    authority.sign("foreigner", "nobody", Vec::new(), 2999);
    let users = "users: [
        { user: lamp, permissions: { publish: 'lamp/#' } }
        { user: 'lamp@home', permissions: { publish: 'mail/#' } }
        { user: 'lamp.home', permissions: { publish: 'dns/#' } }
        { user: admin, password: secret }
    ]";
    let mut gateway = gateway(&server, &folder, "ca_file: 'DIR/ca.pem', verify_and_map: true", users);
    for (certificate, topic, admitted) in [
        ("by-name", "lamp/1", true),
        ("by-name", "mail/1", false),
        ("by-email", "mail/1", true),
        ("by-email", "lamp/1", false),
        ("by-dns", "dns/1", true),
    ] {
        let said = publish(&gateway, &folder, Some(certificate), &["-t", topic, "-m", "on"]);
        let words = String::from_utf8_lossy(&said.stderr).into_owned();
        // mosquitto_pub warns of it, and goes on.
        let refused = words.contains("Not authorized") || words.contains("failed");
        assert_eq!(said.status.success() && !refused, admitted, "{certificate} {topic}: {words}");
    }
    // A name beside it has to be the same one, and a password is none of those.
    for (args, admitted) in [(&["-u", "lamp"][..], true), (&["-u", "admin", "-P", "secret"], false)] {
        let said =
            publish(&gateway, &folder, Some("by-name"), &[args, &["-t", "lamp/1", "-m", "on"]].concat());
        assert_eq!(said.status.success(), admitted, "{args:?}");
    }
    let said = publish(&gateway, &folder, Some("foreigner"), &["-t", "lamp/1", "-m", "on"]);
    assert!(!said.status.success());
    assert!(gateway.said().ends_with("the certificate is no user's"));
    // Where there is no TLS, nobody is lamp.
    let plain = Command::new("mosquitto_pub")
        .args(["-p", &gateway.port(), "-u", "lamp", "-P", "", "-t", "lamp/1", "-m", "on"])
        .output()
        .unwrap();
    assert!(!plain.status.success());
}

#[test]
fn who_shows_no_good_certificate_is_refused_in_one_line() {
    let (server, folder) = (natsd("-1"), Folder::new("refused"));
    let authority = Authority::new(&folder, "ca");
    authority.sign_server();
    authority.sign("expired", "lamp", Vec::new(), 2001);
    Authority::new(&folder, "other").sign("foreign", "lamp", Vec::new(), 2999);
    let mut gateway = gateway(&server, &folder, "ca_file: 'DIR/ca.pem', verify: true", "anonymous: true");
    for (certificate, expected) in [
        (None, "TLS: no certificate was shown"),
        (Some("expired"), "TLS: certificate expired: "),
        (Some("foreign"), "TLS: the certificate is signed by nobody whose signatures count"),
    ] {
        let mut stream = tls(&gateway, &folder, certificate);
        // In TLS 1.3 it is the first read that hears of it.
        assert!(stream.read(&mut [0]).is_err(), "{certificate:?}");
        let line = gateway.said();
        assert!(line.contains(expected), "{line}");
    }
    // MQTT in the clear, and nothing that is anything.
    for bytes in [&b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a"[..], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut socket = TcpStream::connect(gateway.listener("mqtts")).unwrap();
        socket.set_read_timeout(Some(mqtt_rig::PATIENCE)).unwrap();
        socket.write_all(bytes).unwrap();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
        let line = gateway.said();
        assert!(line.ends_with("TLS: what came is not TLS"), "{line}");
    }
}

#[test]
fn a_renewed_certificate_is_shown_after_sighup() {
    let (server, folder) = (natsd("-1"), Folder::new("renewed"));
    Authority::new(&folder, "ca").sign_server();
    let mut gateway = gateway(&server, &folder, "", "");
    let first = shown(&gateway, &folder);
    Authority::new(&folder, "ca").sign_server();
    let hang_up = |gateway: &mut Gateway| {
        gateway.signal("-HUP");
        gateway.said()
    };
    assert!(hang_up(&mut gateway).ends_with("the certificates are read anew"));
    let second = shown(&gateway, &folder);
    assert_ne!(first, second);
    fs::write(folder.path("server.pem"), "nothing").unwrap();
    let line = hang_up(&mut gateway);
    assert!(line.contains("the certificates stay as they were: ") && line.contains("server.pem"), "{line}");
    assert_eq!(shown(&gateway, &folder), second);
}

/// The certificate that the listener shows.
fn shown(gateway: &Gateway, folder: &Folder) -> Vec<u8> {
    let mut stream = tls(gateway, folder, None);
    stream.write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a").unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0x20, 2, 0, 0]);
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

/// A connection that trusts `ca.pem` and shows `certificate`.
fn tls(
    gateway: &Gateway,
    folder: &Folder,
    certificate: Option<&str>,
) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    let mut authorities = rustls::RootCertStore::empty();
    authorities.add(CertificateDer::from_pem_file(folder.path("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authorities);
    let config = match certificate {
        None => builder.with_no_client_auth(),
        Some(name) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(folder.path(&format!("{name}.pem"))).unwrap()],
                PrivateKeyDer::from_pem_file(folder.path(&format!("{name}-key.pem"))).unwrap(),
            )
            .unwrap(),
    };
    let session = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let socket = TcpStream::connect(gateway.listener("mqtts")).unwrap();
    socket.set_read_timeout(Some(mqtt_rig::PATIENCE)).unwrap();
    rustls::StreamOwned::new(session, socket)
}
