//! Tables in a PostgreSQL outside, under kills of nodes and of it.

use weir_cluster_tests::{accept::projections_postgres, report::Report};

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_carried_out_once_though_all_nodes_compete() {
    projections_postgres::story(&mut Report::default(), 4_000).await.expect("each event is there once");
}
