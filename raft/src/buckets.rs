//! Reads of the key-value buckets of this node, off the runtime.

use std::sync::Arc;

use weir_storage::{group_store::GroupStore, state::KvFeed};
use weir_types::{
    BucketInfo, BucketName, KvEntry, KvError, KvFilter, KvKey, KvKeys, KvRead, KvReadError, KvVersions,
    Revision, Timestamp,
};

use crate::read::off_runtime;

/// Reads the buckets of one group as this node has applied them. Ask
/// [`weir_types::ports::EventReader::ready`] first where that must be fresh.
pub struct BucketReader {
    store: GroupStore,
}

impl BucketReader {
    pub(crate) fn new(store: GroupStore) -> Arc<Self> {
        Arc::new(Self { store })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&GroupStore) -> Result<T, KvReadError> + Send + 'static,
    ) -> Result<T, KvReadError> {
        let answer: Result<T, KvError> = off_runtime(self.store.clone(), |store| match read(store) {
            Ok(found) => Ok(Ok(found)),
            Err(KvReadError::Refused(error)) => Ok(Err(error)),
            Err(KvReadError::Read(error)) => Err(error),
        })
        .await?;
        Ok(answer?)
    }

    /// All buckets, in order of their names.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn list(&self) -> Result<Vec<BucketInfo>, KvReadError> {
        self.blocking(|store| Ok(store.state.kv_buckets()?.into_iter().map(|bucket| bucket.info).collect()))
            .await
    }

    /// A bucket and what is in it.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn info(&self, name: &BucketName) -> Result<BucketInfo, KvReadError> {
        let name = name.clone();
        self.blocking(move |store| store.state.kv_info(&name)).await
    }

    /// What a key holds, or held.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn get(&self, bucket: &BucketName, key: &KvKey, read: KvRead) -> Result<KvEntry, KvReadError> {
        let (bucket, key) = (bucket.clone(), key.clone());
        self.blocking(move |store| store.state.kv_get(&bucket, &key, read)).await
    }

    /// What is kept of a key from a revision on, oldest first.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn history(
        &self,
        bucket: &BucketName,
        key: &KvKey,
        from: Revision,
    ) -> Result<KvVersions, KvReadError> {
        let (bucket, key) = (bucket.clone(), key.clone());
        self.blocking(move |store| store.state.kv_history(&bucket, &key, from)).await
    }

    /// Keys that hold a value and match, in byte order, after `after`.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn keys(
        &self,
        bucket: &BucketName,
        filter: KvFilter,
        after: Option<KvKey>,
        limit: usize,
    ) -> Result<KvKeys, KvReadError> {
        let bucket = bucket.clone();
        self.blocking(move |store| store.state.kv_list(&bucket, &filter, after.as_ref(), limit)).await
    }

    /// Keys of which anything is kept, deletions too, in byte order, after `after`.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn kept(
        &self,
        bucket: &BucketName,
        after: Option<KvKey>,
        limit: usize,
    ) -> Result<Vec<KvKey>, KvReadError> {
        let bucket = bucket.clone();
        self.blocking(move |store| {
            let all = store.state.kv_buckets()?;
            let found = all.into_iter().find(|one| one.info.config.name == bucket);
            let no = found.ok_or(KvError::BucketNotFound)?.no;
            let heads = store.state.kv_heads(no, "", after.as_ref(), limit)?;
            Ok(heads.into_iter().map(|(key, _)| key).collect())
        })
        .await
    }

    /// The newest changes, as this node applies them.
    #[must_use]
    pub fn feed(&self) -> &KvFeed {
        self.store.state.kv_feed()
    }

    /// The time that the buckets have come to: the latest stamp that is applied.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.store.state.kv_feed().time()
    }

    /// Whether something is to be dropped at `now`.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn is_due(&self, now: Timestamp) -> Result<bool, KvReadError> {
        self.blocking(move |store| {
            Ok(!store.state.kv_due(now, 1)?.is_empty() || !store.state.kv_gone()?.is_empty())
        })
        .await
    }
}
