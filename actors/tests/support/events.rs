//! Events for tests, as a log would hold them.

use bytes::Bytes;
use serde_json::Value;
use weir_types::{
    ClusterId, ContentType, DecidedAppend, DecidedEvent, EntityId, EntityType, EventId, EventName,
    EventSource, Position, RecordedEvent, StreamVersion, Timestamp,
};

/// The cluster.
#[allow(dead_code, reason = "not every test file has a bus")]
pub const CLUSTER: ClusterId = ClusterId(uuid::Uuid::from_u128(1));

/// A time on a day in 2024.
pub const NOW: Timestamp = Timestamp(1_709_290_800_000_000);

/// The event at a position, alone in its stream.
#[allow(dead_code, reason = "not every test file folds by hand")]
pub fn event(position: u64, name: &str, entity: &str, data: &Value) -> RecordedEvent {
    RecordedEvent {
        id: EventId(uuid::Uuid::from_u128(u128::from(position))),
        entity_id: EntityId::new(entity).unwrap(),
        entity_type: EntityType::new("thing").unwrap(),
        name: EventName::new(name).unwrap(),
        version: StreamVersion(1),
        position: Position(position),
        schema_version: 1,
        content_type: ContentType::Json,
        data: Bytes::from(data.to_string()),
        metadata: Bytes::new(),
        recorded_at: NOW,
        occurred_at: None,
        source: EventSource::Api,
        tags: Vec::new(),
    }
}

/// An append of one event to a stream that is at `base`.
#[allow(dead_code, reason = "not every test file appends")]
pub fn append(base: u64, name: &str, entity: &str, data: &Value) -> DecidedAppend {
    let event = DecidedEvent {
        id: EventId(uuid::Uuid::new_v4()),
        name: EventName::new(name).unwrap(),
        schema_version: 1,
        content_type: ContentType::Json,
        data: Bytes::from(data.to_string()),
        metadata: Bytes::new(),
        occurred_at: None,
        source: EventSource::Api,
        tags: Vec::new(),
    };
    DecidedAppend {
        judged: None,
        entity_id: EntityId::new(entity).unwrap(),
        entity_type: EntityType::new("thing").unwrap(),
        base: StreamVersion(base),
        idempotency: None,
        recorded_at: NOW,
        events: vec![event],
    }
}
