//! The log of one group: an append-only list of records in segment files. It is
//! the event store; all else on disk is a materialization of it.
//!
//! Invariants (research L1 to L5, L8, L10):
//! - `done(Ok)` means durable: an append, a vote or a truncation is told only
//!   after fdatasync, in order of submission. The order of submission is the
//!   order on disk, for votes and records alike.
//! - Indexes are consecutive, terms never fall, and each record holds a hash of
//!   the one before it. An append that would leave a hole is refused.
//! - A record is readable when `append` returns, and what is not durable yet is
//!   in memory.
//! - A torn tail was never acknowledged and is cut at open. Damage to what was
//!   durable is [`LogError::Damaged`], at open or when it is read; it is never
//!   served and never cut. Open reads and verifies all of the log.
//! - A failed write or fsync is never retried. It stops the log thread, and with
//!   it every log of the node.
//!
//! All calls are synchronous. Those that read may wait for the disk; those that
//! write only queue.

mod disk;
mod error;
mod frame;
mod map;
mod mark;
mod owner;
mod prepare;
#[cfg(feature = "sim")]
mod pump;
mod reader;
mod record;
mod recovery;
mod repair;
mod segment;
mod shared;
mod slots;
mod state;
mod tail;
mod thread;
mod vote;
mod walk;
mod writer;

use std::{
    io,
    sync::{Arc, MutexGuard},
};

use bytes::Bytes;
use tracing::info;
use weir_types::{GroupId, LogId, LogIndex, limits};

#[cfg(feature = "sim")]
pub use self::pump::Wake;
pub(crate) use self::segment::path_of as segment_path;
pub use self::{
    error::LogError,
    record::{LogRecord, Place, RecordKind},
    recovery::LogRecovery,
    repair::{LogDamage, MendError},
    thread::{Done, Fatal, LogThread},
};
use self::{
    owner::Owner,
    prepare::Preparer,
    reader::{Located, SegmentReader},
    recovery::Recovered,
    shared::Shared,
    state::LogState,
    thread::Op,
};
use crate::folder::DataFolder;

/// Bounds of one group's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// Bytes of a segment file. A longer record gets a segment of its own, and a
    /// segment that must be made while a writer waits is at most 4 MiB long.
    pub segment_bytes: u64,
    /// Bytes of memory for the newest records. Records that are not durable yet
    /// are in memory beyond it; whoever appends bounds them.
    pub cache_bytes: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { segment_bytes: 64 * 1024 * 1024, cache_bytes: 64 * 1024 * 1024 }
    }
}

/// A handle of one group's log; cheap to clone. The last one waits until all
/// that was submitted is durable and gives the log back.
#[derive(Debug, Clone)]
pub struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    number: u64,
    thread: LogThread,
    shared: Arc<Shared>,
    reader: SegmentReader,
    preparer: Preparer,
    recovery: LogRecovery,
    /// The folder stays locked while a log of it is open.
    folder: DataFolder,
}

impl Log {
    /// Opens a group's log, making an empty one when there is none, and verifies all of it.
    ///
    /// # Errors
    /// [`LogError::Damaged`], [`LogError::Foreign`], [`LogError::Newer`],
    /// [`LogError::Io`]; [`LogError::Stopped`] when the log thread is stopped.
    pub fn open(
        folder: &DataFolder,
        group: GroupId,
        config: LogConfig,
        thread: &LogThread,
    ) -> Result<Self, LogError> {
        let (dir, owner) = (folder.log_dir(group), Owner { identity: folder.identity(), group });
        let Recovered { disk, map, last, vote, report } = recovery::recover(folder.disk(), &dir, owner)?;
        let flushed_until = disk.next;
        let shared = Arc::new(Shared::new(LogState {
            last,
            vote,
            committed: disk.mark.committed,
            committed_epoch: 0,
            mark_owed: false,
            flushed_until,
            epoch: 0,
            tail: tail::TailCache::default(),
            map,
            config,
        }));
        let number = thread.number();
        let join = Op::Join { log: number, disk: Box::new(disk), shared: shared.clone() };
        thread.send(join).map_err(|_| stopped(thread))?;
        info!(
            group = group.0,
            records = report.records,
            segments = report.segments,
            bytes = report.bytes,
            torn_bytes = report.torn_bytes,
            milliseconds = report.took.as_millis(),
            "log opened"
        );
        Ok(Self(Arc::new(Inner {
            number,
            thread: thread.clone(),
            shared,
            reader: SegmentReader::new(folder.disk().clone(), dir.clone(), owner),
            preparer: Preparer::new(folder.disk().clone(), dir, config.segment_bytes),
            recovery: report,
            folder: folder.clone(),
        })))
    }

