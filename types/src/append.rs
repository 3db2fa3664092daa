//! An append, from the request to the outcome.

use bytes::Bytes;

use crate::{
    ContentType, EntityId, EntityType, EventId, EventName, EventSource, GroupId, IdempotencyKey, Judged,
    NewEvent, Position, RuleFaults, StreamVersion, Tag, Timestamp, Violation, limits,
};

/// What the stream's version must be for an append to succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExpectedVersion {
    /// Any version; on the wire −1.
    Any,
    /// Exactly this one. 0 means that the stream must not exist yet.
    Exact(StreamVersion),
    /// Any but none: the stream must have events.
    Exists,
}

impl ExpectedVersion {
    /// Whether a stream at `actual` meets the expectation.
    #[must_use]
    pub fn met_by(self, actual: StreamVersion) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(expected) => expected == actual,
            Self::Exists => actual > StreamVersion::ZERO,
        }
    }
}

/// One append to one stream, all or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendRequest {
    /// The namespace's group.
    pub group: GroupId,
    /// The stream.
    pub entity_id: EntityId,
    /// The type of the entity. The first event fixes it.
    pub entity_type: EntityType,
    /// The guard.
    pub expected: ExpectedVersion,
    /// The key by which a repeat is recognised.
    pub idempotency_key: Option<IdempotencyKey>,
    /// 1 to [`limits::APPEND_EVENTS_MAX`] events.
    pub events: Vec<NewEvent>,
}

impl AppendRequest {
    /// The bytes that count against the limits.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.events.iter().map(NewEvent::weight).sum()
    }

    /// Checks the limits that concern the append as a whole.
    ///
    /// # Errors
    /// [`AppendError::NoEvents`] or [`AppendError::TooLarge`].
    pub fn check_limits(&self) -> Result<(), AppendError> {
        check_events(&self.events)
    }

    /// The key by which a repeat is recognised: the client's, or else the id that it chose for the first event.
    #[must_use]
    pub fn key(&self) -> Option<IdempotencyKey> {
        let chosen = || self.events.first().and_then(|event| event.id);
        self.idempotency_key.clone().or_else(|| chosen().map(IdempotencyKey::of_event))
    }
}

/// Checks the limits of events that are appended at once.
pub(crate) fn check_events<'a>(
    events: impl IntoIterator<Item = &'a NewEvent, IntoIter: Clone>,
) -> Result<(), AppendError> {
    let refuse = |what, actual, max| Err(AppendError::TooLarge { what, actual, max });
    let events = events.into_iter();
    let (number, bytes) = (events.clone().count(), events.clone().map(NewEvent::weight).sum());
    if number == 0 {
        return Err(AppendError::NoEvents);
    }
    if number > limits::APPEND_EVENTS_MAX {
        return refuse("events", number, limits::APPEND_EVENTS_MAX);
    }
    if bytes > limits::APPEND_BYTES_MAX {
        return refuse("append bytes", bytes, limits::APPEND_BYTES_MAX);
    }
    for event in events {
        for (what, actual, max) in [
            ("event data bytes", event.data.len(), limits::EVENT_DATA_BYTES_MAX),
            ("metadata bytes", event.metadata.len(), limits::METADATA_BYTES_MAX),
            ("tags", event.tags.len(), limits::EVENT_TAGS_MAX),
        ] {
            if actual > max {
                return refuse(what, actual, max);
            }
        }
    }
    Ok(())
}

/// An idempotency key together with a digest of what it was used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The client's key; its scope is the stream.
    pub key: IdempotencyKey,
    /// xxh3-64 of the request's content, so that other content is noticed.
    pub digest: u64,
}

/// An append as the stream actor decided it: what the log entry will say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedAppend {
    /// The stream.
    pub entity_id: EntityId,
    /// The type of the entity.
    pub entity_type: EntityType,
    /// The guard that apply checks again. The actor always makes it exact.
    pub base: StreamVersion,
    /// The idempotency key, if any.
    pub idempotency: Option<Idempotency>,
    /// What it was judged against; `None` when the group had no rules.
    pub judged: Option<Judged>,
    /// When the leader recorded it.
    pub recorded_at: Timestamp,
    /// The events; their versions are `base + 1`, `base + 2`, …
    pub events: Vec<DecidedEvent>,
}

impl DecidedAppend {
    /// The bytes that the append brings to an entry, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        let tags = |event: &DecidedEvent| event.tags.iter().map(|tag| tag.as_str().len() + 2).sum::<usize>();
        let events = self.events.iter().map(|e| e.data.len() + e.metadata.len() + tags(e) + 128);
        events.sum::<usize>() + self.entity_id.as_str().len() + 64
    }
}

