//! What the tests of this crate share.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    reason = "each test uses a part, and fails when it cannot go on"
)]

mod eventually;
pub mod nats;

use std::future::Future;

use bytes::Bytes;
use weir_actors::{EventIds, RouterConfig, RouterHandle};
use weir_types::{
    AppendRequest, ContentType, DecidedAppend, DecidedEvent, EntityId, EntityType, EventId, EventName,
    EventSource, ExpectedVersion, GroupId, IdempotencyKey, NewEvent, NodeId, StreamVersion, Timestamp,
    testing::MemoryLog,
};

pub const NODE: NodeId = NodeId(1);
pub const NOW: Timestamp = Timestamp(1_795_255_200_000_000);

pub async fn router(log: &MemoryLog, config: RouterConfig) -> RouterHandle {
    RouterHandle::start(config, log.ports(NOW), EventIds::seeded(7)).await.unwrap()
}

pub fn request(entity: &str, expected: Option<u64>) -> AppendRequest {
    AppendRequest {
        group: GroupId::DEFAULT,
        entity_id: EntityId::new(entity).unwrap(),
        entity_type: EntityType::new("order").unwrap(),
        expected: expected.map_or(ExpectedVersion::Any, |v| ExpectedVersion::Exact(StreamVersion(v))),
        idempotency_key: None,
        events: vec![event("1")],
    }
}

pub fn keyed(entity: &str, key: &str, data: &str) -> AppendRequest {
    AppendRequest {
        idempotency_key: Some(IdempotencyKey::new(key).unwrap()),
        events: vec![event(data), event(data)],
        ..request(entity, None)
    }
}

pub fn event(data: &str) -> NewEvent {
    NewEvent {
        id: None,
        name: EventName::new("order.placed").unwrap(),
        schema_version: 1,
        content_type: ContentType::Json,
        data: Bytes::copy_from_slice(data.as_bytes()),
        metadata: Bytes::new(),
        occurred_at: None,
        source: EventSource::Api,
        tags: Vec::new(),
    }
}

/// An append as another leader would have decided it.
pub fn decided(entity: &str, base: u64, id: u128, data: &str) -> DecidedAppend {
    DecidedAppend {
        judged: None,
        entity_id: EntityId::new(entity).unwrap(),
        entity_type: EntityType::new("order").unwrap(),
        base: StreamVersion(base),
        idempotency: None,
        recorded_at: NOW,
        events: vec![DecidedEvent {
            id: EventId(uuid::Uuid::from_u128(id)),
            name: EventName::new("order.placed").unwrap(),
            schema_version: 1,
            content_type: ContentType::Json,
            data: Bytes::copy_from_slice(data.as_bytes()),
            metadata: Bytes::new(),
            occurred_at: None,
            source: EventSource::Api,
            tags: Vec::new(),
        }],
    }
}

/// Waits until `holds`, with a deadline.
pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    eventually_async(what, || std::future::ready(holds())).await;
}

pub async fn eventually_async<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    eventually::eventually(what, holds, |held| *held).await;
}
