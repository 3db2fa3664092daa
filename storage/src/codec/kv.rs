//! Key-value buckets: commands, outcomes, and what the state keeps of them.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_types::{
    BucketConfig, BucketInfo, BucketName, KvCommand, KvError, KvGuard, KvKey, KvOperation, KvOutcome,
    KvWrite, LogIndex, Revision, StampedKv, Timestamp,
};

use super::{CodecError, raw::Raw};
use crate::state::{Bucket, BucketNo, KvHead, KvMark, KvVersion};

const WHAT: &str = "key-value value";

fn bucket_name(text: &str) -> Result<BucketName, CodecError> {
    BucketName::new(text).map_err(CodecError::name(WHAT))
}

fn key_of(text: &str) -> Result<KvKey, CodecError> {
    KvKey::new(text).map_err(CodecError::name(WHAT))
}

// Texts are borrowed: an owned one takes the memory that its length field names before it is read.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredConfig<'a> {
    name: &'a str,
    description: &'a str,
    ttl_seconds: Option<u64>,
    value_bytes_max: Option<u64>,
    bytes_max: Option<u64>,
    history: u8,
}

impl<'a> From<&'a BucketConfig> for StoredConfig<'a> {
    fn from(config: &'a BucketConfig) -> Self {
        Self {
            name: config.name.as_str(),
            description: &config.description,
            ttl_seconds: config.ttl.map(|ttl| ttl.as_secs()),
            value_bytes_max: config.value_bytes_max,
            bytes_max: config.bytes_max,
            history: config.history,
        }
    }
}

impl TryFrom<StoredConfig<'_>> for BucketConfig {
    type Error = CodecError;

    fn try_from(stored: StoredConfig<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            name: bucket_name(stored.name)?,
            description: stored.description.to_owned(),
            ttl: stored.ttl_seconds.map(Duration::from_secs),
            value_bytes_max: stored.value_bytes_max,
            bytes_max: stored.bytes_max,
            history: stored.history,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredInfo<'a> {
    #[serde(borrow)]
    config: StoredConfig<'a>,
    created_at: i64,
    revision: u64,
    values: u64,
    bytes: u64,
}

impl<'a> From<&'a BucketInfo> for StoredInfo<'a> {
    fn from(info: &'a BucketInfo) -> Self {
        Self {
            config: (&info.config).into(),
            created_at: info.created_at.0,
            revision: info.revision.0,
            values: info.values,
            bytes: info.bytes,
        }
    }
}

impl TryFrom<StoredInfo<'_>> for BucketInfo {
    type Error = CodecError;

    fn try_from(stored: StoredInfo<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            config: stored.config.try_into()?,
            created_at: Timestamp(stored.created_at),
            revision: Revision(stored.revision),
            values: stored.values,
            bytes: stored.bytes,
        })
    }
}

/// A bucket as the state keeps it.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredBucket<'a> {
    no: u64,
    #[serde(borrow)]
    info: StoredInfo<'a>,
}

impl<'a> From<&'a Bucket> for StoredBucket<'a> {
    fn from(bucket: &'a Bucket) -> Self {
        Self { no: bucket.no.0, info: (&bucket.info).into() }
    }
}

impl TryFrom<StoredBucket<'_>> for Bucket {
    type Error = CodecError;

    fn try_from(stored: StoredBucket<'_>) -> Result<Self, CodecError> {
        Ok(Self { no: BucketNo(stored.no), info: stored.info.try_into()? })
    }
}

/// What the state keeps of a key, without its values.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredKvHead {
    expires_at: Option<i64>,
    /// Per version: revision, time, whether it is a deletion, bytes.
    versions: Vec<(u64, i64, bool, u64)>,
}

impl From<&KvHead> for StoredKvHead {
    fn from(head: &KvHead) -> Self {
        let version = |version: &KvVersion| {
            let deleted = version.operation == KvOperation::Delete;
            (version.revision.0, version.at.0, deleted, version.bytes)
        };
        Self {
            expires_at: head.expires_at.map(|at| at.0),
            versions: head.versions.iter().map(version).collect(),
        }
    }
}