/// An event as the stream actor decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedEvent {
    /// Its id.
    pub id: EventId,
    /// What happened.
    pub name: EventName,
    /// The version of the data's schema.
    pub schema_version: u32,
    /// What the data is.
    pub content_type: ContentType,
    /// The data.
    pub data: Bytes,
    /// A JSON object, or no bytes at all.
    pub metadata: Bytes,
    /// When it happened, if the client said.
    pub occurred_at: Option<Timestamp>,
    /// Where it came from.
    pub source: EventSource,
    /// What it is about, beside its stream.
    pub tags: Vec<Tag>,
}

/// What apply made of a decided append; equal on every replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendOutcome {
    /// It is in the stream.
    Appended {
        /// Version of its first event.
        first_version: StreamVersion,
        /// Version of its last event.
        last_version: StreamVersion,
        /// Position of its first event; the others follow without a hole.
        first_position: Position,
    },
    /// The key was seen before, with the same content; this is the first result.
    Repeated {
        /// Version of the first result's first event.
        first_version: StreamVersion,
        /// Version of its last event.
        last_version: StreamVersion,
        /// Position of its first event.
        first_position: Position,
    },
    /// The stream was at another version.
    VersionConflict {
        /// The version that it was at.
        actual: StreamVersion,
    },
    /// The entity is of another type.
    TypeConflict {
        /// The type that its first event gave it.
        actual: EntityType,
    },
    /// The key was seen before, with other content.
    IdempotencyConflict,
    /// It was judged against other rules, or on another last event, than there are.
    JudgedOnOther,
}

/// The answer to a successful append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendAck {
    /// Version of its first event.
    pub first_version: StreamVersion,
    /// Version of its last event, which is the stream's version after it.
    pub last_version: StreamVersion,
    /// Position of its first event.
    pub first_position: Position,
    /// The ids of its events, in order.
    pub event_ids: Vec<EventId>,
    /// Whether an earlier append with the same idempotency key is being answered again.
    pub repeated: bool,
}

impl AppendAck {
    /// Whether its last version and position exist and are not before the first
    /// ones. Whoever reads an answer from bytes checks it, and trusts it then.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let more = self.last_version.0.checked_sub(self.first_version.0);
        more.and_then(|more| self.first_position.0.checked_add(more)).is_some()
    }

    /// Position of its last event: the `min_position` for read-your-writes.
    ///
    /// # Panics
    /// Panics unless [`AppendAck::is_whole`].
    #[must_use]
    pub fn last_position(&self) -> Position {
        self.first_position.plus(self.last_version.0 - self.first_version.0)
    }
}

/// Why an append was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The request holds no event.
    #[error("append holds no event")]
    NoEvents,
    /// A limit was exceeded.
    #[error("append has {actual} {what}, over the limit of {max}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        actual: usize,
        /// The limit.
        max: usize,
    },
    /// The stream is at another version.
    #[error("version conflict")]
    VersionConflict {
        /// The guard.
        expected: ExpectedVersion,
        /// The stream's version.
        actual: StreamVersion,
    },
    /// The entity is of another type.
    #[error("entity is of type `{actual}`")]
    TypeConflict {
        /// The type that its first event gave it.
        actual: EntityType,
    },
    /// A transaction names a stream more than once.
    #[error("transaction names the stream `{entity_id}` more than once")]
    NamedTwice {
        /// The stream.
        entity_id: EntityId,
    },
    /// Guards, checks or conditions of a transaction do not hold. Nothing was written.
    #[error("transaction is refused: {}", Violation::all(violations))]
    Violated {
        /// All of them; never empty.
        violations: Vec<Violation>,
    },
    /// Events break the rules of their stream. Nothing was written.
    #[error("events are refused: {faults}")]
    Invalid {
        /// How.
        faults: RuleFaults,
    },
    /// The invariant of a stream could not be judged. Nothing was written.
    #[error("invariant of entity type `{entity_type}` failed: {reason}")]
    InvariantFailed {
        /// Whose invariant.
        entity_type: EntityType,
        /// What went wrong.
        reason: String,
    },
    /// The idempotency key was used with other content.
    #[error("idempotency key, or the id of the first event, was used before with other content")]
    IdempotencyConflict,
    /// The node has no room for more appends now.
    #[error("node has too many appends in flight")]
    Overloaded,
    /// This node does not lead the group. Nothing was written.
    #[error("node does not lead the group")]
    NotLeader {
        /// Who does, if known.
        leader: Option<crate::NodeId>,
    },
    /// No leader is known or reachable. Nothing was written.
    #[error("no leader is available: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// The append was proposed and its fate is not known: retry with the same idempotency key.
    #[error("outcome of the append is unknown: {reason}")]
    OutcomeUnknown {
        /// Why.
        reason: String,
    },
    /// The store failed; the node is in trouble.
    #[error("storage failed: {reason}")]
    Storage {
        /// Why.
        reason: String,
    },
}
