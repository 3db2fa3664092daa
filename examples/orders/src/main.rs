//! Places an order, places it again as a retrying client would, ships it, and shows the stream.

use anyhow::{Context as _, Result};
use futures::TryStreamExt as _;
use weir_client::{Client, ReadOptions};
use weir_example_orders::{
    catalog::Catalog,
    command::{CommandMetadata, PlaceOrder, Wish},
    handler::Orders,
};

#[tokio::main]
async fn main() -> Result<()> {
    let server = std::env::var("WEIR_SERVER").unwrap_or_else(|_| "http://127.0.0.1:9123".into());
    let client =
        Client::connect([&server]).await.with_context(|| format!("no Weir at {server}; try `weir dev`"))?;
    let orders = Orders::new(client.clone(), Catalog::default());

    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
    let order_id = format!("order-{now}");
    let command = PlaceOrder {
        order_id: order_id.clone(),
        customer_id: "ada".into(),
        items: vec![
            Wish { product_id: "tea".into(), quantity: 2 },
            Wish { product_id: "pot".into(), quantity: 1 },
        ],
    };
    let place = metadata(&format!("place-{now}"));
    let first = orders.place(&command, &place).await?;
    let again = orders.place(&command, &place).await?;
    println!("placed at position {}; sent again, it is the same: {}", first.position, first == again);

    match orders.place(&command, &metadata(&format!("other-{now}"))).await {
        Ok(_) => println!("placed twice"),
        Err(error) => println!("another command for the same order: {error}"),
    }
    orders.ship(&order_id, "TRACK-1", &metadata(&format!("ship-{now}"))).await?;

    let events: Vec<_> = client.read(&order_id, ReadOptions::default()).try_collect().await?;
    for event in events {
        println!("{} {} {}", event.version, event.name, event.data.get());
    }
    Ok(())
}

fn metadata(command_id: &str) -> CommandMetadata {
    CommandMetadata {
        command_id: command_id.into(),
        issued_by: "ada".into(),
        correlation_id: None,
        tenant_id: Some("demo".into()),
    }
}
