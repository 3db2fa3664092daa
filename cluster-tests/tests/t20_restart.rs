//! All nodes killed under load, and paused leaders.

use weir_cluster_tests::{
    accept::{kill_all_under_load, paused_leader},
    report::Report,
};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_all_nodes_are_killed() {
    kill_all_under_load::story(&mut Report::default(), 8, 2).await.expect("nothing is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_paused_serves_no_stale_read() {
    paused_leader::story(&mut Report::default(), 2).await.expect("no read is stale");
}
