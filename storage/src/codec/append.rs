//! An append request and its answer, as they are forwarded between nodes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_types::{
    AppendAck, AppendError, AppendRequest, EntityId, EntityType, EventId, EventName, ExpectedVersion,
    GroupId, IdempotencyKey, NewEvent, NodeId, Position, StreamVersion, Tag, Timestamp, Violation,
};

use super::{
    CodecError,
    event::{
        content_type_from_stored, content_type_to_stored, source_from_stored, source_to_stored,
        tags_from_stored,
    },
    raw::Raw,
    rules::StoredFault,
    transaction::StoredViolation,
};

const WHAT: &str = "forwarded append";

#[derive(Serialize, Deserialize)]
pub(super) struct StoredAppendRequest<'a> {
    group: u64,
    entity_id: &'a str,
    entity_type: &'a str,
    /// `None` is any version.
    expected: Option<u64>,
    idempotency_key: Option<&'a str>,
    #[serde(borrow)]
    events: Vec<StoredNewEvent<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredNewEvent<'a> {
    name: &'a str,
    schema_version: u32,
    content_type: Option<&'a str>,
    #[serde(borrow)]
    data: Raw<'a>,
    #[serde(borrow)]
    metadata: Raw<'a>,
    occurred_at: Option<i64>,
    source: u8,
}

impl<'a> From<&'a AppendRequest> for StoredAppendRequest<'a> {
    fn from(request: &'a AppendRequest) -> Self {
        Self {
            group: request.group.0,
            entity_id: request.entity_id.as_str(),
            entity_type: request.entity_type.as_str(),
            expected: expected_to_stored(request.expected),
            idempotency_key: request.idempotency_key.as_ref().map(IdempotencyKey::as_str),
            events: request.events.iter().map(StoredNewEvent::from).collect(),
        }
    }
}

impl<'a> From<&'a NewEvent> for StoredNewEvent<'a> {
    fn from(event: &'a NewEvent) -> Self {
        Self {
            name: event.name.as_str(),
            schema_version: event.schema_version,
            content_type: content_type_to_stored(&event.content_type),
            data: Raw(&event.data),
            metadata: Raw(&event.metadata),
            occurred_at: event.occurred_at.map(|at| at.0),
            source: source_to_stored(event.source),
        }
    }
}

impl StoredAppendRequest<'_> {
    /// The request; event bytes share `message`'s memory.
    pub(super) fn read(self, message: &Bytes) -> Result<AppendRequest, CodecError> {
        let name = CodecError::name;
        Ok(AppendRequest {
            group: GroupId(self.group),
            entity_id: EntityId::new(self.entity_id).map_err(name(WHAT))?,
            entity_type: EntityType::new(self.entity_type).map_err(name(WHAT))?,
            expected: expected_from_stored(self.expected),
            idempotency_key: self.idempotency_key.map(IdempotencyKey::new).transpose().map_err(name(WHAT))?,
            events: self.events.iter().map(|event| event.read(message)).collect::<Result<_, _>>()?,
        })
    }
}

impl StoredNewEvent<'_> {
    /// The event, without what [`StoredExtra`] says of it.
    pub(super) fn read(&self, message: &Bytes) -> Result<NewEvent, CodecError> {
        Ok(NewEvent {
            id: None,
            name: EventName::new(self.name).map_err(CodecError::name(WHAT))?,
            schema_version: self.schema_version,
            content_type: content_type_from_stored(self.content_type),
            data: message.slice_ref(self.data.0),
            metadata: message.slice_ref(self.metadata.0),
            occurred_at: self.occurred_at.map(Timestamp),
            source: source_from_stored(self.source)?,
            tags: Vec::new(),
        })
    }
}

/// What most events have not.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredExtra<'a> {
    id: Option<[u8; 16]>,
    #[serde(borrow)]
    tags: Vec<&'a str>,
}

