//! Which event matches a condition.

use weir_storage::index::IndexError;
use weir_types::{Condition, Facet, Position, Violation, limits};

use super::{ApplyContext, Changes};

/// What was applied before, and what the run of records adds to it so far.
pub(super) struct Seen<'a, C> {
    pub(super) context: &'a C,
    pub(super) changes: &'a Changes,
    /// The last position that is assigned.
    pub(super) last: Position,
}

impl<C: ApplyContext> Seen<'_, C> {
    /// How the condition at `number` is violated, if it is.
    pub(super) fn violation(
        &self,
        number: u32,
        condition: &Condition,
    ) -> Result<Option<Violation>, IndexError> {
        // A client may name any position, the last number that there is included.
        if condition.after >= self.last {
            return Ok(None);
        }
        let from = condition.after.next();
        let at = |position| Violation::Condition { number, position };
        if condition.tags.is_empty() {
            return Ok(self.first_named(condition, from)?.map(at));
        }
        let Some(candidates) = self.of_rarest_tag(condition, from)? else {
            return Ok(Some(Violation::ConditionTooWide { number }));
        };
        for position in candidates {
            if self.matches(condition, position)? {
                return Ok(Some(at(position)));
            }
        }
        Ok(None)
    }

    fn first_named(&self, condition: &Condition, from: Position) -> Result<Option<Position>, IndexError> {
        if condition.names.is_empty() {
            return Ok(Some(from));
        }
        let mut first = None;
        for name in &condition.names {
            let found = self.positions(name.into(), from, 1)?.first().copied();
            first = [first, found].into_iter().flatten().min();
        }
        Ok(first)
    }

    /// Positions of the events of the tag that has the fewest; `None` when each has too many.
    fn of_rarest_tag(
        &self,
        condition: &Condition,
        from: Position,
    ) -> Result<Option<Vec<Position>>, IndexError> {
        let mut rarest: Option<Vec<Position>> = None;
        for tag in &condition.tags {
            let most = rarest.as_ref().map_or(limits::CONDITION_EVENTS_MAX + 1, Vec::len);
            let found = self.positions(tag.into(), from, most)?;
            if found.len() < most {
                rarest = Some(found);
            }
        }
        Ok(rarest)
    }

    fn matches(&self, condition: &Condition, position: Position) -> Result<bool, IndexError> {
        for tag in &condition.tags {
            if !self.has(tag.into(), position)? {
                return Ok(false);
            }
        }
        for name in &condition.names {
            if self.has(name.into(), position)? {
                return Ok(true);
            }
        }
        Ok(condition.names.is_empty())
    }

    fn positions(&self, facet: Facet<'_>, from: Position, limit: usize) -> Result<Vec<Position>, IndexError> {
        let mut positions = self.context.facet_positions(facet, from, limit)?;
        let more = limit.saturating_sub(positions.len());
        positions.extend(self.changes.facet_positions(facet, from).take(more));
        Ok(positions)
    }

    fn has(&self, facet: Facet<'_>, position: Position) -> Result<bool, IndexError> {
        let new = self.changes.facet_positions(facet, position).next() == Some(position);
        Ok(new || self.context.has_facet(facet, position)?)
    }
}
