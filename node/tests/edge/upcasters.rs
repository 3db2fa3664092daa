//! Upcasters through the public port of a real node.

use std::time::Duration;

use futures::TryStreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use weir_client::{
    Client, ErrorCode, Notice, ReadOptions, ReadSession, Subscribe,
    v1::{LogQuery, UpcastBody, UpcasterBody},
};

use crate::{
    eventually::eventually,
    running::{Answer, Running},
};

const PATIENCE: Duration = Duration::from_secs(20);
const PATH: &str = "/api/v1/upcasters/order.placed";

impl Running {
    async fn set_upcaster(&self, from: u32, to: u32, body: &str) -> Answer {
        let source = format!("export function upcast(data, event) {{ {body} }}");
        let body = json!({ "source": source, "toVersion": to, "description": format!("to {to}") });
        self.ask(Method::PUT, &format!("{PATH}/{from}"), body.to_string()).await
    }

    async fn place(&self, stream: &str, version: u32, data: Value) {
        let body =
            json!({ "entityType": "order", "name": "order.placed", "data": data, "schemaVersion": version });
        let (status, answer) = self.post(&format!("/api/v1/streams/{stream}/events"), body.to_string()).await;
        assert_eq!(status.as_u16(), 201, "{answer}");
    }

    async fn data(&self, path: &str) -> Vec<(u64, Value)> {
        let (status, page) = self.get(path).await;
        assert_eq!(status.as_u16(), 200, "{page}");
        let events = page["events"].as_array().unwrap();
        events.iter().map(|event| (event["schemaVersion"].as_u64().unwrap(), event["data"].clone())).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_read_as_of_the_newest_version_through_every_door() {
    let node = Running::start().await;
    node.place("o-1", 1, json!({ "total": 5 })).await;
    node.place("o-1", 2, json!({ "amount": 6 })).await;
    let (status, set) = node.set_upcaster(1, 2, "return { amount: data.total }").await;
    assert_eq!((status.as_u16(), &set["existed"]), (200, &json!(false)), "{set}");
    node.set_upcaster(2, 3, "data.currency = event.metadata.currency ?? 'EUR'").await;
    let newest =
        [(3, json!({ "amount": 5, "currency": "EUR" })), (3, json!({ "amount": 6, "currency": "EUR" }))];
    let stored = [(1, json!({ "total": 5 })), (2, json!({ "amount": 6 }))];
    for path in ["/api/v1/streams/o-1/events?", "/api/v1/streams/o-1/history?", "/api/v1/log?"] {
        assert_eq!(node.data(path).await, newest, "{path}");
        assert_eq!(node.data(&format!("{path}raw=true")).await, stored, "{path}");
    }
    let back = node.data("/api/v1/streams/o-1/events?direction=backward").await;
    assert_eq!(back, [newest[1].clone(), newest[0].clone()]);
    let read = "/ironflow.v1.EntityStreamService/ReadStream";
    let answer = node.http.post(node.url(read)).json(&json!({ "entityId": "o-1" })).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["events"][0]["data"], newest[0].1);
    let reads = ReadSession::open(&node.url(""), PATIENCE).await.unwrap();
    for (raw, version) in [(false, 3), (true, 1)] {
        let page = reads.read_page("o-1", ReadOptions { raw, ..ReadOptions::default() }).await.unwrap();
        assert_eq!(page.events[0].schema_version, version);
        let query = LogQuery { raw, ..LogQuery::default() };
        let pages: Vec<_> = reads.read_log(&query).await.unwrap().try_collect().await.unwrap();
        assert_eq!(pages[0].events[0].schema_version, version);
    }
    let client = Client::connect([node.url("")]).await.unwrap();
    let mut follows = client.subscribe(Subscribe::stream("o-1").from_start());
    let event = loop {
        if let Notice::Event(event) = tokio::time::timeout(PATIENCE, follows.next()).await.unwrap().unwrap() {
            break event;
        }
    };
    assert_eq!((event.schema_version, event.data.to_value().unwrap()), (3, newest[0].1.clone()));
    let group = json!({ "name": "mail", "pattern": "entity:order.*", "afterPosition": 0 });
    assert_eq!(node.post("/api/v1/consumer-groups", group.to_string()).await.0.as_u16(), 201);
    let pull = "/api/v1/consumer-groups/mail/pull?max=1&waitMs=10000";
    let (_, pulled) = node.post(pull, "").await;
    assert_eq!(pulled["deliveries"][0]["event"]["data"], newest[0].1, "{pulled}");
    // All of it is there after a restart.
    node.node.stop().await;
    let node = Running::start_in(node.folder).await;
    assert_eq!(node.data("/api/v1/streams/o-1/events").await, newest);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_named_and_ends_what_is_read_before_it() {
    let node = Running::start().await;
    node.set_upcaster(1, 2, "return data").await;
    node.place("o-1", 2, json!({})).await;
    node.place("o-1", 1, json!({})).await;
    assert_eq!(node.data("/api/v1/streams/o-1/events").await.len(), 2);
    node.set_upcaster(3, 4, "return data").await;
    let (status, error) = node.get("/api/v1/streams/o-1/events").await;
    assert_eq!((status.as_u16(), &error["code"]), (422, &json!("upcast_gap")), "{error}");
    let details = &error["details"];
    assert_eq!(
        (&details["eventName"], &details["fromVersion"], &details["newestVersion"], &details["position"]),
        (&json!("order.placed"), &json!(2), &json!(4), &json!(1))
    );
    node.place("o-2", 4, json!({ "n": 1 })).await;
    node.place("o-2", 3, json!({ "n": 2 })).await;
    node.place("o-2", 2, json!({ "n": 3 })).await;
    let (_, page) = node.get("/api/v1/streams/o-2/events").await;
    assert_eq!((page["events"].as_array().unwrap().len(), &page["nextVersion"]), (2, &json!(3)), "{page}");
    assert_eq!(node.get("/api/v1/streams/o-2/events?from_version=3").await.1["code"], "upcast_gap");
    let (_, page) = node.get("/api/v1/log?from_position=3").await;
    assert_eq!((page["events"].as_array().unwrap().len(), &page["nextPosition"]), (2, &json!(5)), "{page}");
    assert_eq!(node.get("/api/v1/log?from_position=5").await.1["code"], "upcast_gap");
    assert_eq!(node.data("/api/v1/log?raw=true").await.len(), 5);
    node.set_upcaster(2, 3, "throw new Error('not today')").await;
    let (status, error) = node.get("/api/v1/streams/o-1/events").await;
    assert_eq!((status.as_u16(), &error["code"]), (422, &json!("upcast_failed")), "{error}");
    assert!(error["details"]["reason"].as_str().unwrap().contains("Error: not today"));
    node.set_upcaster(2, 3, "data.mended = true").await;
    assert_eq!(node.data("/api/v1/streams/o-1/events").await[0], (4, json!({ "mended": true })));
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_shows_each_step_and_what_is_not_legal_is_refused() {
    let node = Running::start().await;
    node.set_upcaster(1, 2, "return { a: data }").await;
    node.set_upcaster(2, 4, "return { ...data, b: event.schemaVersion }").await;
    let test = format!("{PATH}/test");
    let (status, tried) = node.post(&test, json!({ "data": 7 }).to_string()).await;
    assert_eq!(
        (status.as_u16(), &tried["success"], &tried["schemaVersion"]),
        (200, &json!(true), &json!(4)),
        "{tried}"
    );
    assert_eq!(
        tried["steps"][0],
        json!({ "fromVersion": 1, "toVersion": 2, "description": "to 2", "data": { "a": 7 } })
    );
    assert_eq!(
        (&tried["steps"][1]["data"], &tried["data"]),
        (&json!({ "a": 7, "b": 2 }), &json!({ "a": 7, "b": 2 }))
    );
    // As SDKs of the contract ask for it.
    let body = json!({ "eventName": "order.placed", "fromVersion": 1, "toVersion": 2, "data": 7 });
    let (_, tried) = node.post("/api/v1/events/upcast", body.to_string()).await;
    assert_eq!((&tried["success"], &tried["data"]), (&json!(true), &json!({ "a": 7 })), "{tried}");
    let (status, tried) = node.post(&test, json!({ "data": 7, "toVersion": 3 }).to_string()).await;
    assert_eq!(
        (status.as_u16(), &tried["success"], &tried["code"]),
        (200, &json!(false), &json!("upcast_gap"))
    );
    assert_eq!(tried["steps"], json!([]), "{tried}");
    let (status, error) = node.post("/api/v1/upcasters/none/test", json!({ "data": 7 }).to_string()).await;
    assert_eq!((status.as_u16(), &error["code"]), (404, &json!("upcaster_not_found")));
    for (from, to, body) in [(0, 1, ""), (2, 2, ""), (3, 2, ""), (1, 2, "}{{")] {
        let (status, error) = node.set_upcaster(from, to, body).await;
        assert_eq!((status.as_u16(), &error["code"]), (400, &json!("upcaster_invalid")), "{error}");
    }
    let none = json!({ "source": "export const upcast = 1" });
    let (_, error) = node.ask(Method::PUT, &format!("{PATH}/1"), none.to_string()).await;
    assert!(error["message"].as_str().unwrap().contains("`upcast` must be a function"), "{error}");
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_manages_upcasters_and_a_rebuild_takes_a_new_one_in() {
    let node = Running::start().await;
    let client = Client::connect([node.url("")]).await.unwrap();
    let module = "export const name = 'sum'; export const events = ['order.*']; \
                  export const initialState = () => ({ sum: 0 }); \
                  export const handler = (state, { data }) => { state.sum += data.amount ?? 0; };";
    node.post("/api/v1/projections", json!({ "source": module }).to_string()).await;
    node.place("o-1", 1, json!({ "total": 5 })).await;
    let body = UpcasterBody {
        source: "export const upcast = ({ total }) => ({ amount: total });".into(),
        ..UpcasterBody::default()
    };
    assert!(!client.set_upcaster("order.placed", 1, &body).await.unwrap().existed);
    assert!(client.set_upcaster("order.placed", 1, &body).await.unwrap().existed);
    let list = client.upcasters().await.unwrap();
    let one = &list.upcasters[0];
    assert_eq!(
        (list.upcasters.len(), one.from_version, one.to_version, one.revision),
        (1, 1, 2, list.revision)
    );
    assert_eq!(client.upcaster("order.placed", 1).await.unwrap(), *one);
    let data = weir_client::JsonText::string("x");
    let (event_name, metadata, from_version, to_version) = (None, None, None, None);
    let test = UpcastBody { event_name, from_version, to_version, data, metadata };
    assert!(client.test_upcasters("order.placed", &test).await.unwrap().success);

    node.place("o-2", 1, json!({ "total": 6 })).await;
    let sum = async || {
        let (_, view) = node.get("/api/v1/projections/sum?consistency=linearizable").await;
        view["state"]["state"]["sum"].clone()
    };
    assert_eq!(sum().await, 0, "it was deployed before");
    node.post("/api/v1/projections/sum/rebuild", "{}").await;
    eventually("the rebuilt projection answers", async || sum().await == 11).await;

    client.delete_upcaster("order.placed", 1).await.unwrap();
    let gone = client.delete_upcaster("order.placed", 1).await.unwrap_err();
    assert_eq!(gone.code(), Some(ErrorCode::UpcasterNotFound));
    node.place("o-3", 1, json!({ "total": 7 })).await;
    assert_eq!(sum().await, 18, "it goes on as it was rebuilt");
    node.node.stop().await;
}
