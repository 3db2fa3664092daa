use reqwest::Method;
use serde_json::{Value, json};

use crate::running::{Answer, Running};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const ANOTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

async fn post(node: &Running, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let mut request = node.http.request(Method::POST, node.url(path)).json(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// The metadata of a stream's last event.
async fn metadata(node: &Running, stream: &str) -> Value {
    let (_, page) = node.get(&format!("/api/v1/streams/{stream}/events?direction=backward&limit=1")).await;
    page["events"][0]["metadata"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_a_call_is_in_what_it_appends_and_no_part_of_its_content() {
    let node = Running::start().await;
    let trace = [("traceparent", TRACEPARENT), ("tracestate", "rojo=1, congo=2"), ("tracestate", "x=3")];
    let rest = "/api/v1/streams/rest/events";
    let body =
        json!({ "entityType": "order", "name": "n", "metadata": { "by": "ada" }, "idempotencyKey": "k" });
    let (status, _) = post(&node, rest, &trace, &body).await;
    let taken = json!({ "traceparent": TRACEPARENT, "tracestate": "rojo=1,congo=2,x=3", "by": "ada" });
    assert_eq!((status.as_u16(), metadata(&node, "rest").await), (201, taken.clone()));
    for again in [&[("traceparent", ANOTHER)][..], &[], &[("traceparent", "nonsense")]] {
        let (status, answer) = post(&node, rest, again, &body).await;
        assert_eq!((status.as_u16(), &answer["repeated"]), (200, &json!(true)), "{again:?}");
    }
    assert_eq!(metadata(&node, "rest").await, taken, "the first one's");

    let body = json!({ "entityType": "order", "name": "n", "metadata": { "traceId": "mine" } });
    post(&node, rest, &trace, &body).await;
    assert_eq!(metadata(&node, "rest").await, json!({ "traceId": "mine" }));
    let body = json!({ "entityType": "order", "name": "n" });
    post(&node, rest, &[("traceparent", "nonsense"), ("tracestate", "a=1")], &body).await;
    assert_eq!(metadata(&node, "rest").await, Value::Null);

    let trace = &trace[..1];
    let taken = json!({ "traceparent": TRACEPARENT });
    let body = json!({ "entity_id": "connect", "entity_type": "order", "event_name": "n" });
    post(&node, "/ironflow.v1.EntityStreamService/AppendEvent", trace, &body).await;
    assert_eq!(metadata(&node, "connect").await, taken);
    let body =
        json!({ "entityId": "grpc", "entityType": "order", "events": [{ "name": "n", "data": "e30=" }] });
    post(&node, "/weir.v1.StreamService/Append", trace, &body).await;
    assert_eq!(metadata(&node, "grpc").await, taken);
    let part = |id: &str| json!({ "entityId": id, "entityType": "order", "events": [{ "name": "n" }] });
    let body = json!({ "appends": [part("t-1"), part("t-2")], "idempotencyKey": "k" });
    post(&node, "/api/v1/transactions", trace, &body).await;
    let (status, _) = post(&node, "/api/v1/transactions", &[("traceparent", ANOTHER)], &body).await;
    assert_eq!(status.as_u16(), 200, "it is repeated");
    assert_eq!([metadata(&node, "t-1").await, metadata(&node, "t-2").await], [taken.clone(), taken]);
    node.node.stop().await;
}
