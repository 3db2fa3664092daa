//! An import that goes through two kills of the leader.

use weir_cluster_tests::{accept::import_through_leader_kills, dataset::Dataset, report::Report};

#[tokio::test(flavor = "multi_thread")]
async fn an_import_survives_two_kills_of_the_leader() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = Dataset::small(dir.path(), 600).expect("a small file");
    import_through_leader_kills::story(&mut Report::default(), &data).await.expect("all is as the file says");
}
