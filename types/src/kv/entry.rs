//! What a key holds.

use std::fmt;

use bytes::Bytes;

use crate::{KvKey, Timestamp};

/// A change's place in its bucket: 1, 2, 3, without a hole. 0 is no change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision of a key that holds nothing.
    pub const ZERO: Self = Self(0);

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a change of a key was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KvOperation {
    /// A value was put.
    Put,
    /// The key was deleted; what it held before is its history.
    Delete,
}

/// What a key holds, or held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvEntry {
    /// The key.
    pub key: KvKey,
    /// The change that made it so.
    pub revision: Revision,
    /// When, by the time of its group's key-value commands, which never falls.
    pub at: Timestamp,
    /// When it is gone by itself, on the same clock; never without it.
    pub expires_at: Option<Timestamp>,
    /// What the change was.
    pub operation: KvOperation,
    /// The value; empty for a deletion.
    pub value: Bytes,
}

/// Which of a key's entries a read wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KvRead {
    /// The newest, which must be a value.
    #[default]
    Latest,
    /// The one of this revision, if it is still kept.
    At(Revision),
}

/// A page of a bucket's keys, in byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvKeys {
    /// Keys that hold a value.
    pub keys: Vec<KvKey>,
    /// After which key the next page begins, if there may be more.
    pub next: Option<KvKey>,
}

/// A page of what a key held, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvVersions {
    /// Values and deletions that are kept, at least one.
    pub entries: Vec<KvEntry>,
    /// The revision with which the next page begins, if there is more.
    pub next: Option<Revision>,
}
