use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{Consistency, EntityType, StreamHead, limits};

use super::read::{Freshness, consistency_of, limit_of};
use crate::{ApiError, format_timestamp, number};

/// GET of all streams, in the order of their creation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only streams of this type.
    #[serde(alias = "entityType", default, skip_serializing_if = "Option::is_none")]
    pub entity_type: Option<String>,
    /// Streams in the page, 1 to [`limits::LIST_STREAMS_MAX`].
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Streams to pass over.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Absent: linearizable.
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
}

impl ListQuery {
    /// Type, offset and limit.
    ///
    /// # Errors
    /// `invalid_name`, `invalid_request` or `too_large`.
    pub fn to_page(&self) -> Result<(Option<EntityType>, usize, usize), ApiError> {
        let entity_type = self.entity_type.as_deref().filter(|name| !name.is_empty());
        let entity_type = entity_type.map(EntityType::new).transpose()?;
        let offset = usize::try_from(self.offset.unwrap_or(0))
            .map_err(|_| ApiError::invalid("offset is out of range"))?;
        Ok((entity_type, offset, limit_of(self.limit, 100, limits::LIST_STREAMS_MAX)?))
    }

    /// How fresh the answer must be.
    ///
    /// # Errors
    /// `invalid_request` when it is asked for in two ways.
    pub fn to_consistency(&self) -> Result<Consistency, ApiError> {
        consistency_of(self.consistency, self.min_position)
    }
}

/// What is known of a stream. SDKs of the contract read some fields in snake
/// case and pass the row on as it is, therefore these stand in both cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamSummary {
    /// The stream.
    pub entity_id: String,
    /// The type that its first event gave it.
    pub entity_type: String,
    /// The version of its last event.
    pub version: u64,
    /// The number of its events.
    pub event_count: u64,
    /// Position of its first event.
    pub first_position: u64,
    /// Position of its last event.
    pub last_position: u64,
    /// When its first event was recorded.
    pub created_at: String,
    /// When its last event was recorded.
    pub updated_at: String,
    /// `updated_at`, by the contract's name.
    #[serde(default)]
    pub last_event_at: String,
    #[serde(flatten)]
    snake: SnakeSummary,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
struct SnakeSummary {
    #[serde(default)]
    entity_id: String,
    #[serde(default)]
    entity_type: String,
    #[serde(default)]
    event_count: u64,
    #[serde(default)]
    created_at: String,
    #[serde(default)]
    last_event_at: String,
}

impl From<&StreamHead> for StreamSummary {
    fn from(head: &StreamHead) -> Self {
        let (created_at, updated_at) = (format_timestamp(head.created_at), format_timestamp(head.updated_at));
        Self {
            entity_id: head.entity_id.as_str().into(),
            entity_type: head.entity_type.as_str().into(),
            version: head.version.0,
            event_count: head.version.0,
            first_position: head.first_position.0,
            last_position: head.last_position.0,
            created_at: created_at.clone(),
            updated_at: updated_at.clone(),
            last_event_at: updated_at.clone(),
            snake: SnakeSummary {
                entity_id: head.entity_id.as_str().into(),
                entity_type: head.entity_type.as_str().into(),
                event_count: head.version.0,
                created_at,
                last_event_at: updated_at,
            },
        }
    }
}

/// One page of streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListPage {
    /// The streams.
    pub streams: Vec<StreamSummary>,
    /// How many there are in all.
    pub total_count: u64,
}

impl ListPage {
    /// The page of these heads.
    #[must_use]
    pub fn new(heads: &[StreamHead], total_count: u64) -> Self {
        Self { streams: heads.iter().map(StreamSummary::from).collect(), total_count }
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{EntityId, Position, StreamVersion, Timestamp};

    use super::*;

    #[test]
    fn a_summary_is_there_in_both_cases_and_reads_back() {
        let head = StreamHead {
            entity_id: EntityId::new("o-1").unwrap(),
            entity_type: EntityType::new("order").unwrap(),
            version: StreamVersion(3),
            first_position: Position(1),
            last_position: Position(9),
            created_at: Timestamp(0),
            updated_at: Timestamp(1),
        };
        let page = ListPage::new(&[head], 1);
        let value = serde_json::to_value(&page).unwrap();
        let row = &value["streams"][0];
        for (camel, snake) in [
            ("entityId", "entity_id"),
            ("entityType", "entity_type"),
            ("eventCount", "event_count"),
            ("createdAt", "created_at"),
            ("lastEventAt", "last_event_at"),
        ] {
            assert!(!row[camel].is_null());
            assert_eq!(row[camel], row[snake], "{camel}");
        }
        assert_eq!(serde_json::from_value::<ListPage>(value).unwrap(), page);
    }
}
