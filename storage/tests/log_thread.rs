//! One log thread for many logs: idle marks, several groups, its end.
#![allow(clippy::unwrap_used, reason = "only tests use it, clippy knows only test functions")]

mod scene;

use std::{
    fs,
    sync::{Arc, mpsc},
    time::Instant,
};

use scene::*;
use weir_storage::{
    folder::{DataFolder, FolderError},
    log::{Log, LogConfig, LogThread},
};
use weir_types::{GroupId, LogIndex};

#[test]
fn the_mark_is_settled_when_the_log_is_quiet() {
    let scene = Scene::new(LogConfig::default());
    let log = scene.open();
    let settled = || {
        let mark = fs::read(scene.file("mark")).unwrap();
        mark[..4096] == mark[4096..]
    };
    for index in 1..=3 {
        append(&log, records(1, index..index + 1));
        log.save_committed(log.last());
        let deadline = Instant::now() + DEADLINE;
        while !settled() {
            assert!(Instant::now() < deadline, "both slots of the mark become equal");
            std::thread::yield_now();
        }
    }
    let crashed = scene.crashed();
    assert_eq!(crashed.open().committed(), log.last());
    // The mark alone now proves that the last record was durable.
    let path = crashed.segments().pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[128..].fill(0);
    fs::write(path, bytes).unwrap();
    crashed.try_open().unwrap_err();
}

#[test]
fn groups_share_the_thread_and_keep_their_records_apart() {
    let scene = Scene::new(TINY);
    let folder = DataFolder::open(scene.dir.path(), identity()).unwrap();
    let thread = log_thread();
    let logs: Vec<_> =
        (1..=3).map(|group| Log::open(&folder, GroupId(group), TINY, &thread).unwrap()).collect();
    let (sender, receiver) = mpsc::channel();
    for round in 0..20 {
        for (group, log) in (1..).zip(&logs) {
            let sender = sender.clone();
            let added = records(group, round * 2 + 1..round * 2 + 3);
            let told =
                Box::new(move |result: std::io::Result<()>| sender.send((round, group, result)).unwrap());
            log.append(added, told).unwrap();
        }
    }
    for round in 0..20 {
        for group in 1..=3 {
            let (told_round, told_group, result) = receiver.recv_timeout(DEADLINE).unwrap();
            result.unwrap();
            assert_eq!((told_round, told_group), (round, group));
        }
    }
    drop(logs);
    for group in 1..=3 {
        let log = Log::open(&folder, GroupId(group), TINY, &thread).unwrap();
        assert_eq!(read_all(&log), records(group, 1..41));
    }
}

#[test]
fn a_folder_stays_locked_while_a_log_of_it_is_open() {
    let scene = Scene::new(TINY);
    let log = scene.open();
    let refused = DataFolder::open(scene.dir.path(), identity()).unwrap_err();
    assert!(matches!(refused, FolderError::Locked { .. }), "{refused}");
    drop(log);
    DataFolder::open(scene.dir.path(), identity()).unwrap();
}

#[test]
fn the_last_handle_may_go_within_a_completion() {
    let scene = Scene::new(TINY);
    let log = scene.open();
    let (sender, receiver) = mpsc::channel();
    let held = log.clone();
    log.append(
        records(1, 1..5),
        Box::new(move |result| {
            drop(held);
            sender.send(result).unwrap();
        }),
    )
    .unwrap();
    drop(log);
    receiver.recv_timeout(DEADLINE).unwrap().unwrap();
    let deadline = Instant::now() + DEADLINE;
    while DataFolder::open(scene.dir.path(), identity()).is_err() {
        assert!(Instant::now() < deadline, "the folder becomes free");
        std::thread::yield_now();
    }
    assert_eq!(read_all(&scene.open()), records(1, 1..5));
}

#[test]
fn a_panic_in_a_completion_is_fatal_and_not_silent() {
    let scene = Scene::new(TINY);
    let folder = DataFolder::open(scene.dir.path(), identity()).unwrap();
    let (sender, receiver) = mpsc::channel();
    let thread = LogThread::start(Box::new(move |error| sender.send(error.to_string()).unwrap())).unwrap();
    let log = Log::open(&folder, GROUP, TINY, &thread).unwrap();
    log.append(records(1, 1..3), Box::new(|_| panic!("a completion that panics"))).unwrap();
    assert_eq!(receiver.recv_timeout(DEADLINE).unwrap(), "the log thread panicked");
    assert!(log.append(records(1, 3..4), done().0).is_err());
    drop((log, thread, folder));
    assert_eq!(read_all(&scene.open()), records(1, 1..3));
}

#[test]
fn memory_holds_the_tail_and_the_disk_the_rest() {
    let scene = Scene::new(LogConfig { segment_bytes: 1 << 20, cache_bytes: 64 * 1024 });
    let log = scene.open();
    let written: Vec<_> =
        (1..=2000).map(|index| record(1, index, vec![index as u8; 1000 + index as usize % 7])).collect();
    for run in written.chunks(100) {
        append(&log, run.to_vec());
    }
    for index in [1, 2, 70, 999, 1000, 1500, 1999, 2000] {
        let expected = &written[index as usize - 1];
        assert_eq!(log.read(LogIndex(index), LogIndex(index + 1), 0).unwrap()[0], *expected);
        let place = log.payload_place(LogIndex(index)).unwrap();
        let inner = place.within(10, 100);
        assert_eq!(log.read_at(inner).unwrap(), expected.payload.slice(10..110));
    }
    assert_eq!(read_all(&log), written);
    let placed = log.read_placed(LogIndex(1), LogIndex(2001), usize::MAX).unwrap();
    for (record, place) in placed {
        assert_eq!(log.payload_place(record.id.index).unwrap(), place);
    }
}

#[test]
fn readers_are_not_disturbed_by_truncations() {
    let scene = Scene::new(TINY);
    let log = scene.open();
    append(&log, records(1, 1..11));
    let stop = Arc::new(());
    let running = Arc::downgrade(&stop);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while running.upgrade().is_some() {
                    let found = log.read(LogIndex(1), LogIndex(100), usize::MAX).unwrap();
                    assert_eq!(found[..10], records(1, 1..11));
                    for record in &found[10..] {
                        let expected = payload(record.id.term.0, record.id.index.0);
                        assert_eq!(record.payload, expected);
                    }
                    match log.payload_place(LogIndex(14)) {
                        Ok(_) | Err(weir_storage::log::LogError::Absent { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        for term in 2..60 {
            append(&log, records(term, 11..31));
            truncate_after(&log, Some(10));
        }
        drop(stop);
    });
}
