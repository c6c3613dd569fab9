//! A server under measurement, and what the kernel says that it used.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::wire::{Address, Wire};

/// What is measured.
#[derive(Clone, Debug)]
pub struct Program {
    pub name: String,
    pub path: PathBuf,
    pub kind: Kind,
    /// What stands behind natsws.
    pub natsd: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// natsd, which also listens on a UNIX socket.
    Natsd,
    NatsServer,
    /// nats-server's own listener for WebSockets.
    NatsServerWeb,
    /// natsws, before a natsd that it finds at a UNIX socket or not.
    Natsws {
        unix: bool,
    },
    /// This program as `relay`: copies bytes and knows nothing.
    Relay,
}

/// A running one; dropping it ends it.
pub struct Process {
    child: Child,
    address: SocketAddr,
    web: bool,
    /// Its UNIX socket, or its configuration.
    file: PathBuf,
    /// What it is before, whose processor time counts, too.
    behind: Option<Box<Self>>,
}

impl Process {
    /// Starts it, on one core if `pinned`, and waits until it answers.
    pub fn start(program: &Program, pinned: bool) -> io::Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let file = std::env::temp_dir().join(format!("lunix-bench-{}-{port}", std::process::id()));
        let mut command = if pinned {
            let mut command = Command::new("taskset");
            command.args(["-c", "0"]).arg(&program.path);
            command
        } else {
            Command::new(&program.path)
        };
        let behind = match &program.natsd {
            Some(path) => {
                let natsd =
                    Program { name: "natsd".into(), path: path.clone(), kind: Kind::Natsd, natsd: None };
                Some(Box::new(Self::start(&natsd, pinned)?))
            }
            None => None,
        };
        let port = port.to_string();
        match program.kind {
            Kind::Natsd => {
                if !program.path.ends_with("natsd") {
                    command.arg("natsd");
                }
                command.args(["-a", "127.0.0.1", "-p", &port, "--socket"]).arg(&file)
            }
            Kind::NatsServer => command.args(["-a", "127.0.0.1", "-p", &port]),
            Kind::NatsServerWeb => {
                let text = format!("websocket {{ host: 127.0.0.1, port: {port}, no_tls: true }}\n");
                fs::write(&file, text)?;
                command.args(["-a", "127.0.0.1", "-p", "-1", "-c"]).arg(&file)
            }
            Kind::Natsws { unix } => {
                let Some(natsd) = &behind else { return Err(io::Error::other("natsws without natsd")) };
                let url = match natsd.address(unix) {
                    Address::Unix(path) => format!("unix://{}", path.display()),
                    _ => format!("nats://{}", natsd.address),
                };
                fs::write(&file, format!("listen: '{address}'\nnats: '{url}'\nmax_connections: 100000\n"))?;
                command.args(["natsws", "--config"]).arg(&file)
            }
            Kind::Relay => command.args(["relay", &port]),
        };
        let web = matches!(program.kind, Kind::NatsServerWeb | Kind::Natsws { .. });
        Self::listening(&program.name, command, |child| Self { child, address, web, file, behind })
    }

    /// Starts a server of another kind, and waits until it listens on `address`.
    pub fn serve(name: &str, command: Command, address: SocketAddr) -> io::Result<Self> {
        let file = PathBuf::new();
        Self::listening(name, command, |child| Self { child, address, web: false, file, behind: None })
    }

    fn listening(name: &str, mut command: Command, process: impl FnOnce(Child) -> Self) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = process(command.spawn()?);
        let deadline = Instant::now() + Duration::from_secs(20);
        while Wire::open(&process.address(false)).is_err() {
            if let Some(status) = process.child.try_wait()? {
                return Err(io::Error::other(format!("{name} ended: {status}")));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{name} does not listen")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(process)
    }

    pub fn address(&self, unix: bool) -> Address {
        match (unix, self.web) {
            (true, _) => Address::Unix(self.file.clone()),
            (false, true) => Address::Web(self.address),
            (false, false) => Address::Tcp(self.address),
        }
    }

    /// What natsws is before.
    pub fn behind(&self) -> Option<&Self> {
        self.behind.as_deref()
    }

    fn proc(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.child.id()))
    }

    fn tasks(&self) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(self.proc().join("task"))?.map(|task| Ok(task?.path())).collect()
    }

    /// Processor time of all its threads, and of those of what is behind it.
    pub fn cpu(&self) -> io::Result<Duration> {
        let behind = self.behind().map_or(Ok(Duration::ZERO), Self::cpu)?;
        let mut nanos = 0;
        for task in self.tasks()? {
            nanos += number(fs::read_to_string(task.join("schedstat"))?.split(' ').next());
        }
        Ok(behind + Duration::from_nanos(nanos))
    }

    /// How often its threads went to sleep.
    pub fn sleeps(&self) -> io::Result<u64> {
        self.tasks()?
            .iter()
            .try_fold(0, |sum, task| Ok(sum + field(&task.join("status"), "voluntary_ctxt_switches:")?))
    }

    /// Memory that is nobody else's, in bytes.
    pub fn private(&self) -> io::Result<u64> {
        let rollup = self.proc().join("smaps_rollup");
        Ok((field(&rollup, "Private_Clean:")? + field(&rollup, "Private_Dirty:")?) * 1024)
    }

    /// Memory that it has written to, in bytes.
    pub fn anonymous(&self) -> io::Result<u64> {
        Ok(field(&self.proc().join("status"), "RssAnon:")? * 1024)
    }

    /// The most that it ever had in memory, in bytes.
    pub fn peak(&self) -> io::Result<u64> {
        Ok(field(&self.proc().join("status"), "VmHWM:")? * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.file);
    }
}

fn field(file: &Path, key: &str) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    let found = text.lines().find_map(|line| line.strip_prefix(key));
    Ok(number(found.and_then(|rest| rest.split_whitespace().next())))
}

fn number(text: Option<&str>) -> u64 {
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
