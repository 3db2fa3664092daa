//! A transaction of a batch: `[meta len u32 LE][meta]`, then its appends, each
//! as in a batch of appends, without a key of its own.

use serde::{Deserialize, Serialize};
use weir_types::{
    Condition, DecidedTransaction, EntityId, EventName, Idempotency, Position, StreamCheck, Tag, Timestamp,
    limits,
};

use super::{CommandAppend, Reader, WHAT, count, encode_append, encode_sized, read_idempotency};
use crate::codec::{
    CodecError,
    append::{expected_from_stored, expected_to_stored},
};

/// One transaction of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandTransaction {
    /// What is judged beside its appends.
    pub meta: TransactionMeta,
    /// Its appends, in order; at least one.
    pub appends: Vec<CommandAppend>,
}

/// What apply must know of a transaction beside its appends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionMeta {
    /// The idempotency key, if any; its scope is the first append's stream.
    pub idempotency: Option<Idempotency>,
    /// When the leader recorded it.
    pub recorded_at: Timestamp,
    /// What must hold of streams that are not written.
    pub checks: Vec<StreamCheck>,
    /// Which events must not have come.
    pub conditions: Vec<Condition>,
}

#[derive(Serialize, Deserialize)]
struct StoredTransaction<'a> {
    #[serde(borrow)]
    idempotency: Option<(&'a str, u64)>,
    recorded_at: i64,
    appends: u32,
    #[serde(borrow)]
    checks: Vec<(&'a str, Option<u64>)>,
    #[serde(borrow)]
    conditions: Vec<StoredCondition<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::codec) struct StoredCondition<'a> {
    after: u64,
    #[serde(borrow)]
    names: Vec<&'a str>,
    #[serde(borrow)]
    tags: Vec<&'a str>,
}

impl<'a> From<&'a Condition> for StoredCondition<'a> {
    fn from(condition: &'a Condition) -> Self {
        Self {
            after: condition.after.0,
            names: condition.names.iter().map(EventName::as_str).collect(),
            tags: condition.tags.iter().map(Tag::as_str).collect(),
        }
    }
}

impl TryFrom<&StoredCondition<'_>> for Condition {
    type Error = CodecError;

    fn try_from(stored: &StoredCondition<'_>) -> Result<Self, CodecError> {
        let name = |text: &&str| EventName::new(text).map_err(CodecError::name(WHAT));
        let tag = |text: &&str| Tag::new(text).map_err(CodecError::name(WHAT));
        Ok(Self {
            after: Position(stored.after),
            names: stored.names.iter().map(name).collect::<Result<_, _>>()?,
            tags: stored.tags.iter().map(tag).collect::<Result<_, _>>()?,
        })
    }
}

pub(in crate::codec) fn read_check(stored: &(&str, Option<u64>)) -> Result<StreamCheck, CodecError> {
    Ok(StreamCheck {
        entity_id: EntityId::new(stored.0).map_err(CodecError::name(WHAT))?,
        expected: expected_from_stored(stored.1),
    })
}

pub(super) fn encode(transaction: &DecidedTransaction, out: &mut Vec<u8>) {
    let checks = transaction.checks.iter();
    let stored = StoredTransaction {
        idempotency: transaction.idempotency.as_ref().map(|known| (known.key.as_str(), known.digest)),
        recorded_at: transaction.recorded_at.0,
        appends: count(transaction.appends.len()),
        checks: checks.map(|check| (check.entity_id.as_str(), expected_to_stored(check.expected))).collect(),
        conditions: transaction.conditions.iter().map(StoredCondition::from).collect(),
    };
    encode_sized(&stored, out);
    transaction.appends.iter().for_each(|append| encode_append(append, out));
}

pub(super) fn decode(reader: &mut Reader<'_>) -> Result<CommandTransaction, CodecError> {
    let stored: StoredTransaction<'_> = reader.sized()?;
    let meta = TransactionMeta {
        idempotency: read_idempotency(stored.idempotency)?,
        recorded_at: Timestamp(stored.recorded_at),
        checks: stored.checks.iter().map(read_check).collect::<Result<_, _>>()?,
        conditions: stored.conditions.iter().map(Condition::try_from).collect::<Result<_, _>>()?,
    };
    if stored.appends == 0 {
        return Err(CodecError::malformed(WHAT, "a transaction holds no append"));
    }
    let mut appends = Vec::with_capacity((stored.appends as usize).min(limits::TRANSACTION_STREAMS_MAX));
    for _ in 0..stored.appends {
        appends.push(reader.append()?);
    }
    Ok(CommandTransaction { meta, appends })
}
