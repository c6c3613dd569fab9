//! Your phone is connected over bluetooth: a terminal opens on your desktop.
//! Run: cargo run --manifest-path rust/Cargo.toml --bin phone-terminal

use futures_util::StreamExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), async_nats::Error> {
    let url = std::env::var("NATS_URL").unwrap_or("nats://127.0.0.1:4222".into());
    let connection = async_nats::connect(url).await?;
    let mut connected = connection.subscribe("bluetooth.connected").await?;
    while connected.next().await.is_some() {
        connection.publish("wm.exec", "xterm".into()).await?;
    }
    Ok(())
}
