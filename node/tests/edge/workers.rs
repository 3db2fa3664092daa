//! Projections that workers fold, as a worker of the contract sees them and as ours does.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::Bytes;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tokio::time::timeout;
use weir_client::{Client, ProjectionWatch, StateNotice};

use crate::{
    eventually::eventually,
    running::{Answer, Running},
};

async fn call(node: &Running, method: &str, body: Value) -> Answer {
    node.post(&format!("/ironflow.v1.ProjectionService/{method}"), body.to_string()).await
}

async fn done(node: &Running, method: &str, body: Value) -> Value {
    let (status, answer) = call(node, method, body.clone()).await;
    assert_eq!(status, StatusCode::OK, "{method} {body}: {answer}");
    answer
}

async fn append(node: &Running, stream: &str, name: &str, customer: &str) {
    let body = json!({ "entityType": "order", "name": name, "data": { "customer": { "id": customer } } });
    let (status, answer) = node.post(&format!("/api/v1/streams/{stream}/events"), body.to_string()).await;
    assert!(status.is_success(), "{answer}");
}

async fn poll(node: &Running, name: &str) -> Value {
    done(node, "PollProjectionEvents", json!({ "name": name, "batchSize": 100, "waitMs": 0 })).await
}

async fn poll_as(node: &Running, name: &str, worker: &str) -> Value {
    let asked = json!({ "name": name, "batchSize": 100, "waitMs": 10_000, "workerId": worker });
    done(node, "PollProjectionEvents", asked).await
}

fn names(polled: &Value) -> Vec<&str> {
    polled["events"]
        .as_array()
        .map_or(Vec::new(), |events| events.iter().map(|event| event["name"].as_str().unwrap()).collect())
}

/// What a worker of the contract makes of what it was given: the names of all events, over the state that it got.
fn folded(polled: &Value) -> Value {
    let mut seen = polled["currentState"]["seen"].as_array().cloned().unwrap_or_default();
    seen.extend(names(polled).into_iter().map(Value::from));
    json!({ "seen": seen })
}

fn last<'a>(polled: &'a Value, field: &str) -> &'a Value {
    &polled["events"].as_array().unwrap().last().unwrap()[field]
}

fn save_of(name: &str, polled: &Value) -> Value {
    json!({
        "name": name, "partitionKey": "__global__", "state": folded(polled),
        "lastEventId": last(polled, "id"), "lastEventSeq": last(polled, "seq"),
        "lastEventTime": last(polled, "timestamp"),
    })
}

async fn state(node: &Running, name: &str, partition: &str) -> Value {
    let (status, view) = node.get(&format!("/api/v1/projections/{name}?partition={partition}")).await;
    assert_eq!(status, StatusCode::OK, "{view}");
    view["state"]["state"]["seen"].clone()
}

async fn fold_all(node: &Running, name: &str) {
    loop {
        let polled = poll(node, name).await;
        if names(&polled).is_empty() {
            return;
        }
        done(node, "SaveProjectionState", save_of(name, &polled)).await;
    }
}

