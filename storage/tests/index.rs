//! The index over a real engine: batches, lists, runs, and what damage leads to.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, path::Path};

use bytes::Bytes;
use weir_storage::{
    index::{AppliedMark, Expiring, Frame, Index, IndexBatch, IndexError, IndexHead, Remembered, Run},
    schema::StreamNo,
};
use weir_types::{
    Direction, EntityId, EntityType, GroupId, IdempotencyKey, LogId, LogIndex, NodeId, Position, StreamHead,
    StreamVersion, Term, Timestamp,
};

const GROUP: GroupId = GroupId::DEFAULT;

fn entity(text: &str) -> EntityId {
    EntityId::new(text).unwrap()
}

fn kind(text: &str) -> EntityType {
    EntityType::new(text).unwrap()
}

fn mark(index: u64, position: u64) -> AppliedMark {
    AppliedMark {
        log_id: LogId { term: Term(1), leader: NodeId(1), index: LogIndex(index) },
        position: Position(position),
        membership: Bytes::from_static(b"members"),
        membership_at: None,
        registry: LogIndex::ZERO,
        kv: LogIndex::ZERO,
        rules: LogIndex::ZERO,
        digest: index ^ position,
    }
}

fn run(first: u64, count: u32) -> Run {
    let frames = (0..count).map(|number| Frame { offset: 40 + number * 300, len: 280 }).collect();
    Run { first_position: Position(first), segment: 1, payload: first * 1_000, frames }
}

fn head(name: &str, first: u64, last: u64, version: u64) -> IndexHead {
    IndexHead {
        stream_no: StreamNo(first),
        last_event: weir_types::EventId(uuid::Uuid::nil()),
        head: StreamHead {
            entity_id: entity(name),
            entity_type: kind("order"),
            version: StreamVersion(version),
            first_position: Position(first),
            last_position: Position(last),
            created_at: Timestamp(1),
            updated_at: Timestamp(2),
        },
    }
}

/// One batch that appends `count` events to a new stream.
fn append(index: &Index, log_index: u64, first: u64, count: u32, name: &str) -> IndexBatch {
    let mut batch = index.batch();
    let (stream, last) = (StreamNo(first), first + u64::from(count) - 1);
    batch.put_stream_run(stream, StreamVersion(1), &run(first, count));
    batch.put_log_run(&run(first, count));
    batch.put_stream(stream, &entity(name), &kind("order"));
    batch.put_head(head(name, first, last, u64::from(count)));
    let total = index.count(None).unwrap() + 1;
    batch.put_count(None, total);
    batch.put_count(Some(&kind("order")), total);
    batch.set_mark(mark(log_index, last));
    batch
}

#[test]
fn the_newest_run_wins_over_many_spills_reopens_and_compactions() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = Index::open(dir.path(), GROUP).unwrap();
    let (one, key) = (entity("a"), IdempotencyKey::new("k").unwrap());
    index.commit(append(&index, 1, 1, 1, "a")).unwrap();
    for version in 2..=60 {
        let mut batch = index.batch();
        batch.put_stream_run(StreamNo(1), StreamVersion(version), &run(version, 1));
        batch.put_log_run(&run(version, 1));
        batch.put_head(head("a", 1, version, version));
        let position = Position(version);
        let remembered = Remembered {
            digest: version,
            first_version: StreamVersion(version),
            last_version: StreamVersion(version),
            first_position: position,
        };
        match version % 3 {
            0 => batch.forget(&one, &key),
            _ => batch.put_remembered(&one, &key, &remembered),
        }
        batch.set_mark(mark(version, version));
        index.commit(batch).unwrap();
        index.persist().unwrap();
        if version % 7 == 0 {
            drop(index);
            index = Index::open(dir.path(), GROUP).unwrap();
        }
        assert_eq!(index.head(&one).unwrap().unwrap().head.version, StreamVersion(version));
        let found = index.remembered(&one, &key).unwrap().map(|found| found.digest);
        assert_eq!(found, (version % 3 > 0).then_some(version));
        let places = index.stream_places(StreamNo(1), None, Direction::Forward, 100).unwrap();
        assert_eq!(places.len() as u64, version);
    }
}

