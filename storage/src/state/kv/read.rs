//! Reading buckets and keys.

use std::{
    ops::Bound,
    sync::{PoisonError, RwLockReadGuard},
};

use bytes::Bytes;
use weir_types::{
    BucketInfo, BucketName, KvEntry, KvError, KvFilter, KvKey, KvKeys, KvOperation, KvRead, KvReadError,
    KvVersions, LogIndex, ReadError, Revision, Timestamp, limits,
};

use super::{
    super::{State, StateError},
    Bucket, BucketNo, KvHead, KvVersion,
};
use crate::{
    codec::{StoredBucket, StoredKvHead, decode, decode_bytes},
    schema::StateKey,
};

/// Keys that a listing looks at before it lets apply in.
const SCAN_CHUNK: usize = 500;
const WHAT: &str = "key-value";

/// A key that is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KvDue {
    /// When.
    pub at: Timestamp,
    /// Its bucket, which may be gone.
    pub bucket: BucketNo,
    /// The key.
    pub key: KvKey,
}

impl State {
    /// A bucket and what is in it.
    ///
    /// # Errors
    /// [`KvError::BucketNotFound`], or the store's.
    pub fn kv_info(&self, name: &BucketName) -> Result<BucketInfo, KvReadError> {
        Ok(self.kv_bucket(name)?.info)
    }

    /// What a key holds, or held at a revision.
    ///
    /// # Errors
    /// [`KvError::BucketNotFound`], [`KvError::KeyNotFound`], or the store's.
    pub fn kv_get(&self, name: &BucketName, key: &KvKey, read: KvRead) -> Result<KvEntry, KvReadError> {
        let _still = self.kv_still();
        let (bucket, head) = self.kv_kept(name, key)?;
        let newest = *head.newest();
        let found = match read {
            KvRead::Latest => Some(newest).filter(|version| version.operation == KvOperation::Put),
            KvRead::At(revision) => {
                head.versions.iter().find(|version| version.revision == revision).copied()
            }
        };
        let found = found.ok_or(KvError::KeyNotFound)?;
        let expires_at = head.expires_at.filter(|_| found.revision == newest.revision);
        Ok(self.kv_entry(bucket, key, found, expires_at)?)
    }

    /// What is kept of a key from revision `from` on, oldest first: about
    /// [`limits::READ_BYTES_MAX`] bytes, and one entry at least.
    ///
    /// # Errors
    /// As [`State::kv_get`].
    pub fn kv_history(
        &self,
        name: &BucketName,
        key: &KvKey,
        from: Revision,
    ) -> Result<KvVersions, KvReadError> {
        let _still = self.kv_still();
        let (bucket, head) = self.kv_kept(name, key)?;
        let newest = head.newest().revision;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for version in head.versions.iter().filter(|version| version.revision >= from) {
            bytes += version.bytes;
            if !entries.is_empty() && bytes > limits::READ_BYTES_MAX as u64 {
                return Ok(KvVersions { entries, next: Some(version.revision) });
            }
            let expires_at = head.expires_at.filter(|_| version.revision == newest);
            entries.push(self.kv_entry(bucket, key, *version, expires_at)?);
        }
        if entries.is_empty() {
            Err(KvError::KeyNotFound.into())
        } else {
            Ok(KvVersions { entries, next: None })
        }
    }

    /// Keys that hold a value and match, in byte order, after `after`: at most
    /// `limit`, of at most [`limits::KV_SCAN_MAX`] that are looked at. A key
    /// that holds a value all the while is in a listing; of what changes
    /// meanwhile it may show either.
    ///
    /// # Errors
    /// [`KvError::BucketNotFound`], or the store's.
    pub fn kv_list(
        &self,
        name: &BucketName,
        filter: &KvFilter,
        after: Option<&KvKey>,
        limit: usize,
    ) -> Result<KvKeys, KvReadError> {
        let bucket = self.kv_bucket(name)?.no;
        let mut page = KvKeys { keys: Vec::new(), next: None };
        let mut after = after.cloned();
        for _ in 0..limits::KV_SCAN_MAX / SCAN_CHUNK {
            let (heads, now) = {
                let _still = self.kv_still();
                let heads = self.kv_heads(bucket, filter.prefix(), after.as_ref(), SCAN_CHUNK)?;
                (heads, self.kv_mark()?.time)
            };
            let last = heads.len() < SCAN_CHUNK;
            for (key, head) in heads {
                if page.keys.len() == limit {
                    page.next = page.keys.last().cloned();
                    return Ok(page);
                }
                if head.is_live(now) && filter.matches(&key) {
                    page.keys.push(key.clone());
                }
                after = Some(key);
            }
            if last {
                return Ok(page);
            }
        }
        page.next = after;
        Ok(page)
    }

