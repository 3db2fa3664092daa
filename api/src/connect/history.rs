use serde::{Deserialize, Serialize};
use weir_types::{EntityId, GroupId, RecordedEvent, StreamHead, StreamPage, StreamRead, limits};

use super::{
    proto_json::{is_zero, string, text},
    read::version_of,
};
use crate::{
    ApiError, JsonText, format_timestamp, number,
    source::source_text,
    v1::{data_of, direction_of, metadata_of},
};

/// `GetEntityHistory`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetEntityHistoryRequest {
    /// The stream.
    #[serde(alias = "entity_id", deserialize_with = "text")]
    pub entity_id: String,
    /// First version, inclusive; 0 is the start, or the end when backward.
    #[serde(alias = "from_version", deserialize_with = "number::or_zero")]
    pub from_version: i64,
    /// Entries in the page; 0 is 50, more than the limit is the limit.
    #[serde(deserialize_with = "number::or_zero")]
    pub limit: i32,
    /// `forward` or `backward`; empty is forward.
    #[serde(deserialize_with = "text")]
    pub direction: String,
}

impl GetEntityHistoryRequest {
    /// The page that is asked for.
    ///
    /// # Errors
    /// `invalid_request` or `invalid_name`.
    pub fn to_read(&self, group: GroupId) -> Result<StreamRead, ApiError> {
        let limit = match usize::try_from(self.limit) {
            Ok(0) => 50,
            Ok(limit) => limit.min(limits::READ_EVENTS_MAX),
            Err(_) => return Err(ApiError::invalid(format!("limit {} is negative", self.limit))),
        };
        Ok(StreamRead {
            group,
            entity_id: EntityId::new(&self.entity_id)?,
            from: version_of(self.from_version)?,
            direction: direction_of(&self.direction)?,
            limit,
        })
    }
}

/// An event with what ran because of it; nothing runs in Weir yet.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntityHistoryEntry {
    /// The event's id.
    pub event_id: String,
    /// What happened.
    pub event_name: String,
    /// The data.
    pub event_data: JsonText,
    /// Its place in its stream.
    #[serde(serialize_with = "string", skip_serializing_if = "is_zero")]
    pub entity_version: u64,
    /// The version of the data's schema.
    #[serde(skip_serializing_if = "is_zero")]
    pub schema_version: u32,
    /// Where it came from.
    pub source: String,
    /// When it was recorded.
    pub timestamp: String,
    /// A JSON object, if there is any metadata; beyond the contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonText>,
}

impl From<&RecordedEvent> for EntityHistoryEntry {
    fn from(event: &RecordedEvent) -> Self {
        Self {
            event_id: event.id.to_string(),
            event_name: event.name.as_str().into(),
            event_data: data_of(event),
            entity_version: event.version.0,
            schema_version: event.schema_version,
            source: source_text(event.source).into(),
            timestamp: format_timestamp(event.recorded_at),
            metadata: metadata_of(event),
        }
    }
}

/// What is known of the stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntityHistoryInfo {
    /// The stream.
    pub entity_id: String,
    /// The type that its first event gave it.
    pub entity_type: String,
    /// The version of its last event.
    #[serde(serialize_with = "string", skip_serializing_if = "is_zero")]
    pub current_version: u64,
    /// The number of its events.
    #[serde(serialize_with = "string", skip_serializing_if = "is_zero")]
    pub total_event_count: u64,
    /// When its first event was recorded.
    pub created_at: String,
    /// When its last event was recorded.
    pub updated_at: String,
}

impl From<&StreamHead> for EntityHistoryInfo {
    fn from(head: &StreamHead) -> Self {
        Self {
            entity_id: head.entity_id.as_str().into(),
            entity_type: head.entity_type.as_str().into(),
            current_version: head.version.0,
            total_event_count: head.version.0,
            created_at: format_timestamp(head.created_at),
            updated_at: format_timestamp(head.updated_at),
        }
    }
}

/// The answer to `GetEntityHistory`. `total_events` is taken to be an int32,
/// so it is a number; the contract does not say.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GetEntityHistoryResponse {
    /// The events, in the read's direction.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<EntityHistoryEntry>,
    /// Where the next page begins; 0 at the end.
    #[serde(serialize_with = "string", skip_serializing_if = "is_zero")]
    pub next_cursor: u64,
    /// How many events the stream has.
    #[serde(skip_serializing_if = "is_zero")]
    pub total_events: i32,
    /// What is known of the stream, if it has events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<EntityHistoryInfo>,
}

impl From<&StreamPage> for GetEntityHistoryResponse {
    fn from(page: &StreamPage) -> Self {
        let version = page.head.as_ref().map_or(0, |head| head.version.0);
        Self {
            entries: page.events.iter().map(EntityHistoryEntry::from).collect(),
            next_cursor: page.next.map_or(0, |next| next.0),
            total_events: i32::try_from(version).unwrap_or(i32::MAX),
            info: page.head.as_ref().map(EntityHistoryInfo::from),
        }
    }
}
