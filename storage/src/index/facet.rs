//! Events by their names, entity types and tags.

use fjall::Slice;
use weir_types::{Direction, EventName, Facet, FacetKind, Position};

use super::{Index, IndexError, merge::Order};
use crate::{
    codec::{StoredPositions, decode},
    index::RUN_EVENTS_MAX,
    schema::IndexKey,
};

impl Index {
    /// Positions of events with a facet, from `from` on in `direction`, at most `limit`.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn facet_positions(
        &self,
        facet: Facet<'_>,
        from: Position,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Position>, IndexError> {
        let key = |position| IndexKey::Facet(facet, position);
        let (first, last, order) = match direction {
            // The record that holds `from` may begin before it; a record is bounded, so its start is near.
            Direction::Forward => {
                let start = Position(from.0.saturating_sub(RUN_EVENTS_MAX as u64 - 1));
                (start, Position(u64::MAX), Order::Rising)
            }
            Direction::Backward => (Position::ZERO, from, Order::Falling),
        };
        let mut positions = Vec::new();
        for entry in self.scan(key(first), key(last), order, limit.saturating_add(RUN_EVENTS_MAX)) {
            let mut record = self.facet_record(&entry?)?;
            match direction {
                Direction::Forward => record.retain(|position| *position >= from),
                Direction::Backward => {
                    record.retain(|position| *position <= from);
                    record.reverse();
                }
            }
            positions.extend(record);
            if positions.len() >= limit {
                positions.truncate(limit);
                break;
            }
        }
        Ok(positions)
    }

    /// Whether the event at `position` has a facet.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn has_facet(&self, facet: Facet<'_>, position: Position) -> Result<bool, IndexError> {
        // Records of a facet do not overlap: only the last that begins at or before it can hold it.
        let start = Position(position.0.saturating_sub(RUN_EVENTS_MAX as u64 - 1));
        let (first, last) = (IndexKey::Facet(facet, start), IndexKey::Facet(facet, position));
        match self.scan(first, last, Order::Falling, 1).next() {
            None => Ok(false),
            Some(entry) => Ok(self.facet_record(&entry?)?.binary_search(&position).is_ok()),
        }
    }

    /// Event names that begin with `prefix`, in byte order, at most `limit`.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn names_from(&self, prefix: &str, limit: usize) -> Result<Vec<EventName>, IndexError> {
        let bare = Facet { kind: FacetKind::Name, text: prefix };
        let key = |facet: Facet<'_>, position| IndexKey::Facet(facet, position).encode(self.inner.group);
        // Of the bare prefix, without what ends a name.
        let mut first = key(bare, Position::ZERO);
        first.truncate(first.len() - 2);
        let mut last = first.clone();
        // No name has this byte.
        last.push(0xff);
        let mut names = Vec::new();
        while names.len() < limit {
            let Some(entry) = self.scan_keys(first..=last.clone(), Order::Rising, 1).next() else { break };
            let found = entry?.0;
            let Some((_, IndexKey::Facet(facet, _))) = IndexKey::decode(&found) else {
                return Err(self.damaged("facet", "its key is malformed"));
            };
            names.push(EventName::new(facet.text).map_err(|error| self.damaged("facet", error))?);
            // Past all of this name's records.
            first = key(facet, Position(u64::MAX));
            first.push(0);
        }
        Ok(names)
    }

    fn facet_record(&self, (key, value): &(Slice, Slice)) -> Result<Vec<Position>, IndexError> {
        let Some((_, IndexKey::Facet(_, first))) = IndexKey::decode(key) else {
            return Err(self.damaged("facet", "its key is malformed"));
        };
        let stored: StoredPositions = decode("facet", value).map_err(|e| self.damaged("facet", e))?;
        stored.read(first).map_err(|e| self.damaged("facet", e))
    }
}
