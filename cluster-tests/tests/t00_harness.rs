//! The harness itself: what it starts serves, what it drops is gone.

use std::{process::Command, time::Duration};

use async_nats::{HeaderMap, jetstream};
use weir_cluster_tests::{
    eventually,
    nats::{NatsServer, STREAM, StreamExtent},
    process::Process,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_nats_server_keeps_its_stream_over_a_kill_and_is_read_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut nats = NatsServer::start(dir.path()).await.expect("a nats-server");
    let context = jetstream::new(async_nats::connect(nats.url()).await.expect("a connection"));
    let config = jetstream::stream::Config {
        name: STREAM.to_owned(),
        subjects: vec!["weir.1.>".to_owned()],
        ..Default::default()
    };
    context.create_stream(config).await.expect("a stream");
    for position in 1..=1_200_u64 {
        let mut headers = HeaderMap::new();
        headers.insert("Weir-Position", position.to_string());
        let sent = context.publish_with_headers("weir.1.t.e.n", headers, "{\"id\":\"x\"}".into()).await;
        sent.expect("a message is sent").await.expect("a message is stored");
    }
    nats.kill().expect("a kill");
    assert!(nats.extent().await.is_err());
    nats.restart().await.expect("a restart");
    let extent = nats.extent().await.expect("an extent");
    assert_eq!(extent, StreamExtent { messages: 1_200, first: 1, last: 1_200 });
    let read = nats.published().await.expect("all messages");
    assert!(
        read.iter().zip(1..).all(|(message, number)| [message.sequence, message.position] == [number; 2])
    );
    assert_eq!(read.len(), 1_200);
    nats.delete_stream().await.expect("a deletion");
    assert!(nats.extent().await.is_err());
}

#[tokio::test]
async fn a_dropped_process_is_gone() {
    let dir = tempfile::tempdir().expect("a folder");
    let sleeper =
        Process::start("cat", &mut Command::new("cat"), &dir.path().join("log")).expect("a process");
    let stat = format!("/proc/{}/stat", sleeper.id());
    assert!(std::fs::exists(&stat).expect("a look at /proc"));
    drop(sleeper);
    assert!(!std::fs::exists(&stat).expect("a look at /proc"));
}

#[tokio::test]
async fn a_condition_that_never_comes_ends_at_the_deadline_with_the_last_reason() {
    let mut looks = 0;
    let waited = eventually("pigs fly", Duration::from_millis(60), || {
        looks += 1;
        async { anyhow::Result::<()>::Err(anyhow::anyhow!("they walk")) }
    });
    let error = format!("{:#}", waited.await.expect_err("pigs do not fly"));
    assert!(error.contains("pigs fly") && error.contains("they walk"), "{error}");
    assert!(looks > 1);
}
