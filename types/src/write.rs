//! What one log entry holds many of: decided writes, each with its outcome.

use crate::{AppendOutcome, DecidedAppend, DecidedTransaction, KvOutcome, StampedKv, TransactionOutcome};

/// One decided write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecidedWrite {
    /// An append to one stream.
    Append(DecidedAppend),
    /// Appends to several streams, with checks and conditions.
    Transaction(DecidedTransaction),
    /// A change of the key-value buckets.
    Kv(StampedKv),
}

/// What apply made of one write; of the same kind as the write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// Of an append.
    Append(AppendOutcome),
    /// Of a transaction.
    Transaction(TransactionOutcome),
    /// Of a change of the buckets.
    Kv(KvOutcome),
}

impl DecidedWrite {
    /// The bytes that it brings to an entry, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Append(append) => append.weight(),
            Self::Transaction(transaction) => transaction.weight(),
            Self::Kv(stamped) => stamped.command.weight(),
        }
    }

    /// The events that it would append.
    #[must_use]
    pub fn events(&self) -> usize {
        match self {
            Self::Append(append) => append.events.len(),
            Self::Transaction(transaction) => transaction.appends.iter().map(|a| a.events.len()).sum(),
            Self::Kv(_) => 0,
        }
    }
}
