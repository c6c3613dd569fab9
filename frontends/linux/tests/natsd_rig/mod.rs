//! A natsd with a configuration that may change, and clients that speak in lines.

#![allow(dead_code, unreachable_pub, reason = "every test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

pub mod credentials;
pub mod realm;

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub use crate::folder::Folder;

pub const LUNIX: &str = env!("CARGO_BIN_EXE_lunix");
pub const CONNECT: &str = r#"CONNECT {"verbose":false,"pedantic":false,"headers":true,"protocol":1}"#;
/// How long anything may take. Nothing waits that long on purpose.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running natsd, whose configuration is `natsd.conf` and whose log is `log` in its folder.
pub struct Server {
    pub child: Child,
    pub folder: Folder,
    pub port: u16,
}

impl Server {
    pub fn start(config: &str) -> Self {
        Self::start_with(config, &[])
    }

    pub fn start_with(config: &str, flags: &[&str]) -> Self {
        let folder = Folder::new();
        let path = folder.file("natsd.conf", config);
        let child = Command::new(LUNIX)
            .args(["natsd", "-p", "-1", "--socket", "none"])
            .arg("-c")
            .arg(path)
            .arg("-ports_file_dir")
            .arg(&folder.0)
            .arg("-l")
            .arg(folder.0.join("log"))
            .args(flags)
            .spawn()
            .unwrap();
        let ports = folder.0.join(format!("natsd_{}.ports", child.id()));
        let mut server = Self { child, folder, port: 0 };
        let text = wait_for("the ports file", || fs::read_to_string(&ports).ok());
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let url = json["nats"][0].as_str().unwrap();
        server.port = url.rsplit(':').next().unwrap().parse().unwrap();
        server
    }

    pub fn configure(&self, config: &str) {
        self.folder.file("natsd.conf", config);
    }

    /// Writes another configuration, and reads it as soon as its last line is in the log.
    pub fn reload(&self, config: &str, last: &str) {
        self.configure(config);
        let before = self.log().matches(last).count();
        self.kill("-HUP");
        wait_for(last, || (self.log().matches(last).count() > before).then_some(()));
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.0.join("log")).unwrap_or_default()
    }

    /// The log's lines without process id and time, from the first that contains `from`.
    pub fn log_from(&self, from: &str) -> Vec<String> {
        let text = |line: &str| line.splitn(4, ' ').skip(3).collect::<String>();
        self.log().lines().map(text).skip_while(|line| !line.contains(from)).collect()
    }

    pub fn wait_for_log(&self, text: &str) {
        wait_for(text, || self.log().contains(text).then_some(()));
    }

    pub fn kill(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub fn try_connect(&self) -> Option<Client> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Client { reader: BufReader::new(stream), info: String::new() };
        client.info = client.line();
        Some(client)
    }

    /// A client that has said nothing, whose server has said `INFO`.
    pub fn open(&self) -> Client {
        self.try_connect().unwrap()
    }

    /// A client that is connected and hears of changes.
    pub fn connect(&self) -> Client {
        let mut client = self.open();
        client.say(CONNECT);
        client.say("PING");
        assert_eq!(client.line(), "PONG");
        assert!(client.line().starts_with("INFO {"));
        client
    }

    /// The exit code, once it has ended.
    pub fn end(&mut self) -> Option<i32> {
        wait_for("the end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Client {
    pub reader: BufReader<TcpStream>,
    /// The first line that it heard.
    pub info: String,
}

impl Client {
    pub fn say(&mut self, line: &str) {
        let text = line.replace('\n', "\r\n") + "\r\n";
        self.reader.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// The next line without its end; empty at the end of the connection.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(_) => line.trim_end().to_owned(),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => String::new(),
            Err(error) => panic!("{error} after {line:?}"),
        }
    }

    /// Everything that was said before has been heard, and nothing came.
    #[track_caller]
    pub fn sync(&mut self) {
        self.say("PING");
        assert_eq!(self.line(), "PONG");
    }
}

#[track_caller]
pub fn wait_for<T>(name: &str, mut what: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{name}: it did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The exit code and all that `natsd` says with these arguments.
pub fn natsd(args: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = Command::new(LUNIX).arg("natsd").args(args).output().unwrap();
    (status.code().unwrap(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

/// A Python that has nats-py.
pub fn python(test: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let python = Path::new(&home).join(".cache/lunix/interop-python/bin/python");
    let works = Command::new(&python)
        .args(["-c", "import nats"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        eprintln!("SKIPPED {test}: no Python with nats-py");
        return None;
    }
    Some(python)
}
