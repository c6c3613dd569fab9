//! `cargo xtask bench`: our figures beside those of peers, measured in the same run, as markdown.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::free_port::free_port;
use crate::paths::Scratch;
use crate::{compile, nats, peers, setup, shell};

/// What of `bench/` needs nobody else: parsers beside their peers, and the broker without a network.
pub fn alone(what: &str) -> Result<()> {
    let mut command = shell::cargo();
    command.args(["run", "--release", "--quiet", "--manifest-path", "bench/Cargo.toml", "--", what]);
    shell::run(&mut command)
}

/// natsd beside nats-server, under load and at rest; `arguments` select rows and say how long.
pub fn broker(arguments: impl Iterator<Item = OsString>) -> Result<()> {
    setup::need(setup::RIVALS)?;
    let newest = peers::nats_server()?;
    let natsd = compile::natsd()?;
    let mut command = shell::cargo();
    command.args([
        "run",
        "--release",
        "--quiet",
        "--manifest-path",
        "bench/Cargo.toml",
        "--",
        "broker",
        "--natsd",
    ]);
    command.arg(natsd);
    command.arg("--nats-server").arg(named(peers::NATS_SERVER, &newest));
    if let Some(program) = shell::which("nats-server") {
        let version = version(&program, "--version");
        let version = version.rsplit(['v', ' ']).next().unwrap_or_default();
        if version != peers::NATS_SERVER {
            command.arg("--nats-server").arg(named(version, &program));
        }
    }
    shell::run(command.args(arguments))
}

/// natsmqtt before natsd beside mosquitto and nats-server, from few busy devices to many idle ones; `arguments` select rows
/// and say how long.
pub fn mqtt(arguments: impl Iterator<Item = OsString>) -> Result<()> {
    setup::need(setup::BROKERS)?;
    let newest = peers::nats_server()?;
    let lunix = compile::release()?;
    let mut command = shell::cargo();
    command.args(["run", "--release", "--quiet", "--manifest-path", "bench/Cargo.toml", "--", "mqtt"]);
    command.arg("--natsd").arg(&lunix).arg("--natsmqtt").arg(lunix.with_file_name("lunix-bridge"));
    if let Some(program) = shell::which("mosquitto") {
        command.arg("--mosquitto").arg(program);
    }
    shell::run(command.arg("--nats-server").arg(newest).args(arguments))
}

/// natsdev, static and small, beside busybox mdev, systemd-udevd and mdevd, as far as they are here.
pub fn hotplug(arguments: impl Iterator<Item = OsString>) -> Result<()> {
    setup::need(setup::BUILD)?;
    setup::need(setup::HOTPLUG)?;
    let lunix = compile::size()?;
    let mut command = shell::cargo();
    command.args(["run", "--release", "--quiet", "--manifest-path", "bench/Cargo.toml", "--", "hotplug"]);
    command.arg("--lunix").arg(lunix);
    for (flag, program) in [("--mdev", shell::which("busybox")), ("--udevd", udevd())] {
        if let Some(program) = program {
            command.arg(flag).arg(program);
        }
    }
    shell::run(command.args(arguments))
}

/// natsinit, static and small, beside s6, runit, finit and busybox init, and dinit where there is one: in `$PATH`, or
/// named by `$LUNIX_DINIT`.
pub fn init(arguments: impl Iterator<Item = OsString>) -> Result<()> {
    setup::need(setup::BUILD)?;
    setup::need(setup::SUPERVISORS)?;
    let lunix = compile::size()?;
    let finit = peers::finit().inspect_err(|error| eprintln!("bench: no finit: {error:#}")).ok();
    let dinit = env::var_os("LUNIX_DINIT").map(PathBuf::from).or_else(|| shell::which("dinit"));
    let mut command = shell::cargo();
    command.args(["run", "--release", "--quiet", "--manifest-path", "bench/Cargo.toml", "--", "init"]);
    command.arg("--lunix").arg(lunix);
    let peers = [
        ("--busybox", shell::which("busybox")),
        ("--finit", finit),
        ("--runsvdir", shell::which("runsvdir")),
        ("--s6-svscan", shell::which("s6-svscan")),
        ("--dinit", dinit),
    ];
    for (flag, program) in peers {
        if let Some(program) = program {
            command.arg(flag).arg(program);
        }
    }
    shell::run(command.args(arguments))
}

/// natsws before natsd beside nats-server's own WebSockets; `arguments` as for [`broker`].
pub fn ws(arguments: impl Iterator<Item = OsString>) -> Result<()> {
    setup::need(setup::RIVALS)?;
    let newest = peers::nats_server()?;
    let lunix = compile::release()?;
    let mut command = shell::cargo();
    command.args(["run", "--release", "--quiet", "--manifest-path", "bench/Cargo.toml", "--", "ws"]);
    command.arg("--natsws").arg(lunix.with_file_name("lunix-bridge")).arg("--natsd").arg(lunix);
    command.arg("--nats-server").arg(named(peers::NATS_SERVER, &newest));
    shell::run(command.args(arguments))
}

/// `name=program`.
fn named(name: &str, program: &Path) -> OsString {
    let mut text = OsString::from(format!("{name}="));
    text.push(program);
    text
}

