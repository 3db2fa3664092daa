//! The state over a real engine: registry, views, checkpoints, damage.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;

use bytes::Bytes;
use uuid::Uuid;
use weir_storage::state::{RegistryChange, State, StateError};
use weir_types::{
    BadEvent, Deployment, EntityId, EventId, EventName, EventPattern, GroupId, LogIndex, OnError,
    PartitionKey, Position, ProjectionDefinition, ProjectionId, ProjectionKind, ProjectionName,
    RegistryError, RegistryOutcome, StreamVersion,
    ports::{Checkpoint, PartitionRebuildEnd, Rebuilt, View, ViewChange},
};

const GROUP: GroupId = GroupId::DEFAULT;

fn id(name: &str, deployed: u64) -> ProjectionId {
    ProjectionId { name: ProjectionName::new(name).unwrap(), deployed: LogIndex(deployed) }
}

fn definition(name: &str) -> ProjectionDefinition {
    ProjectionDefinition {
        name: ProjectionName::new(name).unwrap(),
        events: vec![EventPattern::new("*").unwrap()],
        partition_key: None,
        source: "source".into(),
        on_error: OnError::Park,
        kind: ProjectionKind::Async,
        sink: None,
    }
}

fn key(text: &str) -> PartitionKey {
    PartitionKey::new(text).unwrap()
}

fn step(position: u64, partitions: &[&str]) -> ViewChange {
    let view = |name: &&str| {
        let state = Bytes::from(format!("{{\"{name}\":{position}}}"));
        (key(name), View { state, position: Position(position) })
    };
    ViewChange {
        checkpoint: Checkpoint {
            position: Position(position),
            events: position,
            digest: 9,
            parked: None,
            dead_letters: 0,
            serves: false,
        },
        views: partitions.iter().map(view).collect(),
        ..ViewChange::default()
    }
}

#[test]
fn the_registry_and_its_outcomes_survive_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path(), GROUP).unwrap();
    let deployed = |name: &str, index| {
        (
            RegistryChange::Put(vec![Deployment::new(id(name, index), definition(name))]),
            RegistryOutcome::Deployed(id(name, index)),
        )
    };
    let removed = (RegistryChange::Remove(ProjectionName::new("a").unwrap()), RegistryOutcome::Removed);
    let refused = (RegistryChange::None, RegistryOutcome::Refused(RegistryError::NotFound));
    let steps =
        [(3, deployed("b", 3)), (5, deployed("a", 5)), (9, deployed("b", 9)), (10, removed), (11, refused)];
    for (index, (change, outcome)) in &steps {
        state.commit_registry(LogIndex(*index), change, outcome).unwrap();
    }
    drop(state);
    let state = State::open(dir.path(), GROUP).unwrap();
    assert_eq!(state.registry().unwrap(), vec![Deployment::new(id("b", 9), definition("b"))]);
    assert_eq!(state.registry_applied().unwrap(), LogIndex(11));
    for (index, (_, outcome)) in &steps {
        assert_eq!(&state.registry_outcome(LogIndex(*index)).unwrap(), outcome);
    }
}

#[test]
fn an_outcome_that_is_missing_condemns_the_state() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path(), GROUP).unwrap();
    assert!(matches!(state.registry_outcome(LogIndex(4)), Err(StateError::Damaged { .. })));
    drop(state);
    assert!(matches!(State::open(dir.path(), GROUP), Err(StateError::Damaged { .. })));
}

#[test]
fn a_view_and_its_checkpoint_are_one() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path(), GROUP).unwrap();
    let orders = id("orders", 3);
    assert_eq!(state.checkpoint(&orders).unwrap(), Checkpoint::default());
    state.commit_views(&orders, &step(5, &["x", "y"])).unwrap();
    state.commit_views(&orders, &step(7, &["y"])).unwrap();
    drop(state);
    let state = State::open(dir.path(), GROUP).unwrap();
    assert_eq!(state.checkpoint(&orders).unwrap(), step(7, &[]).checkpoint);
    assert_eq!(state.view(&orders, &key("x")).unwrap(), Some(step(5, &["x"]).views[0].1.clone()));
    assert_eq!(state.view(&orders, &key("y")).unwrap(), Some(step(7, &["y"]).views[0].1.clone()));
    assert_eq!(state.view(&orders, &key("z")).unwrap(), None);
    assert_eq!(state.highest_checkpoint().unwrap(), Position(7));
}

