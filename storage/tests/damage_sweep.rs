//! Damage of every kind to every part of a closed log of 200 records: each is
//! refused by the name of the damaged file, or changes nothing that is served.
//! Wrong data, or fewer records than there were, are never served.
//!
//! `WEIR_DAMAGE_SWEEP=all` flips every bit and cuts at every length.
#![allow(clippy::unwrap_used, reason = "only tests use it, clippy knows only test functions")]

mod crash;

use std::{
    env,
    path::{Path, PathBuf},
    time::Instant,
};

use crash::{
    check::held,
    model::Held,
    scenario::{FOLDER, GROUP, identity, open, record},
};
use weir_storage::{
    disk::{
        Disk,
        sim::{Image, SimDisk},
    },
    folder::{DataFolder, FolderError},
    log::{Log, LogConfig, LogError, LogRecord, LogThread},
};
use weir_types::{LogId, LogIndex};

const RECORDS: u64 = 200;
const CONFIG: LogConfig = LogConfig { segment_bytes: 4096, cache_bytes: 0 };
const BLOCK: usize = 512;
/// Of bytes that are zero, one in so many is tried when not all are.
const BLANK_STEP: usize = 16;

/// A closed store, and the same store at rest some time before: it had other
/// records in some of the same places.
struct Store {
    image: Image,
    earlier: Image,
    held: Held,
    committed: Option<LogId>,
}

fn store() -> Store {
    let disk = SimDisk::default();
    let (log, thread) = open(&disk, CONFIG).unwrap();
    let append = |term, from, until| {
        for index in from..until {
            log.append(vec![sized(term, index)], Box::new(|result| result.unwrap())).unwrap();
            while thread.pump() {}
        }
    };
    append(1, 1, 80);
    log.save_vote("a vote of term 1".into(), Box::new(|result| result.unwrap()));
    while thread.pump() {}
    thread.rest();
    let earlier = disk.image();
    log.truncate_after(Some(LogIndex(60)), Box::new(|result| result.unwrap())).unwrap();
    append(2, 61, RECORDS + 1);
    log.save_vote("a vote of term 2".into(), Box::new(|result| result.unwrap()));
    log.save_committed(Some(record(2, 150, 0).id));
    while thread.pump() {}
    drop((log, thread));
    let image = disk.image();
    let (log, _thread) = open(&SimDisk::new(image.clone(), 1), CONFIG).unwrap();
    let (held, committed) = (held(&log).unwrap(), log.committed());
    let expected = (1..=RECORDS).map(|index| sized(if index > 60 { 2 } else { 1 }, index));
    assert!(held.records.iter().cloned().eq(expected), "the store holds what was appended");
    Store { image, earlier, held, committed }
}

fn sized(term: u64, index: u64) -> LogRecord {
    record(term, index, (index * 7 % 60) as usize + 10)
}

/// What was found of the damage done to a store.
#[derive(Debug, Default)]
struct Found {
    refused: u64,
    harmless: u64,
    silent: Vec<String>,
}

impl Found {
    fn end(self, name: &str, started: Instant) {
        let Self { refused, harmless, silent } = self;
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "figures {{\"test\":\"{name}\",\"damages\":{},\"refused\":{refused},\"harmless\":{harmless},\
             \"silent\":{},\"seconds\":{seconds:.1}}}",
            refused + harmless + silent.len() as u64,
            silent.len()
        );
        assert!(refused > 0, "{name}: nothing was damaged");
        assert!(silent.is_empty(), "{name}: {} damages, the first: {}", silent.len(), silent[0]);
    }
}

impl Store {
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.image.files().map(|(path, bytes)| (path, bytes.to_vec())).collect()
    }

    fn segments(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = self.files();
        files.retain(|(path, _)| path.extension().is_some_and(|end| end == "log"));
        assert!(files.len() > 5, "a store of several segments");
        files
    }

    /// Opens the store with other bytes in one file.
    fn with(&self, found: &mut Found, path: &Path, bytes: Vec<u8>, what: impl FnOnce() -> String) {
        let mut image = self.image.clone();
        image.replace(path, bytes).unwrap();
        match self.open(image, |damaged| damaged == path) {
            Ok(true) => found.harmless += 1,
            Ok(false) => found.refused += 1,
            Err(error) => found.silent.push(format!("{}, {}: {error}", path.display(), what())),
        }
    }

    /// True when the store serves all that it held; false when it is refused by
    /// the name of the damaged file.
    fn open(&self, image: Image, is_named: impl Fn(&Path) -> bool) -> Result<bool, String> {
        let disk = SimDisk::new(image, 1);
        let folder = match DataFolder::open_on(Disk::Sim(disk), FOLDER, identity()) {
            Ok(folder) => folder,
            Err(FolderError::Damaged { path, .. }) if is_named(&path) => return Ok(false),
            Err(error) => return Err(format!("refused without the name: {error}")),
        };
        let thread = LogThread::pumped(Box::new(|_| {}), Box::new(|| {}));
        let log = match Log::open(&folder, GROUP, CONFIG, &thread) {
            Ok(log) => log,
            Err(LogError::Damaged { file, .. }) if is_named(&file) => return Ok(false),
            Err(error) => return Err(format!("refused without the name: {error}")),
        };
        let found = held(&log)?;
        if found != self.held || log.committed() != self.committed {
            return Err(format!(
                "it serves {} records, vote {:?}, committed {:?}",
                found.records.len(),
                found.vote,
                log.committed()
            ));
        }
        Ok(true)
    }
}

fn all() -> bool {
    env::var("WEIR_DAMAGE_SWEEP").is_ok_and(|what| what == "all")
}

