//! skeleton
mod error;
use crate::folder::DataFolder;
use bytes::Bytes;
pub use error::LogError;
use std::{io, time::Duration};
use weir_types::{GroupId, LogId, LogIndex};

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// A leader's first record, without content.
    Blank = 0,
    /// A command for apply.
    Command = 1,
    /// A membership of the group.
    Membership = 2,
}
/// One record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Its identity.
    pub id: LogId,
    /// What it is.
    pub kind: RecordKind,
    /// Its content, at most [`weir_types::limits::LOG_RECORD_BYTES_MAX`].
    pub payload: Bytes,
}
/// Where bytes lie in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The first log index of the segment.
    pub segment: u64,
    /// Offset in the segment's file, in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub len: u32,
}
/// Bounds of one group's log.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Bytes of one segment file.
    pub segment_bytes: u64,
    /// Bytes of payload of the newest records kept in memory.
    pub cache_bytes: usize,
}
impl Default for LogConfig {
    fn default() -> Self {
        Self { segment_bytes: 64 * 1024 * 1024, cache_bytes: 64 * 1024 * 1024 }
    }
}
/// Told once, from the log thread, when an operation is durable or has failed.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;
/// Called once, from the log thread, at the first failed write or fsync.
pub type Fatal = Box<dyn Fn(&io::Error) + Send>;
/// The thread that writes the logs of one node.
#[derive(Clone)]
pub struct LogThread;
impl LogThread {
    /// Starts it.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(_fatal: Fatal) -> io::Result<Self> {
        Ok(Self)
    }
}
/// What [`Log::open`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogRecovery {
    /// Records in the log.
    pub records: u64,
    /// Segment files.
    pub segments: usize,
    /// Bytes read and verified.
    pub bytes: u64,
    /// Bytes of a torn tail that were cut.
    pub torn_bytes: u64,
    /// How long it took.
    pub took: Duration,
}
/// One group's log.
#[derive(Clone)]
pub struct Log {
    recovery: LogRecovery,
}
fn none<T>() -> Result<T, LogError> {
    Err(LogError::Absent { wanted: "implementation yet".into() })
}
impl Log {
    /// Opens.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn open(
        _folder: &DataFolder,
        _group: GroupId,
        _config: LogConfig,
        _thread: &LogThread,
    ) -> Result<Self, LogError> {
        none()
    }
    /// What open found.
    #[must_use]
    pub fn recovery(&self) -> &LogRecovery {
        &self.recovery
    }
    /// Appends.
    ///
    /// # Errors
    /// [`LogError`]; `done` is then not called.
    pub fn append(&self, _records: Vec<LogRecord>, _done: Done) -> Result<(), LogError> {
        none()
    }
    /// Saves the vote.
    pub fn save_vote(&self, _vote: Bytes, _done: Done) {}
    /// Saves the committed id, lazily.
    pub fn save_committed(&self, _committed: Option<LogId>) {}
    /// Truncates.
    ///
    /// # Errors
    /// [`LogError`]; `done` is then not called.
    pub fn truncate_after(&self, _last: Option<LogIndex>, _done: Done) -> Result<(), LogError> {
        none()
    }
    /// Last id.
    #[must_use]
    pub fn last(&self) -> Option<LogId> {
        None
    }
    /// The vote.
    #[must_use]
    pub fn vote(&self) -> Option<Bytes> {
        None
    }
    /// The committed id.
    #[must_use]
    pub fn committed(&self) -> Option<LogId> {
        None
    }
    /// Reads.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn read(
        &self,
        _from: LogIndex,
        _until: LogIndex,
        _max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        none()
    }
    /// Where a payload lies.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn payload_place(&self, _index: LogIndex) -> Result<Place, LogError> {
        none()
    }
    /// Bytes of a place.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn read_at(&self, _place: Place) -> Result<Bytes, LogError> {
        none()
    }
    /// The last durable index.
    #[must_use]
    pub fn flushed(&self) -> LogIndex {
        LogIndex::ZERO
    }
}
