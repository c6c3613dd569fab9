//! An MQTT server under measurement: one program, or natsmqtt and the NATS server that its messages travel through.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::broker::process::Process;

/// What is measured.
#[derive(Clone, Debug)]
pub enum Program {
    /// `lunix-bridge` before `lunix`, over TCP or natsd's UNIX socket.
    Natsmqtt {
        bridge: PathBuf,
        lunix: PathBuf,
        unix: bool,
        store: bool,
    },
    Mosquitto(PathBuf, Keeps),
    /// With JetStream, which its MQTT needs.
    NatsServer(PathBuf),
}

/// When mosquitto writes what it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    Never,
    /// Every half hour, and at the end.
    Seldom,
    /// All of it after each change.
    Always,
}

impl Program {
    /// What of it there is to measure of what is kept on disk: nothing of nats-server, which always does.
    pub fn keeping(&self) -> Vec<Self> {
        match self {
            Self::Natsmqtt { bridge, lunix, unix: false, .. } => [false, true]
                .map(|store| {
                    let (bridge, lunix) = (bridge.clone(), lunix.clone());
                    Self::Natsmqtt { bridge, lunix, unix: false, store }
                })
                .to_vec(),
            Self::Mosquitto(program, _) => {
                [Keeps::Seldom, Keeps::Always].map(|keeps| Self::Mosquitto(program.clone(), keeps)).to_vec()
            }
            _ => Vec::new(),
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Natsmqtt { store: true, .. } => "natsmqtt --store",
            Self::Natsmqtt { unix: false, .. } => "natsmqtt",
            Self::Natsmqtt { unix: true, .. } => "natsmqtt, UNIX socket",
            Self::Mosquitto(_, Keeps::Never) => "mosquitto",
            Self::Mosquitto(_, Keeps::Seldom) => "mosquitto, persistence",
            Self::Mosquitto(_, Keeps::Always) => "mosquitto, autosave_on_changes",
            Self::NatsServer(_) => "nats-server",
        }
    }
}

/// A running one; dropping it ends it.
pub struct Server {
    pub name: &'static str,
    /// What devices speak to, and for natsmqtt natsd behind it.
    pub processes: Vec<Process>,
    pub address: SocketAddr,
    folder: PathBuf,
}

impl Server {
    /// Starts it for at most `connections` devices, and waits until it listens.
    pub fn start(program: &Program, connections: usize) -> io::Result<Self> {
        let address = free_address()?;
        let folder =
            std::env::temp_dir().join(format!("lunix-bench-{}-{}", std::process::id(), address.port()));
        fs::create_dir(&folder)?;
        let mut server = Self { name: program.name(), processes: Vec::new(), address, folder };
        let config = server.folder.join("config");
        match program {
            Program::Natsmqtt { bridge, lunix, unix, store } => {
                server.natsmqtt(bridge, lunix, *unix, *store, connections, &config)?;
            }
            Program::Mosquitto(program, keeps) => {
                let mut text = format!(
                    "listener {} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\n",
                    address.port()
                );
                if *keeps != Keeps::Never {
                    // As another user it could not write there.
                    let folder = server.folder.display();
                    text += &format!("user root\npersistence true\npersistence_location {folder}/\n");
                }
                if *keeps == Keeps::Always {
                    text += "autosave_on_changes true\nautosave_interval 1\n";
                }
                fs::write(&config, text)?;
                let mut command = Command::new(program);
                command.arg("-c").arg(&config);
                server.add(command, address)?;
            }
            Program::NatsServer(program) => {
                let nats = free_address()?;
                let text = format!(
                    "listen: \"{nats}\"\nserver_name: bench\njetstream {{ store_dir: \"{}\" }}\nmqtt {{ listen: \"{address}\" }}\n",
                    server.folder.display()
                );
                fs::write(&config, text)?;
                let mut command = Command::new(program);
                command.arg("-c").arg(&config);
                server.add(command, address)?;
            }
        }
        Ok(server)
    }

    fn natsmqtt(
        &mut self,
        bridge: &Path,
        lunix: &Path,
        unix: bool,
        store: bool,
        connections: usize,
        config: &Path,
    ) -> io::Result<()> {
        let nats = free_address()?;
        let socket = self.folder.join("nats.sock");
        let mut command = Command::new(lunix);
        command.args(["natsd", "-a", "127.0.0.1", "-p", &nats.port().to_string(), "--socket"]).arg(&socket);
        let url = if unix { format!("unix://{}", socket.display()) } else { format!("nats://{nats}") };
        self.add(command, nats)?;
        let text = format!("limits {{ connections: {connections}, sessions: {connections} }}\n");
        fs::write(config, text)?;
        let mut command = Command::new(bridge);
        command.args(["natsmqtt", "--anonymous", "--listen", &self.address.to_string(), "--nats", &url]);
        command.arg("--config").arg(config);
        if store {
            command.arg("--store").arg(self.folder.join("store"));
        }
        self.add(command, self.address)?;
        self.processes.rotate_right(1);
        Ok(())
    }

    fn add(&mut self, command: Command, address: SocketAddr) -> io::Result<()> {
        self.processes.push(Process::serve(self.name, command, address)?);
        Ok(())
    }

    /// Processor time of all of it.
    pub fn cpu(&self) -> io::Result<Duration> {
        self.processes.iter().try_fold(Duration::ZERO, |sum, process| Ok(sum + process.cpu()?))
    }

    /// How often any of it went to sleep.
    pub fn sleeps(&self) -> io::Result<u64> {
        self.processes.iter().try_fold(0, |sum, process| Ok(sum + process.sleeps()?))
    }

    /// The most that all of it ever had in memory, in bytes.
    pub fn peak(&self) -> io::Result<u64> {
        self.processes.iter().try_fold(0, |sum, process| Ok(sum + process.peak()?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.processes.clear();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}