#[test]
fn a_checkpoint_never_falls() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path(), GROUP).unwrap();
    let orders = id("orders", 3);
    state.commit_views(&orders, &step(7, &["x"])).unwrap();
    let error = state.commit_views(&orders, &step(6, &["x"])).unwrap_err();
    assert_eq!(error, StateError::CheckpointFell { stored: Position(7), offered: Position(6) });
    assert_eq!(state.view(&orders, &key("x")).unwrap().unwrap().position, Position(7));
    // The same position again is a park or an unpark, and is legal.
    state.commit_views(&orders, &step(7, &[])).unwrap();
}

#[test]
fn deployments_do_not_mix_and_pages_follow_key_order() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path(), GROUP).unwrap();
    let (a, a_again, ab) = (id("a", 1), id("a", 256), id("ab", 1));
    let partitions = ["__global__", "a", "a.b", "b", "é"];
    assert_eq!(state.kept().unwrap(), vec![]);
    for projection in [&a, &a_again, &ab] {
        state.commit_views(projection, &step(projection.deployed.0, &partitions)).unwrap();
    }
    assert_eq!(state.kept().unwrap(), [a.clone(), a_again.clone(), ab.clone()]);
    let page = |projection, after: Option<&str>, limit| {
        let views = state.views(projection, after.map(key).as_ref(), limit).unwrap();
        assert!(views.iter().all(|(_, view)| view.position.0 == projection.deployed.0));
        views.into_iter().map(|(name, _)| name.as_str().to_owned()).collect::<Vec<_>>()
    };
    for projection in [&a, &a_again, &ab] {
        assert_eq!(page(projection, None, 100), partitions);
        assert_eq!(page(projection, Some("a"), 2), ["a.b", "b"]);
        assert_eq!(page(projection, Some("é"), 2), Vec::<String>::new());
    }
    state.forget(&a).unwrap();
    state.forget(&a).unwrap();
    assert_eq!(page(&a, None, 100), Vec::<String>::new());
    assert_eq!(state.checkpoint(&a).unwrap(), Checkpoint::default());
    assert_eq!(state.kept().unwrap(), [a_again.clone(), ab.clone()]);
    assert_eq!(page(&a_again, None, 100), partitions);
    assert_eq!(page(&ab, None, 100), partitions);
}

#[test]
fn a_partitions_rebuild_takes_views_and_letters_with_it_and_is_forgotten_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path(), GROUP).unwrap();
    let (a, b) = (id("a", 1), id("a", 256));
    let bad = |position: u64| BadEvent {
        id: EventId(Uuid::from_u128(u128::from(position))),
        name: EventName::new("n").unwrap(),
        entity_id: EntityId::new("e").unwrap(),
        version: StreamVersion(1),
        position: Position(position),
        message: "no".into(),
        stack: String::new(),
    };
    for projection in [&a, &b] {
        let change = ViewChange { dead_letters: vec![bad(3), bad(5)], ..step(7, &["x", "y"]) };
        state.commit_views(projection, &change).unwrap();
        assert_eq!(state.partition_rebuild(projection).unwrap(), None);
    }
    let end = PartitionRebuildEnd { at: LogIndex(300), position: Position(7), failure: Some("no".into()) };
    let rebuilt =
        Rebuilt { end: end.clone(), dropped_view: Some(key("x")), dropped_letters: vec![Position(3)] };
    let change = ViewChange { rebuilt: Some(Box::new(rebuilt)), ..step(7, &[]) };
    state.commit_views(&a, &change).unwrap();
    drop(state);
    let state = State::open(dir.path(), GROUP).unwrap();
    let letters = |projection| state.dead_letters(projection, Position::ZERO, 9).unwrap();
    assert_eq!((state.view(&a, &key("x")).unwrap(), letters(&a)), (None, vec![bad(5)]));
    assert!(state.view(&a, &key("y")).unwrap().is_some());
    assert_eq!((state.views(&b, None, 9).unwrap().len(), letters(&b).len()), (2, 2));
    assert_eq!(
        (state.partition_rebuild(&a).unwrap(), state.partition_rebuild(&b).unwrap()),
        (Some(end), None)
    );
    // A step that follows leaves it as it is.
    state.commit_views(&a, &step(8, &["y"])).unwrap();
    assert_eq!(state.partition_rebuild(&a).unwrap().unwrap().at, LogIndex(300));
    state.forget(&a).unwrap();
    assert_eq!(state.partition_rebuild(&a).unwrap(), None);
}

