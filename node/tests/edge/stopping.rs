use std::time::{Duration, Instant};

use crate::running::Running;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let node = Running::start().await;
    for version in 0..20 {
        assert_eq!(node.append("order-1", version).await.0.as_u16(), 201);
    }
    let Running { node, folder, .. } = node;
    node.stop().await;
    let node = Running::start_in(folder).await;
    let (_, page) = node.get("/api/v1/streams/order-1/events").await;
    let versions: Vec<_> =
        page["events"].as_array().unwrap().iter().map(|event| event["version"].as_u64()).collect();
    assert_eq!(versions, (1..=20).map(Some).collect::<Vec<_>>());
    assert_eq!(node.append("order-1", 20).await.1["lastPosition"], 21);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_reads_that_wait() {
    let node = Running::start().await;
    node.append("order-1", 0).await;
    let (http, url) =
        (node.http.clone(), node.url("/api/v1/streams/order-1/events?from_version=2&wait_ms=30000"));
    let waiting =
        tokio::spawn(async move { http.get(url).send().await.map(|answer| answer.status().as_u16()) });
    // Whether or not the read waits already: the stop must not wait for it.
    node.append("order-2", 0).await;
    let began = Instant::now();
    node.node.stop().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    // Either answered empty or cut before it was read; never left hanging.
    drop(waiting.await.unwrap());
}
