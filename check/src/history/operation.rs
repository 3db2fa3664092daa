//! One operation of one client.

use serde::{Deserialize, Serialize};

use super::{Call, Outcome};

/// A call with its outcome. It took effect, if at all, at one moment at or
/// after `invoke_us`; if the outcome is known, at or before `complete_us`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Unique in the history.
    pub id: u64,
    /// Who called. One client may have several calls under way.
    pub client: u64,
    /// When the call began, in microseconds.
    pub invoke_us: u64,
    /// When its outcome was known or given up, in microseconds, not before `invoke_us`.
    pub complete_us: u64,
    /// What was asked.
    pub call: Call,
    /// What came of it.
    pub outcome: Outcome,
}

impl Operation {
    /// What was seen, if the operation succeeded.
    #[must_use]
    pub fn seen(&self) -> Option<&super::Seen> {
        match &self.outcome {
            Outcome::Ok { seen } => Some(seen),
            Outcome::Refused { .. } | Outcome::Unknown { .. } => None,
        }
    }

    /// Until when it may have taken effect: forever if the outcome is unknown.
    #[must_use]
    pub fn latest_us(&self) -> u64 {
        if self.outcome.is_unknown() { u64::MAX } else { self.complete_us }
    }
}
