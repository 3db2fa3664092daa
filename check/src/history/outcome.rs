//! What came of a call.

use serde::{Deserialize, Serialize};

use super::Seen;

/// The fate of an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Ok {
        /// What the answer showed.
        seen: Seen,
    },
    /// It was definitely not done, and never will be.
    Refused {
        /// The error code of the answer.
        code: String,
        /// The version or revision that the answer named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        actual: Option<u64>,
    },
    /// It may have been done, may still be done, or may not: a time-out, a cut connection.
    Unknown {
        /// Why nobody knows.
        reason: String,
    },
}

impl Outcome {
    /// Whether it was done.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        matches!(self, Self::Ok { .. })
    }

    /// Whether it was definitely not done.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Whether nobody knows.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}
