//! Transactions through the router over a log in memory, which can hold, refuse and lose writes at will.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;

use futures::future::join_all;
use support::{NODE, decided, event, eventually, request, router};
use tokio::task::JoinHandle;
use uuid::Uuid;
use weir_actors::{RouterConfig, RouterHandle};
use weir_types::{
    AppendError, Condition, EntityId, EventId, ExpectedVersion, GroupId, IdempotencyKey, NewEvent, NodeId,
    Position, StreamAppend, StreamCheck, StreamVersion, Tag, Term, TransactionAck, TransactionRequest,
    Violation,
    ports::Leadership,
    testing::{Fate, MemoryLog},
};

async fn led() -> (MemoryLog, RouterHandle) {
    let log = MemoryLog::led_by(NODE);
    let router = router(&log, RouterConfig::default()).await;
    (log, router)
}

/// A transaction of one event to each stream, at these versions.
fn transaction(streams: &[(&str, Option<u64>)]) -> TransactionRequest {
    let append = |(entity, expected): &(&str, Option<u64>)| {
        let one = request(entity, *expected);
        StreamAppend {
            entity_id: one.entity_id,
            entity_type: one.entity_type,
            expected: one.expected,
            events: one.events,
        }
    };
    TransactionRequest {
        group: GroupId::DEFAULT,
        idempotency_key: None,
        appends: streams.iter().map(append).collect(),
        checks: Vec::new(),
        conditions: Vec::new(),
    }
}

fn id(entity: &str) -> EntityId {
    EntityId::new(entity).unwrap()
}

fn exact(version: u64) -> ExpectedVersion {
    ExpectedVersion::Exact(StreamVersion(version))
}

fn send(
    router: &RouterHandle,
    request: TransactionRequest,
) -> JoinHandle<Result<TransactionAck, AppendError>> {
    let router = router.clone();
    tokio::spawn(async move { router.transact(request).await })
}

#[tokio::test]
async fn a_transaction_is_acknowledged_stream_by_stream() {
    let (log, router) = led().await;
    router.append(request("b", Some(0))).await.unwrap();
    let ack = router.transact(transaction(&[("b", Some(1)), ("a", Some(0))])).await.unwrap();
    let facts: Vec<_> = ack
        .streams
        .iter()
        .map(|(entity, ack)| (entity.as_str(), ack.first_version.0, ack.first_position.0))
        .collect();
    assert_eq!(facts, [("b", 2, 2), ("a", 1, 3)]);
    assert_eq!((ack.last_position(), ack.repeated), (Some(Position(3)), false));
    let ids: Vec<_> = log.events()[1..].iter().map(|event| event.id).collect();
    assert_eq!(ids, [ack.streams[0].1.event_ids.clone(), ack.streams[1].1.event_ids.clone()].concat());
    // The streams go on from there.
    assert_eq!(router.append(request("a", Some(1))).await.unwrap().first_version, StreamVersion(2));
}

#[tokio::test]
async fn everything_that_stands_against_a_transaction_is_told() {
    let (log, router) = led().await;
    let tagged = NewEvent { tags: vec![Tag::new("seat:1").unwrap()], ..event("1") };
    let mut first = request("a", Some(0));
    first.events = vec![tagged];
    router.append(first).await.unwrap();
    router.append(request("b", Some(0))).await.unwrap();
    let mut refused = transaction(&[("a", Some(0)), ("c", Some(4)), ("d", Some(0))]);
    refused.appends[2].entity_type = weir_types::EntityType::new("account").unwrap();
    refused.checks = vec![StreamCheck { entity_id: id("b"), expected: exact(7) }];
    let free = |after| Condition {
        after: Position(after),
        names: Vec::new(),
        tags: vec![Tag::new("seat:1").unwrap()],
    };
    refused.conditions = vec![free(0), free(1)];
    let version = |entity: &str, expected, actual| Violation::Version {
        entity_id: id(entity),
        expected: exact(expected),
        actual: StreamVersion(actual),
    };
    let violations = vec![
        version("a", 0, 1),
        version("c", 4, 0),
        version("b", 7, 1),
        Violation::Condition { number: 0, position: Position(1) },
    ];
    assert_eq!(router.transact(refused).await, Err(AppendError::Violated { violations }));
    // Nothing stands against the stream that is written.
    let mut taken = transaction(&[("d", Some(0))]);
    taken.conditions = vec![free(0)];
    let violations = vec![Violation::Condition { number: 0, position: Position(1) }];
    assert_eq!(router.transact(taken).await, Err(AppendError::Violated { violations }));
    assert_eq!(log.events().len(), 2, "nothing of them is there");
    assert_eq!(router.append(request("d", Some(0))).await.unwrap().first_version, StreamVersion(1));
}

#[tokio::test]
async fn a_key_has_one_outcome_even_when_nothing_fits_any_more() {
    let (log, router) = led().await;
    let key = |name| Some(IdempotencyKey::new(name).unwrap());
    let first =
        TransactionRequest { idempotency_key: key("k"), ..transaction(&[("a", Some(0)), ("b", None)]) };
    let ack = router.transact(first.clone()).await.unwrap();
    router.append(request("a", None)).await.unwrap();
    let again = router.transact(first.clone()).await.unwrap();
    assert!(again.repeated && again.streams.iter().all(|(_, ack)| ack.repeated));
    let told = |ack: &TransactionAck| {
        let parts = ack.streams.iter().map(|(_, ack)| (ack.first_version, ack.event_ids.clone()));
        parts.collect::<Vec<_>>()
    };
    assert_eq!(told(&again), told(&ack));
    let mut other = first;
    other.appends[1].events.push(event("2"));
    assert_eq!(router.transact(other).await, Err(AppendError::IdempotencyConflict));
    assert_eq!(log.events().len(), 3);
}