impl<'a> StoredExtra<'a> {
    /// The extras of events, in their order; empty when none has any.
    pub(super) fn of(events: &'a [NewEvent]) -> Vec<Self> {
        if events.iter().all(|event| event.id.is_none() && event.tags.is_empty()) {
            return Vec::new();
        }
        let extra = |event: &'a NewEvent| Self {
            id: event.id.map(|id| *id.0.as_bytes()),
            tags: event.tags.iter().map(Tag::as_str).collect(),
        };
        events.iter().map(extra).collect()
    }

    /// Gives events their extras.
    pub(super) fn give(extras: &[Self], events: &mut [NewEvent]) -> Result<(), CodecError> {
        if !extras.is_empty() && extras.len() != events.len() {
            return Err(CodecError::malformed(WHAT, "it has not one extra for each event"));
        }
        for (extra, event) in extras.iter().zip(events) {
            event.id = extra.id.map(|id| EventId(Uuid::from_bytes(id)));
            event.tags = tags_from_stored(&extra.tags)?;
        }
        Ok(())
    }
}

/// No stream gets so far.
const EXISTS: u64 = u64::MAX;

pub(super) fn expected_to_stored(expected: ExpectedVersion) -> Option<u64> {
    match expected {
        ExpectedVersion::Any => None,
        ExpectedVersion::Exact(version) => Some(version.0),
        ExpectedVersion::Exists => Some(EXISTS),
    }
}

pub(super) fn expected_from_stored(stored: Option<u64>) -> ExpectedVersion {
    match stored {
        None => ExpectedVersion::Any,
        Some(EXISTS) => ExpectedVersion::Exists,
        Some(version) => ExpectedVersion::Exact(StreamVersion(version)),
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredAck {
    first_version: u64,
    last_version: u64,
    first_position: u64,
    event_ids: Vec<[u8; 16]>,
    repeated: bool,
}

impl From<&AppendAck> for StoredAck {
    fn from(ack: &AppendAck) -> Self {
        Self {
            first_version: ack.first_version.0,
            last_version: ack.last_version.0,
            first_position: ack.first_position.0,
            event_ids: ack.event_ids.iter().map(|id| *id.0.as_bytes()).collect(),
            repeated: ack.repeated,
        }
    }
}

impl TryFrom<StoredAck> for AppendAck {
    type Error = CodecError;

    fn try_from(stored: StoredAck) -> Result<Self, CodecError> {
        let ack = Self {
            first_version: StreamVersion(stored.first_version),
            last_version: StreamVersion(stored.last_version),
            first_position: Position(stored.first_position),
            event_ids: stored.event_ids.into_iter().map(|id| EventId(Uuid::from_bytes(id))).collect(),
            repeated: stored.repeated,
        };
        match ack.is_whole() {
            true => Ok(ack),
            false => Err(CodecError::malformed(WHAT, "the answer's numbers contradict each other")),
        }
    }
}

// Texts are borrowed: an owned one takes the memory that its length field names before it is read.
#[derive(Serialize, Deserialize)]
pub(super) enum StoredAppendError<'a> {
    NoEvents,
    TooLarge {
        what: &'a str,
        actual: u64,
        max: u64,
    },
    VersionConflict {
        expected: Option<u64>,
        actual: u64,
    },
    TypeConflict {
        actual: &'a str,
    },
    IdempotencyConflict,
    Overloaded,
    NotLeader {
        leader: Option<u64>,
    },
    Unavailable {
        reason: &'a str,
    },
    OutcomeUnknown {
        reason: &'a str,
    },
    Storage {
        reason: &'a str,
    },
    NamedTwice {
        entity_id: &'a str,
    },
    Violated {
        #[serde(borrow)]
        violations: Vec<StoredViolation<'a>>,
    },
    Invalid {
        #[serde(borrow)]
        faults: Vec<StoredFault<'a>>,
    },
    InvariantFailed {
        entity_type: &'a str,
        reason: &'a str,
    },
}

impl<'a> From<&'a AppendError> for StoredAppendError<'a> {
    fn from(error: &'a AppendError) -> Self {
        match error {
            AppendError::NoEvents => Self::NoEvents,
            AppendError::TooLarge { what, actual, max } => {
                Self::TooLarge { what, actual: *actual as u64, max: *max as u64 }
            }
            AppendError::VersionConflict { expected, actual } => {
                Self::VersionConflict { expected: expected_to_stored(*expected), actual: actual.0 }
            }
            AppendError::TypeConflict { actual } => Self::TypeConflict { actual: actual.as_str() },
            AppendError::IdempotencyConflict => Self::IdempotencyConflict,
            AppendError::Overloaded => Self::Overloaded,
            AppendError::NotLeader { leader } => Self::NotLeader { leader: leader.map(|node| node.0) },
            AppendError::Unavailable { reason } => Self::Unavailable { reason },
            AppendError::OutcomeUnknown { reason } => Self::OutcomeUnknown { reason },
            AppendError::Storage { reason } => Self::Storage { reason },
            AppendError::NamedTwice { entity_id } => Self::NamedTwice { entity_id: entity_id.as_str() },
            AppendError::Violated { violations } => {
                Self::Violated { violations: violations.iter().map(StoredViolation::from).collect() }
            }
            AppendError::Invalid { faults } => Self::Invalid { faults: StoredFault::all(faults) },
            AppendError::InvariantFailed { entity_type, reason } => {
                Self::InvariantFailed { entity_type: entity_type.as_str(), reason }
            }
        }
    }
}

