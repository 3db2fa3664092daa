//! Snapshots of streams through the public port of a real node.

use reqwest::Method;
use serde_json::{Value, json};
use weir_client::{Client, ErrorCode, JsonText, ReadOptions, v1::SnapshotBody};
use weir_types::{Moment, StreamVersion, limits};

use crate::running::{Answer, Running};

const SNAPSHOTS: &str = "/api/v1/streams/order-1/snapshots";

impl Running {
    async fn keep(&self, version: u64, state: Value) -> Answer {
        let body = json!({ "entity_type": "order", "entity_version": version, "state": state });
        self.post(SNAPSHOTS, body.to_string()).await
    }

    async fn kept(&self) -> Vec<u64> {
        let (_, list) = self.get(&format!("{SNAPSHOTS}/versions")).await;
        list["versions"].as_array().unwrap().iter().map(|version| version.as_u64().unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_kept_found_and_read_from() {
    let node = Running::start().await;
    for version in 0..6 {
        node.append("order-1", version).await;
        node.append("order-2", version).await;
    }
    assert_eq!(node.get(SNAPSHOTS).await.1["code"], "snapshot_not_found");
    for version in [2, 4] {
        let (status, kept) = node.keep(version, json!({ "n": version })).await;
        assert_eq!((status.as_u16(), &kept["snapshot_id"]), (201, &json!(format!("1-{version}"))), "{kept}");
        assert_eq!(kept["snapshotId"], kept["snapshot_id"]);
    }
    assert_eq!(node.keep(4, json!({ "n": "four" })).await.0.as_u16(), 201, "in the place of the first");
    assert_eq!(node.kept().await, [2, 4]);
    for (query, version, state) in [
        ("", 4, json!("four")),
        ("?before_version=0", 4, json!("four")),
        ("?before_version=3", 2, json!(2)),
        ("?beforeVersion=2", 2, json!(2)),
    ] {
        let (status, found) = node.get(&format!("{SNAPSHOTS}{query}")).await;
        assert_eq!(
            (status.as_u16(), &found["entity_version"], &found["state"]["n"]),
            (200, &json!(version), &state),
            "{query}"
        );
        assert_eq!((&found["entityVersion"], &found["entity_type"]), (&json!(version), &json!("order")));
    }
    assert_eq!(node.get(&format!("{SNAPSHOTS}?before_version=1")).await.1["code"], "snapshot_not_found");
    let of = |page: &Value| {
        let versions: Vec<_> = page["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["version"].as_u64().unwrap())
            .collect();
        (page["snapshot"]["entity_version"].as_u64(), versions, page["nextVersion"].as_u64())
    };
    let path = "/api/v1/streams/order-1/from-snapshot";
    for (query, expected) in [
        ("", (Some(4), vec![5, 6], None)),
        ("?limit=1", (Some(4), vec![5], Some(6))),
        ("?asOfVersion=3", (Some(2), vec![3], None)),
        ("?asOfVersion=2", (Some(2), vec![], None)),
        ("?asOfVersion=1", (None, vec![1], None)),
        ("?asOf=2020-01-01T00:00:00Z", (None, vec![], None)),
    ] {
        let (status, page) = node.get(&format!("{path}{query}")).await;
        assert_eq!((status.as_u16(), of(&page)), (200, expected), "{query}: {page}");
    }
    for bad in ["?at=2020-01-01T00:00:00Z", "?from_version=2", "?direction=backward", "?wait_ms=5"] {
        assert_eq!(node.get(&format!("{path}{bad}")).await.0.as_u16(), 400, "{bad}");
    }
    let (_, other) = node.get("/api/v1/streams/order-2/from-snapshot").await;
    assert_eq!(of(&other), (None, vec![1, 2, 3, 4, 5, 6], None));
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_kept_over_connect_and_a_restart_and_dropped() {
    let node = Running::start().await;
    for version in 0..5 {
        node.append("order-1", version).await;
    }
    let connect = async |method: &str, body: Value| {
        let path = format!("/ironflow.v1.EntityStreamService/{method}");
        let answer = node.http.post(node.url(&path)).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let body =
        json!({ "entityId": "order-1", "entityType": "order", "entityVersion": "5", "state": { "n": 5 } });
    assert_eq!(connect("CreateSnapshot", body).await, (200, json!({ "snapshotId": "1-5" })));
    let (status, found) = connect("GetSnapshot", json!({ "entityId": "order-1" })).await;
    assert_eq!(
        (status, &found["entityVersion"], &found["state"]),
        (200, &json!("5"), &json!({ "n": 5 })),
        "{found}"
    );
    let (status, found) =
        connect("GetSnapshot", json!({ "entity_id": "order-1", "before_version": "1" })).await;
    assert_eq!((status, &found["code"]), (404, &json!("not_found")));
    node.node.stop().await;
    let node = Running::start_in(node.folder).await;
    assert_eq!(node.kept().await, [5]);
    let deleted =
        node.http.request(Method::DELETE, node.url(&format!("{SNAPSHOTS}/5"))).send().await.unwrap();
    assert_eq!(deleted.status().as_u16(), 204);
    assert_eq!(node.ask(Method::DELETE, &format!("{SNAPSHOTS}/5"), "").await.1["code"], "snapshot_not_found");
    let (_, buckets) = node.get("/api/v1/kv/buckets").await;
    assert_eq!(buckets["count"], 0, "it is nobody's bucket");
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_has_not_is_no_snapshot_and_the_oldest_go() {
    let node = Running::start().await;
    assert_eq!(node.keep(1, json!({})).await.1["code"], "stream_not_found");
    let count = limits::SNAPSHOTS_MAX as u64 + 3;
    for _ in 0..count {
        node.append("order-1", -1).await;
    }
    let (status, error) = node.keep(count + 1, json!({})).await;
    assert_eq!(
        (status.as_u16(), &error["code"], &error["details"]["actualVersion"]),
        (409, &json!("version_conflict"), &json!(count))
    );
    let wrong = json!({ "entityType": "account", "entityVersion": 1, "state": {} });
    assert_eq!(node.post(SNAPSHOTS, wrong.to_string()).await.1["code"], "entity_type_conflict");
    for bad in [json!([]), json!(7), Value::Null] {
        assert_eq!(node.keep(1, bad).await.1["code"], "invalid_request");
    }
    assert_eq!(node.keep(0, json!({})).await.1["code"], "invalid_request");
    assert_eq!(node.keep(1, json!({ "a": "x".repeat(1024 * 1024) })).await.1["code"], "too_large");
    assert_eq!(node.keep(1, json!({ "a": "x".repeat(1000 * 1024) })).await.0.as_u16(), 201);
    let client = Client::connect([node.url("")]).await.unwrap();
    for version in 2..=count {
        let state = JsonText::of_stored(format!("{{\"n\":{version}}}").as_bytes());
        let body = SnapshotBody { entity_type: None, entity_version: version, state };
        client.create_snapshot("order-1", &body).await.unwrap();
    }
    let kept = client.snapshots("order-1").await.unwrap().versions;
    assert_eq!(kept, (4..=count).collect::<Vec<_>>());
    assert_eq!(client.snapshot("order-1", Some(7)).await.unwrap().state.get(), "{\"n\":7}");
    let moment = Moment { as_of_version: Some(StreamVersion(6)), ..Moment::default() };
    let page =
        client.read_from_snapshot("order-1", ReadOptions { moment, ..ReadOptions::default() }).await.unwrap();
    assert_eq!((page.snapshot.unwrap().entity_version, page.events.len()), (6, 0));
    client.delete_snapshot("order-1", 7).await.unwrap();
    let gone = client.delete_snapshot("order-1", 7).await.unwrap_err();
    assert_eq!(gone.code(), Some(ErrorCode::SnapshotNotFound));
    assert_eq!(client.snapshot("order-1", Some(7)).await.unwrap().entity_version, 6);
    node.node.stop().await;
}
