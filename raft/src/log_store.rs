//! openraft's log over the segment log.
//!
//! * An append is readable when it returns, and openraft is told from the log
//!   thread when it is durable: fsyncs are pipelined.
//! * A vote is durable before it is answered, in the order of all other writes.
//! * A read error is an error, never "no entries": a leader that took it for an
//!   empty log would start to send from the beginning.
//! * Purging hides entries from openraft until the next start and deletes
//!   nothing: the log is the event store. The configuration never asks for it.

use std::{
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::{Arc, Mutex, MutexGuard},
};

use futures::{Stream, StreamExt};
use openraft::{
    LogState, OptionalSend, RaftLogReader,
    storage::{IOFlushed, RaftLogStorage},
};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use tracing::warn;
use weir_storage::log::{Done, Log, LogError, LogRecord};
use weir_types::{GroupId, LogIndex, Planted, planted};

use crate::{
    entry,
    network::ENTRY_BYTES_PER_REQUEST_MAX,
    off_runtime::off_runtime,
    types::{self, RaftEntry, RaftLogId, RaftVote, TypeConfig},
    vote_record,
};

/// Entries that are taken to be in memory at the log's end; older ones are read off the runtime.
const HOT_ENTRIES: u64 = 64;
/// Bytes of entries read for apply at once.
const APPLY_READ_BYTES: usize = 4 * 1024 * 1024;

/// The log of one group, as openraft wants it. Cheap to clone; all clones are one log.
#[derive(Clone)]
pub struct LogStore {
    log: Log,
    group: GroupId,
    bounds: Arc<Mutex<Bounds>>,
    flushes: Arc<watch::Sender<()>>,
}

/// What openraft sees of the log, apart from its end.
#[derive(Clone, Copy)]
struct Bounds {
    /// The first entry that there is. A log is never cut at its front.
    first: LogIndex,
    /// The last entry that openraft asked to purge since the start.
    purged: Option<RaftLogId>,
}

impl LogStore {
    /// Takes an open log.
    #[must_use]
    pub fn new(log: Log, group: GroupId) -> Self {
        let bounds = Bounds { first: LogIndex(1), purged: None };
        let flushes = Arc::new(watch::Sender::new(()));
        Self { log, group, bounds: Arc::new(Mutex::new(bounds)), flushes }
    }

    fn bounds(&self) -> MutexGuard<'_, Bounds> {
        self.bounds.lock().expect("nothing panics while it holds this lock")
    }

    /// Tells when a flush may have ended.
    pub(crate) fn flushes(&self) -> watch::Receiver<()> {
        self.flushes.subscribe()
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// The part of a range that there is, as Weir counts: from inclusive, until exclusive.
    fn clamp(&self, range: &impl RangeBounds<u64>) -> (LogIndex, LogIndex) {
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index + 1,
            Bound::Unbounded => 0,
        };
        let until = match range.end_bound() {
            Bound::Included(index) => index.saturating_add(1),
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        let bounds = *self.bounds();
        let present = self.log.last().map_or(LogIndex::ZERO, |last| last.index);
        let hidden = bounds.purged.map_or(LogIndex::ZERO, |purged| types::log_index(purged.index()));
        let from = LogIndex(from.saturating_add(1)).max(hidden.next()).max(bounds.first);
        (from, LogIndex(until.saturating_add(1)).min(present.next()))
    }

    /// Reads from `from` on: at least one record, at most about `bytes_max`.
    async fn read(&self, from: LogIndex, until: LogIndex, bytes_max: usize) -> io::Result<Vec<RaftEntry>> {
        let hot = self.log.last().is_some_and(|last| from.0 + HOT_ENTRIES > last.index.0);
        let records = if hot {
            self.log.read(from, until, bytes_max)
        } else {
            let log = self.log.clone();
            off_runtime(log.is_simulated(), move || log.read(from, until, bytes_max))
                .await
                .expect("reading the log does not panic")
        };
        let records = records.map_err(io::Error::other)?;
        if records.first().map(|record| record.id.index) != Some(from) {
            return Err(io::Error::other(format!("log record {from} is missing")));
        }
        records.into_iter().map(entry_of).collect()
    }

    /// Runs a write that completes on the log thread, and waits for it.
    async fn durably(&self, write: impl FnOnce(Done) -> Result<(), LogError>) -> io::Result<()> {
        let (done, outcome) = oneshot::channel();
        let flushes = self.flushes.clone();
        write(Box::new(move |result| {
            flushes.send_replace(());
            // Nobody waits when openraft is stopping.
            let _ = done.send(result);
        }))
        .map_err(io::Error::other)?;
        outcome.await.map_err(|_| io::Error::other("log thread has stopped"))?
    }
}

