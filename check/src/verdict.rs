//! What a checker says.

use std::fmt;

use serde::Serialize;
use weir_types::InvariantId;

/// Violations that a verdict keeps; more are only counted.
pub const KEPT_MAX: usize = 100;

/// Which check it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckId {
    /// An invariant of the design.
    Invariant(InvariantId),
    /// Every stream is linearizable, and reads show what is there.
    Streams,
    /// Every key is linearizable.
    Keys,
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invariant(id) => write!(f, "{id:?}"),
            Self::Streams => f.write_str("streams"),
            Self::Keys => f.write_str("keys"),
        }
    }
}

impl Serialize for CheckId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The rule of the checker, a constant phrase: equal for equal kinds of violation.
    pub rule: &'static str,
    /// What was found.
    pub what: String,
    /// The ids of the operations that show it; none if the final state alone does.
    pub ops: Vec<u64>,
}

/// What one checker found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Which check it was.
    pub invariant: CheckId,
    /// The first [`KEPT_MAX`] violations.
    pub violations: Vec<Violation>,
    /// How many violations there are.
    pub found: u64,
    /// How many facts were compared: 0 means that the run exercised nothing.
    pub checked: u64,
}

impl Verdict {
    /// Nothing checked yet.
    #[must_use]
    pub const fn new(invariant: CheckId) -> Self {
        Self { invariant, violations: Vec::new(), found: 0, checked: 0 }
    }

    /// Whether nothing was found.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.found == 0
    }

    /// Counts one fact, and a violation if it does not hold. Returns `holds`.
    pub fn hold(
        &mut self,
        rule: &'static str,
        holds: bool,
        ops: &[u64],
        what: impl FnOnce() -> String,
    ) -> bool {
        self.checked += 1;
        if !holds {
            self.found += 1;
            if self.violations.len() < KEPT_MAX {
                self.violations.push(Violation { rule, what: what(), ops: ops.to_vec() });
            }
        }
        holds
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, violations, found, checked } = self;
        write!(f, "{invariant}: {checked} facts, {found} violations")?;
        for Violation { rule, what, ops } in violations.iter().take(5) {
            write!(f, "\n  {rule}: {what} (operations {ops:?})")?;
        }
        Ok(())
    }
}
