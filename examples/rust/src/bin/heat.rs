//! It is cold, and you are reading a book: some heat. An MQTT sensor's temperature0 arrives as it is, by way of natsmqtt.
//! Run: cargo run --manifest-path rust/Cargo.toml --bin heat

use futures_util::StreamExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), async_nats::Error> {
    let url = std::env::var("NATS_URL").unwrap_or("nats://127.0.0.1:4222".into());
    let connection = async_nats::connect(url).await?;
    let mut readings = connection.subscribe("temperature0").await?;
    while let Some(msg) = readings.next().await {
        let temperature = str::from_utf8(&msg.payload).ok().and_then(|text| text.parse::<f64>().ok());
        if temperature.is_none_or(|temperature| temperature > 18.0) {
            continue;
        }
        let Ok(pid) = connection.request("ps.calibre", "".into()).await else { continue };
        // An empty answer: there is no such process.
        while !pid.payload.is_empty() {
            println!("HEAT!");
        }
    }
    Ok(())
}
