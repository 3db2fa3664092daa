//! A node whose folder was wiped takes its seat again by itself, under load.

use weir_cluster_tests::{accept::prove_repair, report::Report};

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_follower_votes_again_and_two_wiped_of_three_are_not_let_in() {
    prove_repair::small(&mut Report::default()).await.expect("a majority heals, and nothing is invented");
}
