//! Projection actors over a log in memory: following, waiting, parking,
//! restarting, and every way in which a bus may go wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/events.rs"]
mod events;
#[path = "support/eventually.rs"]
mod eventually;
#[path = "support/node.rs"]
mod node;
#[path = "support/scripted_feed.rs"]
mod scripted_feed;

use std::{sync::Arc, time::Duration};

use eventually::eventually;
use node::{COUNTER, GROUP, Node, deploy, exact, write};
use scripted_feed::{Say, ScriptedFeed};
use serde_json::json;
use weir_actors::{
    local_feed::LocalLogFeed,
    projection::{CompareError, DryRunEnd, FeedKind, FoldState, ViewError},
};
use weir_types::{
    Consistency, NodeId, PartitionKey, Position, ProjectionName, RegistryCommand, RegistryOutcome,
    StreamVersion, Timestamp,
    ports::{Checkpoint, EventReader as _, Feed, Proposer as _, View, ViewChange, ViewStore as _},
    testing::MemoryLog,
};

#[tokio::test]
async fn a_projection_follows_the_log_and_answers() {
    let node = Node::with(COUNTER).await;
    let position = write(&node.log, 3);
    assert_eq!(node.state_at(position).await, exact(3));
    let status = node.counted().await;
    assert_eq!((status.checkpoint.position, status.checkpoint.events, status.lag), (Position(3), 3, 0));
    assert_eq!((status.state, status.feed, status.error), (FoldState::Live, FeedKind::Log, None));
    assert_eq!(node.projections.list().len(), 1);
    assert!(status.checkpoint.serves && status.next.is_none());
}

