//! From the errors of operations to the errors of the wire.

use serde_json::{Value, json};
use weir_types::{
    AppendError, CursorError, ExpectedVersion, FilterError, KvError, KvReadError, NameError, PatternError,
    ReadError, RegistryError, RuleFault, RulesError, UpcastError, Violation, limits, ports::BusError,
};

use super::{ApiError, ErrorCode};

/// An expected version as one number: −1 is any, −2 any but none.
pub(crate) fn expected_number(expected: ExpectedVersion) -> i64 {
    match expected {
        ExpectedVersion::Any => -1,
        ExpectedVersion::Exists => -2,
        ExpectedVersion::Exact(version) => i64::try_from(version.0).unwrap_or(i64::MAX),
    }
}

impl From<AppendError> for ApiError {
    fn from(error: AppendError) -> Self {
        let message = error.to_string();
        let of = |code| Self::new(code, message);
        match error {
            AppendError::NoEvents => of(ErrorCode::EmptyAppend),
            AppendError::TooLarge { what, actual, max } => {
                of(ErrorCode::TooLarge).with("what", what).with("actual", actual).with("max", max)
            }
            AppendError::VersionConflict { expected, actual } => of(ErrorCode::VersionConflict)
                .with("expectedVersion", expected_number(expected))
                .with("actualVersion", actual.0),
            AppendError::TypeConflict { actual } => {
                of(ErrorCode::EntityTypeConflict).with("actualType", actual.as_str())
            }
            AppendError::NamedTwice { entity_id } => {
                of(ErrorCode::InvalidRequest).with("entityId", entity_id.as_str())
            }
            AppendError::Violated { violations } => {
                let violations: Vec<Value> = violations.iter().map(violation).collect();
                of(ErrorCode::TransactionRefused).with("violations", violations)
            }
            AppendError::Invalid { faults } => {
                let code = match faults.own.is_empty() {
                    true => ErrorCode::InvariantViolated,
                    false => ErrorCode::EventInvalid,
                };
                let views = |faults: &[RuleFault]| faults.iter().map(fault).collect::<Vec<Value>>();
                of(code)
                    .with("own", views(&faults.own))
                    .with("state", views(&faults.state))
                    .with("messages", faults.messages().collect::<Vec<String>>())
            }
            AppendError::InvariantFailed { entity_type, reason } => {
                of(ErrorCode::InvariantFailed).with("entityType", entity_type.as_str()).with("reason", reason)
            }
            AppendError::IdempotencyConflict => of(ErrorCode::IdempotencyConflict),
            AppendError::Overloaded => of(ErrorCode::Overloaded),
            AppendError::NotLeader { leader } => {
                of(ErrorCode::NotLeader).with("leader", leader.map_or(Value::Null, |node| node.0.into()))
            }
            AppendError::Unavailable { .. } => of(ErrorCode::Unavailable),
            AppendError::OutcomeUnknown { .. } => of(ErrorCode::OutcomeUnknown),
            AppendError::Storage { .. } => of(ErrorCode::StorageFailed),
        }
    }
}

/// How an event breaks a rule.
fn fault(fault: &RuleFault) -> Value {
    json!({
        "entityId": fault.entity_id.as_str(),
        "event": fault.event,
        "rule": fault.rule.as_str(),
        "path": fault.path,
        "message": fault.message,
    })
}

/// One reason why a transaction was refused, with the code that it would have alone.
fn violation(violation: &Violation) -> Value {
    match violation {
        Violation::Version { entity_id, expected, actual } => json!({
            "code": ErrorCode::VersionConflict.as_str(),
            "entityId": entity_id.as_str(),
            "expectedVersion": expected_number(*expected),
            "actualVersion": actual.0,
        }),
        Violation::Type { entity_id, actual } => json!({
            "code": ErrorCode::EntityTypeConflict.as_str(),
            "entityId": entity_id.as_str(),
            "actualType": actual.as_str(),
        }),
        // The decider tries again; it gives up as unavailable.
        Violation::JudgedOnOther { entity_id } => json!({
            "code": ErrorCode::Unavailable.as_str(),
            "entityId": entity_id.as_str(),
        }),
        Violation::Condition { number, position } => json!({
            "code": "condition_violated",
            "condition": number,
            "position": position.0,
        }),
        Violation::ConditionTooWide { number } => json!({
            "code": "condition_too_wide",
            "condition": number,
            "max": limits::CONDITION_EVENTS_MAX,
        }),
    }
}

