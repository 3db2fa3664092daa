//! What openraft demands of a log store, one test for each obligation that is
//! the log's: L1 to L5, L8 and the log's part of L10 (research/reliability 1.2).
#![allow(clippy::unwrap_used, reason = "only tests use it, clippy knows only test functions")]

mod scene;

use std::{
    fs,
    os::unix::fs::symlink,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use scene::*;
use weir_storage::{
    folder::{DataFolder, Identity},
    log::{Log, LogConfig, LogError, LogThread},
};
use weir_types::{GroupId, LogIndex, NodeId};

#[test]
fn l1_vote_is_on_disk_before_it_is_answered() {
    let scene = Arc::new(Scene::new(TINY));
    let log = scene.open();
    assert_eq!(log.vote(), None);
    let (sender, receiver) = mpsc::channel();
    for vote in 0..20_u8 {
        let (scene, sender) = (scene.clone(), sender.clone());
        // The folder is copied while the log thread stands in the callback.
        log.save_vote(
            vec![vote; 1 + usize::from(vote)].into(),
            Box::new(move |result| sender.send((vote, result, scene.crashed())).unwrap()),
        );
        assert_eq!(log.vote().unwrap()[0], vote, "readable on return");
    }
    for _ in 0..20 {
        let (vote, result, crashed) = receiver.recv_timeout(DEADLINE).unwrap();
        result.unwrap();
        assert_eq!(crashed.open().vote().unwrap(), vec![vote; 1 + usize::from(vote)]);
    }
}

#[test]
fn l1_a_vote_never_regresses_whatever_byte_of_its_file_is_damaged() {
    let scene = Scene::new(TINY);
    let log = scene.open();
    save_vote(&log, "term 1");
    save_vote(&log, "term 2");
    drop(log);
    let good = fs::read(scene.file("vote")).unwrap();
    for byte in (0..80).chain(4096..4096 + 80) {
        let mut bad = good.clone();
        bad[byte] ^= 1 << (byte % 8);
        fs::write(scene.file("vote"), bad).unwrap();
        assert_eq!(scene.open().vote().unwrap(), "term 2", "byte {byte}");
    }
    fs::write(scene.file("vote"), vec![0; good.len()]).unwrap();
    assert!(matches!(scene.try_open(), Err(LogError::Damaged { .. })));
}

#[test]
fn l1_a_vote_that_is_too_long_is_refused_and_changes_nothing() {
    let scene = Scene::new(TINY);
    let log = scene.open();
    save_vote(&log, "good");
    let (done, receiver) = done();
    log.save_vote(vec![0; 513].into(), done);
    assert!(wait(&receiver).is_err());
    assert_eq!(log.vote().unwrap(), "good");
}

#[test]
fn l2_records_are_readable_on_return_and_on_disk_at_the_callback() {
    let scene = Arc::new(Scene::new(TINY));
    let log = scene.open();
    let (sender, receiver) = mpsc::channel();
    for index in 1..=30 {
        let (scene, sender, record) = (scene.clone(), sender.clone(), records(1, index..index + 1));
        log.append(
            record.clone(),
            Box::new(move |result| sender.send((index, result, scene.crashed())).unwrap()),
        )
        .unwrap();
        assert_eq!(log.read(LogIndex(index), LogIndex(index + 1), 0).unwrap(), record);
        let place = log.payload_place(LogIndex(index)).unwrap();
        assert_eq!(log.read_at(place).unwrap(), record[0].payload);
    }
    for _ in 1..=30 {
        let (index, result, crashed) = receiver.recv_timeout(DEADLINE).unwrap();
        result.unwrap();
        let log = crashed.open();
        assert!(last_index(&log) >= index, "record {index} was told durable");
        assert_eq!(read_all(&log), records(1, 1..last_index(&log) + 1));
    }
    assert_eq!(log.flushed(), LogIndex(30));
}

#[test]
fn l3_votes_appends_and_truncations_complete_in_the_order_of_their_submission() {
    let scene = Scene::new(TINY);
    let log = scene.open();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut submitted = Vec::new();
    let mut next = 1;
    for round in 0..40_u64 {
        let note = |name: &'static str| -> (_, weir_storage::log::Done) {
            let order = order.clone();
            let entry = (round, name);
            (
                entry,
                Box::new(move |result: std::io::Result<()>| {
                    result.unwrap();
                    order.lock().unwrap().push(entry);
                }),
            )
        };
        let (entry, done) = note("append");
        submitted.push(entry);
        log.append(records(1 + round, next..next + 3), done).unwrap();
        let (entry, done) = note("vote");
        submitted.push(entry);
        log.save_vote(format!("vote {round}").into(), done);
        if round % 5 == 4 {
            let (entry, done) = note("truncate");
            submitted.push(entry);
            log.truncate_after(Some(LogIndex(next)), done).unwrap();
            next += 1;
        } else {
            next += 3;
        }
    }
    let before = read_all(&log);
    drop(log);
    assert_eq!(*order.lock().unwrap(), submitted);
    assert_eq!(read_all(&scene.open()), before);
}

