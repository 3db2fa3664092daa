//! Reads of a stream.

use crate::{EntityId, EntityType, GroupId, Position, RecordedEvent, StreamVersion, Timestamp};

/// Which way a read walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Oldest first.
    #[default]
    Forward,
    /// Newest first.
    Backward,
}

/// How fresh an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// It reflects every append acknowledged before the read began, on any node.
    #[default]
    Linearizable,
    /// It reflects what this node has applied.
    Local,
    /// It reflects at least this position; the read waits for it.
    AtLeast(Position),
}

/// A read of one page of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRead {
    /// The namespace's group.
    pub group: GroupId,
    /// The stream.
    pub entity_id: EntityId,
    /// First version to return, inclusive. `None` is the stream's start, or its end when backward.
    pub from: Option<StreamVersion>,
    /// Which way.
    pub direction: Direction,
    /// Events in the page, at most [`crate::limits::READ_EVENTS_MAX`].
    pub limit: usize,
}

/// One page of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPage {
    /// The events, in the read's direction.
    pub events: Vec<RecordedEvent>,
    /// The stream's head when the page was read; `None` when it has no events.
    pub head: Option<StreamHead>,
    /// Where the next page begins, if there is more.
    pub next: Option<StreamVersion>,
    /// A position that the answering node had applied, at which the stream was
    /// as the page shows it: no event shown lies beyond it, none before it is missing.
    pub applied: Position,
}

/// What is known of a stream without reading its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamHead {
    /// The stream.
    pub entity_id: EntityId,
    /// The type that the first event gave it.
    pub entity_type: EntityType,
    /// The version of its last event, which is also their number.
    pub version: StreamVersion,
    /// Position of its first event.
    pub first_position: Position,
    /// Position of its last event.
    pub last_position: Position,
    /// When its first event was recorded.
    pub created_at: Timestamp,
    /// When its last event was recorded.
    pub updated_at: Timestamp,
}

/// Why a read was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The position was not reached in time.
    #[error("position {wanted} is not applied yet, only {applied}")]
    Stale {
        /// What the read asked for.
        wanted: Position,
        /// What there is.
        applied: Position,
    },
    /// Leadership could not be confirmed.
    #[error("no leader is available: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// The bytes on disk are damaged; they were not served.
    #[error("stored data is damaged: {detail}")]
    Damaged {
        /// File, offset and what to do.
        detail: String,
    },
    /// The store failed.
    #[error("storage failed: {reason}")]
    Storage {
        /// Why.
        reason: String,
    },
}
