//! A client that keeps what it heard until somebody asks for it.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{PATIENCE, until};

/// What supervisors say on their own. Whoever subscribes to all of `service.>` would count as one who answers requests.
const EVENTS: [&str; 13] = [
    "service.*.waiting",
    "service.*.starting",
    "service.*.ready",
    "service.*.stopping",
    "service.*.stopped",
    "service.*.failed",
    "service.*.backoff",
    "service.*.oom",
    "service.*.log",
    "system.healthy",
    "system.pressure.*",
    "system.mistakes",
    "probe",
];

const CONNECT: &str = r#"CONNECT {"verbose":false,"protocol":1,"headers":true,"no_responders":true}"#;

pub struct Bus {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    inbox: u32,
    /// Subjects and payloads that nobody has asked for yet.
    heard: VecDeque<(String, Vec<u8>)>,
    /// Why the last request was refused, as a number.
    code: Option<u16>,
    /// Log lines are left out.
    quiet: bool,
}

impl Bus {
    /// Waits for the server, and checks with `alive` meanwhile that it may still come.
    pub fn connect(path: &Path, alive: impl Fn()) -> Self {
        let stream = until("server", || {
            alive();
            UnixStream::connect(path).ok()
        });
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let stream = BufReader::new(stream);
        let mut bus = Self {
            stream,
            path: path.to_owned(),
            inbox: 0,
            heard: VecDeque::new(),
            code: None,
            quiet: false,
        };
        let events: String =
            (1..).zip(EVENTS).map(|(sid, subject)| format!("SUB {subject} {sid}\r\n")).collect();
        bus.send(format!("{CONNECT}\r\n{events}SUB _INBOX.test.* 99\r\nPING\r\n").as_bytes());
        let mut line = String::new();
        while line.trim_end() != "PONG" {
            line.clear();
            assert!(bus.stream.read_line(&mut line).unwrap() > 0, "the server is gone");
            assert!(!line.starts_with("-ERR"), "{line}");
        }
        bus
    }

    /// Another connection to the same server.
    pub fn again(&self) -> Self {
        Self::connect(&self.path, || {})
    }