#[tokio::test]
async fn a_transaction_without_a_key_is_known_by_the_id_of_its_first_event() {
    let (log, router) = led().await;
    let mut first = transaction(&[("a", None), ("b", None)]);
    first.appends[0].events[0].id = Some(EventId(Uuid::from_u128(7)));
    let acked = router.transact(first.clone()).await.unwrap();
    let again = router.transact(first.clone()).await.unwrap();
    assert!(again.repeated && !acked.repeated);
    assert_eq!(again.last_position(), acked.last_position());
    assert_eq!(again.streams[1].1.event_ids, acked.streams[1].1.event_ids);
    let mut other = first.clone();
    other.appends[1].events[0].data = "8".into();
    assert_eq!(router.transact(other).await, Err(AppendError::IdempotencyConflict));
    // As with an append, a key goes before an id, and is another one.
    first.idempotency_key = Some(IdempotencyKey::new("k").unwrap());
    assert!(!router.transact(first).await.unwrap().repeated);
    assert_eq!(log.events().len(), 4);
}

#[tokio::test]
async fn the_next_append_is_decided_while_a_transaction_is_in_flight() {
    let (log, router) = led().await;
    log.hold();
    let sent = send(&router, transaction(&[("a", Some(0)), ("b", Some(0))]));
    eventually("the transaction is queued", || log.queued() == 1).await;
    let next = {
        let router = router.clone();
        tokio::spawn(async move { router.append(request("b", Some(1))).await })
    };
    eventually("the append is queued", || log.queued() == 2).await;
    log.release();
    assert!(sent.await.unwrap().is_ok());
    assert_eq!(next.await.unwrap().unwrap().first_version, StreamVersion(2));
}

#[tokio::test]
async fn what_rested_on_a_lost_transaction_is_decided_anew() {
    let (log, router) = led().await;
    log.hold();
    let lost = send(&router, transaction(&[("a", Some(0)), ("b", Some(0))]));
    eventually("the transaction is queued", || log.queued() == 1).await;
    let rested = send(&router, transaction(&[("b", None), ("c", None)]));
    eventually("the other is queued", || log.queued() == 2).await;
    log.release_lost(1);
    log.release();
    assert!(matches!(lost.await.unwrap(), Err(AppendError::OutcomeUnknown { .. })));
    let ack = rested.await.unwrap().unwrap();
    assert_eq!(ack.streams[0].1.first_version, StreamVersion(1));
    assert_eq!(log.events().len(), 2);
}

#[tokio::test]
async fn a_refusal_is_held_until_what_it_rests_on_is_durable() {
    let (log, router) = led().await;
    log.hold();
    let first = send(&router, transaction(&[("a", Some(0))]));
    eventually("the first is queued", || log.queued() == 1).await;
    let second = send(&router, transaction(&[("a", Some(0)), ("b", Some(0))]));
    eventually("the refusal waits behind it", || log.queued() == 2).await;
    assert!(!second.is_finished());
    // The first never was: the second is right after all.
    log.release_lost(1);
    log.release();
    assert!(first.await.unwrap().is_err());
    assert_eq!(second.await.unwrap().unwrap().streams.len(), 2);
}

#[tokio::test]
async fn a_write_behind_its_back_has_a_transaction_decided_anew() {
    let (log, router) = led().await;
    router.append(request("a", Some(0))).await.unwrap();
    log.write(decided("a", 1, 77, "2"));
    let ack = router.transact(transaction(&[("a", None), ("b", None)])).await.unwrap();
    assert_eq!(ack.streams[0].1.first_version, StreamVersion(3));
    let refused = router.transact(transaction(&[("a", Some(2))])).await;
    assert!(matches!(refused, Err(AppendError::Violated { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_over_the_same_streams_in_any_order_never_wait_for_each_other() {
    let (log, router) = led().await;
    let names = Arc::new(["a", "b", "c", "d"]);
    let tasks = (0..200_usize).map(|number| {
        let (router, names) = (router.clone(), names.clone());
        tokio::spawn(async move {
            let mut streams: Vec<_> = names.iter().map(|name| (*name, None)).collect();
            streams.rotate_left(number % 4);
            if number.is_multiple_of(3) {
                streams.reverse();
            }
            match number % 5 {
                0 => drop(router.append(request(streams[0].0, None)).await.unwrap()),
                _ => drop(router.transact(transaction(&streams[..3])).await.unwrap()),
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    assert_eq!(log.events().len(), 40 + 160 * 3);
}

#[tokio::test]
async fn a_lost_leadership_is_told_to_a_transaction() {
    let (log, router) = led().await;
    log.hold();
    let sent = send(&router, transaction(&[("a", Some(0)), ("b", Some(0))]));
    eventually("the transaction is queued", || log.queued() == 1).await;
    log.lead(Leadership { term: Term(2), leader: Some(NodeId(2)), decides: false }, Fate::Committed);
    assert!(matches!(sent.await.unwrap(), Err(AppendError::OutcomeUnknown { .. })));
    let refused = router.transact(transaction(&[("a", Some(2))])).await;
    assert_eq!(refused, Err(AppendError::NotLeader { leader: Some(NodeId(2)) }));
    assert_eq!(log.events().len(), 2);
}
