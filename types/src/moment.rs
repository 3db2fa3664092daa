//! Moments of a stream's past.

use crate::{RecordedEvent, StreamVersion, Timestamp};

/// What a stream is asked for as of: each part that is given must hold, itself included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// Events that were recorded until then.
    pub as_of: Option<Timestamp>,
    /// Events that occurred until then; those that do not say when occurred when they were recorded.
    pub at: Option<Timestamp>,
    /// Events up to this version.
    pub as_of_version: Option<StreamVersion>,
}

impl Moment {
    /// Whether it asks for all that there is.
    #[must_use]
    pub fn is_now(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an event is part of it.
    #[must_use]
    pub fn holds(&self, event: &RecordedEvent) -> bool {
        self.as_of.is_none_or(|as_of| event.recorded_at <= as_of)
            && self.as_of_version.is_none_or(|last| event.version <= last)
            && self.at.is_none_or(|at| event.occurred_at.unwrap_or(event.recorded_at) <= at)
    }
}
