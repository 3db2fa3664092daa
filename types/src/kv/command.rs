//! A command to the buckets, and its outcome.

use std::time::Duration;

use bytes::Bytes;

use crate::{BucketConfig, BucketInfo, BucketName, KvError, KvKey, Revision, Timestamp, limits};

/// What a key must hold for a change of it to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KvGuard {
    /// Anything.
    #[default]
    Any,
    /// No value: nothing, or a deletion.
    Absent,
    /// What this revision made of it. Revision 0 is the same as [`KvGuard::Absent`].
    Revision(Revision),
}

/// A change of the buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvCommand {
    /// Make a bucket.
    CreateBucket(BucketConfig),
    /// Remove a bucket with all that is in it.
    DeleteBucket(BucketName),
    /// Put a value.
    Put {
        /// The bucket.
        bucket: BucketName,
        /// The key.
        key: KvKey,
        /// The value.
        value: Bytes,
        /// What the key must hold.
        guard: KvGuard,
        /// How long this entry lives, if less than its bucket's entries do.
        ttl: Option<Duration>,
    },
    /// Delete a key that holds a value: its history stays. Purged, it holds nothing at all.
    Delete {
        /// The bucket.
        bucket: BucketName,
        /// The key.
        key: KvKey,
        /// What the key must hold.
        guard: KvGuard,
        /// Whether its history goes too.
        purge: bool,
    },
    /// Drop what is due, and what buckets left that are gone. Only a leader's keeper asks for it.
    Sweep {
        /// Keys that are dropped at most.
        keys_max: u32,
    },
}

impl KvCommand {
    /// The bytes that the command brings to an entry, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        let own = match self {
            Self::CreateBucket(config) => config.description.len(),
            Self::Put { key, value, .. } => key.as_str().len() + value.len(),
            Self::Delete { key, .. } => key.as_str().len(),
            Self::DeleteBucket(_) | Self::Sweep { .. } => 0,
        };
        own + 192
    }

    /// Checks what can be checked without what is stored.
    ///
    /// # Errors
    /// [`KvError::Invalid`] or [`KvError::ValueTooLarge`].
    pub fn check_limits(&self) -> Result<(), KvError> {
        match self {
            Self::CreateBucket(config) => config.check_limits(),
            Self::Put { value, .. } if value.len() > limits::KV_VALUE_BYTES_MAX => {
                let (actual, max) = (value.len() as u64, limits::KV_VALUE_BYTES_MAX as u64);
                Err(KvError::ValueTooLarge { actual, max })
            }
            Self::Put { ttl: Some(ttl), .. }
                if ttl.is_zero() || *ttl > Duration::from_secs(limits::KV_TTL_SECONDS_MAX) =>
            {
                let reason = format!("ttl is not within 1 ms and {} seconds", limits::KV_TTL_SECONDS_MAX);
                Err(KvError::Invalid { reason })
            }
            _ => Ok(()),
        }
    }
}

/// A command as the leader hands it to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampedKv {
    /// What is to be done.
    pub command: KvCommand,
    /// The leader's time. Apply takes the latest that it has seen, so that time never falls.
    pub at: Timestamp,
}

/// What apply made of a command; equal on every replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvOutcome {
    /// The bucket is made.
    BucketCreated(BucketInfo),
    /// The bucket is gone.
    BucketDeleted,
    /// The value is there.
    Put {
        /// Its revision.
        revision: Revision,
        /// The time of the change.
        at: Timestamp,
        /// When it is gone by itself.
        expires_at: Option<Timestamp>,
    },
    /// The key holds no value any more.
    Deleted {
        /// The revision of the deletion.
        revision: Revision,
    },
    /// Something was dropped, or nothing was due.
    Swept {
        /// Keys that were dropped.
        keys: u32,
        /// Whether more are to be dropped now.
        more: bool,
    },
    /// It was refused, and nothing changed.
    Refused(KvError),
    /// It was applied before this node started again: whoever asked was told then, or never.
    AppliedBefore,
}
