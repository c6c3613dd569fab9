//! natsd with certificates made for the test, and a client that speaks TLS.

#![allow(dead_code, unreachable_pub, reason = "every test uses a part of it")]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

pub use crate::folder::Folder;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\n";

/// Somebody who signs certificates, and keeps them as files.
pub struct Authority<'a> {
    folder: &'a Path,
    name: &'static str,
    issuer: Issuer<'static, KeyPair>,
}

impl<'a> Authority<'a> {
    /// Its own certificate is `NAME.pem`.
    pub fn new(folder: &'a Path, name: &'static str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        Self { folder, name, issuer: Issuer::new(params, key) }
    }

    /// Makes `NAME.pem` and `NAME-key.pem`; answers the hash of its key.
    pub fn sign(&self, name: &str, subject: &[(DnType, &str)], names: Vec<SanType>) -> [u8; 32] {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.subject_alt_names = names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(self.folder.join(format!("{name}-key.pem")), key.serialize_pem()).unwrap();
        let mut hash =
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap().common.hash_provider.start();
        hash.update(&rcgen::PublicKeyData::subject_public_key_info(&key));
        hash.finish().as_ref().try_into().unwrap()
    }

    /// The server's certificate.
    pub fn sign_server(&self, name: &str) -> [u8; 32] {
        let names = vec![
            SanType::DnsName("localhost".try_into().unwrap()),
            SanType::IpAddress("127.0.0.1".parse().unwrap()),
        ];
        self.sign(name, &[(DnType::CommonName, name)], names)
    }
}

/// A running natsd.
pub struct Server {
    pub child: Child,
    pub folder: Folder,
    pub port: u16,
}

impl Server {
    /// With `server.pem` of the authority `ca`, and further certificates that `make` makes.
    pub fn start(config: &str, make: impl FnOnce(&Authority<'_>)) -> Self {
        let folder = Folder::new();
        let authority = Authority::new(&folder.0, "ca");
        authority.sign_server("server");
        make(&authority);
        Self::start_in(folder, config)
    }

    /// `DIR` in `config` stands for the folder.
    pub fn start_in(folder: Folder, config: &str) -> Self {
        Self::start_with(folder, config, |_| {})
    }

    /// With what `set` sets of its command.
    pub fn start_with(folder: Folder, config: &str, set: impl FnOnce(&mut Command)) -> Self {
        let file = folder.0.join("natsd.conf");
        let path = folder.0.display().to_string();
        fs::write(&file, config.replace("DIR", &path)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lunix"));
        set(&mut command);
        let child = command
            .args(["natsd", "-p", "-1", "-D", "-ports_file_dir", &path])
            .arg("--socket")
            .arg(folder.0.join("sock"))
            .arg("-l")
            .arg(folder.0.join("log"))
            .arg("-c")
            .arg(file)
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let ports = folder.0.join(format!("natsd_{}.ports", child.id()));
        let text = wait(|| fs::read_to_string(&ports).ok());
        let port = text.split("//127.0.0.1:").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
        Self { child, folder, port }
    }

    /// The usual block, and `more` in it.
    pub fn with_tls(more: &str, make: impl FnOnce(&Authority<'_>)) -> Self {
        Self::start(&block(more), make)
    }

    pub fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Connects as official clients do: `INFO`, TLS, `CONNECT`. Also answers the `INFO`.
    pub fn connect(&self, config: ClientConfig) -> (Client<Secure>, String) {
        let mut plain = self.dial();
        let info = line(&mut plain);
        assert!(info.starts_with("INFO {"), "{info}");
        let mut client = secure(plain, config);
        client.say(CONNECT);
        (client, info)
    }

    /// Trusts `ca`, and nobody asks who the client is.
    pub fn trusting(&self) -> ClientConfig {
        self.config(rustls::ALL_VERSIONS, None)
    }

    pub fn config(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        certificate: Option<&str>,
    ) -> ClientConfig {
        let path = |name: &str| self.folder.0.join(name);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(path("ca.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        match certificate {
            None => builder.with_no_client_auth(),
            Some(name) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(path(&format!("{name}.pem"))).unwrap()],
                    PrivateKeyDer::from_pem_file(path(&format!("{name}-key.pem"))).unwrap(),
                )
                .unwrap(),
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.0.join("log")).unwrap_or_default()
    }

    pub fn wait_for_log(&self, text: &str) {
        self.wait_for_nth_log(text, 1);
    }

    pub fn wait_for_nth_log(&self, text: &str, times: usize) {
        wait(|| (self.log().matches(text).count() >= times).then_some(()));
    }

    pub fn kill(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// A number of /proc/PID/status, in kB where it has a unit.
    pub fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

pub fn block(more: &str) -> String {
    format!("tls {{ cert_file: \"DIR/server.pem\", key_file: \"DIR/server-key.pem\"\n{more}\n}}\n")
}

/// Waits until there is an answer, looking every few milliseconds.
#[track_caller]
pub fn wait<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A line, byte by byte, so that nothing behind it is taken.
pub fn line(stream: &mut impl Read) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while byte != [b'\n'] {
        match stream.read(&mut byte) {
            Ok(1) => line.push(byte[0]),
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&line)),
        }
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

pub type Secure = StreamOwned<ClientConnection, TcpStream>;

/// A client made of bytes. LF stands for CR LF in what it says, and CR is left out of what it hears.
pub struct Client<S>(pub S);

pub fn secure(stream: TcpStream, config: ClientConfig) -> Client<Secure> {
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    Client(StreamOwned::new(session, stream))
}

/// Whether a handshake comes to an end, and TLS is what is spoken then.
pub fn shakes_hands(stream: TcpStream, config: ClientConfig) -> bool {
    let Client(mut secure) = secure(stream, config);
    let mut byte = [0];
    secure.write_all(b"CONNECT {}\r\nPING\r\n").is_ok() && matches!(secure.read(&mut byte), Ok(1))
}

impl<S: Read + Write> Client<S> {
    pub fn say(&mut self, text: &str) {
        self.bytes(text.replace('\n', "\r\n").as_bytes());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
        self.0.flush().unwrap();
    }

    /// Exactly `text`.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let mut got = vec![0; text.replace('\n', "\r\n").len()];
        self.0.read_exact(&mut got).unwrap();
        let got = String::from_utf8_lossy(&got).replace('\r', "");
        assert!(got == text, "{got:.200?} instead of {text:.200?}");
    }

    /// Everything that was said before has been heard.
    #[track_caller]
    pub fn sync(&mut self) {
        self.say("PING\n");
        self.expect("PONG\n");
    }

    pub fn line(&mut self) -> String {
        line(&mut self.0)
    }

    /// What comes until the end; whether the end is a proper one does not matter.
    pub fn rest(&mut self) -> String {
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = self.0.read(&mut buffer) {
            all.extend_from_slice(&buffer[..len]);
        }
        String::from_utf8_lossy(&all).replace('\r', "")
    }
}
