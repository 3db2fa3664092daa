//! Events, before and after they are recorded.

use bytes::Bytes;

use crate::{EntityId, EntityType, EventId, EventName, Position, StreamVersion, Tag, Timestamp};

/// What an event's data bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ContentType {
    /// One JSON value, in UTF-8.
    Json,
    /// Anything else, by its media type.
    Other(String),
}

/// Where an event came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EventSource {
    /// An append by a client.
    #[default]
    Api,
    /// A schedule.
    Cron,
    /// An incoming webhook.
    Webhook,
    /// A bulk import.
    Import,
}

/// An event as a client asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The id that the client chose, if it did.
    pub id: Option<EventId>,
    /// What happened.
    pub name: EventName,
    /// The version of the data's schema, from 1.
    pub schema_version: u32,
    /// What the data is.
    pub content_type: ContentType,
    /// The data.
    pub data: Bytes,
    /// A JSON object, or no bytes at all.
    pub metadata: Bytes,
    /// When it happened, if the client says.
    pub occurred_at: Option<Timestamp>,
    /// Where it came from.
    pub source: EventSource,
    /// What it is about, beside its stream; at most [`crate::limits::EVENT_TAGS_MAX`].
    pub tags: Vec<Tag>,
}

impl NewEvent {
    /// The bytes that count against the limits.
    #[must_use]
    pub fn weight(&self) -> usize {
        let tags: usize = self.tags.iter().map(|tag| tag.as_str().len()).sum();
        self.data.len() + self.metadata.len() + tags
    }
}

/// An event as the log holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Its id.
    pub id: EventId,
    /// Whose stream it is in.
    pub entity_id: EntityId,
    /// The type of that entity.
    pub entity_type: EntityType,
    /// What happened.
    pub name: EventName,
    /// Its place in its stream.
    pub version: StreamVersion,
    /// Its place in its namespace.
    pub position: Position,
    /// The version of the data's schema.
    pub schema_version: u32,
    /// What the data is.
    pub content_type: ContentType,
    /// The data.
    pub data: Bytes,
    /// A JSON object, or no bytes at all.
    pub metadata: Bytes,
    /// When the leader recorded it; never falls within a stream.
    pub recorded_at: Timestamp,
    /// When it happened, if the client said.
    pub occurred_at: Option<Timestamp>,
    /// Where it came from.
    pub source: EventSource,
    /// What it is about, beside its stream; at most [`crate::limits::EVENT_TAGS_MAX`].
    pub tags: Vec<Tag>,
}