fn customers() -> Value {
    json!({
        "name": "customers", "events": ["order.*"], "partitionKey": "$.data.customer.id", "mode": "managed",
        "version": 1,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_the_contract_folds_partitions_without_losing_any() {
    let node = Running::start().await;
    let registered = done(&node, "RegisterProjection", customers()).await;
    assert_eq!(registered, json!({ "status": "registered", "lastEventSeq": "0" }));
    assert_eq!(done(&node, "RegisterProjection", customers()).await["status"], "updated");
    let (status, told) = call(&node, "StreamProjectionEvents", json!({ "name": "customers" })).await;
    assert_eq!((status.as_u16(), &told["code"]), (501, &"unimplemented".into()));
    assert_eq!(poll(&node, "customers").await, json!({}));

    append(&node, "o-1", "order.placed", "a").await;
    append(&node, "o-2", "order.placed", "b").await;
    append(&node, "o-1", "order.shipped", "a").await;
    let first = poll(&node, "customers").await;
    assert_eq!(names(&first), ["order.placed", "order.shipped"], "one partition at a time");
    assert!(first["events"][0]["metadata"].is_null() && first["currentState"].is_null());
    // The same again, until they are saved; one at a time now, so that it is known which it is.
    assert_eq!(names(&poll(&node, "customers").await), ["order.placed"]);
    fold_all(&node, "customers").await;
    assert_eq!(state(&node, "customers", "a").await, json!(["order.placed", "order.shipped"]));
    assert_eq!(state(&node, "customers", "b").await, json!(["order.placed"]));

    // In another batch, over what is stored.
    append(&node, "o-1", "order.returned", "a").await;
    let again = poll(&node, "customers").await;
    assert_eq!(again["currentState"], json!({ "seen": ["order.placed", "order.shipped"] }));
    fold_all(&node, "customers").await;
    let all = json!(["order.placed", "order.shipped", "order.returned"]);
    assert_eq!(state(&node, "customers", "a").await, all);
    let (_, partitions) = node.get("/api/v1/projections/customers/partitions").await;
    assert_eq!(partitions["partitions"], json!(["a", "b"]));
    let (_, status) = node.get("/api/v1/projections/customers/status").await;
    assert_eq!(
        (&status["checkpoint"], &status["lag"], &status["status"]),
        (&4.into(), &0.into(), &"active".into())
    );
    let (_, list) = node.get("/api/v1/projections").await;
    assert_eq!(list["projections"][0]["name"], "customers");

    // It is all there after a restart, and goes on.
    let Running { node: running, folder, .. } = node;
    running.stop().await;
    let node = Running::start_in(folder).await;
    assert_eq!(state(&node, "customers", "a").await, all);
    assert_eq!(poll(&node, "customers").await, json!({ "lastEventSeq": "4" }));

    // Of one partition alone there is none: one checkpoint is of all.
    let (status, refused) =
        call(&node, "RebuildProjection", json!({ "name": "customers", "partition": "a" })).await;
    assert_eq!(status, 400, "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("rebuilt whole"), "{refused}");

    // A rebuild counts nothing twice, and what was is served until it is done.
    assert_eq!(
        done(&node, "RebuildProjection", json!({ "name": "customers" })).await["job"]["status"],
        "rebuilding"
    );
    assert!(poll(&node, "customers").await["currentState"].is_null());
    assert_eq!(state(&node, "customers", "a").await, all);
    fold_all(&node, "customers").await;
    assert_eq!(state(&node, "customers", "a").await, all);
    let (_, status) = node.get("/api/v1/projections/customers/status").await;
    assert_eq!((&status["status"], &status["foldedEvents"]), (&"active".into(), &4.into()));

    done(&node, "UnregisterProjection", json!({ "name": "customers" })).await;
    assert_eq!(node.get("/api/v1/projections/customers").await.1["code"], "projection_not_found");
    assert_eq!(call(&node, "PollProjectionEvents", json!({ "name": "customers" })).await.0, 404);
    node.node.stop().await;
}

/// The next state that is told.
async fn told(watch: &mut ProjectionWatch) -> (String, u64, Value) {
    loop {
        match notice(watch).await {
            StateNotice::State(now) => {
                return (now.partition, now.sequence, now.state.to_value().unwrap()["seen"].clone());
            }
            StateNotice::Lost(reason) => panic!("{reason}"),
            _ => {}
        }
    }
}

async fn notice(watch: &mut ProjectionWatch) -> StateNotice {
    timeout(Duration::from_secs(20), watch.next()).await.expect("a notice in time").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn states_that_workers_save_are_told_as_they_are_saved() {
    let node = Running::start().await;
    done(&node, "RegisterProjection", customers()).await;
    append(&node, "o-1", "order.placed", "a").await;
    append(&node, "o-2", "order.placed", "b").await;
    fold_all(&node, "customers").await;
    let client = Client::connect([node.url("")]).await.unwrap();
    let mut all = client.watch_projection("customers", None);
    assert_eq!(told(&mut all).await, ("a".into(), 1, json!(["order.placed"])));
    assert_eq!(told(&mut all).await, ("b".into(), 2, json!(["order.placed"])));
    assert!(matches!(notice(&mut all).await, StateNotice::CaughtUp(_)));
    let mut one = client.watch_projection("customers", Some("b"));
    assert_eq!(told(&mut one).await.1, 2);
    assert!(matches!(notice(&mut one).await, StateNotice::CaughtUp(_)));

    append(&node, "o-1", "order.shipped", "a").await;
    append(&node, "o-2", "order.shipped", "b").await;
    fold_all(&node, "customers").await;
    let both = json!(["order.placed", "order.shipped"]);
    assert_eq!(told(&mut one).await, ("b".into(), 4, both.clone()));
    assert_eq!(told(&mut all).await, ("a".into(), 3, both.clone()));
    assert_eq!(told(&mut all).await, ("b".into(), 4, both.clone()));

    // A rebuild takes the place of what was with all of its states; a removal is the end.
    done(&node, "RebuildProjection", json!({ "name": "customers" })).await;
    fold_all(&node, "customers").await;
    while !matches!(notice(&mut one).await, StateNotice::Redeployed(_)) {}
    assert_eq!(told(&mut one).await, ("b".into(), 4, both));
    done(&node, "UnregisterProjection", json!({ "name": "customers" })).await;
    let end = loop {
        match timeout(Duration::from_secs(20), one.next()).await.unwrap() {
            Ok(StateNotice::State(state)) => panic!("{state:?} after the end"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(end.code(), Some(weir_client::ErrorCode::ProjectionNotFound));
    let effects = json!({ "name": "effects", "events": ["*"], "mode": "external" });
    done(&node, "RegisterProjection", effects).await;
    let refused = client.watch_projection("effects", None).next().await.unwrap_err();
    assert_eq!(refused.code(), Some(weir_client::ErrorCode::ProjectionKindConflict));
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_past_the_end_of_a_lease_is_refused_and_says_who_has_it() {
    let node = Running::start().await;
    let short = json!({ "name": "p", "events": ["order.*"], "leaseMs": 500 });
    done(&node, "RegisterProjection", short).await;
    append(&node, "o", "order.placed", "a").await;
    let slow = poll_as(&node, "p", "slow").await;
    assert_eq!(names(&slow), ["order.placed"]);
    let save = |polled: &Value, worker: &str| {
        let mut save = save_of("p", polled);
        save["workerId"] = worker.into();
        save["leaseNumber"] = polled["leaseNumber"].clone();
        save
    };
    // It waits until the lease of the other is over.
    let fast = poll_as(&node, "p", "fast").await;
    assert_eq!((names(&fast), &fast["delivery"]), (vec!["order.placed"], &2.into()));
    assert!(fast["leaseNumber"] != slow["leaseNumber"]);
    let (status, refused) = call(&node, "SaveProjectionState", save(&slow, "slow")).await;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &"aborted".into()), "{refused}");
    let (_, view) = node.get("/api/v1/projections/p").await;
    assert_eq!((&view["worker"]["worker"], &view["state"]), (&"fast".into(), &Value::Null));
    assert_eq!(view["worker"]["leaseNumber"].to_string(), fast["leaseNumber"].as_str().unwrap());
    done(&node, "SaveProjectionState", save(&fast, "fast")).await;
    // Said again, because the answer was lost, it is the same.
    done(&node, "SaveProjectionState", save(&fast, "fast")).await;
    assert_eq!(state(&node, "p", "").await, json!(["order.placed"]));

    // Past the end, although nobody else has it.
    append(&node, "o", "order.shipped", "a").await;
    let late = poll_as(&node, "p", "fast").await;
    eventually("the lease is over", async || {
        node.get("/api/v1/projections/p").await.1["worker"]["worker"].is_null()
    })
    .await;
    let (status, _) = call(&node, "SaveProjectionState", save(&late, "fast")).await;
    assert_eq!(status.as_u16(), 409);
    assert_eq!(state(&node, "p", "").await, json!(["order.placed"]));

    // A sign of life makes it go on; who gives it up need not be waited for.
    let given = poll_as(&node, "p", "fast").await;
    let (_, heard) = node.post("/api/v1/workers/fast/heartbeat", r#"{"worker_id":"fast","jobs":[]}"#).await;
    assert_eq!(heard["projections"], json!(["p"]));
    let number = given["leaseNumber"].as_str().unwrap();
    let path = format!("/api/v1/projections/p/lease?workerId=fast&leaseNumber={number}");
    let released = node.http.request(Method::DELETE, node.url(&path)).send().await.unwrap();
    assert_eq!(released.status(), 204);
    let taken = tokio::time::timeout(Duration::from_secs(10), poll_as(&node, "p", "other")).await.unwrap();
    assert_eq!(names(&taken), ["order.shipped"]);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_nobody_can_fold_parks_the_projection_or_is_put_aside() {
    let node = Running::start().await;
    for (name, on_failure) in [("parked", "park"), ("aside", "dead_letter")] {
        let asked = json!({ "name": name, "events": ["*"], "deliveriesMax": 2, "onFailure": on_failure });
        done(&node, "RegisterProjection", asked).await;
    }
    append(&node, "o", "bad", "a").await;
    append(&node, "o", "good", "a").await;
    for name in ["parked", "aside"] {
        assert_eq!(names(&poll(&node, name).await), ["bad", "good"]);
        assert_eq!(names(&poll(&node, name).await), ["bad"]);
    }
    assert_eq!(poll(&node, "parked").await, json!({}));
    let (_, status) = node.get("/api/v1/projections/parked/status").await;
    assert_eq!(status["status"], "error");
    assert!(status["errorMessage"].as_str().unwrap().contains("event `bad`"), "{status}");
    done(&node, "ResumeProjection", json!({ "name": "parked" })).await;
    assert_eq!(names(&poll(&node, "parked").await), ["bad", "good"]);

    fold_all(&node, "aside").await;
    assert_eq!(state(&node, "aside", "").await, json!(["good"]));
    let (_, status) = node.get("/api/v1/projections/aside/status").await;
    assert_eq!((&status["checkpoint"], &status["worker"]["deadLetters"]), (&2.into(), &1.into()));

    // Paused, nothing is handed out.
    assert_eq!(done(&node, "PauseProjection", json!({ "name": "parked" })).await["status"], "paused");
    assert_eq!(poll(&node, "parked").await, json!({}));
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_of_one_kind_and_effects_are_acknowledged() {
    let node = Running::start().await;
    let source = "export default { name: 'customers', events: ['order.*'], initialState: () => ({}), handler: (s) => s }";
    let deploy = json!({ "source": source }).to_string();
    let (status, refused) = call(&node, "RegisterProjection", json!({ "name": "..", "events": ["*"] })).await;
    assert_eq!((status.as_u16(), &refused["code"]), (400, &"invalid_argument".into()), "{refused}");
    done(&node, "RegisterProjection", customers()).await;
    let (status, refused) = node.post("/api/v1/projections", deploy.clone()).await;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &"projection_kind_conflict".into()), "{refused}");
    for path in ["dead-letters", "diff?with=customers"] {
        let (status, refused) = node.get(&format!("/api/v1/projections/customers/{path}")).await;
        assert_eq!((status.as_u16(), &refused["code"]), (409, &"projection_kind_conflict".into()), "{path}");
    }
    let removed = node.http.delete(node.url("/api/v1/projections/customers")).send().await.unwrap();
    assert_eq!(removed.status(), 204);
    let (status, deployed) = node.post("/api/v1/projections", deploy).await;
    assert_eq!(status.as_u16(), 201, "{deployed}");
    let (status, refused) = call(&node, "RegisterProjection", customers()).await;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &"already_exists".into()));

    let mail = json!({ "name": "mail", "events": ["order.placed"], "mode": "external" });
    done(&node, "RegisterProjection", mail).await;
    append(&node, "o", "order.placed", "a").await;
    let polled = poll(&node, "mail").await;
    assert_eq!(names(&polled), ["order.placed"]);
    let ack =
        json!({ "name": "mail", "lastEventId": last(&polled, "id"), "lastEventSeq": last(&polled, "seq") });
    assert_eq!(done(&node, "AckProjectionEvents", ack.clone()).await, json!({ "ok": true }));
    assert_eq!(names(&poll(&node, "mail").await), Vec::<&str>::new());
    let (status, _) = call(&node, "AckProjectionEvents", ack).await;
    assert_eq!(status.as_u16(), 409, "it is not with anybody any more");

    let (status, heard) = node.post("/api/v1/workers/w-1/register", r#"{"function_ids":[]}"#).await;
    assert_eq!((status.as_u16(), &heard["status"]), (200, &"registered".into()));
    let jobs = node.http.get(node.url("/api/v1/workers/w-1/jobs?available=10")).send().await.unwrap();
    assert_eq!(jobs.status(), 204);
    node.node.stop().await;
}

/// A server that takes events, or refuses those of a name; and what it saw.
async fn hook(refuses: &'static str) -> (String, Arc<Mutex<Vec<(HeaderMap, Bytes)>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = seen.clone();
    let router = axum::Router::new().route(
        "/in",
        axum::routing::post(async move |headers: HeaderMap, body: Bytes| {
            let event: Value = serde_json::from_slice(&body).unwrap();
            sees.lock().unwrap().push((headers, body));
            if event["name"] == refuses { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::NO_CONTENT }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_gets_every_event_signed_and_what_it_does_not_take_is_put_aside() {
    let node = Running::start().await;
    let (url, seen) = hook("order.bad").await;
    // They are there before it, so that the first batch has them all and what is not taken is not its first.
    for name in ["order.placed", "order.bad", "order.shipped"] {
        append(&node, "o", name, "a").await;
    }
    let asked = json!({
        "events": ["order.*"], "mode": "external", "webhook": { "url": url, "secret": "hush" },
        "deliveriesMax": 2, "onFailure": "dead_letter",
    });
    let (status, told) = node.post("/api/v1/projections/mail/worker", asked.to_string()).await;
    assert_eq!((status.as_u16(), &told["status"]), (200, &"registered".into()), "{told}");
    eventually("all are sent or put aside", async || {
        node.get("/api/v1/projections/mail/status").await.1["checkpoint"] == 3
    })
    .await;
    let taken = std::mem::take(&mut *seen.lock().unwrap());
    let names: Vec<Value> = taken
        .iter()
        .map(|(_, body)| serde_json::from_slice::<Value>(body).unwrap()["name"].clone())
        .collect();
    assert_eq!(names, ["order.placed", "order.bad", "order.bad", "order.shipped"]);
    for (headers, body) in &taken {
        let header = |name: &str| headers[name].to_str().unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"hush");
        let signed = [header("x-weir-timestamp").as_bytes(), b".", body].concat();
        let hex: String =
            ring::hmac::sign(&key, &signed).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(header("x-weir-signature"), format!("v1={hex}"));
        let event: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(header("idempotency-key"), event["id"]);
    }
    let (_, letters) = node.get("/api/v1/projections/mail/worker/dead-letters").await;
    assert_eq!(
        (&letters["dead_letters"][0]["name"], &letters["dead_letters"][1]),
        (&"order.bad".into(), &Value::Null)
    );

    // Elsewhere it is taken, and is a dead letter no more.
    let (url, elsewhere) = hook("none").await;
    let moved = json!({ "events": ["order.*"], "mode": "external", "webhook": { "url": url } });
    node.post("/api/v1/projections/mail/worker", moved.to_string()).await;
    let (status, replayed) = node.post("/api/v1/projections/mail/worker/dead-letters/replay", "{}").await;
    assert_eq!((status.as_u16(), &replayed["replayed"]), (200, &1.into()), "{replayed}");
    assert!(!elsewhere.lock().unwrap()[0].0.contains_key("x-weir-signature"));
    let (_, letters) = node.get("/api/v1/projections/mail/worker/dead-letters").await;
    assert_eq!(letters["dead_letters"], json!([]));
    append(&node, "o", "order.paid", "a").await;
    eventually("the next goes there too", async || elsewhere.lock().unwrap().len() == 2).await;

    // Nobody polls what the cluster sends, and the secret is not told.
    assert_eq!(call(&node, "PollProjectionEvents", json!({ "name": "mail" })).await.0, 400);
    assert!(!node.get("/api/v1/projections/mail").await.1.to_string().contains("hush"));
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_parks_says_what_its_webhook_answered() {
    let node = Running::start().await;
    let (url, _) = hook("order.bad").await;
    // Whoever is sent elsewhere has not been taken: the other place would get no event.
    let moved = axum::Router::new()
        .route("/", axum::routing::post(async move || (StatusCode::FOUND, [("location", url)])));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, moved).await });
    append(&node, "o", "order.placed", "a").await;
    let asked =
        json!({ "events": ["order.*"], "mode": "external", "webhook": { "url": url }, "deliveriesMax": 1 });
    node.post("/api/v1/projections/mail/worker", asked.to_string()).await;
    eventually("it parks", async || {
        let (_, status) = node.get("/api/v1/projections/mail/status").await;
        status["errorMessage"].as_str().is_some_and(|told| told.contains("answer is 302 Found"))
    })
    .await;
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_refused_when_it_is_registered() {
    let node = Running::start().await;
    for (sinks, said) in [
        (json!({ "nats": { "subject": "shop.mail" } }), "this node has no NATS"),
        (json!({ "nats": { "subject": "shop.*" } }), "subject is not 1 to 255 bytes"),
        (json!({ "nats": {} }), "subject is not 1 to 255 bytes"),
        (json!({ "nats": { "subject": "a" }, "webhook": { "url": "http://b" } }), "not to both"),
        (json!({ "webhook": { "url": "ftp://b" } }), "not one of `http://` or `https://`"),
    ] {
        let mut asked = json!({ "events": ["order.*"], "mode": "external" });
        asked.as_object_mut().unwrap().extend(sinks.as_object().unwrap().clone());
        let (status, told) = node.post("/api/v1/projections/mail/worker", asked.to_string()).await;
        assert_eq!((status.as_u16(), &told["code"]), (400, &"projection_invalid".into()), "{told}");
        assert!(told["message"].as_str().unwrap().contains(said), "{told}");
        asked["mode"] = "managed".into();
        assert_eq!(node.post("/api/v1/projections/mail/worker", asked.to_string()).await.0, 400);
    }
    assert_eq!(node.get("/api/v1/projections/mail").await.0, 404);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_workers_save_is_waited_for() {
    let node = Arc::new(Running::start().await);
    done(&node, "RegisterProjection", customers()).await;
    append(&node, "o-1", "order.placed", "a").await;
    let wait = async |seq: u64, ms: u64| {
        let path = format!("/api/v1/projections/customers/catchup?minSeq={seq}&timeoutMs={ms}");
        let (status, result) = node.get(&path).await;
        (status.as_u16(), result)
    };
    let (status, late) = wait(1, 20).await;
    assert_eq!((status, &late["caughtUp"], &late["currentSeq"]), (200, &false.into(), &0.into()), "{late}");

    let (_, read) = node.get("/api/v1/streams/o-1/events?limit=1").await;
    let event = read["events"][0]["id"].clone();
    let waiting = tokio::spawn({
        let node = node.clone();
        let body = json!({ "eventId": event, "projection": "customers", "timeoutMs": 30_000 });
        async move { node.post("/api/v1/projections/wait-for-event", body.to_string()).await }
    });
    let polled = poll_as(&node, "customers", "w").await;
    let mut save = save_of("customers", &polled);
    (save["workerId"], save["leaseNumber"]) = ("w".into(), polled["leaseNumber"].clone());
    done(&node, "SaveProjectionState", save).await;
    let (status, result) = waiting.await.unwrap();
    assert_eq!((status.as_u16(), &result["caughtUp"]), (200, &true.into()), "{result}");
    assert_eq!(state(&node, "customers", "a").await, json!(["order.placed"]));
    let (_, view) = node.get("/api/v1/projections/customers?partition=a&min_position=1").await;
    assert_eq!(view["state"]["state"]["seen"], json!(["order.placed"]), "{view}");

    // An event that is not the projection's is passed by looking, while a worker waits for one that is.
    append(&node, "o-1", "other", "a").await;
    assert_eq!(wait(2, 20).await.1["caughtUp"], false, "nobody has looked so far");
    let looking = tokio::spawn({
        let node = node.clone();
        async move { poll_as(&node, "customers", "w").await }
    });
    let (status, result) = wait(2, 30_000).await;
    assert_eq!((status, &result["caughtUp"]), (200, &true.into()), "{result}");
    append(&node, "o-1", "order.shipped", "a").await;
    assert_eq!(names(&looking.await.unwrap()), ["order.shipped"]);

    for name in ["none", "b"] {
        let (_, error) = node.get(&format!("/api/v1/projections/{name}/catchup?minSeq=1")).await;
        assert_eq!(error["code"], "projection_not_found");
    }
    done(&node, "PauseProjection", json!({ "name": "customers" })).await;
    assert_eq!(wait(3, 30_000).await.1["code"], "projection_paused");
    let node = Arc::into_inner(node).unwrap();
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn projections_that_are_registered_at_once_share_no_states() {
    let node = Running::start().await;
    let names: Vec<String> = (0..12).map(|number| format!("at-once-{number}")).collect();
    let register = |name: &String| {
        let asked = json!({ "name": name, "events": ["order.*"] });
        let node = &node;
        async move { done(node, "RegisterProjection", asked).await }
    };
    futures::future::join_all(names.iter().map(register)).await;
    let mut generations = std::collections::BTreeSet::new();
    for name in &names {
        let (_, status) = node.get(&format!("/api/v1/projections/{name}/status")).await;
        assert!(
            generations.insert(status["deployed"].as_u64()),
            "{name} has the generation of another: {status}"
        );
    }
    node.node.stop().await;
}
