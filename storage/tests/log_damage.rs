//! Tables of damage: whatever happens to the bytes of a log, it either opens
//! with every acknowledged record as it was written, or says that it is damaged.
#![allow(clippy::unwrap_used, reason = "only tests use it, clippy knows only test functions")]

mod scene;

use std::fs;

use scene::*;
use weir_storage::log::{LogConfig, LogError};
use weir_types::LogIndex;

const RECORDS: u64 = 12;

/// A closed log of several segments, each record flushed by itself.
fn closed() -> Scene {
    let scene = Scene::new(TINY);
    append_each(&scene.open(), records(1, 1..RECORDS + 1));
    assert!(scene.segments().len() >= 3);
    scene
}

/// Opens a log whose records up to `acknowledged` must not be missed.
fn check(scene: &Scene, acknowledged: u64, what: &str) -> Result<u64, LogError> {
    match scene.try_open() {
        Ok(log) => {
            let last = last_index(&log);
            assert!(last >= acknowledged, "{what}: records {} to {acknowledged} vanished", last + 1);
            assert_eq!(read_all(&log), records(1, 1..last + 1), "{what}");
            Ok(last)
        }
        Err(error) => {
            assert!(matches!(error, LogError::Damaged { .. }), "{what}: {error}");
            Err(error)
        }
    }
}

