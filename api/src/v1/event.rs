use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{ContentType, RecordedEvent};

use crate::{JsonText, format_timestamp, source::source_text};

/// A recorded event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// Its id.
    pub id: String,
    /// Its stream.
    pub entity_id: String,
    /// The entity's type.
    pub entity_type: String,
    /// What happened.
    pub name: String,
    /// Its place in its stream.
    pub version: u64,
    /// Its place in its namespace.
    pub position: u64,
    /// The version of the data's schema.
    pub schema_version: u32,
    /// The data, byte for byte as it was appended, or as upcasters gave it; in base64 when `content_type` is there.
    pub data: JsonText,
    /// A JSON object, if there is any metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonText>,
    /// When it was recorded, in RFC 3339.
    pub recorded_at: String,
    /// When it happened, in RFC 3339, if the client said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    /// Where it came from.
    pub source: String,
    /// The media type of the data, when it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// What it is about, beside its stream; absent when it has no tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl From<&RecordedEvent> for EventView {
    fn from(event: &RecordedEvent) -> Self {
        Self {
            id: event.id.to_string(),
            entity_id: event.entity_id.as_str().into(),
            entity_type: event.entity_type.as_str().into(),
            name: event.name.as_str().into(),
            version: event.version.0,
            position: event.position.0,
            schema_version: event.schema_version,
            data: data_of(event),
            metadata: metadata_of(event),
            recorded_at: format_timestamp(event.recorded_at),
            occurred_at: event.occurred_at.map(format_timestamp),
            source: source_text(event.source).into(),
            content_type: media_type_of(&event.content_type),
            tags: event.tags.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The data as JSON: itself, or a string of base64.
pub(crate) fn data_of(event: &RecordedEvent) -> JsonText {
    data_in(&event.content_type, &event.data)
}

pub(super) fn data_in(content_type: &ContentType, data: &[u8]) -> JsonText {
    match content_type {
        ContentType::Json => JsonText::of_stored(data),
        ContentType::Other(_) => JsonText::string(&STANDARD.encode(data)),
    }
}

/// The media type of data that are not JSON.
pub(super) fn media_type_of(content_type: &ContentType) -> Option<String> {
    match content_type {
        ContentType::Json => None,
        ContentType::Other(media_type) => Some(media_type.clone()),
    }
}

/// The metadata, if there is any.
#[must_use]
pub fn metadata_of(event: &RecordedEvent) -> Option<JsonText> {
    (!event.metadata.is_empty()).then(|| JsonText::of_stored(&event.metadata))
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::Bytes;
    use weir_types::{
        EntityId, EntityType, EventId, EventName, EventSource, Position, StreamVersion, Timestamp,
    };

    use super::*;

    pub(crate) fn event() -> RecordedEvent {
        RecordedEvent {
            id: EventId("018f0000-0000-7000-8000-000000000001".parse().unwrap()),
            entity_id: EntityId::new("o-1").unwrap(),
            entity_type: EntityType::new("order").unwrap(),
            name: EventName::new("order.placed").unwrap(),
            version: StreamVersion(2),
            position: Position(9),
            schema_version: 1,
            content_type: ContentType::Json,
            data: Bytes::from_static(b"{\"n\": 12345678901234567890}"),
            metadata: Bytes::new(),
            recorded_at: Timestamp(1_000_000),
            occurred_at: None,
            source: EventSource::Api,
            tags: Vec::new(),
        }
    }

    #[test]
    fn an_event_is_written_in_camel_case_with_its_data_as_it_came() {
        let text = serde_json::to_string(&EventView::from(&event())).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"id":"018f0000-0000-7000-8000-000000000001","entityId":"o-1","entityType":"order","#,
                r#""name":"order.placed","version":2,"position":9,"schemaVersion":1,"#,
                r#""data":{"n": 12345678901234567890},"recordedAt":"1970-01-01T00:00:01.000000Z","source":"api"}"#
            )
        );
        let read: EventView = serde_json::from_str(&text).unwrap();
        assert_eq!(read, EventView::from(&event()));
    }

    #[test]
    fn other_content_is_base64() {
        let event = RecordedEvent {
            content_type: ContentType::Other("image/png".into()),
            data: Bytes::from_static(&[0, 255]),
            metadata: Bytes::from_static(b"{\"a\":1}"),
            ..event()
        };
        let view = EventView::from(&event);
        assert_eq!((view.data.get(), view.content_type.as_deref()), ("\"AP8=\"", Some("image/png")));
        assert_eq!(view.metadata.unwrap().get(), "{\"a\":1}");
    }
}
