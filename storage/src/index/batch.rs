//! One atomic write of the index.

use weir_types::{EntityId, EntityType, Facet, GroupId, IdempotencyKey, LogIndex, Position, StreamVersion};

use super::{AppliedMark, CONTENTS_VERSION, Expiring, Index, IndexHead, Remembered, Run, buffer::Writes};
use crate::{
    codec::{StoredExpiry, StoredMark, StoredPositions, StoredRemembered, StoredRun, encode_into},
    schema::{IndexKey, StreamNo},
};

/// Puts and removals that are written whole or not at all.
///
/// A key may be named once per batch.
pub struct IndexBatch {
    group: GroupId,
    writes: Writes,
    mark: Option<AppliedMark>,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl IndexBatch {
    /// An empty batch of `index`.
    #[must_use]
    pub fn new(index: &Index) -> Self {
        Self {
            group: index.inner.group,
            writes: Writes::default(),
            mark: None,
            key: Vec::with_capacity(64),
            value: Vec::with_capacity(256),
        }
    }

    /// Places of a stream's events from version `first` on.
    pub fn put_stream_run(&mut self, stream: StreamNo, first: StreamVersion, run: &Run) {
        self.put(IndexKey::StreamRun(stream, first), &StoredRun::from(run));
    }

    /// Places of the log's events from the run's first position on.
    pub fn put_log_run(&mut self, run: &Run) {
        self.put(IndexKey::LogRun(run.first_position), &StoredRun::from(run));
    }

    /// A new stream, into the lists of all and of its type.
    pub fn put_stream(&mut self, stream: StreamNo, entity: &EntityId, entity_type: &EntityType) {
        self.put(IndexKey::Name(stream), &entity.as_str());
        self.put(IndexKey::TypeMember(entity_type.as_str(), stream), &entity.as_str());
    }

    /// A stream's head; the last one that is put of a stream counts.
    pub fn put_head(&mut self, head: IndexHead) {
        self.writes.heads.push(head);
    }

    /// The number of streams of a type, or of all.
    pub fn put_count(&mut self, entity_type: Option<&EntityType>, count: u64) {
        self.put(IndexKey::Count(entity_type.map(EntityType::as_str)), &count);
    }

    /// What an idempotency key led to.
    pub fn put_remembered(&mut self, entity: &EntityId, key: &IdempotencyKey, remembered: &Remembered) {
        self.put(IndexKey::Idempotency(entity.as_str(), key.as_str()), &StoredRemembered::from(remembered));
    }

    /// Keys that fall out of the window together with `first`; in order of
    /// position, all within [`super::RUN_EVENTS_MAX`] positions of `first`.
    pub fn put_expiry(&mut self, first: Position, keys: &[Expiring]) {
        self.put(IndexKey::Expiry(first), &StoredExpiry::from(keys));
    }

    /// Rising positions of events with a facet, all within [`super::RUN_EVENTS_MAX`] of the first.
    ///
    /// # Panics
    /// Panics when there is none, or when they do not rise.
    pub fn put_facet(&mut self, facet: Facet<'_>, positions: &[Position]) {
        self.put(IndexKey::Facet(facet, positions[0]), &StoredPositions::from(positions));
    }

    /// Forgets an idempotency key.
    pub fn forget(&mut self, entity: &EntityId, key: &IdempotencyKey) {
        self.remove(IndexKey::Idempotency(entity.as_str(), key.as_str()));
    }

    /// Forgets an expiry record.
    pub fn forget_expiry(&mut self, first: Position) {
        self.remove(IndexKey::Expiry(first));
    }

    /// What is applied once the batch is written.
    pub fn set_mark(&mut self, mark: AppliedMark) {
        self.mark = Some(mark);
    }

    pub(super) fn put_self_check(&mut self) {
        self.put(IndexKey::SelfCheck, &(self.group.0, CONTENTS_VERSION));
    }

    /// The writes, and the mark that holds once they are made.
    ///
    /// # Panics
    /// Panics when a key was named twice: which of the two counts is not defined.
    pub(super) fn finish(mut self) -> (Writes, Option<AppliedMark>) {
        let mark = self.mark.take();
        if let Some(mark) = &mark {
            self.put(IndexKey::Mark, &StoredMark::from(mark));
            if mark.kv > LogIndex::ZERO {
                self.put(IndexKey::KvApplied, &mark.kv.0);
            }
            if mark.rules > LogIndex::ZERO {
                self.put(IndexKey::RulesApplied, &mark.rules.0);
            }
        }
        let keys = &mut self.writes.keys;
        keys.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        assert!(keys.windows(2).all(|pair| pair[0].0 != pair[1].0), "a batch names a key once");
        (self.writes, mark)
    }

    fn put<T: serde::Serialize>(&mut self, key: IndexKey<'_>, value: &T) {
        key.encode_into(self.group, &mut self.key);
        self.value.clear();
        encode_into(value, &mut self.value);
        self.writes.keys.push((self.key.as_slice().into(), Some(self.value.as_slice().into())));
    }

    fn remove(&mut self, key: IndexKey<'_>) {
        key.encode_into(self.group, &mut self.key);
        self.writes.keys.push((self.key.as_slice().into(), None));
    }
}
