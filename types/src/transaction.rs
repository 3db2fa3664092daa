//! A transaction: appends to several streams of one namespace, with checks and
//! conditions, in one log entry: all of it or nothing.

use std::{collections::HashSet, fmt};

use crate::{
    AppendAck, AppendError, AppendRequest, DecidedAppend, EntityId, EntityType, EventName, ExpectedVersion,
    GroupId, Idempotency, IdempotencyKey, NewEvent, Position, RecordedEvent, StreamVersion, Tag, Timestamp,
    append::check_events, limits,
};

/// A transaction as a client asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRequest {
    /// The namespace's group.
    pub group: GroupId,
    /// The key by which a repeat is recognised; its scope is the first stream that is written.
    pub idempotency_key: Option<IdempotencyKey>,
    /// 1 to [`limits::TRANSACTION_STREAMS_MAX`] appends, each to a stream of its own.
    pub appends: Vec<StreamAppend>,
    /// What must hold of streams that are not written.
    pub checks: Vec<StreamCheck>,
    /// Which events must not have come.
    pub conditions: Vec<Condition>,
}

/// The part of a transaction that goes to one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamAppend {
    /// The stream.
    pub entity_id: EntityId,
    /// The type of the entity.
    pub entity_type: EntityType,
    /// The guard.
    pub expected: ExpectedVersion,
    /// At least one event.
    pub events: Vec<NewEvent>,
}

/// What must hold of a stream that is not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamCheck {
    /// The stream.
    pub entity_id: EntityId,
    /// The guard.
    pub expected: ExpectedVersion,
}

/// What must hold of a stream before a transaction, be it written or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamGuard {
    /// The stream.
    pub entity_id: EntityId,
    /// The type that the entity must be of, if it has events; `None` is any.
    pub entity_type: Option<EntityType>,
    /// The guard.
    pub expected: ExpectedVersion,
}

impl StreamGuard {
    /// Of a stream that is written.
    #[must_use]
    pub fn of_written(entity_id: &EntityId, entity_type: &EntityType, expected: ExpectedVersion) -> Self {
        Self { entity_id: entity_id.clone(), entity_type: Some(entity_type.clone()), expected }
    }
}

impl From<&StreamCheck> for StreamGuard {
    fn from(check: &StreamCheck) -> Self {
        Self { entity_id: check.entity_id.clone(), entity_type: None, expected: check.expected }
    }
}

/// No event after a position may match: be of one of the names, if any are
/// given, and carry every one of the tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The last position that the client has seen.
    pub after: Position,
    /// Names, of which an event matches by one. None is all.
    pub names: Vec<EventName>,
    /// Tags, of which an event must carry all.
    pub tags: Vec<Tag>,
}

impl Condition {
    /// Whether an event matches, and so violates it.
    #[must_use]
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        event.position > self.after
            && (self.names.is_empty() || self.names.contains(&event.name))
            && self.tags.iter().all(|tag| event.tags.contains(tag))
    }
}

/// A transaction as its leader decided it: what the log entry will say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedTransaction {
    /// The idempotency key, if any.
    pub idempotency: Option<Idempotency>,
    /// When the leader recorded it; not before what any of its streams has.
    pub recorded_at: Timestamp,
    /// The appends, whose own keys are empty; apply checks each base again.
    pub appends: Vec<DecidedAppend>,
    /// Judged by apply alone.
    pub checks: Vec<StreamCheck>,
    /// Judged by apply alone.
    pub conditions: Vec<Condition>,
}

/// One thing that stands against a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A stream is at another version.
    Version {
        /// The stream.
        entity_id: EntityId,
        /// The guard.
        expected: ExpectedVersion,
        /// Its version.
        actual: StreamVersion,
    },
    /// An entity is of another type.
    Type {
        /// The stream.
        entity_id: EntityId,
        /// The type that its first event gave it.
        actual: EntityType,
    },
    /// A stream's append was judged against other rules, or on another last event, than there are. No client sees it.
    JudgedOnOther {
        /// The stream.
        entity_id: EntityId,
    },
    /// An event matches a condition.
    Condition {
        /// The condition's place in the request, from 0.
        number: u32,
        /// Where such an event is.
        position: Position,
    },
    /// Over [`limits::CONDITION_EVENTS_MAX`] events would have to be looked at.
    ConditionTooWide {
        /// The condition's place in the request, from 0.
        number: u32,
    },
}

/// Violations that a message tells; the others are counted.
const TOLD: usize = 4;

impl Violation {
    /// Some of them in words, for people.
    #[must_use]
    pub fn all(violations: &[Self]) -> String {
        let mut words: Vec<String> = violations.iter().take(TOLD).map(ToString::to_string).collect();
        if violations.len() > TOLD {
            words.push(format!("and {} more", violations.len() - TOLD));
        }
        words.join("; ")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { entity_id, expected: ExpectedVersion::Exists, .. } => {
                write!(f, "stream `{entity_id}` does not exist")
            }
            Self::Version { entity_id, expected: ExpectedVersion::Exact(expected), actual } => {
                write!(f, "stream `{entity_id}` is at version {actual}, not {expected}")
            }
            Self::Version { entity_id, expected: ExpectedVersion::Any, actual } => {
                write!(f, "stream `{entity_id}` is at version {actual}")
            }
            Self::Type { entity_id, actual } => write!(f, "entity `{entity_id}` is of type `{actual}`"),
            Self::JudgedOnOther { entity_id } => {
                write!(f, "stream `{entity_id}` was judged on something else")
            }
            Self::Condition { number, position } => {
                write!(f, "the event at position {position} matches condition {number}")
            }
            Self::ConditionTooWide { number } => {
                let max = limits::CONDITION_EVENTS_MAX;
                write!(f, "condition {number} would have to look at over {max} events")
            }
        }
    }
}

