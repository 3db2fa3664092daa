//! Filters of subscriptions and of consumer groups, through the doors of a real node.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::{connect_async, tungstenite::Message};
use weir_client::{
    Client, Notice, Subscribe, Subscription,
    v1::{ConsumerGroupBody, ConsumerGroupChange},
};

use crate::running::Running;

const PATIENCE: Duration = Duration::from_secs(20);

async fn with_orders(count: i64) -> (Running, Client) {
    let node = Running::start().await;
    // Their data is `{"n": 0}` and so on, at positions from 1.
    for version in 0..count {
        node.append("order-1", version).await;
    }
    let client = Client::connect([node.url("")]).await.unwrap();
    (node, client)
}

async fn notice(subscription: &mut Subscription) -> Notice {
    timeout(PATIENCE, subscription.next()).await.expect("a notice in time").unwrap()
}

async fn position(subscription: &mut Subscription) -> u64 {
    loop {
        if let Notice::Event(event) = notice(subscription).await {
            return event.position;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_is_given_what_its_filter_takes_over_reconnects_too() {
    let (node, client) = with_orders(10).await;
    let wish = |filter: &str| Subscribe::pattern("entity:order.*").filter(filter);
    let mut some = client.subscribe(wish("data.n % 4 == 3").from_start());
    assert_eq!([position(&mut some).await, position(&mut some).await], [4, 8]);
    while !matches!(notice(&mut some).await, Notice::CaughtUp(mark) if mark.position == 10) {}
    let cursor = some.cursor().unwrap().to_owned();
    drop(some);
    node.append("order-1", 10).await;
    node.append("order-1", 11).await;
    let mut again = client.subscribe(wish("data.n % 4 == 3").cursor(&cursor));
    assert_eq!(position(&mut again).await, 12);
    // What is left out moves the cursor all the same.
    let mut none =
        client.subscribe(wish("data.missing > 1").from_start().heartbeat(Duration::from_millis(100)));
    while !matches!(notice(&mut none).await, Notice::Heartbeat(mark) if mark.position == 12) {}
    let mut other = client.subscribe(wish("event.version == 11").cursor(&cursor));
    assert_eq!(position(&mut other).await, 11, "another filter goes on by the same cursor");
    for (filter, said) in [("data.n%20%3E", "line 1, column"), ("amount%20%3E%201", "`amount` is not known")]
    {
        let (status, refused) = node.get(&format!("/api/v1/subscribe?pattern=%3E&filter={filter}")).await;
        assert_eq!((status.as_u16(), &refused["code"]), (400, &json!("invalid_filter")), "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(said), "{refused}");
    }
    let states = "/api/v1/subscribe?pattern=system.projection.orders.%3E&filter=true";
    assert_eq!(node.get(states).await.1["code"], "unimplemented");
    node.node.stop().await;
}

/// Subscribes over a socket, and gives the positions of the next events, or why it is refused.
async fn socket(node: &Running, options: &Value, count: usize) -> Result<Vec<Value>, Value> {
    let url = node.url("/ws?env=default&token=t").replace("http://", "ws://");
    let mut socket = connect_async(url).await.unwrap().0;
    let asked =
        json!({ "type": "subscribe", "subscription": { "pattern": "entity:order.*", "options": options } });
    socket.send(Message::text(asked.to_string())).await.unwrap();
    let mut given = Vec::new();
    while given.len() < count {
        let frame = timeout(PATIENCE, socket.next()).await.expect("a frame in time").unwrap().unwrap();
        let Message::Text(text) = frame else { continue };
        let frame: Value = serde_json::from_str(&text).unwrap();
        match frame["type"].as_str().unwrap() {
            "event" => given.push(frame["meta"]["sequence"].clone()),
            _ if frame["results"][0]["status"] == "error" => return Err(frame["results"][0].clone()),
            _ => {}
        }
    }
    Ok(given)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_of_the_contract_takes_filters_for_itself_and_for_its_group() {
    let (node, client) = with_orders(8).await;
    let of_all = json!({ "startAfterSequence": 0, "filter": "data.n >= 6 && name == 'order.placed'" });
    assert_eq!(socket(&node, &of_all, 2).await, Ok(vec![json!(7), json!(8)]));
    let refused = socket(&node, &json!({ "filter": "data.n >=" }), 1).await.unwrap_err();
    assert_eq!(refused["code"], "INVALID_ARGUMENT", "{refused}");
    let group = ConsumerGroupBody {
        name: "mail".into(),
        pattern: "entity:order.*".into(),
        filter: Some("data.n > 3".into()),
        after_position: Some(0),
        ..ConsumerGroupBody::default()
    };
    client.create_consumer_group(&group).await.unwrap();
    let of_group = |filter: &str| json!({ "consumerGroup": "mail", "filter": filter });
    assert_eq!(socket(&node, &of_group("data.n > 3"), 1).await, Ok(vec![json!(5)]));
    assert!(socket(&node, &of_group(""), 1).await.is_ok(), "whichever it has");
    let refused = socket(&node, &of_group("data.n > 4"), 1).await.unwrap_err();
    assert_eq!(refused["message"], "consumer group `mail` has another filter", "{refused}");
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_hands_out_what_its_filter_takes_and_is_changed() {
    let (node, client) = with_orders(9).await;
    let group = |filter: &str| json!({ "name": "mail", "pattern": "entity:order.*", "afterPosition": 0, "filter": filter });
    let groups = "/api/v1/consumer-groups";
    let (_, refused) = node.post(groups, group("data.n >").to_string()).await;
    assert_eq!(
        (&refused["code"], &refused["details"]["line"]),
        (&json!("invalid_filter"), &json!(1)),
        "{refused}"
    );
    let (status, made) = node.post(groups, group("data.n % 3 == 2").to_string()).await;
    assert_eq!((status.as_u16(), &made["filter"]), (201, &json!("data.n % 3 == 2")));
    let pull = async || client.pull("mail", 1, PATIENCE).await.unwrap().remove(0);
    let third = pull().await;
    assert_eq!(third.event.position, 3);
    let shown = client.consumer_group("mail").await.unwrap();
    assert_eq!((shown.checkpoint, shown.group.filter.as_deref()), (2, Some("data.n % 3 == 2")));
    client.ack("mail", &third).await.unwrap();
    let change =
        |filter: &str| ConsumerGroupChange { filter: Some(filter.into()), ..ConsumerGroupChange::default() };
    let sixth = pull().await;
    assert_eq!(sixth.event.position, 6);
    client.change_consumer_group("mail", &change("data.n == 7")).await.unwrap();
    client.ack("mail", &sixth).await.unwrap();
    let eighth = pull().await;
    assert_eq!(eighth.event.position, 8);
    client.ack("mail", &eighth).await.unwrap();
    let (_, refused) = node.ask(Method::PATCH, &format!("{groups}/mail"), r#"{"filter":"n"}"#).await;
    assert_eq!(refused["code"], "invalid_filter", "{refused}");
    client.change_consumer_group("mail", &change("")).await.unwrap();
    // What the filter passed over counts as settled once the checkpoint is behind it: the ninth comes or not.
    node.append("order-1", 9).await;
    let mut next = pull().await;
    if next.event.position == 9 {
        client.ack("mail", &next).await.unwrap();
        next = pull().await;
    }
    assert_eq!(next.event.position, 10);
    let (status, shown) = node
        .post(
            "/ironflow.v1.PubSubService/UpdateConsumerGroup",
            json!({ "name": "mail", "filterExpr": "true" }).to_string(),
        )
        .await;
    assert_eq!((status.as_u16(), &shown["filterExpr"]), (200, &json!("true")), "{shown}");
    let Running { node: running, folder, .. } = node;
    running.stop().await;
    let node = Running::start_in(folder).await;
    assert_eq!(node.get(&format!("{groups}/mail")).await.1["filter"], "true");
    node.node.stop().await;
}
