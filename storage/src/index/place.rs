//! Where events lie.

use weir_types::{EventId, Position, StreamHead, StreamVersion};

use crate::{log::Place, schema::StreamNo};

/// Events of one run at most, so that reading one event decodes little.
pub const RUN_EVENTS_MAX: usize = 256;

/// A stream's head and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexHead {
    /// The stream's number.
    pub stream_no: StreamNo,
    /// The head.
    pub head: StreamHead,
    /// The id of its last event.
    pub last_event: EventId,
}

/// Consecutive events of one payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Position of the first; the others follow without a hole.
    pub first_position: Position,
    /// First log index of the segment.
    pub segment: u64,
    /// Byte offset of the payload in the segment's file.
    pub payload: u64,
    /// The events' frames, in order; 1 to [`RUN_EVENTS_MAX`].
    pub frames: Vec<Frame>,
}

/// Where an event's frame lies in its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Byte offset from the payload's start.
    pub offset: u32,
    /// Bytes, header and body.
    pub len: u32,
}

/// One event, located.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// Its version; 0 when it was looked up by position.
    pub version: StreamVersion,
    /// Its position.
    pub position: Position,
    /// Where its frame lies.
    pub place: Place,
    /// Byte offset of the payload that it is in: events of one payload can be read at once.
    pub payload: u64,
}

impl Run {
    /// Position of the last event.
    #[must_use]
    pub fn last_position(&self) -> Position {
        Position(self.first_position.0 + self.frames.len() as u64 - 1)
    }

    /// The event at `number`, from 0.
    pub(super) fn locate(&self, number: usize, version: StreamVersion) -> Option<Located> {
        let frame = self.frames.get(number)?;
        Some(Located {
            version,
            position: self.first_position.plus(number as u64),
            place: Place {
                segment: self.segment,
                offset: self.payload + u64::from(frame.offset),
                len: frame.len,
            },
            payload: self.payload,
        })
    }
}