    /// Without the lines of logs from here on.
    pub fn without_logs(mut self) -> Self {
        let sid = EVENTS.iter().position(|subject| subject.ends_with(".log")).unwrap() + 1;
        self.send(format!("UNSUB {sid}\r\n").as_bytes());
        self.quiet = true;
        self.heard.retain(|(subject, _)| !subject.ends_with(".log"));
        self
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// The next message from the server, whatever it is; `None` if there is none in time.
    fn receive(&mut self, patience: Duration) -> Option<(String, Vec<u8>)> {
        let end = Instant::now() + patience;
        loop {
            let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            if self.stream.buffer().is_empty() {
                self.stream.get_mut().set_read_timeout(Some(left)).unwrap();
                match self.stream.fill_buf() {
                    Ok(buffer) => assert!(!buffer.is_empty(), "the server is gone"),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
                    Err(error) => panic!("{error}"),
                }
                self.stream.get_mut().set_read_timeout(Some(PATIENCE)).unwrap();
            }
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            let line = line.trim_end();
            let words: Vec<&str> = line.split(' ').collect();
            match words[0] {
                "PING" => self.send(b"PONG\r\n"),
                "-ERR" => panic!("{line}"),
                "MSG" | "HMSG" => {
                    let mut payload = vec![0; words.last().unwrap().parse::<usize>().unwrap() + 2];
                    self.stream.read_exact(&mut payload).unwrap();
                    payload.truncate(payload.len() - 2);
                    let header = if words[0] == "HMSG" { words[words.len() - 2].parse().unwrap() } else { 0 };
                    let headers = String::from_utf8_lossy(&payload[..header]).into_owned();
                    let payload = payload.split_off(header);
                    let code = headers.lines().find_map(|line| line.strip_prefix("Nats-Service-Error-Code:"));
                    self.code = code.map(|code| code.trim().parse().unwrap());
                    assert_eq!(code.is_some(), headers.contains("Nats-Service-Error:"), "{headers}");
                    if headers.starts_with("NATS/1.0 503") {
                        return Some((words[1].to_owned(), b"{\"error\":\"nobody answers\"}".to_vec()));
                    }
                    return Some((words[1].to_owned(), payload));
                }
                _ => {}
            }
        }
    }

    /// The next event that `wanted` takes, those kept from earlier first; others stay.
    pub fn find(
        &mut self,
        patience: Duration,
        mut wanted: impl FnMut(&str, &Value) -> bool,
    ) -> Option<(String, Value)> {
        let parse = |payload: &[u8]| serde_json::from_slice::<Value>(payload).unwrap_or_default();
        if let Some(at) = self.heard.iter().position(|(subject, payload)| wanted(subject, &parse(payload))) {
            let (subject, payload) = self.heard.remove(at).unwrap();
            return Some((subject, parse(&payload)));
        }
        let end = Instant::now() + patience;
        loop {
            let (subject, payload) = self.receive(end.saturating_duration_since(Instant::now()))?;
            let value = parse(&payload);
            if wanted(&subject, &value) {
                return Some((subject, value));
            }
            if !subject.starts_with("_INBOX.") {
                self.keep(subject, payload);
            }
        }
    }

    fn keep(&mut self, subject: String, payload: Vec<u8>) {
        // What floods is not kept without end.
        if self.heard.len() < 200_000 {
            self.heard.push_back((subject, payload));
        }
    }

    /// Waits for an event on this subject.
    pub fn event(&mut self, subject: &str) -> Value {
        match self.find(PATIENCE, |found, _| found == subject) {
            Some((_, value)) => value,
            None => panic!("no {subject} among {:?}", self.order()),
        }
    }

    /// Everything that was heard until now and has not been asked for, in order.
    pub fn drain(&mut self) -> Vec<(String, Value)> {
        while let Some((subject, payload)) = self.receive(Duration::from_millis(1)) {
            if !subject.starts_with("_INBOX.") {
                self.keep(subject, payload);
            }
        }
        let parse = |(subject, payload): (String, Vec<u8>)| {
            (subject, serde_json::from_slice::<Value>(&payload).unwrap_or_default())
        };
        self.heard.drain(..).map(parse).collect()
    }

    /// The subjects of what is kept.
    pub fn order(&self) -> Vec<&str> {
        self.heard
            .iter()
            .map(|(subject, _)| subject.as_str())
            .filter(|subject| !subject.ends_with(".log"))
            .collect()
    }

    pub fn publish(&mut self, subject: &str, payload: &str) {
        self.send(format!("PUB {subject} {}\r\n{payload}\r\n", payload.len()).as_bytes());
    }

    /// Sends a request whose answer nobody waits for.
    pub fn fire(&mut self, subject: &str) {
        self.inbox += 1;
        self.send(format!("PUB {subject} _INBOX.test.{} 0\r\n\r\n", self.inbox).as_bytes());
    }

    /// The answer as text, `None` if nobody answers in time.
    pub fn try_ask(&mut self, subject: &str, payload: &str, patience: Duration) -> Option<String> {
        self.inbox += 1;
        let inbox = format!("_INBOX.test.{}", self.inbox);
        self.send(format!("PUB {subject} {inbox} {}\r\n{payload}\r\n", payload.len()).as_bytes());
        let end = Instant::now() + patience;
        loop {
            let (found, payload) = self.receive(end.saturating_duration_since(Instant::now()))?;
            if found == inbox {
                let refused = payload.starts_with(b"{\"error\":") && !payload.ends_with(b"nobody answers\"}");
                assert_eq!(self.code.is_some(), refused, "{}", String::from_utf8_lossy(&payload));
                return Some(String::from_utf8(payload).unwrap());
            }
            if !found.starts_with("_INBOX.") {
                self.keep(found, payload);
            }
        }
    }

    /// The answer to a request.
    pub fn ask(&mut self, subject: &str) -> Value {
        self.ask_with(subject, "")
    }

    pub fn ask_with(&mut self, subject: &str, payload: &str) -> Value {
        let answer = self.try_ask(subject, payload, PATIENCE);
        let answer = answer.unwrap_or_else(|| panic!("no answer to {subject}"));
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{subject}: {error}: {answer}"))
    }

    /// The number with which a request is refused, and why.
    pub fn refused(&mut self, subject: &str, payload: &str) -> (u16, String) {
        let answer = self.ask_with(subject, payload);
        let code = self.code.unwrap_or_else(|| panic!("{subject} is not refused: {answer}"));
        (code, answer["error"].as_str().unwrap_or_default().to_owned())
    }

    /// The state of a service, as it is now; empty while nobody answers.
    pub fn state(&mut self, name: &str) -> String {
        self.status(name)["state"].as_str().unwrap_or_default().to_owned()
    }

    pub fn status(&mut self, name: &str) -> Value {
        self.ask(&format!("service.{name}.status"))
    }

    /// Waits until the service is in this state; its status.
    pub fn is(&mut self, name: &str, state: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let status = self.status(name);
            if status["state"] == state {
                return status;
            }
            assert!(Instant::now() < end, "{name} is not {state}: {status}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The process of a service that runs, by its number in there.
    pub fn pid(&mut self, name: &str) -> u64 {
        let status = self.status(name);
        status["pid"].as_u64().unwrap_or_else(|| panic!("{name} has no process: {status}"))
    }
}
