//! A toast for every USB stick, with the official client for Rust.
//! Run: cargo run --manifest-path rust/Cargo.toml --bin usb-toast

use futures_util::StreamExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), async_nats::Error> {
    let url = std::env::var("NATS_URL").unwrap_or("nats://127.0.0.1:4222".into());
    let connection = async_nats::connect(url).await?;
    let mut plugged_in = connection.subscribe("hardware.usb.add").await?;
    while plugged_in.next().await.is_some() {
        connection.publish("toast.in", "a USB stick was plugged in!".into()).await?;
    }
    Ok(())
}
