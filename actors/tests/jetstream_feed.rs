//! Projections fed by a real nats-server, and what becomes of them when it, its
//! stream or a consumer goes away. Every event counts once, whatever happens.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/events.rs"]
mod events;
#[path = "support/eventually.rs"]
mod eventually;
#[path = "support/nats.rs"]
#[allow(dead_code, reason = "not every test file asks for all")]
mod nats;
#[path = "support/node.rs"]
mod node;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream::{self, consumer::Info};
use eventually::eventually;
use nats::NatsServer;
use node::{COUNTER, GROUP, Node, deploy, exact, write};
use serde_json::json;
use weir_actors::{
    OutboxHandle,
    jetstream::{Connection, JetStreamConfig, JetStreamFeed, JetStreamPublisher},
    projection::FeedKind,
};
use weir_types::{
    NodeId, Position, ProjectionId, ProjectionName, RegistryCommand,
    ports::{EventReader as _, Proposer as _},
    testing::MemoryLog,
};

/// A node with log, outbox, projections and a bus of its own.
struct Bus {
    servers: Vec<NatsServer>,
    connection: Connection,
    feed: JetStreamFeed,
    outbox: OutboxHandle,
    node: Node,
    id: ProjectionId,
}

impl Bus {
    async fn start() -> Self {
        Self::over(vec![NatsServer::start()]).await
    }

    /// Over these servers, which keep a copy of the stream each.
    async fn over(servers: Vec<NatsServer>) -> Self {
        let log = MemoryLog::led_by(NodeId(1));
        let mut config = JetStreamConfig::to(events::CLUSTER, servers.iter().map(NatsServer::url).collect());
        config.replicas = servers.len();
        let connection = Connection::open(&config).await.unwrap();
        let publisher = Arc::new(JetStreamPublisher::new(connection.clone()));
        let outbox = OutboxHandle::start(GROUP, &log.ports(events::NOW), publisher).await.unwrap();
        let id = deploy(&log, COUNTER).await;
        let feed = JetStreamFeed::new(connection.clone(), NodeId(1));
        let node = Node::start(&log, Some(Arc::new(feed.clone()))).await;
        Self { servers, connection, feed, outbox, node, id }
    }

    /// Waits until events come from JetStream.
    async fn fed_by_bus(&self) {
        let feed = || async { self.node.status("counter").map(|status| status.feed) };
        eventually("the projection is fed by JetStream", feed, |feed| *feed == Some(FeedKind::Jetstream))
            .await;
    }

    async fn stream(&self) -> Result<jetstream::stream::Stream<()>, String> {
        let context = self.connection.jetstream().map_err(|error| error.to_string())?;
        context.get_stream_no_info("WEIR_1").await.map_err(|error| error.to_string())
    }

    async fn consumer(&self) -> Result<Info, String> {
        let stream = self.stream().await?;
        stream.consumer_info(self.feed.consumer_name(&self.id)).await.map_err(|error| error.to_string())
    }

    /// Writes until an event was folded that JetStream brought.
    async fn follow(&self, count: u64) -> Position {
        let position = write(&self.node.log, count);
        assert_eq!(self.node.state_at(position).await, exact(position.0));
        position
    }
}

#[tokio::test]
async fn events_come_from_jetstream_and_are_acknowledged() {
    let bus = Bus::start().await;
    bus.follow(10).await;
    bus.fed_by_bus().await;
    let position = bus.follow(500).await;
    assert_eq!(bus.node.status("counter").unwrap().feed, FeedKind::Jetstream);
    let floor = || async { bus.consumer().await.map(|info| info.ack_floor.stream_sequence) };
    drop(eventually("all is acknowledged", floor, |floor| *floor == Ok(position.0)).await);
    assert_eq!(bus.node.counted().await.checkpoint.events, 510);
}

#[tokio::test]
async fn a_deleted_consumer_is_made_again() {
    let bus = Bus::start().await;
    bus.follow(10).await;
    bus.fed_by_bus().await;
    for _ in 0..3 {
        let name = bus.feed.consumer_name(&bus.id);
        bus.stream().await.unwrap().delete_consumer(&name).await.unwrap();
        bus.follow(50).await;
        let consumer = || bus.consumer();
        drop(eventually("the consumer stands again", consumer, Result::is_ok).await);
        bus.fed_by_bus().await;
    }
    bus.follow(50).await;
    assert_eq!(bus.node.counted().await.checkpoint.events, 210);
}

