//! Key-value buckets: what the state keeps of them.
//!
//! Written once per call of apply, in one batch with [`KvMark`], and not
//! flushed: what a crash loses is replayed from the log. The index tells, by
//! its own mark, how far the state must be.
//!
//! A replay may also find the state ahead of the index. What an entry's
//! commands led to is part of the index's running digest (invariant R1), and
//! cannot be judged again; so the state keeps a digest of each entry's
//! outcomes until the index is known to have it on disk.

mod batch;
mod feed;
mod read;

pub use batch::KvBatch;
pub use feed::{KvFeed, KvFeedItem, KvFeedPage};
pub use read::KvDue;
use weir_types::{BucketInfo, KvOperation, LogIndex, Revision, Timestamp};

use super::{State, StateError};
pub use crate::schema::BucketNo;
use crate::{
    codec::{StoredKvMark, decode},
    schema::StateKey,
};

/// How far the state reflects key-value commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvMark {
    /// The last log index that held one; 0 when none did.
    pub applied: LogIndex,
    /// The latest time that any of them was stamped with; not negative.
    pub time: Timestamp,
    /// The highest number that a bucket was given.
    pub buckets: u64,
    /// Digests of entries at or below this one are not kept.
    pub pruned: LogIndex,
}

impl Default for KvMark {
    fn default() -> Self {
        Self { applied: LogIndex::ZERO, time: Timestamp(0), buckets: 0, pruned: LogIndex::ZERO }
    }
}

/// A bucket with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its number.
    pub no: BucketNo,
    /// What it is and what is in it.
    pub info: BucketInfo,
}

/// One version of a key, without its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvVersion {
    /// The change that made it.
    pub revision: Revision,
    /// When.
    pub at: Timestamp,
    /// What the change was.
    pub operation: KvOperation,
    /// Bytes of the value and its key; 0 for a deletion.
    pub bytes: u64,
}

/// What is kept of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvHead {
    /// Oldest first; at least one.
    pub versions: Vec<KvVersion>,
    /// When all of it is gone.
    pub expires_at: Option<Timestamp>,
}

impl KvHead {
    /// The newest version.
    ///
    /// # Panics
    /// Panics when there is no version, which is never stored.
    #[must_use]
    pub fn newest(&self) -> &KvVersion {
        self.versions.last().expect("a key that is kept has a version")
    }

    /// Whether it is due at `now`.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// Whether it holds a value at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        !self.is_due(now) && self.newest().operation == KvOperation::Put
    }

    /// Bytes that count towards the bucket's.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.versions.iter().map(|version| version.bytes).sum()
    }
}

impl State {
    /// The newest changes of buckets, for who watches.
    #[must_use]
    pub fn kv_feed(&self) -> &KvFeed {
        &self.kv_feed
    }

    /// How far the state reflects key-value commands.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn kv_mark(&self) -> Result<KvMark, StateError> {
        let Some(bytes) = self.get(StateKey::KvMark)? else { return Ok(KvMark::default()) };
        let stored: StoredKvMark =
            decode("key-value mark", &bytes).map_err(|e| self.damaged("key-value mark", e))?;
        Ok(stored.into())
    }

    /// Drops all buckets, durably: they are rebuilt from the log. For a state
    /// that is ahead of the index and no longer knows what its entries led to.
    ///
    /// # Errors
    /// [`StateError`]; the next open does it again.
    pub fn clear_kv(&self) -> Result<(), StateError> {
        const BATCH: usize = 1_000;
        // The mark goes last: half a clearing is found as a state that must be cleared.
        for family in *b"bdhwxyk" {
            let prefix = self.family(family);
            loop {
                let mut batch = sled::Batch::default();
                let mut found = 0;
                for key in self.tree.scan_prefix(&prefix).keys().take(BATCH) {
                    batch.remove(key.map_err(|error| self.failed("key-value", error))?);
                    found += 1;
                }
                self.tree.apply_batch(batch).map_err(|error| self.failed("key-value", error))?;
                if found < BATCH {
                    break;
                }
            }
        }
        self.flush()
    }

    /// What the keys of a family begin with.
    pub(super) fn family(&self, family: u8) -> Vec<u8> {
        let mut prefix = StateKey::SelfCheck.encode(self.group);
        *prefix.last_mut().expect("a key has a family byte") = family;
        prefix
    }
}
