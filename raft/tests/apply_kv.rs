//! Key-value commands over the real log, index and state: what a replay
//! rebuilds, whichever of the two was lost or is behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod scene;

use std::{fs, path::Path, time::Duration};

use bytes::Bytes;
use scene::{Scene, append};
use weir_raft::apply::CommandOutcome;
use weir_storage::{codec::command::encode_writes, log::RecordKind, state::KvMark};
use weir_types::{
    BucketConfig, BucketName, DecidedWrite, KvCommand, KvError, KvFilter, KvGuard, KvKey, KvOutcome, KvRead,
    KvWrite, LogIndex, Revision, StampedKv, Timestamp, WriteOutcome,
};

const SECOND: i64 = 1_000_000;

fn bucket(name: &str) -> BucketName {
    BucketName::new(name).unwrap()
}

fn key(name: &str) -> KvKey {
    KvKey::new(name).unwrap()
}

fn put(name: &str, of: &str, value: &str, guard: KvGuard) -> KvCommand {
    let value = Bytes::from(value.to_owned());
    KvCommand::Put { bucket: bucket(name), key: key(of), value, guard, ttl: None }
}

fn delete(name: &str, of: &str, purge: bool) -> KvCommand {
    KvCommand::Delete { bucket: bucket(name), key: key(of), guard: KvGuard::Any, purge }
}

fn create(name: &str, history: u8, ttl: Option<u64>) -> KvCommand {
    let ttl = ttl.map(Duration::from_secs);
    KvCommand::CreateBucket(BucketConfig { history, ttl, ..BucketConfig::new(bucket(name)) })
}

/// Puts one key and purges another, if the first of them holds a value or does not.
fn change(name: &str, of: &str, there: bool, value: &str) -> KvCommand {
    let guard = if there { KvGuard::Exists } else { KvGuard::Absent };
    let lease = KvWrite { ttl: Some(Duration::from_secs(3)), ..KvWrite::put(key(of), value.to_owned()) };
    let writes = vec![lease, KvWrite::purge(key("k.0-not")), KvWrite::put(key("beside"), value.to_owned())];
    KvCommand::Change { bucket: bucket(name), checks: vec![(key(of), guard)], writes }
}

/// One entry of commands, all stamped with the same second, with an append among them.
fn entry(second: i64, commands: Vec<KvCommand>) -> Bytes {
    let kv = |command| DecidedWrite::Kv(StampedKv { command, at: Timestamp(second * SECOND) });
    let mut writes: Vec<DecidedWrite> = commands.into_iter().map(kv).collect();
    writes.push(DecidedWrite::Append(append(&format!("e-{second}"), "order", 0, 1, None)));
    encode_writes(&writes)
}

/// A long mixed history, always the same.
fn history(entries: u64) -> Vec<Bytes> {
    let mut seed = 7_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut payloads =
        vec![entry(0, vec![create("a", 3, None), create("b", 1, Some(5)), create("c", 2, None)])];
    for second in 1..entries {
        let mut commands = Vec::new();
        for _ in 0..random(6) {
            let (name, of) = (["a", "b", "c"][random(3) as usize], format!("k.{}", random(9)));
            commands.push(match random(12) {
                0 => delete(name, &of, false),
                1 => delete(name, &of, true),
                2 => put(name, &of, "created", KvGuard::Absent),
                3 => put(name, &of, "set", KvGuard::Revision(Revision(random(60)))),
                4 => KvCommand::Sweep { keys_max: 2 },
                5 if random(6) == 0 => KvCommand::DeleteBucket(bucket(name)),
                6 => create(name, 2, Some(4)),
                7 => change(name, &of, random(2) == 0, &format!("c-{second}")),
                _ => put(name, &of, &format!("v-{second}"), KvGuard::Any),
            });
        }
        // A leader whose clock is behind: the log's time stays.
        let second = second.cast_signed() - i64::from(random(5) == 0) * 40;
        payloads.push(entry(second, commands));
    }
    payloads
}

/// All that can be read of the buckets.
fn contents(scene: &Scene) -> Vec<String> {
    let state = &scene.store.state;
    let mut all = vec![format!("{:?} {:?}", state.kv_mark().unwrap().time, state.kv_gone().unwrap())];
    for bucket in state.kv_buckets().unwrap() {
        let name = &bucket.info.config.name;
        all.push(format!("{bucket:?}"));
        for of in state.kv_list(name, &KvFilter::all(), None, 1_000).unwrap().keys {
            all.push(format!("{:?}", state.kv_history(name, &of, Revision::ZERO).unwrap()));
        }
    }
    all
}