impl TryFrom<StoredKvHead> for KvHead {
    type Error = CodecError;

    fn try_from(stored: StoredKvHead) -> Result<Self, CodecError> {
        let version = |(revision, at, deleted, bytes)| KvVersion {
            revision: Revision(revision),
            at: Timestamp(at),
            operation: if deleted { KvOperation::Delete } else { KvOperation::Put },
            bytes,
        };
        let versions: Vec<_> = stored.versions.into_iter().map(version).collect();
        if versions.is_empty() {
            return Err(CodecError::malformed(WHAT, "a key has no version"));
        }
        Ok(Self { versions, expires_at: stored.expires_at.map(Timestamp) })
    }
}

/// How far the state reflects key-value commands.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredKvMark {
    applied: u64,
    time: i64,
    buckets: u64,
    pruned: u64,
}

impl From<&KvMark> for StoredKvMark {
    fn from(mark: &KvMark) -> Self {
        Self { applied: mark.applied.0, time: mark.time.0, buckets: mark.buckets, pruned: mark.pruned.0 }
    }
}

impl From<StoredKvMark> for KvMark {
    fn from(stored: StoredKvMark) -> Self {
        Self {
            applied: LogIndex(stored.applied),
            time: Timestamp(stored.time),
            buckets: stored.buckets,
            pruned: LogIndex(stored.pruned),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) enum StoredGuard {
    Any,
    Absent,
    Revision(u64),
    Exists,
}

impl From<KvGuard> for StoredGuard {
    fn from(guard: KvGuard) -> Self {
        match guard {
            KvGuard::Any => Self::Any,
            KvGuard::Absent => Self::Absent,
            KvGuard::Revision(revision) => Self::Revision(revision.0),
            KvGuard::Exists => Self::Exists,
        }
    }
}

impl From<StoredGuard> for KvGuard {
    fn from(stored: StoredGuard) -> Self {
        match stored {
            StoredGuard::Any => Self::Any,
            StoredGuard::Absent => Self::Absent,
            StoredGuard::Revision(revision) => Self::Revision(Revision(revision)),
            StoredGuard::Exists => Self::Exists,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) enum StoredKvCommand<'a> {
    #[serde(borrow)]
    CreateBucket(StoredConfig<'a>),
    DeleteBucket(&'a str),
    Put {
        bucket: &'a str,
        key: &'a str,
        #[serde(borrow)]
        value: Raw<'a>,
        guard: StoredGuard,
        ttl_ms: Option<u64>,
    },
    Delete {
        bucket: &'a str,
        key: &'a str,
        guard: StoredGuard,
        purge: bool,
    },
    Sweep {
        keys_max: u32,
    },
    Change {
        bucket: &'a str,
        #[serde(borrow)]
        checks: Vec<(&'a str, StoredGuard)>,
        #[serde(borrow)]
        writes: Vec<StoredKvWrite<'a>>,
    },
}

/// What becomes of one key of a change.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredKvWrite<'a> {
    key: &'a str,
    #[serde(borrow)]
    value: Option<Raw<'a>>,
    ttl_ms: Option<u64>,
}

impl<'a> From<&'a KvWrite> for StoredKvWrite<'a> {
    fn from(write: &'a KvWrite) -> Self {
        Self {
            key: write.key.as_str(),
            value: write.value.as_deref().map(Raw),
            ttl_ms: write.ttl.map(millis),
        }
    }
}

impl StoredKvWrite<'_> {
    fn read(self, message: &Bytes) -> Result<KvWrite, CodecError> {
        Ok(KvWrite {
            key: key_of(self.key)?,
            value: self.value.map(|value| message.slice_ref(value.0)),
            ttl: self.ttl_ms.map(Duration::from_millis),
        })
    }
}

fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
}

impl<'a> From<&'a KvCommand> for StoredKvCommand<'a> {
    fn from(command: &'a KvCommand) -> Self {
        match command {
            KvCommand::CreateBucket(config) => Self::CreateBucket(config.into()),
            KvCommand::DeleteBucket(name) => Self::DeleteBucket(name.as_str()),
            KvCommand::Put { bucket, key, value, guard, ttl } => Self::Put {
                bucket: bucket.as_str(),
                key: key.as_str(),
                value: Raw(value),
                guard: (*guard).into(),
                ttl_ms: ttl.map(millis),
            },
            KvCommand::Delete { bucket, key, guard, purge } => Self::Delete {
                bucket: bucket.as_str(),
                key: key.as_str(),
                guard: (*guard).into(),
                purge: *purge,
            },
            KvCommand::Sweep { keys_max } => Self::Sweep { keys_max: *keys_max },
            KvCommand::Change { bucket, checks, writes } => Self::Change {
                bucket: bucket.as_str(),
                checks: checks.iter().map(|(key, guard)| (key.as_str(), (*guard).into())).collect(),
                writes: writes.iter().map(StoredKvWrite::from).collect(),
            },
        }
    }
}

impl StoredKvCommand<'_> {
    /// The command; a value shares `message`'s memory.
    pub(super) fn read(self, message: &Bytes) -> Result<KvCommand, CodecError> {
        Ok(match self {
            Self::CreateBucket(config) => KvCommand::CreateBucket(config.try_into()?),
            Self::DeleteBucket(name) => KvCommand::DeleteBucket(bucket_name(name)?),
            Self::Put { bucket, key, value, guard, ttl_ms } => KvCommand::Put {
                bucket: bucket_name(bucket)?,
                key: key_of(key)?,
                value: message.slice_ref(value.0),
                guard: guard.into(),
                ttl: ttl_ms.map(Duration::from_millis),
            },
            Self::Delete { bucket, key, guard, purge } => KvCommand::Delete {
                bucket: bucket_name(bucket)?,
                key: key_of(key)?,
                guard: guard.into(),
                purge,
            },
            Self::Sweep { keys_max } => KvCommand::Sweep { keys_max },
            Self::Change { bucket, checks, writes } => {
                let check = |(key, guard): (&str, StoredGuard)| Ok((key_of(key)?, guard.into()));
                KvCommand::Change {
                    bucket: bucket_name(bucket)?,
                    checks: checks.into_iter().map(check).collect::<Result<_, CodecError>>()?,
                    writes: writes.into_iter().map(|write| write.read(message)).collect::<Result<_, _>>()?,
                }
            }
        })
    }
}