#[test]
fn l3_appends_of_many_threads_have_one_order_in_memory_and_on_disk() {
    let scene = Scene::new(TINY);
    let log = scene.open();
    let turn = Mutex::new(1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let (done, receiver) = done();
                    {
                        let mut next = turn.lock().unwrap();
                        log.append(records(1, *next..*next + 1), done).unwrap();
                        *next += 1;
                    }
                    wait(&receiver).unwrap();
                }
            });
        }
    });
    drop(log);
    assert_eq!(read_all(&scene.open()), records(1, 1..201));
}

#[test]
fn l4_a_hole_an_overwrite_and_a_falling_term_are_refused() {
    let scene = Scene::new(TINY);
    let log = scene.open();
    append(&log, records(2, 1..4));
    let refused = |records| log.append(records, done().0).unwrap_err();
    assert!(matches!(refused(records(2, 5..6)), LogError::NotNext { expected: LogIndex(4), .. }));
    assert!(matches!(refused(records(2, 3..4)), LogError::NotNext { expected: LogIndex(4), .. }));
    assert!(matches!(refused(records(1, 4..5)), LogError::TermFalls { .. }));
    let with_hole = [records(2, 4..5), records(2, 6..7)].concat();
    assert!(matches!(refused(with_hole), LogError::NotNext { expected: LogIndex(5), .. }));
    let long = vec![record(2, 4, vec![0; 16 * 1024 * 1024 + 1])];
    assert!(matches!(refused(long), LogError::TooLarge { .. }));
    append(&log, records(2, 4..5));
    assert_eq!(read_all(&log), records(2, 1..5));
}

#[test]
fn l4_a_truncated_log_ends_there_and_goes_on_after_every_cut() {
    for last in (0..=30).map(|last| (last > 0).then_some(last)) {
        let scene = Scene::new(TINY);
        let log = scene.open();
        append(&log, records(1, 1..31));
        truncate_after(&log, last);
        let kept = last.unwrap_or(0);
        assert_eq!(last_index(&log), kept);
        assert!(log.read(LogIndex(kept + 1), LogIndex(100), 1).unwrap().is_empty());
        assert_eq!(read_all(&scene.crashed().open()), records(1, 1..kept + 1), "after a crash at {last:?}");
        let expected = [records(1, 1..kept + 1), records(2, kept + 1..kept + 9)].concat();
        append(&log, records(2, kept + 1..kept + 9));
        assert_eq!(read_all(&log), expected, "cut after {last:?}");
        drop(log);
        let log = scene.open();
        assert_eq!(read_all(&log), expected, "cut after {last:?}, reopened");
        assert_eq!(log.recovery().torn_bytes, 0);
    }
}

#[test]
fn l4_records_may_be_appended_before_a_truncation_is_done() {
    let scene = Scene::new(TINY);
    let log = scene.open();
    let (done_append, appended) = done();
    let (done_cut, cut) = done();
    let (done_again, again) = done();
    log.append(records(1, 1..30), done_append).unwrap();
    log.truncate_after(Some(LogIndex(11)), done_cut).unwrap();
    assert!(log.flushed() <= LogIndex(11));
    log.append(records(2, 12..20), done_again).unwrap();
    for receiver in [appended, cut, again] {
        wait(&receiver).unwrap();
    }
    assert_eq!(log.flushed(), LogIndex(19));
    let expected = [records(1, 1..12), records(2, 12..20)].concat();
    assert_eq!(read_all(&log), expected);
    drop(log);
    assert_eq!(read_all(&scene.open()), expected);
}

