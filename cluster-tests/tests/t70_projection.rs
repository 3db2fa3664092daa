//! Views on every node.

use serde_json::Value;
use weir_cluster_tests::{
    Cluster, ClusterSpec, PATIENCE,
    accept::nats_outage::COUNTER,
    audit::audit,
    invariants::read_your_writes::{self, Probe},
    projections,
    workload::{Load, guarded},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_view_read_with_min_position_shows_the_append_on_every_node() {
    let cluster = Cluster::start(ClusterSpec { nodes: 3, nats: true }).await.expect("a cluster");
    let name = cluster.node(2).edge.deploy(COUNTER).await.expect("a projection");
    let mut probes = Vec::new();
    for version in 0..10_u64 {
        let op = format!("op-{version}");
        let told = cluster.node(1).edge.append("s", &guarded(&op, version)).await.expect("an append");
        for node in &cluster.nodes {
            let query = format!("min_position={}", told.last_position);
            let view = node.edge.view(&name, &query).await.expect("a view that waits");
            probes.push(Probe {
                node: node.id,
                min_position: told.last_position,
                answered_at: view["checkpoint"].as_u64().unwrap_or_default(),
                shows_it: view["state"]["state"]["count"].as_u64() > Some(version),
            });
        }
    }
    read_your_writes::check(&probes).expect("reads see their writes");
    cluster.finish(&[]).expect("no node logged an error");
}

#[tokio::test(flavor = "multi_thread")]
async fn views_go_on_from_their_checkpoints_after_a_kill() {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: true }).await.expect("a cluster");
    let name = cluster.node(1).edge.deploy(COUNTER).await.expect("a projection");
    let load = Load::start("load", &cluster.edges(), 8);
    for node in 1..=3 {
        load.makes_progress(100, PATIENCE).await.expect("appends are answered");
        cluster.node_mut(node).kill().expect("a kill");
        cluster.start_node(node).expect("a start");
        cluster.all_ready().await.expect("the node comes back");
    }
    let history = load.stop().await.expect("the writers end");
    let replicas = audit(&cluster, &history).await.expect("the invariants hold");
    let last = replicas[0].events.len() as u64;
    projections::folded(&cluster, &name, last).await.expect("every node folds all");
    for node in &cluster.nodes {
        let view = node.edge.view(&name, "consistency=local").await.expect("a view");
        assert_eq!(view["state"]["state"]["count"], Value::from(last), "node {}", node.id);
    }
    cluster.finish(&[]).expect("no node logged an error");
}
