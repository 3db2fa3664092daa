//! What a run of commands changes in the buckets, before it is written.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use weir_storage::state::{BucketNo, KvBatch, KvDue, KvHead, State, StateError};
use weir_types::{KvKey, KvOperation, Revision, Timestamp};
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

/// What was written before, as apply looks it up.
pub trait KvStored {
    /// What is kept of a key, due or not.
    ///
    /// # Errors
    /// The store's.
    fn head(&self, bucket: BucketNo, key: &KvKey) -> Result<Option<KvHead>, StateError>;

    /// Keys that are due at `until`, the longest due first.
    ///
    /// # Errors
    /// The store's.
    fn due(&self, until: Timestamp, limit: usize) -> Result<Vec<KvDue>, StateError>;

    /// Keys of a bucket, in byte order.
    ///
    /// # Errors
    /// The store's.
    fn keys(&self, bucket: BucketNo, limit: usize) -> Result<Vec<(KvKey, KvHead)>, StateError>;
}

impl KvStored for State {
    fn head(&self, bucket: BucketNo, key: &KvKey) -> Result<Option<KvHead>, StateError> {
        self.kv_head(bucket, key)
    }

    fn due(&self, until: Timestamp, limit: usize) -> Result<Vec<KvDue>, StateError> {
        self.kv_due(until, limit)
    }

    fn keys(&self, bucket: BucketNo, limit: usize) -> Result<Vec<(KvKey, KvHead)>, StateError> {
        self.kv_heads(bucket, "", None, limit)
    }
}

type KeyPlace = (BucketNo, KvKey);

/// The changes. Later commands see what earlier ones did.
#[derive(Debug, Default)]
pub(super) struct KvChanges {
    /// As they are now, in order of buckets and keys; `None` is dropped.
    heads: BTreeMap<KeyPlace, Option<KvHead>>,
    values: HashMap<(BucketNo, KvKey, Revision), Option<Bytes>, Xxh3DefaultBuilder>,
    /// Whether a key is due at a time, where that changed.
    due: BTreeMap<KvDue, bool>,
}

impl KvChanges {
    /// What is kept of a key now.
    pub(super) fn head(
        &self,
        stored: &impl KvStored,
        bucket: BucketNo,
        key: &KvKey,
    ) -> Result<Option<KvHead>, StateError> {
        match self.heads.get(&(bucket, key.clone())) {
            Some(head) => Ok(head.clone()),
            None => stored.head(bucket, key),
        }
    }

    /// Keys that are due now, at most `limit`, the longest due first.
    pub(super) fn due(
        &self,
        stored: &impl KvStored,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<KvDue>, StateError> {
        // As many more as the changes may have taken back.
        let mut due = stored.due(until, limit + self.due.len())?;
        due.retain(|due| self.due.get(due) != Some(&false));
        due.extend(self.due.iter().filter(|(due, is)| **is && due.at <= until).map(|(due, _)| due.clone()));
        due.sort_unstable();
        due.dedup();
        due.truncate(limit);
        Ok(due)
    }

    /// Keys of a bucket now, at most `limit`, in byte order.
    pub(super) fn keys(
        &self,
        stored: &impl KvStored,
        bucket: BucketNo,
        limit: usize,
    ) -> Result<Vec<(KvKey, KvHead)>, StateError> {
        let mut keys: BTreeMap<_, _> = stored.keys(bucket, limit + self.heads.len())?.into_iter().collect();
        for ((_, key), head) in self.heads.iter().filter(|((no, _), _)| *no == bucket) {
            match head {
                Some(head) => drop(keys.insert(key.clone(), head.clone())),
                None => drop(keys.remove(key)),
            }
        }
        Ok(keys.into_iter().take(limit).collect())
    }

    /// Puts what is kept of a key in place of what was, with the value of its newest version.
    pub(super) fn replace(
        &mut self,
        (bucket, key): (BucketNo, &KvKey),
        before: Option<&KvHead>,
        after: Option<KvHead>,
        value: Option<Bytes>,
    ) {
        let due = |at| KvDue { at, bucket, key: key.clone() };
        if let Some(at) = before.and_then(|head| head.expires_at) {
            self.due.insert(due(at), false);
        }
        let kept = after.as_ref().map_or(&[][..], |head| &head.versions);
        for version in before.map_or(&[][..], |head| &head.versions) {
            let dropped = !kept.iter().any(|kept| kept.revision == version.revision);
            if dropped && version.operation == KvOperation::Put {
                self.values.insert((bucket, key.clone(), version.revision), None);
            }
        }
        if let Some(head) = &after {
            if let Some(at) = head.expires_at {
                self.due.insert(due(at), true);
            }
            if let Some(value) = value {
                self.values.insert((bucket, key.clone(), head.newest().revision), Some(value));
            }
        }
        self.heads.insert((bucket, key.clone()), after);
    }

    /// Writes them.
    pub(super) fn write(&self, batch: &mut KvBatch) {
        for ((bucket, key), head) in &self.heads {
            match head {
                Some(head) => batch.put_head(*bucket, key, head),
                None => batch.remove_head(*bucket, key),
            }
        }
        for ((bucket, key, revision), value) in &self.values {
            match value {
                Some(value) => batch.put_value(*bucket, key, *revision, value),
                None => batch.remove_value(*bucket, key, *revision),
            }
        }
        for (KvDue { at, bucket, key }, is) in &self.due {
            if *is {
                batch.put_due(*at, *bucket, key);
            } else {
                batch.remove_due(*at, *bucket, key);
            }
        }
    }
}
