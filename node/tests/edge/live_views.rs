//! The states of projections, live, through every door of a real node.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::{connect_async, tungstenite::Message};
use weir_client::{Client, ProjectionWatch, StateNotice, v1::StateUpdate};

use crate::running::Running;

const PATIENCE: Duration = Duration::from_secs(20);
const PARTITION_KEY: &str = "export const partitionKey = '$.data.customer';";

/// A projection that counts by `step`.
fn source(name: &str, step: u64, more: &str) -> String {
    format!(
        "export const name = '{name}'; export const events = ['order.*']; {more}\
         export const initialState = () => ({{ n: 0 }});\
         export const handler = (state) => ({{ n: state.n + {step} }});"
    )
}

async fn deploy(node: &Running, source: &str) {
    let (status, answer) = node.post("/api/v1/projections", json!({ "source": source }).to_string()).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
}

async fn order(node: &Running, customer: &str) {
    let body = json!({ "entityType": "order", "name": "order.placed", "data": { "customer": customer } });
    let (status, answer) = node.post("/api/v1/streams/o/events", body.to_string()).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
}

async fn watch(node: &Running, name: &str, partition: Option<&str>) -> ProjectionWatch {
    Client::connect([node.url("")]).await.unwrap().watch_projection(name, partition)
}

async fn notice(watch: &mut ProjectionWatch) -> StateNotice {
    timeout(PATIENCE, watch.next()).await.expect("a notice in time").unwrap()
}

async fn state(watch: &mut ProjectionWatch) -> StateUpdate {
    loop {
        match notice(watch).await {
            StateNotice::State(state) => return *state,
            StateNotice::Lost(reason) => panic!("{reason}"),
            _ => {}
        }
    }
}

