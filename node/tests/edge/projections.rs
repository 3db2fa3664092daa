//! The life of projections, through the public port: what cannot be folded, pauses, and dead letters.

use serde_json::{Value, json};

use crate::{eventually::eventually, running::Running};

/// A module that does this with an event called `order.placed`, and with any other nothing.
fn module(name: &str, body: &str, more: &str) -> String {
    let source = format!(
        "export const name = '{name}'; export const events = ['*'];\n\
         export const initialState = () => ({{n: 0}});\n\
         export function handler(state, event) {{ {body} }}\n{more}"
    );
    json!({ "source": source }).to_string()
}

impl Running {
    async fn deploys(&self, body: String) -> u64 {
        let (status, answer) = self.post("/api/v1/projections", body).await;
        assert_eq!(status.as_u16(), 201, "{answer}");
        answer["deployed"].as_u64().unwrap()
    }

    async fn status(&self, name: &str) -> Value {
        self.get(&format!("/api/v1/projections/{name}/status")).await.1
    }

    /// Waits until a status is so, and gives it.
    async fn status_is(&self, name: &str, good: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("status of {name} is as it should be"), async || good(&self.status(name).await))
            .await;
        self.status(name).await
    }

    async fn counted(&self, name: &str) -> Value {
        let (status, view) = self.get(&format!("/api/v1/projections/{name}?consistency=linearizable")).await;
        assert_eq!(status.as_u16(), 200, "{view}");
        view["state"]["state"]["n"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_reducer_says_what_is_wrong_and_harms_nobody_else() {
    let node = Running::start().await;
    node.deploys(module("good", "state.n += 1", "")).await;
    let cases = [
        ("loops", "for (;;) {}", "took more than"),
        ("recurses", "const f = () => f(); f()", "Maximum call stack"),
        ("allocates", "const a = []; for (;;) a.push('x'.repeat(100000) + a.length)", "out of memory"),
        ("grows", "state.text = 'x'.repeat(5000000)", "over the limit"),
        ("throws", "throw new RangeError('too far')", "RangeError: too far"),
        ("calls-what-is-not-there", "state.missing.call()", "TypeError"),
        (
            "uses-what-is-not-there",
            "return fetch('http://localhost')",
            "ReferenceError: fetch is not defined",
        ),
        ("returns-a-cycle", "state.self = state", "circular"),
        ("returns-a-function", "return () => 1", "state is a function"),
        ("is-async", "return Promise.resolve(state)", "must not be async"),
    ];
    for (name, body, _) in cases {
        node.deploys(module(name, body, "")).await;
    }
    let nothing = "export const name = 'returns-nothing'; export const events = ['*'];\
                   export const initialState = () => 0; export const handler = (n) => { n + 1; };";
    node.deploys(json!({ "source": nothing }).to_string()).await;
    node.append("order-1", 0).await;
    let cases = cases.iter().map(|(name, _, message)| (*name, *message));
    for (name, message) in cases.chain([("returns-nothing", "returned nothing")]) {
        let status = node.status_is(name, |status| status["status"] == "error").await;
        let error = &status["error"];
        assert!(error["message"].as_str().unwrap().contains(message), "{name}: {error}");
        assert_eq!(
            (&error["eventName"], &error["entityId"]),
            (&"order.placed".into(), &"order-1".into()),
            "{name}"
        );
        assert_eq!((&error["version"], &error["position"]), (&1.into(), &1.into()), "{name}");
        assert!(error["eventId"].as_str().is_some_and(|id| id.len() == 36), "{name}: {error}");
        assert_eq!((&status["checkpoint"], &status["lag"]), (&0.into(), &1.into()), "{name}");
    }
    let stack = node.status("throws").await["error"]["stack"].clone();
    assert!(stack.as_str().unwrap().contains("handler (projection.js:3:"), "{stack}");
    // All the others are parked; appends and the good one go on.
    for version in 1..20 {
        assert_eq!(node.append("order-1", version).await.0.as_u16(), 201);
    }
    assert_eq!(node.counted("good").await, 20);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redeployment_that_parks_is_told_by_what_still_answers() {
    let node = Running::start().await;
    node.deploys(module("counts", "state.n += 1", "")).await;
    node.append("order-1", 0).await;
    assert_eq!(node.counted("counts").await, 1);
    node.deploys(module("counts", "throw new Error('no')", "")).await;
    let status = node.status_is("counts", |status| status["error"].is_object()).await;
    assert_eq!((&status["status"], &status["checkpoint"]), (&"rebuilding".into(), &1.into()), "{status}");
    assert_eq!(status["error"]["position"], 1);
    let message = status["errorMessage"].as_str().unwrap();
    assert!(message.contains("is parked, so") && message.contains("Error: no"), "{message}");
    let metrics = node.http.get(node.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("weir_projection_rebuild_parked{projection=\"counts\"} 1"), "{metrics}");
    node.append("order-1", 1).await;
    assert_eq!(node.counted("counts").await, 2);
    node.deploys(module("counts", "state.n += 10", "")).await;
    node.status_is("counts", |status| status["status"] == "active" && status["error"].is_null()).await;
    assert_eq!(node.counted("counts").await, 20);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_skipped_is_listed_counted_and_kept() {
    let node = Running::start().await;
    let body = "if (event.data.n % 3 === 0) throw new Error(`no ${event.data.n}`); state.n += 1";
    node.deploys(module("skips", body, "export const onError = 'skip';")).await;
    for version in 0..7 {
        node.append("order-1", version).await;
    }
    assert_eq!(node.counted("skips").await, 4);
    let status = node.status("skips").await;
    assert_eq!(
        (&status["status"], &status["onError"], &status["deadLetters"]),
        (&"active".into(), &"skip".into(), &3.into())
    );
    let path = "/api/v1/projections/skips/dead-letters";
    let (_, page) = node.get(path).await;
    let positions = |page: &Value| -> Vec<u64> {
        let letters = page["deadLetters"].as_array().unwrap();
        letters.iter().map(|bad| bad["position"].as_u64().unwrap()).collect()
    };
    assert_eq!(positions(&page), [1, 4, 7]);
    assert_eq!(page["deadLetters"][1]["message"], "Error: no 3");
    let (_, rest) = node.get(&format!("{path}?after=1&limit=1")).await;
    assert_eq!((positions(&rest), &rest["returned"], &rest["total"]), (vec![4], &1.into(), &3.into()));
    for bad in ["?limit=0", "?limit=257", "?after=x"] {
        assert!(node.get(&format!("{path}{bad}")).await.0.is_client_error(), "{bad}");
    }
    assert_eq!(node.get("/api/v1/projections/none/dead-letters").await.0.as_u16(), 404);
    node.metric_is("weir_projection_dead_letters{projection=\"skips\"}", |now| {
        (now - 3.0).abs() < f64::EPSILON
    })
    .await;
    let digest = status["digest"].clone();
    let Running { node: stopped, folder, .. } = node;
    stopped.stop().await;
    let node = Running::start_in(folder).await;
    assert_eq!(node.get(path).await.1, page);
    assert_eq!(node.status("skips").await["digest"], digest);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_kept_over_a_restart_and_ends_when_it_is_told_to() {
    let node = Running::start().await;
    node.deploys(module("count", "state.n += 1", "")).await;
    node.append("order-1", 0).await;
    assert_eq!(node.counted("count").await, 1);
    let (status, paused) = node.post("/api/v1/projections/count/pause", "").await;
    assert_eq!((status.as_u16(), &paused["status"]), (200, &"paused".into()));
    node.append("order-1", 1).await;
    let (status, refused) = node.get("/api/v1/projections/count?min_position=2").await;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &"projection_paused".into()));
    assert_eq!((&refused["details"]["wanted"], &refused["details"]["applied"]), (&2.into(), &1.into()));
    let (_, local) = node.get("/api/v1/projections/count").await;
    assert_eq!((&local["state"]["state"]["n"], &local["status"]), (&1.into(), &"paused".into()));
    node.metric_is("weir_projection_paused{projection=\"count\"}", |now| now > 0.0).await;
    let Running { node: stopped, folder, .. } = node;
    stopped.stop().await;
    let node = Running::start_in(folder).await;
    assert_eq!(node.status("count").await["status"], "paused");
    let (status, refused) = node.get("/api/v1/projections/count?min_position=2").await;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &"projection_paused".into()), "{refused}");
    let (status, resumed) = node.post("/api/v1/projections/count/resume", "").await;
    assert_eq!((status.as_u16(), &resumed["status"]), (200, &"active".into()));
    assert_eq!(node.counted("count").await, 2);
    for path in ["pause", "resume"] {
        let (status, refused) = node.post(&format!("/api/v1/projections/none/{path}"), "").await;
        assert_eq!((status.as_u16(), &refused["code"]), (404, &"projection_not_found".into()));
    }
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_projection_that_is_told_to_go_on_is_parked_again_at_the_same_event() {
    let node = Running::start().await;
    let deployed = node.deploys(module("bad", "throw new Error('no')", "")).await;
    node.append("order-1", 0).await;
    let parked = node.status_is("bad", |status| status["status"] == "error").await;
    node.post("/api/v1/projections/bad/resume", "").await;
    let again = node.status_is("bad", |status| status["status"] == "error").await;
    assert_eq!((&again["error"], &again["deployed"]), (&parked["error"], &deployed.into()));
    node.node.stop().await;
}

/// A counter by stream that adds `more` for each event.
fn counter(name: &str, more: u64) -> String {
    let source = format!(
        "export const name = '{name}'; export const events = ['*']; export const partitionKey = '$.entityId';\n\
         export const initialState = () => ({{n: 0}});\n\
         export const handler = (state) => {{ state.n += {more}; }};\n"
    );
    json!({ "source": source }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_is_a_job_that_ends() {
    let node = Running::start().await;
    let first = node.deploys(counter("count", 1)).await;
    for version in 0..20 {
        node.append("order-1", version).await;
    }
    let path = "/api/v1/projections/count/rebuild";
    let (status, none) = node.get(path).await;
    assert_eq!((status.as_u16(), &none["code"]), (409, &"rebuild_conflict".into()));
    let (status, job) = node.post(path, "").await;
    assert_eq!(
        (status.as_u16(), &job["projectionName"], &job["dryRun"]),
        (202, &"count".into(), &false.into()),
        "{job}"
    );
    eventually("it is done", async || node.get(path).await.1["status"] == "completed").await;
    let (_, job) = node.get(path).await;
    assert_eq!(
        (&job["progress"], &job["eventsProcessed"], &job["totalEvents"]),
        (&1.0.into(), &20.into(), &20.into())
    );
    assert!(job["startedAt"].as_str().unwrap().starts_with("20"), "{job}");
    let status = node.status_is("count", |status| status["status"] == "active").await;
    assert!(status["deployed"].as_u64().unwrap() > first, "{status}");
    assert_eq!((&status["checkpoint"], &status["foldedEvents"]), (&20.into(), &20.into()));
    let (status, over) = node.post("/api/v1/projections/count/cancel", "").await;
    assert_eq!((status.as_u16(), &over["code"]), (409, &"rebuild_conflict".into()), "{over}");
    for (body, text) in [
        (r#"{"from_event_id":"x"}"#, "amid the log"),
        (r#"{"to_event_id":"x"}"#, "no last event"),
        (r#"{"dry_run":true,"to_event_id":"x"}"#, "no event"),
        (r#"{"what":1}"#, "not legal"),
    ] {
        let (status, refused) = node.post(path, body).await;
        assert_eq!((status.as_u16(), &refused["code"]), (400, &"invalid_request".into()), "{body}");
        assert!(refused["message"].as_str().unwrap().contains(text), "{body}: {refused}");
    }
    assert_eq!(node.post("/api/v1/projections/none/rebuild", "").await.0.as_u16(), 404);
    node.metric_is("weir_projection_position{projection=\"count\"}", |now| (now - 20.0).abs() < f64::EPSILON)
        .await;
    node.metric_is("weir_projection_lag_seconds{projection=\"count\"}", |now| now.abs() < f64::EPSILON).await;
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_rebuilt_alone_as_a_job_that_ends() {
    let node = Running::start().await;
    let deployed = node.deploys(counter("count", 1)).await;
    for version in 0..9 {
        node.append("order-1", version).await;
        node.append("order-2", version).await;
    }
    let before = node.status_is("count", |status| status["checkpoint"] == 18).await;
    let path = "/api/v1/projections/count/rebuild";
    let (status, job) = node.post(path, r#"{"partition":"order-1"}"#).await;
    assert_eq!((status.as_u16(), &job["partition"], &job["dryRun"]), (202, &"order-1".into(), &false.into()));
    eventually("it is done", async || node.get(path).await.1["status"] == "completed").await;
    let (_, job) = node.get(path).await;
    assert_eq!(
        (&job["progress"], &job["eventsProcessed"], &job["partition"]),
        (&1.0.into(), &18.into(), &"order-1".into()),
        "{job}"
    );
    assert!(job["jobId"].as_str().unwrap().starts_with("count@"), "{job}");
    let after = node.status("count").await;
    assert_eq!((&after["digest"], &after["deployed"]), (&before["digest"], &deployed.into()));
    assert_eq!((&after["status"], &after["rebuild"]), (&"active".into(), &Value::Null));
    let (status, over) = node.post("/api/v1/projections/count/cancel", "").await;
    assert_eq!((status.as_u16(), &over["code"]), (409, &"rebuild_conflict".into()), "{over}");
    node.append("order-1", 9).await;
    let (_, view) = node.get("/api/v1/projections/count?partition=order-1&consistency=linearizable").await;
    assert_eq!(view["state"]["state"]["n"], 10);
    node.post(path, r#"{"partition":"nobody"}"#).await;
    eventually("it has failed", async || node.get(path).await.1["status"] == "failed").await;
    let (_, job) = node.get(path).await;
    assert!(job["error"].as_str().unwrap().contains("`nobody` has no events"), "{job}");
    // The contract's call, which is of the whole again with an empty text.
    let service = "/ironflow.v1.ProjectionService/RebuildProjection";
    let (status, answer) = node.post(service, r#"{"name":"count","partition":"order-2"}"#).await;
    assert_eq!((status.as_u16(), &answer["job"]["partition"]), (200, &"order-2".into()), "{answer}");
    let service = "/ironflow.v1.ProjectionService/GetRebuildJob";
    eventually("it is done", async || {
        let (_, answer) = node.post(service, r#"{"name":"count"}"#).await;
        answer["job"]["partition"] == "order-2" && answer["job"]["status"] == "completed"
    })
    .await;
    let (status, long) = node.post(path, json!({ "partition": "x".repeat(600) }).to_string()).await;
    assert_eq!((status.as_u16(), &long["code"]), (400, &"invalid_name".into()), "{long}");
    let Running { node: stopped, folder, .. } = node;
    stopped.stop().await;
    let node = Running::start_in(folder).await;
    node.status_is("count", |status| status["checkpoint"] == 19).await;
    eventually("it is known after a restart", async || {
        let (_, job) = node.get(path).await;
        job["partition"] == "order-2" && job["status"] == "completed"
    })
    .await;
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_a_partition_compares_it_alone() {
    let node = Running::start().await;
    node.deploys(counter("count", 1)).await;
    for version in 0..3 {
        node.append("order-1", version).await;
    }
    node.status_is("count", |status| status["checkpoint"] == 3).await;
    let path = "/api/v1/projections/count/rebuild";
    let (_, job) = node.post(path, r#"{"partition":"order-1","dry_run":true}"#).await;
    assert_eq!((&job["partition"], &job["dryRun"]), (&"order-1".into(), &true.into()), "{job}");
    eventually("it is done", async || node.get(path).await.1["status"] == "dry_run_ok").await;
    let (_, job) = node.get(path).await;
    assert_eq!((&job["result"]["equal"], &job["result"]["differences"]), (&true.into(), &json!([])));
    node.post(path, r#"{"partition":"nobody","dry_run":true}"#).await;
    eventually("it is told", async || node.get(path).await.1["status"] == "failed").await;
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_would_be_another() {
    let node = Running::start().await;
    node.deploys(counter("count", 1)).await;
    let mut third = String::new();
    for version in 0..9 {
        let (_, appended) = node.append("order-1", version).await;
        if version == 2 {
            third = appended["eventIds"][0].as_str().unwrap().to_owned();
        }
    }
    node.status_is("count", |status| status["checkpoint"] == 9).await;
    let path = "/api/v1/projections/count/rebuild";
    let (status, job) = node.post(path, r#"{"dry_run":true}"#).await;
    assert_eq!((status.as_u16(), &job["dryRun"]), (202, &true.into()), "{job}");
    eventually("it is done", async || node.get(path).await.1["status"] == "dry_run_ok").await;
    let (_, job) = node.get(path).await;
    assert_eq!((&job["result"]["equal"], &job["result"]["position"]), (&true.into(), &9.into()));
    assert_eq!(node.status("count").await["digest"], job["result"]["leftDigest"]);
    node.post(path, json!({"dryRun": true, "toEventId": third}).to_string()).await;
    eventually("it is done", async || {
        let (_, job) = node.get(path).await;
        job["status"] == "dry_run_ok" && job["result"]["position"] == 3
    })
    .await;
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_names_are_compared_switched_and_the_old_one_removed() {
    let node = Running::start().await;
    node.deploys(counter("count", 1)).await;
    node.deploys(counter("count-v2", 2)).await;
    for stream in ["a", "b"] {
        node.append(stream, 0).await;
    }
    for name in ["count", "count-v2"] {
        node.status_is(name, |status| status["checkpoint"] == 2).await;
    }
    let (status, diff) = node.get("/api/v1/projections/count/diff?with=count-v2").await;
    assert_eq!(
        (status.as_u16(), &diff["equal"], &diff["position"]),
        (200, &false.into(), &2.into()),
        "{diff}"
    );
    assert_eq!(diff["differences"][1], json!({"partition": "b", "left": {"n": 1}, "right": {"n": 2}}));
    let (_, one) = node.get("/api/v1/projections/count/diff?with=count-v2&limit=1").await;
    assert_eq!((one["differences"].as_array().unwrap().len(), &one["truncated"]), (1, &true.into()));
    let (_, same) = node.get("/api/v1/projections/count/diff?with=count").await;
    assert_eq!(same["equal"], true);
    let n = async |name: &str| {
        let path = format!("/api/v1/projections/{name}?partition=a&consistency=linearizable");
        node.get(&path).await.1["state"]["state"]["n"].clone()
    };
    assert_eq!((n("count").await, n("count-v2").await), (1.into(), 2.into()));
    let (status, switched) = node.post("/api/v1/projections/count/switch", r#"{"with":"count-v2"}"#).await;
    assert_eq!((status.as_u16(), &switched["name"]), (200, &"count".into()), "{switched}");
    assert_eq!((n("count").await, n("count-v2").await), (2.into(), 1.into()));
    let removed = node.http.delete(node.url("/api/v1/projections/count-v2")).send().await.unwrap();
    assert_eq!(removed.status().as_u16(), 204);
    node.append("a", 1).await;
    assert_eq!(n("count").await, 4);
    for (path, body, code) in [
        ("none/switch", r#"{"with":"count"}"#, "projection_not_found"),
        ("count/switch", r#"{"with":"none"}"#, "projection_not_found"),
        ("count/switch", r#"{"with":"count"}"#, "projection_invalid"),
    ] {
        let (_, refused) = node.post(&format!("/api/v1/projections/{path}"), body).await;
        assert_eq!(refused["code"], code, "{path} {body}: {refused}");
    }
    let Running { node: stopped, folder, .. } = node;
    stopped.stop().await;
    let node = Running::start_in(folder).await;
    let (_, view) = node.get("/api/v1/projections/count?partition=a&consistency=linearizable").await;
    assert_eq!(view["state"]["state"]["n"], 4);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_projection_tells_its_digest_at_a_position() {
    let node = Running::start().await;
    node.deploys(counter("count", 1)).await;
    node.append("a", 0).await;
    let path = "/api/v1/projections/count/digest";
    eventually("it is folded", async || node.status("count").await["checkpoint"] == 1).await;
    let (_, held) = node.post(path, "").await;
    assert_eq!((&held["position"], &held["nodeId"]), (&1.into(), &1.into()), "{held}");
    for version in 1..5 {
        node.append("a", version).await;
    }
    assert_eq!(node.status("count").await["checkpoint"], 1);
    let (_, at) = node.post(path, r#"{"position":3}"#).await;
    assert_eq!((&at["position"], &at["foldedEvents"]), (&3.into(), &3.into()), "{at}");
    eventually("it goes on", async || node.status("count").await["checkpoint"] == 5).await;
    let (status, passed) = node.post(path, r#"{"position":4}"#).await;
    assert_eq!((status.as_u16(), &passed["code"]), (409, &"position_passed".into()), "{passed}");
    node.node.stop().await;
}
