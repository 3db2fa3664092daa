//! Apply over the real log, index and state: what is read back, what a replay
//! rebuilds, and what becomes of stores that are broken, missing or ahead.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod scene;

use std::{collections::BTreeMap, fs, path::Path};

use bytes::Bytes;
use scene::{Scene, append, data};
use weir_raft::apply::{ApplyError, CommandOutcome};
use weir_storage::{
    codec::command::{encode_appends, encode_registry},
    log::RecordKind,
};
use weir_types::{
    AppendOutcome, DecidedAppend, Direction, EntityId, EntityType, EventName, EventPattern, GroupId,
    IdempotencyKey, Judged, LogIndex, OnError, PartitionKey, Position, ProjectionDefinition, ProjectionId,
    ProjectionKind, ProjectionName, ReadError, RegistryCommand, RegistryError, RegistryOutcome, Rules,
    RulesChanged, RulesCommand, RulesError, RulesScope, SchemaMode, StreamRead, StreamVersion, Timestamp,
    Upcaster, limits,
    ports::{Checkpoint, View, ViewChange},
};

fn entity(text: &str) -> EntityId {
    EntityId::new(text).unwrap()
}

fn read(name: &str, from: Option<u64>, direction: Direction, limit: usize) -> StreamRead {
    let from = from.map(StreamVersion);
    StreamRead { group: GroupId::DEFAULT, entity_id: entity(name), from, direction, limit }
}

/// A long mixed history of entries, always the same: creations, repeats, conflicts, keys used again.
fn history(entries: u64) -> Vec<Bytes> {
    let mut seed = 42_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    let mut payloads = Vec::new();
    for _ in 0..entries {
        let mut appends: Vec<DecidedAppend> = Vec::new();
        for _ in 0..=random(4) {
            let name = format!("e-{}", random(12));
            let version = versions.entry(name.clone()).or_default();
            let kind = if random(20) == 0 { "other" } else { "order" };
            let base = if random(10) == 0 { *version + 3 } else { *version };
            let count = if random(30) == 0 { 300 } else { 1 + random(3) };
            let key = format!("k-{}", random(6));
            let key = (random(2) == 0).then_some((key.as_str(), random(2)));
            appends.push(append(&name, kind, base, count, key));
            // A guess: when apply refuses, later bases are wrong, which is a case too, and is found again.
            *version = if random(8) == 0 { 0 } else { base + count };
        }
        payloads.push(encode_appends(&appends));
    }
    payloads
}

#[test]
fn what_was_appended_is_read_back() {
    let mut scene = Scene::new(1_000);
    scene.append(&[append("a", "order", 0, 3, None), append("b", "order", 0, 1, Some(("k", 7)))]);
    scene.append(&[append("a", "order", 3, 600, None)]);
    scene.append(&[append("b", "account", 1, 1, None), append("a", "order", 603, 1, None)]);
    let store = &scene.store;
    assert_eq!(store.index.applied_position(), Position(605));

    let page = store.read_stream(&read("a", Some(2), Direction::Forward, 500)).unwrap();
    assert_eq!(page.events.len(), 500);
    assert_eq!((page.next, page.applied), (Some(StreamVersion(502)), Position(605)));
    for (version, event) in (2..).zip(&page.events) {
        assert_eq!((event.version, &event.data), (StreamVersion(version), &data("a", version)));
        assert_eq!(event.entity_type, EntityType::new("order").unwrap());
    }
    let page = store.read_stream(&read("a", None, Direction::Backward, 2)).unwrap();
    let seen: Vec<_> = page.events.iter().map(|event| (event.version.0, event.position.0)).collect();
    assert_eq!((seen, page.next), (vec![(604, 605), (603, 604)], Some(StreamVersion(602))));
    let page = store.read_stream(&read("a", Some(604), Direction::Forward, 10)).unwrap();
    assert_eq!((page.events.len(), page.next), (1, None));
    for (name, from, direction) in [
        ("a", Some(605), Direction::Forward),
        ("a", Some(0), Direction::Backward),
        ("c", None, Direction::Forward),
    ] {
        let page = store.read_stream(&read(name, from, direction, 10)).unwrap();
        assert_eq!((page.events.len(), page.next), (0, None), "{name} {from:?}");
    }

    let mut position = 1;
    while position <= 605 {
        let events = store.read_log(Position(position), 100).unwrap();
        assert!(!events.is_empty());
        for event in events {
            assert_eq!(event.position, Position(position));
            assert_eq!(event.data, data(event.entity_id.as_str(), event.version.0));
            position += 1;
        }
    }
    assert_eq!(store.read_log(Position(606), 100).unwrap(), vec![]);

    let head = store.head(&entity("a")).unwrap().unwrap();
    assert_eq!(
        (head.version, head.first_position, head.last_position),
        (StreamVersion(604), Position(1), Position(605))
    );
    let (heads, total) = store.list(Some(&EntityType::new("order").unwrap()), 0, 10).unwrap();
    assert_eq!((heads.len(), total), (2, 2));
    let found = store.remembered(&entity("b"), &IdempotencyKey::new("k").unwrap()).unwrap().unwrap();
    assert_eq!(found.idempotency.digest, 7);
    let (first, position) = (StreamVersion(1), Position(4));
    let outcome =
        AppendOutcome::Repeated { first_version: first, last_version: first, first_position: position };
    assert_eq!(found.outcome, outcome);
}

