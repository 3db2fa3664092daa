//! The body of a message: one event as JSON, format 1.
//!
//! ```json
//! {"id":"0190…","entityId":"order-1","entityType":"order","name":"order.placed",
//!  "version":1,"position":7,"schemaVersion":1,"contentType":"application/json",
//!  "data":{"total":3},"metadata":{"user":"ada"},
//!  "recordedAt":"2026-11-21T10:00:00.000001Z","occurredAt":null,"source":"api"}
//! ```
//!
//! `data` holds JSON data byte for byte. Other data stands as standard base64
//! in `dataBase64`. Data too large for the bus is left out and marked by
//! `"dataOmitted":true`: it is in the log, at `position`.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;
use weir_types::{
    ContentType, EntityId, EntityType, EventId, EventName, EventSource, Position, RecordedEvent,
    StreamVersion, Tag, Timestamp,
};

/// The media type of [`ContentType::Json`].
const JSON: &str = "application/json";

/// Whether a message carries its event's data and metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// It does.
    Whole,
    /// It does not, because they are larger than the bus takes.
    Omitted,
}

/// What a message body holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// The whole event.
    Event(Box<RecordedEvent>),
    /// An event without its data: read it from the log.
    Omitted(Position),
}

/// Why a body is not an event.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// It is not the JSON of format 1.
    #[error("body is not an event")]
    Json(#[from] serde_json::Error),
    /// A field holds what no event holds.
    #[error("field `{field}` of the body is not legal: {reason}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    id: String,
    entity_id: String,
    entity_type: String,
    name: String,
    version: u64,
    position: u64,
    schema_version: u32,
    content_type: String,
    #[serde(borrow, default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    data_omitted: bool,
    #[serde(borrow, default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata_base64: Option<String>,
    recorded_at: Moment,
    occurred_at: Option<Moment>,
    source: Source,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

/// A field that is there, be it `null`.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// RFC 3339 with microseconds; as a number of microseconds outside its years.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Moment {
    Text(String),
    Micros(i64),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    Api,
    Cron,
    Webhook,
    Import,
}

/// An event as a message body.
#[must_use]
pub fn encode(event: &RecordedEvent, data: Data) -> Bytes {
    let whole = data == Data::Whole;
    let json_data = match event.content_type {
        ContentType::Json if whole => raw(&event.data),
        _ => None,
    };
    let metadata = if whole { raw(&event.metadata) } else { None };
    let base64 = |bytes: &Bytes| Some(STANDARD.encode(bytes));
    let envelope = Envelope {
        id: event.id.to_string(),
        entity_id: event.entity_id.to_string(),
        entity_type: event.entity_type.to_string(),
        name: event.name.to_string(),
        version: event.version.0,
        position: event.position.0,
        schema_version: event.schema_version,
        content_type: match &event.content_type {
            ContentType::Json => JSON.into(),
            ContentType::Other(media_type) => media_type.clone(),
        },
        data: json_data,
        data_base64: if whole && json_data.is_none() { base64(&event.data) } else { None },
        data_omitted: !whole,
        metadata,
        metadata_base64: match whole && metadata.is_none() && !event.metadata.is_empty() {
            true => base64(&event.metadata),
            false => None,
        },
        recorded_at: Moment::of(event.recorded_at),
        occurred_at: event.occurred_at.map(Moment::of),
        source: Source::of(event.source),
        tags: event.tags.iter().map(ToString::to_string).collect(),
    };
    serde_json::to_vec(&envelope).expect("plain data is always JSON").into()
}

/// The event in a message body.
///
/// # Errors
/// [`EnvelopeError`] when the body is not of format 1.
pub fn decode(body: &[u8]) -> Result<Decoded, EnvelopeError> {
    let envelope: Envelope<'_> = serde_json::from_slice(body)?;
    let position = Position(envelope.position);
    if envelope.data_omitted {
        return Ok(Decoded::Omitted(position));
    }
    Ok(Decoded::Event(Box::new(RecordedEvent {
        id: EventId(Uuid::parse_str(&envelope.id).map_err(field("id"))?),
        entity_id: EntityId::new(&envelope.entity_id).map_err(field("entityId"))?,
        entity_type: EntityType::new(&envelope.entity_type).map_err(field("entityType"))?,
        name: EventName::new(&envelope.name).map_err(field("name"))?,
        version: StreamVersion(envelope.version),
        position,
        schema_version: envelope.schema_version,
        content_type: match envelope.content_type.as_str() {
            JSON => ContentType::Json,
            _ => ContentType::Other(envelope.content_type),
        },
        data: bytes("dataBase64", envelope.data, envelope.data_base64)?,
        metadata: bytes("metadataBase64", envelope.metadata, envelope.metadata_base64)?,
        recorded_at: envelope.recorded_at.timestamp("recordedAt")?,
        occurred_at: envelope.occurred_at.map(|at| at.timestamp("occurredAt")).transpose()?,
        source: envelope.source.source(),
        tags: envelope.tags.iter().map(Tag::new).collect::<Result<_, _>>().map_err(field("tags"))?,
    })))
}

/// Bytes that are one JSON value and nothing around it, to be inlined as they are.
fn raw(bytes: &[u8]) -> Option<&RawValue> {
    let raw: &RawValue = serde_json::from_slice(bytes).ok()?;
    (raw.get().len() == bytes.len()).then_some(raw)
}

fn bytes(name: &'static str, raw: Option<&RawValue>, base64: Option<String>) -> Result<Bytes, EnvelopeError> {
    match (raw, base64) {
        (Some(raw), _) => Ok(Bytes::copy_from_slice(raw.get().as_bytes())),
        (None, Some(text)) => STANDARD.decode(text).map(Bytes::from).map_err(field(name)),
        (None, None) => Ok(Bytes::new()),
    }
}

