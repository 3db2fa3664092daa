//! Places an order, places it again as a retrying client would, ships it, and shows the stream and the read models.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::TryStreamExt as _;
use weir_client::{Client, ReadOptions, v1::ViewQuery};
use weir_example_orders::{
    catalog::Catalog,
    command::{CommandMetadata, PlaceOrder, Wish},
    handler::Orders,
    views,
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
    let shipped = orders.ship(&order_id, "TRACK-1", &metadata(&format!("ship-{now}"))).await?;

    let events: Vec<_> = client.read(&order_id, ReadOptions::default()).try_collect().await?;
    for event in events {
        println!("{} {} {}", event.version, event.name, event.data.get());
    }

    for source in [views::ORDER_DETAIL, views::CUSTOMER_ORDERS] {
        client.deploy_projection(source).await?;
    }
    // Read your writes: wait for the event, or ask for its position.
    client.wait_for_event("order-detail-view", &shipped.event_id, Duration::from_secs(5)).await?;
    let detail = client.projection("order-detail-view", &ViewQuery::default()).await?;
    let state = detail.state.map(|state| state.state).unwrap_or_default();
    println!("order-detail-view: {}", state["orders"][&order_id]);
    let of_ada = ViewQuery {
        partition: Some("ada".into()),
        min_position: Some(shipped.position),
        ..ViewQuery::default()
    };
    let list = client.projection("customer-orders-list", &of_ada).await?;
    let state = list.state.map(|state| state.state).unwrap_or_default();
    println!("customer-orders-list of ada: {}", state["orders"][0]);
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
