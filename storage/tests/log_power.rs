//! Stories of power losses and failed syncs that lost something once.
#![allow(clippy::unwrap_used, reason = "only tests use it, clippy knows only test functions")]

mod crash;

use std::io;

use crash::{
    check::held,
    scenario::{open, record},
};
use weir_storage::{
    disk::sim::{Image, OpKind, SimDisk, Verdict},
    log::{Log, LogConfig, LogThread},
};
use weir_types::LogId;

const CONFIG: LogConfig = LogConfig { segment_bytes: 4096, cache_bytes: 0 };

fn opened(disk: &SimDisk) -> (Log, LogThread) {
    open(disk, CONFIG).unwrap()
}

fn append(log: &Log, term: u64, index: u64) {
    log.append(vec![record(term, index, 40)], Box::new(|_| {})).unwrap();
}

fn records(log: &Log) -> Vec<LogId> {
    held(log).unwrap().records.iter().map(|record| record.id).collect()
}

fn all_states(image: &Image) -> impl Iterator<Item = SimDisk> {
    image.crash_states(1000, 1).map(|state| SimDisk::new(state, 1))
}

/// The pages of a failed fsync are read as written and count as clean: the next
/// process read them, found them whole, and its own fsync wrote nothing.
#[test]
fn what_was_read_after_a_failed_sync_survives_a_loss_of_power() {
    let disk = SimDisk::default();
    let (log, thread) = opened(&disk);
    append(&log, 1, 1);
    while thread.pump() {}
    disk.judge(Box::new(|op| match op.kind {
        OpKind::Sync => Verdict::Fail(io::ErrorKind::Other.into()),
        _ => Verdict::Go,
    }));
    append(&log, 1, 2);
    while thread.pump() {}
    let left = disk.cut();
    drop((log, thread));
    let next = SimDisk::new(left, 1);
    let (log, _thread) = opened(&next);
    let read = records(&log);
    for state in all_states(&next.cut()) {
        assert_eq!(records(&opened(&state).0), read);
    }
}

/// As records, votes: both slots of a vote were equal and neither was on disk.
#[test]
fn a_vote_that_was_read_after_failed_syncs_survives_a_loss_of_power() {
    let disk = SimDisk::default();
    let (log, thread) = opened(&disk);
    log.save_vote("first".into(), Box::new(|_| {}));
    while thread.pump() {}
    let fails = |disk: &SimDisk| {
        disk.judge(Box::new(|op| match op.kind {
            OpKind::Sync if op.path.ends_with("vote") => Verdict::Fail(io::ErrorKind::Other.into()),
            _ => Verdict::Go,
        }));
    };
    fails(&disk);
    log.save_vote("second".into(), Box::new(|_| {}));
    while thread.pump() {}
    let second = SimDisk::new(disk.cut(), 1);
    fails(&second);
    open(&second, CONFIG).unwrap_err();
    let third = SimDisk::new(second.cut(), 1);
    let vote = opened(&third).0.vote();
    for state in all_states(&third.cut()) {
        assert_eq!(opened(&state).0.vote(), vote);
    }
}

/// What was committed was noted before the record itself was on disk, where
/// another record still lay under the same index.
#[test]
fn what_is_committed_is_noted_only_when_the_record_is_durable() {
    let disk = SimDisk::default();
    let (log, thread) = opened(&disk);
    (1..=3).for_each(|index| append(&log, 1, index));
    while thread.pump() {}
    log.truncate_after(Some(weir_types::LogIndex(1)), Box::new(|_| {})).unwrap();
    (2..=5).for_each(|index| append(&log, 2, index));
    log.save_committed(Some(record(2, 3, 0).id));
    let watched = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let images = watched.clone();
    disk.watch(Box::new(move |_, image| images.lock().unwrap().push(image.clone())));
    while thread.pump() {}
    thread.rest();
    for image in watched.lock().unwrap().iter() {
        for state in all_states(image) {
            let (log, _thread) = opened(&state);
            let committed = log.committed();
            assert!(committed.is_none_or(|id| records(&log).contains(&id)), "{committed:?}");
        }
    }
    drop((log, thread));
    let closed = SimDisk::new(disk.image(), 1);
    assert_eq!(opened(&closed).0.committed(), Some(record(2, 3, 0).id), "noted in the end");
}

/// A segment was begun for record 0 and holds none. Its name said that record 0
/// comes first, so record 1 was cut as a torn tail.
#[test]
fn a_log_that_lost_its_first_record_takes_any_other() {
    let disk = SimDisk::default();
    let (log, thread) = opened(&disk);
    disk.judge(Box::new(|op| match (op.kind, op.path.extension()) {
        (OpKind::Write, Some(end)) if end == "new" && op.at > 0 => {
            Verdict::Fail(io::ErrorKind::StorageFull.into())
        }
        _ => Verdict::Go,
    }));
    append(&log, 1, 0);
    while thread.pump() {}
    drop((log, thread));
    let next = SimDisk::new(disk.image().crashed(|_| 0), 1);
    let (log, thread) = opened(&next);
    assert_eq!(log.last(), None);
    append(&log, 1, 1);
    while thread.pump() {}
    for state in all_states(&next.cut()) {
        assert_eq!(records(&opened(&state).0), [record(1, 1, 0).id]);
    }
}

/// A process was killed between a rename and the sync of the folder, and the
/// next one wrote into a file whose name was not durable.
#[test]
fn names_that_a_killed_process_left_unsynced_are_durable_after_the_next_start() {
    let disk = SimDisk::default();
    let watched = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let images = watched.clone();
    disk.watch(Box::new(move |_, image| images.lock().unwrap().push(image.clone())));
    let (log, thread) = opened(&disk);
    append(&log, 1, 1);
    while thread.pump() {}
    for image in watched.lock().unwrap().iter() {
        let next = SimDisk::new(image.clone(), 1);
        let (log, thread) = opened(&next);
        if log.last().is_none() {
            append(&log, 1, 1);
        }
        while thread.pump() {}
        for state in all_states(&next.cut()) {
            assert_eq!(records(&opened(&state).0), [record(1, 1, 0).id]);
        }
    }
}
