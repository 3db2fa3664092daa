use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{eventually::eventually, running::Running};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_appended_is_read_back() {
    let node = Running::start().await;
    let (status, first) = node.append("order-1", 0).await;
    assert_eq!((status.as_u16(), &first["lastVersion"], &first["lastPosition"]), (201, &1.into(), &1.into()));
    let (status, conflict) = node.append("order-1", 0).await;
    assert_eq!((status.as_u16(), &conflict["code"]), (409, &"version_conflict".into()));
    assert_eq!(conflict["details"]["actualVersion"], 1);
    node.append("order-1", 1).await;
    let (_, page) = node.get("/api/v1/streams/order-1/events?direction=backward&limit=1").await;
    assert_eq!((&page["events"][0]["version"], &page["version"]), (&2.into(), &2.into()));
    let (_, info) = node.get("/api/v1/streams/order-1").await;
    assert_eq!((&info["version"], &info["entityType"]), (&2.into(), &"order".into()));
    let (_, list) = node.get("/api/v1/streams?entity_type=order").await;
    assert_eq!(list["totalCount"], 1);
    let (_, log) = node.get("/api/v1/log?from_position=2").await;
    assert_eq!((log["events"].as_array().unwrap().len(), &log["nextPosition"]), (1, &3.into()));
    let (_, history) = node.get("/api/v1/streams/order-1/history").await;
    assert_eq!(history["entries"].as_array().unwrap().len(), 2);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_from_outside_are_data_on_the_whole_way() {
    let node = Running::start().await;
    for id in
        ["a/b", "a b", "*", ">", "a.b", "größe", "%2F", "{id}", "../../etc/passwd", "?x=1#y", "\u{202e}x"]
    {
        let (status, body) = node.append(id, 0).await;
        assert_eq!(status.as_u16(), 201, "{id}: {body}");
        let path = weir_api::v1::paths::fill(weir_api::v1::paths::STREAM_EVENTS, id);
        let (status, page) = node.get(&path).await;
        assert_eq!((status.as_u16(), &page["entityId"], &page["version"]), (200, &id.into(), &1.into()));
    }
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_has_one_outcome() {
    let node = Running::start().await;
    let path = "/api/v1/streams/order-1/events";
    let body = r#"{"entityType":"order","name":"n","idempotencyKey":"k"}"#;
    let (status, first) = node.post(path, body).await;
    assert_eq!(status.as_u16(), 201);
    let (status, again) = node.post(path, body).await;
    assert_eq!((status.as_u16(), &again["repeated"]), (200, &true.into()));
    assert_eq!(again["eventIds"], first["eventIds"]);
    let other = r#"{"entityType":"order","name":"other","idempotencyKey":"k"}"#;
    let (status, refused) = node.post(path, other).await;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &"idempotency_conflict".into()));
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_waits_for_the_event_that_is_not_there_yet() {
    let node = Running::start().await;
    node.append("order-1", 0).await;
    let (waited, _) = tokio::join!(
        node.get("/api/v1/streams/order-1/events?from_version=2&wait_ms=20000"),
        node.append("order-1", 1)
    );
    assert_eq!(waited.1["events"][0]["version"], 2);
    let began = Instant::now();
    let (_, nothing) = node.get("/api/v1/streams/order-1/events?from_version=3&wait_ms=50").await;
    assert!(nothing["events"].as_array().unwrap().is_empty() && began.elapsed() >= Duration::from_millis(50));
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_is_deployed_folded_and_read() {
    let node = Running::start().await;
    let source = "export const name = 'orders'; export const events = ['order.*'];\
                  export const initialState = () => ({ n: 0 });\
                  export const handler = (state) => ({ n: state.n + 1 });";
    let body = serde_json::json!({ "source": source }).to_string();
    let (status, deployed) = node.post("/api/v1/projections", body).await;
    assert_eq!((status.as_u16(), &deployed["name"]), (201, &"orders".into()), "{deployed}");
    let (_, appended) = node.append("order-1", 0).await;
    let position = appended["lastPosition"].as_u64().unwrap();
    let (status, view) = node.get(&format!("/api/v1/projections/orders?min_position={position}")).await;
    assert_eq!((status.as_u16(), &view["state"]["state"]["n"]), (200, &1.into()), "{view}");
    let (_, list) = node.get("/api/v1/projections").await;
    assert_eq!(list["projections"][0]["status"], "active");
    let (status, broken) = node.post("/api/v1/projections", r#"{"source":"export const x ="}"#).await;
    assert_eq!((status.as_u16(), &broken["code"]), (400, &"projection_invalid".into()));
    let (status, missing) = node.get("/api/v1/projections/none").await;
    assert_eq!((status.as_u16(), &missing["message"]), (404, &"projection not found".into()));
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_replaced_never_seems_to_begin_anew() {
    let node = Running::start().await;
    node.append("order-1", 0).await;
    let mut furthest = BTreeMap::new();
    for generation in 0..30 {
        let source = format!(
            "export const name = 'count'; export const events = ['*'];\
             export const initialState = () => {generation}; export const handler = (n) => n + 1;"
        );
        let body = serde_json::json!({ "source": source }).to_string();
        let deploy = async { node.post("/api/v1/projections", body).await };
        let look = async {
            for _ in 0..12 {
                let (_, list) = node.get("/api/v1/projections").await;
                let Some(status) = list["projections"].get(0) else { continue };
                let (deployed, at) = (status["deployed"].as_u64(), status["checkpoint"].as_u64());
                let before = furthest.insert(deployed, at);
                assert!(before.flatten() <= at, "{deployed:?} was at {before:?}, and then at {at:?}");
            }
        };
        tokio::join!(deploy, look);
        eventually("it is folded", async || {
            node.get("/api/v1/projections").await.1["projections"][0]["checkpoint"] == 1
        })
        .await;
    }
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_of_each_projection_while_it_is_deployed() {
    let node = Running::start().await;
    for (name, handler) in [("good", "(n) => n + 1"), ("bad", "() => { throw new Error('no'); }")] {
        let source = format!(
            "export const name = '{name}'; export const events = ['*'];\
             export const initialState = () => 0; export const handler = {handler};"
        );
        node.post("/api/v1/projections", serde_json::json!({ "source": source }).to_string()).await;
    }
    for version in 0..3 {
        node.append("order-1", version).await;
    }
    for (series, value) in [
        ("weir_projection_events_total{projection=\"good\"}", 3.0),
        ("weir_projection_lag_events{projection=\"good\"}", 0.0),
        ("weir_projection_parked{projection=\"good\"}", 0.0),
        ("weir_projection_lag_events{projection=\"bad\"}", 3.0),
        ("weir_projection_parked{projection=\"bad\"}", 1.0),
    ] {
        node.metric_is(series, |now| (now - value).abs() < f64::EPSILON).await;
    }
    node.http.delete(node.url("/api/v1/projections/bad")).send().await.unwrap();
    eventually("no series tells of what was removed", async || !node.metrics().await.contains("\"bad\""))
        .await;
    assert!(node.metrics().await.contains("\"good\""));
    assert!(!node.metrics().await.contains("weir_outbox"), "there is no bus");
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_readiness_metrics_and_cors_are_there() {
    let node = Running::start().await;
    for path in ["/health", "/livez", "/ready", "/readyz?verbose"] {
        let (status, health) = node.get(path).await;
        assert_eq!((status.as_u16(), &health["status"]), (200, &"ok".into()), "{path}");
        assert!(health["timestamp"].is_string() && health["version"].is_string());
    }
    node.append("order-1", 0).await;
    let metrics = node.http.get(node.url("/metrics")).send().await.unwrap().text().await.unwrap();
    for name in ["weir_append_duration_seconds_bucket", "weir_events_appended_total", "weir_connections"] {
        assert!(metrics.contains(name), "{name}");
    }
    for series in ["weir_applied_position 1\n", "weir_is_leader 1\n"] {
        assert!(metrics.contains(series), "{series}");
    }
    let preflight =
        node.http.request(reqwest::Method::OPTIONS, node.url("/api/v1/streams")).send().await.unwrap();
    assert_eq!(preflight.status().as_u16(), 204);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    let allowed = preflight.headers()["access-control-allow-headers"].to_str().unwrap();
    for header in ["connect-protocol-version", "x-ironflow-environment", "idempotency-key"] {
        assert!(allowed.contains(header), "{header}");
    }
    node.node.stop().await;
}
