//! Which names, entity types and tags a run of records adds events of.

use std::collections::HashMap;

use weir_storage::index::{IndexBatch, RUN_EVENTS_MAX};
use weir_types::{Facet, FacetKind, Position};
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

/// Positions by facet, in records that do not depend on how entries were
/// batched: a record is of one entry, and spans less than a run.
#[derive(Debug, Default)]
pub(super) struct FacetChanges {
    records: Vec<FacetRecord>,
    /// The records of each facet, in order, by kind and text.
    by_facet: HashMap<Vec<u8>, Vec<usize>, Xxh3DefaultBuilder>,
    /// The first record of this entry.
    entry: usize,
    key: Vec<u8>,
}

#[derive(Debug)]
struct FacetRecord {
    kind: FacetKind,
    text: Box<str>,
    positions: Vec<Position>,
}

impl FacetChanges {
    /// Another entry begins.
    pub(super) fn begin_entry(&mut self) {
        self.entry = self.records.len();
    }

    /// Puts `count` positions from `first` on, all of them after what was put before.
    pub(super) fn put(&mut self, facet: Facet<'_>, first: Position, count: u64) {
        encode(facet, &mut self.key);
        if !self.by_facet.contains_key(self.key.as_slice()) {
            self.by_facet.insert(self.key.clone(), Vec::new());
        }
        let of_facet = self.by_facet.get_mut(self.key.as_slice()).expect("put above");
        for position in (0..count).map(|number| first.plus(number)) {
            if let Some(at) = of_facet.last().filter(|at| **at >= self.entry) {
                let positions = &mut self.records[*at].positions;
                // An event that has a tag twice has it once.
                if positions.last() == Some(&position) {
                    continue;
                }
                if position.0 - positions[0].0 < RUN_EVENTS_MAX as u64 {
                    positions.push(position);
                    continue;
                }
            }
            of_facet.push(self.records.len());
            let text = facet.text.into();
            self.records.push(FacetRecord { kind: facet.kind, text, positions: vec![position] });
        }
    }

    /// Positions from `from` on, rising.
    pub(super) fn positions(&self, facet: Facet<'_>, from: Position) -> impl Iterator<Item = Position> + '_ {
        let mut key = Vec::with_capacity(facet.text.len() + 1);
        encode(facet, &mut key);
        let of_facet = self.by_facet.get(key.as_slice()).map_or(&[][..], Vec::as_slice);
        let before = |at: &usize| self.records[*at].positions.last().is_some_and(|last| *last < from);
        let begin = of_facet.partition_point(before);
        let records = of_facet[begin..].iter().map(|at| &self.records[*at]);
        records.flat_map(|record| &record.positions).copied().filter(move |position| *position >= from)
    }

    pub(super) fn write(&self, batch: &mut IndexBatch) {
        for record in &self.records {
            batch.put_facet(record.facet(), &record.positions);
        }
    }
}

fn encode(facet: Facet<'_>, key: &mut Vec<u8>) {
    key.clear();
    key.push(facet.kind as u8);
    key.extend_from_slice(facet.text.as_bytes());
}

impl FacetRecord {
    fn facet(&self) -> Facet<'_> {
        Facet { kind: self.kind, text: &self.text }
    }
}