fn field<E: std::fmt::Display>(field: &'static str) -> impl FnOnce(E) -> EnvelopeError {
    move |error| EnvelopeError::Field { field, reason: error.to_string() }
}

impl Moment {
    fn of(at: Timestamp) -> Self {
        match jiff::Timestamp::from_microsecond(at.0) {
            Ok(timestamp) => Self::Text(format!("{timestamp:.6}")),
            Err(_) => Self::Micros(at.0),
        }
    }

    fn timestamp(&self, name: &'static str) -> Result<Timestamp, EnvelopeError> {
        match self {
            Self::Micros(micros) => Ok(Timestamp(*micros)),
            Self::Text(text) => {
                text.parse::<jiff::Timestamp>().map(|at| Timestamp(at.as_microsecond())).map_err(field(name))
            }
        }
    }
}

impl Source {
    fn of(source: EventSource) -> Self {
        match source {
            EventSource::Api => Self::Api,
            EventSource::Cron => Self::Cron,
            EventSource::Webhook => Self::Webhook,
            EventSource::Import => Self::Import,
        }
    }

    fn source(&self) -> EventSource {
        match self {
            Self::Api => EventSource::Api,
            Self::Cron => EventSource::Cron,
            Self::Webhook => EventSource::Webhook,
            Self::Import => EventSource::Import,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> RecordedEvent {
        RecordedEvent {
            id: EventId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)),
            entity_id: EntityId::new("order-1").unwrap(),
            entity_type: EntityType::new("order").unwrap(),
            name: EventName::new("order.placed").unwrap(),
            version: StreamVersion(1),
            position: Position(7),
            schema_version: 1,
            content_type: ContentType::Json,
            data: Bytes::from_static(br#"{"total":3}"#),
            metadata: Bytes::from_static(br#"{"user":"ada"}"#),
            recorded_at: Timestamp(1_795_255_200_000_001),
            occurred_at: None,
            source: EventSource::Api,
            tags: Vec::new(),
        }
    }

    #[test]
    fn an_event_reads_as_documented() {
        let expected = concat!(
            r#"{"id":"01900000-0000-7000-8000-000000000001","entityId":"order-1","entityType":"order","#,
            r#""name":"order.placed","version":1,"position":7,"schemaVersion":1,"#,
            r#""contentType":"application/json","data":{"total":3},"metadata":{"user":"ada"},"#,
            r#""recordedAt":"2026-11-21T10:00:00.000001Z","occurredAt":null,"source":"api"}"#,
        );
        assert_eq!(std::str::from_utf8(&encode(&event(), Data::Whole)).unwrap(), expected);
    }

    type Change = Box<dyn Fn(&mut RecordedEvent)>;

    #[test]
    fn every_event_comes_back_byte_for_byte() {
        let other = |text: &str| ContentType::Other(text.into());
        let cases: Vec<(&str, Change)> = vec![
            ("plain", Box::new(|_| {})),
            ("null", Box::new(|e| e.data = Bytes::from_static(b"null"))),
            ("big numbers", Box::new(|e| e.data = Bytes::from_static(b"123456789012345678901234567890.10"))),
            ("twin keys", Box::new(|e| e.data = Bytes::from_static(br#"{"a":1,"a":2}"#))),
            ("inner spaces", Box::new(|e| e.data = Bytes::from_static(b"{ \"a\" :\n 1 }"))),
            ("outer spaces", Box::new(|e| e.data = Bytes::from_static(b" 1\n"))),
            ("JSON in name only", Box::new(|e| e.data = Bytes::from_static(b"{oops"))),
            ("no data", Box::new(|e| e.data = Bytes::new())),
            ("no metadata", Box::new(|e| e.metadata = Bytes::new())),
            ("odd metadata", Box::new(|e| e.metadata = Bytes::from_static(b"\xff"))),
            (
                "bytes",
                Box::new(move |e| {
                    e.content_type = other("application/octet-stream");
                    e.data = (0..=255).collect();
                }),
            ),
            (
                "odd names",
                Box::new(|e| {
                    e.entity_id = EntityId::new("a\"b\\c größe \u{202e}").unwrap();
                    e.name = EventName::new("*.>").unwrap();
                }),
            ),
            (
                "times",
                Box::new(|e| {
                    e.recorded_at = Timestamp(i64::MAX);
                    e.occurred_at = Some(Timestamp(-1));
                }),
            ),
            ("whole seconds", Box::new(|e| e.occurred_at = Some(Timestamp(5_000_000)))),
            ("sources", Box::new(|e| e.source = EventSource::Webhook)),
        ];
        for (case, change) in cases {
            let mut event = event();
            change(&mut event);
            let body = encode(&event, Data::Whole);
            assert_eq!(decode(&body).unwrap(), Decoded::Event(Box::new(event)), "{case}");
        }
    }

    #[test]
    fn omitted_data_is_said_to_be_omitted() {
        let mut event = event();
        event.data = Bytes::from(vec![b'1'; 1024 * 1024]);
        let body = encode(&event, Data::Omitted);
        assert!(body.len() < 1024);
        assert_eq!(decode(&body).unwrap(), Decoded::Omitted(Position(7)));
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let good = String::from_utf8(encode(&event(), Data::Whole).to_vec()).unwrap();
        for bad in [
            "".into(),
            "{}".into(),
            good.replace("order-1", ""),
            good.replace("2026-11", "2026-13"),
            good.replace("\"api\"", "\"moon\""),
            good.replace("\"version\":1", "\"version\":-1"),
        ] {
            assert!(decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