/// A stamped command, an item of a log entry.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredStampedKv<'a> {
    at: i64,
    #[serde(borrow)]
    command: StoredKvCommand<'a>,
}

impl<'a> From<&'a StampedKv> for StoredStampedKv<'a> {
    fn from(stamped: &'a StampedKv) -> Self {
        Self { at: stamped.at.0, command: (&stamped.command).into() }
    }
}

impl StoredStampedKv<'_> {
    /// The command; a value shares `message`'s memory.
    pub(super) fn read(self, message: &Bytes) -> Result<StampedKv, CodecError> {
        Ok(StampedKv { at: Timestamp(self.at), command: self.command.read(message)? })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) enum StoredKvError<'a> {
    Invalid { reason: &'a str },
    BucketExists,
    BucketNotFound,
    TooManyBuckets { max: u64 },
    KeyNotFound,
    RevisionConflict { actual: u64 },
    ValueTooLarge { actual: u64, max: u64 },
    BucketFull { actual: u64, max: u64 },
    CheckFailed { number: u32, actual: u64 },
}

impl<'a> From<&'a KvError> for StoredKvError<'a> {
    fn from(error: &'a KvError) -> Self {
        match error {
            KvError::Invalid { reason } => Self::Invalid { reason },
            KvError::BucketExists => Self::BucketExists,
            KvError::BucketNotFound => Self::BucketNotFound,
            KvError::TooManyBuckets { max } => Self::TooManyBuckets { max: *max as u64 },
            KvError::KeyNotFound => Self::KeyNotFound,
            KvError::RevisionConflict { actual } => Self::RevisionConflict { actual: actual.0 },
            KvError::ValueTooLarge { actual, max } => Self::ValueTooLarge { actual: *actual, max: *max },
            KvError::BucketFull { actual, max } => Self::BucketFull { actual: *actual, max: *max },
            KvError::CheckFailed { number, actual } => {
                Self::CheckFailed { number: *number, actual: actual.0 }
            }
        }
    }
}

