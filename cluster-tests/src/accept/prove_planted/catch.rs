use std::fmt;

use weir_types::InvariantId;

/// What shows that a bug is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Catch {
    /// The checker of an invariant.
    Invariant(InvariantId),
    /// The exact checker of streams.
    Streams,
    /// The checker of keys.
    Keys,
    /// What is no invariant's, by a part of its message: a workload that was
    /// told what cannot be, a node that ends by itself, a cluster that does not go on.
    Wrong(&'static str),
}

impl fmt::Display for Catch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invariant(id) => write!(f, "{id:?}"),
            Self::Streams => f.write_str("streams"),
            Self::Keys => f.write_str("keys"),
            Self::Wrong(part) => write!(f, "“{part}”"),
        }
    }
}