    /// All buckets, in order of their names.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn kv_buckets(&self) -> Result<Vec<Bucket>, StateError> {
        let entries = self.tree.scan_prefix(self.family(b'b')).values();
        let read = |value: sled::Result<sled::IVec>| {
            self.read_bucket(&value.map_err(|error| self.failed(WHAT, error))?)
        };
        entries.map(read).collect()
    }

    /// The buckets that are gone and left keys, in order of their numbers.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn kv_gone(&self) -> Result<Vec<BucketNo>, StateError> {
        let read = |key: sled::Result<sled::IVec>| match StateKey::decode(
            &key.map_err(|error| self.failed(WHAT, error))?,
        ) {
            Some((_, StateKey::GoneBucket(bucket))) => Ok(bucket),
            _ => Err(self.damaged(WHAT, "a key is malformed")),
        };
        self.tree.scan_prefix(self.family(b'd')).keys().map(read).collect()
    }

    /// What is kept of a key, due or not.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn kv_head(&self, bucket: BucketNo, key: &KvKey) -> Result<Option<KvHead>, StateError> {
        let found = self.get(StateKey::KvHead(bucket, key.as_str()))?;
        found.map(|bytes| self.read_head(&bytes)).transpose()
    }

    /// Keys of a bucket that begin with `prefix`, after `after`, in byte order, whatever is kept of them.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn kv_heads(
        &self,
        bucket: BucketNo,
        prefix: &str,
        after: Option<&KvKey>,
        limit: usize,
    ) -> Result<Vec<(KvKey, KvHead)>, StateError> {
        let prefix = StateKey::KvHead(bucket, prefix).encode(self.group);
        let after = after.map(|after| StateKey::KvHead(bucket, after.as_str()).encode(self.group));
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix.clone()),
        };
        let mut heads = Vec::new();
        for entry in self.tree.range::<Vec<u8>, _>((start, Bound::Unbounded)).take(limit) {
            let (key, value) = entry.map_err(|error| self.failed(WHAT, error))?;
            if !key.starts_with(&prefix) {
                break;
            }
            let Some((_, StateKey::KvHead(_, key))) = StateKey::decode(&key) else {
                return Err(self.damaged(WHAT, "a key is malformed"));
            };
            let key = KvKey::new(key).map_err(|e| self.damaged(WHAT, e))?;
            heads.push((key, self.read_head(&value)?));
        }
        Ok(heads)
    }

    /// Keys that are due at `until`, the longest due first.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn kv_due(&self, until: Timestamp, limit: usize) -> Result<Vec<KvDue>, StateError> {
        let mut due = Vec::new();
        for key in self.tree.scan_prefix(self.family(b'x')).keys().take(limit) {
            let key = key.map_err(|error| self.failed(WHAT, error))?;
            let Some((_, StateKey::KvDue(at, bucket, key))) = StateKey::decode(&key) else {
                return Err(self.damaged(WHAT, "a key is malformed"));
            };
            if at > until {
                break;
            }
            due.push(KvDue { at, bucket, key: KvKey::new(key).map_err(|e| self.damaged(WHAT, e))? });
        }
        Ok(due)
    }

    /// What the key-value commands of an entry led to.
    ///
    /// # Errors
    /// [`StateError::Damaged`] when it is not kept, too: only ask for entries
    /// that the state reflects and the index has not on disk.
    pub fn kv_digest(&self, index: LogIndex) -> Result<u64, StateError> {
        let Some(bytes) = self.get(StateKey::KvDigest(index))? else {
            return Err(self.damaged(WHAT, format!("no digest is kept of log index {index}")));
        };
        decode(WHAT, &bytes).map_err(|e| self.damaged(WHAT, e))
    }

    /// The entries at or below `until` whose digests are kept, oldest first.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn kv_digests(&self, until: LogIndex, limit: usize) -> Result<Vec<LogIndex>, StateError> {
        let mut found = Vec::new();
        for key in self.tree.scan_prefix(self.family(b'y')).keys().take(limit) {
            match StateKey::decode(&key.map_err(|error| self.failed(WHAT, error))?) {
                Some((_, StateKey::KvDigest(index))) if index <= until => found.push(index),
                Some((_, StateKey::KvDigest(_))) => break,
                _ => return Err(self.damaged(WHAT, "a key is malformed")),
            }
        }
        Ok(found)
    }

    /// Keeps apply's batch out, so that several keys are read of one moment.
    fn kv_still(&self) -> RwLockReadGuard<'_, ()> {
        self.kv_gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn kv_bucket(&self, name: &BucketName) -> Result<Bucket, KvReadError> {
        let found = self.get(StateKey::Bucket(name.as_str())).map_err(ReadError::from)?;
        let bytes = found.ok_or(KvError::BucketNotFound)?;
        Ok(self.read_bucket(&bytes).map_err(ReadError::from)?)
    }

    /// A bucket's number and what is kept of a key that is not due.
    fn kv_kept(&self, name: &BucketName, key: &KvKey) -> Result<(BucketNo, KvHead), KvReadError> {
        let bucket = self.kv_bucket(name)?.no;
        let now = self.kv_mark()?.time;
        let head = self.kv_head(bucket, key)?.filter(|head| !head.is_due(now));
        Ok((bucket, head.ok_or(KvError::KeyNotFound)?))
    }

    fn kv_entry(
        &self,
        bucket: BucketNo,
        key: &KvKey,
        version: KvVersion,
        expires_at: Option<Timestamp>,
    ) -> Result<KvEntry, StateError> {
        let KvVersion { revision, at, operation, .. } = version;
        let value = match operation {
            KvOperation::Delete => Bytes::new(),
            KvOperation::Put => {
                let bytes = self.get(StateKey::KvValue(bucket, key.as_str(), revision))?;
                let bytes = bytes.ok_or_else(|| self.damaged(WHAT, "a value is missing"))?;
                decode_bytes(WHAT, &bytes).map_err(|e| self.damaged(WHAT, e))?
            }
        };
        Ok(KvEntry { key: key.clone(), revision, at, expires_at, operation, value })
    }

    fn read_bucket(&self, bytes: &[u8]) -> Result<Bucket, StateError> {
        let stored: StoredBucket<'_> = decode("bucket", bytes).map_err(|e| self.damaged(WHAT, e))?;
        stored.try_into().map_err(|e| self.damaged(WHAT, e))
    }

    fn read_head(&self, bytes: &[u8]) -> Result<KvHead, StateError> {
        let stored: StoredKvHead = decode("key", bytes).map_err(|e| self.damaged(WHAT, e))?;
        stored.try_into().map_err(|e| self.damaged(WHAT, e))
    }
}

impl From<StateError> for KvReadError {
    fn from(error: StateError) -> Self {
        Self::Read(error.into())
    }
}
