//! Why a key-value command or read was refused.

use crate::{ReadError, Revision};

/// Why a key-value command or read was refused. Equal on every replica.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// The bucket or the command is not legal.
    #[error("{reason}")]
    Invalid {
        /// What is wrong.
        reason: String,
    },
    /// There is a bucket of this name.
    #[error("bucket exists")]
    BucketExists,
    /// There is no bucket of this name.
    #[error("bucket not found")]
    BucketNotFound,
    /// The group has as many buckets as it may.
    #[error("group has {max} buckets, which is the limit")]
    TooManyBuckets {
        /// The limit.
        max: usize,
    },
    /// The key holds no value, or not at this revision.
    #[error("key not found")]
    KeyNotFound,
    /// The key is at another revision.
    #[error("revision conflict")]
    RevisionConflict {
        /// The key's revision; 0 when it holds nothing.
        actual: Revision,
    },
    /// The value is over the bucket's limit.
    #[error("value has {actual} bytes, over the limit of {max}")]
    ValueTooLarge {
        /// Its bytes.
        actual: u64,
        /// The limit.
        max: u64,
    },
    /// A check of a change does not hold.
    #[error("check {number} does not hold")]
    CheckFailed {
        /// Which, from 0 on.
        number: u32,
        /// The key's revision; 0 when it holds nothing.
        actual: Revision,
    },
    /// The bucket would hold more bytes than it may.
    #[error("bucket is full: it would hold {actual} bytes, over its limit of {max}")]
    BucketFull {
        /// What it would hold.
        actual: u64,
        /// Its limit.
        max: u64,
    },
}

/// Why a read of a bucket was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KvReadError {
    /// What was asked for is not there, or the question is not legal.
    #[error(transparent)]
    Refused(#[from] KvError),
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}