#[test]
fn l5_a_log_says_where_it_ends_empty_or_not_open_or_reopened() {
    let scene = Scene::new(TINY);
    let log = scene.open();
    assert_eq!((log.last(), log.flushed(), log.committed()), (None, LogIndex(0), None));
    assert!(log.read(LogIndex(0), LogIndex(9), 100).unwrap().is_empty());
    drop(log);
    let log = scene.open();
    assert_eq!((log.last(), log.recovery().records), (None, 0));
    append(&log, records(3, 1..8));
    let last = records(3, 7..8)[0].id;
    assert_eq!(log.last(), Some(last));
    log.save_committed(Some(records(3, 5..6)[0].id));
    drop(log);
    let log = scene.open();
    assert_eq!((log.last(), log.flushed(), log.recovery().records), (Some(last), LogIndex(7), 7));
    assert_eq!(log.committed(), Some(records(3, 5..6)[0].id));
}

#[test]
fn l5_a_log_may_begin_at_zero() {
    let scene = Scene::new(TINY);
    let log = scene.open();
    append(&log, records(1, 0..20));
    drop(log);
    let log = scene.open();
    assert_eq!(read_all(&log), records(1, 0..20));
    truncate_after(&log, Some(0));
    assert_eq!(read_all(&log), records(1, 0..1));
}

#[test]
fn l8_a_read_error_is_an_error_and_never_an_empty_answer() {
    let scene = Scene::new(TINY);
    append(&scene.open(), records(1, 1..31));
    let log = scene.open();
    let [first, second, ..] = &scene.segments()[..] else { panic!("two segments at least") };
    fs::remove_file(first).unwrap();
    assert!(matches!(log.read(LogIndex(1), LogIndex(2), 10), Err(LogError::Io { .. })));
    assert!(matches!(log.payload_place(LogIndex(1)), Err(LogError::Io { .. })));
    fs::File::options().write(true).open(second).unwrap().set_len(130).unwrap();
    let within = log.read(LogIndex(1), LogIndex(31), usize::MAX);
    assert!(within.is_err(), "a range is not cut short before an error");
    let index = second.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let error = log.read(LogIndex(index), LogIndex(31), 10).unwrap_err();
    assert!(matches!(&error, LogError::Damaged { file, offset: 128, .. } if file == second), "{error}");
}

#[test]
fn l8_a_range_with_records_is_never_answered_with_none() {
    let scene = Scene::new(TINY);
    append(&scene.open(), records(1, 1..31));
    for cache_bytes in [0, 1 << 20] {
        let log = Scene { dir: scene.crashed().dir, config: LogConfig { cache_bytes, ..TINY } };
        let log = log.open();
        append(&log, records(1, 31..40));
        for from in 1..40 {
            for bytes_max in [0, 1, 64, 200, usize::MAX] {
                let found = log.read(LogIndex(from), LogIndex(40), bytes_max).unwrap();
                assert!(!found.is_empty(), "from {from}, {bytes_max} bytes");
                assert_eq!(found, records(1, from..from + found.len() as u64));
                let bytes: usize = found.iter().map(|record| record.payload.len()).sum();
                assert!(found.len() == 1 || bytes <= bytes_max);
            }
        }
        assert!(log.read(LogIndex(40), LogIndex(50), 9).unwrap().is_empty());
        assert!(log.read(LogIndex(5), LogIndex(5), 9).unwrap().is_empty());
    }
}

#[test]
fn l10_a_log_that_lost_what_was_durable_does_not_open() {
    type Loss = fn(&Scene);
    let losses: [(&str, Loss); 8] = [
        ("the last segment", |scene| fs::remove_file(scene.segments().last().unwrap()).unwrap()),
        ("the first segment", |scene| fs::remove_file(&scene.segments()[0]).unwrap()),
        ("a segment in the middle", |scene| fs::remove_file(&scene.segments()[1]).unwrap()),
        ("all segments", |scene| scene.segments().iter().for_each(|path| fs::remove_file(path).unwrap())),
        ("the mark", |scene| fs::remove_file(scene.file("mark")).unwrap()),
        ("the vote", |scene| fs::remove_file(scene.file("vote")).unwrap()),
        ("the end of the last segment", |scene| {
            let last = fs::File::options().write(true).open(scene.segments().last().unwrap()).unwrap();
            last.set_len(200).unwrap();
        }),
        ("the records of the last segment", |scene| {
            let path = scene.segments().pop().unwrap();
            let mut bytes = fs::read(&path).unwrap();
            bytes[128..].fill(0);
            fs::write(path, bytes).unwrap();
        }),
    ];
    for (what, lose) in losses {
        let scene = Scene::new(TINY);
        append(&scene.open(), records(1, 1..31));
        lose(&scene);
        for attempt in 1..=2 {
            let error = scene.try_open().unwrap_err();
            assert!(matches!(error, LogError::Damaged { .. }), "{what}, attempt {attempt}: {error}");
        }
    }
}