impl From<RulesError> for ApiError {
    fn from(error: RulesError) -> Self {
        let message = error.to_string();
        let of = |code| Self::new(code, message);
        match error {
            RulesError::Invalid { .. } => of(ErrorCode::RulesInvalid),
            RulesError::SchemaInvalid { .. } => of(ErrorCode::SchemaInvalid),
            RulesError::NotFound => of(ErrorCode::RulesNotFound),
            RulesError::SchemaNotFound => of(ErrorCode::SchemaNotFound),
            RulesError::UpcasterInvalid { .. } => of(ErrorCode::UpcasterInvalid),
            RulesError::UpcasterNotFound => of(ErrorCode::UpcasterNotFound),
            RulesError::TooMany { what, max } => {
                of(ErrorCode::RulesFull).with("what", what.to_string()).with("max", max)
            }
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let message = error.to_string();
        let of = |code| Self::new(code, message);
        match error {
            ReadError::Stale { wanted, applied } => {
                of(ErrorCode::Stale).with("wanted", wanted.0).with("applied", applied.0)
            }
            ReadError::TooWide { .. } => of(ErrorCode::TooLarge),
            ReadError::Unavailable { .. } => of(ErrorCode::Unavailable),
            ReadError::Damaged { .. } => of(ErrorCode::StorageDamaged),
            ReadError::Storage { .. } => of(ErrorCode::StorageFailed),
            ReadError::Upcast { position, error } => match error {
                UpcastError::Gap { name, from, newest } => of(ErrorCode::UpcastGap)
                    .with("eventName", name.as_str())
                    .with("fromVersion", from)
                    .with("newestVersion", newest),
                UpcastError::Failed { name, from, to, reason } => of(ErrorCode::UpcastFailed)
                    .with("eventName", name.as_str())
                    .with("fromVersion", from)
                    .with("toVersion", to)
                    .with("reason", reason),
            }
            .with("position", position.0),
        }
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        let message = error.to_string();
        let of = |code| Self::new(code, message);
        match error {
            RegistryError::Invalid { .. } => of(ErrorCode::ProjectionInvalid),
            RegistryError::NotFound => of(ErrorCode::ProjectionNotFound),
            RegistryError::NotRebuilding => of(ErrorCode::RebuildConflict),
            RegistryError::TooMany { max } => of(ErrorCode::ProjectionsFull).with("max", max),
        }
    }
}

impl From<KvError> for ApiError {
    fn from(error: KvError) -> Self {
        let message = error.to_string();
        let of = |code| Self::new(code, message);
        match error {
            KvError::Invalid { .. } => of(ErrorCode::InvalidRequest),
            KvError::BucketExists => of(ErrorCode::BucketExists),
            KvError::BucketNotFound => of(ErrorCode::BucketNotFound),
            KvError::TooManyBuckets { max } => of(ErrorCode::BucketsFull).with("max", max),
            KvError::KeyNotFound => of(ErrorCode::KeyNotFound),
            KvError::RevisionConflict { actual } => {
                of(ErrorCode::RevisionConflict).with("actualRevision", actual.0)
            }
            KvError::CheckFailed { number, actual } => {
                of(ErrorCode::RevisionConflict).with("check", number).with("actualRevision", actual.0)
            }
            KvError::ValueTooLarge { actual, max } => {
                of(ErrorCode::TooLarge).with("what", "value bytes").with("actual", actual).with("max", max)
            }
            KvError::BucketFull { actual, max } => {
                of(ErrorCode::BucketFull).with("actual", actual).with("max", max)
            }
        }
    }
}

impl From<KvReadError> for ApiError {
    fn from(error: KvReadError) -> Self {
        match error {
            KvReadError::Refused(error) => error.into(),
            KvReadError::Read(error) => error.into(),
        }
    }
}

impl From<NameError> for ApiError {
    fn from(error: NameError) -> Self {
        let message = error.to_string();
        let of = |kind: &'static str| Self::new(ErrorCode::InvalidName, message).with("kind", kind);
        match error {
            NameError::Empty { kind } => of(kind),
            NameError::TooLong { kind, bytes, max } => of(kind).with("bytes", bytes).with("max", max),
            NameError::Control { kind, at } | NameError::Character { kind, at, .. } => {
                of(kind).with("at", at)
            }
        }
    }
}

impl From<PatternError> for ApiError {
    fn from(error: PatternError) -> Self {
        let code = match error {
            PatternError::NotServed { .. } => ErrorCode::Unimplemented,
            _ => ErrorCode::InvalidPattern,
        };
        Self::new(code, error.to_string())
    }
}

impl From<FilterError> for ApiError {
    fn from(error: FilterError) -> Self {
        let refused = Self::new(ErrorCode::InvalidFilter, error.to_string());
        match error {
            FilterError::Syntax { line, column, .. } => refused.with("line", line).with("column", column),
            FilterError::TooLong { .. } => refused.with("max", limits::FILTER_BYTES_MAX),
            FilterError::Empty | FilterError::Illegal { .. } => refused,
        }
    }
}

impl From<CursorError> for ApiError {
    fn from(error: CursorError) -> Self {
        Self::new(ErrorCode::InvalidCursor, error.to_string())
    }
}

impl From<BusError> for ApiError {
    fn from(error: BusError) -> Self {
        let code = match error {
            BusError::Unavailable { .. } => ErrorCode::BusUnavailable,
            BusError::Diverged { .. } => ErrorCode::BusDiverged,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use weir_types::StreamVersion;

    use super::*;

    #[test]
    fn a_version_conflict_says_both_versions() {
        for (expected, number) in [(ExpectedVersion::Any, -1), (ExpectedVersion::Exact(StreamVersion(4)), 4)]
        {
            let error = ApiError::from(AppendError::VersionConflict { expected, actual: StreamVersion(7) });
            assert_eq!((error.status(), error.message.as_str()), (409, "version conflict"));
            assert_eq!(error.details["expectedVersion"], number);
            assert_eq!(error.details["actualVersion"], 7);
        }
    }
}
