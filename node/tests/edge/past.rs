//! Projections as they were.

use serde_json::{Value, json};

use crate::{eventually::eventually, running::Running};

/// Sums by stream, and cannot fold an event whose `n` is 13.
const SUM: &str = "export const name = 'sum'; export const events = ['*']; export const partitionKey = '$.entityId';\
    export const initialState = () => ({ of: [] });\
    export function handler(state, event) {\
      if (event.data.n === 13) throw new Error('unlucky');\
      state.of.push(event.data.n);\
    }";

async fn with_sum() -> Running {
    let node = Running::start().await;
    let (status, answer) = node.post("/api/v1/projections", json!({ "source": SUM }).to_string()).await;
    assert_eq!(status.as_u16(), 201, "{answer}");
    node
}

/// A read of the past that is at its moment.
async fn past(node: &Running, query: &str) -> Value {
    let path = format!("/api/v1/projections/sum/past{query}");
    eventually("it is folded", async || node.get(&path).await.1["status"] == "ready").await;
    node.get(&path).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_given_as_it_was_at_a_position_and_at_a_time() {
    let node = with_sum().await;
    for version in 0..6 {
        node.append("a", version).await;
        node.append("b", version).await;
    }
    let (_, log) = node.get("/api/v1/log").await;
    let recorded = |position: u64| {
        let events = log["events"].as_array().unwrap();
        events.iter().find(|event| event["position"] == position).unwrap()["recordedAt"].as_str().unwrap()
    };
    for (position, states) in [
        (0, [None, None]),
        (1, [Some(json!([0])), None]),
        (4, [Some(json!([0, 1])), Some(json!([0, 1]))]),
        (7, [Some(json!([0, 1, 2, 3])), Some(json!([0, 1, 2]))]),
    ] {
        for (partition, state) in ["a", "b"].into_iter().zip(states) {
            let view = past(&node, &format!("?position={position}&partition={partition}")).await;
            assert_eq!(view.get("state").map(|state| state["of"].clone()), state, "{position}: {view}");
            assert_eq!((&view["checkpoint"], &view["foldedEvents"]), (&position.into(), &position.into()));
        }
    }
    // The first event that is later than the fifth: recorded times may be the same for several.
    let later = (6..=12).find(|position| recorded(*position) > recorded(5)).unwrap_or(13);
    let view = past(&node, &format!("?as_of={}&partition=a", recorded(5))).await;
    assert_eq!((&view["checkpoint"], &view["asOf"]), (&(later - 1).into(), &recorded(5).into()), "{view}");
    // What is there now is the past of now, with the same digest.
    let now = past(&node, "?position=12&partition=a").await;
    let (_, live) = node.get("/api/v1/projections/sum?partition=a&min_position=12").await;
    assert_eq!((&now["state"], &now["digest"]), (&live["state"]["state"], &live["digest"]));
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_partitions_are_given_as_they_were_in_pages() {
    let node = with_sum().await;
    for stream in 0..25 {
        node.append(&format!("s-{stream:02}"), 0).await;
    }
    let (mut after, mut walked) = (String::new(), Vec::new());
    loop {
        let page = past(&node, &format!("/partitions?position=23&limit=10&after={after}")).await;
        let partitions = page["partitions"].as_array().unwrap();
        walked.extend(partitions.iter().map(|one| one["partition"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    let expected: Vec<_> = (0..23).map(|stream| format!("s-{stream:02}")).collect();
    assert_eq!(walked, expected);
    // More moments than a node keeps: the oldest make room.
    for position in 0..20 {
        let view = past(&node, &format!("?position={position}&partition=s-00")).await;
        assert_eq!(view["checkpoint"], position);
    }
    let kept = past(&node, "/partitions?position=3").await;
    assert_eq!(kept["partitions"].as_array().unwrap().len(), 3);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_past_is_refused() {
    let node = with_sum().await;
    for version in 0..20 {
        node.append("a", version).await;
    }
    for (query, status, code) in [
        ("?position=21", 504, "stale"),
        ("?position=20", 409, "projection_parked"),
        ("?as_of=2999-01-01T00:00:00Z", 400, "invalid_request"),
        ("?as_of=soon", 400, "invalid_request"),
        ("", 400, "invalid_request"),
        ("?position=1&as_of=2020-01-01T00:00:00Z", 400, "invalid_request"),
        ("/partitions?position=1&limit=101", 413, "too_large"),
    ] {
        let path = format!("/api/v1/projections/sum/past{query}");
        eventually("it is folded", async || node.get(&path).await.0.as_u16() != 202).await;
        let (got, refused) = node.get(&path).await;
        assert_eq!((got.as_u16(), &refused["code"]), (status, &code.into()), "{query}: {refused}");
    }
    let (_, parked) = node.get("/api/v1/projections/sum/past?position=20").await;
    assert_eq!(parked["details"]["error"]["position"], 14, "{parked}");
    assert_eq!(past(&node, "?position=13&partition=a").await["checkpoint"], 13, "before that it is given");
    assert_eq!(past(&node, "?as_of=2020-01-01T00:00:00Z").await["checkpoint"], 0);
    assert_eq!(node.get("/api/v1/projections/none/past?position=1").await.0.as_u16(), 404);
    node.node.stop().await;
}
