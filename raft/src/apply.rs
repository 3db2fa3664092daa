//! Apply: what every replica makes of a committed record, and nothing else does.
//!
//! Deterministic: no clock, no randomness, no hash order. The judges
//! ([`judge_append`], `types::registry`) are pure; [`apply_command`] adds the
//! look-ups; the [`Applier`] writes what came of it, one index batch per call.

mod append;
mod applier;
mod changes;
mod command;
mod condition;
mod digest;
mod facets;
mod kv;
mod rules;
mod transaction;

pub use append::{Standing, judge_append};
pub use applier::{Applier, ApplyError, Committed};
pub use changes::Changes;
pub use command::{ApplyContext, CommandError, Payload, Terms, apply_command};
pub use kv::{KeyChange, KvStanding, KvStored, judge_delete, judge_put};
pub use transaction::violations;
use weir_types::{RegistryOutcome, WriteOutcome};

/// What came of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandOutcome {
    /// Of a batch of writes: one outcome each, in order.
    Writes(Vec<WriteOutcome>),
    /// Of a registry command.
    Registry(RegistryOutcome),
    /// Of a record that commands nothing, or that was applied before.
    Nothing,
}