/// Size on disk and memory at rest: our daemons as the image has them, and what others use in their place.
pub fn memory() -> Result<()> {
    setup::need(setup::BUILD)?;
    let lunix = compile::size()?;
    let scratch = Scratch::new()?;
    let mut rows = Vec::new();

    let port = free_port();
    let url = format!("nats://127.0.0.1:{port}");
    let socket = scratch.path().join("natsd.sock");
    let arguments = ["-a", "127.0.0.1", "-p", &port.to_string(), "--socket", &socket.to_string_lossy()];
    let server = Daemon::start(&lunix, Some("natsd"), &arguments, World::Ours)?;
    nats::Client::connect(port, Duration::from_secs(10))?;
    for name in ["natsdev", "natstoast"] {
        let daemon = Daemon::start(&lunix, Some(name), &["--nats", &url], World::Ours)?;
        rows.push(daemon.row(name, "")?);
    }
    // Last, so that it is measured with its clients.
    rows.insert(0, server.row("natsd", "two clients")?);

    if let Some(program) = shell::which("nats-server") {
        let port = free_port();
        let daemon =
            Daemon::start(&program, None, &["-a", "127.0.0.1", "-p", &port.to_string()], World::Ours)?;
        let _clients: Vec<nats::Client> =
            (0..2).map(|_| nats::Client::connect(port, Duration::from_secs(10))).collect::<Result<_>>()?;
        rows.push(daemon.row("nats-server", &format!("{}; two clients", version(&program, "--version")))?);
    }
    if let Some(program) = shell::which("busybox") {
        let note = version(&program, "--help").split(" (").next().unwrap_or_default().to_owned();
        match Daemon::start(&program, None, &["mdev", "-df"], World::Private) {
            Ok(daemon) => rows.push(daemon.row("busybox mdev -df", &note)?),
            Err(e) => eprintln!("bench: no busybox mdev: {e:#}"),
        }
    }
    if let Some(program) = udevd() {
        match Daemon::start(&program, None, &[], World::Private) {
            Ok(daemon) => rows.push(daemon.row("systemd-udevd", &version(&program, "--version"))?),
            Err(e) => eprintln!("bench: no systemd-udevd: {e:#}"),
        }
    }

    println!("| program | bytes on disk | RSS, kB | of it private, kB | threads | |");
    println!("|---|---:|---:|---:|---:|---|");
    rows.iter().for_each(|row| println!("{row}"));
    println!();
    println!(
        "natsd, natsdev, natstoast are one file of {} bytes, which holds every other program of lunix, too.",
        fs::metadata(&lunix)?.len()
    );
    Ok(())
}

/// Where a daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum World {
    /// This machine as it is.
    Ours,
    /// Its own network and an empty `/dev` and `/run`, so that a hotplug daemon touches nothing here.
    Private,
}

/// A daemon at rest. Dropping it ends it.
struct Daemon {
    child: Child,
    program: PathBuf,
}

impl Daemon {
    /// Starts `program` (as its applet, if one is named) and waits until it rests.
    fn start(program: &Path, applet: Option<&str>, arguments: &[&str], world: World) -> Result<Self> {
        let mut command = match world {
            World::Ours => Command::new(program),
            World::Private => {
                let mut command = Command::new("unshare");
                if shell::read(Command::new("id").arg("-u"))?.trim() != "0" {
                    command.arg("--map-root-user");
                }
                let script = "mount -t tmpfs none /dev && mount -t tmpfs none /run && exec \"$0\" \"$@\"";
                command.args(["--mount", "--net", "sh", "-c", script]).arg(program);
                command
            }
        };
        command.args(applet).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("start `{}`", shell::line(&command)))?;
        let mut daemon = Self { child, program: program.to_owned() };
        daemon.rest()?;
        Ok(daemon)
    }

    /// Waits until nothing of it has run for a second.
    fn rest(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut before = None;
        loop {
            thread::sleep(Duration::from_secs(1));
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended: {status}", self.program.display());
            }
            let used = self.switches()?;
            if before == Some(used) {
                return Ok(());
            }
            before = Some(used);
            if Instant::now() >= deadline {
                // Some never rest; they are measured as they are.
                return Ok(());
            }
        }
    }

    /// Context switches of its main thread.
    fn switches(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let of = |line: &str| {
            line.split_once("ctxt_switches:").and_then(|(_, count)| count.trim().parse::<u64>().ok())
        };
        Ok(status.lines().filter_map(of).sum())
    }

    fn row(&self, name: &str, note: &str) -> Result<String> {
        let proc = PathBuf::from(format!("/proc/{}", self.child.id()));
        let rollup = fs::read_to_string(proc.join("smaps_rollup"))?;
        let kilobytes = |key: &str| {
            let of =
                |line: &str| line.strip_prefix(key)?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok();
            rollup.lines().filter_map(of).sum::<u64>()
        };
        let private = kilobytes("Private_Clean:") + kilobytes("Private_Dirty:");
        let threads = fs::read_dir(proc.join("task"))?.count();
        let bytes = fs::metadata(&self.program)?.len();
        Ok(format!("| {name} | {bytes} | {} | {private} | {threads} | {note} |", kilobytes("Rss:")))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn udevd() -> Option<PathBuf> {
    let places = ["/lib/systemd/systemd-udevd", "/usr/lib/systemd/systemd-udevd"].map(PathBuf::from);
    places.into_iter().find(|place| place.exists())
}

/// The first line that a program says of itself.
fn version(program: &Path, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned()
}
