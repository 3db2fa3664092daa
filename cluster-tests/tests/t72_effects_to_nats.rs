//! Events that the cluster sends to a stream of NATS which is not its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use async_nats::jetstream::{self, consumer::pull, stream::Config};
use futures::StreamExt as _;
use serde_json::{Value, json};
use weir_client::{Append, Client, ClientOptions};
use weir_cluster_tests::{Cluster, ClusterSpec, PATIENCE, eventually};

const STREAM: &str = "MAIL";
const SUBJECT: &str = "shop.mail";
const EVENTS: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_in_the_stream_of_a_subject_once_and_in_order_over_deaths_of_leader_and_nats() {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: true }).await.unwrap();
    let url = cluster.nats.as_ref().unwrap().url();
    let context = jetstream::new(async_nats::connect(&url).await.unwrap());
    let config = Config { name: STREAM.into(), subjects: vec![SUBJECT.into()], ..Config::default() };
    context.create_stream(config).await.unwrap();
    let body = json!({ "events": ["mail.*"], "mode": "external", "nats": { "subject": SUBJECT }, "deliveriesMax": 1_000 });
    let leader = cluster.leader().await.unwrap();
    cluster.node(leader).edge.post("/api/v1/projections/mail/worker", &body).await.unwrap();

    let urls: Vec<String> = cluster.edges().iter().map(|edge| edge.base().to_owned()).collect();
    let client =
        Client::new(&urls, ClientOptions { deadline: PATIENCE, ..ClientOptions::default() }).unwrap();
    for number in 0..EVENTS {
        let name = if number % 2 == 0 { "mail.wanted" } else { "other" };
        let event = Append::to(&format!("box-{}", number % 5), "box").event(name, &json!({ "n": number }));
        client.append(&event.build().unwrap()).await.unwrap();
        if number == EVENTS / 3 {
            cluster.node_mut(leader).kill().unwrap();
        }
        if number == EVENTS / 2 {
            let nats = cluster.nats.as_mut().unwrap();
            nats.kill().unwrap();
            nats.restart().await.unwrap();
        }
    }
    cluster.start_node(leader).unwrap();
    let sent = eventually("all events are sent", PATIENCE, || async {
        let sent = sent(&context).await?;
        anyhow::ensure!(sent.len() == EVENTS / 2, "{} are there", sent.len());
        Ok(sent)
    });
    let sent: Vec<Value> = sent.await.unwrap();
    let expected: Vec<Value> = (0..EVENTS).step_by(2).map(|number| json!(number)).collect();
    assert_eq!(sent.iter().map(|event| event["data"]["n"].clone()).collect::<Vec<_>>(), expected);
    cluster.finish(&[]).unwrap();
}

/// All that the stream holds.
async fn sent(context: &jetstream::Context) -> anyhow::Result<Vec<Value>> {
    let mut stream = context.get_stream(STREAM).await?;
    let total = usize::try_from(stream.info().await?.state.messages)?;
    let config = pull::Config { ack_policy: jetstream::consumer::AckPolicy::None, ..pull::Config::default() };
    let messages = stream.create_consumer(config).await?.messages().await?.take(total);
    let events = messages.map(|message| -> anyhow::Result<Value> {
        let message = message?;
        let event: Value = serde_json::from_slice(&message.payload)?;
        let id = message.headers.as_ref().and_then(|headers| headers.get("Weir-Event-Id"));
        anyhow::ensure!(id.is_some_and(|id| event["id"] == id.as_str()), "{message:?}");
        Ok(event)
    });
    events.collect::<Vec<_>>().await.into_iter().collect()
}
