//! The files of a log: whatever they hold, the log opens with what was written,
//! or says what is damaged.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use bytes::Bytes;
use weir_storage::{
    disk::{
        Disk,
        sim::{Image, SimDisk},
    },
    folder::{DataFolder, Identity},
    log::{Log, LogConfig, LogDamage, LogError, LogRecord, LogThread, RecordKind},
};
use weir_types::{ClusterId, GroupId, LogId, LogIndex, NodeId, Term};

use crate::{Target, edits::damage, memory::Bound, seal};

/// A log reads in pieces of 1 MiB, and a record by the length in its header.
const LOG: Bound = Bound { fixed: 48 * 1024 * 1024, per_byte: 64 };

pub(super) const SEGMENT: Target = Target {
    name: "segment",
    about: "segment files damaged step by step: no wrong record is served, and only a torn tail is cut",
    run: segment,
    memory: LOG,
    seeds: &[],
    slow_ms: 0,
};

pub(super) const SLOTS: Target = Target {
    name: "slots",
    about: "vote and mark files damaged step by step: the vote is the newest or refused",
    run: slots,
    memory: LOG,
    seeds: &["fuzz/corpus/segment"],
    slow_ms: 0,
};

pub(super) const IDENTITY: Target = Target {
    name: "identity",
    about: "the identity file, sealed when the first byte is odd: it opens for its owner only",
    run: identity,
    memory: LOG,
    seeds: &["storage/golden/v1", "storage/golden/v2"],
    slow_ms: 0,
};

const FOLDER: &str = "/data";
const CONFIG: LogConfig = LogConfig { segment_bytes: 1200, cache_bytes: 0 };
const RECORDS: u64 = 12;
const VOTE: &[u8] = b"the newest vote";

/// A log's files.
struct Store {
    image: Image,
    /// Whether the mark file knows of all records.
    closed: bool,
    /// Segment files in order, then mark and vote.
    files: Vec<PathBuf>,
    records: Vec<LogRecord>,
}

/// Closed in order, and killed before the mark file knew of the last records.
fn stores() -> &'static [Store; 2] {
    static STORES: OnceLock<[Store; 2]> = OnceLock::new();
    STORES.get_or_init(|| [true, false].map(store))
}

fn store(closed: bool) -> Store {
    let disk = SimDisk::default();
    let (log, thread) = open(&disk).expect("an empty disk takes a log");
    let mut records = Vec::new();
    for index in 1..=RECORDS {
        let payload = Bytes::from(vec![b'a' + index as u8; (index as usize * 37) % 150]);
        let id = LogId { term: Term(1 + index / 5), leader: NodeId(1), index: LogIndex(index) };
        let record = LogRecord { id, kind: RecordKind::Command, payload };
        log.append(vec![record.clone()], Box::new(|done| done.expect("memory takes all")))
            .expect("it follows");
        records.push(record);
        while thread.pump() {}
    }
    log.save_vote(Bytes::from_static(b"an older vote"), Box::new(|_| {}));
    log.save_vote(Bytes::from_static(VOTE), Box::new(|_| {}));
    while thread.pump() {}
    if closed {
        drop(log);
    }
    let image = disk.image();
    let named = |ending: &str| {
        image.files().map(|(path, _)| path).filter(|path| path.ends_with(ending)).collect::<Vec<_>>()
    };
    let mut files: Vec<PathBuf> = image
        .files()
        .map(|(path, _)| path)
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    assert!(files.len() >= 2, "the records take several segments");
    files.extend(named("mark"));
    files.extend(named("vote"));
    Store { image, closed, files, records }
}

fn owner() -> Identity {
    Identity { cluster: ClusterId(uuid::Uuid::from_u128(7)), node: NodeId(1) }
}

fn open(disk: &SimDisk) -> Result<(Log, LogThread), LogError> {
    let folder = folder(disk);
    let thread =
        LogThread::pumped(Box::new(|error| panic!("a disk in memory failed: {error}")), Box::new(|| {}));
    Log::open(&folder, GroupId::DEFAULT, CONFIG, &thread).map(|log| (log, thread))
}

fn folder(disk: &SimDisk) -> DataFolder {
    DataFolder::open_on(Disk::Sim(disk.clone()), FOLDER, owner()).expect("its identity is whole")
}

