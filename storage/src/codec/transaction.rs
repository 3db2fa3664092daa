//! A transaction's request and answer, as they are forwarded between nodes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_types::{
    AppendAck, Condition, EntityId, EntityType, GroupId, IdempotencyKey, Position, StreamAppend, StreamCheck,
    StreamVersion, TransactionAck, TransactionRequest, Violation,
};

use super::{
    CodecError,
    append::{StoredAck, StoredExtra, StoredNewEvent, expected_from_stored, expected_to_stored},
    command::{StoredCondition, read_check},
};

const WHAT: &str = "forwarded transaction";

#[derive(Serialize, Deserialize)]
pub(super) struct StoredTransactionRequest<'a> {
    group: u64,
    idempotency_key: Option<&'a str>,
    #[serde(borrow)]
    appends: Vec<StoredStreamAppend<'a>>,
    #[serde(borrow)]
    checks: Vec<(&'a str, Option<u64>)>,
    #[serde(borrow)]
    conditions: Vec<StoredCondition<'a>>,
}

#[derive(Serialize, Deserialize)]
struct StoredStreamAppend<'a> {
    entity_id: &'a str,
    entity_type: &'a str,
    expected: Option<u64>,
    #[serde(borrow)]
    events: Vec<StoredNewEvent<'a>>,
    #[serde(borrow)]
    extras: Vec<StoredExtra<'a>>,
}

impl<'a> From<&'a TransactionRequest> for StoredTransactionRequest<'a> {
    fn from(request: &'a TransactionRequest) -> Self {
        let check = |check: &'a StreamCheck| (check.entity_id.as_str(), expected_to_stored(check.expected));
        Self {
            group: request.group.0,
            idempotency_key: request.idempotency_key.as_ref().map(IdempotencyKey::as_str),
            appends: request.appends.iter().map(StoredStreamAppend::from).collect(),
            checks: request.checks.iter().map(check).collect(),
            conditions: request.conditions.iter().map(StoredCondition::from).collect(),
        }
    }
}

impl<'a> From<&'a StreamAppend> for StoredStreamAppend<'a> {
    fn from(append: &'a StreamAppend) -> Self {
        Self {
            entity_id: append.entity_id.as_str(),
            entity_type: append.entity_type.as_str(),
            expected: expected_to_stored(append.expected),
            events: append.events.iter().map(StoredNewEvent::from).collect(),
            extras: StoredExtra::of(&append.events),
        }
    }
}

impl StoredTransactionRequest<'_> {
    /// The request; event bytes share `message`'s memory.
    pub(super) fn read(self, message: &Bytes) -> Result<TransactionRequest, CodecError> {
        let key = self.idempotency_key.map(IdempotencyKey::new).transpose();
        Ok(TransactionRequest {
            group: GroupId(self.group),
            idempotency_key: key.map_err(CodecError::name(WHAT))?,
            appends: self.appends.iter().map(|append| append.read(message)).collect::<Result<_, _>>()?,
            checks: self.checks.iter().map(read_check).collect::<Result<_, _>>()?,
            conditions: self.conditions.iter().map(Condition::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl StoredStreamAppend<'_> {
    fn read(&self, message: &Bytes) -> Result<StreamAppend, CodecError> {
        let name = CodecError::name;
        let mut events =
            self.events.iter().map(|event| event.read(message)).collect::<Result<Vec<_>, _>>()?;
        StoredExtra::give(&self.extras, &mut events)?;
        Ok(StreamAppend {
            entity_id: EntityId::new(self.entity_id).map_err(name(WHAT))?,
            entity_type: EntityType::new(self.entity_type).map_err(name(WHAT))?,
            expected: expected_from_stored(self.expected),
            events,
        })
    }
}

// Texts are borrowed: an owned one takes the memory that its length field names before it is read.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredTransactionAck<'a> {
    #[serde(borrow)]
    streams: Vec<(&'a str, StoredAck)>,
    repeated: bool,
}

impl<'a> From<&'a TransactionAck> for StoredTransactionAck<'a> {
    fn from(ack: &'a TransactionAck) -> Self {
        let streams = ack.streams.iter().map(|(entity, ack)| (entity.as_str(), StoredAck::from(ack)));
        Self { streams: streams.collect(), repeated: ack.repeated }
    }
}

impl TryFrom<StoredTransactionAck<'_>> for TransactionAck {
    type Error = CodecError;

    fn try_from(stored: StoredTransactionAck<'_>) -> Result<Self, CodecError> {
        let stream = |(entity, ack): (&str, StoredAck)| {
            Ok((EntityId::new(entity).map_err(CodecError::name(WHAT))?, AppendAck::try_from(ack)?))
        };
        let streams = stored.streams.into_iter().map(stream).collect::<Result<_, CodecError>>()?;
        Ok(Self { streams, repeated: stored.repeated })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) enum StoredViolation<'a> {
    Version { entity_id: &'a str, expected: Option<u64>, actual: u64 },
    Type { entity_id: &'a str, actual: &'a str },
    Condition { number: u32, position: u64 },
    ConditionTooWide { number: u32 },
    JudgedOnOther { entity_id: &'a str },
}

impl<'a> From<&'a Violation> for StoredViolation<'a> {
    fn from(violation: &'a Violation) -> Self {
        match violation {
            Violation::Version { entity_id, expected, actual } => Self::Version {
                entity_id: entity_id.as_str(),
                expected: expected_to_stored(*expected),
                actual: actual.0,
            },
            Violation::Type { entity_id, actual } => {
                Self::Type { entity_id: entity_id.as_str(), actual: actual.as_str() }
            }
            Violation::Condition { number, position } => {
                Self::Condition { number: *number, position: position.0 }
            }
            Violation::ConditionTooWide { number } => Self::ConditionTooWide { number: *number },
            Violation::JudgedOnOther { entity_id } => Self::JudgedOnOther { entity_id: entity_id.as_str() },
        }
    }
}

impl TryFrom<StoredViolation<'_>> for Violation {
    type Error = CodecError;

    fn try_from(stored: StoredViolation<'_>) -> Result<Self, CodecError> {
        use StoredViolation as Stored;
        let name = CodecError::name;
        Ok(match stored {
            Stored::Version { entity_id, expected, actual } => Self::Version {
                entity_id: EntityId::new(entity_id).map_err(name(WHAT))?,
                expected: expected_from_stored(expected),
                actual: StreamVersion(actual),
            },
            Stored::Type { entity_id, actual } => Self::Type {
                entity_id: EntityId::new(entity_id).map_err(name(WHAT))?,
                actual: EntityType::new(actual).map_err(name(WHAT))?,
            },
            Stored::Condition { number, position } => {
                Self::Condition { number, position: Position(position) }
            }
            Stored::ConditionTooWide { number } => Self::ConditionTooWide { number },
            Stored::JudgedOnOther { entity_id } => {
                Self::JudgedOnOther { entity_id: EntityId::new(entity_id).map_err(name(WHAT))? }
            }
        })
    }
}
