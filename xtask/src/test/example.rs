//! The seed's first example, with the official client, against a server in a VM.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::gate::Run;
use crate::nats::Client;
use crate::paths::{Scratch, cache, root};
use crate::shell;

/// For Node to start on a busy machine, and to reach an emulated one.
const PATIENCE: Duration = Duration::from_secs(60);

/// `examples/node/usb-toast.mjs` on this machine, connected to the guest.
pub(super) struct Example(Child);

impl Example {
    /// `None`, and a skip, where it cannot run.
    pub(super) fn start(run: &mut Run, nats_port: u16, scratch: &Scratch) -> Result<Option<Self>> {
        let example = root().join("examples/node/usb-toast.mjs");
        if !example.exists() {
            run.skip("usb-toast.mjs in the VM", "there is no examples/node/usb-toast.mjs");
            return Ok(None);
        }
        let Some(modules) = node_modules()? else {
            run.skip("usb-toast.mjs in the VM", "no node, no npm, or its packages cannot be had");
            return Ok(None);
        };
        // Node looks for packages beside the program, not where NODE_PATH says, once it is a module.
        let folder = scratch.path().join("example");
        std::fs::create_dir_all(&folder)?;
        std::fs::copy(&example, folder.join("usb-toast.mjs")).context("copy examples/node/usb-toast.mjs")?;
        std::os::unix::fs::symlink(modules, folder.join("node_modules"))?;
        let child = Command::new("node")
            .arg(folder.join("usb-toast.mjs"))
            .env("NATS_URL", format!("nats://127.0.0.1:{}", nats_port))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("start node")?;
        let mut example = Self(child);
        example.listens(nats_port)?;
        Ok(Some(example))
    }

    /// Waits until the server has its subscription.
    fn listens(&mut self, nats_port: u16) -> Result<()> {
        let mut client = Client::connect(nats_port, PATIENCE)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let asked =
                client.request("$SYS.REQ.SERVER.PING.CONNZ", r#"{"subscriptions": true}"#, PATIENCE)?;
            let told = asked.context("the server does not tell who is connected")?.json();
            let mut connections = told["data"]["connections"].as_array().into_iter().flatten();
            let there = connections.any(|connection| {
                let subjects = connection["subscriptions_list"].as_array();
                connection["lang"] == "nats.js"
                    && subjects.is_some_and(|subjects| subjects.iter().any(|one| one == "hardware.usb.add"))
            });
            if there {
                return Ok(());
            }
            if let Some(status) = self.0.try_wait()? {
                bail!("usb-toast.mjs has ended: {status}");
            }
            ensure!(Instant::now() < deadline, "usb-toast.mjs does not listen: {told}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The official client's packages, in the cache.
fn node_modules() -> Result<Option<PathBuf>> {
    const PACKAGE: &str = "@nats-io/transport-node";
    let folder = cache()?.join("node");
    let modules = folder.join("node_modules");
    if shell::which("node").is_none() || shell::which("npm").is_none() {
        return Ok(None);
    }
    if !modules.join(PACKAGE).exists() {
        std::fs::create_dir_all(&folder)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).arg(PACKAGE);
        if shell::quiet(&mut npm).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(modules))
}
