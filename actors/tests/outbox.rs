//! The outbox against a real nats-server: what is committed is in JetStream,
//! sequence = position, whatever happens to NATS.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_nats::jetstream::{self, stream::StorageType};
use async_trait::async_trait;
use support::{NODE, NOW, decided, eventually, eventually_async, nats::NatsServer};
use uuid::Uuid;
use weir_actors::{
    OutboxHandle, OutboxPhase, RebuildError,
    jetstream::{
        Connection, JetStreamConfig, JetStreamPublisher,
        envelope::{self, Decoded},
        topology,
    },
};
use weir_types::{
    ClusterId, GroupId, NodeId, Position, RecordedEvent, Term,
    ports::{BusError, Leadership, Publisher},
    testing::{Fate, MemoryLog},
};

const GROUP: GroupId = GroupId::DEFAULT;
const CLUSTER: ClusterId = ClusterId(Uuid::from_u128(1));
const STREAM: &str = "WEIR_1";

/// Writes events `from..=to`, each at the position of its number, over ten streams.
fn fill(log: &MemoryLog, from: u64, to: u64) {
    for n in from..=to {
        let append = decided(&format!("s{}", n % 10), (n - 1) / 10, u128::from(n), &n.to_string());
        assert_eq!(log.write(append), Position(n));
    }
}

async fn connection(nats: &NatsServer) -> Connection {
    let connection = Connection::open(&JetStreamConfig::to(CLUSTER, vec![nats.url()])).await.unwrap();
    eventually("nats is connected", || connection.is_connected()).await;
    connection
}

async fn outbox(log: &MemoryLog, nats: &NatsServer) -> OutboxHandle {
    let publisher = Arc::new(JetStreamPublisher::new(connection(nats).await));
    OutboxHandle::start(GROUP, &log.ports(NOW), publisher).await.unwrap()
}

async fn published(outbox: &OutboxHandle, position: u64) {
    eventually("all is published", || {
        let snapshot = outbox.snapshot();
        snapshot.published == Position(position) && snapshot.lag() == 0
    })
    .await;
}

async fn context(nats: &NatsServer) -> jetstream::Context {
    jetstream::new(async_nats::connect(nats.url()).await.unwrap())
}

