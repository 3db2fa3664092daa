//! One atomic write of the buckets.

use std::sync::PoisonError;

use weir_types::{BucketName, GroupId, KvKey, LogIndex, Revision, Timestamp};

use super::{
    super::{State, StateError},
    Bucket, BucketNo, KvHead, KvMark,
};
use crate::{
    codec::{StoredBucket, StoredKvHead, StoredKvMark, encode, encode_bytes},
    schema::StateKey,
};

/// Puts and removals that are written whole or not at all; the last word on a key counts.
pub struct KvBatch {
    group: GroupId,
    batch: sled::Batch,
}

impl KvBatch {
    /// A bucket, new or changed.
    pub fn put_bucket(&mut self, bucket: &Bucket) {
        let key = StateKey::Bucket(bucket.info.config.name.as_str());
        self.put(key, encode(&StoredBucket::from(bucket)));
    }

    /// A bucket's name is free again.
    pub fn remove_bucket(&mut self, name: &BucketName) {
        self.remove(StateKey::Bucket(name.as_str()));
    }

    /// A bucket is gone whose keys are still to be dropped.
    pub fn put_gone(&mut self, bucket: BucketNo) {
        self.put(StateKey::GoneBucket(bucket), encode(&()));
    }

    /// Nothing is left of a bucket that is gone.
    pub fn remove_gone(&mut self, bucket: BucketNo) {
        self.remove(StateKey::GoneBucket(bucket));
    }

    /// What is kept of a key.
    pub fn put_head(&mut self, bucket: BucketNo, key: &KvKey, head: &KvHead) {
        self.put(StateKey::KvHead(bucket, key.as_str()), encode(&StoredKvHead::from(head)));
    }

    /// Nothing is kept of a key.
    pub fn remove_head(&mut self, bucket: BucketNo, key: &KvKey) {
        self.remove(StateKey::KvHead(bucket, key.as_str()));
    }

    /// A value.
    pub fn put_value(&mut self, bucket: BucketNo, key: &KvKey, revision: Revision, value: &[u8]) {
        self.put(StateKey::KvValue(bucket, key.as_str(), revision), encode_bytes(value));
    }

    /// A value is not kept any more.
    pub fn remove_value(&mut self, bucket: BucketNo, key: &KvKey, revision: Revision) {
        self.remove(StateKey::KvValue(bucket, key.as_str(), revision));
    }

    /// When a key is gone.
    pub fn put_due(&mut self, at: Timestamp, bucket: BucketNo, key: &KvKey) {
        self.put(StateKey::KvDue(at, bucket, key.as_str()), encode(&()));
    }

    /// A key is not gone at this time any more.
    pub fn remove_due(&mut self, at: Timestamp, bucket: BucketNo, key: &KvKey) {
        self.remove(StateKey::KvDue(at, bucket, key.as_str()));
    }

    /// What an entry's commands led to.
    pub fn put_digest(&mut self, index: LogIndex, digest: u64) {
        self.put(StateKey::KvDigest(index), encode(&digest));
    }

    /// The index has an entry on disk.
    pub fn remove_digest(&mut self, index: LogIndex) {
        self.remove(StateKey::KvDigest(index));
    }

    fn put(&mut self, key: StateKey<'_>, value: Vec<u8>) {
        self.batch.insert(key.encode(self.group), value);
    }

    fn remove(&mut self, key: StateKey<'_>) {
        self.batch.remove(key.encode(self.group));
    }
}

impl State {
    /// Begins a batch of the buckets.
    #[must_use]
    pub fn kv_batch(&self) -> KvBatch {
        KvBatch { group: self.group, batch: sled::Batch::default() }
    }

    /// Writes a batch with the mark that holds after it. Not flushed. Reads of
    /// several keys see all of it or nothing.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn commit_kv(&self, mut batch: KvBatch, mark: &KvMark) -> Result<(), StateError> {
        batch.put(StateKey::KvMark, encode(&StoredKvMark::from(mark)));
        let _alone = self.kv_gate.write().unwrap_or_else(PoisonError::into_inner);
        self.tree.apply_batch(batch.batch).map_err(|error| self.failed("key-value", error))
    }
}
