//! An import that goes through two kills of the leader, and a subscriber that outlives its node.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use weir_client::{Append, Client, ClientOptions, Notice, Subscribe};
use weir_cluster_tests::{
    Cluster, ClusterSpec, PATIENCE, accept::import_through_leader_kills, dataset::Dataset, report::Report,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_import_survives_two_kills_of_the_leader() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = Dataset::small(dir.path(), 600).expect("a small file");
    import_through_leader_kills::story(&mut Report::default(), &data).await.expect("all is as the file says");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_subscription_goes_on_when_the_node_that_it_reads_from_dies() {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await.unwrap();
    // It reads from the node that is named first, which here does not lead.
    let reads_from = cluster.leader().await.unwrap() % 3 + 1;
    let mut urls: Vec<String> = cluster.edges().iter().map(|edge| edge.base().to_owned()).collect();
    urls.swap(0, usize::try_from(reads_from - 1).unwrap());
    let reader = Client::new(&urls, ClientOptions::default()).unwrap();
    let writer = Client::new(urls.iter().rev(), ClientOptions::default()).unwrap();
    let mut subscription = reader.subscribe(Subscribe::pattern("entity:kind.*").from_start());
    let (mut seen, mut lost) = (Vec::new(), 0);
    for number in 1..=20 {
        if number == 11 {
            cluster.node_mut(reads_from).kill().unwrap();
        }
        let event = Append::to("one", "kind").event("happened", &serde_json::json!({ "n": number }));
        writer.append(&event.build().unwrap()).await.unwrap();
        while seen.len() < number {
            match tokio::time::timeout(PATIENCE, subscription.next()).await.unwrap().unwrap() {
                Notice::Event(event) => seen.push(event.version),
                Notice::Lost(_) => lost += 1,
                _ => {}
            }
        }
    }
    assert_eq!(seen, (1..=20).collect::<Vec<u64>>());
    assert!(lost > 0, "it read from a node that lives");
}
