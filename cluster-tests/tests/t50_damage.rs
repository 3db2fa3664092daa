//! Damage on disk.

use weir_cluster_tests::{accept::damage, report::Report};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_derived_is_rebuilt_and_a_damaged_record_is_fetched_from_a_peer() {
    damage::story(&mut Report::default(), 500, 1).await.expect("damage is found and named");
}
