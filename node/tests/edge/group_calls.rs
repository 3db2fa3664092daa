//! Consumer groups that change, and the calls and streams of the contract for them, against a real node.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::StreamExt as _;
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use weir_client::{
    Client, ErrorCode,
    v1::{
        ConsumerGroupBody, ConsumerGroupChange, DeadLettersQuery, GroupStatus, SettlementBody,
        SettlementKind, VerdictKind,
    },
};

use crate::{eventually::eventually, running::Running};

const WAIT: Duration = Duration::from_secs(10);
const AT_ONCE: Duration = Duration::ZERO;
const SERVICE: &str = "/ironflow.v1.PubSubService";

fn group() -> ConsumerGroupBody {
    ConsumerGroupBody {
        name: "mail".into(),
        pattern: "entity:order.*".into(),
        after_position: Some(0),
        ..ConsumerGroupBody::default()
    }
}

async fn given(client: &Client, wait: Duration) -> Vec<(u64, u32)> {
    let given = client.pull("mail", 10, wait).await.unwrap();
    given.iter().map(|one| (one.event.position, one.attempt)).collect()
}

async fn ack(client: &Client, position: u64) -> SettlementKind {
    let verdict = VerdictKind::Ack;
    let one = SettlementBody { position, attempt: None, desk: None, verdict, delay_ms: None };
    client.settle("mail", vec![one]).await.unwrap()[0].outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_paused_and_changed_with_what_is_in_flight_and_stays_so_over_a_restart() {
    let node = Running::start().await;
    for (stream, version) in [("order-1", 0), ("order-1", 1), ("order-2", 0)] {
        node.append(stream, version).await;
    }
    let client = Client::connect([node.url("")]).await.unwrap();
    client.create_consumer_group(&group()).await.unwrap();
    assert_eq!(given(&client, WAIT).await, [(1, 1), (3, 1)]);

    assert_eq!(client.pause_consumer_group("mail").await.unwrap().status, Some(GroupStatus::Paused));
    assert_eq!(ack(&client, 1).await, SettlementKind::Settled, "a verdict is taken");
    assert_eq!(given(&client, AT_ONCE).await, [], "and nothing is handed out");
    let narrow = ConsumerGroupChange { max_in_flight: Some(2), ..ConsumerGroupChange::default() };
    client.change_consumer_group("mail", &narrow).await.unwrap();
    let view = client.consumer_group("mail").await.unwrap();
    assert_eq!((view.group.status, view.group.max_in_flight), (Some(GroupStatus::Paused), Some(2)));
    assert_eq!((view.in_flight, view.checkpoint), (1, 1), "what is in flight stays there");
    client.resume_consumer_group("mail").await.unwrap();
    assert_eq!(given(&client, WAIT).await, [(2, 1)], "one more may be out, and not what is");
    client.pause_consumer_group("mail").await.unwrap();

    let Running { node: running, folder, .. } = node;
    running.stop().await;
    let node = Running::start_in(folder).await;
    let client = Client::connect([node.url("")]).await.unwrap();
    assert_eq!(given(&client, AT_ONCE).await, []);
    let view = client.consumer_group("mail").await.unwrap();
    assert_eq!((view.group.status, view.checkpoint), (Some(GroupStatus::Paused), 1));
    // Who waits is served when it is resumed, and by nobody else.
    let (waited, ()) = tokio::join!(given(&client, WAIT), async {
        client.resume_consumer_group("mail").await.unwrap();
    });
    assert_eq!(waited, [(2, 1), (3, 1)]);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_group_is_does_not_change() {
    let node = Running::start().await;
    let client = Client::connect([node.url("")]).await.unwrap();
    client.create_consumer_group(&group()).await.unwrap();
    let path = "/api/v1/consumer-groups/mail";
    for body in [
        r#"{"pattern":">"}"#,
        r#"{"afterPosition":7}"#,
        r#"{"maxInFlight":0}"#,
        r#"{"status":"deleted"}"#,
        r#"{"speed":1}"#,
    ] {
        let (status, error) = node.ask(Method::PATCH, path, body).await;
        assert_eq!((status.as_u16(), &error["code"]), (400, &json!("invalid_request")), "{body}");
    }
    let (_, same) = node.ask(Method::PATCH, path, r#"{"pattern":"entity:order.*"}"#).await;
    assert_eq!(same["status"], "active");
    let none = client.pause_consumer_group("none").await.unwrap_err();
    assert_eq!(none.code(), Some(ErrorCode::ConsumerGroupNotFound));
    // It is still itself: it can be deleted, and made anew.
    client.pause_consumer_group("mail").await.unwrap();
    client.delete_consumer_group("mail").await.unwrap();
    client.create_consumer_group(&group()).await.unwrap();
    assert_eq!(client.consumer_group("mail").await.unwrap().group.status, Some(GroupStatus::Active));
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_the_contract_make_show_change_and_delete_groups() {
    let node = Running::start().await;
    let call = async |method: &str, body: Value| {
        let (status, answer) = node.post(&format!("{SERVICE}/{method}"), body.to_string()).await;
        (status.as_u16(), answer)
    };
    let mail = json!({ "namespace": "default", "name": "mail", "pattern": "entity:order.*", "max_inflight": 7,
        "ack_mode": "ACK_MODE_MANUAL" });
    let (status, made) = call("CreateConsumerGroup", json!({ "group": mail })).await;
    assert_eq!((status, &made["group"]["name"]), (200, &json!("mail")), "{made}");
    let (status, again) = call("CreateConsumerGroup", mail.clone()).await;
    assert_eq!((status, &again["code"]), (409, &json!("already_exists")));
    for (field, value) in [
        ("backpressure", json!("BACKPRESSURE_MODE_DROP")),
        ("metadata", json!({ "team": "post" })),
        ("namespace", json!("other")),
    ] {
        let mut other = json!({ "name": "post", "pattern": ">" });
        other[field] = value;
        let (_, refused) = call("CreateConsumerGroup", other).await;
        assert_eq!(refused["code"], "unimplemented", "{field}: {refused}");
    }
    let (_, shown) = call("GetConsumerGroup", json!({ "name": "mail" })).await;
    assert_eq!((&shown["maxInflight"], &shown["maxRedeliveries"]), (&json!(7), &json!(3)));
    assert_eq!((&shown["ackMode"], &shown["redeliverDelayMs"]), (&json!("ACK_MODE_MANUAL"), &json!(5000)));
    let update = json!({ "group": { "name": "mail", "status": "CONSUMER_GROUP_STATUS_PAUSED", "maxInflight": 9 },
        "updateMask": "status" });
    let (_, updated) = call("UpdateConsumerGroup", update).await;
    assert_eq!(updated["status"], "CONSUMER_GROUP_STATUS_PAUSED");
    assert_eq!(updated["maxInflight"], 7, "the mask does not name it");
    let (_, list) = call("ListConsumerGroups", json!({})).await;
    assert_eq!((list["groups"][0]["id"].clone(), &list["totalCount"]), (json!("mail"), &json!(1)));
    assert_eq!(call("DeleteConsumerGroup", json!({ "name": "mail" })).await, (200, json!({})));
    let (status, gone) = call("GetConsumerGroup", json!({ "name": "mail" })).await;
    assert_eq!((status, &gone["code"]), (404, &json!("not_found")));
    let (status, _) = call("CountConsumerGroups", json!({})).await;
    assert_eq!(status, 404);
    node.node.stop().await;
}

/// A frame of Connect: flags, length, payload.
fn framed(payload: &Value) -> Bytes {
    let payload = payload.to_string();
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend(payload.as_bytes());
    bytes.into()
}

/// A stream of Connect over HTTP/2, both ways.
struct Talk {
    /// Dropped when the client has nothing more to say.
    says: Option<mpsc::Sender<Bytes>>,
    hears: BodyDataStream,
    bytes: Vec<u8>,
}

impl Talk {
    /// Opens one with what the client says first.
    async fn open(node: &Running, method: &str, header: Option<&str>, first: Option<Value>) -> Self {
        let socket = TcpStream::connect(node.node.address()).await.unwrap();
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
        tokio::spawn(connection);
        let (says, said) = mpsc::channel(8);
        if let Some(first) = first {
            says.send(framed(&first)).await.unwrap();
        }
        // A call of one frame is read to its end before it is answered.
        let says = (method == "SubscribeBidirectional").then_some(says);
        let body = Body::from_stream(ReceiverStream::new(said).map(Ok::<_, std::io::Error>));
        let mut request = Request::post(node.url(&format!("{SERVICE}/{method}")));
        request = request.header("content-type", "application/connect+json");
        if let Some(group) = header {
            request = request.header("x-weir-consumer-group", group);
        }
        let answer = sender.send_request(request.body(body).unwrap()).await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        assert_eq!(answer.headers()["content-type"], "application/connect+json");
        let hears = Body::new(answer.into_body()).into_data_stream();
        Self { says, hears, bytes: Vec::new() }
    }

    async fn join(node: &Running, group: &str) -> Self {
        let asked =
            json!({ "namespace": "default", "groupName": group, "consumerId": "one", "clientId": "c" });
        Self::open(node, "JoinConsumerGroup", None, Some(asked)).await
    }

    async fn both_ways(node: &Running, options: Value) -> Self {
        let asked = json!({ "pattern": "entity:order.*", "options": options });
        Self::open(node, "SubscribeBidirectional", None, Some(asked)).await
    }

    async fn say(&self, frame: Value) {
        self.says.as_ref().unwrap().send(framed(&frame)).await.unwrap();
    }

    async fn verdict(&self, event: &Value, kind: &str) {
        self.say(json!({ "eventId": event["eventId"], "ackType": kind, "redeliverDelayMs": 1 })).await;
    }

    /// The next frame, by flags and payload.
    async fn hear(&mut self) -> (u8, Value) {
        loop {
            if let Some(head) = self.bytes.get(..5) {
                let end = 5 + u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
                if let Some(payload) = self.bytes.get(5..end) {
                    let told = (self.bytes[0], serde_json::from_slice(payload).unwrap());
                    self.bytes.drain(..end);
                    return told;
                }
            }
            let more = timeout(WAIT, self.hears.next()).await.expect("a frame in time");
            self.bytes.extend(more.expect("a frame before the end").unwrap());
        }
    }

    async fn event(&mut self) -> (Value, String, u64) {
        let (flags, event) = self.hear().await;
        assert_eq!(flags, 0, "{event}");
        let attempt = event["deliveryAttempt"].as_u64().unwrap();
        (event.clone(), event["sequence"].as_str().unwrap().to_owned(), attempt)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_has_events_settled_as_they_are_sent_or_settles_them_another_way() {
    let node = Running::start().await;
    let client = Client::connect([node.url("")]).await.unwrap();
    let (flags, end) = Talk::join(&node, "none").await.hear().await;
    assert_eq!((flags, &end["error"]["code"]), (2, &json!("not_found")));
    let paused = Some(GroupStatus::Paused);
    let post = ConsumerGroupBody { name: "post".into(), status: paused, ..group() };
    client.create_consumer_group(&post).await.unwrap();
    let mut talk = Talk::join(&node, "post").await;
    for version in 0..2 {
        node.append("order-1", version).await;
    }
    client.resume_consumer_group("post").await.unwrap();
    let (event, sequence, attempt) = talk.event().await;
    assert_eq!((sequence.as_str(), attempt), ("1", 1));
    assert_eq!(event["topic"], "entity:order.order-1.order.placed");
    assert_eq!(talk.event().await.1, "2", "the one before is settled, or it would wait");
    eventually("both are settled", async || client.consumer_group("post").await.unwrap().checkpoint == 2)
        .await;

    client.create_consumer_group(&group()).await.unwrap();
    let manual = r#"{"ackMode":"manual"}"#;
    let (_, changed) = node.ask(Method::PATCH, "/api/v1/consumer-groups/mail", manual).await;
    assert_eq!(changed["ackMode"], "manual");
    let mut talk = Talk::join(&node, "mail").await;
    assert_eq!(talk.event().await.1, "1");
    assert_eq!(ack(&client, 1).await, SettlementKind::Settled);
    assert_eq!(talk.event().await.1, "2");
    drop(talk);
    assert_eq!(given(&client, WAIT).await, [(2, 2)], "what a stream holds that ends is handed out again");
    let mut talk = Talk::join(&node, "mail").await;
    node.node.stop().await;
    let (flags, end) = talk.hear().await;
    assert_eq!((flags, &end["error"]["code"]), (2, &json!("unavailable")));
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_come_over_a_stream_both_ways() {
    let node = Running::start().await;
    let client = Client::connect([node.url("")]).await.unwrap();
    client.create_consumer_group(&group()).await.unwrap();
    for version in 0..3 {
        node.append("order-1", version).await;
    }
    let mut talk = Talk::both_ways(&node, json!({ "consumerGroup": "mail" })).await;
    let (first, sequence, _) = talk.event().await;
    assert_eq!(sequence, "1");
    talk.verdict(&json!({ "eventId": "nonsense" }), "ACK_TYPE_ACK").await;
    talk.verdict(&first, "ACK_TYPE_NAK").await;
    let (first, sequence, attempt) = talk.event().await;
    assert_eq!((sequence.as_str(), attempt), ("1", 2));
    talk.say(json!({ "event_id": first["eventId"], "ack_type": "ACK_TYPE_ACK" })).await;
    let (second, sequence, _) = talk.event().await;
    assert_eq!(sequence, "2");
    talk.say(json!({ "eventId": second["eventId"], "ackType": "ACK_TYPE_TERM" })).await;
    assert_eq!(talk.event().await.1, "3");
    let dead = client.dead_letters("mail", &DeadLettersQuery::default()).await.unwrap();
    assert_eq!(dead.dead_letters[0].position, 2);
    talk.says = None;
    assert_eq!(talk.hear().await, (2, json!({})), "the client had no more to say");
    assert_eq!(given(&client, AT_ONCE).await, [(3, 2)], "what it held is handed out again");
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_both_ways_names_its_group_and_is_refused_where_it_cannot_be() {
    let node = Running::start().await;
    let client = Client::connect([node.url("")]).await.unwrap();
    client.create_consumer_group(&group()).await.unwrap();
    node.append("order-1", 0).await;
    let mut talk = Talk::open(&node, "SubscribeBidirectional", Some("mail"), None).await;
    let (event, sequence, _) = talk.event().await;
    assert_eq!(sequence, "1");
    talk.say(json!({ "eventId": event["eventId"], "ackType": "ACK_TYPE_ACK" })).await;
    eventually("it is settled", async || client.consumer_group("mail").await.unwrap().checkpoint == 1).await;
    talk.say(json!({ "eventId": event["eventId"], "ackType": "ACK_TYPE_MAYBE" })).await;
    let (flags, end) = talk.hear().await;
    assert_eq!((flags, &end["error"]["code"]), (2, &json!("invalid_argument")), "what is no verdict ends it");

    let (flags, end) = Talk::both_ways(&node, json!({})).await.hear().await;
    assert_eq!((flags, &end["error"]["code"]), (2, &json!("unimplemented")), "it names no group");
    let asked = json!({ "pattern": ">", "options": { "consumerGroup": "mail" } });
    let mut other = Talk::open(&node, "SubscribeBidirectional", None, Some(asked)).await;
    assert_eq!(other.hear().await.1["error"]["code"], "invalid_argument", "the group is of another pattern");
    let mut none = Talk::open(&node, "SubscribeBidirectional", Some("none"), None).await;
    assert_eq!(none.hear().await.1["error"]["code"], "not_found");
    let url = node.url(&format!("{SERVICE}/SubscribeBidirectional"));
    let asked = node.http.post(url).header("content-type", "application/connect+json");
    assert_eq!(asked.body("").send().await.unwrap().status().as_u16(), 505, "over HTTP/1.1");
    node.node.stop().await;
}
