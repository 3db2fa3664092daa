//! A node whose folder was wiped, and that is not to take its seat again by itself, comes back under its old id.

use std::fs;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use weir_api::v1::paths;
use weir_cluster_tests::{Cluster, ClusterSpec, PATIENCE, audit::audit, eventually, workload::Load};

/// What an operator is told to do.
const ADVICE: &str = "add it again under a new node id with an empty data folder";

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_node_is_refused_by_all_even_after_a_change_of_leader() {
    story().await.expect("a wiped node takes no part, and the cluster goes on");
}

async fn story() -> Result<()> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
    let load = Load::start("load", &cluster.edges(), 4);
    load.makes_progress(100, PATIENCE).await?;
    let first = cluster.leader().await?;
    let (wiped, second) = (first % 3 + 1, (first + 1) % 3 + 1);
    cluster.node_mut(wiped).kill()?;
    fs::remove_dir_all(cluster.node(wiped).data())?;
    transfer(&cluster, first, second).await?;
    cluster.node_mut(wiped).set_repair("mend");
    cluster.start_node(wiped)?;
    for node in [wiped, first, second] {
        says_what_to_do(&cluster, node).await?;
    }
    load.makes_progress(100, PATIENCE).await?;
    // All others forget what they knew in memory; the membership is on their disks.
    for node in [first, second] {
        cluster.node_mut(node).kill()?;
        cluster.start_node(node)?;
        eventually("the node is back", PATIENCE, || cluster.node(node).edge.ready()).await?;
        load.makes_progress(50, PATIENCE).await?;
    }
    let status = cluster.node(wiped).edge.status().await?;
    ensure!(status.members.is_empty() && status.applied_position == 0, "it was let in: {status:?}");
    cluster.node_mut(wiped).kill()?;
    let history = load.stop().await?;
    audit(&cluster, &history).await?;
    cluster.finish(&[])
}

async fn transfer(cluster: &Cluster, from: u64, to: u64) -> Result<()> {
    eventually(&format!("node {to} leads"), PATIENCE, || async {
        if cluster.leader().await? != to {
            cluster.node(from).edge.post(paths::CLUSTER_TRANSFER, &json!({ "to": to })).await?;
        }
        ensure!(cluster.leader().await? == to, "it does not lead yet");
        Ok(())
    })
    .await
}

/// Waits until a node warns of the wiped folder and says what to do.
async fn says_what_to_do(cluster: &Cluster, node: u64) -> Result<()> {
    eventually(&format!("node {node} says what to do"), PATIENCE, || async {
        let said = cluster.node(node).logged()?;
        let warns = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            line["level"] == "WARN" && line["reason"].as_str().is_some_and(|reason| reason.contains(ADVICE))
        };
        ensure!(said.lines().any(warns), "it does not:\n{said}");
        Ok(())
    })
    .await
}
