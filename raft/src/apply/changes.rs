//! What a run of records changes in the index, before it is written.

use std::collections::HashMap;

use weir_storage::{
    index::{Expiring, Frame, Index, IndexBatch, IndexError, IndexHead, RUN_EVENTS_MAX, Remembered, Run},
    log::Place,
    schema::StreamNo,
};
use weir_types::{EntityId, EntityType, Facet, IdempotencyKey, Position, StreamVersion};
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

use super::facets::FacetChanges;

/// What a run of records changes. Maps are only looked up in, never walked:
/// everything is written in the order in which it happened.
#[derive(Debug, Default)]
pub struct Changes {
    heads: Vec<IndexHead>,
    head_at: HashMap<EntityId, usize, Xxh3DefaultBuilder>,
    created: Vec<(StreamNo, EntityId, EntityType)>,
    remembered: Vec<(EntityId, IdempotencyKey, Remembered)>,
    remembered_at: HashMap<(EntityId, IdempotencyKey), usize, Xxh3DefaultBuilder>,
    stream_runs: Vec<(StreamNo, StreamVersion, Run)>,
    log_runs: Vec<Run>,
    expiring: Vec<Vec<Expiring>>,
    facets: FacetChanges,
}

impl Changes {
    /// A stream's head as the changes so far leave it; `None` when they do not touch it.
    #[must_use]
    pub fn head(&self, entity: &EntityId) -> Option<&IndexHead> {
        self.head_at.get(entity).map(|at| &self.heads[*at])
    }

    /// What a key led to within the changes so far.
    #[must_use]
    pub fn remembered(&self, entity: &EntityId, key: &IdempotencyKey) -> Option<&Remembered> {
        if self.remembered.is_empty() {
            return None;
        }
        self.remembered_at.get(&(entity.clone(), key.clone())).map(|at| &self.remembered[*at].2)
    }

    /// Another entry begins.
    pub(super) fn begin_entry(&mut self) {
        self.facets.begin_entry();
    }

    /// A facet of `count` events from `first` on; positions of a facet rise.
    pub(super) fn put_facets(&mut self, facet: Facet<'_>, first: Position, count: u64) {
        self.facets.put(facet, first, count);
    }

    /// Positions of events with a facet among the changes so far, from `from` on, rising.
    pub(super) fn facet_positions(
        &self,
        facet: Facet<'_>,
        from: Position,
    ) -> impl Iterator<Item = Position> + '_ {
        self.facets.positions(facet, from)
    }

    pub(super) fn put_head(&mut self, head: IndexHead) {
        if let Some(at) = self.head_at.get(&head.head.entity_id) {
            self.heads[*at] = head;
            return;
        }
        self.head_at.insert(head.head.entity_id.clone(), self.heads.len());
        self.heads.push(head);
    }

    pub(super) fn put_created(&mut self, head: &IndexHead) {
        self.created.push((head.stream_no, head.head.entity_id.clone(), head.head.entity_type.clone()));
    }

    pub(super) fn put_remembered(&mut self, entity: EntityId, key: IdempotencyKey, value: Remembered) {
        match self.remembered_at.get(&(entity.clone(), key.clone())) {
            Some(at) => self.remembered[*at].2 = value,
            None => {
                self.remembered_at.insert((entity.clone(), key.clone()), self.remembered.len());
                self.remembered.push((entity, key, value));
            }
        }
    }

    /// A key that will expire. Keys of one entry share a record while they are near each other.
    pub(super) fn put_expiring(&mut self, entry_begins: Position, expiring: Expiring) {
        let near = |record: &&mut Vec<Expiring>| {
            let first = record[0].position;
            first >= entry_begins && expiring.position.0 - first.0 < RUN_EVENTS_MAX as u64
        };
        match self.expiring.last_mut().filter(near) {
            Some(record) => record.push(expiring),
            None => self.expiring.push(vec![expiring]),
        }
    }

    pub(super) fn put_stream_runs(
        &mut self,
        stream: StreamNo,
        first_version: StreamVersion,
        first_position: Position,
        payload: Place,
        frames: &[Frame],
    ) {
        for (number, chunk) in (0..).zip(frames.chunks(RUN_EVENTS_MAX)) {
            let offset = number * RUN_EVENTS_MAX as u64;
            let run = run_of(first_position.plus(offset), payload, chunk);
            self.stream_runs.push((stream, first_version.plus(offset), run));
        }
    }

    pub(super) fn put_log_runs(&mut self, first_position: Position, payload: Place, frames: &[Frame]) {
        for (number, chunk) in (0..).zip(frames.chunks(RUN_EVENTS_MAX)) {
            let offset = number * RUN_EVENTS_MAX as u64;
            self.log_runs.push(run_of(first_position.plus(offset), payload, chunk));
        }
    }

    /// Puts all but the mark into a batch. `before` and `until` are the last
    /// positions that had and have fallen out of the idempotency window: what
    /// lies between is forgotten, so a call cleans up as much as it moves the
    /// window, and what is left does not depend on how records were batched.
    pub(super) fn write(
        mut self,
        index: &Index,
        before: Position,
        until: Position,
        batch: &mut IndexBatch,
    ) -> Result<(), IndexError> {
        for (stream, first, run) in &self.stream_runs {
            batch.put_stream_run(*stream, *first, run);
        }
        for run in &self.log_runs {
            batch.put_log_run(run);
        }
        for (stream, entity, entity_type) in &self.created {
            batch.put_stream(*stream, entity, entity_type);
        }
        for head in std::mem::take(&mut self.heads) {
            batch.put_head(head);
        }
        self.facets.write(batch);
        self.write_counts(index, batch)?;
        self.write_remembered(until, batch);
        if until > before {
            self.forget(index, before, until, batch)?;
        }
        Ok(())
    }

    fn write_counts(&self, index: &Index, batch: &mut IndexBatch) -> Result<(), IndexError> {
        if self.created.is_empty() {
            return Ok(());
        }
        batch.put_count(None, index.count(None)? + self.created.len() as u64);
        let mut types: Vec<&EntityType> = self.created.iter().map(|(_, _, kind)| kind).collect();
        types.sort_unstable();
        for same in types.chunk_by(|a, b| a == b) {
            batch.put_count(Some(same[0]), index.count(Some(same[0]))? + same.len() as u64);
        }
        Ok(())
    }

    fn write_remembered(&self, until: Position, batch: &mut IndexBatch) {
        for (entity, key, value) in &self.remembered {
            if value.first_position > until {
                batch.put_remembered(entity, key, value);
            }
        }
        for record in &self.expiring {
            if record.last().is_some_and(|last| last.position > until) {
                batch.put_expiry(record[0].position, record);
            }
        }
    }

    fn forget(
        &self,
        index: &Index,
        before: Position,
        until: Position,
        batch: &mut IndexBatch,
    ) -> Result<(), IndexError> {
        for (first, record) in index.expiring(before, until)? {
            let fallen = |key: &&Expiring| before < key.position && key.position <= until;
            for key in record.iter().filter(fallen) {
                // A key that was used again in this run has a new meaning.
                let again = self.remembered(&key.entity_id, &key.key);
                if again.is_none_or(|again| again.first_position <= until) {
                    batch.forget(&key.entity_id, &key.key);
                }
            }
            if record.last().is_none_or(|last| last.position <= until) {
                batch.forget_expiry(first);
            }
        }
        Ok(())
    }
}

fn run_of(first_position: Position, payload: Place, frames: &[Frame]) -> Run {
    Run { first_position, segment: payload.segment, payload: payload.offset, frames: frames.to_vec() }
}
