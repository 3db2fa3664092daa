//! A leader is killed and back before anybody called an election. What it had
//! sent to its followers and not yet written itself must not be given out
//! again under the same term and index: the replicas would differ for ever.
//!
//! Found by `views_go_on_from_their_checkpoints_after_a_kill`: openraft
//! restores a restarted leader in its old term unless it is told not to.

use weir_cluster_tests::{Cluster, ClusterSpec, PATIENCE, audit::audit, workload::Load};

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_returns_at_once_does_not_fork_the_log() {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await.expect("a cluster");
    let load = Load::start("load", &cluster.edges(), 64);
    for _ in 0..10 {
        load.makes_progress(200, PATIENCE).await.expect("appends are answered");
        let leader = cluster.leader().await.expect("a leader");
        cluster.node_mut(leader).kill().expect("a kill");
        cluster.start_node(leader).expect("a start");
        cluster.all_ready().await.expect("the node comes back");
    }
    let history = load.stop().await.expect("the writers end");
    audit(&cluster, &history).await.expect("the invariants hold");
    cluster.finish(&[]).expect("no node logged an error");
}