fn written(payloads: &[Bytes], run: usize) -> (Scene, Vec<CommandOutcome>) {
    let mut scene = Scene::new(1_000);
    let records = scene.write(payloads.iter().map(|p| (RecordKind::Command, p.clone())).collect());
    let mut outcomes = Vec::new();
    for chunk in records.chunks(run) {
        outcomes.extend(scene.applier.apply(chunk).unwrap());
    }
    (scene, outcomes)
}

#[test]
fn however_entries_are_batched_and_whatever_is_lost_the_buckets_are_the_same() {
    let payloads = history(150);
    let (first, outcomes) = written(&payloads, 1);
    let (mark, expected) = (first.fingerprint().0, contents(&first));
    for run in [3, 150] {
        let (scene, again) = written(&payloads, run);
        assert_eq!(again, outcomes, "outcomes in runs of {run}");
        assert_eq!(
            (scene.fingerprint().0, contents(&scene)),
            (mark.clone(), expected.clone()),
            "runs of {run}"
        );
    }
    type Loss = fn(&Path);
    let losses: [(&str, Loss, u64); 3] = [
        ("the state", |dir| fs::remove_dir_all(dir.join("state")).unwrap(), 150),
        ("the index", |dir| fs::remove_dir_all(dir.join("index")).unwrap(), 150),
        ("nothing", |_| {}, 0),
    ];
    let mut scene = first;
    for (what, loss, replayed) in losses {
        scene = scene.reopen(loss);
        assert_eq!(scene.replayed, replayed, "{what} was lost");
        assert_eq!(
            (scene.fingerprint().0, contents(&scene)),
            (mark.clone(), expected.clone()),
            "{what} was lost"
        );
    }
    // As if the index had had all of it on disk, and is gone: no digest tells what the entries led to.
    let kv = scene.store.state.kv_mark().unwrap();
    assert!(kv.applied > LogIndex::ZERO);
    let pruned = KvMark { pruned: LogIndex(150), ..kv };
    scene.store.state.commit_kv(scene.store.state.kv_batch(), &pruned).unwrap();
    let scene = scene.reopen(|dir| fs::remove_dir_all(dir.join("index")).unwrap());
    assert_eq!((scene.fingerprint().0, contents(&scene)), (mark, expected), "buckets are rebuilt");
    assert_eq!(scene.store.state.kv_mark().unwrap().pruned, LogIndex::ZERO);
}

#[test]
fn every_kind_of_outcome_occurs_in_the_history() {
    let mut seen = std::collections::BTreeSet::new();
    for outcome in written(&history(150), 150).1 {
        let CommandOutcome::Writes(outcomes) = outcome else { panic!("writes") };
        for outcome in outcomes {
            let WriteOutcome::Kv(outcome) = outcome else { continue };
            seen.insert(match outcome {
                KvOutcome::BucketCreated(_) => "created",
                KvOutcome::BucketDeleted => "bucket deleted",
                KvOutcome::Put { .. } => "put",
                KvOutcome::Deleted { .. } => "deleted",
                KvOutcome::Changed { .. } => "changed",
                KvOutcome::Swept { keys: 0, .. } => "nothing swept",
                KvOutcome::Swept { .. } => "swept",
                KvOutcome::Refused(KvError::BucketExists) => "exists",
                KvOutcome::Refused(KvError::BucketNotFound) => "no bucket",
                KvOutcome::Refused(KvError::KeyNotFound) => "no key",
                KvOutcome::Refused(KvError::RevisionConflict { .. }) => "conflict",
                KvOutcome::Refused(KvError::CheckFailed { .. }) => "check failed",
                other => panic!("{other:?}"),
            });
        }
    }
    assert_eq!(seen.len(), 12, "{seen:?}");
}

