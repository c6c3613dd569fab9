//! A session bus, NATS servers with their natstoast, and natstoast-dbus between them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use lunix::natsd::Server;

/// A loaded machine is slow; none is as slow as this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the programs of a desktop are here.
pub(crate) fn has(test: &str, programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        !std::env::split_paths(&paths).any(|path| path.join(program).is_file())
    });
    if let Some(program) = missing {
        eprintln!("SKIPPED {test}: no {program}");
    }
    missing.is_none()
}

/// A process that dies with the test.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Killed {
    pub(crate) fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap().success());
    }
}

/// A message bus of the test's own.
pub(crate) struct Session {
    pub(crate) daemon: Killed,
    pub(crate) address: String,
}

impl Session {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// One in whose surroundings these variables are.
    pub(crate) fn with(variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new("dbus-daemon")
            .envs(variables.iter().copied())
            .args(["--session", "--nofork", "--print-address=1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { daemon: Killed(child), address: address.trim_end().to_owned() }
    }

    /// A program of this session.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        command
    }

    /// What `notify-send` says.
    pub(crate) fn notify_send(&self, args: &[&str]) -> Output {
        self.command("notify-send").args(args).output().unwrap()
    }

    /// Calls `CloseNotification`.
    pub(crate) fn close(&self, id: &str) -> Output {
        let call = ["org.freedesktop.Notifications.CloseNotification", &format!("uint32:{id}")];
        let to = ["--session", "--print-reply", "--dest=org.freedesktop.Notifications"];
        let path = "/org/freedesktop/Notifications";
        self.command("dbus-send").args(to).arg(path).args(call).output().unwrap()
    }

    /// The signals of notifications from now on.
    pub(crate) fn signals(&self) -> Lines {
        let mut monitor = self.command("dbus-monitor");
        let rule = "type='signal',interface='org.freedesktop.Notifications'";
        let mut child = monitor.args(["--session", rule]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = Lines::of(child.stdout.take().unwrap(), Killed(child));
        // Who becomes a monitor loses its name.
        lines.find("NameLost");
        lines
    }
}

/// The lines of a program, which dies with them.
pub(crate) struct Lines {
    lines: Receiver<String>,
    pub(crate) program: Killed,
}

impl Lines {
    fn of(output: impl std::io::Read + Send + 'static, program: Killed) -> Self {
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self { lines, program }
    }

    /// The next line that holds `text`.
    pub(crate) fn find(&self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no {text}: {error}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The next signal: its name, and its values in order.
    pub(crate) fn signal(&self) -> (String, Vec<String>) {
        let head = self.find("interface=org.freedesktop.Notifications;");
        let name = head.rsplit_once("member=").unwrap().1.to_owned();
        let values = std::iter::repeat_with(|| self.lines.recv_timeout(PATIENCE).unwrap());
        let values =
            values.take(2).map(|line| line.split_whitespace().nth(1).unwrap().trim_matches('"').to_owned());
        (name, values.collect())
    }

    /// How it ended, and what it had not said before.
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<String>) {
        let code = self.program.0.wait().unwrap().code();
        (code, self.lines.iter().collect())
    }
}

/// natsd and natstoast.
pub(crate) struct Machine {
    server: Server,
}

impl Machine {
    pub(crate) fn start() -> Self {
        let machine =
            Self { server: Server::start(["-p", "-1", "--socket", "none", "-l", "/dev/null"]).unwrap() };
        let url = machine.url();
        std::thread::spawn(move || {
            let args = ["--presenter", "none", "--log", "error", "--nats", &url].map(Into::into);
            let matches = lunix::natstoast::COMMAND.try_parse(args).unwrap();
            lunix::natstoast::run(&matches);
        });
        machine.nats().until_answered("toast.list");
        machine
    }

    pub(crate) fn bare() -> Self {
        Self { server: Server::start(["-p", "-1", "--socket", "none", "-l", "/dev/null"]).unwrap() }
    }

    pub(crate) fn url(&self) -> String {
        self.server.client_url()
    }

    pub(crate) fn nats(&self) -> Nats {
        Nats::connect(&self.server)
    }

    /// natstoast-dbus, which has said `ready`.
    pub(crate) fn desktop(&self, session: &Session, flags: &[&str], ready: &str) -> Lines {
        let desktop = desktop(session, &[&["--nats", &self.url()], flags].concat());
        let mut missing = vec![ready, "connected"];
        while !missing.is_empty() {
            let line = desktop.find("");
            missing.retain(|text| !line.contains(text));
        }
        desktop
    }
}

/// natstoast-dbus.
pub(crate) fn desktop(session: &Session, flags: &[&str]) -> Lines {
    let mut desktop = session.command(env!("CARGO_BIN_EXE_lunix-bridge"));
    let mut child = desktop.arg("natstoast-dbus").args(flags).stderr(Stdio::piped()).spawn().unwrap();
    Lines::of(child.stderr.take().unwrap(), Killed(child))
}

/// A client of NATS.
pub(crate) struct Nats {
    socket: BufReader<TcpStream>,
    last: u32,
}

impl Nats {
    fn connect(server: &Server) -> Self {
        let socket = TcpStream::connect(server.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut nats = Self { socket: BufReader::new(socket), last: 0 };
        nats.line();
        nats.say("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}");
        nats
    }

    fn say(&mut self, text: &str) {
        self.socket.get_mut().write_all(format!("{text}\r\n").as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.socket.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn subscribe(&mut self, subject: &str) {
        self.last += 1;
        self.say(&format!("SUB {subject} {}\r\nPING", self.last));
        assert_eq!(self.line(), "PONG");
    }

    pub(crate) fn publish(&mut self, subject: &str, payload: &str) {
        self.say(&format!("PUB {subject} {}\r\n{payload}", payload.len()));
    }

    /// The next message that is subscribed to: its subject, and its header block and payload as one text.
    pub(crate) fn message(&mut self) -> (String, String) {
        let line = self.line();
        let words: Vec<&str> = line.split(' ').collect();
        let length: usize = words.last().unwrap().parse().unwrap_or_else(|_| panic!("{line}"));
        let mut body = vec![0; length + 2];
        self.socket.read_exact(&mut body).unwrap();
        (words[1].to_owned(), String::from_utf8_lossy(&body[..length]).into_owned())
    }

    /// The next message on `subject`.
    pub(crate) fn next(&mut self, subject: &str) -> String {
        loop {
            let (of, payload) = self.message();
            if of == subject {
                return payload;
            }
        }
    }

    /// Asks until somebody is there, and what that one says.
    pub(crate) fn until_answered(&mut self, subject: &str) -> String {
        self.subscribe("answer");
        loop {
            self.say(&format!("PUB {subject} answer 0\r\n"));
            let answer = self.next("answer");
            if !answer.starts_with("NATS/1.0 503") {
                return answer;
            }
            std::thread::yield_now();
        }
    }
}