#[test]
fn however_records_are_batched_the_index_is_the_same() {
    for window in [5, 40, 1_000_000] {
        let payloads = history(120);
        let mut first = Scene::new(window);
        let outcomes: Vec<_> = payloads.iter().map(|payload| first.command(payload.clone())).collect();
        for run in [2, 7, 120] {
            let mut scene = Scene::new(window);
            let kinds = payloads.iter().map(|payload| (RecordKind::Command, payload.clone())).collect();
            let records = scene.write(kinds);
            let mut again = Vec::new();
            for chunk in records.chunks(run) {
                again.extend(scene.applier.apply(chunk).unwrap());
            }
            assert_eq!(again, outcomes, "outcomes in runs of {run}, window {window}");
            let (mark, _) = scene.fingerprint();
            assert_eq!(mark, first.fingerprint().0, "mark in runs of {run}, window {window}");
            // Places may differ between logs; within one log the contents are the same.
            let before = scene.fingerprint();
            let scene = scene.reopen(|dir| fs::remove_dir_all(dir.join("index")).unwrap());
            assert_eq!(scene.replayed, 120);
            assert_eq!(scene.fingerprint(), before, "replayed at once after runs of {run}, window {window}");
        }
    }
}

#[test]
fn every_outcome_of_the_history_occurs() {
    let mut scene = Scene::new(40);
    let mut kinds = [0; 5];
    for payload in history(120) {
        let CommandOutcome::Writes(outcomes) = scene.command(payload) else { panic!("appends") };
        for outcome in outcomes {
            kinds[match scene::append_outcome(outcome) {
                AppendOutcome::Appended { .. } => 0,
                AppendOutcome::Repeated { .. } => 1,
                AppendOutcome::VersionConflict { .. } => 2,
                AppendOutcome::TypeConflict { .. } => 3,
                AppendOutcome::IdempotencyConflict => 4,
                AppendOutcome::JudgedOnOther => 5,
            }] += 1;
        }
    }
    assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
}

#[test]
fn keys_that_fell_out_of_the_window_are_forgotten() {
    let mut scene = Scene::new(10);
    let key = IdempotencyKey::new("k").unwrap();
    let found = |scene: &Scene| {
        scene.store.index.remembered(&entity("a"), &key).unwrap().map(|found| found.first_position.0)
    };
    scene.append(&[append("a", "t", 0, 1, Some(("k", 1)))]);
    scene.append(&[append("b", "t", 0, 9, None)]);
    assert_eq!(found(&scene), Some(1));
    // Position 12 would be the next: it is 11 after the key, and the window is 10.
    scene.append(&[append("b", "t", 9, 1, None)]);
    assert_eq!(found(&scene), None);
    // Used again in the call that would forget its first use.
    scene.append(&[append("a", "t", 1, 1, Some(("k", 2))), append("b", "t", 10, 9, None)]);
    scene.append(&[append("b", "t", 19, 2, None), append("a", "t", 2, 1, Some(("k", 3)))]);
    assert_eq!(found(&scene), Some(24));
    scene.append(&[append("b", "t", 21, 5, None)]);
    assert_eq!(found(&scene), Some(24));
}

