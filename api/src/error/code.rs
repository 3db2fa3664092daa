use std::{fmt, str::FromStr};

use connectrpc::ErrorCode as ConnectCode;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Every error that a client can meet. Codes are API and never change
        /// their meaning; messages are text and may. Each code has a page,
        /// `docs/errors/<code>.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
        }

        impl ErrorCode {
            /// All codes, in alphabetical order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code as it stands in a body, in snake case.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

codes! {
    /// The cluster was initialized before.
    AlreadyInitialized = "already_initialized",
    /// There is a bucket of this name.
    BucketExists = "bucket_exists",
    /// The bucket would hold more bytes than it may.
    BucketFull = "bucket_full",
    /// There is no such bucket.
    BucketNotFound = "bucket_not_found",
    /// The group has as many buckets as it may.
    BucketsFull = "buckets_full",
    /// JetStream holds something that this log did not publish.
    BusDiverged = "bus_diverged",
    /// JetStream is not reachable.
    BusUnavailable = "bus_unavailable",
    /// There is a consumer group of this name.
    ConsumerGroupExists = "consumer_group_exists",
    /// There is no such consumer group.
    ConsumerGroupNotFound = "consumer_group_not_found",
    /// The group has as many consumer groups as it may.
    ConsumerGroupsFull = "consumer_groups_full",
    /// The deadline of a read or of an admin call passed.
    DeadlineExceeded = "deadline_exceeded",
    /// The append holds no event.
    EmptyAppend = "empty_append",
    /// The entity has another type.
    EntityTypeConflict = "entity_type_conflict",
    /// Events break their schema, or the rules of their metadata.
    EventInvalid = "event_invalid",
    /// No event of this id is known.
    EventNotFound = "event_not_found",
    /// The idempotency key was used with other content.
    IdempotencyConflict = "idempotency_conflict",
    /// A fault in Weir.
    Internal = "internal",
    /// The cursor is not legal, or belongs elsewhere.
    InvalidCursor = "invalid_cursor",
    /// The filter of a subscription or of a consumer group is not legal.
    InvalidFilter = "invalid_filter",
    /// A name is empty, too long or holds an illegal character.
    InvalidName = "invalid_name",
    /// The pattern of a subscription is not legal.
    InvalidPattern = "invalid_pattern",
    /// The request is not legal.
    InvalidRequest = "invalid_request",
    /// The invariant of a stream could not be judged.
    InvariantFailed = "invariant_failed",
    /// Events would break the invariant of their stream.
    InvariantViolated = "invariant_violated",
    /// The key holds no value.
    KeyNotFound = "key_not_found",
    /// Another worker has the projection, or nobody has it any more.
    LeaseLost = "lease_lost",
    /// The change of members is not possible now.
    MembershipConflict = "membership_conflict",
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed",
    /// There is nothing at this path.
    NotFound = "not_found",
    /// The node belongs to no cluster yet.
    NotInitialized = "not_initialized",
    /// The node does not lead, and could not forward.
    NotLeader = "not_leader",
    /// The append was proposed and its fate is not known.
    OutcomeUnknown = "outcome_unknown",
    /// The node has too much in flight.
    Overloaded = "overloaded",
    /// The projection is folded past the position at which it was to be looked at.
    PositionPassed = "position_passed",
    /// The projection's source is not legal.
    ProjectionInvalid = "projection_invalid",
    /// A projection of this name is folded elsewhere.
    ProjectionKindConflict = "projection_kind_conflict",
    /// There is no such projection.
    ProjectionNotFound = "projection_not_found",
    /// The projection is parked before the position that is waited for.
    ProjectionParked = "projection_parked",
    /// The projection is paused before the position asked for.
    ProjectionPaused = "projection_paused",
    /// The projection is virtual, and has states of streams alone.
    ProjectionVirtual = "projection_virtual",
    /// The group has as many projections as it may.
    ProjectionsFull = "projections_full",
    /// A rebuild of the projection runs, or none does.
    RebuildConflict = "rebuild_conflict",
    /// The key is at another revision.
    RevisionConflict = "revision_conflict",
    /// The group has as many rules, schemas, invariants or upcasters as it may.
    RulesFull = "rules_full",
    /// The rules are not legal.
    RulesInvalid = "rules_invalid",
    /// There are no such rules.
    RulesNotFound = "rules_not_found",
    /// The schema is not legal.
    SchemaInvalid = "schema_invalid",
    /// There is no such schema.
    SchemaNotFound = "schema_not_found",
    /// Too much waited for a subscriber.
    SlowSubscriber = "slow_subscriber",
    /// There is no such snapshot of the stream.
    SnapshotNotFound = "snapshot_not_found",
    /// The query is not legal SQL, or would change something.
    SqlInvalid = "sql_invalid",
    /// The position asked for was not reached in time.
    Stale = "stale",
    /// The state of a stream could not be folded.
    StateFailed = "state_failed",
    /// Bytes on disk are damaged.
    StorageDamaged = "storage_damaged",
    /// The node's disk failed.
    StorageFailed = "storage_failed",
    /// The stream has no events.
    StreamNotFound = "stream_not_found",
    /// The node has as many subscriptions as it may.
    SubscriptionsFull = "subscriptions_full",
    /// A limit was exceeded.
    TooLarge = "too_large",
    /// Guards, checks or conditions of a transaction do not hold.
    TransactionRefused = "transaction_refused",
    /// No leader is available.
    Unavailable = "unavailable",
    /// The server does not have this.
    Unimplemented = "unimplemented",
    /// The body is not of a type that the server reads.
    UnsupportedMediaType = "unsupported_media_type",
    /// An upcaster did not give the data of the next schema version.
    UpcastFailed = "upcast_failed",
    /// No upcaster leads from an event's schema version to the newest.
    UpcastGap = "upcast_gap",
    /// The upcaster is not legal.
    UpcasterInvalid = "upcaster_invalid",
    /// There is no such upcaster.
    UpcasterNotFound = "upcaster_not_found",
    /// The stream is at another version.
    VersionConflict = "version_conflict",
}

impl ErrorCode {
    /// The HTTP status of a REST answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::EmptyAppend
            | Self::InvalidCursor
            | Self::InvalidFilter
            | Self::InvalidName
            | Self::InvalidPattern
            | Self::InvalidRequest
            | Self::ProjectionInvalid
            | Self::RulesInvalid
            | Self::SchemaInvalid
            | Self::SqlInvalid
            | Self::UpcasterInvalid => 400,
            Self::BucketNotFound
            | Self::ConsumerGroupNotFound
            | Self::EventNotFound
            | Self::KeyNotFound
            | Self::NotFound
            | Self::ProjectionNotFound
            | Self::RulesNotFound
            | Self::SchemaNotFound
            | Self::SnapshotNotFound
            | Self::StreamNotFound
            | Self::UpcasterNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::AlreadyInitialized
            | Self::BucketExists
            | Self::BucketFull
            | Self::BucketsFull
            | Self::BusDiverged
            | Self::ConsumerGroupExists
            | Self::ConsumerGroupsFull
            | Self::EntityTypeConflict
            | Self::IdempotencyConflict
            | Self::LeaseLost
            | Self::MembershipConflict
            | Self::PositionPassed
            | Self::ProjectionKindConflict
            | Self::ProjectionParked
            | Self::ProjectionPaused
            | Self::ProjectionVirtual
            | Self::ProjectionsFull
            | Self::RebuildConflict
            | Self::RulesFull
            | Self::TransactionRefused
            | Self::VersionConflict => 409,
            Self::RevisionConflict => 412,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::EventInvalid
            | Self::InvariantFailed
            | Self::InvariantViolated
            | Self::StateFailed
            | Self::UpcastFailed
            | Self::UpcastGap => 422,
            Self::Overloaded | Self::SlowSubscriber | Self::SubscriptionsFull => 429,
            Self::Internal | Self::StorageDamaged | Self::StorageFailed => 500,
            Self::Unimplemented => 501,
            Self::BusUnavailable | Self::NotInitialized | Self::NotLeader | Self::Unavailable => 503,
            Self::DeadlineExceeded | Self::OutcomeUnknown | Self::Stale => 504,
        }
    }

    /// The code of a Connect or gRPC answer.
    #[must_use]
    pub const fn connect_code(self) -> ConnectCode {
        match self {
            Self::EmptyAppend
            | Self::EventInvalid
            | Self::InvalidCursor
            | Self::InvalidFilter
            | Self::InvalidName
            | Self::InvalidPattern
            | Self::InvalidRequest
            | Self::ProjectionInvalid
            | Self::RulesInvalid
            | Self::SchemaInvalid
            | Self::SqlInvalid
            | Self::TooLarge
            | Self::UnsupportedMediaType
            | Self::UpcasterInvalid => ConnectCode::InvalidArgument,
            Self::BucketNotFound
            | Self::ConsumerGroupNotFound
            | Self::EventNotFound
            | Self::KeyNotFound
            | Self::NotFound
            | Self::ProjectionNotFound
            | Self::RulesNotFound
            | Self::SchemaNotFound
            | Self::SnapshotNotFound
            | Self::StreamNotFound
            | Self::UpcasterNotFound => ConnectCode::NotFound,
            Self::AlreadyInitialized
            | Self::BucketExists
            | Self::ConsumerGroupExists
            | Self::EntityTypeConflict
            | Self::IdempotencyConflict
            | Self::ProjectionKindConflict => ConnectCode::AlreadyExists,
            Self::LeaseLost
            | Self::MembershipConflict
            | Self::RevisionConflict
            | Self::TransactionRefused
            | Self::VersionConflict => ConnectCode::Aborted,
            Self::BucketFull
            | Self::BucketsFull
            | Self::BusDiverged
            | Self::ConsumerGroupsFull
            | Self::InvariantFailed
            | Self::InvariantViolated
            | Self::PositionPassed
            | Self::ProjectionParked
            | Self::ProjectionPaused
            | Self::ProjectionVirtual
            | Self::ProjectionsFull
            | Self::RebuildConflict
            | Self::RulesFull
            | Self::StateFailed
            | Self::UpcastFailed
            | Self::UpcastGap => ConnectCode::FailedPrecondition,
            Self::Overloaded | Self::SlowSubscriber | Self::SubscriptionsFull => {
                ConnectCode::ResourceExhausted
            }
            Self::Internal | Self::StorageFailed => ConnectCode::Internal,
            Self::StorageDamaged => ConnectCode::DataLoss,
            Self::MethodNotAllowed | Self::Unimplemented => ConnectCode::Unimplemented,
            Self::BusUnavailable | Self::NotInitialized | Self::NotLeader | Self::Unavailable => {
                ConnectCode::Unavailable
            }
            Self::DeadlineExceeded | Self::OutcomeUnknown | Self::Stale => ConnectCode::DeadlineExceeded,
        }
    }

    /// Whether the same request may be sent again as it is. Where
    /// [`ErrorCode::outcome_unknown`] holds too, an append must carry the same
    /// idempotency key or an exact expected version.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::BusUnavailable
            | Self::DeadlineExceeded
            | Self::NotInitialized
            | Self::NotLeader
            | Self::OutcomeUnknown
            | Self::Overloaded
            | Self::SlowSubscriber
            | Self::Stale
            | Self::StorageFailed
            | Self::SubscriptionsFull
            | Self::Unavailable => true,
            Self::AlreadyInitialized
            | Self::BucketExists
            | Self::BucketFull
            | Self::BucketNotFound
            | Self::BucketsFull
            | Self::BusDiverged
            | Self::ConsumerGroupExists
            | Self::ConsumerGroupNotFound
            | Self::ConsumerGroupsFull
            | Self::EmptyAppend
            | Self::EntityTypeConflict
            | Self::EventInvalid
            | Self::EventNotFound
            | Self::IdempotencyConflict
            | Self::Internal
            | Self::InvalidCursor
            | Self::InvalidFilter
            | Self::InvalidName
            | Self::InvalidPattern
            | Self::InvalidRequest
            | Self::InvariantFailed
            | Self::InvariantViolated
            | Self::KeyNotFound
            | Self::LeaseLost
            | Self::MembershipConflict
            | Self::MethodNotAllowed
            | Self::NotFound
            | Self::PositionPassed
            | Self::ProjectionInvalid
            | Self::ProjectionKindConflict
            | Self::ProjectionNotFound
            | Self::ProjectionParked
            | Self::ProjectionPaused
            | Self::ProjectionVirtual
            | Self::ProjectionsFull
            | Self::RebuildConflict
            | Self::RevisionConflict
            | Self::RulesFull
            | Self::RulesInvalid
            | Self::RulesNotFound
            | Self::SchemaInvalid
            | Self::SchemaNotFound
            | Self::SnapshotNotFound
            | Self::SqlInvalid
            | Self::StateFailed
            | Self::StorageDamaged
            | Self::StreamNotFound
            | Self::TooLarge
            | Self::TransactionRefused
            | Self::Unimplemented
            | Self::UnsupportedMediaType
            | Self::UpcastFailed
            | Self::UpcastGap
            | Self::UpcasterInvalid
            | Self::UpcasterNotFound
            | Self::VersionConflict => false,
        }
    }

    /// Whether a change answered with this may nevertheless have happened.
    #[must_use]
    pub const fn outcome_unknown(self) -> bool {
        match self {
            Self::DeadlineExceeded | Self::Internal | Self::OutcomeUnknown | Self::StorageFailed => true,
            Self::AlreadyInitialized
            | Self::BucketExists
            | Self::BucketFull
            | Self::BucketNotFound
            | Self::BucketsFull
            | Self::BusDiverged
            | Self::BusUnavailable
            | Self::ConsumerGroupExists
            | Self::ConsumerGroupNotFound
            | Self::ConsumerGroupsFull
            | Self::EmptyAppend
            | Self::EntityTypeConflict
            | Self::EventInvalid
            | Self::EventNotFound
            | Self::IdempotencyConflict
            | Self::InvalidCursor
            | Self::InvalidFilter
            | Self::InvalidName
            | Self::InvalidPattern
            | Self::InvalidRequest
            | Self::InvariantFailed
            | Self::InvariantViolated
            | Self::KeyNotFound
            | Self::LeaseLost
            | Self::MembershipConflict
            | Self::MethodNotAllowed
            | Self::NotFound
            | Self::NotInitialized
            | Self::NotLeader
            | Self::Overloaded
            | Self::PositionPassed
            | Self::ProjectionInvalid
            | Self::ProjectionKindConflict
            | Self::ProjectionNotFound
            | Self::ProjectionParked
            | Self::ProjectionPaused
            | Self::ProjectionVirtual
            | Self::ProjectionsFull
            | Self::RebuildConflict
            | Self::RevisionConflict
            | Self::RulesFull
            | Self::RulesInvalid
            | Self::RulesNotFound
            | Self::SchemaInvalid
            | Self::SchemaNotFound
            | Self::SlowSubscriber
            | Self::SnapshotNotFound
            | Self::SqlInvalid
            | Self::Stale
            | Self::StateFailed
            | Self::StorageDamaged
            | Self::StreamNotFound
            | Self::SubscriptionsFull
            | Self::TooLarge
            | Self::TransactionRefused
            | Self::Unavailable
            | Self::Unimplemented
            | Self::UnsupportedMediaType
            | Self::UpcastFailed
            | Self::UpcastGap
            | Self::UpcasterInvalid
            | Self::UpcasterNotFound
            | Self::VersionConflict => false,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not a code that this version knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error code `{0}` is not known")]
pub struct UnknownCode(pub String);

impl FromStr for ErrorCode {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        Self::ALL.iter().find(|code| code.as_str() == text).copied().ok_or_else(|| UnknownCode(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_code_has_its_page_and_every_page_a_code() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
        let pages: BTreeSet<String> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(".md").map(str::to_owned))
            .filter(|name| name != "README")
            .collect();
        let codes: BTreeSet<String> = ErrorCode::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(pages, codes);
        for code in codes {
            let page = fs::read_to_string(folder.join(format!("{code}.md"))).unwrap();
            for part in [&format!("# `{code}`"), "## Meaning", "## Cause", "## What to do"] {
                assert!(page.contains(part), "page of {code} lacks {part}");
            }
        }
    }

    #[test]
    fn codes_are_alphabetical_and_read_back() {
        let texts: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert!(texts.is_sorted());
        for code in ErrorCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(*code));
        }
        assert_eq!("nonsense".parse::<ErrorCode>(), Err(UnknownCode("nonsense".into())));
    }

    #[test]
    fn a_client_mistake_is_never_retryable_nor_unknown() {
        for code in ErrorCode::ALL.iter().filter(|code| code.status() < 429) {
            assert!(!code.is_retryable() && !code.outcome_unknown(), "{code}");
        }
    }
}
