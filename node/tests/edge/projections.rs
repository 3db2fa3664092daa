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
        ("loops", "for (;;) {}", "handler took more than"),
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
