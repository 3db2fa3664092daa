//! Members come and go.

use weir_cluster_tests::{accept::members, report::Report};

#[tokio::test(flavor = "multi_thread")]
async fn members_join_lead_and_leave_under_load() {
    members::story(&mut Report::default()).await.expect("every change happens and nothing is lost");
}
