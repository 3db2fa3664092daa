use serde::{Deserialize, Serialize};
use weir_types::{Position, RecordedEvent, limits};

use super::{EventView, read::limit_of};
use crate::{ApiError, number};

/// GET of events by position, oldest first, from what the answering node has applied.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// First position, inclusive; absent or 0 is the first.
    #[serde(
        alias = "fromPosition",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub from_position: Option<u64>,
    /// Events in the page, 1 to [`limits::READ_EVENTS_MAX`].
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl LogQuery {
    /// First position and limit.
    ///
    /// # Errors
    /// `invalid_request` or `too_large`.
    pub fn to_page(&self) -> Result<(Position, usize), ApiError> {
        let limit = limit_of(self.limit, limits::READ_EVENTS_DEFAULT, limits::READ_EVENTS_MAX)?;
        Ok((Position(self.from_position.unwrap_or(1).max(1)), limit))
    }
}

/// One page of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogPage {
    /// The events, oldest first.
    pub events: Vec<EventView>,
    /// Where the next page begins, whether there is more yet or not.
    pub next_position: u64,
    /// The position that the answering node had applied.
    pub position: u64,
}

impl LogPage {
    /// The page that began at `from`, on a node that had applied `applied`.
    #[must_use]
    pub fn new(from: Position, events: &[RecordedEvent], applied: Position) -> Self {
        Self {
            events: events.iter().map(EventView::from).collect(),
            next_position: events.last().map_or(from.0, |event| event.position.next().0),
            position: applied.0,
        }
    }
}
