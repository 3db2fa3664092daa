//! Reads of a stream.

use crate::{
    EntityId, EntityType, EventPattern, GroupId, Position, RecordedEvent, StreamVersion, Tag, Timestamp,
    UpcastError,
};

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

/// Which events of the log are wanted; each part that is given must fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFilter {
    /// Names.
    pub names: Option<EventPattern>,
    /// The type of the entity.
    pub entity_type: Option<EntityType>,
    /// A tag.
    pub tag: Option<Tag>,
}

impl LogFilter {
    /// Whether it lets every event through.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it lets an event through.
    #[must_use]
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        self.names.as_ref().is_none_or(|names| names.matches(&event.name))
            && self.entity_type.as_ref().is_none_or(|wanted| *wanted == event.entity_type)
            && self.tag.as_ref().is_none_or(|tag| event.tags.contains(tag))
    }
}

/// A read of one page of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRead {
    /// The namespace's group.
    pub group: GroupId,
    /// First position to look at, inclusive. `None` is the log's start, or its end when backward.
    pub from: Option<Position>,
    /// Which way.
    pub direction: Direction,
    /// Events in the page, at most [`crate::limits::READ_EVENTS_MAX`].
    pub limit: usize,
    /// Which events.
    pub filter: LogFilter,
}

/// One page of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSlice {
    /// The events, in the read's direction. There may be none although there are more.
    pub events: Vec<RecordedEvent>,
    /// Where the next page begins. Forward, past `applied` when there is no more yet; backward, 0 at the start.
    pub next: Position,
    /// The position that the answering node had applied: no event that fits and lies before it is missing.
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
    /// The read would have to look at too much.
    #[error("read is too wide: {reason}")]
    TooWide {
        /// What there is too much of.
        reason: String,
    },
    /// The store failed.
    #[error("storage failed: {reason}")]
    Storage {
        /// Why.
        reason: String,
    },
    /// An event of an older schema version could not be read as one of the newest.
    #[error("event at position {position}: {error}")]
    Upcast {
        /// The event.
        position: Position,
        /// Why.
        error: UpcastError,
    },
}
