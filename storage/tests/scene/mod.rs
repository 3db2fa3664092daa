//! A log in a folder of its own, and what may happen to its files.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "only tests use it, clippy knows only test functions")]

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use bytes::Bytes;
use tempfile::TempDir;
use weir_storage::{
    folder::{DataFolder, Identity},
    log::{Done, Log, LogConfig, LogError, LogRecord, LogThread, RecordKind},
};
use weir_types::{ClusterId, GroupId, LogId, LogIndex, NodeId, Term};

pub const GROUP: GroupId = GroupId::DEFAULT;
pub const TINY: LogConfig = LogConfig { segment_bytes: 640, cache_bytes: 0 };
pub const DEADLINE: Duration = Duration::from_secs(30);

pub struct Scene {
    pub dir: TempDir,
    pub config: LogConfig,
}

impl Scene {
    pub fn new(config: LogConfig) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), config }
    }

    pub fn try_open(&self) -> Result<Log, LogError> {
        let folder = DataFolder::open(self.dir.path(), identity()).unwrap();
        Log::open(&folder, GROUP, self.config, &log_thread())
    }

    pub fn open(&self) -> Log {
        self.try_open().unwrap()
    }

    pub fn log_dir(&self) -> PathBuf {
        self.dir.path().join("log").join(GROUP.to_string())
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.log_dir().join(name)
    }

    pub fn segments(&self) -> Vec<PathBuf> {
        let mut segments: Vec<_> = fs::read_dir(self.log_dir())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .collect();
        segments.sort();
        segments
    }

    /// The folder as it is on disk now, as after the process was killed.
    pub fn crashed(&self) -> Self {
        let copy = Self::new(self.config);
        copy_folder(self.dir.path(), copy.dir.path());
        copy
    }
}

pub fn identity() -> Identity {
    Identity { cluster: ClusterId(uuid::Uuid::from_u128(7)), node: NodeId(1) }
}

pub fn log_thread() -> LogThread {
    LogThread::start(Box::new(|error| panic!("the log thread failed: {error}"))).unwrap()
}

/// Copies a folder whose files come and go; spare segments are not part of it.
pub fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else if entry.path().extension().is_none_or(|extension| extension != "new") {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub fn record(term: u64, index: u64, payload: impl Into<Bytes>) -> LogRecord {
    let id = LogId { term: Term(term), leader: NodeId(1), index: LogIndex(index) };
    LogRecord { id, kind: RecordKind::Command, payload: payload.into() }
}

/// Records of one term with payloads of different lengths.
pub fn records(term: u64, indexes: std::ops::Range<u64>) -> Vec<LogRecord> {
    indexes.map(|index| record(term, index, payload(term, index))).collect()
}

pub fn payload(term: u64, index: u64) -> String {
    format!("{term}/{index}:{}", "x".repeat((index * 7 % 40) as usize))
}

/// A completion, and the way to wait for it.
pub fn done() -> (Done, mpsc::Receiver<io::Result<()>>) {
    let (sender, receiver) = mpsc::channel();
    // A test that does not wait has dropped the receiver.
    (Box::new(move |result| drop(sender.send(result))), receiver)
}

pub fn wait(receiver: &mpsc::Receiver<io::Result<()>>) -> io::Result<()> {
    receiver.recv_timeout(DEADLINE).expect("an operation completes")
}

pub fn append(log: &Log, records: Vec<LogRecord>) {
    let (done, receiver) = done();
    log.append(records, done).unwrap();
    wait(&receiver).unwrap();
}

/// Appends each record by itself, so that each has the mark of the one before it.
pub fn append_each(log: &Log, records: Vec<LogRecord>) {
    for record in records {
        append(log, vec![record]);
    }
}

pub fn truncate_after(log: &Log, last: Option<u64>) {
    let (done, receiver) = done();
    log.truncate_after(last.map(LogIndex), done).unwrap();
    wait(&receiver).unwrap();
}

pub fn save_vote(log: &Log, vote: impl Into<Bytes>) {
    let (done, receiver) = done();
    log.save_vote(vote.into(), done);
    wait(&receiver).unwrap();
}

pub fn read_all(log: &Log) -> Vec<LogRecord> {
    log.read(LogIndex(0), LogIndex(u64::MAX), usize::MAX)
        .and_then(|records| match records.is_empty() {
            false => Ok(records),
            true => log.read(LogIndex(1), LogIndex(u64::MAX), usize::MAX),
        })
        .unwrap()
}

pub fn last_index(log: &Log) -> u64 {
    log.last().map_or(0, |last| last.index.0)
}
