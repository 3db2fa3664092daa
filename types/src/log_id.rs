use crate::{LogIndex, NodeId, Term};

/// The identity of a log entry: who led when it was proposed, and where it is.
/// Two entries with the same log id are the same entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The leader's term.
    pub term: Term,
    /// The leader.
    pub leader: NodeId,
    /// The entry's place.
    pub index: LogIndex,
}