#[test]
fn a_batch_is_there_whole_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(dir.path(), GROUP).unwrap();
    assert_eq!(index.applied().unwrap(), None);
    index.commit(append(&index, 1, 1, 3, "a")).unwrap();
    index.commit(append(&index, 2, 4, 2, "ab")).unwrap();
    let never_written = append(&index, 3, 6, 1, "c");
    drop(never_written);
    let before = index.content_digest().unwrap();
    drop(index);

    let index = Index::open(dir.path(), GROUP).unwrap();
    assert_eq!(index.content_digest().unwrap(), before);
    assert_eq!(index.applied().unwrap(), Some(mark(2, 5)));
    assert_eq!(index.applied_position(), Position(5));
    assert_eq!(index.head(&entity("a")).unwrap(), Some(head("a", 1, 3, 3)));
    assert_eq!(index.head(&entity("ab")).unwrap(), Some(head("ab", 4, 5, 2)));
    for unknown in ["c", "", "abc"].iter().filter(|name| !name.is_empty()) {
        assert_eq!(index.head(&entity(unknown)).unwrap(), None);
    }
}

#[test]
fn lists_follow_creation_and_count_all() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(dir.path(), GROUP).unwrap();
    for number in 1..=25_u64 {
        index.commit(append(&index, number, number, 1, &format!("order-{number}"))).unwrap();
    }
    let names = |offset, limit| {
        let (heads, total) = index.list(Some(&kind("order")), offset, limit).unwrap();
        (heads.into_iter().map(|head| head.first_position.0).collect::<Vec<_>>(), total)
    };
    assert_eq!(names(0, 3), (vec![1, 2, 3], 25));
    assert_eq!(names(23, 10), (vec![24, 25], 25));
    assert_eq!(names(25, 10), (vec![], 25));
    assert_eq!(index.list(None, 0, 100).unwrap().0.len(), 25);
    for stranger in ["orde", "orders", "o"] {
        assert_eq!(index.list(Some(&kind(stranger)), 0, 10).unwrap(), (vec![], 0));
    }
}

#[test]
fn places_are_found_from_any_version_in_both_directions() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(dir.path(), GROUP).unwrap();
    let stream = StreamNo(1);
    let mut batch = index.batch();
    // Versions 1..=256, 257..=300, 301: the longest run, a shorter one, a single event.
    for (version, position, count) in [(1, 1, 256), (257, 257, 44), (301, 401, 1)] {
        batch.put_stream_run(stream, StreamVersion(version), &run(position, count));
    }
    batch.put_stream_run(StreamNo(2), StreamVersion(1), &run(500, 9));
    index.commit(batch).unwrap();
    let read = |from: Option<u64>, direction, limit| {
        let places = index.stream_places(stream, from.map(StreamVersion), direction, limit).unwrap();
        places.into_iter().map(|place| (place.version.0, place.position.0)).collect::<Vec<_>>()
    };
    for from in 1..=301_u64 {
        let position = |version: u64| if version == 301 { 401 } else { version };
        let forward: Vec<_> = (from..=301).take(3).map(|version| (version, position(version))).collect();
        assert_eq!(read(Some(from), Direction::Forward, 3), forward, "forward from {from}");
        let backward: Vec<_> = (1..=from).rev().take(3).map(|version| (version, position(version))).collect();
        assert_eq!(read(Some(from), Direction::Backward, 3), backward, "backward from {from}");
    }
    assert_eq!(read(None, Direction::Forward, 1_000).len(), 301);
    assert_eq!(read(None, Direction::Backward, 1), vec![(301, 401)]);
    assert_eq!(read(Some(302), Direction::Forward, 10), vec![]);
    let place = index.stream_places(stream, Some(StreamVersion(3)), Direction::Forward, 1).unwrap()[0];
    assert_eq!((place.place.offset, place.place.len), (1_000 + 40 + 2 * 300, 280));
}

