//! natsd and nats-server side by side, clients made of bytes, and HTTP.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "a test, and each uses its part")]

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    pub(crate) http: u16,
}

/// nats-server, where the tests were told of one.
pub(crate) fn reference() -> Option<PathBuf> {
    let path = std::env::var_os("NATS_SERVER").map(PathBuf::from).filter(|path| path.exists());
    if path.is_none() {
        println!("SKIPPED the comparison with nats-server: $NATS_SERVER names none");
    }
    path
}

/// What `look` answers, as soon as it does.
pub(crate) fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain");
        sleep(Duration::from_millis(5));
    }
}

impl Server {
    /// natsd with monitoring.
    pub(crate) fn natsd(config: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lunix"));
        command.args(["natsd", "--socket", "none"]);
        Self::start(command, "natsd", config)
    }

    /// The program at `path`, which is a nats-server.
    pub(crate) fn other(path: &Path, config: &str) -> Self {
        let name = path.file_name().unwrap().to_str().unwrap();
        Self::start(Command::new(path), name, config)
    }

    fn start(mut command: Command, name: &str, config: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("natsd-peer-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("conf");
        fs::write(&file, format!("host: 127.0.0.1, port: -1, http: \"127.0.0.1:-1\"\n{config}")).unwrap();
        let child = command
            .args(["-D", "-c"])
            .arg(&file)
            .arg("--ports_file_dir")
            .arg(&folder)
            .arg("-l")
            .arg(folder.join("log"))
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let ports = folder.join(format!("{name}_{}.ports", child.id()));
        let mut server = Self { child, folder, port: 0, http: 0 };
        let ports = wait_for(|| {
            assert!(server.child.try_wait().unwrap().is_none(), "it did not start");
            serde_json::from_str::<Value>(&fs::read_to_string(&ports).ok()?).ok()
        });
        let port = |key: &str| ports[key][0].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        (server.port, server.http) = (port("nats"), port("monitoring"));
        server
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// A client that has said nothing.
    pub(crate) fn open(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Client { reader: BufReader::new(stream) };
        assert!(client.line().starts_with("INFO {"));
        client
    }

    /// A client that has said `CONNECT` with these members, and was answered.
    pub(crate) fn connect(&self, members: &str) -> Client {
        let mut client = self.open();
        let comma = if members.is_empty() { "" } else { "," };
        client.say(&format!("CONNECT {{\"verbose\":false,\"headers\":true{comma}{members}}}"));
        client.sync();
        client
    }

    /// A stream to the monitoring.
    pub(crate) fn visit(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.http)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The status and the body of a page.
    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        let mut stream = self.visit();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let (status, _, body) = answer(&mut BufReader::new(stream), false);
        (status, body)
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let (status, body) = self.page(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Reads an answer: status, header fields, and the body, put together from its chunks.
pub(crate) fn answer(reader: &mut BufReader<TcpStream>, bodiless: bool) -> (u16, String, String) {
    let line = |reader: &mut BufReader<TcpStream>| {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line
    };
    let first = line(reader);
    let status = first.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {first:?}")).parse().unwrap();
    let mut head = String::new();
    while let field = line(reader)
        && !field.trim().is_empty()
    {
        head += &field.to_ascii_lowercase();
    }
    let mut body = Vec::new();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    if bodiless {
    } else if head.contains("transfer-encoding: chunked") {
        loop {
            let size = usize::from_str_radix(line(reader).trim(), 16).unwrap();
            let begin = body.len();
            body.resize(begin + size, 0);
            reader.read_exact(&mut body[begin..]).unwrap();
            line(reader);
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = length {
        body.resize(length.parse().unwrap(), 0);
        reader.read_exact(&mut body).unwrap();
    } else {
        reader.read_to_end(&mut body).unwrap();
    }
    (status, head, String::from_utf8(body).unwrap())
}

/// A client made of bytes.
pub(crate) struct Client {
    pub(crate) reader: BufReader<TcpStream>,
}

/// A message.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) subject: String,
    pub(crate) payload: String,
}

impl Message {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.payload).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Client {
    /// A line, or several divided by LF; each gets its CR LF.
    pub(crate) fn say(&mut self, lines: &str) {
        self.reader.get_mut().write_all((lines.replace('\n', "\r\n") + "\r\n").as_bytes()).unwrap();
    }

    /// The next line; empty at the end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(_) => line.trim_end().to_owned(),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => String::new(),
            Err(error) => panic!("{error}"),
        }
    }

    /// All that was said is done.
    pub(crate) fn sync(&mut self) {
        self.say("PING");
        while self.line() != "PONG" {}
    }

    /// The next message.
    pub(crate) fn message(&mut self) -> Message {
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "the connection is closed");
            let words: Vec<&str> = line.split(' ').collect();
            let (header, size) = match words[0] {
                "MSG" => (0, words[words.len() - 1]),
                "HMSG" => (words[words.len() - 2].parse().unwrap(), words[words.len() - 1]),
                "PING" => {
                    self.say("PONG");
                    continue;
                }
                "-ERR" => panic!("{line}"),
                _ => continue,
            };
            let mut payload = vec![0; size.parse::<usize>().unwrap() + 2];
            self.reader.read_exact(&mut payload).unwrap();
            payload.truncate(payload.len() - 2);
            let payload = String::from_utf8(payload.split_off(header)).unwrap();
            return Message { subject: words[1].to_owned(), payload };
        }
    }

    /// The answer to a request.
    pub(crate) fn request(&mut self, subject: &str, payload: &str) -> Message {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let inbox = format!("_INBOX.rig.{number}");
        self.say(&format!("SUB {inbox} r{number}\nPUB {subject} {inbox} {}\n{payload}", payload.len()));
        loop {
            let message = self.message();
            if message.subject == inbox {
                self.say(&format!("UNSUB r{number}"));
                return message;
            }
        }
    }
}

/// What a JSON value is made of, in lines: the path of each member and its type. All elements of a list count together.
pub(crate) fn shape(value: &Value) -> std::collections::BTreeSet<String> {
    fn walk(value: &Value, path: &str, lines: &mut std::collections::BTreeSet<String>) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(elements) => {
                elements.iter().for_each(|element| walk(element, &format!("{path}[]"), lines));
                "list"
            }
            Value::Object(members) => {
                members.iter().for_each(|(key, value)| walk(value, &format!("{path}.{key}"), lines));
                "object"
            }
        };
        lines.insert(format!("{path}: {kind}"));
    }
    let mut lines = std::collections::BTreeSet::new();
    walk(value, "", &mut lines);
    lines
}

/// Fails where `ours` and `theirs` differ otherwise than by lines that begin with one of `except`.
pub(crate) fn same_shape(what: &str, ours: &Value, theirs: &Value, except: &[&str]) {
    let (ours, theirs) = (shape(ours), shape(theirs));
    let differences: Vec<String> = ours
        .difference(&theirs)
        .map(|line| format!("only natsd: {line}"))
        .chain(theirs.difference(&ours).map(|line| format!("only nats-server: {line}")))
        .filter(|line| {
            let path = line.split_once(": ").unwrap().1;
            !except.iter().any(|except| path.starts_with(except))
        })
        .collect();
    assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
}
