//! natsd and nats-server with the same configuration, side by side.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::free_port::free_port;
use crate::paths::Scratch;
use crate::shell;

/// A configuration that both servers run with.
pub(super) struct House {
    pub(super) name: &'static str,
    pub(super) config: &'static str,
    /// What a reload may bring instead of `config`.
    pub(super) reloads: &'static [&'static str],
    /// It has a port for leaf nodes, where `config` says `LEAF_PORT`, and each script has one.
    pub(super) leaf: bool,
    /// Its accounts ask services of each other.
    pub(super) services: bool,
    /// A client has one subscription at a time, so that nothing comes twice, see `known::APART`.
    pub(super) once: bool,
    /// What subjects begin with.
    pub(super) roots: &'static [&'static str],
    /// What the servers are told to allow, for scripts that go to the edge.
    pub(super) payload: usize,
    pub(super) control_line: usize,
    /// What clients say about themselves in `CONNECT`, good and bad; the first ones often.
    pub(super) credentials: &'static [&'static str],
    /// In so many of a hundred cases a client says `CONNECT` first.
    pub(super) connects: usize,
    /// It does not matter afterwards which member of a queue group had a message.
    pub(super) any_member: bool,
}

const USUAL: House = House {
    name: "usual",
    config: "",
    reloads: &[],
    leaf: false,
    services: false,
    once: false,
    roots: &["%"],
    payload: 1 << 20,
    control_line: 4096,
    credentials: &[],
    connects: 85,
    any_member: true,
};

pub(super) static HOUSES: &[House] = &[
    USUAL,
    House {
        name: "narrow",
        config: "max_payload: 64\nmax_control_line: 128\nmax_subscriptions: 4\n",
        payload: 64,
        control_line: 128,
        ..USUAL
    },
    House { name: "bare", config: "no_header_support: true\n", ..USUAL },
    House { name: "users", config: include_str!("users.conf"), credentials: USERS, ..USUAL },
    House {
        name: "responses",
        once: true,
        config: include_str!("responses.conf"),
        credentials: &[
            r#""user":"free","pass":"f""#,
            r#""user":"one","pass":"o""#,
            r#""user":"two","pass":"t""#,
            r#""user":"any","pass":"a""#,
        ],
        any_member: false,
        ..USUAL
    },
    House {
        name: "defaults",
        config: include_str!("defaults.conf"),
        credentials: &[
            r#""user":"plain","pass":"p""#,
            r#""user":"own","pass":"o""#,
            r#""user":"guest","pass":"g""#,
            r#""user":"nobody","pass":"n""#,
            r#""lang":"none""#,
        ],
        connects: 100,
        ..USUAL
    },
    House {
        name: "token",
        config: "authorization { token: secret }\n",
        credentials: &[
            r#""auth_token":"secret""#,
            r#""auth_token":"secret""#,
            r#""auth_token":"Secret""#,
            r#""user":"secret""#,
            r#""pass":"secret""#,
        ],
        ..USUAL
    },
    House {
        name: "accounts",
        config: include_str!("accounts.conf"),
        credentials: &[
            r#""user":"a1","pass":"a""#,
            r#""user":"a2","pass":"a""#,
            r#""user":"b1","pass":"b""#,
            r#""user":"b2","pass":"b""#,
            r#""user":"a1","pass":"b""#,
        ],
        ..USUAL
    },
    House {
        name: "borders",
        services: true,
        config: include_str!("borders.conf"),
        roots: &["%", "%", "%", "%", "far.%"],
        credentials: &[
            r#""user":"a1","pass":"a""#,
            r#""user":"b1","pass":"b""#,
            r#""user":"b2","pass":"b""#,
            r#""user":"c1","pass":"c""#,
        ],
        connects: 100,
        any_member: false,
        ..USUAL
    },
    House {
        name: "reload",
        config: include_str!("users.conf"),
        reloads: &[include_str!("reload.conf")],
        credentials: USERS,
        ..USUAL
    },
    House { name: "leaf", config: "leafnodes { listen: \"127.0.0.1:LEAF_PORT\" }\n", leaf: true, ..USUAL },
];

