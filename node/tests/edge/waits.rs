//! Waits for projections: over REST and in the Connect service of the contract.

use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::running::{Answer, Running};

const COUNT: &str = "export const name = 'count'; export const events = ['order.*'];\
    export const initialState = () => ({ n: 0 }); export const handler = (state) => ({ n: state.n + 1 });";
const BAD: &str = "export const name = 'bad'; export const events = ['order.*'];\
    export const initialState = () => ({}); export const handler = () => { throw new Error('boom'); };";

async fn with(sources: &[&str]) -> Running {
    let node = Running::start().await;
    for source in sources {
        let (status, answer) =
            node.post("/api/v1/projections", json!({ "source": source }).to_string()).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }
    node
}

async fn wait_for_event(node: &Running, event: &str, projection: &str, ms: u64) -> Answer {
    let body = json!({ "eventId": event, "projection": projection, "timeoutMs": ms, "partition": "p" });
    node.post("/api/v1/projections/wait-for-event", body.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_is_waited_for_and_reflected() {
    let node = with(&[COUNT, BAD]).await;
    let (_, ack) = node.append("o", 0).await;
    let position = ack["lastPosition"].as_u64().unwrap();
    // A partition of a projection that has none does not fail.
    let path = format!("/api/v1/projections/count/catchup?minSeq={position}&timeout=30000&partition=p");
    let (status, result) = node.get(&path).await;
    assert_eq!(
        (status, &result["caughtUp"], &result["targetSeq"]),
        (StatusCode::OK, &true.into(), &position.into())
    );
    let (_, view) = node.get("/api/v1/projections/count").await;
    assert_eq!(view["state"]["state"]["n"], 1);

    let (status, late) = node.get("/api/v1/projections/count/catchup?min_position=99&timeoutMs=20").await;
    assert_eq!(
        (status, &late["timedOut"], &late["behindByEvents"]),
        (StatusCode::OK, &true.into(), &98.into())
    );
    let (status, nothing) = node.get("/api/v1/projections/count/catchup").await;
    assert_eq!((status, &nothing["caughtUp"]), (StatusCode::OK, &true.into()));
    for (path, status, code) in [
        ("none/catchup?minSeq=1", 404, "projection_not_found"),
        ("bad/catchup?minSeq=1", 409, "projection_parked"),
        ("count/catchup?minSeq=x", 400, "invalid_request"),
    ] {
        let (answered, error) = node.get(&format!("/api/v1/projections/{path}")).await;
        assert_eq!((answered.as_u16(), &error["code"]), (status, &code.into()), "{path}: {error}");
    }
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_waited_for_by_its_id_also_before_it_is_there() {
    let node = Arc::new(with(&[COUNT]).await);
    let (_, ack) = node.append("o", 0).await;
    let (_, read) = node.get("/api/v1/streams/o/events").await;
    let id = read["events"][0]["id"].as_str().unwrap();
    let (status, result) = wait_for_event(&node, id, "count", 30_000).await;
    assert_eq!((status, &result["targetSeq"]), (StatusCode::OK, &ack["lastPosition"]), "{result}");

    let coming = Uuid::from_u128(7).to_string();
    let waiting = tokio::spawn({
        let (node, coming) = (node.clone(), coming.clone());
        async move { wait_for_event(&node, &coming, "count", 30_000).await }
    });
    // A second one that is told nothing has its time out, so that the first waits by then.
    let unknown = Uuid::from_u128(8).to_string();
    let (status, error) = wait_for_event(&node, &unknown, "count", 50).await;
    assert_eq!((status.as_u16(), &error["code"]), (404, &"event_not_found".into()));
    let body = json!({ "entityType": "order", "name": "order.paid", "id": coming });
    let (status, answer) = node.post("/api/v1/streams/o/events", body.to_string()).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let (status, result) = waiting.await.unwrap();
    assert_eq!(
        (status, &result["caughtUp"], &result["targetSeq"]),
        (StatusCode::OK, &true.into(), &2.into())
    );

    let (status, error) = wait_for_event(&node, id, "none", 30_000).await;
    assert_eq!((status.as_u16(), &error["code"]), (404, &"projection_not_found".into()));
    let (status, _) = wait_for_event(&node, "evt_1", "count", 30_000).await;
    assert_eq!(status.as_u16(), 400);
    Arc::into_inner(node).unwrap().node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_events_are_found_by_the_time_in_their_ids() {
    let node = with(&[COUNT]).await;
    let events: Vec<Value> =
        (0..1_000).map(|n| json!({ "name": "order.placed", "data": { "n": n } })).collect();
    for stream in ["a", "b"] {
        let body = json!({ "entityType": "order", "events": events });
        let (status, answer) = node.post(&format!("/api/v1/streams/{stream}/events"), body.to_string()).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }
    let (_, read) = node.get("/api/v1/streams/a/events?limit=3").await;
    let id = read["events"][2]["id"].as_str().unwrap();
    let (status, result) = wait_for_event(&node, id, "count", 30_000).await;
    assert_eq!((status, &result["targetSeq"]), (StatusCode::OK, &3.into()), "{result}");
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_waits_together_and_each_has_its_own_end() {
    let node = with(&[COUNT, BAD]).await;
    node.append("o", 0).await;
    for (name, status) in [("count", 200), ("bad", 409)] {
        let (answered, _) = node.get(&format!("/api/v1/projections/{name}/catchup?minSeq=1")).await;
        assert_eq!(answered.as_u16(), status, "{name}");
    }
    let item = |name: &str, at: u64| json!({ "name": name, "minSeq": at.to_string() });
    let body = json!({ "items": [item("count", 1), item("none", 1), item("bad", 1), item("count", 9)], "timeoutMs": 50 });
    let (status, batch) = node.post("/api/v1/projections/catchup/batch", body.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{batch}");
    let results = batch["results"].as_array().unwrap();
    assert_eq!(results[0]["result"]["caughtUp"], true);
    assert_eq!(results[1]["error"], "projection not found");
    assert_eq!(results[2]["code"], "projection_parked");
    assert_eq!(results[3]["result"]["timedOut"], true);
    let many = json!({ "items": vec![item("count", 1); 17] });
    let (status, error) = node.post("/api/v1/projections/catchup/batch", many.to_string()).await;
    assert_eq!((status.as_u16(), &error["code"]), (413, &"too_large".into()));
    node.node.stop().await;
}

async fn call(node: &Running, method: &str, body: Value) -> Answer {
    node.post(&format!("/ironflow.v1.ProjectionService/{method}"), body.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_of_the_contract_reads_and_waits() {
    let node = with(&[COUNT]).await;
    let (_, empty) = call(&node, "GetProjection", json!({ "name": "count" })).await;
    assert_eq!((&empty["state"], &empty["partition"]), (&json!({}), &"__global__".into()));
    node.append("o", 0).await;
    let (_, read) = node.get("/api/v1/streams/o/events").await;
    let id = read["events"][0]["id"].clone();
    let wait = json!({ "event_id": id, "projection": "count", "partition": "p", "timeout": "30s" });
    let (status, result) = call(&node, "WaitForEvent", wait).await;
    assert_eq!(
        (status, &result["caughtUp"], &result["targetSeq"]),
        (StatusCode::OK, &true.into(), &"1".into())
    );
    let (_, one) = call(&node, "WaitProjectionCatchup", json!({ "name": "count", "min_seq": 1 })).await;
    assert_eq!(one["currentSeq"], "1");
    let items = json!({ "items": [{ "name": "count", "minSeq": "1" }, { "name": "none" }] });
    let (_, batch) = call(&node, "WaitProjectionCatchupBatch", items).await;
    assert_eq!(batch["results"][1]["error"], "projection not found");
    let (_, view) = call(&node, "GetProjection", json!({ "name": "count" })).await;
    assert_eq!((&view["state"]["n"], &view["lastEventId"], &view["version"]), (&1.into(), &id, &"1".into()));
    let (_, list) = call(&node, "ListProjections", json!({ "status": "active" })).await;
    assert_eq!((&list["totalCount"], &list["projections"][0]["lastEventSeq"]), (&1.into(), &"1".into()));
    let (_, status) = call(&node, "GetProjectionStatus", json!({ "name": "count" })).await;
    assert_eq!(status["status"], "active");
    let (status, error) = call(&node, "GetProjection", json!({ "name": "none" })).await;
    assert_eq!((status.as_u16(), &error["message"]), (404, &"projection not found".into()));
    let (status, error) = call(&node, "Nothing", json!({})).await;
    assert_eq!((status.as_u16(), &error["code"]), (404, &"unimplemented".into()));
    node.node.stop().await;
}

/// Flags and payload of each frame of Connect.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Value)> {
    let mut frames = Vec::new();
    while let [flags, a, b, c, d, rest @ ..] = bytes {
        let (payload, after) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        frames.push((*flags, serde_json::from_slice(payload).unwrap()));
        bytes = after;
    }
    frames
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_streamed_tells_its_progress_and_its_end() {
    let node = with(&[COUNT]).await;
    node.append("o", 0).await;
    assert_eq!(node.get("/api/v1/projections/count/catchup?minSeq=1").await.1["caughtUp"], true);
    let stream = async |body: Value| {
        let body = body.to_string();
        let mut frame = vec![0];
        frame.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        frame.extend(body.as_bytes());
        let url = node.url("/ironflow.v1.ProjectionService/WaitProjectionCatchupStream");
        let asked = node.http.post(url).header("content-type", "application/connect+json").body(frame);
        frames(&asked.send().await.unwrap().bytes().await.unwrap())
    };
    let late = stream(json!({ "name": "count", "minSeq": 5, "timeout": "0.3s" })).await;
    let (first, done, end) = (&late[0], &late[late.len() - 2], &late[late.len() - 1]);
    assert_eq!((first.0, &first.1["kind"]), (0, &"WAIT_STREAM_FRAME_KIND_PROGRESS".into()));
    assert_eq!((&done.1["kind"], &done.1["timedOut"]), (&"WAIT_STREAM_FRAME_KIND_DONE".into(), &true.into()));
    assert_eq!(done.1["behindByEvents"], "4");
    assert_eq!(end, &(2, json!({})));
    let there = stream(json!({ "name": "count", "minSeq": 1 })).await;
    assert_eq!(there[there.len() - 2].1["caughtUp"], true);
    let gone = stream(json!({ "name": "none", "minSeq": 1 })).await;
    assert_eq!(gone[gone.len() - 2].1["error"], "projection not found");
    node.node.stop().await;
}
