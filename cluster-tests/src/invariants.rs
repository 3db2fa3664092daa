//! The invariants of the design that can be checked from outside, one file
//! each. A check is a pure function over what was observed; the ids are those
//! of [`weir_types::InvariantId`]. Those that need a history of calls and not
//! only what the nodes hold in the end (A3, W1, P1, S1) are checked by the crate
//! `weir-check`, which has a file for every invariant.

pub mod acked_is_durable;
pub mod outbox_delivers_all;
pub mod positions_agree;
pub mod read_your_writes;
pub mod refused_left_nothing;
pub mod replicas_agree;
pub mod versions_are_dense;
pub mod view_is_fold;

use std::fmt;

use weir_types::InvariantId;

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub id: InvariantId,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {:?} is broken: {}", self.id, self.found)
    }
}

impl std::error::Error for Violation {}

/// Fails with what is found unless the condition holds.
fn hold(id: InvariantId, condition: bool, found: impl FnOnce() -> String) -> Result<(), Violation> {
    if condition { Ok(()) } else { Err(Violation { id, found: found() }) }
}