fn entry_of(record: LogRecord) -> io::Result<RaftEntry> {
    entry::entry_of(record).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<RaftEntry>, io::Error> {
        let (mut from, until) = self.clamp(&range);
        let mut entries = Vec::new();
        while from < until {
            let more = self.read(from, until, APPLY_READ_BYTES).await?;
            from = from.plus(more.len() as u64);
            entries.extend(more);
        }
        Ok(entries)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<RaftEntry>, io::Error> {
        let (from, until) = self.clamp(&(start..end));
        if from >= until {
            return Ok(Vec::new());
        }
        self.read(from, until, ENTRY_BYTES_PER_REQUEST_MAX).await
    }

    /// Reads as apply consumes, so that a long log is never in memory as a whole.
    async fn entries_stream<R>(
        &mut self,
        range: R,
    ) -> impl Stream<Item = Result<RaftEntry, io::Error>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, until) = self.clamp(&range);
        let reads = futures::stream::unfold(Some((self.clone(), from)), move |state| async move {
            let (store, from) = state.filter(|(_, from)| *from < until)?;
            match store.read(from, until, APPLY_READ_BYTES).await {
                Ok(entries) => {
                    let next = from.plus(entries.len() as u64);
                    let entries = entries.into_iter().map(Ok).collect::<Vec<_>>();
                    Some((futures::stream::iter(entries), Some((store, next))))
                }
                Err(error) => Some((futures::stream::iter(vec![Err(error)]), None)),
            }
        });
        reads.flatten().fuse().boxed()
    }

    async fn read_vote(&mut self) -> Result<Option<RaftVote>, io::Error> {
        let vote = self.log.vote().map(vote_record::decode).transpose();
        vote.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let last_purged_log_id = self.bounds().purged;
        let last = self.log.last().map(|last| types::raft_log_id(&last));
        Ok(LogState { last_purged_log_id, last_log_id: last.max(last_purged_log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &RaftVote) -> Result<(), io::Error> {
        let vote = vote_record::encode(vote);
        self.durably(|done| {
            self.log.save_vote(vote, done);
            Ok(())
        })
        .await
    }

    async fn save_committed(&mut self, committed: Option<RaftLogId>) -> Result<(), io::Error> {
        self.log.save_committed(committed.map(|id| types::log_id(&id)));
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<RaftLogId>, io::Error> {
        Ok(self.log.committed().map(|id| types::raft_log_id(&id)))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records: Vec<_> = entries.into_iter().map(|entry| entry::record_of(&entry)).collect();
        if let (None, Some(first)) = (self.log.last(), records.first()) {
            self.bounds().first = first.id.index;
        }
        let (flushes, began, group) = (self.flushes.clone(), Instant::now(), self.group.0.to_string());
        let done: Done = Box::new(move |result| {
            metrics::histogram!("weir_raft_log_flush_seconds", "group" => group)
                .record(began.elapsed().as_secs_f64());
            flushes.send_replace(());
            callback.io_completed(result);
        });
        self.log.append(records, done).map_err(io::Error::other)
    }

    async fn truncate_after(&mut self, last: Option<RaftLogId>) -> Result<(), io::Error> {
        let mut last = last.map(|id| types::log_index(id.index()));
        if planted(Planted::CutTooFar) {
            last = last.map(|last| LogIndex(last.0 - 1));
        }
        if last >= self.log.last().map(|there| there.index) {
            return Ok(());
        }
        warn!(group = self.group.0, last = last.map(|index| index.0), "uncommitted log tail is cut");
        self.durably(|done| self.log.truncate_after(last, done)).await
    }

    async fn purge(&mut self, upto: RaftLogId) -> Result<(), io::Error> {
        warn!(
            group = self.group.0,
            upto = types::log_index(upto.index()).0,
            "log entries are hidden, not deleted"
        );
        let mut bounds = self.bounds();
        bounds.purged = bounds.purged.max(Some(upto));
        Ok(())
    }
}
