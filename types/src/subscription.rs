//! What a subscriber asks for, and where it is: pattern, start and cursor.
//! Everything here is decided without I/O.

mod cursor;
mod filter;
mod pattern;
mod view_pattern;

pub use cursor::{Cursor, CursorError, CursorScope};
pub use filter::{FilterError, FilterText};
pub use pattern::{Pattern, PatternError};
pub use view_pattern::{Partitions, ViewPattern, view_topic};

use std::time::Duration;

use crate::{EntityId, Position, RecordedEvent, StreamVersion, fnv1a};

/// Which events a subscription gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Those of one stream.
    Stream(EntityId),
    /// Those that a pattern takes.
    Pattern(Pattern),
}

impl Selector {
    /// Whether the event is one of them.
    #[must_use]
    pub fn takes(&self, event: &RecordedEvent) -> bool {
        match self {
            Self::Stream(entity) => *entity == event.entity_id,
            Self::Pattern(pattern) => {
                pattern.takes(event.entity_type.as_str(), event.entity_id.as_str(), event.name.as_str())
            }
        }
    }

    /// Kind and text in one, by which cursors of different subscriptions are told apart.
    #[must_use]
    pub fn canonical(&self) -> String {
        match self {
            Self::Stream(entity) => format!("stream {entity}"),
            Self::Pattern(pattern) => format!("pattern {}", pattern.as_str()),
        }
    }
}

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SubscriptionStart {
    /// After what the node has applied.
    #[default]
    Now,
    /// With the newest events that there are, at most so many; 1 to [`crate::limits::SUBSCRIPTION_LAST_MAX`].
    Last(u64),
    /// After a version of the stream; 0 is its beginning. Of a stream alone.
    AfterVersion(StreamVersion),
    /// After a position; 0 is the log's beginning.
    AfterPosition(Position),
    /// Where an earlier subscription to the same was.
    Cursor(Cursor),
}

/// What becomes of a subscriber for whom too much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Slow {
    /// The subscription ends, with its cursor.
    #[default]
    Disconnect,
    /// Of each stream only the newest event is given, after a mark that says how many were left out.
    Conflate,
}

/// What a subscriber asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeRequest {
    /// Which events.
    pub selector: Selector,
    /// Which of them; all without it.
    pub filter: Option<FilterText>,
    /// From where on.
    pub start: SubscriptionStart,
    /// What becomes of it when it is slow.
    pub slow: Slow,
    /// How long nothing may be said, within [`crate::limits::SUBSCRIPTION_HEARTBEAT_MS_MIN`] and its maximum.
    pub heartbeat: Duration,
}

/// The id of a connection's subscription: the same whenever the same pattern is used for the same time, from
/// 0, so that a client that comes back knows the ids that it had.
#[must_use]
pub fn subscription_id(pattern: &str, time: usize) -> String {
    format!("sub-{:016x}", fnv1a(format!("{time} {pattern}").as_bytes()))
}