fn n(state: &StateUpdate) -> u64 {
    state.state.to_value().unwrap()["n"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_given_as_it_is_and_then_as_it_becomes() {
    let node = Running::start().await;
    deploy(&node, &source("by-customer", 1, PARTITION_KEY)).await;
    order(&node, "ada").await;
    order(&node, "bob").await;
    let mut ada = watch(&node, "by-customer", Some("ada")).await;
    let first = state(&mut ada).await;
    assert_eq!(
        (n(&first), first.sequence, &*first.partition, &*first.last_event_name),
        (1, 1, "ada", "order.placed")
    );
    assert_eq!(node.get("/api/v1/projections/by-customer/catchup?minSeq=2").await.1["caughtUp"], true);
    let mut all = watch(&node, "by-customer", None).await;
    assert_eq!([&*state(&mut all).await.partition, &*state(&mut all).await.partition], ["ada", "bob"]);
    assert!(matches!(notice(&mut all).await, StateNotice::CaughtUp(_)));
    order(&node, "bob").await;
    order(&node, "ada").await;
    let next = state(&mut ada).await;
    assert_eq!((n(&next), next.sequence), (2, 4));
    let (mut bob, mut of_ada) = (0, 0);
    while (bob, of_ada) != (2, 2) {
        let next = state(&mut all).await;
        assert!(matches!((&*next.partition, next.sequence), ("bob", 3) | ("ada", 4)), "{next:?}");
        if next.partition == "bob" { bob = n(&next) } else { of_ada = n(&next) }
    }
    // One that comes late, and asks only for what is newer than it has.
    let mut late = watch(&node, "by-customer", None).await.after(3);
    assert_eq!(&*state(&mut late).await.partition, "ada");
    let mut none = watch(&node, "none", None).await;
    let error = none.next().await.unwrap_err();
    assert_eq!(error.code(), Some(weir_client::ErrorCode::ProjectionNotFound));
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_partitions_are_given_once_each_and_none_is_missed() {
    let node = Running::start().await;
    deploy(&node, &source("by-customer", 1, PARTITION_KEY)).await;
    let customers: Vec<String> = (0..100).map(|number| format!("c{number:03}")).collect();
    let place = async || {
        let events: Vec<Value> = customers
            .iter()
            .map(|name| json!({ "name": "order.placed", "data": { "customer": name } }))
            .collect();
        let body = json!({ "entityType": "order", "events": events });
        let (status, answer) = node.post("/api/v1/streams/o/events", body.to_string()).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    };
    place().await;
    assert_eq!(node.get("/api/v1/projections/by-customer/catchup?minSeq=100").await.1["caughtUp"], true);
    let mut all = watch(&node, "by-customer", None).await;
    let mut given = Vec::new();
    while given.len() < 100 {
        given.push(state(&mut all).await.partition);
    }
    assert_eq!(given, customers);
    place().await;
    place().await;
    let mut last = std::collections::BTreeMap::new();
    while last.len() < 100 || last.values().any(|(n, _)| *n < 3) {
        let next = state(&mut all).await;
        let before = last.insert(next.partition.clone(), (n(&next), next.sequence));
        assert!(before.is_none_or(|(_, sequence)| sequence < next.sequence), "{next:?}");
    }
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redeployment_is_told_and_its_states_follow_and_a_removal_is_the_end() {
    let node = Running::start().await;
    deploy(&node, &source("count", 1, "")).await;
    order(&node, "ada").await;
    let mut count = watch(&node, "count", None).await;
    assert_eq!(n(&state(&mut count).await), 1);
    order(&node, "ada").await;
    assert_eq!(n(&state(&mut count).await), 2);
    deploy(&node, &source("count", 10, "")).await;
    while !matches!(notice(&mut count).await, StateNotice::Redeployed(_)) {}
    // No state of the new deployment is of less than what was given before.
    assert_eq!(n(&state(&mut count).await), 20);
    let url = node.url("/api/v1/projections/count");
    assert_eq!(node.http.request(Method::DELETE, url).send().await.unwrap().status(), 204);
    let ended = timeout(PATIENCE, async {
        loop {
            if let Err(error) = count.next().await {
                return error;
            }
        }
    });
    assert_eq!(ended.await.unwrap().code(), Some(weir_client::ErrorCode::ProjectionNotFound));
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_of_the_contract_gives_states_by_pattern() {
    let node = Running::start().await;
    deploy(&node, &source("order.detail", 1, "")).await;
    order(&node, "ada").await;
    let (mut socket, _) = connect_async(node.url("/ws").replace("http", "ws")).await.unwrap();
    let subscribe =
        |pattern: &str| json!({ "type": "subscribe", "subscription": { "pattern": pattern } }).to_string();
    let heard = async |socket: &mut tokio_tungstenite::WebSocketStream<_>| -> Value {
        loop {
            let message = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
            if let Message::Text(text) = message {
                return serde_json::from_str(&text).unwrap();
            }
        }
    };
    let pattern = "system.projection.order.detail.__global__.updated";
    socket.send(Message::text(subscribe(pattern))).await.unwrap();
    let result = heard(&mut socket).await;
    assert_eq!(
        (&result["results"][0]["pattern"], &result["results"][0]["status"]),
        (&pattern.into(), &"ok".into())
    );
    let event = heard(&mut socket).await;
    assert_eq!((&event["type"], &event["topic"]), (&"event".into(), &pattern.into()));
    assert_eq!(event["subscriptionId"], result["results"][0]["subscriptionId"]);
    assert_eq!(
        (&event["data"]["state"]["n"], &event["data"]["last_event_name"]),
        (&1.into(), &"order.placed".into())
    );
    assert_eq!((&event["meta"]["sequence"], &event["eventId"]), (&1.into(), &event["data"]["last_event_id"]));
    order(&node, "ada").await;
    assert_eq!(heard(&mut socket).await["data"]["state"]["n"], 2);
    for (pattern, code) in [
        ("system.projection.none.>", "NOT_FOUND"),
        ("system.projection.>", "INVALID_ARGUMENT"),
        ("system.run.>", "UNIMPLEMENTED"),
    ] {
        socket.send(Message::text(subscribe(pattern))).await.unwrap();
        assert_eq!(heard(&mut socket).await["results"][0]["code"], code, "{pattern}");
    }
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connect_stream_of_the_contract_gives_states_and_ends_with_a_stop() {
    let node = Running::start().await;
    deploy(&node, &source("count", 1, "")).await;
    order(&node, "ada").await;
    let body = json!({ "pattern": "system.projection.count.>", "options": {
        "namespace": "default", "ackMode": "ACK_MODE_AUTO", "backpressure": "BACKPRESSURE_MODE_BUFFER" } });
    let body = body.to_string();
    let mut frame = vec![0];
    frame.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    frame.extend(body.as_bytes());
    let asked = node.http.post(node.url("/ironflow.v1.PubSubService/Subscribe"));
    let mut answer =
        asked.header("content-type", "application/connect+json").body(frame).send().await.unwrap();
    let bytes = timeout(PATIENCE, answer.chunk()).await.unwrap().unwrap().unwrap();
    let event: Value = serde_json::from_slice(&bytes[5..]).unwrap();
    assert_eq!(event["topic"], "system.projection.count.__global__.updated");
    assert_eq!((&event["data"]["state"]["n"], &event["sequence"]), (&1.into(), &"1".into()));
    node.node.stop().await;
    let bytes = timeout(PATIENCE, answer.chunk()).await.unwrap().unwrap().unwrap();
    let end: Value = serde_json::from_slice(&bytes[5..]).unwrap();
    assert_eq!((bytes[0], &end["error"]["code"]), (2, &"unavailable".into()));
}