#[test]
fn blanks_and_memberships_move_the_mark() {
    let mut scene = Scene::new(10);
    let members = Bytes::from_static(b"members");
    let records = scene.write(vec![
        (RecordKind::Blank, Bytes::new()),
        (RecordKind::Membership, members.clone()),
        (RecordKind::Command, encode_appends(&[append("a", "t", 0, 1, None)])),
    ]);
    assert_eq!(scene.applier.apply(&records[..2]).unwrap(), vec![CommandOutcome::Nothing; 2]);
    let digest = scene.applier.mark().unwrap().digest;
    scene.applier.apply(&records[2..]).unwrap();
    let scene = scene.reopen(|_| {});
    let mark = scene.store.index.applied().unwrap().unwrap();
    assert_eq!((mark.log_id, mark.position), (records[2].id, Position(1)));
    assert_eq!((mark.membership, mark.membership_at), (members, Some(records[1].id)));
    assert_ne!(mark.digest, digest);
    assert_eq!(scene.applier.mark(), scene.store.index.applied().unwrap().as_ref());
}

#[test]
fn an_unreadable_payload_stops_apply_and_changes_nothing() {
    let mut scene = Scene::new(10);
    scene.append(&[append("a", "t", 0, 1, None)]);
    let before = scene.fingerprint();
    let mut future = encode_appends(&[append("b", "t", 0, 1, None)]).to_vec();
    future[0] = 9;
    let records = scene.write(vec![
        (RecordKind::Command, encode_appends(&[append("b", "t", 0, 1, None)])),
        (RecordKind::Command, Bytes::from(future)),
    ]);
    let error = scene.applier.apply(&records).unwrap_err();
    assert!(matches!(error, ApplyError::Payload { index: LogIndex(3), .. }), "{error}");
    assert!(matches!(scene.applier.apply(&records[..1]), Err(ApplyError::Stopped)));
    assert_eq!(scene.fingerprint(), before);
}

#[test]
fn a_broken_or_foreign_index_is_moved_aside_and_rebuilt_equal() {
    let mut scene = Scene::new(40);
    for payload in history(60) {
        scene.command(payload);
    }
    let before = scene.fingerprint();
    let mut broken = 0;
    type Change = fn(&Path);
    let changes: [(&str, Change); 4] = [
        ("self-check gone", |index| {
            fs::remove_dir_all(index).unwrap();
            fs::create_dir(index).unwrap();
            fs::write(index.join("version"), b"garbage").unwrap();
        }),
        ("tables gone", |index| fs::remove_dir_all(index.join("keyspaces")).unwrap()),
        ("condemned", |index| fs::write(index.join("CONDEMNED"), b"read error").unwrap()),
        ("ahead of the log", |index| {
            let mut ahead = Scene::new(40);
            for payload in history(80) {
                ahead.command(payload);
            }
            ahead.store.index.persist().unwrap();
            ahead.reopen(|dir| {
                fs::remove_dir_all(index).unwrap();
                fs::rename(dir.join("index"), index).unwrap();
            });
        }),
    ];
    for (what, change) in changes {
        scene = scene.reopen(|dir| change(&dir.join("index")));
        assert_eq!(scene.rebuilt.len(), 1, "{what}");
        broken += 1;
        let aside = scene.rebuilt[0].moved_to.as_ref().unwrap();
        assert!(aside.ends_with(format!("index.broken-{broken}")) && aside.exists(), "{what}: {aside:?}");
        assert_eq!(scene.replayed, 60, "{what}");
        assert_eq!(scene.fingerprint(), before, "{what}");
    }
}

#[test]
fn a_lost_state_is_replayed_up_to_the_index_though_the_logs_mark_is_older() {
    let mut scene = Scene::new(40);
    scene.command(encode_appends(&[append("a", "t", 0, 1, None)]));
    let old = scene.store.log.last();
    let payload = encode_registry(&RegistryCommand::Deploy(definition("p", "1")));
    scene.command(payload);
    let before = scene.store.state.registry().unwrap();
    assert_eq!(before.len(), 1);
    scene.store.index.persist().unwrap();
    // As after a power cut: the index was spilled, the log's mark was not.
    scene.store.log.save_committed(old);
    let scene = scene.reopen(|dir| fs::remove_dir_all(dir.join("state")).unwrap());
    assert_eq!(scene.store.state.registry().unwrap(), before);
}

