//! Live subscriptions through every door of a real node.

use std::time::Duration;

use connectrpc::{
    Protocol,
    client::{ClientConfig, Http2Connection},
};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, protocol::frame::coding::CloseCode},
};
use weir_api::{proto::v1, v1::EventView};
use weir_client::{Client, Notice, Subscribe, Subscription};
use weir_types::limits;

use crate::running::Running;

const PATIENCE: Duration = Duration::from_secs(20);

async fn client(node: &Running) -> Client {
    Client::connect([node.url("")]).await.unwrap()
}

async fn notice(subscription: &mut Subscription) -> Notice {
    timeout(PATIENCE, subscription.next()).await.expect("a notice in time").unwrap()
}

/// The next events, passing over what is said between them.
async fn take(subscription: &mut Subscription, count: usize) -> Vec<EventView> {
    let mut events = Vec::new();
    while events.len() < count {
        if let Notice::Event(event) = notice(subscription).await {
            events.push(*event);
        }
    }
    events
}

fn positions(events: &[EventView]) -> Vec<u64> {
    events.iter().map(|event| event.position).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn server_sent_events_give_history_and_then_what_comes() {
    let node = Running::start().await;
    for version in 0..3 {
        node.append("order-1", version).await;
        node.append("order-2", version).await;
    }
    let client = client(&node).await;
    let mut of_stream = client.subscribe(Subscribe::stream("order-1").from_start());
    let mut of_type = client.subscribe(Subscribe::pattern("entity:order.*").last(2));
    let mut live = client.subscribe(Subscribe::pattern("events:order.placed"));
    assert!(matches!(notice(&mut of_type).await, Notice::Opened(mark) if mark.found == Some(2)));
    assert!(matches!(notice(&mut live).await, Notice::Opened(mark) if mark.position == 6));
    assert_eq!(positions(&take(&mut of_stream, 3).await), [1, 3, 5]);
    assert_eq!(positions(&take(&mut of_type, 2).await), [5, 6]);
    assert!(matches!(notice(&mut of_stream).await, Notice::CaughtUp(_)));
    node.append("order-1", 3).await;
    for subscription in [&mut of_stream, &mut of_type, &mut live] {
        let event = take(subscription, 1).await.remove(0);
        assert_eq!((event.position, event.version, event.data.get()), (7, 4, "{\"n\":3}"));
    }
    let cursor = of_type.cursor().unwrap().to_owned();
    node.append("order-2", 3).await;
    let mut again = client.subscribe(Subscribe::pattern("entity:order.*").cursor(&cursor));
    assert_eq!(positions(&take(&mut again, 1).await), [8]);
    node.metric_is("weir_subscriptions ", |count| count >= 3.0).await;
    drop((of_stream, of_type, live, again));
    node.metric_is("weir_subscriptions ", |count| count == 0.0).await;
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_comes_back_goes_on_by_its_last_event_id() {
    let node = Running::start().await;
    for version in 0..4 {
        node.append("order-1", version).await;
    }
    let url = node.url("/api/v1/streams/order-1/subscribe?last=3");
    let read = async |last: Option<&str>| {
        let mut request = node.http.get(&url);
        if let Some(id) = last {
            request = request.header("last-event-id", id);
        }
        let mut answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut text = String::new();
        while !text.contains("caught-up") {
            let chunk = timeout(PATIENCE, answer.chunk()).await.unwrap().unwrap().unwrap();
            text += std::str::from_utf8(&chunk).unwrap();
        }
        text
    };
    let text = read(None).await;
    let versions = |text: &str| -> Vec<u64> {
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let events = data.filter_map(|data| serde_json::from_str::<EventView>(data).ok());
        events.map(|event| event.version).collect()
    };
    assert_eq!(versions(&text), [2, 3, 4]);
    let ids: Vec<&str> = text.split("\n\n").filter(|event| !event.contains("event: ")).collect();
    let second = ids[1].lines().next().unwrap().strip_prefix("id: ").unwrap();
    assert_eq!(versions(&read(Some(second)).await), [4]);
    for (path, code) in [
        ("/api/v1/subscribe", "invalid_request"),
        ("/api/v1/subscribe?pattern=order", "invalid_pattern"),
        ("/api/v1/subscribe?pattern=topic:x", "unimplemented"),
        ("/api/v1/subscribe?pattern=%3E&cursor=1.2.3", "invalid_cursor"),
        (&format!("/api/v1/subscribe?pattern=%3E&cursor={second}"), "invalid_cursor"),
        ("/api/v1/subscribe?pattern=%3E&last=1001", "too_large"),
        ("/api/v1/subscribe?pattern=%3E&nonsense=1", "invalid_request"),
        ("/ws", "invalid_request"),
    ] {
        assert_eq!(node.get(path).await.1["code"], code, "{path}");
    }
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_carry_what_was_looked_at_and_a_stop_ends_with_a_cursor() {
    let node = Running::start().await;
    let client = client(&node).await;
    let what = Subscribe::stream("absent").heartbeat(Duration::from_millis(100));
    let mut quiet = client.subscribe(what);
    assert!(matches!(notice(&mut quiet).await, Notice::Opened(mark) if mark.position == 0));
    node.append("order-1", 0).await;
    while !matches!(notice(&mut quiet).await, Notice::Heartbeat(mark) if mark.position == 1) {}
    let mut answer = node.http.get(node.url("/api/v1/subscribe?pattern=%3E")).send().await.unwrap();
    let began = std::time::Instant::now();
    node.node.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let mut text = String::new();
    while let Ok(Some(bytes)) = answer.chunk().await {
        text += std::str::from_utf8(&bytes).unwrap();
    }
    assert!(text.contains("event: end") && text.contains("\"code\":\"unavailable\""), "{text}");
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn socket(node: &Running) -> Socket {
    let url = node.url("/ws?env=default&token=t").replace("http://", "ws://");
    connect_async(url).await.unwrap().0
}

async fn say(socket: &mut Socket, frame: &Value) {
    socket.send(Message::text(frame.to_string())).await.unwrap();
}

/// The next frame of text.
async fn hear(socket: &mut Socket) -> Value {
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("a frame in time").unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn subscribe(pattern: &str, options: &Value) -> Value {
    json!({ "type": "subscribe", "subscription": { "pattern": pattern, "options": options } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_speaks_the_contract() {
    let node = Running::start().await;
    node.append("order-1", 0).await;
    node.append("order-1", 1).await;
    let mut one = socket(&node).await;
    say(&mut one, &subscribe("entity:order.order-1.>", &json!({ "replay": 1 }))).await;
    let result = hear(&mut one).await;
    assert_eq!(result["type"], "subscription_result");
    assert_eq!(result["results"][0]["pattern"], "entity:order.order-1.>");
    assert_eq!(result["results"][0]["status"], "ok");
    let id = result["results"][0]["subscriptionId"].clone();
    let event = hear(&mut one).await;
    assert_eq!((&event["type"], &event["subscriptionId"]), (&json!("event"), &id));
    assert_eq!(event["topic"], "entity:order.order-1.order.placed");
    assert_eq!((&event["data"]["entityVersion"], &event["data"]["data"]), (&json!(2), &json!({ "n": 1 })));
    assert_eq!(event["meta"]["sequence"], 2);
    // The same pattern again is another subscription; after a reconnect both have the ids that they had.
    say(&mut one, &subscribe("entity:order.order-1.>", &json!({ "startAfterSequence": 2 }))).await;
    let second = hear(&mut one).await["results"][0]["subscriptionId"].clone();
    assert_ne!(second, id);
    let mut two = socket(&node).await;
    say(&mut two, &subscribe("entity:order.order-1.>", &json!({}))).await;
    assert_eq!(hear(&mut two).await["results"][0]["subscriptionId"], id);
    say(&mut one, &json!({ "type": "unsubscribe", "subscriptionId": id })).await;
    // A client finds what became of a `subscribe` by its pattern, also of one that is not legal.
    say(&mut one, &subscribe("entity:order.>", &json!({ "replay": "x" }))).await;
    let refused = hear(&mut one).await;
    assert_eq!(
        (&refused["type"], &refused["results"][0]["pattern"]),
        (&json!("subscription_result"), &json!("entity:order.>"))
    );
    assert_ne!(refused["results"][0]["status"], "ok", "{refused}");
    // The answer to what follows says that the one before was taken.
    say(&mut one, &json!({ "type": "ack", "eventId": "e", "ackType": "ack" })).await;
    let refused = hear(&mut one).await;
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("NOT_FOUND")));
    node.append("order-1", 2).await;
    let event = hear(&mut one).await;
    assert_eq!((&event["subscriptionId"], &event["meta"]["sequence"]), (&second, &json!(3)));
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_says_what_it_does_not_take_and_ends_when_the_node_does() {
    let node = Running::start().await;
    let mut one = socket(&node).await;
    for (pattern, options, code) in [
        ("nonsense", json!({}), "INVALID_ARGUMENT"),
        ("system.run.p.>", json!({}), "UNIMPLEMENTED"),
        ("events:x", json!({ "consumerGroup": "g", "replay": 1 }), "INVALID_ARGUMENT"),
        ("events:x", json!({ "startAfterSequence": 0, "replay": 1 }), "INVALID_ARGUMENT"),
    ] {
        say(&mut one, &subscribe(pattern, &options)).await;
        let result = hear(&mut one).await;
        assert_eq!(result["results"][0]["pattern"], pattern);
        assert_eq!(result["results"][0]["code"], code, "{result}");
    }
    one.send(Message::text("{")).await.unwrap();
    assert_eq!(hear(&mut one).await["code"], "INVALID_ARGUMENT");
    let cursors = json!({ "cursors": true, "heartbeatMs": 100 });
    say(&mut one, &subscribe(">", &cursors)).await;
    assert!(hear(&mut one).await["results"][0]["cursor"].is_string());
    assert_eq!(hear(&mut one).await["type"], "caught_up");
    assert_eq!(hear(&mut one).await["type"], "heartbeat");
    let mut large = socket(&node).await;
    large.send(Message::text("x".repeat(limits::SOCKET_FRAME_BYTES_MAX + 1))).await.unwrap();
    assert_eq!(hear(&mut large).await["type"], "error");
    let closed = timeout(PATIENCE, large.next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(closed, Message::Close(Some(frame)) if frame.code == CloseCode::Size));
    let stopping = tokio::spawn(node.node.stop());
    let began = std::time::Instant::now();
    let mut last = hear(&mut one).await;
    while last["type"] == "heartbeat" && began.elapsed() < PATIENCE {
        last = hear(&mut one).await;
    }
    assert_eq!((&last["type"], &last["code"]), (&json!("subscription_error"), &json!("UNAVAILABLE")));
    assert_eq!(hear(&mut one).await["type"], "error");
    let closed = timeout(PATIENCE, one.next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(closed, Message::Close(Some(frame)) if frame.code == CloseCode::Restart));
    stopping.await.unwrap();
}

/// A frame of Connect: flags, length, payload.
fn framed(payload: &Value) -> Vec<u8> {
    let payload = payload.to_string();
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend(payload.as_bytes());
    bytes
}

/// Takes a whole frame off the front.
fn unframed(bytes: &mut Vec<u8>) -> Option<(u8, Value)> {
    let length = u32::from_be_bytes(bytes.get(1..5)?.try_into().unwrap()) as usize;
    let payload = serde_json::from_slice(bytes.get(5..5 + length)?).unwrap();
    let flags = bytes[0];
    bytes.drain(..5 + length);
    Some((flags, payload))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_stream_speaks_the_contract_and_ends_with_unavailable() {
    let node = Running::start().await;
    node.append("order-1", 0).await;
    let url = node.url("/ironflow.v1.PubSubService/Subscribe");
    let ask = async |pattern: &str| {
        let body = framed(&json!({ "pattern": pattern, "options": { "replay": 10, "namespace": "default",
            "ackMode": "ACK_MODE_AUTO", "backpressure": "BACKPRESSURE_MODE_BUFFER" } }));
        let request = node.http.post(&url).header("content-type", "application/connect+json");
        let answer = request.header("connect-protocol-version", "1").body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        assert_eq!(answer.headers()["content-type"], "application/connect+json");
        answer
    };
    let mut bytes = ask("nonsense").await.bytes().await.unwrap().to_vec();
    let (flags, end) = unframed(&mut bytes).unwrap();
    assert_eq!((flags, &end["error"]["code"]), (2, &json!("invalid_argument")));
    let mut answer = ask("entity:order.order-1.>").await;
    let (mut bytes, mut frames) = (Vec::new(), Vec::new());
    while frames.is_empty() {
        bytes.extend(timeout(PATIENCE, answer.chunk()).await.unwrap().unwrap().unwrap());
        frames.extend(unframed(&mut bytes));
    }
    let (flags, event) = &frames[0];
    assert_eq!((*flags, &event["topic"]), (0, &json!("entity:order.order-1.order.placed")));
    assert_eq!((&event["sequence"], &event["data"]["entityVersion"]), (&json!("1"), &json!(1)));
    let stopping = tokio::spawn(node.node.stop());
    while let Some(chunk) = timeout(PATIENCE, answer.chunk()).await.unwrap().unwrap() {
        bytes.extend(chunk);
    }
    let (flags, end) = unframed(&mut bytes).unwrap();
    assert_eq!((flags, &end["error"]["code"]), (2, &json!("unavailable")));
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_streams_frames_with_cursors() {
    use v1::{
        subscribe_request::{Start, Target},
        subscribe_response::Frame,
    };
    let node = Running::start().await;
    node.append("order-1", 0).await;
    let config = ClientConfig::new(node.url("").parse().unwrap()).with_protocol(Protocol::Grpc);
    let connection = Http2Connection::connect_plaintext(config.base_uri().clone()).await.unwrap();
    let client = v1::SubscriptionServiceClient::new(connection.shared(4), config);
    let request = v1::SubscribeRequest {
        target: Some(Target::Stream("order-1".into())),
        start: Some(Start::AfterVersion(0)),
        ..Default::default()
    };
    let mut frames = client.subscribe(request).await.unwrap();
    let mut next = async || {
        let frame = timeout(PATIENCE, frames.message()).await.unwrap().unwrap().unwrap();
        frame.to_owned_message()
    };
    assert!(matches!(next().await.frame, Some(Frame::Opened(_))));
    let event = next().await;
    assert!(!event.cursor.is_empty());
    assert!(
        matches!(event.frame, Some(Frame::Event(event)) if event.name == "order.placed" && event.version == 1)
    );
    assert!(matches!(next().await.frame, Some(Frame::CaughtUp(_))));
    node.append("order-1", 1).await;
    assert!(matches!(next().await.frame, Some(Frame::Event(event)) if event.version == 2));
    let stopping = tokio::spawn(node.node.stop());
    let end = timeout(PATIENCE, frames.message::<v1::SubscribeResponse>()).await.unwrap().unwrap_err();
    assert_eq!(end.code, connectrpc::ErrorCode::Unavailable);
    stopping.await.unwrap();
}
