//! What the index reflects.

use bytes::Bytes;
use weir_types::{LogId, LogIndex, Position};

/// How far the index is applied, written with every batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedMark {
    /// The last record that is applied.
    pub log_id: LogId,
    /// The last position that was assigned; 0 when none was.
    pub position: Position,
    /// The payload of the last membership record, opaque here; empty when there was none.
    pub membership: Bytes,
    /// The log id of that record.
    pub membership_at: Option<LogId>,
    /// The log index of the last registry command; 0 when there was none. The
    /// state holds at least this one, or has been lost.
    pub registry: LogIndex,
    /// The log index of the last entry that held a key-value command; 0 when none did.
    pub kv: LogIndex,
    /// The log index of the last command that changed rules; 0 when none did.
    pub rules: LogIndex,
    /// A running digest of everything applied: equal at an equal log id on
    /// every replica (invariant R1).
    pub digest: u64,
}
