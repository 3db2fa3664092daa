//! Damage that is mended in place with the records of a peer.
#![allow(clippy::unwrap_used, reason = "only tests use it, clippy knows only test functions")]

mod scene;

use std::fs;

use scene::*;
use weir_storage::{
    folder::DataFolder,
    log::{LogConfig, LogDamage, LogError, LogRecord, MendError},
};

const RECORDS: u64 = 14;

/// A closed log of several segments; some records were flushed together.
fn closed() -> Scene {
    let scene = Scene::new(TINY);
    let log = scene.open();
    append_each(&log, records(1, 1..4));
    append(&log, records(1, 4..9));
    append_each(&log, records(1, 9..RECORDS + 1));
    drop(log);
    assert!(scene.segments().len() >= 3);
    scene
}

/// What a peer gives.
fn peer(damage: &LogDamage) -> Vec<LogRecord> {
    damage.needs().map_or_else(Vec::new, |(from, until)| records(1, from.0..until.0))
}

fn find(scene: &Scene) -> Result<Option<LogDamage>, LogError> {
    LogDamage::find(&DataFolder::open(scene.dir.path(), identity()).unwrap(), GROUP)
}

/// Opens the log, mending what must be; how many places were.
fn mended(scene: &Scene, what: &str) -> usize {
    for count in 0.. {
        match scene.try_open() {
            Ok(log) => {
                assert_eq!(read_all(&log), records(1, 1..RECORDS + 1), "{what}");
                return count;
            }
            Err(LogError::Damaged { .. }) => {
                let damage = find(scene).unwrap_or_else(|error| panic!("{what}: {error}"));
                let damage = damage.unwrap_or_else(|| panic!("{what}: no damage was found"));
                damage.mend(&peer(&damage)).unwrap_or_else(|error| panic!("{what}: {error}"));
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
    unreachable!("a log has so many places")
}

#[test]
fn a_flipped_byte_anywhere_in_a_segment_is_mended() {
    let scene = closed();
    let mut places = 0;
    for path in scene.segments() {
        let good = fs::read(&path).unwrap();
        for byte in (0..good.len()).step_by(5) {
            let mut bad = good.clone();
            bad[byte] ^= 1 << (byte % 8);
            fs::write(&path, bad).unwrap();
            let what = format!("{} byte {byte}", path.display());
            let found = mended(&scene, &what);
            // The end of a segment that holds no record is nobody's concern.
            if found > 0 {
                assert!(fs::read(&path).unwrap() == good, "{what}");
            }
            places += found;
            fs::write(&path, &good).unwrap();
        }
    }
    assert!(places > 200, "{places} places");
}

#[test]
fn whole_runs_of_records_are_mended() {
    let scene = closed();
    for path in scene.segments() {
        let good = fs::read(&path).unwrap();
        for (from, bytes) in (0..good.len()).step_by(40).flat_map(|at| [(at, 60), (at, 200), (at, 512)]) {
            // A segment that lost its header and its first record proves nothing any more.
            if from < 128 && from + bytes > 128 {
                continue;
            }
            let mut bad = good.clone();
            bad[from..(from + bytes).min(good.len())].fill(0xA5);
            fs::write(&path, bad).unwrap();
            mended(&scene, &format!("{} bytes {from} to {}", path.display(), from + bytes));
            fs::write(&path, &good).unwrap();
        }
    }
}

/// Found by reading: one call per record deep, it ended the process, at every start again.
#[test]
fn a_lost_tail_of_any_length_is_mended() {
    const MANY: u64 = 20_000;
    let scene = Scene::new(LogConfig::default());
    let log = scene.open();
    for from in (1..MANY).step_by(500) {
        append(&log, records(1, from..from + 500));
    }
    drop(log);
    let path = scene.segments()[0].clone();
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[1_000..].fill(0);
    fs::write(&path, &bad).unwrap();
    // The record that was cut, and all that came after it.
    while let Some(damage) = find(&scene).unwrap() {
        damage.mend(&peer(&damage)).unwrap();
    }
    assert_eq!(read_all(&scene.open()), records(1, 1..MANY + 1));
}

#[test]
fn two_damaged_places_are_mended_one_after_the_other() {
    let scene = closed();
    for path in [&scene.segments()[0], &scene.segments()[2]] {
        let mut bad = fs::read(path).unwrap();
        bad[200] ^= 1;
        fs::write(path, bad).unwrap();
    }
    assert_eq!(mended(&scene, "two places"), 2);
}

#[test]
fn records_that_are_not_those_that_were_lost_are_refused_and_nothing_is_written() {
    let scene = closed();
    let path = scene.segments()[0].clone();
    let good = fs::read(&path).unwrap();
    // In a header, and in a payload.
    for byte in [128 + 20, 128 + 64 + 2] {
        let mut bad = good.clone();
        bad[byte] ^= 1;
        fs::write(&path, &bad).unwrap();
        let damage = find(&scene).unwrap().unwrap();
        let (from, until) = damage.needs().unwrap();
        let other = records(2, from.0..until.0);
        let changed: Vec<_> = peer(&damage)
            .into_iter()
            .map(|record| {
                let mut payload = record.payload.to_vec();
                payload[0] ^= 1;
                LogRecord { payload: payload.into(), ..record }
            })
            .collect();
        for wrong in [other, changed, Vec::new(), records(1, from.0..until.0 + 1)] {
            let refused = damage.mend(&wrong);
            assert!(matches!(refused, Err(MendError::Unfit { .. })), "byte {byte}: {refused:?}");
            assert_eq!(fs::read(&path).unwrap(), bad, "byte {byte}");
        }
        fs::write(&path, &good).unwrap();
    }
}

#[test]
fn what_was_committed_does_not_follow_a_tail_that_the_group_dropped() {
    let scene = closed();
    let path = scene.segments().pop().unwrap();
    let good = fs::read(&path).unwrap();
    let last = good.windows(4).rposition(|bytes| bytes == b"WREC").unwrap();
    let mut bad = good.clone();
    bad[last + 20] ^= 1;
    fs::write(&path, &bad).unwrap();
    let damage = find(&scene).unwrap().unwrap();
    let (from, until) = damage.needs().unwrap();
    assert_eq!((from.0, until.0), (RECORDS - 1, RECORDS + 1), "the record before it is asked for too");
    // The group went on without this log's last records.
    let refused = damage.mend(&records(2, from.0..until.0));
    assert!(matches!(refused, Err(MendError::Unfit { .. })), "{refused:?}");
    let refused = damage.mend(&records(1, from.0 + 1..until.0));
    assert!(matches!(refused, Err(MendError::Unfit { .. })), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), bad);
    assert_eq!(mended(&scene, "the last record"), 1);
}

#[test]
fn a_log_that_is_whole_has_no_damage_and_a_torn_tail_is_none() {
    let scene = closed();
    assert!(find(&scene).unwrap().is_none());
    let log = scene.open();
    append(&log, records(1, RECORDS + 1..RECORDS + 2));
    let crashed = scene.crashed();
    drop(log);
    assert!(find(&crashed).unwrap().is_none());
}

#[test]
fn what_no_peer_can_replace_stays_refused_by_name() {
    for name in ["vote", "mark"] {
        let scene = closed();
        let file = scene.file(name);
        let blank = vec![0xA5; fs::read(&file).unwrap().len()];
        fs::write(&file, blank).unwrap();
        let error = scene.try_open().unwrap_err();
        assert!(matches!(&error, LogError::Damaged { file: named, .. } if *named == file), "{error}");
        // A vote is no part of what is searched; the log itself is whole.
        assert_eq!(find(&scene).is_err(), name == "mark");
    }
}