#[test]
fn every_flipped_byte_of_a_closed_log_is_harmless_or_damage() {
    let scene = closed();
    let (mut harmless, mut damaged) = (0, 0);
    for path in scene.segments() {
        let good = fs::read(&path).unwrap();
        for byte in 0..good.len() {
            let mut bad = good.clone();
            bad[byte] ^= 1 << (byte % 8);
            fs::write(&path, bad).unwrap();
            match check(&scene, RECORDS, &format!("{} byte {byte}", path.display())) {
                Ok(_) => harmless += 1,
                Err(LogError::Damaged { file, .. }) => {
                    assert_eq!(file, path, "the damaged file is named");
                    damaged += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        fs::write(&path, good).unwrap();
    }
    assert!(harmless > 0 && damaged > 1000, "{harmless} harmless, {damaged} damaged");
    check(&scene, RECORDS, "all bytes put back").unwrap();
}

#[test]
fn every_length_of_every_file_of_a_closed_log_is_whole_or_damage() {
    let scene = closed();
    for path in scene.segments().into_iter().chain([scene.file("mark"), scene.file("vote")]) {
        let good = fs::read(&path).unwrap();
        for len in (0..good.len()).step_by(if good.len() > 1024 { 61 } else { 1 }) {
            fs::write(&path, &good[..len]).unwrap();
            let _ = check(&scene, RECORDS, &format!("{} cut to {len}", path.display()));
        }
        fs::write(&path, good).unwrap();
    }
    check(&scene, RECORDS, "all bytes put back").unwrap();
}

#[test]
fn every_flipped_byte_of_the_mark_loses_nothing() {
    let scene = closed();
    let good = fs::read(scene.file("mark")).unwrap();
    for byte in (0..128).chain(4096..4096 + 128) {
        let mut bad = good.clone();
        bad[byte] ^= 1 << (byte % 8);
        fs::write(scene.file("mark"), bad).unwrap();
        check(&scene, RECORDS, &format!("mark byte {byte}")).unwrap();
    }
}

#[test]
fn blocks_that_are_swapped_doubled_or_zeroed_are_found() {
    let scene = closed();
    const BLOCK: usize = 64;
    for path in scene.segments() {
        let good = fs::read(&path).unwrap();
        let blocks = good.len() / BLOCK;
        for (from, to) in (0..blocks).flat_map(|from| (0..blocks).map(move |to| (from, to))) {
            let mut bad = good.clone();
            let block = good[from * BLOCK..][..BLOCK].to_vec();
            if from == to {
                bad[to * BLOCK..][..BLOCK].fill(0);
            } else {
                bad[to * BLOCK..][..BLOCK].copy_from_slice(&block);
            }
            fs::write(&path, bad).unwrap();
            let _ = check(&scene, RECORDS, &format!("{} block {from} over {to}", path.display()));
        }
        fs::write(&path, good).unwrap();
    }
}

/// What power loss leaves: the last append's bytes in any state, and a mark
/// file that does not know of it.
struct PowerLoss {
    scene: Scene,
    segment: std::path::PathBuf,
    before: Vec<u8>,
    after: Vec<u8>,
    known: u64,
}

fn power_loss(last_append: std::ops::Range<u64>) -> PowerLoss {
    let scene = Scene::new(LogConfig { segment_bytes: 4096, cache_bytes: 0 });
    let log = scene.open();
    append_each(&log, records(1, 1..last_append.start));
    drop(log);
    let (mark, segment) = (fs::read(scene.file("mark")).unwrap(), scene.segments().pop().unwrap());
    let before = fs::read(&segment).unwrap();
    append(&scene.open(), records(1, last_append.clone()));
    let after = fs::read(&segment).unwrap();
    assert_eq!(scene.segments(), std::slice::from_ref(&segment));
    fs::write(scene.file("mark"), mark).unwrap();
    PowerLoss { scene, segment, before, after, known: last_append.start - 1 }
}

impl PowerLoss {
    fn written(&self) -> std::ops::Range<usize> {
        let differs = |at: &usize| self.before[*at] != self.after[*at];
        let range = 0..self.before.len();
        range.clone().find(differs).unwrap()..range.rev().find(differs).unwrap() + 1
    }

    /// Opens with these bytes: what was durable is there, and the rest is gone for good.
    fn recovers(&self, bytes: &[u8], what: &str) {
        let mark = fs::read(self.scene.file("mark")).unwrap();
        fs::write(&self.segment, bytes).unwrap();
        let log = self.scene.open();
        let last = last_index(&log);
        assert!(last >= self.known, "{what}: only {last} records");
        assert_eq!(read_all(&log), records(1, 1..last + 1), "{what}");
        append(&log, vec![record(2, last + 1, "after the loss")]);
        drop(log);
        let log = self.scene.open();
        assert_eq!((last_index(&log), log.recovery().torn_bytes), (last + 1, 0), "{what}, opened again");
        drop(log);
        fs::write(self.scene.file("mark"), mark).unwrap();
        self.scene.segments()[1..].iter().for_each(|added| fs::remove_file(added).unwrap());
    }
}

#[test]
fn a_last_record_that_is_torn_at_any_byte_is_cut() {
    let loss = power_loss(6..7);
    for cut in loss.written() {
        let torn = [&loss.after[..cut], &loss.before[cut..]].concat();
        loss.recovers(&torn, &format!("torn at {cut}"));
        loss.recovers(&loss.after[..cut], &format!("file cut to {cut}"));
    }
}

#[test]
fn a_last_append_with_any_byte_flipped_before_it_was_durable_is_cut() {
    let loss = power_loss(6..9);
    for byte in loss.written() {
        let mut bad = loss.after.clone();
        bad[byte] ^= 1 << (byte % 8);
        loss.recovers(&bad, &format!("byte {byte}"));
    }
}

#[test]
fn an_append_whose_sectors_landed_out_of_order_is_a_torn_tail() {
    let loss = power_loss(6..16);
    let sectors: Vec<_> = loss.written().step_by(128).collect();
    for pattern in 0..1_u32 << sectors.len().min(9) {
        let mut bytes = loss.before.clone();
        for (at, sector) in sectors.iter().enumerate() {
            if pattern & (1 << at) != 0 {
                let end = (sector + 128).min(bytes.len());
                bytes[*sector..end].copy_from_slice(&loss.after[*sector..end]);
            }
        }
        loss.recovers(&bytes, &format!("sectors {pattern:b}"));
    }
}

#[test]
fn damage_before_the_last_record_is_damage_even_when_only_that_record_proves_it() {
    let loss = power_loss(9..10);
    // A mark that knows of nothing: the records' own headers are the only proof.
    let fresh = Scene::new(loss.scene.config);
    drop(fresh.open());
    fs::copy(fresh.file("mark"), loss.scene.file("mark")).unwrap();
    for byte in 128..loss.written().start {
        let mut bad = loss.after.clone();
        bad[byte] ^= 1 << (byte % 8);
        fs::write(&loss.segment, bad).unwrap();
        let error = check(&loss.scene, 8, &format!("byte {byte}")).unwrap_err();
        assert!(matches!(error, LogError::Damaged { offset, .. } if offset <= byte as u64), "{error}");
    }
}

#[test]
fn a_damaged_log_is_left_as_it_is() {
    let scene = closed();
    let path = scene.segments().pop().unwrap();
    let mut bad = fs::read(&path).unwrap();
    bad[140] ^= 1;
    fs::write(&path, &bad).unwrap();
    let _ = check(&scene, RECORDS, "damaged").unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), bad);
}

#[test]
fn damage_after_open_is_found_by_the_read_and_never_served() {
    let scene = closed();
    let log = scene.open();
    for index in 1..=RECORDS {
        let place = log.payload_place(LogIndex(index)).unwrap();
        let path = scene.file(&format!("{:020}.log", place.segment));
        let good = fs::read(&path).unwrap();
        for offset in place.offset - 64..place.offset + u64::from(place.len) {
            let mut bad = good.clone();
            bad[offset as usize] ^= 0x20;
            fs::write(&path, bad).unwrap();
            let error = log.read(LogIndex(index), LogIndex(index + 1), 1).unwrap_err();
            let named = matches!(&error, LogError::Damaged { file, .. } if *file == path);
            assert!(named, "record {index}, byte {offset}: {error}");
        }
        fs::write(&path, good).unwrap();
        assert_eq!(log.read(LogIndex(index), LogIndex(index + 1), 1).unwrap().len(), 1);
    }
}

#[test]
fn a_log_stored_as_event_data_never_passes_for_records() {
    let inner = closed();
    let copied = fs::read(&inner.segments()[0]).unwrap();
    // The same cluster, node, group and first index: only the place differs.
    let scene = Scene::new(LogConfig { segment_bytes: 8192, cache_bytes: 0 });
    let log = scene.open();
    append(&log, records(1, 1..2));
    drop(log);
    let mark = fs::read(scene.file("mark")).unwrap();
    append(&scene.open(), vec![record(1, 2, copied)]);
    fs::write(scene.file("mark"), mark).unwrap();
    let path = scene.segments().pop().unwrap();
    let mut torn = fs::read(&path).unwrap();
    let start = 128 + 64 + payload(1, 1).len().next_multiple_of(8);
    torn[start..start + 64].fill(0);
    fs::write(&path, torn).unwrap();
    assert_eq!(check(&scene, 1, "a torn record that holds a log").unwrap(), 1);
}