/// Reads JetStream's copy and compares every message with the log.
async fn assert_copied(nats: &NatsServer, log: &MemoryLog) {
    let stream = context(nats).await.get_stream(STREAM).await.unwrap();
    let (state, events) = (stream.cached_info().state.clone(), log.events());
    assert_eq!((state.messages, state.last_sequence), (events.len() as u64, events.len() as u64));
    for event in events {
        let message = stream.direct_get(event.position.0).await.unwrap();
        assert_eq!(topology::position_of(&message.headers), Some(event.position));
        assert_eq!(envelope::decode(&message.payload).unwrap(), Decoded::Event(Box::new(event)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_events_survive_the_death_of_nats_in_order() {
    let mut nats = NatsServer::start();
    let log = MemoryLog::led_by(NODE);
    fill(&log, 1, 2_000);
    let outbox = outbox(&log, &nats).await;
    eventually("it publishes", || outbox.snapshot().published > Position::ZERO).await;
    nats.kill();
    fill(&log, 2_001, 4_000);
    eventually("it notices", || outbox.snapshot().phase == OutboxPhase::Waiting).await;
    assert!(!outbox.snapshot().connected && outbox.snapshot().last_error.is_some());
    nats.restart();
    eventually("it goes on", || outbox.snapshot().published >= Position(2_500)).await;
    nats.kill();
    nats.restart();
    fill(&log, 4_001, 5_000);
    published(&outbox, 5_000).await;
    assert_copied(&nats, &log).await;
    let snapshot = outbox.snapshot();
    assert!(snapshot.connected && snapshot.last_error.is_none(), "{snapshot:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_stream_is_published_again_by_itself_or_by_rebuild() {
    let nats = NatsServer::start();
    let log = MemoryLog::led_by(NODE);
    fill(&log, 1, 700);
    let outbox = outbox(&log, &nats).await;
    published(&outbox, 700).await;

    context(&nats).await.delete_stream(STREAM).await.unwrap();
    fill(&log, 701, 800);
    eventually_async("the copy is back", || async { copied_to(&nats).await == Some(800) }).await;
    assert_copied(&nats, &log).await;

    outbox.rebuild().await.unwrap();
    published(&outbox, 800).await;
    assert_copied(&nats, &log).await;
    assert!(outbox.snapshot().events >= 2_300, "{:?}", outbox.snapshot());
}

async fn copied_to(nats: &NatsServer) -> Option<u64> {
    let stream = context(nats).await.get_stream(STREAM).await.ok()?;
    Some(stream.cached_info().state.last_sequence)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purged_or_trimmed_stream_goes_on_at_its_position() {
    let nats = NatsServer::start();
    let log = MemoryLog::led_by(NODE);
    fill(&log, 1, 100);
    let outbox = outbox(&log, &nats).await;
    published(&outbox, 100).await;
    let stream = context(&nats).await.get_stream(STREAM).await.unwrap();
    for keep in [10, 0] {
        stream.purge().keep(keep).await.unwrap();
        let next = log.events().len() as u64 + 1;
        fill(&log, next, next + 99);
        published(&outbox, next + 99).await;
        let message = stream.direct_get(next).await.unwrap();
        assert_eq!(topology::position_of(&message.headers), Some(Position(next)));
    }
    assert_eq!(outbox.snapshot().errors, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alien_message_is_divergence_and_rebuild_heals_it() {
    let nats = NatsServer::start();
    let log = MemoryLog::led_by(NODE);
    fill(&log, 1, 50);
    let outbox = outbox(&log, &nats).await;
    published(&outbox, 50).await;
    let context = context(&nats).await;
    context.publish("weir.1.order.s1.alien", "not ours".into()).await.unwrap().await.unwrap();
    fill(&log, 51, 60);
    eventually("it says so", || outbox.snapshot().phase == OutboxPhase::Diverged).await;
    let snapshot = outbox.snapshot();
    assert_eq!(snapshot.lag(), 10);
    assert!(snapshot.last_error.as_ref().is_some_and(|error| error.contains("message 51")), "{snapshot:?}");

    outbox.rebuild().await.unwrap();
    published(&outbox, 60).await;
    assert_copied(&nats, &log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_another_log_filled_is_divergence() {
    let nats = NatsServer::start();
    let (log, other) = (MemoryLog::led_by(NODE), MemoryLog::led_by(NODE));
    fill(&other, 1, 20);
    let first = outbox(&other, &nats).await;
    published(&first, 20).await;
    first.stop();

    for n in 1..=30 {
        log.write(decided("a", n - 1, u128::from(n) + 1_000, "1"));
    }
    let same_length_of_ids = outbox(&log, &nats).await;
    eventually("it says so", || same_length_of_ids.snapshot().phase == OutboxPhase::Diverged).await;

    let short = MemoryLog::led_by(NODE);
    fill(&short, 1, 5);
    let ahead = outbox(&short, &nats).await;
    eventually("it says so", || ahead.snapshot().phase == OutboxPhase::Diverged).await;
    assert_eq!(copied_to(&nats).await, Some(20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_publishers_never_interleave() {
    let nats = NatsServer::start();
    let log = MemoryLog::led_by(NODE);
    fill(&log, 1, 1_000);
    // Both believe to lead: the worst that a change of leadership can bring.
    let (one, two) = (outbox(&log, &nats).await, outbox(&log, &nats).await);
    for from in (1_001..5_000).step_by(500) {
        fill(&log, from, from + 499);
        eventually("one of them is close", || one.snapshot().lag().min(two.snapshot().lag()) < 400).await;
    }
    published(&one, 5_000).await;
    published(&two, 5_000).await;
    assert_copied(&nats, &log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outbox_starts_without_nats_and_finds_it_later() {
    let mut nats = NatsServer::start();
    nats.kill();
    let log = MemoryLog::led_by(NODE);
    fill(&log, 1, 10);
    let connection = Connection::open(&JetStreamConfig::to(CLUSTER, vec![nats.url()])).await.unwrap();
    let publisher = Arc::new(JetStreamPublisher::new(connection));
    assert!(matches!(publisher.published(GROUP).await, Err(BusError::Unavailable { .. })));
    let outbox = OutboxHandle::start(GROUP, &log.ports(NOW), publisher).await.unwrap();
    eventually("it waits", || outbox.snapshot().phase == OutboxPhase::Waiting).await;
    nats.restart();
    published(&outbox, 10).await;
    assert_copied(&nats, &log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_leader_publishes_and_a_new_leader_takes_over() {
    let nats = NatsServer::start();
    let log = MemoryLog::led_by(NODE);
    let elsewhere = Leadership { term: Term(2), leader: Some(NodeId(2)), decides: false };
    log.lead(elsewhere, Fate::Lost);
    fill(&log, 1, 20);
    let outbox = outbox(&log, &nats).await;
    let refused = outbox.rebuild().await;
    assert_eq!(refused, Err(RebuildError::NotLeader { leader: Some(NodeId(2)) }));
    assert_eq!((outbox.snapshot().phase, outbox.snapshot().lag()), (OutboxPhase::Inactive, 20));
    assert_eq!(copied_to(&nats).await, None, "it has not even created the stream");

    // Half of it is there already, from the leader before.
    let before = JetStreamPublisher::new(connection(&nats).await);
    assert_eq!(before.published(GROUP).await, Ok(Position::ZERO));
    before.publish(GROUP, Position::ZERO, &log.events()[..12]).await.unwrap();
    log.lead(Leadership { term: Term(3), leader: Some(NODE), decides: true }, Fate::Lost);
    published(&outbox, 20).await;
    assert_eq!(outbox.snapshot().events, 8, "it resumed from what was there");
    assert_copied(&nats, &log).await;

    log.lead(Leadership { term: Term(4), ..elsewhere }, Fate::Lost);
    eventually("it stops", || outbox.snapshot().phase == OutboxPhase::Inactive).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_is_fenced_by_what_the_bus_holds() {
    let nats = NatsServer::start();
    let log = MemoryLog::led_by(NODE);
    fill(&log, 1, 10);
    let events = log.events();
    let publisher = JetStreamPublisher::new(connection(&nats).await);
    assert_eq!(publisher.published(GROUP).await, Ok(Position::ZERO));
    assert_eq!(publisher.publish(GROUP, Position::ZERO, &events[..4]).await, Ok(Position(4)));
    // A second try of the same is no second copy, and says where the bus is.
    assert_eq!(publisher.publish(GROUP, Position::ZERO, &events[..2]).await, Ok(Position(4)));
    // A hole is refused.
    let hole = publisher.publish(GROUP, Position(6), &events[6..]).await;
    assert!(matches!(hole, Err(BusError::Unavailable { .. })), "{hole:?}");
    assert_eq!(publisher.published(GROUP).await, Ok(Position(4)));
    assert_eq!(publisher.event_at(GROUP, Position(4)).await, Ok(Some(events[3].id)));
    assert_eq!(publisher.event_at(GROUP, Position(5)).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alien_message_is_noticed_behind_a_batch_that_closed_over_it() {
    let nats = NatsServer::start();
    let log = MemoryLog::led_by(NODE);
    fill(&log, 1, 10);
    let events = log.events();
    let publisher = JetStreamPublisher::new(connection(&nats).await);
    assert_eq!(publisher.published(GROUP).await, Ok(Position::ZERO));
    publisher.publish(GROUP, Position::ZERO, &events[..4]).await.unwrap();
    let context = context(&nats).await;
    context.publish("weir.1.order.s1.alien", "not ours".into()).await.unwrap().await.unwrap();
    let closed_over = publisher.publish(GROUP, Position(4), &events[4..]).await;
    assert!(matches!(closed_over, Err(BusError::Diverged { .. })), "{closed_over:?}");
    assert_eq!(copied_to(&nats).await, Some(10), "the rest of the batch fitted behind it");
    // A new leader sees it too, though the last message is right.
    let next = JetStreamPublisher::new(connection(&nats).await);
    assert!(matches!(next.published(GROUP).await, Err(BusError::Diverged { .. })));
    next.reset(GROUP).await.unwrap();
    assert_eq!(next.published(GROUP).await, Ok(Position::ZERO));
    assert_eq!(next.publish(GROUP, Position::ZERO, &events).await, Ok(Position(10)));
    assert_copied(&nats, &log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_larger_than_nats_takes_is_left_out_and_said_to_be() {
    let nats = NatsServer::start();
    let log = MemoryLog::led_by(NODE);
    log.write(decided("a", 0, 1, "1"));
    log.write(decided("a", 1, 2, &"1".repeat(1024 * 1024)));
    log.write(decided("a", 2, 3, "3"));
    let outbox = outbox(&log, &nats).await;
    published(&outbox, 3).await;
    let stream = context(&nats).await.get_stream(STREAM).await.unwrap();
    let large = stream.direct_get(2).await.unwrap();
    assert_eq!(envelope::decode(&large.payload).unwrap(), Decoded::Omitted(Position(2)));
    let small = stream.direct_get(3).await.unwrap();
    assert_eq!(envelope::decode(&small.payload).unwrap(), Decoded::Event(Box::new(log.events()[2].clone())));
}

/// A bus whose client panics the first time that it is used.
struct BrokenOnce(AtomicBool, JetStreamPublisher);

#[async_trait]
impl Publisher for BrokenOnce {
    async fn published(&self, group: GroupId) -> Result<Position, BusError> {
        assert!(self.0.swap(true, Ordering::SeqCst), "the client is broken, once");
        self.1.published(group).await
    }

    async fn publish(
        &self,
        group: GroupId,
        after: Position,
        events: &[RecordedEvent],
    ) -> Result<Position, BusError> {
        self.1.publish(group, after, events).await
    }

    async fn reset(&self, group: GroupId) -> Result<(), BusError> {
        self.1.reset(group).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outbox_that_panics_is_started_again() {
    let nats = NatsServer::start();
    let log = MemoryLog::led_by(NODE);
    fill(&log, 1, 30);
    let publisher = JetStreamPublisher::new(connection(&nats).await);
    let publisher = Arc::new(BrokenOnce(AtomicBool::new(false), publisher));
    let outbox = OutboxHandle::start(GROUP, &log.ports(NOW), publisher).await.unwrap();
    published(&outbox, 30).await;
    assert_copied(&nats, &log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_another_shape_is_not_touched() {
    let nats = NatsServer::start();
    let log = MemoryLog::led_by(NODE);
    fill(&log, 1, 3);
    let foreign = jetstream::stream::Config {
        name: "FOREIGN".into(),
        subjects: vec!["weir.>".into()],
        storage: StorageType::File,
        ..Default::default()
    };
    context(&nats).await.create_stream(foreign).await.unwrap();
    let outbox = outbox(&log, &nats).await;
    eventually("it says so", || outbox.snapshot().phase == OutboxPhase::Diverged).await;
    assert_eq!(outbox.snapshot().lag(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_another_cluster_is_not_touched_and_both_live_under_prefixes() {
    let nats = NatsServer::start();
    let log = MemoryLog::led_by(NODE);
    fill(&log, 1, 5);
    published(&outbox(&log, &nats).await, 5).await;
    let other = |prefix: &str| {
        let cluster = ClusterId(Uuid::from_u128(2));
        JetStreamConfig { prefix: prefix.into(), ..JetStreamConfig::to(cluster, vec![nats.url()]) }
    };
    let other_log = MemoryLog::led_by(NODE);
    fill(&other_log, 1, 3);
    let start = async |config: JetStreamConfig| {
        let connection = Connection::open(&config).await.unwrap();
        eventually("nats is connected", || connection.is_connected()).await;
        let publisher = Arc::new(JetStreamPublisher::new(connection));
        OutboxHandle::start(GROUP, &other_log.ports(NOW), publisher).await.unwrap()
    };
    let blocked = start(other("weir")).await;
    eventually("it says so", || blocked.snapshot().phase == OutboxPhase::Diverged).await;
    let reason = blocked.snapshot().last_error.unwrap();
    assert!(reason.contains("cluster.nats_prefix") && reason.contains(&CLUSTER.to_string()), "{reason}");
    let rebuilt = blocked.rebuild().await;
    assert!(matches!(rebuilt, Err(RebuildError::Bus(BusError::Diverged { .. }))), "{rebuilt:?}");
    assert_copied(&nats, &log).await;
    blocked.stop();
    let apart = start(other("other")).await;
    published(&apart, 3).await;
    let stream = context(&nats).await.get_stream("OTHER_1").await.unwrap();
    assert_eq!(stream.direct_get(1).await.unwrap().subject.as_str().split('.').next(), Some("other"));
    assert_copied(&nats, &log).await;
}
