//! Rebuilds of single partitions: beside what answers, swapped in with the checkpoint that they belong to.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/events.rs"]
mod events;
#[path = "support/eventually.rs"]
mod eventually;
#[path = "support/node.rs"]
mod node;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use eventually::eventually;
use node::{GROUP, Node, deploy};
use serde_json::{Value, json};
use weir_actors::{
    projection::{DryRunEnd, PartitionProgress},
    reducer::state_digest,
};
use weir_types::{
    Consistency, LogIndex, NodeId, PartitionKey, Position, ProjectionName, RegistryCommand, RegistryOutcome,
    Timestamp,
    ports::{Checkpoint, EventReader as _, Proposer as _, View, ViewChange, ViewStore as _},
    testing::MemoryLog,
};

/// Counts and sums by `data.p`; what it cannot fold is a dead letter.
const PARTS: &str = "export default {name: 'counter', events: ['*'], partitionKey: '$.data.p', onError: 'skip', \
                     initialState: () => ({n: 0, sum: 0}), \
                     handler(state, event) { state.n += 1; state.sum += event.data.v; \
                     if (event.name === 'poison') throw new Error('poisoned') }}";
const PARTITIONS: u64 = 5;

fn key(text: &str) -> PartitionKey {
    PartitionKey::new(text).unwrap()
}

fn name() -> ProjectionName {
    ProjectionName::new("counter").unwrap()
}

/// Writes events of all partitions in turn, some of which cannot be folded, and some of none.
fn write(log: &MemoryLog, count: u64) -> Position {
    for _ in 0..count {
        let next = log.applied(GROUP).next().0;
        let event = if next.is_multiple_of(211) && next < 1_000 { "poison" } else { "e" };
        let data = match next % 53 {
            0 => json!({"v": next}),
            _ => json!({"v": next, "p": format!("p{}", next % PARTITIONS)}),
        };
        log.write(events::append(0, event, &format!("e{next}"), &data));
    }
    log.applied(GROUP)
}