#[tokio::test]
async fn a_consumer_whose_server_is_gone_is_made_on_another() {
    let mut bus = Bus::over(NatsServer::start_three()).await;
    bus.follow(10).await;
    bus.fed_by_bus().await;
    let home = || async { bus.consumer().await.ok()?.cluster?.leader };
    let home = home().await.expect("a consumer has a server");
    let dead: usize = home.strip_prefix("bus-").unwrap().parse().unwrap();
    bus.servers[dead].kill();
    bus.follow(100).await;
    let elsewhere = || async { bus.consumer().await.ok()?.cluster?.leader };
    let elsewhere = eventually("another server has it", elsewhere, Option::is_some).await;
    assert_ne!(elsewhere, Some(home));
    bus.follow(100).await;
    bus.fed_by_bus().await;
    assert_eq!(bus.node.counted().await.checkpoint.events, 210);
}

#[tokio::test]
async fn without_nats_the_local_log_leads_within_a_second() {
    let mut bus = Bus::start().await;
    bus.follow(100).await;
    bus.fed_by_bus().await;
    for round in 0..2 {
        bus.servers[0].kill();
        let began = Instant::now();
        bus.follow(100).await;
        assert!(began.elapsed() < Duration::from_secs(1), "took {:?}", began.elapsed());
        bus.follow(100).await;
        bus.servers[0].restart();
        bus.follow(100).await;
        bus.fed_by_bus().await;
        let position = bus.follow(100).await;
        assert_eq!(position.0, 100 + 400 * (round + 1));
    }
    assert_eq!(bus.node.counted().await.checkpoint.events, 900);
}

#[tokio::test]
async fn a_deleted_stream_costs_nothing() {
    let bus = Bus::start().await;
    bus.follow(100).await;
    bus.fed_by_bus().await;
    bus.connection.jetstream().unwrap().delete_stream("WEIR_1").await.unwrap();
    bus.follow(100).await;
    bus.outbox.rebuild().await.unwrap();
    bus.follow(100).await;
    bus.fed_by_bus().await;
    bus.follow(100).await;
    assert_eq!(bus.node.counted().await.checkpoint.events, 400);
}

#[tokio::test]
async fn a_restarted_node_goes_on_with_its_consumer() {
    let mut bus = Bus::start().await;
    bus.follow(20).await;
    bus.fed_by_bus().await;
    bus.node.projections.stop().await;
    write(&bus.node.log, 20);
    bus.node = Node::start(&bus.node.log, Some(Arc::new(bus.feed.clone()))).await;
    bus.follow(20).await;
    bus.fed_by_bus().await;
    bus.follow(20).await;
    assert_eq!(bus.node.counted().await.checkpoint.events, 80);
}

#[tokio::test]
async fn a_consumer_that_stands_elsewhere_brings_duplicates_and_holes_that_do_not_count() {
    let bus = Bus::start().await;
    bus.follow(50).await;
    bus.fed_by_bus().await;
    let stream = bus.stream().await.unwrap();
    // What a damaged NATS may do: the consumer of this node begins somewhere else.
    for start in [5, 45] {
        let name = bus.feed.consumer_name(&bus.id);
        stream.delete_consumer(&name).await.unwrap();
        let other = jetstream::consumer::pull::Config {
            durable_name: Some(name.clone()),
            deliver_policy: jetstream::consumer::DeliverPolicy::ByStartSequence { start_sequence: start },
            ack_policy: jetstream::consumer::AckPolicy::All,
            ..Default::default()
        };
        // The projection may have been faster.
        let _ = stream.create_consumer(other).await;
        bus.follow(50).await;
        bus.fed_by_bus().await;
    }
    assert_eq!(bus.node.counted().await.checkpoint.events, 150);
}

#[tokio::test]
async fn an_event_too_large_for_nats_comes_from_the_log() {
    let bus = Bus::start().await;
    bus.follow(10).await;
    bus.fed_by_bus().await;
    let data = json!({"v": 11, "text": "x".repeat(1024 * 1024)});
    let position = bus.node.log.write(events::append(0, "large", "large", &data));
    assert_eq!(bus.node.state_at(position).await, exact(11));
    bus.follow(10).await;
}

#[tokio::test]
async fn a_removed_projection_takes_its_consumer_along() {
    let bus = Bus::start().await;
    bus.follow(10).await;
    bus.fed_by_bus().await;
    bus.consumer().await.unwrap();
    let name = ProjectionName::new("counter").unwrap();
    bus.node.log.register(RegistryCommand::Remove(name)).await.unwrap();
    drop(eventually("the consumer is gone", || bus.consumer(), Result::is_err).await);
}

#[tokio::test]
async fn a_view_is_there_soon_after_its_append() {
    let bus = Bus::start().await;
    bus.follow(10).await;
    bus.fed_by_bus().await;
    let mut took = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        bus.follow(1).await;
        took.push(began.elapsed());
    }
    took.sort();
    let (median, p99) = (took[100], took[198]);
    println!("append to view over JetStream: p50 {median:?}, p99 {p99:?}");
    assert!(median < Duration::from_millis(20), "p50 {median:?}, p99 {p99:?}");
    assert_eq!(bus.node.log.applied(GROUP), Position(210));
}
