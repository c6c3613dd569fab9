//! Mounts a USB stick when it is plugged in, and unmounts it when it goes; natsmount does so with more care.
//! Run as root: cargo run --manifest-path rust/Cargo.toml --bin automount /myplace

use futures_util::StreamExt;
use serde_json::Value;
use tokio::process::Command;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), async_nats::Error> {
    let place = std::env::args().nth(1).unwrap_or("/myplace".into());
    let url = std::env::var("NATS_URL").unwrap_or("nats://127.0.0.1:4222".into());
    let connection = async_nats::connect(url).await?;
    let mut sticks = connection.subscribe("hardware.usb.*").await?;
    let mut mounted = None;
    while let Some(msg) = sticks.next().await {
        let Ok(stick) = serde_json::from_slice::<Value>(&msg.payload) else { continue };
        let devpath = stick["devpath"].as_str();
        match msg.subject.as_str() {
            "hardware.usb.add" if mounted.is_none() => {
                let mut volumes = stick["volumes"].as_array().into_iter().flatten();
                let volume = volumes.find(|volume| volume["fstype"].is_string());
                let Some(devnode) = volume.and_then(|volume| volume["devnode"].as_str()) else { continue };
                mounted = devpath.map(str::to_owned);
                let options = ["-o", "nosuid,nodev,noexec"];
                Command::new("mount").args(options).args([devnode, &place]).status().await?;
            }
            "hardware.usb.remove" if mounted.is_some() && mounted.as_deref() == devpath => {
                mounted = None;
                Command::new("umount").args(["--lazy", &place]).status().await?;
            }
            _ => {}
        }
    }
    Ok(())
}