/// First byte: which store, which file, sealed or not, whole or damaged. Then
/// the steps of the damage, or the file itself.
fn segment(data: &[u8]) {
    let Some((mode, program)) = data.split_first() else { return };
    let store = &stores()[usize::from(mode & 1)];
    let (sealed, whole) = (mode & 2 != 0, mode & 4 != 0);
    let segments = store.files.len() - 2;
    let path = &store.files[usize::from(mode >> 3) % segments];
    let mut image = store.image.clone();
    let mut file = image.read(path).expect("it is there").to_vec();
    match whole {
        true => {
            file.truncate(128);
            file.extend_from_slice(program);
        }
        false => damage(&mut file, program),
    }
    if sealed {
        seal::segment(&mut file);
    }
    image.replace(path, file).expect("it is there");
    check(store, image, !sealed);
}

fn slots(data: &[u8]) {
    let Some((mode, program)) = data.split_first() else { return };
    let store = &stores()[usize::from(mode & 1)];
    let sealed = mode & 2 != 0;
    let path = &store.files[store.files.len() - 1 - usize::from(mode >> 2 & 1)];
    let mut image = store.image.clone();
    let mut file = image.read(path).expect("it is there").to_vec();
    damage(&mut file, program);
    if sealed {
        seal::slots(&mut file);
    }
    image.replace(path, file).expect("it is there");
    check(store, image, !sealed);
}

/// Opens the log on these files. `honest` damage is what a disk does; other
/// damage has right checksums, and then what was written before is no measure.
fn check(store: &Store, image: Image, honest: bool) {
    let disk = SimDisk::new(image.clone(), 1);
    match open(&disk) {
        Ok((log, _thread)) => {
            let served = served(&log, &image);
            if honest {
                assert!(store.records.starts_with(&served), "another record than was written is served");
                let proven = proven(store, &image);
                assert!(
                    served.len() as u64 >= proven,
                    "{} of {proven} proven records are served",
                    served.len()
                );
                assert_eq!(log.vote().as_deref(), Some(VOTE), "another vote than the newest");
            }
        }
        Err(LogError::Damaged { .. }) => survey(&image),
        Err(error) => assert!(!honest, "damage alone led to: {error}"),
    }
}

/// Every record that the log serves, each of which lies in the files with right checksums.
fn served(log: &Log, image: &Image) -> Vec<LogRecord> {
    let placed = log.read_placed(LogIndex(1), LogIndex(u64::MAX), usize::MAX);
    let placed = placed.expect("what open verified is read");
    for (record, place) in &placed {
        let path = Path::new(FOLDER).join(format!("log/{}/{:020}.log", GroupId::DEFAULT, place.segment));
        let file = image.read(&path).expect("a place is in a file");
        let start = usize::try_from(place.offset).expect("a small file");
        let payload = start..start + place.len as usize;
        assert!(file[payload.clone()] == record.payload, "the payload is not what lies at its place");
        assert!(seal::payload_is_right(file, payload), "a record with a wrong checksum is served");
    }
    placed.into_iter().map(|(record, _)| record).collect()
}

/// How many records some whole part of the files proves to have been durable:
/// the mark file, a header that says up to where all was, a segment that was begun.
fn proven(store: &Store, image: &Image) -> u64 {
    let segments = &store.files[..store.files.len() - 2];
    let first_of = |path: &PathBuf| -> u64 {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a segment's name is text");
        name.parse().expect("a segment's name is a number")
    };
    let last = segments.iter().map(first_of).max().unwrap_or(1);
    let said = segments.iter().flat_map(|path| seal::records(image.read(path).expect("it is there")));
    let said = said.map(|record| record.durable_until.min(record.index)).max().unwrap_or(0);
    if store.closed { RECORDS } else { last.max(said).saturating_sub(1) }
}

/// What a peer would be asked for is found without a panic.
fn survey(image: &Image) {
    let disk = SimDisk::new(image.clone(), 1);
    if let Ok(Some(damage)) = LogDamage::find(&folder(&disk), GroupId::DEFAULT) {
        let (_, _) = (damage.needs(), damage.offset());
    }
}

fn identity(data: &[u8]) {
    let Some((mode, bytes)) = data.split_first() else { return };
    let mut file = bytes.to_vec();
    if mode % 2 == 1 {
        seal::identity(&mut file);
    }
    let mut image = stores()[0].image.clone();
    image.replace(&Path::new(FOLDER).join("identity"), file).expect("it is there");
    let disk = Disk::Sim(SimDisk::new(image, 1));
    let found = DataFolder::peek_on(&disk, FOLDER);
    let opened = DataFolder::open_on(disk, FOLDER, owner());
    match found {
        Ok(found) => assert_eq!(opened.is_ok(), found == Some(owner()), "it opens for its owner only"),
        Err(_) => assert!(opened.is_err(), "a damaged identity opens"),
    }
}
