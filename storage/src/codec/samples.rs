//! Values for the codec's tests: one fixed sample of each kind, and strategies for any.

use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;
use weir_types::{
    BadEvent, Condition, ContentType, DecidedAppend, DecidedEvent, DecidedTransaction, DecidedWrite,
    EntityId, EntityType, EventId, EventName, EventPattern, EventSource, ExpectedVersion, GroupId,
    Idempotency, IdempotencyKey, NewEvent, OnError, Position, ProjectionDefinition, ProjectionKind,
    ProjectionName, StreamCheck, StreamVersion, Tag, Timestamp,
};

pub(super) fn appends() -> Vec<DecidedAppend> {
    let event = |id: u128, name: &str, content_type, metadata: &'static [u8]| DecidedEvent {
        id: EventId(Uuid::from_u128(id)),
        name: EventName::new(name).unwrap(),
        schema_version: 2,
        content_type,
        data: Bytes::from_static(br#"{"total":1250}"#),
        metadata: Bytes::from_static(metadata),
        occurred_at: Some(Timestamp(-62_135_596_800_000_000)),
        source: EventSource::Import,
        tags: Vec::new(),
    };
    vec![
        DecidedAppend {
            judged: None,
            entity_id: EntityId::new("order-1").unwrap(),
            entity_type: EntityType::new("order").unwrap(),
            base: StreamVersion(7),
            idempotency: Some(Idempotency { key: IdempotencyKey::new("k-1").unwrap(), digest: u64::MAX }),
            recorded_at: Timestamp(1_760_000_000_000_000),
            events: vec![
                event(1, "order.placed", ContentType::Json, b""),
                event(2, "order.größe", ContentType::Other("application/x-protobuf".into()), br#"{"a":1}"#),
            ],
        },
        DecidedAppend {
            judged: None,
            entity_id: EntityId::new("a.b*>\u{202e} c").unwrap(),
            entity_type: EntityType::new("t").unwrap(),
            base: StreamVersion::ZERO,
            idempotency: None,
            recorded_at: Timestamp(0),
            events: vec![DecidedEvent {
                occurred_at: None,
                source: EventSource::Api,
                data: Bytes::new(),
                ..event(3, "n", ContentType::Json, b"")
            }],
        },
    ]
}

/// An append and a transaction, and the transaction alone.
pub(super) fn writes() -> (Vec<DecidedWrite>, DecidedTransaction) {
    let [mut first, second] = <[DecidedAppend; 2]>::try_from(appends()).unwrap();
    let append = first.clone();
    let idempotency = first.idempotency.take();
    first.events[0].tags = ["customer:42", "größe"].map(|text| Tag::new(text).unwrap()).to_vec();
    let check = |entity: &str, expected| StreamCheck { entity_id: EntityId::new(entity).unwrap(), expected };
    let transaction = DecidedTransaction {
        idempotency,
        recorded_at: first.recorded_at,
        appends: vec![first, second],
        checks: vec![
            check("c", ExpectedVersion::Exists),
            check("d", ExpectedVersion::Exact(StreamVersion(70_000))),
        ],
        conditions: vec![Condition {
            after: Position(70_000),
            names: vec![EventName::new("order.placed").unwrap()],
            tags: vec![Tag::new("customer:42").unwrap()],
        }],
    };
    (vec![DecidedWrite::Append(append), DecidedWrite::Transaction(transaction.clone())], transaction)
}

pub(super) fn bad_event() -> BadEvent {
    BadEvent {
        id: EventId(Uuid::from_u128(7)),
        name: EventName::new("order.placed").unwrap(),
        entity_id: EntityId::new("order-1").unwrap(),
        version: StreamVersion(3),
        position: Position(70_000),
        message: "TypeError: x is undefined".into(),
        stack: "    at handler (projection.js:3:9)".into(),
    }
}

pub(super) fn definition() -> ProjectionDefinition {
    ProjectionDefinition {
        name: ProjectionName::new("orders-by_day.v2").unwrap(),
        events: ["order.*", "account.closed"].map(|text| EventPattern::new(text).unwrap()).to_vec(),
        partition_key: Some("$.data.customer.id".into()),
        source: "export const name = 'ü';".into(),
        on_error: OnError::Skip,
        kind: ProjectionKind::Inline,
        sink: None,
    }
}

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>().prop_filter("legal", |c| !c.is_control()), 1..20)
        .prop_map(|chars| chars.into_iter().collect())
}

fn bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn source() -> impl Strategy<Value = EventSource> {
    prop_oneof![
        Just(EventSource::Api),
        Just(EventSource::Cron),
        Just(EventSource::Webhook),
        Just(EventSource::Import)
    ]
}

fn content_type() -> impl Strategy<Value = ContentType> {
    prop_oneof![Just(ContentType::Json), text().prop_map(ContentType::Other)]
}

pub(super) fn any_new_event() -> impl Strategy<Value = NewEvent> {
    let extras = (any::<Option<u128>>(), proptest::collection::vec(text(), 0..3));
    (text(), any::<u32>(), content_type(), bytes(), bytes(), any::<Option<i64>>(), source(), extras).prop_map(
        |(name, schema_version, content_type, data, metadata, occurred_at, source, (id, tags))| NewEvent {
            id: id.map(|id| EventId(Uuid::from_u128(id))),
            name: EventName::new(name).unwrap(),
            schema_version,
            content_type,
            data,
            metadata,
            occurred_at: occurred_at.map(Timestamp),
            source,
            tags: tags.into_iter().map(|text| Tag::new(text).unwrap()).collect(),
        },
    )
}

fn any_event() -> impl Strategy<Value = DecidedEvent> {
    (any::<u128>(), any_new_event()).prop_map(|(id, event)| DecidedEvent {
        id: EventId(Uuid::from_u128(id)),
        name: event.name,
        schema_version: event.schema_version,
        content_type: event.content_type,
        data: event.data,
        metadata: event.metadata,
        occurred_at: event.occurred_at,
        source: event.source,
        tags: event.tags.clone(),
    })
}

pub(super) fn any_append() -> impl Strategy<Value = DecidedAppend> {
    let idempotency = proptest::option::of((text(), any::<u64>()));
    let events = proptest::collection::vec(any_event(), 1..5);
    (text(), text(), 0..u64::MAX / 2, idempotency, any::<i64>(), events).prop_map(
        |(entity_id, entity_type, base, idempotency, recorded_at, events)| DecidedAppend {
            judged: None,
            entity_id: EntityId::new(entity_id).unwrap(),
            entity_type: EntityType::new(entity_type).unwrap(),
            base: StreamVersion(base),
            idempotency: idempotency
                .map(|(key, digest)| Idempotency { key: IdempotencyKey::new(key).unwrap(), digest }),
            recorded_at: Timestamp(recorded_at),
            events,
        },
    )
}

pub(super) fn request_of(append: &DecidedAppend, events: Vec<NewEvent>) -> weir_types::AppendRequest {
    weir_types::AppendRequest {
        group: GroupId::DEFAULT,
        entity_id: append.entity_id.clone(),
        entity_type: append.entity_type.clone(),
        expected: ExpectedVersion::Exact(append.base),
        idempotency_key: append.idempotency.as_ref().map(|known| known.key.clone()),
        events,
    }
}
