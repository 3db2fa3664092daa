//! Appends two events to a new order, reads them back.
//!
//! `cargo run -p weir-client --example append_and_read -- http://127.0.0.1:9123`

use futures::TryStreamExt as _;
use serde_json::json;
use weir_client::{Append, Client, ReadOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:9123".into());
    let client = Client::connect([url]).await?;

    let order = format!("order-{}", std::process::id());
    let placed = Append::to(&order, "order").expect_version(0);
    let ack = client.append(&placed.event("order.placed", &json!({"total": 42})).build()?).await?;
    println!("placed: version {}, position {}", ack.last_version, ack.last_position());

    let shipped = Append::to(&order, "order").expect_version(ack.last_version.0);
    client.append(&shipped.event("order.shipped", &json!({"carrier": "bike"})).build()?).await?;

    let mut events = std::pin::pin!(client.read(&order, ReadOptions::default()));
    while let Some(event) = events.try_next().await? {
        println!("{} {} {}", event.version, event.name, event.data.get());
    }
    Ok(())
}