#[test]
fn expiring_keys_are_found_by_any_overlap() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(dir.path(), GROUP).unwrap();
    let expiring = |position| Expiring {
        position: Position(position),
        entity_id: entity("a"),
        key: IdempotencyKey::new("k").unwrap(),
    };
    let mut batch = index.batch();
    batch.put_expiry(Position(10), &[expiring(10), expiring(200), expiring(265)]);
    batch.put_expiry(Position(300), &[expiring(300)]);
    batch.put_remembered(
        &entity("a"),
        &IdempotencyKey::new("k").unwrap(),
        &Remembered {
            digest: 7,
            first_version: StreamVersion(1),
            last_version: StreamVersion(2),
            first_position: Position(10),
        },
    );
    index.commit(batch).unwrap();
    let firsts = |after, until| {
        let records = index.expiring(Position(after), Position(until)).unwrap();
        records.into_iter().map(|(first, _)| first.0).collect::<Vec<_>>()
    };
    assert_eq!(firsts(0, 9), Vec::<u64>::new());
    assert_eq!(firsts(0, 10), vec![10]);
    assert_eq!(firsts(264, 265), vec![10]);
    assert_eq!(firsts(264, 300), vec![10, 300]);
    assert_eq!(firsts(299, 400), vec![300]);
    let key = IdempotencyKey::new("k").unwrap();
    let found = index.remembered(&entity("a"), &key).unwrap().unwrap();
    assert!(found.counts_at(Position(1_010), 1_000) && !found.counts_at(Position(1_011), 1_000));
    assert_eq!(index.remembered(&entity("b"), &key).unwrap(), None);
}

#[test]
fn an_index_of_another_group_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    drop(Index::open(dir.path(), GroupId(7)).unwrap());
    let error = Index::open(dir.path(), GroupId(8)).err().unwrap();
    assert!(matches!(error, IndexError::Damaged { what: "self-check", .. }), "{error}");
}

#[test]
fn a_hole_below_the_mark_is_found_at_open_and_condemns_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(dir.path(), GROUP).unwrap();
    index.commit(append(&index, 1, 1, 3, "a")).unwrap();
    let mut batch = index.batch();
    batch.put_log_run(&run(6, 2));
    batch.set_mark(mark(2, 7));
    index.commit(batch).unwrap();
    drop(index);
    for _ in 0..2 {
        let error = Index::open(dir.path(), GROUP).err().unwrap();
        assert!(matches!(error, IndexError::Damaged { .. }), "{error}");
    }
}

/// Every file of the engine, cut and flipped in turn: the index opens with a
/// whole prefix of the batches, or says that it does not; it never panics and
/// never serves half of a batch.
#[test]
fn damaged_files_never_give_half_a_batch() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(dir.path(), GROUP).unwrap();
    for number in 1..=20_u64 {
        index.commit(append(&index, number, number, 1, &format!("e-{number}"))).unwrap();
    }
    index.persist().unwrap();
    drop(index);
    let files = files_of(dir.path());
    assert!(files.len() > 3, "{files:?}");
    let mut refused = 0;
    for file in &files {
        let good = fs::read(file).unwrap();
        let mut cut = good.clone();
        cut.truncate(good.len() / 2);
        let mut flipped = good.clone();
        if let Some(byte) = flipped.get_mut(good.len() / 2) {
            *byte ^= 0x10;
        }
        for bad in [cut, flipped] {
            let copy = tempfile::tempdir().unwrap();
            copy_tree(dir.path(), copy.path());
            fs::write(copy.path().join(file.strip_prefix(dir.path()).unwrap()), bad).unwrap();
            match Index::open(copy.path(), GROUP) {
                Err(_) => refused += 1,
                Ok(index) => check_prefix(&index),
            }
        }
    }
    assert!(refused > 0, "some damage is always noticed");
}

fn check_prefix(index: &Index) {
    let applied = index.applied_position().0;
    for number in 1..=20_u64 {
        let name = format!("e-{number}");
        match index.head(&entity(&name)) {
            Ok(found) => assert_eq!(found.is_some(), number <= applied, "{name} of {applied}"),
            Err(error) => {
                assert!(matches!(error, IndexError::Damaged { .. }), "{error}");
                return;
            }
        }
    }
}

fn files_of(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_of(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_tree(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
