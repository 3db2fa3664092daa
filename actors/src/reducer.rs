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
mod event_args;
mod event_text;
mod fault;
mod files;
mod fold;
mod inspect;
mod limits;
mod meter;
mod own_thread;
mod partition;
mod plain;
mod thread;

pub use fault::Fault;
pub use files::assemble;
pub(crate) use fold::dead_letter_digest;
pub use fold::{FoldFailure, FoldOutcome, FoldResult, state_digest};
pub use inspect::{ReducerError, inspect, inspect_invariant, inspect_tables, inspect_upcaster};
pub use limits::ReducerLimits;
pub use own_thread::ThreadError;
pub use thread::ReducerThread;

pub(crate) use self::{
    engine::{Engine, Role},
    event_text::{source_text, time_text},
    own_thread::OwnThread,
    partition::{PartitionPath, partition_of},
};