/// Flips bits: one of each byte, or all; of blank bytes one in some, or all.
fn flips(name: &str, wanted: impl Fn(&Path) -> bool) {
    let (store, started, mut found) = (store(), Instant::now(), Found::default());
    for (path, good) in store.files().into_iter().filter(|(path, _)| wanted(path)) {
        for byte in 0..good.len() {
            if !all() && good[byte] == 0 && !byte.is_multiple_of(BLANK_STEP) {
                continue;
            }
            let bits = if all() { 0..8 } else { byte % 8..byte % 8 + 1 };
            for bit in bits {
                let mut bad = good.clone();
                bad[byte] ^= 1 << bit;
                store.with(&mut found, &path, bad, || format!("byte {byte}, bit {bit}"));
            }
        }
    }
    found.end(name, started);
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "log")
}

#[test]
fn flipped_bits_of_segments_are_refused_or_in_blank_space() {
    flips("segment-flips", is_segment);
}

#[test]
fn flipped_bits_of_the_identity_the_vote_and_the_mark_are_refused_or_mended() {
    flips("other-flips", |path| !is_segment(path));
}

#[test]
fn files_cut_at_any_length_are_refused_or_lack_blank_space() {
    let (store, started, mut found) = (store(), Instant::now(), Found::default());
    let step = if all() { 1 } else { 7 };
    for (path, good) in store.files() {
        for len in (0..good.len()).step_by(step) {
            store.with(&mut found, &path, good[..len].to_vec(), || format!("cut to {len}"));
        }
    }
    found.end("lengths", started);
}

#[test]
fn blocks_that_are_zeroed_swapped_doubled_or_old_are_refused_or_harmless() {
    let (store, started, mut found) = (store(), Instant::now(), Found::default());
    let segments = store.segments();
    for (path, good) in store.files() {
        let blocks = good.len().div_ceil(BLOCK);
        let block = |bytes: &[u8], at: usize| bytes[at * BLOCK..bytes.len().min((at + 1) * BLOCK)].to_vec();
        let put = |bad: &mut [u8], at: usize, new: &[u8]| {
            let room = bad.len().min((at + 1) * BLOCK) - at * BLOCK;
            let len = room.min(new.len());
            bad[at * BLOCK..at * BLOCK + len].copy_from_slice(&new[..len]);
        };
        for at in 0..blocks {
            let mut with = |new: &[u8], what: &str| {
                let mut bad = good.clone();
                put(&mut bad, at, new);
                store.with(&mut found, &path, bad, || format!("block {at} {what}"));
            };
            with(&[0; BLOCK], "zeroed");
            with(&[0xff; BLOCK], "filled");
            if let Ok(old) = store.earlier.read(&path)
                && at * BLOCK < old.len()
            {
                with(&block(old, at), "of an earlier time");
            }
            for (other, bytes) in segments.iter().filter(|(other, _)| *other != path) {
                if at * BLOCK < bytes.len() {
                    with(&block(bytes, at), &format!("of {}", other.display()));
                }
            }
            for from in (0..blocks).filter(|from| *from != at) {
                with(&block(&good, from), &format!("overwritten by {from}"));
            }
            for other in at + 1..blocks {
                let mut bad = good.clone();
                put(&mut bad, at, &block(&good, other));
                put(&mut bad, other, &block(&good, at));
                store.with(&mut found, &path, bad, || format!("blocks {at} and {other} swapped"));
            }
        }
    }
    found.end("blocks", started);
}

/// Whole segments of an earlier time contradict their neighbours, and no file
/// can say which of them is old. An old vote file is whole and valid, and nothing
/// else on the disk contradicts it: it cannot be found here. An old mark is what
/// any crash may leave: it knows of less that is committed.
#[test]
fn a_segment_of_an_earlier_time_is_refused() {
    let (store, started, mut found) = (store(), Instant::now(), Found::default());
    for (path, _) in store.segments() {
        if let Ok(old) = store.earlier.read(&path) {
            let mut image = store.image.clone();
            image.replace(&path, old.to_vec()).unwrap();
            let folder = path.parent().unwrap();
            match store.open(image, |damaged| damaged.starts_with(folder)) {
                Ok(true) => found.harmless += 1,
                Ok(false) => found.refused += 1,
                Err(error) => found.silent.push(format!("{}: {error}", path.display())),
            }
        }
    }
    found.end("old-segments", started);
}

#[test]
fn damage_under_an_open_log_is_found_by_the_read() {
    let (store, started, mut found) = (store(), Instant::now(), Found::default());
    let disk = SimDisk::new(store.image.clone(), 1);
    let (log, _thread) = open(&disk, CONFIG).unwrap();
    let segments = store.segments();
    for (at, (path, good)) in segments.iter().enumerate().filter(|(at, _)| all() || *at == 3) {
        let first = first_of(path);
        let until = segments.get(at + 1).map_or(RECORDS + 1, |(next, _)| first_of(next));
        let expected = &store.held.records[first as usize - 1..until as usize - 1];
        for byte in 0..good.len() {
            let bits = if all() { 0..8 } else { byte % 8..byte % 8 + 1 };
            for bit in bits {
                let mut bad = good.clone();
                bad[byte] ^= 1 << bit;
                disk.replace(path, bad).unwrap();
                match log.read(LogIndex(first), LogIndex(until), usize::MAX) {
                    Ok(read) if read == expected => found.harmless += 1,
                    Err(LogError::Damaged { file, .. }) if file == *path => found.refused += 1,
                    other => found.silent.push(format!("byte {byte}, bit {bit}: {other:?}")),
                }
            }
        }
        disk.replace(path, good.clone()).unwrap();
    }
    found.end("reads", started);
}

fn first_of(path: &Path) -> u64 {
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}
