//! The router and its stream actors over a log in memory, which can hold,
//! refuse and lose appends at will.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use support::{NODE, NOW, eventually, keyed, request, router};
use weir_actors::{AdmissionBounds, EventIds, RouterConfig, RouterHandle};
use weir_types::{
    AppendAck, AppendError, AppendRequest, EntityType, ExpectedVersion, NodeId, Position, StreamVersion,
    Term, Timestamp,
    ports::{Clock, Leadership, Ports},
    testing::{Fate, MemoryLog},
};

async fn led() -> (MemoryLog, RouterHandle) {
    let log = MemoryLog::led_by(NODE);
    let router = router(&log, RouterConfig::default()).await;
    (log, router)
}

/// Sends an append and lets it run by itself.
fn send(
    router: &RouterHandle,
    request: AppendRequest,
) -> tokio::task::JoinHandle<Result<AppendAck, AppendError>> {
    let router = router.clone();
    tokio::spawn(async move { router.append(request).await })
}

/// Sends an append and waits until it is queued behind `before` others.
async fn queue(
    log: &MemoryLog,
    router: &RouterHandle,
    request: AppendRequest,
) -> tokio::task::JoinHandle<Result<AppendAck, AppendError>> {
    let before = log.queued();
    let sent = send(router, request);
    eventually("the append is queued", || log.queued() > before).await;
    sent
}

fn conflict(expected: u64, actual: u64) -> AppendError {
    AppendError::VersionConflict {
        expected: ExpectedVersion::Exact(StreamVersion(expected)),
        actual: StreamVersion(actual),
    }
}

#[tokio::test]
async fn an_append_is_acknowledged_with_its_versions_position_and_ids() {
    let (log, router) = led().await;
    let first = router.append(request("a", Some(0))).await.unwrap();
    let second = router.append(keyed("a", "k", "2")).await.unwrap();
    assert_eq!((first.first_version, first.last_version), (StreamVersion(1), StreamVersion(1)));
    assert_eq!((second.first_version, second.last_version), (StreamVersion(2), StreamVersion(3)));
    assert_eq!((second.first_position, second.last_position()), (Position(2), Position(3)));
    assert!(!second.repeated);
    let ids: Vec<_> = log.events().iter().map(|event| event.id).collect();
    assert_eq!(ids, [first.event_ids, second.event_ids].concat());
}