#[test]
fn a_store_that_is_gone_is_named_and_rebuilt_and_a_new_one_is_not() {
    let mut scene = Scene::new(40);
    assert_eq!(scene.rebuilt, vec![], "a new group has nothing to rebuild");
    for payload in history(60) {
        scene.command(payload);
    }
    let before = scene.fingerprint();
    for store in ["index", "state"] {
        for (reason, keeps_folder) in [("its folder is not there", false), ("its folder is empty", true)] {
            scene = scene.reopen(|dir| {
                fs::remove_dir_all(dir.join(store)).unwrap();
                if keeps_folder {
                    fs::create_dir(dir.join(store)).unwrap();
                }
            });
            let [told] = scene.rebuilt.as_slice() else { panic!("{store}: {:?}", scene.rebuilt) };
            assert_eq!((told.store, told.reason.as_str(), &told.moved_to), (store, reason, &None));
            assert_eq!(told.dir, scene.dir().join(store));
            assert_eq!(scene.fingerprint(), before, "{store}: {reason}");
        }
    }
    assert_eq!(scene.reopen(|_| {}).rebuilt, vec![], "a healthy start rebuilds nothing");
}

#[test]
fn a_flipped_byte_of_an_event_is_named_and_not_served() {
    let mut scene = Scene::new(10);
    scene.append(&[append("a", "t", 0, 3, None)]);
    let dir = scene.store.log.payload_place(LogIndex(1)).unwrap();
    let log_dir = scene.dir().join("log").join("1");
    let file = fs::read_dir(&log_dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| find(&fs::read(path).unwrap(), &data("a", 2)).is_some())
        .unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let at = find(&bytes, &data("a", 2)).unwrap();
    assert!(at as u64 > dir.offset);
    bytes[at + 3] ^= 1;
    write_in_place(&file, &bytes);
    let page = scene.store.read_stream(&read("a", None, Direction::Forward, 1)).unwrap();
    assert_eq!(page.events[0].data, data("a", 1));
    for error in [
        scene.store.read_stream(&read("a", Some(2), Direction::Forward, 1)).unwrap_err(),
        scene.store.read_log(Position(1), 10).unwrap_err(),
    ] {
        let ReadError::Damaged { detail } = error else { panic!("damage, not {error}") };
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(
            detail.contains(name) && detail.contains("at byte ") && detail.contains("checksum"),
            "{detail}"
        );
    }
}

