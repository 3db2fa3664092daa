//! Buckets.

use std::time::Duration;

use crate::{BucketName, KvError, Revision, Timestamp, limits};

/// A bucket as it was asked for. It never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketConfig {
    /// Its name.
    pub name: BucketName,
    /// What it is for; empty when nobody said.
    pub description: String,
    /// How long an entry lives; for ever without it. Whole seconds, at least one.
    pub ttl: Option<Duration>,
    /// Bytes of one value; [`limits::KV_VALUE_BYTES_MAX`] without it.
    pub value_bytes_max: Option<u64>,
    /// Bytes of all values that are kept, older ones included, with their keys; unbounded without it.
    pub bytes_max: Option<u64>,
    /// Values that are kept of a key, the newest included: 1 to [`limits::KV_HISTORY_MAX`].
    pub history: u8,
}

impl BucketConfig {
    /// A bucket that keeps one value of each key, for ever.
    #[must_use]
    pub fn new(name: BucketName) -> Self {
        Self {
            name,
            description: String::new(),
            ttl: None,
            value_bytes_max: None,
            bytes_max: None,
            history: 1,
        }
    }

    /// Checks the limits.
    ///
    /// # Errors
    /// [`KvError::Invalid`] naming the limit.
    pub fn check_limits(&self) -> Result<(), KvError> {
        let refuse = |reason: String| Err(KvError::Invalid { reason });
        if self.description.len() > limits::KV_DESCRIPTION_BYTES_MAX {
            return refuse(format!("description has over {} bytes", limits::KV_DESCRIPTION_BYTES_MAX));
        }
        if !(1..=limits::KV_HISTORY_MAX).contains(&usize::from(self.history)) {
            return refuse(format!("history is not within 1 and {}", limits::KV_HISTORY_MAX));
        }
        let ttl_max = Duration::from_secs(limits::KV_TTL_SECONDS_MAX);
        if self.ttl.is_some_and(|ttl| ttl.is_zero() || ttl > ttl_max || ttl.subsec_nanos() > 0) {
            return refuse(format!("ttl is not within 1 and {} seconds", limits::KV_TTL_SECONDS_MAX));
        }
        let value_max = limits::KV_VALUE_BYTES_MAX as u64;
        if self.value_bytes_max.is_some_and(|max| max == 0 || max > value_max) {
            return refuse(format!("max_value_size is not within 1 and {value_max}"));
        }
        if self.bytes_max == Some(0) {
            return refuse("max_bytes is 0".into());
        }
        Ok(())
    }

    /// Bytes that one value may have.
    #[must_use]
    pub fn value_limit(&self) -> u64 {
        self.value_bytes_max.unwrap_or(limits::KV_VALUE_BYTES_MAX as u64)
    }
}

/// A bucket and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketInfo {
    /// What was asked for.
    pub config: BucketConfig,
    /// When it was created.
    pub created_at: Timestamp,
    /// The revision of its last change; 0 when nothing changed yet.
    pub revision: Revision,
    /// Keys that have a value.
    pub values: u64,
    /// Bytes of all values that are kept, older ones included, with their keys.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_within_its_limits_is_legal_and_any_other_is_not() {
        let plain = BucketConfig::new(BucketName::new("b").unwrap());
        assert_eq!(plain.check_limits(), Ok(()));
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let edge = BucketConfig {
            ttl: seconds(limits::KV_TTL_SECONDS_MAX),
            value_bytes_max: Some(limits::KV_VALUE_BYTES_MAX as u64),
            bytes_max: Some(1),
            history: 64,
            ..plain.clone()
        };
        assert_eq!(edge.check_limits(), Ok(()));
        for bad in [
            BucketConfig { history: 0, ..plain.clone() },
            BucketConfig { history: 65, ..plain.clone() },
            BucketConfig { ttl: seconds(0), ..plain.clone() },
            BucketConfig { ttl: seconds(limits::KV_TTL_SECONDS_MAX + 1), ..plain.clone() },
            BucketConfig { value_bytes_max: Some(0), ..plain.clone() },
            BucketConfig { value_bytes_max: Some(limits::KV_VALUE_BYTES_MAX as u64 + 1), ..plain.clone() },
            BucketConfig { bytes_max: Some(0), ..plain.clone() },
            BucketConfig { description: "d".repeat(limits::KV_DESCRIPTION_BYTES_MAX + 1), ..plain },
        ] {
            assert!(matches!(bad.check_limits(), Err(KvError::Invalid { .. })), "{bad:?}");
        }
    }
}