const USERS: &[&str] = &[
    r#""user":"free","pass":"f""#,
    r#""user":"talker","pass":"t""#,
    r#""user":"listener","pass":"l""#,
    r#""user":"denied","pass":"d""#,
    r#""user":"queues","pass":"q""#,
    r#""user":"mute","pass":"m""#,
    r#""user":"free","pass":"wrong""#,
    r#""user":"nobody","pass":"f""#,
    r#""user":"free""#,
    r#""auth_token":"f""#,
];

/// The two servers of a house. Dropping it ends them.
pub(super) struct Pair {
    pub(super) servers: [Running; 2],
    house: &'static House,
    /// Which of its configurations is loaded.
    loaded: usize,
}

/// natsd stands first, nats-server second.
pub(super) const NAMES: [&str; 2] = ["natsd", "nats-server"];

pub(super) struct Running {
    child: Child,
    pub(super) address: SocketAddr,
    /// Where leaf nodes come in.
    pub(super) leaves: Option<SocketAddr>,
    scratch: Scratch,
}

impl Pair {
    /// Without natsd, two of nats-server.
    pub(super) fn start(house: &'static House, natsd: Option<&Path>, nats_server: &Path) -> Result<Self> {
        let ours = match natsd {
            Some(natsd) => Running::start(house, Command::new(natsd).args(["--socket", "none"]))?,
            None => Running::start(house, &mut Command::new(nats_server))?,
        };
        let theirs = Running::start(house, &mut Command::new(nats_server))?;
        Ok(Self { servers: [ours, theirs], house, loaded: 0 })
    }

    /// Has both servers read one of the house's configurations: 0 is the one that they began with.
    pub(super) fn load(&mut self, number: usize) -> Result<()> {
        if number == self.loaded {
            return Ok(());
        }
        let config = match number.checked_sub(1) {
            None => self.house.config,
            Some(index) => self.house.reloads.get(index).context("no such configuration")?,
        };
        self.loaded = number;
        self.servers.iter_mut().zip(NAMES).try_for_each(|(server, name)| {
            server.load(config).with_context(|| format!("{name} in house `{}` reloads", self.house.name))
        })
    }
}

impl Running {
    fn start(house: &House, command: &mut Command) -> Result<Self> {
        let scratch = Scratch::new()?;
        let config = scratch.path().join("config");
        let leaves = house.leaf.then(|| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let port = leaves.map_or(0, |address| address.port()).to_string();
        fs::write(&config, house.config.replace("LEAF_PORT", &port))?;
        let log = fs::File::create(scratch.path().join("log"))?;
        let child = command
            .args(["-a", "127.0.0.1", "-p", "-1", "--ports_file_dir"])
            .arg(scratch.path())
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", command.get_program().display()))?;
        let mut running = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), leaves, scratch };
        running.address = running.find(Instant::now() + Duration::from_secs(20)).with_context(|| {
            let log = running.log();
            format!("{} in house `{}` says:\n{log}", command.get_program().display(), house.name)
        })?;
        Ok(running)
    }

    fn log(&self) -> String {
        // It may show what clients said, which may be anything.
        String::from_utf8_lossy(&fs::read(self.scratch.path().join("log")).unwrap_or_default()).into_owned()
    }

    /// Waits until it says that it has read `config`.
    fn load(&mut self, config: &str) -> Result<()> {
        let reloads = |running: &Self| running.log().matches("Reloaded server configuration").count();
        let before = reloads(self);
        fs::write(self.scratch.path().join("config"), config)?;
        shell::quiet(Command::new("kill").args(["-HUP", &self.child.id().to_string()]))?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while reloads(self) == before {
            if Instant::now() >= deadline || self.has_ended() {
                bail!("it says:\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Waits for its ports file.
    fn find(&mut self, deadline: Instant) -> Result<SocketAddr> {
        loop {
            for entry in fs::read_dir(self.scratch.path())?.flatten() {
                // It may be under its first name, and gone from there a moment later.
                if entry.path().extension().is_some_and(|extension| extension == "ports")
                    && let Some(address) = fs::read(entry.path()).ok().and_then(|file| address(&file))
                {
                    return Ok(address);
                }
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it has ended: {status}");
            }
            if Instant::now() >= deadline {
                bail!("it does not say where it listens");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

fn address(file: &[u8]) -> Option<SocketAddr> {
    let file: Value = serde_json::from_slice(file).ok()?;
    file.get("nats")?.get(0)?.as_str()?.strip_prefix("nats://")?.parse().ok()
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