#[tokio::test]
async fn a_read_with_a_position_waits_for_the_fold_and_no_longer() {
    let node = Node::with(COUNTER).await;
    write(&node.log, 1);
    node.counted().await;
    let global = PartitionKey::global();
    let early = node.get(&global, Consistency::AtLeast(Position(2)), 20).await;
    assert_eq!(early, Err(ViewError::Stale { wanted: Position(2), folded: Position(1) }));
    let (answer, _) = tokio::join!(node.state_at(Position(2)), async { write(&node.log, 1) });
    assert_eq!(answer, exact(2));
    let linearizable = node.get(&global, Consistency::Linearizable, 1_000).await.unwrap();
    assert_eq!(linearizable.checkpoint.position, Position(2));
    let other = node.get(&PartitionKey::new("other").unwrap(), Consistency::Local, 1_000).await.unwrap();
    assert_eq!(other.view, None);
    let name = ProjectionName::new("absent").unwrap();
    let absent =
        node.projections.view(&name, &global, Consistency::Local, std::time::Duration::from_secs(1)).await;
    assert_eq!(absent, Err(ViewError::NotFound));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_read_amid_folding_is_the_fold_up_to_its_checkpoint() {
    let node = Node::with(COUNTER).await;
    let position = write(&node.log, 1);
    node.state_at(position).await;
    let log = node.log.clone();
    let writer = tokio::task::spawn_blocking(move || write(&log, 3_000));
    while !writer.is_finished() {
        let answer = node.get(&PartitionKey::global(), Consistency::Local, 1_000).await.unwrap();
        let state: serde_json::Value = serde_json::from_slice(&answer.view.unwrap().state).unwrap();
        assert_eq!(state, exact(answer.checkpoint.position.0));
    }
}

#[tokio::test]
async fn a_projection_deployed_late_catches_up() {
    let log = MemoryLog::led_by(NodeId(1));
    write(&log, 5_000);
    let node = Node::start(&log, None).await;
    deploy(&log, COUNTER).await;
    assert_eq!(node.state_at(Position(5_000)).await, exact(5_000));
    write(&log, 1);
    assert_eq!(node.state_at(Position(5_001)).await, exact(5_001));
}

#[tokio::test]
async fn a_checkpoint_does_not_depend_on_how_the_log_came() {
    let (early, late) = (Node::with(COUNTER).await, MemoryLog::led_by(NodeId(1)));
    for _ in 0..50 {
        write(&late, 2);
        let position = write(&early.log, 2);
        early.state_at(position).await;
    }
    let late = Node::start(&late, None).await;
    deploy(&late.log, COUNTER).await;
    assert_eq!(early.counted().await.checkpoint, late.counted().await.checkpoint);
}

#[tokio::test]
async fn a_stopped_node_goes_on_from_its_checkpoint() {
    let node = Node::with(COUNTER).await;
    write(&node.log, 10);
    node.counted().await;
    node.projections.stop().await;
    write(&node.log, 10);
    let again = Node::start(&node.log, None).await;
    assert_eq!(again.state_at(Position(20)).await, exact(20));
    assert_eq!(again.counted().await.checkpoint.events, 20);
}

#[tokio::test]
async fn a_poisoned_projection_is_parked_until_it_is_deployed_again() {
    let node = Node::with(COUNTER).await;
    write(&node.log, 4);
    node.log.write(events::append(0, "poison", "p", &json!({"v": 5})));
    write(&node.log, 3);
    let parked = |node: &Node| {
        let status = node.status("counter");
        async move { status }
    };
    let is_parked = |status: &Option<weir_actors::projection::ProjectionSnapshot>| {
        status.as_ref().is_some_and(|status| status.state == FoldState::Parked)
    };
    let status = eventually("counter is parked", || parked(&node), is_parked).await.unwrap();
    assert_eq!((status.checkpoint.position, status.lag), (Position(4), 4));
    let error = status.error.clone().unwrap();
    assert_eq!(error, "event `poison` at position 5: Error: poisoned");
    let bad = status.checkpoint.parked.clone().unwrap().event;
    assert_eq!((bad.name.as_str(), bad.entity_id.as_str()), ("poison", "p"));
    assert_eq!((bad.position, bad.version), (Position(5), StreamVersion(1)));
    assert_eq!(bad.id, node.log.events()[4].id);
    assert_eq!(bad.message, "Error: poisoned");
    assert!(bad.stack.contains("projection.js:1:"), "{}", bad.stack);
    let waited = node.get(&PartitionKey::global(), Consistency::AtLeast(Position(8)), 30_000).await;
    assert!(matches!(waited, Err(ViewError::Parked { folded: Position(4), .. })), "{waited:?}");
    assert_eq!(node.state_at(Position(4)).await, exact(4));

    node.projections.stop().await;
    let node = Node::start(&node.log, None).await;
    let after = eventually("counter is parked", || parked(&node), is_parked).await.unwrap();
    assert_eq!((after.checkpoint, after.error), (status.checkpoint, Some(error)));

    let repaired = COUNTER.replace("event.name === 'poison'", "false");
    let id = deploy(&node.log, &repaired).await;
    eventually("the repaired one runs", || parked(&node), |s| s.as_ref().is_some_and(|s| s.id == id)).await;
    assert_eq!(node.state_at(Position(8)).await, exact(8));
    assert_eq!(node.projections.list().len(), 1);
}

#[tokio::test]
async fn a_parked_projection_tries_again_when_it_is_told_to() {
    let node = Node::with(COUNTER).await;
    node.log.write(events::append(0, "poison", "p", &json!({"v": 1})));
    let parked = |after: u64| {
        let status = || async { node.status("counter").and_then(|status| status.checkpoint.parked) };
        eventually("it is parked", status, move |parked| {
            parked.as_ref().is_some_and(|parked| parked.resumed.0 >= after)
        })
    };
    let first = parked(0).await.unwrap();
    assert_eq!(told(&node, RegistryCommand::Resume).await, RegistryOutcome::Changed);
    let resumed = node.log.registry_at(GROUP);
    let again = parked(resumed.0).await.unwrap();
    assert_eq!((&again.event, again.resumed), (&first.event, resumed));
}

async fn told(node: &Node, command: impl Fn(ProjectionName) -> RegistryCommand) -> RegistryOutcome {
    node.log.register(command(ProjectionName::new("counter").unwrap())).await.unwrap()
}

#[tokio::test]
async fn a_paused_projection_folds_nothing_until_it_is_resumed() {
    let node = Node::with(COUNTER).await;
    write(&node.log, 3);
    node.counted().await;
    told(&node, RegistryCommand::Pause).await;
    let paused = |node: &Node| {
        let status = node.status("counter");
        async move { status.map(|status| (status.state, status.checkpoint.position)) }
    };
    let at_three = |seen: &Option<(FoldState, Position)>| *seen == Some((FoldState::Paused, Position(3)));
    eventually("it is paused", || paused(&node), at_three).await;
    write(&node.log, 2);
    let waited = node.get(&PartitionKey::global(), Consistency::AtLeast(Position(5)), 30_000).await;
    assert_eq!(waited, Err(ViewError::Paused { wanted: Position(5), folded: Position(3) }));
    assert_eq!(node.state_at(Position(3)).await, exact(3));

    node.projections.stop().await;
    let node = Node::start(&node.log, None).await;
    eventually("it is paused after a restart", || paused(&node), at_three).await;
    told(&node, RegistryCommand::Resume).await;
    let resumed = eventually(
        "it goes on",
        || paused(&node),
        |seen| seen.is_some_and(|(state, at)| state == FoldState::Live && at == Position(5)),
    );
    resumed.await;
    assert_eq!(node.state_at(Position(5)).await, exact(5));
    told(&node, RegistryCommand::Pause).await;
    eventually(
        "it is paused",
        || paused(&node),
        |seen| seen.is_some_and(|(state, _)| state == FoldState::Paused),
    )
    .await;
    told(&node, RegistryCommand::Remove).await;
    eventually("it is gone", || async { node.status("counter") }, Option::is_none).await;
}

const SKIPPING: &str = "export default {name: 'counter', events: ['*'], onError: 'skip', \
                        initialState: () => ({n: 0, sum: 0}), \
                        handler(state, event) { state.n += 1; state.sum += event.data.v; \
                        if (event.name === 'poison') throw new Error('poisoned') }}";

#[tokio::test]
async fn a_bad_event_is_skipped_into_dead_letters_exactly_once() {
    let log = MemoryLog::led_by(NodeId(1));
    let poison = |log: &MemoryLog, entity: &str| {
        log.write(events::append(0, "poison", entity, &json!({"v": 1_000})));
    };
    let node = Node::start(&log, None).await;
    let id = deploy(&log, SKIPPING).await;
    for round in 0..3_u64 {
        write(&log, 2);
        poison(&log, &format!("p{round}"));
        node.counted().await;
    }
    node.projections.stop().await;
    for round in 3..5_u64 {
        write(&log, 2);
        poison(&log, &format!("p{round}"));
    }
    let node = Node::start(&log, None).await;
    let status = node.counted().await;
    assert_eq!((status.checkpoint.dead_letters, status.checkpoint.events), (5, 10));
    assert_eq!((status.state, status.error), (FoldState::Live, None));
    let dead = log.dead_letters(GROUP, &id, Position::ZERO, 100).await.unwrap();
    let positions: Vec<_> = dead.iter().map(|event| event.position.0).collect();
    assert_eq!(positions, [3, 6, 9, 12, 15]);
    assert!(dead.iter().all(|event| event.message == "Error: poisoned" && !event.stack.is_empty()));
    assert_eq!(log.dead_letters(GROUP, &id, Position(9), 1).await.unwrap(), dead[3..4]);
    // All at once comes to the same as one by one.
    let late = MemoryLog::led_by(NodeId(1));
    for event in log.events() {
        let data = serde_json::from_slice(&event.data).unwrap();
        let mut append = events::append(0, event.name.as_str(), event.entity_id.as_str(), &data);
        append.events[0].id = event.id;
        late.write(append);
    }
    let late_node = Node::start(&late, None).await;
    deploy(&late, SKIPPING).await;
    assert_eq!(late_node.counted().await.checkpoint, status.checkpoint);
}

#[tokio::test]
async fn no_more_is_skipped_than_may_be() {
    let node = Node::start(&MemoryLog::led_by(NodeId(1)), None).await;
    let never = "export default {name: 'counter', events: ['*'], onError: 'skip', initialState: () => 0, \
                 handler() { throw new Error('no') }}";
    deploy(&node.log, never).await;
    let max = weir_types::limits::PROJECTION_DEAD_LETTERS_MAX;
    write(&node.log, max + 5);
    let parked = || async { node.status("counter").and_then(|status| status.checkpoint.parked) };
    let parked = eventually("it is parked", parked, Option::is_some).await.unwrap();
    assert_eq!(parked.event.position, Position(max + 1));
    assert!(parked.event.message.contains("not skipped"), "{}", parked.event.message);
    assert_eq!(node.status("counter").unwrap().checkpoint.dead_letters, max);
}

#[tokio::test]
async fn a_removed_projection_leaves_nothing() {
    let node = Node::with(COUNTER).await;
    write(&node.log, 2);
    let id = node.counted().await.id;
    let name = ProjectionName::new("counter").unwrap();
    node.log.register(RegistryCommand::Remove(name)).await.unwrap();
    eventually("it is gone", || async { node.status("counter") }, Option::is_none).await;
    let checkpoint = || async { node.log.checkpoint(GROUP, &id).await.unwrap().position };
    eventually("its views are gone", checkpoint, |position| *position == Position::ZERO).await;
}

#[tokio::test]
async fn a_projection_that_was_removed_while_the_node_was_down_leaves_nothing() {
    let node = Node::with(COUNTER).await;
    write(&node.log, 2);
    let id = node.counted().await.id;
    node.projections.stop().await;
    let name = ProjectionName::new("counter").unwrap();
    node.log.register(RegistryCommand::Remove(name)).await.unwrap();
    assert_eq!(node.log.kept(GROUP).await.unwrap(), [id]);
    let again = Node::start(&node.log, None).await;
    let kept = || async { again.log.kept(GROUP).await.unwrap() };
    eventually("its views are gone", kept, Vec::is_empty).await;
    assert_eq!(again.status("counter"), None);
}

#[tokio::test]
async fn a_dry_run_compares_and_changes_nothing() {
    let log = MemoryLog::led_by(NodeId(1));
    write(&log, 10_000);
    let node = Node::start(&log, None).await;
    let id = deploy(&log, COUNTER).await;
    node.state_at(Position(10_000)).await;
    let name = ProjectionName::new("counter").unwrap();
    let ended = || async {
        let run = || async { node.projections.dry_run(&name) };
        eventually("it ended", run, |run| run.as_ref().is_some_and(|run| run.end.is_some())).await.unwrap()
    };
    assert_eq!(node.projections.start_dry_run(&name, None, None, Timestamp(1)).await, Ok(true));
    let Some(DryRunEnd::Compared(same)) = ended().await.end else { panic!("not compared") };
    assert_eq!((same.position, same.digests.0 == same.digests.1), (Position(10_000), true));
    assert_eq!(
        node.projections.start_dry_run(&name, None, Some(Position(5_000)), Timestamp(2)).await,
        Ok(true)
    );
    let Some(DryRunEnd::Folded(checkpoint)) = ended().await.end else { panic!("not folded") };
    assert_eq!((checkpoint.position, checkpoint.events), (Position(5_000), 5_000));
    // What is stored is not what the log folds to.
    let view = View { state: "{\"n\":0}".into(), position: Position(10_000) };
    let wrong = Checkpoint { digest: 1, ..log.checkpoint(GROUP, &id).await.unwrap() };
    node.projections.stop().await;
    let change = ViewChange {
        checkpoint: wrong,
        views: vec![(PartitionKey::global(), view)],
        ..ViewChange::default()
    };
    log.commit(GROUP, &id, change).await.unwrap();
    let node = Node::start(&log, None).await;
    node.counted().await;
    assert_eq!(node.projections.start_dry_run(&name, None, None, Timestamp(3)).await, Ok(true));
    let run = || async { node.projections.dry_run(&name) };
    let run =
        eventually("it ended", run, |run| run.as_ref().is_some_and(|run| run.end.is_some())).await.unwrap();
    let Some(DryRunEnd::Compared(other)) = run.end else { panic!("not compared") };
    assert_eq!((other.differences.len(), other.digests.0), (1, 1));
    assert_eq!(other.differences[0].partition, PartitionKey::global());
    assert_eq!(log.kept(GROUP).await.unwrap(), [id], "nothing of it is kept");
}

#[tokio::test]
async fn what_is_deployed_and_runs_in_a_moment_is_waited_for_and_not_denied() {
    let log = MemoryLog::led_by(NodeId(1));
    deploy(&log, COUNTER).await;
    // A node that was just started: the registry is there, and nothing is folded so far.
    let node = Node::start(&log, None).await;
    let name = ProjectionName::new("counter").unwrap();
    assert_eq!(node.projections.start_dry_run(&name, None, None, Timestamp(1)).await, Ok(true));
    let node = Node::start(&log, None).await;
    assert!(node.projections.compare(&name, &name, 1).await.is_ok());
}

#[tokio::test]
async fn two_projections_are_compared_at_one_position_and_held_no_longer() {
    let node = Node::with(COUNTER).await;
    let other = COUNTER.replace("'counter'", "'other'");
    deploy(&node.log, &other).await;
    let names = ["counter", "other"].map(|name| ProjectionName::new(name).unwrap());
    let log = node.log.clone();
    let writer = tokio::spawn(async move {
        for _ in 0..200 {
            write(&log, 1);
            tokio::task::yield_now().await;
        }
    });
    eventually("both run", || async { node.projections.list().len() }, |count| *count == 2).await;
    let mut last = Position::ZERO;
    for _ in 0..5 {
        let compared = node.projections.compare(&names[0], &names[1], 10).await.unwrap();
        assert_eq!(compared.digests.0, compared.digests.1);
        assert!(compared.position >= last);
        last = compared.position;
    }
    writer.await.unwrap();
    assert_eq!(node.state_at(Position(200)).await, exact(200));
    let (_, held) = node.projections.hold(&names[0], Duration::from_secs(30)).await.unwrap();
    write(&node.log, 7);
    let waited = node.get(&PartitionKey::global(), Consistency::AtLeast(Position(207)), 50).await;
    assert_eq!(waited, Err(ViewError::Stale { wanted: Position(207), folded: Position(200) }));
    let (_, at) = node.projections.held_at(&names[0], Position(203)).await.unwrap();
    assert_eq!((held.position, at.position, at.events), (Position(200), Position(203), 203));
    assert_eq!(node.state_at(Position(207)).await, exact(207));
    let passed = node.projections.held_at(&names[0], Position(205)).await;
    assert_eq!(passed, Err(CompareError::Passed { wanted: Position(205), folded: Position(207) }));
    let absent = ProjectionName::new("absent").unwrap();
    let unknown = Err(CompareError::View(ViewError::NotFound));
    assert_eq!(node.projections.hold(&absent, Duration::ZERO).await, unknown);
}

#[tokio::test]
async fn a_switch_is_one_step_and_the_old_one_is_removed_by_the_new_name() {
    let node = Node::with(COUNTER).await;
    let v2 = COUNTER.replace("'counter'", "'counter-v2'").replace("({n: 0", "({n: 1000000");
    deploy(&node.log, &v2).await;
    let position = write(&node.log, 5);
    let (one, other) = (ProjectionName::new("counter").unwrap(), ProjectionName::new("counter-v2").unwrap());
    assert_eq!(node.state_at(position).await["n"], 5);
    node.log.register(RegistryCommand::Switch(one.clone(), other.clone())).await.unwrap();
    let position = write(&node.log, 1);
    assert_eq!(node.state_at(position).await["n"], 1_000_006);
    node.log.register(RegistryCommand::Remove(other)).await.unwrap();
    let position = write(&node.log, 1);
    assert_eq!(node.state_at(position).await["n"], 1_000_007);
    let kept = || async { node.log.kept(GROUP).await.unwrap() };
    eventually("the old one is gone", kept, |kept| kept.len() == 1).await;
    node.projections.stop().await;
    let again = Node::start(&node.log, None).await;
    assert_eq!(again.state_at(position).await["n"], 1_000_007);
}

#[tokio::test]
async fn the_local_log_is_a_feed() {
    let log = MemoryLog::led_by(NodeId(1));
    deploy(&log, COUNTER).await;
    let node = Node::start(&log, Some(Arc::new(LocalLogFeed::new(Arc::new(log.clone()))))).await;
    for _ in 0..20 {
        let position = write(&log, 3);
        assert_eq!(node.state_at(position).await, exact(position.0));
    }
    assert_eq!(node.status("counter").unwrap().feed, FeedKind::Jetstream);
}

#[tokio::test]
async fn whatever_the_bus_does_each_event_counts_once() {
    for (case, script) in [
        ("silent", vec![]),
        ("gone", vec![Say::Fail]),
        ("in order", vec![Say::Give(1..=5), Say::Give(6..=10)]),
        ("twice", vec![Say::Give(1..=5), Say::Give(3..=8), Say::Give(1..=10)]),
        ("with holes", vec![Say::Give(2..=3), Say::Give(7..=7), Say::Give(10..=10)]),
        ("late start", vec![Say::Give(10..=10)]),
        ("then gone", vec![Say::Give(1..=5), Say::Fail, Say::Give(4..=7), Say::Fail]),
        ("of another log", vec![Say::Give(1..=3), Say::Lie(4..=6), Say::Give(1..=10)]),
        ("hanging", vec![Say::Hang]),
    ] {
        let log = MemoryLog::led_by(NodeId(1));
        deploy(&log, COUNTER).await;
        let feed = Arc::new(ScriptedFeed::new(log.clone(), script));
        let node = Node::start(&log, Some(feed)).await;
        let position = write(&log, 10);
        assert_eq!(node.state_at(position).await, exact(10), "{case}");
        let position = write(&log, 1);
        assert_eq!(node.state_at(position).await, exact(11), "{case}");
        assert_eq!(node.counted().await.checkpoint.events, 11, "{case}");
    }
}

#[tokio::test]
async fn no_event_is_folded_before_it_is_applied_here() {
    let (log, ahead) = (MemoryLog::led_by(NodeId(1)), MemoryLog::led_by(NodeId(2)));
    deploy(&log, COUNTER).await;
    write(&ahead, 10);
    let script = vec![Say::Give(1..=5), Say::Give(6..=10)];
    let feed = Arc::new(ScriptedFeed::new(ahead.clone(), script));
    let given = feed.clone();
    let node = Node::start(&log, Some(feed as Arc<dyn Feed>)).await;
    eventually("the bus gave", || async { given.said() }, |said| *said >= 1).await;
    assert_eq!(node.status("counter").map(|status| status.checkpoint.position), Some(Position::ZERO));
    for event in ahead.events() {
        let position =
            log.write(events::append(0, "e", event.entity_id.as_str(), &json!({"v": event.position.0})));
        assert_eq!(node.state_at(position).await, exact(position.0));
        assert_eq!(log.applied(GROUP), position);
    }
}
