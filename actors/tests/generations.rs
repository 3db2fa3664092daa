//! Generations of a projection that succeed each other: which one answers, and that answers never go back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/events.rs"]
mod events;
#[path = "support/eventually.rs"]
mod eventually;
#[path = "support/node.rs"]
mod node;

use eventually::eventually;
use node::{COUNTER, GROUP, Node, deploy, exact, write};
use weir_actors::projection::{FoldState, ProjectionSnapshot};
use weir_types::{
    Consistency, NodeId, PartitionKey, Position, ProjectionId, ProjectionName, RegistryCommand,
    RegistryOutcome, Timestamp,
    ports::{Proposer as _, ViewStore as _},
    testing::MemoryLog,
};

fn name() -> ProjectionName {
    ProjectionName::new("counter").unwrap()
}

async fn told(node: &Node, command: impl Fn(ProjectionName) -> RegistryCommand) -> RegistryOutcome {
    node.log.register(command(name())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redeployment_answers_once_it_has_caught_up_and_never_goes_back() {
    let node = Node::with(COUNTER).await;
    let mut newest = 0;
    for round in 1..=60_u64 {
        let position = write(&node.log, 1);
        node.state_at(position).await;
        // Another source is another deployment, and counts a thousand more from the start.
        let source = COUNTER.replace("({n: 0", &format!("({{n: {}", 1_000 * round));
        let id = deploy(&node.log, &source).await;
        loop {
            let answer =
                node.get(&PartitionKey::global(), Consistency::AtLeast(position), 30_000).await.unwrap();
            let state: serde_json::Value = serde_json::from_slice(&answer.view.unwrap().state).unwrap();
            assert!(answer.checkpoint.position >= position, "round {round}");
            assert!(answer.id.deployed.0 >= newest, "round {round}: an older generation answers again");
            assert_eq!(state["n"].as_u64().unwrap() % 1_000, answer.checkpoint.position.0, "round {round}");
            newest = answer.id.deployed.0;
            if answer.id == id {
                break;
            }
        }
    }
    assert_eq!(node.projections.list().len(), 1);
    let kept = || async { node.log.kept(GROUP).await.unwrap() };
    eventually("the generations before are gone", kept, |kept| kept.len() == 1).await;
}

/// A node that had counted all events when a rebuild began.
struct Rebuilding {
    node: Node,
    /// What answers.
    first: ProjectionId,
    /// What catches up.
    second: ProjectionId,
}

impl Rebuilding {
    async fn after(events: u64) -> Self {
        let log = MemoryLog::led_by(NodeId(1));
        write(&log, events);
        let node = Node::start(&log, None).await;
        let first = deploy(&log, COUNTER).await;
        assert_eq!(node.state_at(Position(events)).await, exact(events));
        let rebuild = |name| RegistryCommand::Rebuild { name, asked_at: Timestamp(7) };
        match told(&node, rebuild).await {
            RegistryOutcome::Deployed(second) => Self { node, first, second },
            other => panic!("not rebuilt: {other:?}"),
        }
    }

    /// Stops the node once the rebuild has folded something. What it has folded is stored.
    async fn stopped_amid_it(self) -> (MemoryLog, ProjectionId, ProjectionId) {
        let Self { node, first, second } = self;
        let next = || async { node.status("counter").and_then(|status| status.next) };
        eventually("the rebuild has begun", next, |next| {
            next.as_ref().is_some_and(|next| next.checkpoint.position > Position::ZERO)
        })
        .await;
        node.projections.stop().await;
        let stored = node.log.checkpoint(GROUP, &second).await.unwrap();
        assert!(stored.position > Position::ZERO && !stored.serves, "{stored:?}");
        (node.log.clone(), first, second)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_rebuild_catches_up_what_answered_answers_and_its_checkpoint_never_falls() {
    let Rebuilding { node, first, second } = Rebuilding::after(30_000).await;
    let log = &node.log;
    let (mut last, mut seen_before) = (Position(30_000), 0);
    loop {
        let position = write(log, 3);
        let answer = node.get(&PartitionKey::global(), Consistency::AtLeast(position), 30_000).await.unwrap();
        let state: serde_json::Value = serde_json::from_slice(&answer.view.unwrap().state).unwrap();
        assert_eq!(state, exact(answer.checkpoint.position.0), "all of it, and nothing twice");
        assert!(answer.checkpoint.position >= last, "{last} and then {}", answer.checkpoint.position);
        last = answer.checkpoint.position;
        match answer.id == first {
            true => seen_before += 1,
            false => break assert_eq!(answer.id, second),
        }
    }
    assert!(seen_before > 0, "the generation before answered meanwhile");
    let applied = write(log, 10);
    assert_eq!(node.state_at(applied).await, exact(applied.0));
    assert_eq!(node.counted().await.checkpoint.events, applied.0);
    let kept = || async { log.kept(GROUP).await.unwrap() };
    eventually("the generation before is gone", kept, |kept| *kept == [second.clone()]).await;
}

#[tokio::test]
async fn a_rebuild_goes_on_after_a_restart_and_from_where_it_was() {
    let (log, first, second) = Rebuilding::after(50_000).await.stopped_amid_it().await;
    let again = Node::start(&log, None).await;
    let early = again.get(&PartitionKey::global(), Consistency::Local, 1_000).await.unwrap();
    assert_eq!((early.id, early.checkpoint.position), (first, Position(50_000)));
    let answers = || async { again.status("counter").map(|now| now.id) };
    eventually("it answers", answers, |id| id.as_ref() == Some(&second)).await;
    assert_eq!(again.state_at(Position(50_000)).await, exact(50_000));
    assert_eq!(again.counted().await.checkpoint.events, 50_000);
}

#[tokio::test]
async fn a_rebuild_that_is_given_up_or_fails_leaves_what_answered() {
    let Rebuilding { node, first, second } = Rebuilding::after(50_000).await;
    let log = &node.log;
    let status = || async { node.status("counter").unwrap() };
    eventually("it has begun", status, |now| now.next.is_some()).await;
    told(&node, RegistryCommand::CancelRebuild).await;
    let answers = eventually("it is gone", status, |now| now.next.is_none()).await.id;
    assert!(answers == first || answers == second);
    let applied = write(log, 5);
    assert_eq!(node.state_at(applied).await, exact(applied.0));
    // A source that cannot fold the log does not answer either.
    let broken = COUNTER.replace("event.name === 'poison'", "event.position === 9");
    let third = deploy(log, &broken).await;
    let parked = || async { node.status("counter").and_then(|status| status.next) };
    eventually("the broken one is parked", parked, |next| {
        next.as_ref().is_some_and(|next| next.id == third && next.state == FoldState::Parked)
    })
    .await;
    let applied = write(log, 5);
    assert_eq!(node.state_at(applied).await, exact(applied.0));
}

/// A node that holds of all generations the newest alone, amid catching up, as one does that was away while the
/// registry forgot the others. It was stopped, and what it holds is stored.
async fn amid_a_rebuild() -> (MemoryLog, ProjectionId) {
    let (log, first, second) = Rebuilding::after(50_000).await.stopped_amid_it().await;
    log.forget(GROUP, &first).await.unwrap();
    (log, second)
}

/// Deploys another source, and sees that until it has caught up what is shown answers.
async fn redeployed_after(node: &Node, shown: &ProjectionId, at: Position) {
    let third = deploy(&node.log, &COUNTER.replace("n: 0", "n: 1000000")).await;
    told(node, RegistryCommand::Resume).await;
    loop {
        let now = node.get(&PartitionKey::global(), Consistency::Local, 30_000).await.unwrap();
        assert!(now.checkpoint.position >= at, "answers fell from {at} to {:?}", now.checkpoint.position);
        if now.id == third {
            return;
        }
        assert_eq!(now.id, *shown);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_that_answers_while_it_is_paused_answers_until_the_next_has_caught_up() {
    let (log, second) = amid_a_rebuild().await;
    log.register(RegistryCommand::Pause(name())).await.unwrap();
    let node = Node::start(&log, None).await;
    let at = shown_paused(&node, &second).await;
    redeployed_after(&node, &second, at).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_that_answered_while_it_was_paused_answers_after_a_restart() {
    let (log, second) = amid_a_rebuild().await;
    log.register(RegistryCommand::Pause(name())).await.unwrap();
    let node = Node::start(&log, None).await;
    let at = shown_paused(&node, &second).await;
    node.projections.stop().await;
    deploy(&log, &COUNTER.replace("n: 0", "n: 5")).await;
    let again = Node::start(&log, None).await;
    redeployed_after(&again, &second, at).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_that_has_just_begun_to_answer_answers_until_the_next_has_caught_up() {
    let (log, second) = amid_a_rebuild().await;
    let at = log.checkpoint(GROUP, &second).await.unwrap().position;
    let node = Node::start(&log, None).await;
    let shown = || async { node.status("counter").map(|now| now.id) };
    eventually("it is shown", shown, |id| id.as_ref() == Some(&second)).await;
    redeployed_after(&node, &second, at).await;
}

/// Sees that the projection is paused and which one answers, and tells where it is.
async fn shown_paused(node: &Node, answers: &ProjectionId) -> Position {
    let paused = |now: &Option<ProjectionSnapshot>| {
        now.as_ref().is_some_and(|now| now.state == FoldState::Paused && now.checkpoint.position.0 > 0)
    };
    let now = eventually("it is paused", || async { node.status("counter") }, paused).await.unwrap();
    assert_eq!((&now.id, now.next), (answers, None));
    now.checkpoint.position
}
