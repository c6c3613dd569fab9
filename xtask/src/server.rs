//! Our own server on this machine, for tests that bring their own clients.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::free_port::free_port;
use crate::paths::{self, Scratch};
use crate::{nats, shell};

/// `natsd` under its own name, for those that start it themselves.
pub struct Natsd {
    program: PathBuf,
    _scratch: Scratch,
}

impl Natsd {
    /// Builds it, optimised.
    pub fn build() -> Result<Self> {
        shell::quiet(shell::cargo().args(["build", "--quiet", "--release", "--package", "lunix"]))?;
        Self::of(&paths::target().join("release/lunix"))
    }

    /// The multi-call program `lunix` as natsd.
    pub fn of(lunix: &Path) -> Result<Self> {
        let scratch = Scratch::new()?;
        let program = scratch.path().join("natsd");
        symlink(lunix, &program)?;
        Ok(Self { program, _scratch: scratch })
    }

    /// Where it is.
    pub fn program(&self) -> &Path {
        &self.program
    }
}

/// A running `natsd`. Dropping it ends it.
pub struct Server {
    child: Child,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The program under its own name, for tests that start further ones.
    pub program: PathBuf,
    scratch: Scratch,
}

impl Server {
    /// Starts the multi-call program `lunix` as `natsd` and waits until it serves.
    pub fn start(lunix: &Path) -> Result<Self> {
        let scratch = Scratch::new()?;
        for name in ["natsd", "natsdev", "natsmount", "natstoast", "natsinit", "lunix"] {
            symlink(lunix, scratch.path().join(name))?;
        }
        let program = scratch.path().join("natsd");
        let port = free_port();
        let log = fs::File::create(scratch.path().join("natsd.log"))?;
        let child = Command::new(&program)
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "--socket"])
            .arg(scratch.path().join("natsd.sock"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let server = Self { child, port, program, scratch };
        nats::Client::connect(port, Duration::from_secs(60))
            .with_context(|| format!("natsd says:\n{}", server.log()))?;
        Ok(server)
    }

    /// Puts the multi-call program `lunix-bridge`, under its names, beside the others.
    pub fn join(&self, bridge: &Path) -> Result<()> {
        for name in ["natsmqtt", "natsws", "natstoast-dbus", "lunix-bridge"] {
            symlink(bridge, self.scratch.path().join(name))?;
        }
        Ok(())
    }

    /// `script` with `$NATS_URL`, `$NATSD` (the program, for those that start their own), `$LUNIX_CACHE` (for packages) and all our
    /// programs in `$PATH`.
    pub fn command(&self, script: &Path) -> Result<Command> {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(script);
        command
            .current_dir(paths::root())
            .env("NATS_URL", self.url())
            .env("NATSD", &self.program)
            .env("LUNIX_CACHE", paths::cache()?)
            .env("PATH", format!("{}:{path}", self.programs().display()));
        Ok(command)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A folder for `$PATH` that holds every program under its own name.
    pub fn programs(&self) -> &Path {
        self.scratch.path()
    }

    /// What it said.
    fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("natsd.log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