/// A node whose state of a partition is not what the log folds to, as after a fault of its memory.
async fn damaged(log: &MemoryLog, partitions: &[&str]) -> Node {
    let node = Node::start(log, None).await;
    let id = deploy(log, PARTS).await;
    node.counted().await;
    node.projections.stop().await;
    for partition in partitions.iter().copied().map(key) {
        let checkpoint = log.checkpoint(GROUP, &id).await.unwrap();
        let right = log.view(GROUP, &id, &partition).await.unwrap().unwrap();
        let wrong = View { state: Bytes::from_static(br#"{"n":-1,"sum":-1}"#), position: right.position };
        let digest = checkpoint
            .digest
            .wrapping_sub(state_digest(&partition, &right.state))
            .wrapping_add(state_digest(&partition, &wrong.state));
        let checkpoint = Checkpoint { digest, ..checkpoint };
        let change = ViewChange { checkpoint, views: vec![(partition, wrong)], ..ViewChange::default() };
        log.commit(GROUP, &id, change).await.unwrap();
    }
    let node = Node::start(log, None).await;
    node.counted().await;
    node
}

async fn rebuild(log: &MemoryLog, partition: &str) -> LogIndex {
    let command =
        RegistryCommand::RebuildPartition { name: name(), partition: key(partition), asked_at: Timestamp(7) };
    assert_eq!(log.register(command).await.unwrap(), RegistryOutcome::Changed);
    log.registry_at(GROUP)
}

async fn progress_is(
    node: &Node,
    what: &str,
    good: impl Fn(&PartitionProgress) -> bool,
) -> PartitionProgress {
    let seen = || async { node.status("counter").map(|status| status.partitions) };
    eventually(what, seen, |seen| seen.as_ref().is_some_and(&good)).await.unwrap()
}

async fn ended(node: &Node, at: LogIndex) -> PartitionProgress {
    progress_is(node, "the rebuild ended", |seen| seen.ended.as_ref().is_some_and(|end| end.at == at)).await
}

async fn state(node: &Node, partition: &str) -> Value {
    let answer = node.get(&key(partition), Consistency::Local, 5_000).await.unwrap();
    serde_json::from_slice(&answer.view.unwrap().state).unwrap()
}

/// That what answers is what another projection of the same source comes to.
///
/// Its name is as long: an error's stack counts columns.
async fn is_as_a_fresh_one(node: &Node) {
    deploy(&node.log, &PARTS.replace("'counter'", "'another'")).await;
    let applied = node.log.applied(GROUP);
    let there = || async { node.status("another").map(|status| status.checkpoint) };
    let fresh = eventually("a fresh one is folded", there, |at| {
        at.as_ref().is_some_and(|at| at.position == applied && at.serves)
    })
    .await
    .unwrap();
    assert_eq!(node.counted().await.checkpoint, fresh, "digest, counts and dead letters");
    let compared =
        node.projections.compare(&name(), &ProjectionName::new("another").unwrap(), 10).await.unwrap();
    assert_eq!((compared.digests.0 == compared.digests.1, compared.differences), (true, vec![]));
    let [ours, others] = ["counter", "another"].map(|name| node.status(name).unwrap().id);
    let letters = async |id| node.log.dead_letters(GROUP, id, Position::ZERO, 1_000).await.unwrap();
    assert_eq!(letters(&ours).await, letters(&others).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_is_written_to_is_rebuilt_to_exactly_the_fold() {
    let log = MemoryLog::led_by(NodeId(1));
    write(&log, 12_000);
    let node = damaged(&log, &["p3"]).await;
    let before = node.log.views(GROUP, &node.status("counter").unwrap().id, None, 10).await.unwrap();
    let writing = Arc::new(AtomicBool::new(true));
    let (goes_on, writer_log, folds) = (writing.clone(), log.clone(), node.projections.clone());
    let writer = tokio::task::spawn_blocking(move || {
        while goes_on.load(Relaxed) {
            // No faster than it is folded, or there would be no end of it.
            if folds.status(&name()).is_some_and(|status| status.lag < 500) {
                write(&writer_log, 20);
            }
            std::thread::yield_now();
        }
    });
    assert!(state(&node, "p3").await["n"].as_i64().unwrap() < 1_000, "it is damaged");
    let at = rebuild(&log, "p3").await;
    let mut seen = Position::ZERO;
    let end = loop {
        let status = node.status("counter").unwrap();
        assert!(status.checkpoint.position >= seen, "a checkpoint never falls");
        seen = status.checkpoint.position;
        // What answered answers until then, and its other partitions go on.
        assert!(node.get(&key("p3"), Consistency::Local, 5_000).await.unwrap().view.is_some());
        if let Some(end) = status.partitions.ended {
            break end;
        }
    };
    writing.store(false, Relaxed);
    writer.await.unwrap();
    assert_eq!((end.at, end.failure), (at, None));
    assert!(end.position > Position(0) && before.len() as u64 == PARTITIONS);
    is_as_a_fresh_one(&node).await;
    assert!(state(&node, "p3").await["n"].as_i64().unwrap() > 1_000);
    let id = node.status("counter").unwrap().id;
    let kept = || async { log.kept(GROUP).await.unwrap() };
    eventually("what was folded beside is gone", kept, |kept| kept.len() == 2 && kept.contains(&id)).await;
}

#[tokio::test]
async fn what_answered_answers_until_the_swap_and_a_rebuild_that_is_given_up_changes_nothing() {
    let log = MemoryLog::led_by(NodeId(1));
    write(&log, 3_000);
    let node = damaged(&log, &["p1"]).await;
    let others = state(&node, "p2").await;
    // While it is held nothing is swapped in.
    let (_, held) = node.projections.hold(&name(), Duration::from_secs(30)).await.unwrap();
    rebuild(&log, "p1").await;
    progress_is(&node, "it is near", |seen| seen.running.is_some_and(|one| one.folded.0 >= 2_000)).await;
    assert_eq!(state(&node, "p1").await, json!({"n": -1, "sum": -1}));
    assert_eq!(log.register(RegistryCommand::CancelRebuild(name())).await.unwrap(), RegistryOutcome::Changed);
    node.projections
        .reconciled(log.registry_at(GROUP), tokio::time::Instant::now() + Duration::from_secs(5))
        .await;
    node.projections.held_at(&name(), held.position).await.unwrap();
    let idle = progress_is(&node, "it is given up", |seen| seen.running.is_none()).await;
    assert_eq!((idle.ended, state(&node, "p1").await), (None, json!({"n": -1, "sum": -1})));
    let at = rebuild(&log, "p1").await;
    assert_eq!(ended(&node, at).await.ended.unwrap().failure, None);
    assert_eq!(state(&node, "p2").await, others);
    is_as_a_fresh_one(&node).await;
}

#[tokio::test]
async fn a_rebuild_of_a_partition_survives_a_restart_and_is_done_once() {
    let log = MemoryLog::led_by(NodeId(1));
    write(&log, 3_000);
    let node = damaged(&log, &["p0", "p1", "p2"]).await;
    node.projections.hold(&name(), Duration::from_secs(30)).await.unwrap();
    let first = rebuild(&log, "p1").await;
    progress_is(&node, "it runs", |seen| seen.running.is_some()).await;
    node.projections.stop().await;
    assert_eq!(log.partition_rebuild(GROUP, &node.status_id(&log).await).await.unwrap(), None);
    // What is asked for while a node is down it does when it is back, in order.
    rebuild(&log, "p2").await;
    let last = rebuild(&log, "p0").await;
    let again = Node::start(&log, None).await;
    let seen = ended(&again, last).await;
    assert!(first < last && seen.ended.unwrap().failure.is_none());
    is_as_a_fresh_one(&again).await;
    again.projections.stop().await;
    let id = again.status_id(&log).await;
    assert_eq!(log.partition_rebuild(GROUP, &id).await.unwrap().unwrap().at, last);
    let third = Node::start(&log, None).await;
    third.counted().await;
    let seen = progress_is(&third, "it knows", |seen| seen.ended.is_some()).await;
    assert_eq!((seen.ended.unwrap().at, seen.running), (last, None));
}

#[tokio::test]
async fn a_paused_projection_rebuilds_a_partition_when_it_goes_on() {
    let log = MemoryLog::led_by(NodeId(1));
    write(&log, 500);
    let node = damaged(&log, &["p1"]).await;
    log.register(RegistryCommand::Pause(name())).await.unwrap();
    let at = rebuild(&log, "p1").await;
    node.projections.reconciled(at, tokio::time::Instant::now() + Duration::from_secs(5)).await;
    assert_eq!(node.status("counter").unwrap().partitions, PartitionProgress::default());
    log.register(RegistryCommand::Resume(name())).await.unwrap();
    assert_eq!(ended(&node, at).await.ended.unwrap().failure, None);
    is_as_a_fresh_one(&node).await;
}

#[tokio::test]
async fn a_generation_that_begins_after_it_needs_no_rebuild_of_a_partition() {
    let log = MemoryLog::led_by(NodeId(1));
    write(&log, 500);
    let node = damaged(&log, &["p1"]).await;
    node.projections.hold(&name(), Duration::from_secs(30)).await.unwrap();
    rebuild(&log, "p1").await;
    let whole = RegistryCommand::Rebuild { name: name(), asked_at: Timestamp(8) };
    let RegistryOutcome::Deployed(id) = log.register(whole).await.unwrap() else { panic!("not rebuilt") };
    let now = || async { node.status("counter").map(|status| status.id) };
    eventually("the new generation answers", now, |now| now.as_ref() == Some(&id)).await;
    assert_eq!(node.status("counter").unwrap().partitions.ended, None);
    is_as_a_fresh_one(&node).await;
}

#[tokio::test]
async fn a_partition_without_events_is_told_and_one_partition_is_all_of_a_projection_without_keys() {
    let log = MemoryLog::led_by(NodeId(1));
    write(&log, 500);
    let node = damaged(&log, &[]).await;
    let before = node.counted().await.checkpoint;
    let at = rebuild(&log, "nobody").await;
    let failure = ended(&node, at).await.ended.unwrap().failure.unwrap();
    assert_eq!(failure, "partition `nobody` has no events up to position 500");
    assert_eq!(node.counted().await.checkpoint, before);
    let one = Node::with(node::COUNTER).await;
    node::write(&one.log, 300);
    one.counted().await;
    let at = rebuild(&one.log, PartitionKey::global().as_str()).await;
    assert_eq!(ended(&one, at).await.ended.unwrap().failure, None);
    node::write(&one.log, 1);
    assert_eq!(one.state_at(Position(301)).await, node::exact(301));
    assert_eq!(one.counted().await.checkpoint.events, 301);
}

#[tokio::test]
async fn an_event_that_cannot_be_folded_any_more_ends_it_and_the_state_stays() {
    let parks = "export default {name: 'counter', events: ['*'], partitionKey: '$.data.p', \
                 initialState: () => ({n: 0}), \
                 handler(state, event) { if (event.name === 'poison') throw new Error('poisoned'); state.n += 1; }}";
    let node = Node::with(parks).await;
    for (name, p) in [("e", "a"), ("e", "b"), ("e", "a")] {
        let next = node.log.applied(GROUP).next().0;
        node.log.write(events::append(0, name, &format!("e{next}"), &json!({"p": p})));
    }
    let id = node.counted().await.id;
    node.log.write(events::append(0, "poison", "bad", &json!({"p": "b"})));
    eventually(
        "it is parked",
        || async { node.status("counter") },
        |now| now.as_ref().is_some_and(|now| now.checkpoint.parked.is_some()),
    )
    .await;
    // One that is parked before an event of another partition is mended up to there.
    let at = rebuild(&node.log, "a").await;
    assert_eq!(ended(&node, at).await.ended.unwrap().failure, None);
    // As if the event before which it stopped had been folded.
    node.projections.stop().await;
    let passed =
        Checkpoint { position: Position(4), parked: None, ..node.log.checkpoint(GROUP, &id).await.unwrap() };
    let change = ViewChange { checkpoint: passed, ..ViewChange::default() };
    node.log.commit(GROUP, &id, change).await.unwrap();
    let node = Node::start(&node.log, None).await;
    let at = rebuild(&node.log, "b").await;
    let failure = ended(&node, at).await.ended.unwrap().failure.unwrap();
    assert_eq!(failure, "event `poison` at position 4: Error: poisoned");
    assert_eq!(state(&node, "b").await, json!({"n": 1}));
}

#[tokio::test]
async fn a_dry_run_of_one_partition_compares_it_alone() {
    let log = MemoryLog::led_by(NodeId(1));
    write(&log, 2_000);
    let node = damaged(&log, &["p1"]).await;
    for (partition, equal) in [("p2", true), ("p1", false)] {
        let began = node.projections.start_dry_run(&name(), Some(key(partition)), None, Timestamp(1)).await;
        assert_eq!(began, Ok(true));
        let DryRunEnd::Compared(compared) = dry_run(&node).await else { panic!("not compared") };
        assert_eq!((compared.position, compared.digests.0 == compared.digests.1), (Position(2_000), equal));
        let differ: Vec<_> = compared.differences.iter().map(|one| one.partition.as_str()).collect();
        assert_eq!(differ, if equal { vec![] } else { vec![partition] });
    }
    assert_eq!(state(&node, "p1").await, json!({"n": -1, "sum": -1}), "nothing is changed");
    let nobody = node.projections.start_dry_run(&name(), Some(key("nobody")), None, Timestamp(1)).await;
    assert_eq!(nobody, Ok(true));
    let DryRunEnd::Failed(reason) = dry_run(&node).await else { panic!("not told") };
    assert!(reason.contains("no events"), "{reason}");
}

async fn dry_run(node: &Node) -> DryRunEnd {
    let run = || async { node.projections.dry_run(&name()).and_then(|run| run.end) };
    eventually("it ended", run, Option::is_some).await.unwrap()
}

impl Node {
    /// The generation that is deployed.
    async fn status_id(&self, log: &MemoryLog) -> weir_types::ProjectionId {
        let all = log.deployments(GROUP).await.unwrap();
        all.into_iter().find(|one| one.name == name()).unwrap().id
    }
}
