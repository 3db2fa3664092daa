//! A digest of what an entry's key-value commands led to, for the index's running one.

use weir_types::{KvError, KvOutcome};
use xxhash_rust::xxh3::xxh3_64;

/// The facts of one entry's outcomes, in order.
#[derive(Debug, Default)]
pub(super) struct KvFacts(Vec<u8>);

impl KvFacts {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn digest(&self) -> u64 {
        xxh3_64(&self.0)
    }

    pub(super) fn add(&mut self, outcome: &KvOutcome) {
        match outcome {
            KvOutcome::BucketCreated(info) => self.numbers(&[1, info.created_at.0.cast_unsigned()]),
            KvOutcome::BucketDeleted => self.numbers(&[2]),
            KvOutcome::Put { revision, at, expires_at } => {
                let expires_at = expires_at.map_or(0, |at| at.0.cast_unsigned());
                self.numbers(&[3, revision.0, at.0.cast_unsigned(), expires_at]);
            }
            KvOutcome::Deleted { revision } => self.numbers(&[4, revision.0]),
            KvOutcome::Swept { keys, more } => self.numbers(&[5, u64::from(*keys), u64::from(*more)]),
            KvOutcome::Refused(error) => self.refused(error),
            KvOutcome::AppliedBefore => self.numbers(&[7]),
            KvOutcome::Changed { first, last, at } => {
                self.numbers(&[8, first.0, last.0, at.0.cast_unsigned()]);
            }
        }
    }

    /// Not an error's text: words may change between versions.
    fn refused(&mut self, error: &KvError) {
        self.numbers(&[6]);
        match error {
            KvError::Invalid { .. } => self.numbers(&[1]),
            KvError::BucketExists => self.numbers(&[2]),
            KvError::BucketNotFound => self.numbers(&[3]),
            KvError::TooManyBuckets { max } => self.numbers(&[4, *max as u64]),
            KvError::KeyNotFound => self.numbers(&[5]),
            KvError::RevisionConflict { actual } => self.numbers(&[6, actual.0]),
            KvError::ValueTooLarge { actual, max } => self.numbers(&[7, *actual, *max]),
            KvError::BucketFull { actual, max } => self.numbers(&[8, *actual, *max]),
            KvError::CheckFailed { number, actual } => self.numbers(&[9, u64::from(*number), actual.0]),
        }
    }

    fn numbers(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }
}