#[test]
fn l10_an_older_copy_of_a_segment_is_found_out() {
    let scene = Scene::new(TINY);
    let log = scene.open();
    append_each(&log, records(1, 1..4));
    let path = scene.segments().pop().unwrap();
    let older = fs::read(&path).unwrap();
    append_each(&log, records(1, 4..6));
    drop(log);
    fs::write(path, older).unwrap();
    let error = scene.try_open().unwrap_err();
    assert!(error.to_string().contains("records 4 to 5 were durable"), "{error}");
    assert!(error.to_string().contains("remove the node from its cluster"), "{error}");
}

#[test]
fn l10_what_is_committed_is_never_truncated() {
    let scene = Scene::new(TINY);
    let log = scene.open();
    append(&log, records(1, 1..10));
    log.save_committed(Some(records(1, 6..7)[0].id));
    for last in [None, Some(LogIndex(5))] {
        let error = log.truncate_after(last, done().0).unwrap_err();
        assert!(matches!(error, LogError::Committed { committed: LogIndex(6), .. }), "{error}");
    }
    truncate_after(&log, Some(6));
    assert_eq!(read_all(&log), records(1, 1..7));
}

#[test]
fn l10_files_of_another_cluster_node_or_group_are_refused() {
    let scene = Scene::new(TINY);
    append(&scene.open(), records(1, 1..31));
    let other = Scene::new(TINY);
    fs::create_dir_all(other.dir.path().join("log/2")).unwrap();
    copy_folder(&scene.log_dir(), &other.dir.path().join("log/2"));
    fs::copy(scene.dir.path().join("identity"), other.dir.path().join("identity")).unwrap();
    let folder = DataFolder::open(other.dir.path(), identity()).unwrap();
    let error = Log::open(&folder, GroupId(2), TINY, &log_thread()).unwrap_err();
    assert!(matches!(error, LogError::Foreign { .. }), "{error}");
    drop(folder);

    let node_2 = Scene::new(TINY);
    let folder = DataFolder::open(node_2.dir.path(), Identity { node: NodeId(2), ..identity() }).unwrap();
    fs::create_dir_all(node_2.log_dir()).unwrap();
    copy_folder(&scene.log_dir(), &node_2.log_dir());
    let error = Log::open(&folder, GROUP, TINY, &log_thread()).unwrap_err();
    assert!(error.to_string().contains("of node 1 in cluster"), "{error}");
}

#[test]
fn a_full_disk_stops_the_log_and_loses_nothing_that_was_acknowledged() {
    let scene = Scene::new(LogConfig { segment_bytes: 4096, cache_bytes: 0 });
    let folder = DataFolder::open(scene.dir.path(), identity()).unwrap();
    let fatal = Arc::new(AtomicUsize::new(0));
    let count = fatal.clone();
    let thread = LogThread::start(Box::new(move |error| {
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        count.fetch_add(1, Ordering::SeqCst);
    }))
    .unwrap();
    let log = Log::open(&folder, GROUP, scene.config, &thread).unwrap();
    append(&log, records(1, 1..6));
    // The next record is longer than a segment, so a file is made for it: this one.
    symlink("/dev/full", scene.file("00000000000000000006.new")).unwrap();
    let (done_long, long) = done();
    log.append(vec![record(1, 6, vec![1; 8192])], done_long).unwrap();
    assert_eq!(wait(&long).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    assert!(matches!(log.append(records(1, 7..8), done().0), Err(LogError::Stopped { .. })));
    assert!(matches!(log.truncate_after(Some(LogIndex(2)), done().0), Err(LogError::Stopped { .. })));
    let (done_vote, vote) = done();
    log.save_vote("late".into(), done_vote);
    assert_eq!(wait(&vote).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    assert_eq!((log.flushed(), fatal.load(Ordering::SeqCst)), (LogIndex(5), 1));
    drop((log, thread, folder));
    let log = scene.open();
    assert_eq!((read_all(&log), log.vote()), (records(1, 1..6), None));
    append(&log, vec![record(1, 6, vec![1; 8192])]);
}
