//! Appends and reads through any node of three.

use serde_json::json;
use weir_api::ErrorCode;
use weir_cluster_tests::{
    Cluster, ClusterSpec,
    accept::hundred_writers,
    audit::audit,
    edge::CallError,
    history::{Acked, History},
    report::Report,
    workload::{Load, guarded},
};

#[tokio::test(flavor = "multi_thread")]
async fn any_node_takes_any_call() {
    let cluster = Cluster::start(ClusterSpec { nodes: 3, nats: true }).await.expect("a cluster");
    let mut history = History::default();
    for (version, node) in (0..9_u64).zip((1..=3).cycle()) {
        let op = format!("op-{version}");
        history.attempt(&op);
        let told =
            cluster.node(node).edge.append("order-1", &guarded(&op, version)).await.expect("an append");
        assert_eq!((told.first_version, told.last_version, told.repeated), (version + 1, version + 1, false));
        history.ack(Acked {
            op,
            entity_id: "order-1".into(),
            version: version + 1,
            position: told.last_position,
        });
        // A linearizable read on any node shows what was just acknowledged on another.
        let reader = node % 3 + 1;
        let page =
            cluster.node(reader).edge.read("order-1", "consistency=linearizable").await.expect("a read");
        assert_eq!(page.version, version + 1, "node {reader}");
    }
    let backward = cluster.node(2).edge.read("order-1", "direction=backward&limit=2").await.expect("a read");
    assert_eq!(backward.events.iter().map(|event| event.version).collect::<Vec<_>>(), [9, 8]);
    audit(&cluster, &history).await.expect("the invariants hold");
    cluster.finish(&[]).expect("no node logged an error");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_is_all_or_nothing_and_a_repeat_is_recognised() {
    let cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await.expect("a cluster");
    let body = |key: &str, ops: &[&str]| {
        let events: Vec<_> = ops.iter().map(|op| json!({ "name": "n", "data": { "op": op } })).collect();
        json!({ "entityType": "t", "expectedVersion": 0, "idempotencyKey": key, "events": events })
    };
    let first = cluster.node(1).edge.append("s", &body("k", &["a", "b", "c"])).await.expect("an append");
    assert_eq!((first.first_version, first.last_version), (1, 3));
    for node in 1..=3 {
        let again =
            cluster.node(node).edge.append("s", &body("k", &["a", "b", "c"])).await.expect("a repeat");
        assert!(again.repeated && again.first_position == first.first_position, "node {node}: {again:?}");
        for (key, code) in [("k", ErrorCode::IdempotencyConflict), ("other", ErrorCode::VersionConflict)] {
            let refused = cluster.node(node).edge.append("s", &body(key, &["x", "y"])).await;
            assert!(
                matches!(&refused, Err(CallError::Refused { error, .. }) if error.code == code),
                "node {node}, key {key}: {refused:?}"
            );
        }
    }
    let mut history = History::default();
    ["a", "b", "c"].iter().for_each(|op| history.attempt(op));
    let replicas = audit(&cluster, &history).await.expect("the invariants hold");
    assert_eq!(replicas[0].events.len(), 3);
    cluster.finish(&[]).expect("no node logged an error");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_writer_of_many_wins_each_version() {
    hundred_writers::story(&mut Report::default(), 20, 5).await.expect("one winner per version");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_leave_dense_logs() {
    let cluster = Cluster::start(ClusterSpec { nodes: 3, nats: true }).await.expect("a cluster");
    let load = Load::start("load", &cluster.edges(), 16);
    load.makes_progress(500, weir_cluster_tests::PATIENCE).await.expect("appends are answered");
    let history = load.stop().await.expect("the writers end");
    assert_eq!(history.unknown(), 0);
    audit(&cluster, &history).await.expect("the invariants hold");
    cluster.finish(&[]).expect("no node logged an error");
}
