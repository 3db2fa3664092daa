//! Runs an author's JavaScript reducer over events.
//!
//! Invariants:
//! - A fold is a function of the module's text and the events: no clock, no
//!   randomness, no I/O, no code made from text; globals and prototypes are frozen.
//! - A state is what JSON holds. It stays in the engine between batches; what
//!   JSON cannot hold is a fault of the event that brought it in. A state of
//!   more than 64 values is checked whole only when a batch ends.
//! - Whether an event is a fault is decided alone: on a fresh engine, with its
//!   partition's state from JSON, so that batches and neighbours do not matter.
//! - A failed event leaves nothing: the engine that it failed in is dropped.
//!
//! `Math`'s transcendental functions are there; their last digits are those of
//! the build, so replicas should run one build. Variables outside the handler
//! survive from event to event but not a restart: a handler that keeps state
//! there is wrong and replicas will differ.

mod engine;
mod event_text;
mod fault;
mod fold;
mod inspect;
mod limits;
mod meter;
mod partition;
mod thread;

pub use fault::Fault;
pub(crate) use fold::dead_letter_digest;
pub use fold::{FoldFailure, FoldOutcome, FoldResult, state_digest};
pub use inspect::{ReducerError, inspect, inspect_invariant};
pub use limits::ReducerLimits;
pub use thread::{ReducerGone, ReducerThread};

pub(crate) use self::{
    engine::{Engine, Role},
    event_text::event_text,
    thread::THREAD_STACK_BYTES,
};
/// Where an event says which partition it belongs to, for who folds elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct EventPartitions(partition::PartitionPath);

impl EventPartitions {
    /// A path of names and indexes.
    pub(crate) fn parse(path: &str) -> Result<Self, String> {
        partition::PartitionPath::parse(path).map(Self)
    }

    /// The partition of an event that is given as JSON, if it has a key there.
    pub(crate) fn key_of(&self, event: &str) -> Result<Option<weir_types::PartitionKey>, String> {
        let event = serde_json::from_str(event).map_err(|error| error.to_string())?;
        self.0.key_of(&event).map_err(|error| error.to_string())
    }
}

/// An event as JSON, as handlers get it.
pub(crate) fn event_as_text(event: &weir_types::RecordedEvent) -> String {
    event_text::event_text(event)
}

/// What the doors of [`crate::inside`] lead to.
#[cfg(feature = "inside")]
pub(crate) fn partition_of(path: &str, event: &str) -> Result<Option<weir_types::PartitionKey>, String> {
    let path = partition::PartitionPath::parse(path)?;
    let event = serde_json::from_str(event).map_err(|error| error.to_string())?;
    path.key_of(&event).map_err(|error| error.to_string())
}
