//! A consumer group that is paused while its leader dies.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeSet, time::Duration};

use weir_client::{
    Append, Client, ClientOptions,
    v1::{ConsumerGroupBody, ConsumerGroupChange, GroupStatus, SettlementBody, VerdictKind},
};
use weir_cluster_tests::{Cluster, ClusterSpec, PATIENCE};

const GROUP: &str = "mail";
const AT_ONCE: Duration = Duration::ZERO;
/// How long a pull waits.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_group_stays_paused_over_the_death_of_its_leader_and_hands_out_all_when_it_is_resumed() {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await.unwrap();
    let urls: Vec<String> = cluster.edges().iter().map(|edge| edge.base().to_owned()).collect();
    let options = ClientOptions { deadline: PATIENCE, ..ClientOptions::default() };
    let client = Client::new(&urls, options).unwrap();
    let group = ConsumerGroupBody {
        name: GROUP.into(),
        pattern: "entity:kind.*".into(),
        after_position: Some(0),
        ..ConsumerGroupBody::default()
    };
    client.create_consumer_group(&group).await.unwrap();
    for number in 0..20 {
        let stream = format!("kind-{number}");
        let event = Append::to(&stream, "kind").event("happened", &serde_json::json!({ "n": number }));
        client.append(&event.build().unwrap()).await.unwrap();
    }
    let given = client.pull(GROUP, 5, SOON).await.unwrap();
    client.pause_consumer_group(GROUP).await.unwrap();
    let acks = given.iter().map(|one| SettlementBody::of(one, VerdictKind::Ack)).collect();
    client.settle(GROUP, acks).await.unwrap();
    let mut settled: BTreeSet<u64> = given.iter().map(|one| one.event.position).collect();
    let narrow = ConsumerGroupChange { max_in_flight: Some(7), ..ConsumerGroupChange::default() };
    client.change_consumer_group(GROUP, &narrow).await.unwrap();

    let leader = cluster.leader().await.unwrap();
    cluster.node_mut(leader).kill().unwrap();
    cluster.leader_other_than(Some(leader)).await.unwrap();
    let view = client.consumer_group(GROUP).await.unwrap();
    assert_eq!((view.group.status, view.group.max_in_flight), (Some(GroupStatus::Paused), Some(7)));
    assert_eq!(client.pull(GROUP, 100, AT_ONCE).await.unwrap(), [], "the new leader hands out nothing");
    cluster.start_node(leader).unwrap();
    cluster.all_ready().await.unwrap();

    client.resume_consumer_group(GROUP).await.unwrap();
    while settled.len() < 20 {
        let given = client.pull(GROUP, 100, SOON).await.unwrap();
        assert!((1..=7).contains(&given.len()), "by the terms that it was given: {}", given.len());
        let acks = given.iter().map(|one| SettlementBody::of(one, VerdictKind::Ack)).collect();
        client.settle(GROUP, acks).await.unwrap();
        for one in &given {
            assert!(settled.insert(one.event.position), "{} comes again", one.event.position);
        }
    }
    assert_eq!(client.consumer_group(GROUP).await.unwrap().checkpoint, 20);
    cluster.finish(&[]).unwrap();
}
