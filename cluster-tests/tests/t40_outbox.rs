//! JetStream away, and JetStream's copy lost.

use std::time::Duration;

use weir_cluster_tests::{
    accept::{nats_outage, outbox_rebuild},
    report::Report,
};

#[tokio::test(flavor = "multi_thread")]
async fn appends_and_projections_go_on_without_nats_and_the_outbox_catches_up() {
    nats_outage::story(&mut Report::default(), Duration::from_secs(5)).await.expect("the outbox catches up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_stream_is_rebuilt_from_the_log() {
    outbox_rebuild::story(&mut Report::default(), 300).await.expect("JetStream holds the log again");
}
