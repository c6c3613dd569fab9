//! Real supervisors, their descendants, and a client that hears what they say.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

mod processes;

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

pub use processes::*;

/// A supervisor whose descendants are known by a mark in their environment.
pub struct Supervisor {
    pub child: Child,
    mark: String,
    pub lines: Receiver<String>,
    pub folder: PathBuf,
}

impl Supervisor {
    /// Starts `lunix` with `args` and additional environment.
    pub fn start(name: &str, args: &[&str], environment: &[(&str, &str)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(format!("lunix-{mark}"));
        fs::create_dir_all(&folder).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_lunix"))
            .args(args)
            .env("LUNIX_TEST_MARK", &mark)
            .env("XDG_RUNTIME_DIR", &folder)
            .envs(environment.iter().copied())
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let out: Box<dyn Read + Send> = Box::new(child.stdout.take().unwrap());
        let err: Box<dyn Read + Send> = Box::new(child.stderr.take().unwrap());
        for stream in [out, err] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    eprintln!("{line}");
                    let _ = sender.send(line);
                }
            });
        }
        Self { child, mark, lines, folder }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that holds `text`.
    pub fn line(&self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(end - Instant::now());
            let line = line.unwrap_or_else(|_| panic!("no line with '{text}'"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Every process that descends from the supervisor and has `word` in its command line, zombies apart.
    pub fn processes(&self, word: &str) -> Vec<u32> {
        let mark = format!("LUNIX_TEST_MARK={}\0", self.mark);
        let pids =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &u32| *pid != self.pid())
            .filter(|pid| {
                let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
                let environ = String::from_utf8_lossy(&read("environ")).into_owned();
                environ.contains(&mark) && String::from_utf8_lossy(&read("cmdline")).contains(word)
            })
            .collect()
    }

    pub fn signal(&self, signal: i32) {
        kill(self.pid(), signal);
    }

    pub fn wait(&mut self) -> Option<i32> {
        until("the supervisor's end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in self.processes("") {
            kill(pid, libc::SIGKILL);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Enough of a client for one subscription and for requests.
pub struct Client {
    stream: BufReader<TcpStream>,
    inbox: u32,
    address: String,
}

impl Client {
    pub fn connect(address: &str) -> Self {
        until("server", || Self::try_connect(address).ok())
    }

    /// Whoever looks whether a port is free listens on it for a moment: a connection to that one is reset.
    fn try_connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { stream: BufReader::new(stream), inbox: 0, address: address.to_owned() };
        // Events only: whoever subscribes to a request's subject counts as one who answers it.
        let states = ["starting", "ready", "stopping", "stopped", "failed", "backoff"];
        let states: String =
            states.iter().zip(1..).map(|(state, sid)| format!("SUB service.*.{state} {sid}\r\n")).collect();
        let connect = r#"CONNECT {"verbose":false,"protocol":1,"headers":true,"no_responders":true}"#;
        let hello = format!("{connect}\r\n{states}SUB _INBOX.natsinit.* 9\r\nPING\r\n");
        client.stream.get_mut().write_all(hello.as_bytes())?;
        let mut line = String::new();
        while line.trim_end() != "PONG" {
            line.clear();
            if client.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(client)
    }

    fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// The next message: subject and payload.
    pub fn message(&mut self) -> (String, String) {
        self.try_message().unwrap_or_else(|| panic!("the server is gone"))
    }

    fn try_message(&mut self) -> Option<(String, String)> {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).ok().filter(|length| *length > 0)?;
            let line = line.trim_end();
            let words: Vec<&str> = line.split(' ').collect();
            if words[0] == "PING" {
                self.stream.get_mut().write_all(b"PONG\r\n").ok()?;
            } else if words[0] == "MSG" || words[0] == "HMSG" {
                let mut payload = vec![0; words.last().unwrap().parse::<usize>().unwrap() + 2];
                self.stream.read_exact(&mut payload).ok()?;
                payload.truncate(payload.len() - 2);
                let header = if words[0] == "HMSG" { words[words.len() - 2].parse().unwrap() } else { 0 };
                let payload = payload.split_off(header);
                return Some((words[1].to_owned(), String::from_utf8(payload).unwrap()));
            }
        }
    }

    /// The next message whose subject is `subject`.
    pub fn event(&mut self, subject: &str) -> String {
        self.find(|found| found == subject).1
    }

    /// The next message with such a subject.
    pub fn find(&mut self, wanted: impl Fn(&str) -> bool) -> (String, String) {
        loop {
            let message = self.message();
            if wanted(&message.0) {
                return message;
            }
        }
    }

    /// The answer, or `None` if nobody answers soon or the server is gone. Where somebody listens to everything
    /// (`lunix watch`), the server does not know that nobody answers.
    pub fn try_request(&mut self, subject: &str) -> Option<String> {
        self.inbox += 1;
        let inbox = format!("_INBOX.natsinit.{}", self.inbox);
        let request = format!("PUB {subject} {inbox} 0\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes()).ok()?;
        let mut answers = std::iter::from_fn(|| self.message_within(Duration::from_millis(250)));
        let answer = answers.find(|(found, _)| *found == inbox);
        answer.map(|(_, payload)| payload).filter(|payload| !payload.is_empty())
    }

    /// The next message, if it begins in time. Once it has begun it is read to its end.
    fn message_within(&mut self, time: Duration) -> Option<(String, String)> {
        if self.stream.buffer().is_empty() {
            self.stream.get_mut().set_read_timeout(Some(time)).unwrap();
            let begun = self.stream.fill_buf().is_ok_and(|bytes| !bytes.is_empty());
            self.stream.get_mut().set_read_timeout(Some(PATIENCE)).unwrap();
            if !begun {
                return None;
            }
        }
        self.try_message()
    }

    pub fn publish(&mut self, subject: &str, payload: &str) {
        self.send(&format!("PUB {subject} {}\r\n{payload}\r\n", payload.len()));
    }

    /// A new connection to the same server.
    pub fn again(&self) -> Self {
        Self::connect(&self.address)
    }

    pub fn request(&mut self, subject: &str) -> String {
        self.inbox += 1;
        let inbox = format!("_INBOX.natsinit.{}", self.inbox);
        self.send(&format!("PUB {subject} {inbox} 0\r\n\r\n"));
        self.event(&inbox)
    }
}

/// Flags of `lunix up` for the daemons of this program alone: those of `lunix-bridge` listen on ports that only one test could have.
pub fn own_daemons() -> Vec<&'static str> {
    let names = lunix::applets::DAEMONS.iter().map(|applet| applet.command.name);
    let started = names.filter(|name| !["natsd", "natsinit", "natsmount"].contains(name));
    started.flat_map(|name| ["--service", name]).collect()
}

/// The services by name and pid, once all are ready.
pub fn ready(client: &mut Client) -> Vec<(String, u32)> {
    until("readiness of all services", || {
        // The supervisor connects when the server is ready, a moment after us.
        let list: serde_json::Value = serde_json::from_str(&client.try_request("service.list")?).unwrap();
        let services = list.as_array().unwrap().iter();
        services
            .map(|service| {
                let pid = u32::try_from(service["pid"].as_u64()?).unwrap();
                (service["state"] == "ready").then(|| (service["name"].as_str().unwrap().to_owned(), pid))
            })
            .collect()
    })
}