#[test]
fn a_due_key_counts_as_absent_before_it_is_dropped() {
    let mut scene = Scene::new(1_000);
    let mut run = |second, command| match scene.command(entry(second, vec![command])) {
        CommandOutcome::Writes(outcomes) => match outcomes.into_iter().next() {
            Some(WriteOutcome::Kv(outcome)) => outcome,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    run(0, create("b", 5, Some(10)));
    run(1, put("b", "k", "old", KvGuard::Any));
    let early = run(10, put("b", "k", "new", KvGuard::Absent));
    assert_eq!(early, KvOutcome::Refused(KvError::RevisionConflict { actual: Revision(1) }));
    assert_eq!(run(11, delete("b", "k", false)), KvOutcome::Refused(KvError::KeyNotFound));
    // The refusal has moved the time, so a read sees the same.
    assert!(scene.store.state.kv_get(&bucket("b"), &key("k"), KvRead::Latest).is_err());
    let payload = entry(5, vec![put("b", "k", "new", KvGuard::Absent)]);
    let CommandOutcome::Writes(outcomes) = scene.command(payload) else { panic!("writes") };
    assert!(matches!(
        outcomes[0],
        WriteOutcome::Kv(KvOutcome::Put { revision: Revision(2), at: Timestamp(11_000_000), .. })
    ));
    let history = scene.store.state.kv_history(&bucket("b"), &key("k"), Revision::ZERO).unwrap();
    assert_eq!(history.entries.len(), 1, "what was due is no history");
}

/// What one command came to, by itself in an entry.
fn outcome_of(outcome: &CommandOutcome) -> KvOutcome {
    match outcome {
        CommandOutcome::Writes(writes) => match &writes[0] {
            WriteOutcome::Kv(outcome) => outcome.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_change_of_several_keys_is_made_whole_or_not_at_all() {
    let checked = |checks: Vec<(&str, KvGuard)>, writes| KvCommand::Change {
        bucket: bucket("a"),
        checks: checks.into_iter().map(|(of, guard)| (key(of), guard)).collect(),
        writes,
    };
    let lease = |seconds| KvWrite {
        ttl: Some(Duration::from_secs(seconds)),
        ..KvWrite::put(key("lease"), "worker 1")
    };
    let fence = KvGuard::Revision(Revision(1));
    let at = |second: i64| Timestamp(second * SECOND);
    let small = BucketConfig { bytes_max: Some(100), ..BucketConfig::new(bucket("small")) };
    let story: Vec<(i64, KvCommand, KvOutcome)> = vec![
        // The number of the lease is the revision of the fence.
        (
            1,
            checked(vec![("lease", KvGuard::Absent)], vec![KvWrite::put(key("fence"), "1"), lease(10)]),
            KvOutcome::Changed { first: Revision(1), last: Revision(2), at: at(1) },
        ),
        (
            5,
            checked(
                vec![("lease", KvGuard::Exists), ("fence", fence)],
                vec![KvWrite::put(key("state"), "s"), KvWrite::put(key("checkpoint"), "7")],
            ),
            KvOutcome::Changed { first: Revision(3), last: Revision(4), at: at(5) },
        ),
        // Past the lease, although nobody else has it.
        (
            11,
            checked(
                vec![("fence", fence), ("lease", KvGuard::Exists)],
                vec![KvWrite::put(key("state"), "late"), KvWrite::put(key("checkpoint"), "9")],
            ),
            KvOutcome::Refused(KvError::CheckFailed { number: 1, actual: Revision(0) }),
        ),
        // Nothing is there to purge, which takes no revision.
        (
            12,
            checked(vec![], vec![KvWrite::purge(key("nothing")), KvWrite::put(key("x"), "x")]),
            KvOutcome::Changed { first: Revision(5), last: Revision(5), at: at(12) },
        ),
    ];
    let mut commands = vec![entry(0, vec![create("a", 1, None), KvCommand::CreateBucket(small)])];
    commands.extend(story.iter().map(|(second, command, _)| entry(*second, vec![command.clone()])));
    // The second of two is too much, so the first is not made either.
    let writes = vec![KvWrite::put(key("p"), "1"), KvWrite::put(key("q"), vec![0; 200])];
    commands.push(entry(13, vec![KvCommand::Change { bucket: bucket("small"), checks: vec![], writes }]));
    let (scene, outcomes) = written(&commands, 1);
    for ((_, command, expected), outcome) in story.iter().zip(&outcomes[1..]) {
        assert_eq!(outcome_of(outcome), *expected, "{command:?}");
    }
    let full = outcome_of(outcomes.last().unwrap());
    assert!(matches!(full, KvOutcome::Refused(KvError::BucketFull { .. })), "{full:?}");
    let state = &scene.store.state;
    assert!(state.kv_list(&bucket("small"), &KvFilter::all(), None, 9).unwrap().keys.is_empty());
    let read = |of: &str| state.kv_get(&bucket("a"), &key(of), KvRead::Latest).unwrap().value;
    assert_eq!((&read("state")[..], &read("checkpoint")[..]), (&b"s"[..], &b"7"[..]));
}