#[tokio::test]
async fn what_cannot_be_appended_is_refused_by_its_reason() {
    let (_log, router) = led().await;
    router.append(request("a", Some(0))).await.unwrap();
    let empty = AppendRequest { events: Vec::new(), ..request("a", None) };
    let large = AppendRequest { events: vec![support::event("1"); 1_001], ..request("a", None) };
    let other = AppendRequest { entity_type: EntityType::new("account").unwrap(), ..request("a", None) };
    let order = EntityType::new("order").unwrap();
    for (request, error) in [
        (request("a", Some(0)), conflict(0, 1)),
        (request("a", Some(7)), conflict(7, 1)),
        (empty, AppendError::NoEvents),
        (large, AppendError::TooLarge { what: "events", actual: 1_001, max: 1_000 }),
        (other, AppendError::TypeConflict { actual: order }),
    ] {
        assert_eq!(router.append(request).await, Err(error));
    }
    assert_eq!(router.snapshot().conflicts, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_writers_with_exact_versions_have_one_winner_per_version() {
    const VERSIONS: u64 = 50;
    let (log, router) = led().await;
    let mut writers = Vec::new();
    for _ in 0..100 {
        let router = router.clone();
        writers.push(tokio::spawn(async move {
            let (mut won, mut version) = (Vec::new(), 0);
            while version < VERSIONS {
                match router.append(request("a", Some(version))).await {
                    Ok(ack) => {
                        assert_eq!(ack.first_version, StreamVersion(version + 1));
                        won.push((version, ack.event_ids[0]));
                        version += 1;
                    }
                    Err(AppendError::VersionConflict { expected, actual }) => {
                        assert_eq!(expected, ExpectedVersion::Exact(StreamVersion(version)));
                        assert!(actual > StreamVersion(version), "told {actual} at {version}");
                        version = actual.0;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            won
        }));
    }
    let mut winners = HashMap::new();
    for writer in writers {
        for (version, id) in writer.await.unwrap() {
            assert_eq!(winners.insert(version, id), None, "two winners at {version}");
        }
    }
    assert_eq!(winners.len() as u64, VERSIONS);
    for event in log.events() {
        assert_eq!(winners[&(event.version.0 - 1)], event.id);
    }
    assert_eq!(router.snapshot().activations, 1, "one actor decided all (W1)");
}

#[tokio::test]
async fn appends_are_decided_while_others_are_in_flight() {
    let (log, router) = led().await;
    log.hold();
    let mut sent = Vec::new();
    for version in 0..4 {
        sent.push(queue(&log, &router, request("a", Some(version))).await);
    }
    assert_eq!(log.events().len(), 0);
    log.release();
    for (version, append) in sent.into_iter().enumerate() {
        assert_eq!(append.await.unwrap().unwrap().last_version, StreamVersion(version as u64 + 1));
    }
}

#[tokio::test]
async fn a_refusal_waits_until_what_it_rests_on_is_durable() {
    let (log, router) = led().await;
    log.hold();
    let winner = queue(&log, &router, request("a", Some(0))).await;
    let loser = queue(&log, &router, request("a", Some(0))).await;
    log.release_first(1);
    assert!(winner.await.unwrap().is_ok());
    assert!(!loser.is_finished(), "its barrier is still queued");
    log.release();
    assert_eq!(loser.await.unwrap(), Err(conflict(0, 1)));
}

#[tokio::test]
async fn a_refusal_that_rested_on_what_failed_is_decided_anew() {
    let (log, router) = led().await;
    router.append(request("a", Some(0))).await.unwrap();
    log.hold();
    let doomed = queue(&log, &router, request("a", Some(1))).await;
    let refused = queue(&log, &router, request("a", Some(1))).await;
    log.release_lost(1);
    log.release();
    assert!(matches!(doomed.await.unwrap(), Err(AppendError::OutcomeUnknown { .. })));
    assert_eq!(refused.await.unwrap().unwrap().first_version, StreamVersion(2), "the version was free");
}

#[tokio::test]
async fn a_key_leads_to_one_outcome() {
    let (log, router) = led().await;
    let first = router.append(keyed("a", "k", "1")).await.unwrap();
    let again = router.append(keyed("a", "k", "1")).await.unwrap();
    assert_eq!(again, AppendAck { repeated: true, ..first });
    assert_eq!(router.append(keyed("a", "k", "2")).await, Err(AppendError::IdempotencyConflict));
    assert!(!router.append(keyed("b", "k", "1")).await.unwrap().repeated, "a key is of its stream");
    assert_eq!(log.events().len(), 4);
}

#[tokio::test]
async fn a_key_in_flight_shares_its_outcome() {
    let (log, router) = led().await;
    log.hold();
    let first = queue(&log, &router, keyed("a", "k", "1")).await;
    let again = queue(&log, &router, keyed("a", "k", "1")).await;
    let other = queue(&log, &router, keyed("a", "k", "2")).await;
    log.release();
    let first = first.await.unwrap().unwrap();
    assert_eq!(again.await.unwrap().unwrap(), AppendAck { repeated: true, ..first });
    assert_eq!(other.await.unwrap(), Err(AppendError::IdempotencyConflict));
    assert_eq!(log.events().len(), 2);
}

#[tokio::test]
async fn a_key_whose_append_was_refused_is_free_again() {
    let (log, router) = led().await;
    log.refuse_next(AppendError::Overloaded);
    assert_eq!(router.append(keyed("a", "k", "1")).await, Err(AppendError::Overloaded));
    assert!(!router.append(keyed("a", "k", "2")).await.unwrap().repeated);
    assert_eq!(log.events().len(), 2);
}

#[tokio::test]
async fn an_actor_that_apply_contradicts_is_dropped_and_its_appends_decided_anew() {
    let (log, router) = led().await;
    router.append(request("a", Some(0))).await.unwrap();
    // As if another leader had gone on while this one did not know.
    log.write(support::decided("a", 1, 99, "2"));
    let ack = router.append(request("a", None)).await.unwrap();
    assert_eq!(ack.first_version, StreamVersion(3));
    log.write(support::decided("a", 3, 98, "2"));
    assert_eq!(router.append(request("a", Some(3))).await, Err(conflict(3, 4)));
    assert_eq!(router.snapshot().retirements, 2);
}

#[tokio::test]
async fn a_successor_waits_for_all_that_its_predecessor_left_in_flight() {
    let (log, router) = led().await;
    router.append(request("a", Some(0))).await.unwrap();
    log.hold();
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.push(queue(&log, &router, request("a", None)).await);
    }
    log.release_lost(1);
    assert!(matches!(sent.remove(0).await.unwrap(), Err(AppendError::OutcomeUnknown { .. })));
    let heads = log.head_reads();
    let queued = log.queued();
    let late = send(&router, request("a", None));
    eventually("the successor has put up its barrier", || log.queued() > queued).await;
    assert_eq!(log.head_reads(), heads, "it reads no head before the rest is settled (W1)");
    log.release();
    let mut versions = vec![late.await.unwrap().unwrap().first_version.0];
    for append in sent {
        versions.push(append.await.unwrap().unwrap().first_version.0);
    }
    versions.sort_unstable();
    assert_eq!(versions, [2, 3, 4], "each was decided anew, once");
    assert_eq!(log.events().len(), 4);
}

#[tokio::test]
async fn lost_leadership_drops_the_actors_and_says_what_is_known() {
    let (log, router) = led().await;
    router.append(request("a", Some(0))).await.unwrap();
    log.hold();
    let proposed = queue(&log, &router, request("a", Some(1))).await;
    let refused = queue(&log, &router, request("a", Some(1))).await;
    let leader = Some(NodeId(2));
    log.lead(Leadership { term: Term(2), leader, decides: false }, Fate::Committed);
    assert!(matches!(proposed.await.unwrap(), Err(AppendError::OutcomeUnknown { .. })));
    let refused = refused.await.unwrap();
    assert!(matches!(refused, Err(AppendError::Unavailable { .. })), "nothing was written: {refused:?}");
    assert_eq!(router.append(request("a", None)).await, Err(AppendError::NotLeader { leader }));
    eventually("the actors are dropped", || router.snapshot().active_streams == 0).await;

    log.release();
    log.lead(Leadership { term: Term(3), leader: Some(NODE), decides: true }, Fate::Lost);
    assert_eq!(router.append(request("a", Some(1))).await, Err(conflict(1, 2)), "the lost one was committed");
    assert_eq!(router.append(request("a", Some(2))).await.unwrap().first_version, StreamVersion(3));
}

#[tokio::test]
async fn a_new_term_starts_with_new_actors() {
    let (log, router) = led().await;
    router.append(request("a", Some(0))).await.unwrap();
    log.write(support::decided("a", 1, 99, "2"));
    log.lead(Leadership { term: Term(5), leader: Some(NODE), decides: true }, Fate::Lost);
    assert_eq!(router.append(request("a", Some(2))).await.unwrap().first_version, StreamVersion(3));
    assert_eq!(log.head_reads(), 2);
    assert_eq!(router.snapshot().retirements, 0, "the actor of the old term decided nothing more");
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_withdraw_its_append() {
    let (log, router) = led().await;
    log.hold();
    let leaving = queue(&log, &router, request("a", Some(0))).await;
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    assert_eq!(router.snapshot().in_flight_appends, 1, "it still takes its room");
    let next = queue(&log, &router, request("a", Some(1))).await;
    log.release();
    assert_eq!(next.await.unwrap().unwrap().first_version, StreamVersion(2));
    eventually("all room is given back", || router.snapshot().in_flight_appends == 0).await;
    // The durable mark moved, so this refusal needs no barrier.
    assert_eq!(router.append(request("a", Some(0))).await, Err(conflict(0, 2)));
    assert_eq!(router.snapshot().retirements, 0);
}

#[tokio::test]
async fn the_bounds_refuse_with_overloaded_and_recover() {
    let log = MemoryLog::led_by(NODE);
    let admission = AdmissionBounds {
        appends: 4,
        queue_appends: 2,
        wait: Duration::from_secs(60),
        ..AdmissionBounds::default()
    };
    let router = router(&log, RouterConfig { admission, ..RouterConfig::default() }).await;
    log.hold();
    let mut sent = Vec::new();
    for n in 0..4 {
        sent.push(queue(&log, &router, request(&format!("s{n}"), None)).await);
    }
    for waiting in 1..=2 {
        sent.push(send(&router, request("w", None)));
        eventually("it waits", || router.snapshot().waiting_appends == waiting).await;
    }
    assert_eq!(router.append(request("x", None)).await, Err(AppendError::Overloaded));
    log.release();
    for append in sent {
        append.await.unwrap().unwrap();
    }
    assert_eq!(router.snapshot().in_flight_appends, 0);
    assert_eq!(router.snapshot().overloaded, 1);
    router.append(request("x", None)).await.unwrap();
}

#[tokio::test]
async fn one_stream_takes_no_more_than_its_queue() {
    let log = MemoryLog::led_by(NODE);
    let router = router(&log, RouterConfig { stream_queue_max: 3, ..RouterConfig::default() }).await;
    log.hold();
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.push(queue(&log, &router, request("a", None)).await);
    }
    assert_eq!(router.append(request("a", None)).await, Err(AppendError::Overloaded));
    let other = queue(&log, &router, request("b", None)).await;
    log.release();
    for append in sent.into_iter().chain([other]) {
        append.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_streams_do_not_mean_a_hundred_thousand_actors() {
    let log = MemoryLog::led_by(NODE);
    let config = RouterConfig { active_streams_max: 640, ..RouterConfig::default() };
    let router = router(&log, config).await;
    let mut writers = Vec::new();
    for writer in 0..4 {
        let router = router.clone();
        writers.push(tokio::spawn(async move {
            for n in 0..25_000 {
                router.append(request(&format!("s{writer}-{n}"), Some(0))).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let snapshot = router.snapshot();
    assert_eq!(snapshot.activations, 100_000);
    assert!(snapshot.active_streams <= 640, "{snapshot:?}");
    assert_eq!(snapshot.activations - snapshot.passivations, snapshot.active_streams as u64);
    // A passivated stream comes back where it was.
    assert_eq!(router.append(request("s0-0", Some(0))).await, Err(conflict(0, 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passivation_under_load_never_breaks_a_stream() {
    let log = MemoryLog::led_by(NODE);
    let config = RouterConfig { active_streams_max: 64, ..RouterConfig::default() };
    let router = router(&log, config).await;
    let mut writers = Vec::new();
    for writer in 0..8_u64 {
        let router = router.clone();
        writers.push(tokio::spawn(async move {
            for n in 0..2_000_u64 {
                let stream = (n * 7 + writer * 13) % 300;
                router.append(request(&format!("s{stream}"), None)).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let mut versions: HashMap<_, u64> = HashMap::new();
    for event in log.events() {
        let version = versions.entry(event.entity_id).or_default();
        *version += 1;
        assert_eq!(event.version.0, *version, "a stream has a hole (A2)");
    }
    assert_eq!(versions.values().sum::<u64>(), 16_000);
    let snapshot = router.snapshot();
    assert!(snapshot.passivations > 1_000, "{snapshot:?}");
    assert_eq!(snapshot.retirements, 0, "no two actors decided at once (W1): {snapshot:?}");
}

#[tokio::test(start_paused = true)]
async fn idle_streams_are_passivated_and_busy_ones_are_not() {
    let log = MemoryLog::led_by(NODE);
    let config = RouterConfig { stream_idle_max: Duration::from_secs(4), ..RouterConfig::default() };
    let router = router(&log, config).await;
    router.append(request("idle", None)).await.unwrap();
    router.append(request("busy", None)).await.unwrap();
    log.hold();
    let held = queue(&log, &router, request("held", None)).await;
    for _ in 0..20 {
        tokio::time::advance(Duration::from_millis(500)).await;
        tokio::task::yield_now().await;
        let busy = queue(&log, &router, request("busy", None)).await;
        log.release();
        log.hold();
        busy.await.unwrap().unwrap();
        if router.snapshot().passivations == 2 {
            break;
        }
    }
    let _settled = held.await.unwrap().unwrap();
    eventually("the idle ones are gone", || router.snapshot().active_streams == 1).await;
    assert_eq!(router.snapshot().passivations, 2);
}

#[tokio::test]
async fn a_stopped_router_settles_what_is_in_flight_and_takes_no_more() {
    let (log, router) = led().await;
    log.hold();
    let in_flight = queue(&log, &router, request("a", None)).await;
    router.stop();
    log.release();
    assert!(in_flight.await.unwrap().is_ok());
    for stream in ["a", "b"] {
        let refused = router.append(request(stream, None)).await;
        assert!(matches!(refused, Err(AppendError::Unavailable { .. })), "{refused:?}");
    }
}

/// A clock that panics the first time that it is asked.
struct BrokenOnce(AtomicBool);

impl Clock for BrokenOnce {
    fn now(&self) -> Timestamp {
        assert!(self.0.swap(true, Ordering::SeqCst), "the clock is broken, once");
        NOW
    }
}

#[tokio::test]
async fn an_actor_that_panics_is_replaced_and_the_append_decided_by_its_successor() {
    let log = MemoryLog::led_by(NODE);
    let ports = Ports { clock: Arc::new(BrokenOnce(AtomicBool::new(false))), ..log.ports(NOW) };
    let router = RouterHandle::start(RouterConfig::default(), ports, EventIds::seeded(7)).await.unwrap();
    assert_eq!(router.append(request("a", Some(0))).await.unwrap().first_version, StreamVersion(1));
    eventually("it is counted", || router.snapshot().failures == 1).await;
    assert_eq!(log.events().len(), 1);
}

#[tokio::test]
async fn a_dropped_router_leaves_no_task_behind() {
    let log = MemoryLog::led_by(NODE);
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let router = router(&log, RouterConfig::default()).await;
    router.append(request("a", None)).await.unwrap();
    drop(Arc::new(router));
    eventually("its tasks have ended", || {
        tokio::runtime::Handle::current().metrics().num_alive_tasks() == before
    })
    .await;
}
