//! Members come and go.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use weir_cluster_tests::{Cluster, ClusterSpec, accept::members, report::Report, weir};

#[tokio::test(flavor = "multi_thread")]
async fn members_join_lead_and_leave_under_load() {
    members::story(&mut Report::default()).await.expect("every change happens and nothing is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_removed_says_so_at_once_and_commands_go_on_at_the_next() {
    let cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await.unwrap();
    let leader = cluster.leader().await.unwrap();
    // It hears of its own removal, and goes on running.
    weir::run(&cluster.edges(), &["cluster", "remove", &leader.to_string()]).await.unwrap();
    cluster.leader_other_than(Some(leader)).await.unwrap();
    let mut edges = vec![cluster.node(leader).edge.clone()];
    edges.extend(cluster.nodes.iter().filter(|node| node.id != leader).map(|node| node.edge.clone()));
    // A node waits for a leader for as long as half of this, and what was tried so long is not tried again.
    let append =
        ["stream", "append", "s", "--type", "kind", "--name", "happened", "--data", "{}", "--timeout", "6s"];
    for _ in 0..3 {
        weir::run(&edges, &append).await.unwrap();
    }
    cluster.finish(&[]).unwrap();
}