impl From<StoredKvError<'_>> for KvError {
    fn from(stored: StoredKvError<'_>) -> Self {
        use StoredKvError as Stored;
        match stored {
            Stored::Invalid { reason } => Self::Invalid { reason: reason.to_owned() },
            Stored::BucketExists => Self::BucketExists,
            Stored::BucketNotFound => Self::BucketNotFound,
            Stored::TooManyBuckets { max } => {
                Self::TooManyBuckets { max: usize::try_from(max).unwrap_or(usize::MAX) }
            }
            Stored::KeyNotFound => Self::KeyNotFound,
            Stored::RevisionConflict { actual } => Self::RevisionConflict { actual: Revision(actual) },
            Stored::ValueTooLarge { actual, max } => Self::ValueTooLarge { actual, max },
            Stored::BucketFull { actual, max } => Self::BucketFull { actual, max },
            Stored::CheckFailed { number, actual } => Self::CheckFailed { number, actual: Revision(actual) },
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) enum StoredKvOutcome<'a> {
    #[serde(borrow)]
    BucketCreated(StoredInfo<'a>),
    BucketDeleted,
    Put {
        revision: u64,
        at: i64,
        expires_at: Option<i64>,
    },
    Deleted {
        revision: u64,
    },
    Swept {
        keys: u32,
        more: bool,
    },
    #[serde(borrow)]
    Refused(StoredKvError<'a>),
    AppliedBefore,
    Changed {
        first: u64,
        last: u64,
        at: i64,
    },
}

impl<'a> From<&'a KvOutcome> for StoredKvOutcome<'a> {
    fn from(outcome: &'a KvOutcome) -> Self {
        match outcome {
            KvOutcome::BucketCreated(info) => Self::BucketCreated(info.into()),
            KvOutcome::BucketDeleted => Self::BucketDeleted,
            KvOutcome::Put { revision, at, expires_at } => {
                Self::Put { revision: revision.0, at: at.0, expires_at: expires_at.map(|at| at.0) }
            }
            KvOutcome::Deleted { revision } => Self::Deleted { revision: revision.0 },
            KvOutcome::Swept { keys, more } => Self::Swept { keys: *keys, more: *more },
            KvOutcome::Refused(error) => Self::Refused(error.into()),
            KvOutcome::AppliedBefore => Self::AppliedBefore,
            KvOutcome::Changed { first, last, at } => {
                Self::Changed { first: first.0, last: last.0, at: at.0 }
            }
        }
    }
}

impl TryFrom<StoredKvOutcome<'_>> for KvOutcome {
    type Error = CodecError;

    fn try_from(stored: StoredKvOutcome<'_>) -> Result<Self, CodecError> {
        use StoredKvOutcome as Stored;
        Ok(match stored {
            Stored::BucketCreated(info) => Self::BucketCreated(info.try_into()?),
            Stored::BucketDeleted => Self::BucketDeleted,
            Stored::Put { revision, at, expires_at } => Self::Put {
                revision: Revision(revision),
                at: Timestamp(at),
                expires_at: expires_at.map(Timestamp),
            },
            Stored::Deleted { revision } => Self::Deleted { revision: Revision(revision) },
            Stored::Swept { keys, more } => Self::Swept { keys, more },
            Stored::Refused(error) => Self::Refused(error.into()),
            Stored::AppliedBefore => Self::AppliedBefore,
            Stored::Changed { first, last, at } => {
                Self::Changed { first: Revision(first), last: Revision(last), at: Timestamp(at) }
            }
        })
    }
}
