//! A consumer group through every door of a real node.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::{connect_async, tungstenite::Message};
use weir_client::{
    Client, ErrorCode,
    v1::{ConsumerGroupBody, DeadLettersQuery, SettlementBody, SettlementKind, VerdictKind},
};

use weir_types::limits;

use crate::{eventually::eventually, running::Running};

const WAIT: Duration = Duration::from_secs(10);
const AT_ONCE: Duration = Duration::ZERO;

fn group(name: &str) -> ConsumerGroupBody {
    ConsumerGroupBody {
        name: name.into(),
        pattern: "entity:order.*".into(),
        after_position: Some(0),
        ack_deadline_ms: Some(60_000),
        max_redeliveries: Some(1),
        ..ConsumerGroupBody::default()
    }
}

fn verdict(position: u64, verdict: VerdictKind) -> SettlementBody {
    let delay_ms = (verdict == VerdictKind::Nak).then_some(0);
    SettlementBody { position, attempt: None, desk: None, verdict, delay_ms }
}

async fn given(client: &Client, wait: Duration) -> Vec<(u64, u32)> {
    let given = client.pull("mail", 10, wait).await.unwrap();
    given.iter().map(|one| (one.event.position, one.attempt)).collect()
}

async fn say(client: &Client, position: u64, kind: VerdictKind) -> SettlementKind {
    client.settle("mail", vec![verdict(position, kind)]).await.unwrap()[0].outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_hands_out_each_event_until_it_is_settled_over_restarts_too() {
    let node = Running::start().await;
    for version in 0..2 {
        node.append("order-1", version).await;
        node.append("order-2", version).await;
    }
    let client = Client::connect([node.url("")]).await.unwrap();
    client.create_consumer_group(&group("mail")).await.unwrap();
    let again = client.create_consumer_group(&group("mail")).await.unwrap_err();
    assert_eq!(again.code(), Some(ErrorCode::ConsumerGroupExists));
    assert_eq!(
        client.pull("none", 1, AT_ONCE).await.unwrap_err().code(),
        Some(ErrorCode::ConsumerGroupNotFound)
    );

    assert_eq!(given(&client, WAIT).await, [(1, 1), (2, 1)], "one of each entity");
    assert_eq!(given(&client, AT_ONCE).await, []);
    assert_eq!(say(&client, 1, VerdictKind::Ack).await, SettlementKind::Settled);
    assert_eq!(say(&client, 1, VerdictKind::Ack).await, SettlementKind::AlreadySettled);
    assert_eq!(say(&client, 4, VerdictKind::Ack).await, SettlementKind::NotDelivered);
    assert_eq!(say(&client, 2, VerdictKind::Nak).await, SettlementKind::Redelivers);
    assert_eq!(given(&client, WAIT).await, [(2, 2), (3, 1)]);
    assert_eq!(say(&client, 2, VerdictKind::Nak).await, SettlementKind::Dead);
    let dead = client.dead_letters("mail", &DeadLettersQuery::default()).await.unwrap();
    assert_eq!((dead.dead_letters.len(), dead.dead_letters[0].cause.as_str()), (1, "too_many_deliveries"));

    // Buckets of Weir's own are nobody's.
    let (status, hidden) = node.get("/api/v1/kv/buckets").await;
    assert_eq!((status.as_u16(), &hidden["count"]), (200, &json!(0)));
    assert_eq!(node.get("/api/v1/kv/buckets/_weir-consumers").await.1["code"], "invalid_request");

    let Running { node: running, folder, .. } = node;
    running.stop().await;
    let node = Running::start_in(folder).await;
    let client = Client::connect([node.url("")]).await.unwrap();
    assert_eq!(
        given(&client, WAIT).await,
        [(3, 1), (4, 1)],
        "what was settled or dead is not there any more"
    );
    assert_eq!(client.replay("mail", None).await.unwrap(), 1);
    assert_eq!(say(&client, 4, VerdictKind::Ack).await, SettlementKind::Settled);
    assert_eq!(given(&client, WAIT).await, [(2, 1)], "a dead letter comes again");
    for position in [2, 3] {
        assert_eq!(say(&client, position, VerdictKind::Ack).await, SettlementKind::Settled);
    }
    let view = client.consumer_group("mail").await.unwrap();
    assert_eq!((view.checkpoint, view.in_flight + view.waiting + view.resting), (4, 0));
    assert!(client.dead_letters("mail", &DeadLettersQuery::default()).await.unwrap().dead_letters.is_empty());

    by_socket(&node).await;
    client.delete_consumer_group("mail").await.unwrap();
    assert_eq!(client.consumer_groups().await.unwrap().groups.len(), 0);
    let (status, _) = node.ask(Method::POST, "/api/v1/consumer-groups/mail/pull", "").await;
    assert_eq!(status.as_u16(), 404);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_joins_a_full_house_and_tells_its_groups_apart() {
    let node = Running::start().await;
    let client = Client::connect([node.url("")]).await.unwrap();
    for number in 0..limits::CONSUMER_GROUPS_MAX {
        let group = ConsumerGroupBody { max_redeliveries: Some(0), ..group(&format!("g-{number}")) };
        client.create_consumer_group(&group).await.unwrap();
    }
    let full = client.create_consumer_group(&group("one-more")).await.unwrap_err();
    assert_eq!(full.code(), Some(ErrorCode::ConsumerGroupsFull));

    let url = node.url("/ws").replacen("http", "ws", 1);
    let (mut socket, _) = connect_async(&url).await.unwrap();
    let mut ids = Vec::new();
    for name in ["g-1", "g-2"] {
        let options = json!({ "consumerGroup": name, "ackMode": "manual" });
        let subscription = json!({ "pattern": "entity:order.*", "options": options });
        let frame = json!({ "type": "subscribe", "subscription": subscription });
        socket.send(Message::text(frame.to_string())).await.unwrap();
        let told = heard(&mut socket).await;
        assert_eq!(told["results"][0]["status"], "ok", "it is there already: {told}");
        ids.push(told["results"][0]["subscriptionId"].clone());
    }
    node.append("order-1", 0).await;
    let (first, second) = (heard(&mut socket).await, heard(&mut socket).await);
    assert_eq!(first["eventId"], second["eventId"]);
    let term = json!({
        "type": "ack", "eventId": first["eventId"], "subscriptionId": ids[1], "ackType": "term",
    });
    socket.send(Message::text(term.to_string())).await.unwrap();
    eventually("it is dead in the group that was named", async || {
        let dead = client.dead_letters("g-2", &DeadLettersQuery::default()).await.unwrap();
        dead.dead_letters.len() == 1
    })
    .await;
    assert!(client.dead_letters("g-1", &DeadLettersQuery::default()).await.unwrap().dead_letters.is_empty());
    socket.send(Message::text(term.to_string())).await.unwrap();
    assert_eq!(heard(&mut socket).await["type"], "error", "it is not with this one any more");
    node.node.stop().await;
}

/// The socket of the contract: manual acks, and what a client holds that goes away.
async fn by_socket(node: &Running) {
    let url = node.url("/ws").replacen("http", "ws", 1);
    let subscribe = |pattern: &str| {
        let options = json!({ "consumerGroup": "mail", "ackMode": "manual" });
        let subscription = json!({ "pattern": pattern, "options": options });
        Message::text(json!({ "type": "subscribe", "subscription": subscription }).to_string())
    };
    let (mut socket, _) = connect_async(&url).await.unwrap();
    socket.send(subscribe(">")).await.unwrap();
    assert_eq!(heard(&mut socket).await["results"][0]["status"], "error", "the group is of another pattern");
    socket.send(subscribe("entity:order.*")).await.unwrap();
    assert_eq!(heard(&mut socket).await["results"][0]["status"], "ok");
    node.append("order-1", 2).await;
    let event = heard(&mut socket).await;
    assert_eq!((&event["meta"]["sequence"], &event["meta"]["deliveryAttempt"]), (&json!(5), &json!(1)));
    socket.close(None).await.unwrap();

    let (mut socket, _) = connect_async(&url).await.unwrap();
    socket.send(subscribe("entity:order.*")).await.unwrap();
    assert_eq!(heard(&mut socket).await["results"][0]["status"], "ok");
    let event = heard(&mut socket).await;
    assert_eq!((&event["meta"]["sequence"], &event["meta"]["deliveryAttempt"]), (&json!(5), &json!(2)));
    let ack =
        |id: &Value| Message::text(json!({ "type": "ack", "eventId": id, "ackType": "ack" }).to_string());
    socket.send(ack(&event["eventId"])).await.unwrap();
    node.append("order-1", 3).await;
    let event = heard(&mut socket).await;
    assert_eq!(event["meta"]["sequence"], 6, "the ack is not answered, and the entity goes on");
    socket.send(ack(&json!("nonsense"))).await.unwrap();
    assert_eq!(heard(&mut socket).await["type"], "error");
    socket.send(ack(&event["eventId"])).await.unwrap();
    socket.close(None).await.unwrap();
}

async fn heard(
    socket: &mut (impl futures::Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin),
) -> Value {
    loop {
        let message = timeout(WAIT, socket.next()).await.expect("a frame in time").unwrap().unwrap();
        if let Message::Text(text) = message {
            return serde_json::from_str(&text).unwrap();
        }
    }
}