#[test]
fn a_page_read_amid_appends_is_the_stream_at_the_position_that_it_names() {
    let mut scene = Scene::new(1_000);
    let store = scene.store.clone();
    let reader = std::thread::spawn(move || {
        let mut applied = 0;
        while applied < 2_000 {
            let page = store.read_stream(&read("a", None, Direction::Backward, 1)).unwrap();
            applied = page.applied.0;
            // Its events lie at the odd positions.
            assert_eq!(page.head.map_or(0, |head| head.version.0), applied.div_ceil(2));
            assert!(page.events.iter().all(|event| event.position.0 <= applied));
        }
    });
    for version in 0..1_000 {
        scene.append(&[append("a", "order", version, 1, None), append("b", "order", version, 1, None)]);
    }
    reader.join().unwrap();
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Without a new file: the log has the old one open.
fn write_in_place(file: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt as _;
    fs::File::options().write(true).open(file).unwrap().write_all_at(bytes, 0).unwrap();
}

fn definition(name: &str, source: &str) -> ProjectionDefinition {
    ProjectionDefinition {
        name: ProjectionName::new(name).unwrap(),
        events: vec![EventPattern::new("*").unwrap()],
        partition_key: None,
        source: source.into(),
        on_error: OnError::Park,
        kind: ProjectionKind::Async,
        sink: None,
    }
}

fn deploy(name: &str, source: &str) -> RegistryCommand {
    RegistryCommand::Deploy(definition(name, source))
}

fn remove(name: &str) -> RegistryCommand {
    RegistryCommand::Remove(ProjectionName::new(name).unwrap())
}

fn deployed(name: &str, index: u64) -> RegistryOutcome {
    let name = ProjectionName::new(name).unwrap();
    RegistryOutcome::Deployed(ProjectionId { name, deployed: LogIndex(index) })
}

fn register(scene: &mut Scene, command: &RegistryCommand) -> RegistryOutcome {
    match scene.command(encode_registry(command)) {
        CommandOutcome::Registry(outcome) => outcome,
        other => panic!("a registry outcome, not {other:?}"),
    }
}

#[test]
fn the_registry_follows_its_rules_and_survives_the_loss_of_either_store() {
    let mut scene = Scene::new(10);
    let invalid = RegistryCommand::Deploy(ProjectionDefinition { events: vec![], ..definition("c", "1") });
    let not_found = RegistryOutcome::Refused(RegistryError::NotFound);
    let mut outcomes = Vec::new();
    for (command, expected) in [
        (deploy("a", "1"), deployed("a", 1)),
        (deploy("a", "1"), deployed("a", 1)),
        (deploy("b", "1"), deployed("b", 3)),
        (deploy("a", "2"), deployed("a", 4)),
        (remove("c"), not_found.clone()),
        (remove("b"), RegistryOutcome::Removed),
        (remove("b"), not_found),
        (deploy("b", "1"), deployed("b", 8)),
    ] {
        let outcome = register(&mut scene, &command);
        assert_eq!(outcome, expected, "{command:?}");
        outcomes.push(outcome);
    }
    assert!(matches!(
        register(&mut scene, &invalid),
        RegistryOutcome::Refused(RegistryError::Invalid { .. })
    ));
    scene.append(&[append("a", "t", 0, 2, None)]);
    let (before, registry) = (scene.fingerprint(), scene.store.state.registry().unwrap());
    assert_eq!(registry.iter().map(|one| one.id.deployed.0).collect::<Vec<_>>(), vec![4, 8]);

    for lost in [&["index"][..], &["state"], &["index", "state"], &[]] {
        scene =
            scene.reopen(|dir| lost.iter().for_each(|store| fs::remove_dir_all(dir.join(store)).unwrap()));
        assert_eq!(scene.fingerprint(), before, "without {lost:?}");
        assert_eq!(scene.store.state.registry().unwrap(), registry, "without {lost:?}");
        assert_eq!(scene.store.state.registry_applied().unwrap(), LogIndex(9), "without {lost:?}");
        for (index, outcome) in (1..).zip(&outcomes) {
            assert_eq!(&scene.store.state.registry_outcome(LogIndex(index)).unwrap(), outcome);
        }
    }
    // It goes on where it was.
    assert_eq!(register(&mut scene, &deploy("a", "2")), deployed("a", 4));
}

#[test]
fn a_replay_compares_with_the_rules_of_that_place_in_the_log() {
    let mut scene = Scene::new(10);
    let set = |schemas| {
        RegistryCommand::Rules(RulesCommand::Set(
            RulesScope::Namespace,
            Rules { schemas: Some(schemas), ..Rules::default() },
        ))
    };
    let judged = |base, rules| DecidedAppend {
        judged: Some(Judged { rules: LogIndex(rules), last: None }),
        ..append("a", "t", base, 1, None)
    };
    let taken = |outcomes: &[AppendOutcome]| matches!(outcomes, [AppendOutcome::Appended { .. }]);
    assert!(taken(&scene.append(&[append("a", "t", 0, 1, None)])), "no rules were ever made");
    let changed = |revision, existed| {
        RegistryOutcome::RulesChanged(RulesChanged { revision: LogIndex(revision), existed })
    };
    assert_eq!(register(&mut scene, &set(SchemaMode::Known)), changed(2, false));
    assert_eq!(scene.append(&[append("a", "t", 1, 1, None)]), [AppendOutcome::JudgedOnOther]);
    assert!(taken(&scene.append(&[judged(1, 2)])));
    assert_eq!(register(&mut scene, &set(SchemaMode::Required)), changed(5, true));
    assert_eq!(scene.append(&[judged(2, 2)]), [AppendOutcome::JudgedOnOther]);
    assert!(taken(&scene.append(&[judged(2, 5)])));
    let gone = RegistryCommand::Rules(RulesCommand::Delete(RulesScope::Namespace));
    assert_eq!(register(&mut scene, &gone), changed(8, true));
    assert_eq!(
        register(&mut scene, &gone),
        RegistryOutcome::RulesRefused(RulesError::NotFound),
        "which is no change"
    );
    assert!(taken(&scene.append(&[judged(3, 8)])));
    let (before, rules) = (scene.fingerprint(), scene.store.state.rules().unwrap());
    assert_eq!((rules.revision, rules.rules.len()), (LogIndex(8), 0));
    for lost in [&["index"][..], &["state"], &["index", "state"], &[]] {
        scene =
            scene.reopen(|dir| lost.iter().for_each(|store| fs::remove_dir_all(dir.join(store)).unwrap()));
        assert_eq!(scene.fingerprint(), before, "without {lost:?}");
        assert_eq!(scene.store.state.rules().unwrap(), rules, "without {lost:?}");
    }
    assert!(taken(&scene.append(&[judged(4, 8)])));
}

#[test]
fn an_upcaster_is_kept_for_as_long_as_a_projection_folds_by_it() {
    let mut scene = Scene::new(10);
    let set = |source: &str| {
        let upcaster = Upcaster {
            name: EventName::new("e").unwrap(),
            from: 1,
            to: 2,
            source: source.into(),
            description: String::new(),
            registered_at: Timestamp(0),
        };
        RegistryCommand::Rules(RulesCommand::SetUpcaster(upcaster))
    };
    let delete = RegistryCommand::Rules(RulesCommand::DeleteUpcaster(EventName::new("e").unwrap(), 1));
    let known = |scene: &Scene| scene.store.state.rules().unwrap().upcasters;
    let sets = |scene: &Scene| known(scene).records.iter().map(|record| record.set.0).collect::<Vec<_>>();
    for (command, kept) in [
        (set("a"), vec![1]),
        (deploy("p", "1"), vec![1]),
        (set("b"), vec![1, 3]),
        (delete.clone(), vec![1, 4]),
        (remove("p"), vec![1, 4]),
        (delete.clone(), vec![1, 4]),
        (set("c"), vec![7]),
        (delete.clone(), vec![]),
        (set("d"), vec![9]),
    ] {
        register(&mut scene, &command);
        assert_eq!(sets(&scene), kept, "{command:?}");
    }
    assert_eq!(
        register(
            &mut scene,
            &RegistryCommand::Rules(RulesCommand::DeleteUpcaster(EventName::new("e").unwrap(), 2))
        ),
        RegistryOutcome::RulesRefused(RulesError::UpcasterNotFound)
    );
    let (before, upcasters) = (scene.fingerprint(), known(&scene));
    assert_eq!(upcasters.revision, LogIndex(9));
    for lost in [&["index"][..], &["state"], &["index", "state"], &[]] {
        scene =
            scene.reopen(|dir| lost.iter().for_each(|store| fs::remove_dir_all(dir.join(store)).unwrap()));
        assert_eq!(scene.fingerprint(), before, "without {lost:?}");
        assert_eq!(known(&scene), upcasters, "without {lost:?}");
    }
}

#[test]
fn a_group_has_a_bound_of_projections() {
    let mut scene = Scene::new(10);
    let mut kinds: Vec<(RecordKind, Bytes)> = Vec::new();
    for number in 0..limits::PROJECTIONS_MAX {
        kinds.push((RecordKind::Command, encode_registry(&deploy(&format!("p-{number}"), "1"))));
    }
    let records = scene.write(kinds);
    scene.applier.apply(&records).unwrap();
    let full = RegistryOutcome::Refused(RegistryError::TooMany { max: limits::PROJECTIONS_MAX });
    assert_eq!(register(&mut scene, &deploy("one-more", "1")), full);
    assert!(matches!(register(&mut scene, &deploy("p-0", "2")), RegistryOutcome::Deployed(_)));
    assert_eq!(register(&mut scene, &remove("p-1")), RegistryOutcome::Removed);
    assert!(matches!(register(&mut scene, &deploy("one-more", "1")), RegistryOutcome::Deployed(_)));
}

#[test]
fn a_state_ahead_of_the_log_is_moved_aside_and_one_ahead_of_the_index_is_not() {
    let mut scene = Scene::new(10);
    scene.append(&[append("a", "t", 0, 5, None)]);
    let orders = ProjectionId { name: ProjectionName::new("orders").unwrap(), deployed: LogIndex(1) };
    let fold = |scene: &Scene, position| {
        let checkpoint = Checkpoint { position: Position(position), ..Checkpoint::default() };
        let view = View { state: Bytes::from_static(b"{}"), position: Position(position) };
        let change =
            ViewChange { checkpoint, views: vec![(PartitionKey::global(), view)], ..ViewChange::default() };
        scene.store.state.commit_views(&orders, &change).unwrap();
    };
    // The index may be lost up to any point: the log still has the events.
    fold(&scene, 5);
    let scene = scene.reopen(|dir| fs::remove_dir_all(dir.join("index")).unwrap());
    assert_eq!(scene.rebuilt.iter().map(|told| told.store).collect::<Vec<_>>(), ["index"]);
    assert_eq!(scene.store.state.checkpoint(&orders).unwrap().position, Position(5));

    fold(&scene, 6);
    let scene = scene.reopen(|_| {});
    assert_eq!(scene.rebuilt.len(), 1);
    assert_eq!(scene.rebuilt[0].store, "state");
    assert!(scene.rebuilt[0].reason.contains("position 6"), "{}", scene.rebuilt[0].reason);
    assert_eq!(scene.store.state.checkpoint(&orders).unwrap(), Checkpoint::default());
}