impl TryFrom<StoredAppendError<'_>> for AppendError {
    type Error = CodecError;

    fn try_from(stored: StoredAppendError<'_>) -> Result<Self, CodecError> {
        use StoredAppendError as Stored;
        Ok(match stored {
            Stored::NoEvents => Self::NoEvents,
            Stored::TooLarge { what, actual, max } => {
                Self::TooLarge { what: known_measure(what), actual: narrow(actual), max: narrow(max) }
            }
            Stored::VersionConflict { expected, actual } => Self::VersionConflict {
                expected: expected_from_stored(expected),
                actual: StreamVersion(actual),
            },
            Stored::TypeConflict { actual } => {
                Self::TypeConflict { actual: EntityType::new(actual).map_err(CodecError::name(WHAT))? }
            }
            Stored::IdempotencyConflict => Self::IdempotencyConflict,
            Stored::Overloaded => Self::Overloaded,
            Stored::NotLeader { leader } => Self::NotLeader { leader: leader.map(NodeId) },
            Stored::Unavailable { reason } => Self::Unavailable { reason: reason.to_owned() },
            Stored::OutcomeUnknown { reason } => Self::OutcomeUnknown { reason: reason.to_owned() },
            Stored::Storage { reason } => Self::Storage { reason: reason.to_owned() },
            Stored::NamedTwice { entity_id } => {
                Self::NamedTwice { entity_id: EntityId::new(entity_id).map_err(CodecError::name(WHAT))? }
            }
            Stored::Violated { violations } => {
                let violations = violations.into_iter().map(Violation::try_from);
                Self::Violated { violations: violations.collect::<Result<_, _>>()? }
            }
            Stored::Invalid { faults } => Self::Invalid { faults: StoredFault::read(&faults)? },
            Stored::InvariantFailed { entity_type, reason } => Self::InvariantFailed {
                entity_type: EntityType::new(entity_type).map_err(CodecError::name(WHAT))?,
                reason: reason.to_owned(),
            },
        })
    }
}

/// The measure's name as the static text that the error wants. A name that a
/// newer leader says and this node does not know becomes the vague one.
fn known_measure(what: &str) -> &'static str {
    let known = [
        "events",
        "append bytes",
        "event data bytes",
        "metadata bytes",
        "tags",
        "streams to write",
        "streams to check",
        "conditions",
        "names and tags of a condition",
    ];
    known.into_iter().find(|known| *known == what).unwrap_or("bytes")
}

fn narrow(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
