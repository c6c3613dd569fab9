//! Hardware that is there when the machine starts, or comes and goes through the monitor: said in the same words.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::qmp::Qmp;
use super::stick::Stick;

/// A device of the machine.
#[derive(Clone, Debug)]
pub struct Part {
    /// What the device reads, for a disk.
    backend: Option<Value>,
    device: Value,
}

/// Until QEMU says so.
const GONE: Duration = Duration::from_secs(90);

impl Part {
    /// A device with QEMU's own properties, `driver` and `id` among them.
    pub fn new(device: Value) -> Self {
        Self { backend: None, device }
    }

    /// A stick at this port of the machine's first USB controller.
    pub fn stick(stick: &Stick, port: &str) -> Self {
        let mut device = stick.device();
        device["port"] = json!(port);
        Self { backend: Some(stick.backend()), device }
    }

    /// QEMU's name of it.
    pub fn id(&self) -> &str {
        self.device["id"].as_str().unwrap_or_default()
    }

    /// Arguments with which QEMU has it from the start.
    pub fn arguments(&self) -> Vec<String> {
        let backend = self.backend.iter().flat_map(|backend| ["-blockdev".to_owned(), backend.to_string()]);
        backend.chain(["-device".to_owned(), self.device.to_string()]).collect()
    }

    /// Puts it in; returns when QEMU has done so, before the guest has noticed.
    pub fn plug(&self, qmp: &mut Qmp) -> Result<()> {
        if let Some(backend) = &self.backend {
            qmp.execute("blockdev-add", backend.clone())?;
        }
        qmp.execute("device_add", self.device.clone()).map(drop)
    }

    /// Asks the guest to let go of it.
    pub fn release(&self, qmp: &mut Qmp) -> Result<()> {
        qmp.execute("device_del", json!({ "id": self.id() })).map(drop)
    }

    /// Takes these out, at the same time.
    pub fn unplug(parts: &[&Self], qmp: &mut Qmp) -> Result<()> {
        for part in parts {
            part.release(qmp)?;
        }
        for part in parts {
            qmp.wait_event("DEVICE_DELETED", GONE, |data| data["device"] == part.id())
                .with_context(|| format!("take {} out", part.id()))?;
            if let Some(backend) = &part.backend {
                qmp.execute("blockdev-del", json!({ "node-name": backend["node-name"] }))?;
            }
        }
        Ok(())
    }
}
