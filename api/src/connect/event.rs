use serde::Serialize;
use weir_types::RecordedEvent;

use super::proto_json::{is_zero, string};
use crate::{
    JsonText, format_timestamp,
    source::source_text,
    v1::{data_of, metadata_of},
};

/// A recorded event, as `ReadStream` gives it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamEvent {
    /// Its id.
    pub id: String,
    /// What happened.
    pub name: String,
    /// The data. What was appended over REST may be other JSON than an object.
    pub data: JsonText,
    /// Its place in its stream.
    #[serde(serialize_with = "string", skip_serializing_if = "is_zero")]
    pub entity_version: u64,
    /// The version of the data's schema.
    #[serde(skip_serializing_if = "is_zero")]
    pub version: u32,
    /// When it was recorded.
    pub timestamp: String,
    /// Where it came from.
    pub source: String,
    /// A JSON object, if there is any metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonText>,
}

impl From<&RecordedEvent> for StreamEvent {
    fn from(event: &RecordedEvent) -> Self {
        Self {
            id: event.id.to_string(),
            name: event.name.as_str().into(),
            data: data_of(event),
            entity_version: event.version.0,
            version: event.schema_version,
            timestamp: format_timestamp(event.recorded_at),
            source: source_text(event.source).into(),
            metadata: metadata_of(event),
        }
    }
}