/// What apply made of a decided transaction; equal on every replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionOutcome {
    /// All of it is written, its appends in their order.
    Committed {
        /// Position of its first event; the others follow without a hole.
        first_position: Position,
    },
    /// The key was seen before, with the same content.
    Repeated {
        /// Position of the first result's first event.
        first_position: Position,
    },
    /// Nothing is written.
    Violated(Vec<Violation>),
    /// The key was seen before, with other content.
    IdempotencyConflict,
}

/// The answer to a committed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionAck {
    /// What became of each stream, in the order of the request.
    pub streams: Vec<(EntityId, AppendAck)>,
    /// Whether an earlier transaction with the same idempotency key is being answered again.
    pub repeated: bool,
}

impl TransactionAck {
    /// Position of its last event: the `min_position` for read-your-writes.
    #[must_use]
    pub fn last_position(&self) -> Option<Position> {
        self.streams.iter().map(|(_, ack)| ack.last_position()).max()
    }
}

impl From<AppendRequest> for TransactionRequest {
    fn from(request: AppendRequest) -> Self {
        Self {
            group: request.group,
            idempotency_key: request.key(),
            appends: vec![StreamAppend {
                entity_id: request.entity_id,
                entity_type: request.entity_type,
                expected: request.expected,
                events: request.events,
            }],
            checks: Vec::new(),
            conditions: Vec::new(),
        }
    }
}

impl TransactionRequest {
    /// The bytes that count against the limits.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.appends.iter().flat_map(|append| &append.events).map(NewEvent::weight).sum()
    }

    /// How many events it would append.
    #[must_use]
    pub fn events(&self) -> usize {
        self.appends.iter().map(|append| append.events.len()).sum()
    }

    /// The key by which a repeat is recognised: the client's, or else the id that it chose for the first event.
    #[must_use]
    pub fn key(&self) -> Option<IdempotencyKey> {
        let chosen = || self.appends.first()?.events.first()?.id;
        self.idempotency_key.clone().or_else(|| chosen().map(IdempotencyKey::of_event))
    }

    /// The stream in whose scope the key is.
    #[must_use]
    pub fn scope(&self) -> Option<&EntityId> {
        self.appends.first().map(|append| &append.entity_id)
    }

    /// All that must hold of streams: of those that are written first, in the order of the request.
    #[must_use]
    pub fn guards(&self) -> Vec<StreamGuard> {
        let written = self.appends.iter();
        let written = written
            .map(|append| StreamGuard::of_written(&append.entity_id, &append.entity_type, append.expected));
        written.chain(self.checks.iter().map(StreamGuard::from)).collect()
    }

    /// Checks what concerns the transaction as a whole.
    ///
    /// # Errors
    /// [`AppendError::NoEvents`], [`AppendError::TooLarge`] or [`AppendError::NamedTwice`].
    pub fn check_limits(&self) -> Result<(), AppendError> {
        let refuse = |what, actual, max| Err(AppendError::TooLarge { what, actual, max });
        if self.appends.is_empty() || self.appends.iter().any(|append| append.events.is_empty()) {
            return Err(AppendError::NoEvents);
        }
        for (what, actual, max) in [
            ("streams to write", self.appends.len(), limits::TRANSACTION_STREAMS_MAX),
            ("streams to check", self.checks.len(), limits::TRANSACTION_CHECKS_MAX),
            ("conditions", self.conditions.len(), limits::TRANSACTION_CONDITIONS_MAX),
        ] {
            if actual > max {
                return refuse(what, actual, max);
            }
        }
        for condition in &self.conditions {
            let terms = condition.names.len() + condition.tags.len();
            if terms > limits::CONDITION_TERMS_MAX {
                return refuse("names and tags of a condition", terms, limits::CONDITION_TERMS_MAX);
            }
        }
        check_events(self.appends.iter().flat_map(|append| &append.events))?;
        self.check_streams()
    }

    /// Each stream has one guard, so that no two of them contradict each other.
    fn check_streams(&self) -> Result<(), AppendError> {
        let written = self.appends.iter().map(|append| &append.entity_id);
        let mut seen = HashSet::new();
        for entity_id in written.chain(self.checks.iter().map(|check| &check.entity_id)) {
            if !seen.insert(entity_id) {
                return Err(AppendError::NamedTwice { entity_id: entity_id.clone() });
            }
        }
        Ok(())
    }
}

impl DecidedTransaction {
    /// The bytes that the transaction brings to an entry, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        let terms = |condition: &Condition| {
            let names = condition.names.iter().map(|name| name.as_str().len() + 2);
            let tags = condition.tags.iter().map(|tag| tag.as_str().len() + 2);
            names.chain(tags).sum::<usize>() + 16
        };
        let appends = self.appends.iter().map(DecidedAppend::weight);
        let checks = self.checks.iter().map(|check| check.entity_id.as_str().len() + 16);
        appends.chain(checks).chain(self.conditions.iter().map(terms)).sum::<usize>() + 64
    }
}
