//! What a log's submitters see: every submitted record is readable, has its
//! place, and is in memory until it is durable.
//!
//! Invariants: indexes are consecutive and terms never fall; `flushed_until` is
//! at most one past the last record; what is not below it is in the tail. A
//! truncation begins a new epoch, so that a flush of records that it took says
//! nothing about the records that came in their place.

use bytes::Bytes;
use weir_types::{LogId, LogIndex, limits};

use super::{
    LogConfig,
    error::LogError,
    frame::{self, HEADER_BYTES},
    map::SegmentMap,
    mark::Cut,
    prepare::Preparer,
    record::{LogRecord, Place},
    segment::{Blank, SEGMENT_HEADER_BYTES},
    tail::TailCache,
};

/// The length of a segment that must be made while a writer waits for it: a
/// fresh node starts at once, and the next segment is prepared meanwhile.
const STARTER_BYTES: u64 = 4 * 1024 * 1024;

/// The submitters' side of one log.
#[derive(Debug)]
pub(super) struct LogState {
    pub(super) last: Option<LogId>,
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<LogId>,
    /// The epoch in which it was noted.
    pub(super) committed_epoch: u64,
    /// Whether the log thread is sure to look at `committed` again before it rests.
    pub(super) mark_owed: bool,
    /// Exclusive: every record with a lower index is durable.
    pub(super) flushed_until: u64,
    /// Counts truncations.
    pub(super) epoch: u64,
    pub(super) tail: TailCache,
    pub(super) map: SegmentMap,
    pub(super) config: LogConfig,
}

/// What the log thread has to do for an append, in this order.
#[derive(Debug)]
pub(super) enum Step {
    /// Begin a segment with the record at this index.
    Roll(u64, Blank),
    /// Write records to the current segment.
    Write(Vec<LogRecord>),
}

/// A claim that records are durable, good for one epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    pub(super) until: u64,
    pub(super) epoch: u64,
}

/// What the log thread has to do for a truncation.
#[derive(Debug)]
pub(super) struct Truncation {
    /// What is kept.
    pub(super) cut: Cut,
    /// Where the header of the last kept record begins, in the cut's segment.
    pub(super) last_offset: u64,
    /// The byte after the last record of the cut's segment.
    pub(super) end: u64,
    /// Segments that go, in order.
    pub(super) dropped: Vec<u64>,
    /// The index after the last kept record; 0 when nothing is kept.
    pub(super) next: u64,
}

impl LogState {
    /// The index after the last record. 0 for an empty log.
    pub(super) fn next(&self) -> u64 {
        self.last.map_or(0, |last| last.index.next().0)
    }

    /// The progress that is made when everything submitted by now is durable.
    pub(super) fn progress(&self) -> Progress {
        Progress { until: self.next(), epoch: self.epoch }
    }

    /// Refuses records that do not follow the log.
    pub(super) fn check(&self, records: &[LogRecord]) -> Result<(), LogError> {
        let mut last = self.last;
        for record in records {
            if let Some(previous) = last {
                let (expected, found) = (previous.index.next(), record.id.index);
                if expected != found {
                    return Err(LogError::NotNext { expected, found });
                }
                if record.id.term < previous.term {
                    return Err(LogError::TermFalls { previous, found: record.id });
                }
            }
            let (bytes, max) = (record.payload.len(), limits::LOG_RECORD_BYTES_MAX);
            if bytes > max {
                return Err(LogError::TooLarge { bytes, max });
            }
            last = Some(record.id);
        }
        Ok(())
    }

    /// Takes checked records and fixes their places.
    pub(super) fn append(&mut self, records: Vec<LogRecord>, preparer: &Preparer) -> Vec<Step> {
        let mut steps = Vec::with_capacity(1);
        let mut run = Vec::with_capacity(records.len());
        for record in records {
            let bytes = frame::frame_bytes(record.payload.len());
            let index = record.id.index.0;
            if !self.fits(bytes) {
                steps.extend((!run.is_empty()).then(|| Step::Write(std::mem::take(&mut run))));
                let blank = self.blank(bytes, preparer);
                self.map.push(index, blank.bytes(), SEGMENT_HEADER_BYTES);
                steps.push(Step::Roll(index, blank));
            }
            let segment = self.map.last().expect("a segment with room was made");
            let place = Place {
                segment: segment.first,
                offset: segment.end + HEADER_BYTES as u64,
                len: u32::try_from(record.payload.len()).expect("payloads are limited"),
            };
            self.map.grow(index, bytes);
            self.last = Some(record.id);
            self.tail.push(record.clone(), place);
            run.push(record);
        }
        steps.extend((!run.is_empty()).then_some(Step::Write(run)));
        self.tail.evict(self.flushed_until, self.config.cache_bytes);
        if self.map.last().is_some_and(|segment| segment.end > segment.capacity / 4) {
            preparer.request();
        }
        steps
    }

    /// Drops all records after `last`, whose payload lies at `place`; all records when `None`.
    pub(super) fn truncate(&mut self, last: Option<(LogId, Place)>) -> Truncation {
        self.epoch += 1;
        self.last = last.map(|(id, _)| id);
        let next = self.next();
        self.tail.truncate_from(next);
        self.flushed_until = self.flushed_until.min(next);
        let Some((_, place)) = last else {
            return Truncation { cut: Cut::All, last_offset: 0, end: 0, dropped: self.map.clear(), next };
        };
        let last_offset = place.offset - HEADER_BYTES as u64;
        let offset = last_offset + frame::frame_bytes(place.len as usize);
        let (end, dropped) = self.map.truncate(place.segment, offset);
        let cut = Cut::After { segment: place.segment, offset };
        Truncation { cut, last_offset, end, dropped, next }
    }

    /// Notes that records are durable and frees memory that they held.
    pub(super) fn flushed(&mut self, progress: Progress) {
        if progress.epoch != self.epoch {
            return;
        }
        assert!(progress.until <= self.next(), "only submitted records become durable");
        self.flushed_until = self.flushed_until.max(progress.until);
        self.tail.evict(self.flushed_until, self.config.cache_bytes);
    }

    /// The last durable index, 0 when there is none.
    pub(super) fn flushed_index(&self) -> LogIndex {
        LogIndex(self.flushed_until.saturating_sub(1))
    }

    fn fits(&self, bytes: u64) -> bool {
        self.map.last().is_some_and(|segment| segment.end + bytes <= segment.capacity)
    }

    fn blank(&self, record_bytes: u64, preparer: &Preparer) -> Blank {
        let bytes_min = SEGMENT_HEADER_BYTES + record_bytes;
        match preparer.take(bytes_min) {
            Some(spare) => Blank::Spare(spare),
            None => Blank::Bytes(self.config.segment_bytes.min(STARTER_BYTES).max(bytes_min)),
        }
    }
}