    /// Whether it lies on a simulated disk, where whoever asks does all the work.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.0.folder.disk().is_simulated()
    }

    /// What open found.
    #[must_use]
    pub fn recovery(&self) -> &LogRecovery {
        &self.0.recovery
    }

    /// Appends records, which follow the log without a hole. They are readable
    /// and have their places on return; `done` is told when they are durable.
    /// An empty log takes any first index.
    ///
    /// # Errors
    /// [`LogError::NotNext`], [`LogError::TermFalls`], [`LogError::TooLarge`] or
    /// [`LogError::Stopped`]. Nothing was then appended, and `done` is dropped.
    pub fn append(&self, records: Vec<LogRecord>, done: Done) -> Result<(), LogError> {
        let mut state = self.writable()?;
        state.check(&records)?;
        let steps = state.append(records, &self.0.preparer);
        let committed = (state.committed, state.committed_epoch);
        let (log, progress) = (self.0.number, state.progress());
        self.queue(Op::Append { log, steps, committed, progress, done });
        Ok(())
    }

    /// Replaces the vote, in order with appends. It is readable on return and
    /// durable when `done` is told. A vote over [`limits::VOTE_BYTES_MAX`] bytes is refused there.
    pub fn save_vote(&self, vote: Bytes, done: Done) {
        let (bytes, max) = (vote.len(), limits::VOTE_BYTES_MAX);
        if bytes > max {
            let reason = format!("vote has {bytes} bytes, over the limit of {max}");
            return done(Err(io::Error::new(io::ErrorKind::InvalidInput, reason)));
        }
        let mut state = self.0.shared.state();
        state.vote = Some(vote.clone());
        self.queue(Op::Vote { log: self.0.number, vote, done });
    }

    /// Notes what the group has committed. It is written with the next append,
    /// or when the log was quiet for a moment or is closed; what is committed is
    /// never lost, a restart only learns of it from the group again.
    pub fn save_committed(&self, committed: Option<LogId>) {
        let mut state = self.0.shared.state();
        state.committed = committed;
        state.committed_epoch = state.epoch;
        // The thread need not wake for what it will see anyway.
        if !std::mem::replace(&mut state.mark_owed, true) {
            let committed = (committed, state.committed_epoch);
            self.queue(Op::Committed { log: self.0.number, committed });
        }
    }

    /// Drops all records after `last`, or all when `None`. They are not readable
    /// on return and gone for good when `done` is told. The caller appends and
    /// truncates from one place at a time.
    ///
    /// # Errors
    /// [`LogError::Absent`] when the log does not reach back to `last`;
    /// [`LogError::Committed`] when it would drop what is committed;
    /// [`LogError::Damaged`], [`LogError::Io`], [`LogError::Stopped`].
    /// Nothing was then dropped, and `done` is dropped.
    pub fn truncate_after(&self, last: Option<LogIndex>, done: Done) -> Result<(), LogError> {
        let kept = last.map(|last| self.locate(last)).transpose()?;
        let mut state = self.writable()?;
        if let Some(committed) = state.committed
            && last.is_none_or(|last| last < committed.index)
        {
            return Err(LogError::Committed { committed: committed.index, last });
        }
        let log = self.0.number;
        let truncation = state.truncate(kept.map(|kept| (kept.id, kept.place)));
        self.queue(Op::Truncate { log, truncation, progress: state.progress(), done });
        Ok(())
    }

    /// The id of the last record, durable or not.
    #[must_use]
    pub fn last(&self) -> Option<LogId> {
        self.0.shared.state().last
    }

    /// The last vote that was saved, durable or not.
    #[must_use]
    pub fn vote(&self) -> Option<Bytes> {
        self.0.shared.state().vote.clone()
    }

    /// What the group had committed, to this node's knowledge. After a restart it
    /// may be less than before, and is never past the log's end.
    #[must_use]
    pub fn committed(&self) -> Option<LogId> {
        self.0.shared.state().committed
    }

    /// The index of the last durable record; 0 when there is none.
    #[must_use]
    pub fn flushed(&self) -> LogIndex {
        self.0.shared.state().flushed_index()
    }

    /// Reads consecutive records from `from`, up to `until` exclusive, as long as
    /// their payloads fit `bytes_max`; at least one if there is one. Empty means
    /// that the log holds no record at `from`.
    ///
    /// # Errors
    /// [`LogError::Damaged`] with file and offset, [`LogError::Io`]. A read error
    /// is never an empty answer.
    pub fn read(
        &self,
        from: LogIndex,
        until: LogIndex,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        let placed = self.read_placed(from, until, bytes_max)?;
        Ok(placed.into_iter().map(|(record, _)| record).collect())
    }

    /// As [`Log::read`], with the place of each record's payload.
    ///
    /// # Errors
    /// As [`Log::read`].
    pub fn read_placed(
        &self,
        from: LogIndex,
        until: LogIndex,
        bytes_max: usize,
    ) -> Result<Vec<(LogRecord, Place)>, LogError> {
        let mut records: Vec<(LogRecord, Place)> = Vec::new();
        let mut bytes_left = bytes_max;
        let mut next = from.0;
        while next < until.0 {
            let part = self.read_part(next, until.0, bytes_left)?;
            let Some((last, _)) = part.last() else { break };
            let part_bytes: usize = part.iter().map(|(record, _)| record.payload.len()).sum();
            if part_bytes > bytes_left && !records.is_empty() {
                break;
            }
            next = last.id.index.next().0;
            bytes_left = bytes_left.saturating_sub(part_bytes);
            records.extend(part);
        }
        Ok(records)
    }

    /// Where a record's payload lies.
    ///
    /// # Errors
    /// [`LogError::Absent`] when there is no such record; [`LogError::Damaged`], [`LogError::Io`].
    pub fn payload_place(&self, index: LogIndex) -> Result<Place, LogError> {
        self.locate(index).map(|located| located.place)
    }

    /// The bytes of a place: of a payload, or of an event inside one. They are
    /// as they lie on disk; the caller has their checksum.
    ///
    /// # Errors
    /// [`LogError::Absent`] when no such place is in the log; [`LogError::Damaged`], [`LogError::Io`].
    pub fn read_at(&self, place: Place) -> Result<Bytes, LogError> {
        let incarnation = {
            let state = self.0.shared.state();
            if let Some(bytes) = state.tail.bytes_at(place) {
                return Ok(bytes);
            }
            let end = place.offset.saturating_add(u64::from(place.len));
            match state.map.segment(place.segment) {
                Some(segment) if end <= segment.end => segment.incarnation,
                _ => return Err(LogError::Absent { wanted: format!("bytes at {place:?}") }),
            }
        };
        self.0.reader.bytes(place, incarnation)
    }

    /// Records from one place: memory, or one segment. Empty when there is none at `from`.
    fn read_part(
        &self,
        from: u64,
        until: u64,
        bytes_max: usize,
    ) -> Result<Vec<(LogRecord, Place)>, LogError> {
        self.undisturbed(|state| {
            if state.tail.get(from).is_some() {
                return Ok(Found::Here(from_tail(state, from, until, bytes_max)));
            }
            let until = until.min(state.tail.first().unwrap_or(state.next()));
            match state.map.locate(from) {
                Some(spot) if from < until => Ok(Found::OnDisk(move |reader: &SegmentReader| {
                    reader.records(spot, from, until, bytes_max)
                })),
                _ => Ok(Found::Here(Vec::new())),
            }
        })
    }

    fn locate(&self, index: LogIndex) -> Result<Located, LogError> {
        self.undisturbed(|state| {
            if let Some(cached) = state.tail.get(index.0) {
                return Ok(Found::Here(Located { id: cached.record.id, place: cached.place }));
            }
            match state.map.locate(index.0) {
                Some(spot) if index.0 < state.next() => {
                    Ok(Found::OnDisk(move |reader: &SegmentReader| reader.locate(spot, index.0)))
                }
                _ => Err(LogError::Absent { wanted: format!("record {index}") }),
            }
        })
    }

    /// Looks under the lock and reads without it. A read that a truncation went
    /// through may have seen its zeros, and is done again.
    fn undisturbed<T, R>(
        &self,
        look: impl Fn(&LogState) -> Result<Found<T, R>, LogError>,
    ) -> Result<T, LogError>
    where
        R: FnOnce(&SegmentReader) -> Result<T, LogError>,
    {
        loop {
            let (epoch, found) = {
                let state = self.0.shared.state();
                (state.epoch, look(&state)?)
            };
            match found {
                Found::Here(value) => return Ok(value),
                Found::OnDisk(read) => {
                    let result = read(&self.0.reader);
                    if result.is_ok() || self.0.shared.state().epoch == epoch {
                        return result;
                    }
                }
            }
        }
    }

    /// The state, unless nothing is written any more. What is sent while it is
    /// held keeps the order of its changes.
    fn writable(&self) -> Result<MutexGuard<'_, LogState>, LogError> {
        let state = self.0.shared.state();
        match self.0.thread.stopped() {
            Some(error) => Err(LogError::Stopped { reason: error.to_string() }),
            None => Ok(state),
        }
    }

    fn queue(&self, op: Op) {
        if let Err(op) = self.0.thread.send(op) {
            op.refuse(io::Error::other("the log thread is gone"));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.thread.leave(self.number);
    }
}

/// What a look at the state gave: the answer, or where on disk it is.
enum Found<T, R> {
    Here(T),
    OnDisk(R),
}

fn from_tail(state: &LogState, from: u64, until: u64, bytes_max: usize) -> Vec<(LogRecord, Place)> {
    let mut records: Vec<(LogRecord, Place)> = Vec::new();
    let mut bytes_left = bytes_max;
    for cached in state.tail.from(from).take_while(|cached| cached.record.id.index.0 < until) {
        let bytes = cached.record.payload.len();
        if bytes > bytes_left && !records.is_empty() {
            break;
        }
        bytes_left = bytes_left.saturating_sub(bytes);
        records.push((cached.record.clone(), cached.place));
    }
    records
}

fn stopped(thread: &LogThread) -> LogError {
    let reason = thread.stopped().map_or_else(|| "the log thread is gone".into(), |error| error.to_string());
    LogError::Stopped { reason }
}