#[test]
fn dead_letters_are_one_with_their_checkpoint_and_are_forgotten_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path(), GROUP).unwrap();
    let (a, ab) = (id("a", 1), id("a", 256));
    let bad = |position: u64| BadEvent {
        id: EventId(Uuid::from_u128(u128::from(position))),
        name: EventName::new("n").unwrap(),
        entity_id: EntityId::new("e").unwrap(),
        version: StreamVersion(1),
        position: Position(position),
        message: "no".into(),
        stack: String::new(),
    };
    for (projection, positions) in [(&a, [3_u64, 255, 256, 70_000]), (&ab, [1, 2, 3, 4])] {
        for position in positions {
            let change = ViewChange { dead_letters: vec![bad(position)], ..step(position, &["x"]) };
            state.commit_views(projection, &change).unwrap();
        }
    }
    let fell = ViewChange { dead_letters: vec![bad(5)], ..step(5, &[]) };
    assert!(state.commit_views(&a, &fell).is_err());
    drop(state);
    let state = State::open(dir.path(), GROUP).unwrap();
    let listed = |projection, after, limit| -> Vec<u64> {
        let events = state.dead_letters(projection, Position(after), limit).unwrap();
        assert!(events.iter().all(|event| *event == bad(event.position.0)));
        events.iter().map(|event| event.position.0).collect()
    };
    assert_eq!(listed(&a, 0, 10), [3, 255, 256, 70_000]);
    assert_eq!(listed(&a, 3, 2), [255, 256]);
    assert_eq!(listed(&ab, 0, 10), [1, 2, 3, 4]);
    state.forget(&a).unwrap();
    assert_eq!(listed(&a, 0, 10), [0_u64; 0]);
    assert_eq!(listed(&ab, 0, 10), [1, 2, 3, 4]);
}

#[test]
fn forgetting_takes_any_number_of_views() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path(), GROUP).unwrap();
    let many = id("many", 1);
    let names: Vec<String> = (0..2_500).map(|number| format!("p-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    state.commit_views(&many, &step(1, &names)).unwrap();
    state.forget(&many).unwrap();
    assert_eq!(state.views(&many, None, 10).unwrap(), vec![]);
}

#[test]
fn a_state_of_another_group_or_of_garbage_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    drop(State::open(dir.path(), GroupId(7)).unwrap());
    drop(State::open(dir.path(), GroupId(7)).unwrap());
    let garbage = tempfile::tempdir().unwrap();
    fs::write(garbage.path().join("conf"), b"not a database").unwrap();
    fs::write(garbage.path().join("db"), vec![0xa5; 4096]).unwrap();
    assert!(matches!(State::open(garbage.path(), GROUP), Err(StateError::Open { .. })));
    let hollow = tempfile::tempdir().unwrap();
    drop(State::open(hollow.path(), GROUP).unwrap());
    fs::remove_file(hollow.path().join("db")).unwrap();
    let error = State::open(hollow.path(), GROUP).err().unwrap();
    assert!(matches!(error, StateError::Open { .. } | StateError::Damaged { .. }), "{error}");
}
