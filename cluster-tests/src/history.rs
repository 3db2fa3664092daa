//! What clients asked for and what they were told.

use std::collections::{BTreeMap, BTreeSet};

/// An append that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acked {
    /// The client's mark of the event, unique in the history.
    pub op: String,
    /// The stream.
    pub entity_id: String,
    /// The version that the answer named.
    pub version: u64,
    /// The position that the answer named.
    pub position: u64,
}

/// Every attempt has one fate: acknowledged, refused for good, or unknown.
/// What is unknown may be in the log or not; what is refused may not.
#[derive(Debug, Clone, Default)]
pub struct History {
    attempted: BTreeSet<String>,
    acked: Vec<Acked>,
    refused: BTreeMap<String, String>,
}

impl History {
    /// Notes that `op` is about to be sent.
    pub fn attempt(&mut self, op: &str) {
        self.attempted.insert(op.to_owned());
    }

    /// Notes an acknowledgement.
    pub fn ack(&mut self, acked: Acked) {
        self.acked.push(acked);
    }

    /// Notes a refusal that says that nothing was written.
    pub fn refuse(&mut self, op: &str, code: &str) {
        self.refused.insert(op.to_owned(), code.to_owned());
    }

    /// All acknowledgements, in the order in which they came.
    #[must_use]
    pub fn acked(&self) -> &[Acked] {
        &self.acked
    }

    /// The refused marks with their codes.
    #[must_use]
    pub fn refused(&self) -> &BTreeMap<String, String> {
        &self.refused
    }

    /// Whether `op` was ever sent.
    #[must_use]
    pub fn was_attempted(&self, op: &str) -> bool {
        self.attempted.contains(op)
    }

    /// How many attempts have no known fate.
    #[must_use]
    pub fn unknown(&self) -> usize {
        self.attempted.len().saturating_sub(self.acked.len() + self.refused.len())
    }

    /// Takes another client's history in.
    pub fn merge(&mut self, other: Self) {
        self.attempted.extend(other.attempted);
        self.acked.extend(other.acked);
        self.refused.extend(other.refused);
    }
}
