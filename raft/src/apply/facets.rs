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
    /// The newest record of each facet of this entry, by kind and text.
    newest: HashMap<Vec<u8>, usize, Xxh3DefaultBuilder>,
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
        self.newest.clear();
    }

    /// Puts `count` positions from `first` on, all of them after what was put before.
    pub(super) fn put(&mut self, facet: Facet<'_>, first: Position, count: u64) {
        self.key.clear();
        self.key.push(facet.kind as u8);
        self.key.extend_from_slice(facet.text.as_bytes());
        let mut newest = self.newest.get(self.key.as_slice()).copied();
        for position in (0..count).map(|number| first.plus(number)) {
            if let Some(at) = newest {
                let positions = &mut self.records[at].positions;
                // An event that has a tag twice has it once.
                if positions.last() == Some(&position) {
                    continue;
                }
                if position.0 - positions[0].0 < RUN_EVENTS_MAX as u64 {
                    positions.push(position);
                    continue;
                }
            }
            newest = Some(self.records.len());
            let text = facet.text.into();
            self.records.push(FacetRecord { kind: facet.kind, text, positions: vec![position] });
        }
        if let Some(at) = newest {
            match self.newest.get_mut(self.key.as_slice()) {
                Some(known) => *known = at,
                None => drop(self.newest.insert(self.key.clone(), at)),
            }
        }
    }

    /// Positions from `from` on, rising.
    pub(super) fn positions<'a>(
        &'a self,
        facet: Facet<'a>,
        from: Position,
    ) -> impl Iterator<Item = Position> + 'a {
        let records = self.records.iter().filter(move |record| record.facet() == facet);
        records.flat_map(|record| &record.positions).copied().filter(move |position| *position >= from)
    }

    pub(super) fn write(&self, batch: &mut IndexBatch) {
        for record in &self.records {
            batch.put_facet(record.facet(), &record.positions);
        }
    }
}

impl FacetRecord {
    fn facet(&self) -> Facet<'_> {
        Facet { kind: self.kind, text: &self.text }
    }
}
