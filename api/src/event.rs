//! Between the message of an event and the word of the domain.

use buffa::MessageView as _;
use bytes::Bytes;
use uuid::{Uuid, fmt::Hyphenated};
use weir_types::{
    ContentType, EntityId, EntityType, EventId, EventName, Position, RecordedEvent, StreamVersion, Tag,
    Timestamp,
};

use crate::{
    ApiError,
    proto::v1,
    source::{parse_content_type, parse_source, source_text},
};

/// An event's id as text.
pub(crate) type IdText = [u8; Hyphenated::LENGTH];

/// An event as a message.
#[must_use]
pub fn event_to_proto(event: &RecordedEvent) -> v1::Event {
    event_view(event, &id_text(event))
        .to_owned_message()
        .expect("a view that was not decoded has no unknown fields")
}

pub(crate) fn id_text(event: &RecordedEvent) -> IdText {
    let mut text = [0; Hyphenated::LENGTH];
    event.id.0.hyphenated().encode_lower(&mut text);
    text
}

/// The same message, which borrows: pages have thousands, and are written once.
pub(crate) fn event_view<'a>(event: &'a RecordedEvent, id: &'a IdText) -> v1::EventView<'a> {
    v1::EventView {
        id: str::from_utf8(id).expect("an id's text is ASCII"),
        entity_id: event.entity_id.as_str(),
        entity_type: event.entity_type.as_str(),
        name: event.name.as_str(),
        version: event.version.0,
        position: event.position.0,
        schema_version: event.schema_version,
        data: &event.data,
        metadata: &event.metadata,
        content_type: media_type(event),
        recorded_at_us: event.recorded_at.0,
        occurred_at_us: event.occurred_at.map(|at| at.0),
        source: source_text(event.source),
        tags: event.tags.iter().map(Tag::as_str).collect(),
        ..Default::default()
    }
}

fn media_type(event: &RecordedEvent) -> &str {
    match &event.content_type {
        ContentType::Json => "",
        ContentType::Other(media_type) => media_type,
    }
}

/// The event that a message is, whose data and metadata share `message`'s memory, and its names those of the event
/// `before` it, where they are the same.
///
/// # Errors
/// `invalid_request` or `invalid_name`: the message is not from a Weir that this client knows.
pub fn event_from_view(
    view: &v1::EventView<'_>,
    message: &Bytes,
    before: Option<&RecordedEvent>,
) -> Result<RecordedEvent, ApiError> {
    let id = Uuid::try_parse(view.id).map_err(|_| ApiError::invalid("event id is not a UUID"))?;
    Ok(RecordedEvent {
        id: EventId(id),
        entity_id: EntityId::after(before.map(|event| &event.entity_id), view.entity_id)?,
        entity_type: EntityType::after(before.map(|event| &event.entity_type), view.entity_type)?,
        name: EventName::after(before.map(|event| &event.name), view.name)?,
        version: StreamVersion(view.version),
        position: Position(view.position),
        schema_version: view.schema_version,
        content_type: parse_content_type(view.content_type)?,
        data: message.slice_ref(view.data),
        metadata: message.slice_ref(view.metadata),
        recorded_at: Timestamp(view.recorded_at_us),
        occurred_at: view.occurred_at_us.map(Timestamp),
        source: parse_source(view.source)?,
        tags: view.tags.iter().map(Tag::new).collect::<Result<_, _>>()?,
    })
}
