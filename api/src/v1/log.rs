use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{
    Consistency, EntityType, EventPattern, GroupId, LogFilter, LogRead, LogSlice, Position, Tag, limits,
};

use super::{
    EventView, Freshness,
    read::{consistency_of, direction_of, limit_of},
};
use crate::{ApiError, number};

/// GET of events by position.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// `forward` or `backward`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// Only events of this name, or of names that begin so: `order.*`.
    #[serde(alias = "eventName", alias = "event_name", default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only events of entities of this type.
    #[serde(alias = "entityType", default, skip_serializing_if = "Option::is_none")]
    pub entity_type: Option<String>,
    /// Only events with this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Absent: local, or as `min_position` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Freshness>,
    /// A position that the answer must reflect.
    #[serde(
        alias = "minPosition",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub min_position: Option<u64>,
    /// Whether events are given as they are in the log, without upcasters.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
}

impl LogQuery {
    /// The read that is asked for.
    ///
    /// # Errors
    /// `invalid_request`, `invalid_name` or `too_large`.
    pub fn to_read(&self, group: GroupId) -> Result<LogRead, ApiError> {
        let names = self.name.as_deref().map(EventPattern::new).transpose();
        Ok(LogRead {
            group,
            from: self.from_position.filter(|position| *position > 0).map(Position),
            direction: direction_of(self.direction.as_deref().unwrap_or_default())?,
            limit: limit_of(self.limit, limits::READ_EVENTS_DEFAULT, limits::READ_EVENTS_MAX)?,
            filter: LogFilter {
                names: names.map_err(|error| ApiError::invalid(error.to_string()))?,
                entity_type: self.entity_type.as_ref().map(EntityType::new).transpose()?,
                tag: self.tag.as_ref().map(Tag::new).transpose()?,
            },
        })
    }

    /// How fresh the answer must be; local unless it says otherwise.
    ///
    /// # Errors
    /// `invalid_request` when it is asked for in two ways.
    pub fn to_consistency(&self) -> Result<Consistency, ApiError> {
        consistency_of(self.consistency.or(Some(Freshness::Local)), self.min_position)
    }
}

/// One page of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogPage {
    /// The events, in the read's direction. With a filter there may be none although more come later.
    pub events: Vec<EventView>,
    /// Where the next page begins, whether there is more yet or not; backward, 0 when there is none.
    pub next_position: u64,
    /// The position that the answering node had applied.
    pub position: u64,
}

impl From<&LogSlice> for LogPage {
    fn from(slice: &LogSlice) -> Self {
        Self {
            events: slice.events.iter().map(EventView::from).collect(),
            next_position: slice.next.0,
            position: slice.applied.0,
        }
    }
}
