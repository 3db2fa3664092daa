//! Idempotency keys.

use weir_types::{EntityId, IdempotencyKey, Position, StreamVersion};

/// What an idempotency key led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// xxh3-64 of what it was used for.
    pub digest: u64,
    /// Version of the first event.
    pub first_version: StreamVersion,
    /// Version of the last event.
    pub last_version: StreamVersion,
    /// Position of the first event.
    pub first_position: Position,
}

impl Remembered {
    /// Whether the key still counts when the next event gets position `next`:
    /// it does over `window` events after its first one. By positions alone, so
    /// that every replica judges alike, whatever its clean-up did.
    #[must_use]
    pub fn counts_at(&self, next: Position, window: u64) -> bool {
        next.0 - self.first_position.0 <= window
    }
}

/// A key that will fall out of the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiring {
    /// Position of the first event that it led to.
    pub position: Position,
    /// The stream.
    pub entity_id: EntityId,
    /// The key.
    pub key: IdempotencyKey,
}
