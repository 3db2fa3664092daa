//! Reading the log through a filter, by what the index keeps of names, entity types and tags.

use weir_types::{Direction, EventName, Facet, LogFilter, LogRead, LogSlice, Position, ReadError, limits};

use super::GroupStore;

/// The positions that one page looks at.
struct Candidates {
    /// In the read's direction.
    positions: Vec<Position>,
    /// Whether they are all that there are.
    whole: bool,
}

/// A filter, with its names looked up.
struct Wanted<'a> {
    filter: &'a LogFilter,
    /// The names that the filter's pattern stands for; `None` is every name.
    names: Option<Vec<EventName>>,
}

impl GroupStore {
    /// One page of the log's events that fit a filter. It looks at no more than
    /// [`limits::SEARCH_EVENTS_MAX`] events, and is then cut where it is.
    ///
    /// # Errors
    /// [`ReadError::TooWide`], [`ReadError::Damaged`] or [`ReadError::Storage`].
    pub fn search_log(&self, read: &LogRead) -> Result<LogSlice, ReadError> {
        // Read before the events: none that lies before it can be missing.
        let applied = self.index.applied_position();
        let limit = read.limit.clamp(1, limits::READ_EVENTS_MAX);
        let from = match read.direction {
            Direction::Forward => read.from.unwrap_or(Position(1)).max(Position(1)),
            Direction::Backward => read.from.unwrap_or(applied).min(applied),
        };
        let wanted = self.wanted(&read.filter)?;
        let candidates = self.candidates(&wanted, from, applied, read.direction)?;
        let (mut found, mut seen) = (Vec::new(), None);
        for position in &candidates.positions {
            if found.len() == limit {
                break;
            }
            seen = Some(*position);
            if self.fits(&wanted, *position)? {
                found.push(*position);
            }
        }
        let whole = candidates.whole && seen == candidates.positions.last().copied();
        let events = self.read_positions(&found)?;
        // A page is bounded in bytes too: what did not fit is the next page's first.
        let cut = found.get(events.len()).copied();
        let next = match (read.direction, cut) {
            (_, Some(cut)) => cut,
            (Direction::Forward, None) if whole => applied.next().max(from),
            (Direction::Backward, None) if whole => Position::ZERO,
            (Direction::Forward, None) => seen.map_or(from, Position::next),
            (Direction::Backward, None) => seen.map_or(from, |seen| Position(seen.0 - 1)),
        };
        Ok(LogSlice { events, next, applied })
    }

    fn wanted<'a>(&self, filter: &'a LogFilter) -> Result<Wanted<'a>, ReadError> {
        let names = match filter.names.as_ref().map(|names| (names, names.prefix())) {
            None | Some((_, Some(""))) => None,
            Some((_, Some(prefix))) => {
                let max = limits::SEARCH_NAMES_MAX;
                let names = self.index.names_from(prefix, max + 1)?;
                if names.len() > max {
                    let reason = format!("over {max} event names begin with `{prefix}`");
                    return Err(ReadError::TooWide { reason });
                }
                Some(names)
            }
            Some((name, None)) => Some(EventName::new(name.as_str()).into_iter().collect()),
        };
        Ok(Wanted { filter, names })
    }

    /// By what is rarest, as a rule: a tag, then names, then a type.
    fn candidates(
        &self,
        wanted: &Wanted<'_>,
        from: Position,
        applied: Position,
        direction: Direction,
    ) -> Result<Candidates, ReadError> {
        let most = limits::SEARCH_EVENTS_MAX;
        let facets: Vec<Facet<'_>> = match (&wanted.filter.tag, &wanted.names, &wanted.filter.entity_type) {
            (Some(tag), ..) => vec![tag.into()],
            (None, Some(names), _) => names.iter().map(Facet::from).collect(),
            (None, None, Some(entity_type)) => vec![entity_type.into()],
            (None, None, None) => return Ok(every(from, applied, direction, most)),
        };
        let mut positions = Vec::new();
        for facet in facets {
            positions.extend(self.index.facet_positions(facet, from, direction, most)?);
        }
        positions.sort_unstable();
        if direction == Direction::Backward {
            positions.reverse();
        }
        let whole = positions.len() < most;
        positions.truncate(most);
        // What was applied after `applied` was read belongs to a later page.
        positions.retain(|position| *position <= applied);
        Ok(Candidates { positions, whole })
    }

    fn fits(&self, wanted: &Wanted<'_>, position: Position) -> Result<bool, ReadError> {
        let tag = wanted.filter.tag.as_ref().map(Facet::from);
        let entity_type = wanted.filter.entity_type.as_ref().map(Facet::from);
        for facet in tag.into_iter().chain(entity_type) {
            if !self.index.has_facet(facet, position)? {
                return Ok(false);
            }
        }
        let Some(names) = &wanted.names else { return Ok(true) };
        for name in names {
            if self.index.has_facet(name.into(), position)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn every(from: Position, applied: Position, direction: Direction, most: usize) -> Candidates {
    let positions: Vec<Position> = match direction {
        Direction::Forward => (from.0..=applied.0).take(most).map(Position).collect(),
        Direction::Backward => (1..=from.0).rev().take(most).map(Position).collect(),
    };
    let end = match direction {
        Direction::Forward => applied,
        Direction::Backward => Position(1),
    };
    let whole = positions.last().is_none_or(|last| *last == end);
    Candidates { positions, whole }
}
