use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{EntityId, RecordedEvent, StreamPage};

use super::event::{data_of, metadata_of};
use crate::{JsonText, format_timestamp, source::source_text};

/// An event as SDKs of the contract read history over REST, in both cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The event's id.
    pub event_id: String,
    /// What happened.
    pub event_name: String,
    /// The data.
    pub data: JsonText,
    /// The version in the stream.
    pub version: u64,
    /// The position in the namespace.
    pub position: u64,
    /// The version of the data's schema.
    pub schema_version: u32,
    /// Where it came from.
    pub source: String,
    /// When it was recorded.
    pub timestamp: String,
    /// A JSON object, if there is any metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonText>,
    #[serde(rename = "event_name")]
    name_snake: String,
    #[serde(rename = "event_data")]
    data_snake: JsonText,
    #[serde(rename = "entity_version")]
    version_snake: u64,
}

impl From<&RecordedEvent> for HistoryEntry {
    fn from(event: &RecordedEvent) -> Self {
        let data = data_of(event);
        Self {
            event_id: event.id.to_string(),
            event_name: event.name.as_str().into(),
            data: data.clone(),
            version: event.version.0,
            position: event.position.0,
            schema_version: event.schema_version,
            source: source_text(event.source).into(),
            timestamp: format_timestamp(event.recorded_at),
            metadata: metadata_of(event),
            name_snake: event.name.as_str().into(),
            data_snake: data,
            version_snake: event.version.0,
        }
    }
}

/// One page of history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryPage {
    /// The stream.
    pub entity_id: String,
    /// The events, for one SDK.
    pub entries: Vec<HistoryEntry>,
    /// The same events, for the other.
    pub events: Vec<HistoryEntry>,
    /// How many events the stream has.
    pub total_events: u64,
    /// Where the next page begins; 0 at the end.
    pub next_cursor: u64,
}

impl HistoryPage {
    /// The page of a stream.
    #[must_use]
    pub fn new(entity_id: &EntityId, page: &StreamPage) -> Self {
        let entries: Vec<HistoryEntry> = page.events.iter().map(HistoryEntry::from).collect();
        Self {
            entity_id: entity_id.as_str().into(),
            events: entries.clone(),
            entries,
            total_events: page.head.as_ref().map_or(0, |head| head.version.0),
            next_cursor: page.next.map_or(0, |version| version.0),
        }
    }
}
