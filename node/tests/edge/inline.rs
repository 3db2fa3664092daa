//! Inline projections: no read of one is behind what the node has applied.

use serde_json::{Value, json};

use crate::{eventually::eventually, running::Running};

/// Counts by stream, and cannot fold the event whose `n` is 30.
fn counter(kind: &str, guard: &str) -> String {
    let source = format!(
        "export const name = 'count'; export const events = ['*']; export const partitionKey = '$.entityId';\n\
         export const kind = '{kind}'; export const initialState = () => ({{ n: 0 }});\n\
         export function handler(state, event) {{ {guard} state.n += 1; }}"
    );
    json!({ "source": source }).to_string()
}

const STUMBLES: &str = "if (event.data.n === 30) throw new Error('thirty');";

async fn deploy(node: &Running, body: String) -> Value {
    let (status, answer) = node.post("/api/v1/projections", body).await;
    assert_eq!(status.as_u16(), 201, "{answer}");
    answer
}

async fn read(node: &Running, partition: &str) -> (u16, Value) {
    let (status, view) = node.get(&format!("/api/v1/projections/count?partition={partition}")).await;
    (status.as_u16(), view)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_right_after_an_append_holds_it() {
    let node = Running::start().await;
    deploy(&node, counter("inline", "")).await;
    for version in 0..60 {
        let (_, appended) = node.append("a", version).await;
        let (status, view) = read(&node, "a").await;
        assert_eq!((status, &view["state"]["state"]["n"]), (200, &(version + 1).into()), "{view}");
        assert!(view["checkpoint"].as_u64() >= appended["lastPosition"].as_u64(), "{view}");
    }
    for stream in 0..30 {
        node.append(&format!("s-{stream}"), 0).await;
        let (_, page) = node.get(&format!("/api/v1/projections/count/partitions?prefix=s-{stream}")).await;
        assert_eq!(page["partitions"][0], format!("s-{stream}"));
    }
    let (_, status) = node.get("/api/v1/projections/count/status").await;
    assert_eq!((&status["kind"], &status["status"]), (&"inline".into(), &"active".into()));
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_one_stops_nobody_and_its_reads_say_so() {
    let node = Running::start().await;
    deploy(&node, counter("inline", STUMBLES)).await;
    let source = "export const name = 'all'; export const events = ['*'];\
                  export const initialState = () => 0; export const handler = (n) => n + 1;";
    deploy(&node, json!({ "source": source }).to_string()).await;
    for version in 0..40 {
        assert_eq!(node.append("a", version).await.0.as_u16(), 201);
    }
    let (status, refused) = read(&node, "a").await;
    assert_eq!((status, &refused["code"]), (504, &"stale".into()), "{refused}");
    assert_eq!((&refused["details"]["wanted"], &refused["details"]["applied"]), (&40.into(), &30.into()));
    assert!(refused["details"]["parked"].as_str().unwrap().contains("Error: thirty"), "{refused}");
    let (status, page) = node.get("/api/v1/projections/count/partitions").await;
    assert_eq!((status.as_u16(), &page["code"]), (504, &"stale".into()), "{page}");
    let (_, other) = node.get("/api/v1/projections/all?consistency=linearizable").await;
    assert_eq!(other["state"]["state"], 40, "the others go on");
    // A repaired source takes over, and the same reads are answered.
    deploy(&node, counter("inline", "")).await;
    eventually("the repaired source answers", async || read(&node, "a").await.0 == 200).await;
    let (_, view) = read(&node, "a").await;
    assert_eq!(view["state"]["state"]["n"], 40);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_one_gives_no_old_state() {
    let node = Running::start().await;
    deploy(&node, counter("inline", "")).await;
    node.append("a", 0).await;
    assert_eq!(read(&node, "a").await.0, 200);
    node.post("/api/v1/projections/count/pause", "").await;
    assert_eq!(read(&node, "a").await.0, 200, "nothing is applied that is not folded");
    node.append("a", 1).await;
    let (status, refused) = read(&node, "a").await;
    assert_eq!((status, &refused["code"]), (409, &"projection_paused".into()), "{refused}");
    node.post("/api/v1/projections/count/resume", "").await;
    let (status, view) = read(&node, "a").await;
    assert_eq!((status, &view["state"]["state"]["n"]), (200, &2.into()), "{view}");
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_is_none_is_refused() {
    let node = Running::start().await;
    let (status, refused) = node.post("/api/v1/projections", counter("sideways", "")).await;
    assert_eq!((status.as_u16(), &refused["code"]), (400, &"projection_invalid".into()), "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("`virtual` or `sql`"), "{refused}");
    node.node.stop().await;
}
