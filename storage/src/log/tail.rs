//! The newest records, in memory.

use std::collections::VecDeque;

use bytes::Bytes;

use super::record::{LogRecord, Place};

/// A run of consecutive records up to the log's end. Holds every record that is
/// not durable yet, and older ones up to a limit of bytes.
#[derive(Debug, Default)]
pub(super) struct TailCache {
    records: VecDeque<Cached>,
    bytes: usize,
}

/// A record and where its payload lies or will lie.
#[derive(Debug, Clone)]
pub(super) struct Cached {
    pub(super) record: LogRecord,
    pub(super) place: Place,
}

impl TailCache {
    /// Adds the log's next record.
    pub(super) fn push(&mut self, record: LogRecord, place: Place) {
        if let Some(last) = self.records.back() {
            assert_eq!(last.record.id.index.next(), record.id.index, "the tail has no hole");
        }
        self.bytes += cost(&record);
        self.records.push_back(Cached { record, place });
    }

    /// Drops the oldest records over the limit, but none from `flushed_until` on.
    pub(super) fn evict(&mut self, flushed_until: u64, bytes_max: usize) {
        while self.bytes > bytes_max {
            let oldest = self.records.pop_front_if(|oldest| oldest.record.id.index.0 < flushed_until);
            let Some(oldest) = oldest else { break };
            self.bytes -= cost(&oldest.record);
        }
    }

    /// Drops all records from `index` on.
    pub(super) fn truncate_from(&mut self, index: u64) {
        while let Some(newest) = self.records.pop_back_if(|newest| newest.record.id.index.0 >= index) {
            self.bytes -= cost(&newest.record);
        }
    }

    /// The record at `index`, if it is here.
    pub(super) fn get(&self, index: u64) -> Option<&Cached> {
        self.records.get(self.position(index)?)
    }

    /// The index of the oldest record here.
    pub(super) fn first(&self) -> Option<u64> {
        self.records.front().map(|oldest| oldest.record.id.index.0)
    }

    /// The records from `index` on, if it is here.
    pub(super) fn from(&self, index: u64) -> impl Iterator<Item = &Cached> {
        let start = self.position(index).unwrap_or(self.records.len());
        self.records.range(start.min(self.records.len())..)
    }

    /// The bytes of a place, if they belong to a payload that is here.
    pub(super) fn bytes_at(&self, place: Place) -> Option<Bytes> {
        let key = (place.segment, place.offset);
        let after = self.records.partition_point(|cached| (cached.place.segment, cached.place.offset) <= key);
        let cached = self.records.get(after.checked_sub(1)?)?;
        if cached.place.segment != place.segment {
            return None;
        }
        let start = usize::try_from(place.offset - cached.place.offset).ok()?;
        let end = start.checked_add(place.len as usize)?;
        (end <= cached.record.payload.len()).then(|| cached.record.payload.slice(start..end))
    }

    fn position(&self, index: u64) -> Option<usize> {
        usize::try_from(index.checked_sub(self.first()?)?).ok()
    }
}

/// Bytes of memory that a record takes here.
fn cost(record: &LogRecord) -> usize {
    record.payload.len() + size_of::<Cached>()
}

#[cfg(test)]
mod tests {
    use weir_types::{LogId, LogIndex, NodeId, Term};

    use super::*;
    use crate::log::RecordKind;

    fn filled(indexes: std::ops::Range<u64>) -> TailCache {
        let mut tail = TailCache::default();
        for index in indexes {
            let id = LogId { term: Term(1), leader: NodeId(1), index: LogIndex(index) };
            let payload = Bytes::from(format!("payload-{index:03}"));
            let place = Place { segment: 1, offset: index * 100, len: payload.len() as u32 };
            tail.push(LogRecord { id, kind: RecordKind::Command, payload }, place);
        }
        tail
    }

    fn indexes(tail: &TailCache, from: u64) -> Vec<u64> {
        tail.from(from).map(|cached| cached.record.id.index.0).collect()
    }

    #[test]
    fn only_durable_records_are_evicted() {
        let mut tail = filled(5..10);
        tail.evict(7, 0);
        assert_eq!((indexes(&tail, 7), indexes(&tail, 6)), (vec![7, 8, 9], vec![]));
        tail.evict(10, usize::MAX);
        assert_eq!(tail.first(), Some(7));
        tail.evict(10, 0);
        assert_eq!((tail.first(), tail.bytes), (None, 0));
    }

    #[test]
    fn a_cut_takes_the_newest() {
        let mut tail = filled(5..10);
        tail.truncate_from(8);
        assert_eq!(indexes(&tail, 5), [5, 6, 7]);
        assert!(tail.get(8).is_none());
        tail.truncate_from(0);
        assert_eq!(tail.bytes, 0);
    }

    #[test]
    fn bytes_are_found_by_place() {
        let tail = filled(5..10);
        let at = |segment, offset, len| tail.bytes_at(Place { segment, offset, len });
        assert_eq!(at(1, 700, 11), Some(Bytes::from("payload-007")));
        assert_eq!(at(1, 708, 3), Some(Bytes::from("007")));
        for (segment, offset, len) in [(1, 708, 4), (1, 499, 1), (2, 700, 1), (0, 700, 1), (1, 750, 1)] {
            assert_eq!(at(segment, offset, len), None, "{segment} {offset} {len}");
        }
    }
}
