//! What the actors show of themselves: plain snapshots, for admin API, metrics
//! and the asserts of tests.

use weir_types::{NodeId, Position, Term};

/// A router at one moment. Counters count since the router started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouterSnapshot {
    /// The term.
    pub term: Term,
    /// The leader, if known.
    pub leader: Option<NodeId>,
    /// Whether this node decides appends.
    pub decides: bool,
    /// Stream actors alive.
    pub active_streams: usize,
    /// Appends admitted and not yet settled.
    pub in_flight_appends: usize,
    /// Their bytes of data and metadata.
    pub in_flight_bytes: usize,
    /// Appends that wait for admission.
    pub waiting_appends: usize,
    /// Stream actors started.
    pub activations: u64,
    /// Stream actors stopped because they were idle or there were too many.
    pub passivations: u64,
    /// Stream actors dropped because their state no longer held.
    pub retirements: u64,
    /// Stream actors that panicked.
    pub failures: u64,
    /// Appends acknowledged, repeats included.
    pub acknowledged: u64,
    /// Appends answered again by their idempotency key.
    pub repeated: u64,
    /// Appends refused because of version, type or idempotency key.
    pub conflicts: u64,
    /// Appends refused because there was no room.
    pub overloaded: u64,
    /// Appends that failed otherwise.
    pub failed: u64,
}

/// What an outbox is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutboxPhase {
    /// This node does not lead: another node's outbox publishes.
    #[default]
    Inactive,
    /// It asks the bus what it holds.
    Resuming,
    /// It publishes, or has published all there is.
    Publishing,
    /// The bus did not answer; it asks again after a pause.
    Waiting,
    /// The bus holds what this log did not publish; it needs a rebuild.
    Diverged,
}

/// An outbox at one moment. Counters count since the outbox started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutboxSnapshot {
    /// What it is doing.
    pub phase: OutboxPhase,
    /// Whether the bus answered last time. Meaningful only while it is not inactive.
    pub connected: bool,
    /// The last position that the bus is known to hold.
    pub published: Position,
    /// The last position that is applied here.
    pub applied: Position,
    /// Events published.
    pub events: u64,
    /// Batches published.
    pub batches: u64,
    /// Times that the bus did not do what it was asked.
    pub errors: u64,
    /// The last such time, in words; cleared by the next success.
    pub last_error: Option<String>,
}

impl OutboxSnapshot {
    /// Events that are committed here and not yet known to be on the bus.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.applied.0.saturating_sub(self.published.0)
    }
}
