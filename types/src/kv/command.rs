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
    /// A value, whichever.
    Exists,
}

/// What becomes of one key in a change of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvWrite {
    /// The key.
    pub key: KvKey,
    /// The value that is put; without one the key is purged, if it holds anything.
    pub value: Option<Bytes>,
    /// How long the value lives, if less than its bucket's entries do.
    pub ttl: Option<Duration>,
}

impl KvWrite {
    /// A value that is put.
    #[must_use]
    pub fn put(key: KvKey, value: impl Into<Bytes>) -> Self {
        Self { key, value: Some(value.into()), ttl: None }
    }

    /// A key that is purged.
    #[must_use]
    pub fn purge(key: KvKey) -> Self {
        Self { key, value: None, ttl: None }
    }
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
    /// Change several keys of a bucket, all of them or none.
    Change {
        /// The bucket.
        bucket: BucketName,
        /// What keys must hold, before any of it.
        checks: Vec<(KvKey, KvGuard)>,
        /// What is written, in order; a key once.
        writes: Vec<KvWrite>,
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
            Self::Change { checks, writes, .. } => {
                let written = |write: &KvWrite| write.value.as_ref().map_or(0, Bytes::len);
                let writes = writes.iter().map(|write| write.key.as_str().len() + written(write) + 64);
                checks.iter().map(|(key, _)| key.as_str().len() + 16).sum::<usize>() + writes.sum::<usize>()
            }
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
            Self::Put { value, ttl, .. } => check_value(Some(value), *ttl),
            Self::Change { checks, writes, .. } => check_change(checks, writes),
            Self::DeleteBucket(_) | Self::Delete { .. } | Self::Sweep { .. } => Ok(()),
        }
    }
}

fn check_value(value: Option<&Bytes>, ttl: Option<Duration>) -> Result<(), KvError> {
    let actual = value.map_or(0, Bytes::len);
    if actual > limits::KV_VALUE_BYTES_MAX {
        let (actual, max) = (actual as u64, limits::KV_VALUE_BYTES_MAX as u64);
        return Err(KvError::ValueTooLarge { actual, max });
    }
    let most = Duration::from_secs(limits::KV_TTL_SECONDS_MAX);
    if ttl.is_some_and(|ttl| ttl.is_zero() || ttl > most) {
        let reason = format!("ttl is not within 1 ms and {} seconds", limits::KV_TTL_SECONDS_MAX);
        return Err(KvError::Invalid { reason });
    }
    Ok(())
}

fn check_change(checks: &[(KvKey, KvGuard)], writes: &[KvWrite]) -> Result<(), KvError> {
    let refuse = |reason: String| Err(KvError::Invalid { reason });
    let max = limits::KV_CHANGE_KEYS_MAX;
    if writes.is_empty() || writes.len() > max || checks.len() > max {
        return refuse(format!("a change has 1 to {max} writes and at most {max} checks"));
    }
    let mut keys: Vec<&KvKey> = writes.iter().map(|write| &write.key).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return refuse("a change writes a key twice".into());
    }
    let mut bytes = 0;
    for write in writes {
        check_value(write.value.as_ref(), write.ttl)?;
        bytes += write.value.as_ref().map_or(0, Bytes::len);
    }
    if bytes > limits::KV_CHANGE_BYTES_MAX {
        let (actual, max) = (bytes as u64, limits::KV_CHANGE_BYTES_MAX as u64);
        return Err(KvError::ValueTooLarge { actual, max });
    }
    Ok(())
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
    /// All keys are as was asked for.
    Changed {
        /// The revision of the first write, if that one was a value; the others follow without a hole.
        first: Revision,
        /// The bucket's revision after it.
        last: Revision,
        /// The time of the change.
        at: Timestamp,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_several_keys_is_bounded_and_names_each_once() {
        let key = |name: &str| KvKey::new(name).unwrap();
        let change = |writes: Vec<KvWrite>| KvCommand::Change {
            bucket: BucketName::new("b").unwrap(),
            checks: vec![(key("c"), KvGuard::Exists)],
            writes,
        };
        assert_eq!(
            change(vec![KvWrite::put(key("a"), "1"), KvWrite::purge(key("b"))]).check_limits(),
            Ok(())
        );
        let value = || Bytes::from(vec![0; limits::KV_VALUE_BYTES_MAX]);
        let many = |count: usize| (0..count).map(|n| KvWrite::purge(key(&n.to_string()))).collect();
        for bad in [
            vec![],
            vec![KvWrite::put(key("a"), "1"), KvWrite::purge(key("a"))],
            vec![KvWrite { ttl: Some(Duration::ZERO), ..KvWrite::put(key("a"), "1") }],
            vec![
                KvWrite::put(key("a"), value()),
                KvWrite::put(key("b"), value()),
                KvWrite::put(key("c"), "x"),
            ],
            many(limits::KV_CHANGE_KEYS_MAX + 1),
        ] {
            assert!(change(bad).check_limits().is_err());
        }
    }
}
