//! The seed's first example, with the official client, against a server in a VM.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::gate::Run;
use crate::paths::{Scratch, cache, root};
use crate::shell;

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
        let example = Self(child);
        // Its subscription is there when a third party's request finds it.
        thread::sleep(Duration::from_secs(1));
        Ok(Some(example))
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
