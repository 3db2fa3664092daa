use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde::de::IgnoredAny;
use weir_api::{
    ErrorCode,
    v1::{
        BucketBody, BucketList, BucketView, KvDeleteQuery, KvEntryView, KvHistory, KvKeysPage, KvKeysQuery,
        KvPutQuery, KvPutResult, KvReadQuery, paths,
    },
};

use crate::{Client, ClientError, client::Call, retry::Repeat};

/// What a key must hold for a change of it to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KvExpect {
    /// Anything.
    #[default]
    Any,
    /// No value.
    Absent,
    /// A value, of whatever revision.
    Exists,
    /// The value of this revision.
    Revision(u64),
}

impl KvExpect {
    fn header(self) -> Option<(&'static str, String)> {
        match self {
            Self::Any => None,
            Self::Absent => Some(("if-none-match", "*".into())),
            Self::Exists => Some(("if-match", "*".into())),
            Self::Revision(revision) => Some(("if-match", revision.to_string())),
        }
    }
}

/// Changes are repeated only where nothing can have happened: a change whose
/// outcome is not known may have been made, and what is there now tells.
impl Client {
    /// Makes a bucket.
    ///
    /// # Errors
    /// [`ClientError`]; `bucket_exists`.
    pub async fn create_bucket(&self, bucket: &BucketBody) -> Result<BucketView, ClientError> {
        let call = Call::new(Method::POST, paths::KV_BUCKETS, Repeat::OnlyIfNothingHappened).body(bucket);
        self.call(call).await
    }

    /// All buckets, in order of their names.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn buckets(&self) -> Result<BucketList, ClientError> {
        self.call(Call::new(Method::GET, paths::KV_BUCKETS, Repeat::Harmless)).await
    }

    /// A bucket and what is in it.
    ///
    /// # Errors
    /// [`ClientError`]; `bucket_not_found`.
    pub async fn bucket(&self, name: &str) -> Result<BucketView, ClientError> {
        let path = paths::fill(paths::KV_BUCKET, name);
        self.call(Call::new(Method::GET, &path, Repeat::Harmless)).await
    }

    /// Removes a bucket with all that is in it.
    ///
    /// # Errors
    /// [`ClientError`]; `bucket_not_found`.
    pub async fn delete_bucket(&self, name: &str) -> Result<(), ClientError> {
        let path = paths::fill(paths::KV_BUCKET, name);
        let call = Call::new(Method::DELETE, &path, Repeat::OnlyIfNothingHappened);
        self.call::<_, _, IgnoredAny>(call).await.map(|_| ())
    }

    /// What a key holds, or held at a revision; `None` when it holds nothing.
    ///
    /// # Errors
    /// [`ClientError`]; `bucket_not_found`.
    pub async fn kv_get(
        &self,
        bucket: &str,
        key: &str,
        query: &KvReadQuery,
    ) -> Result<Option<KvEntryView>, ClientError> {
        let path = paths::kv_key(bucket, key);
        let call = Call::new(Method::GET, &path, Repeat::Harmless).query(query);
        match self.call(call).await {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.code() == Some(ErrorCode::KeyNotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is kept of a key, oldest first.
    ///
    /// # Errors
    /// [`ClientError`]; `bucket_not_found`, `key_not_found`.
    pub async fn kv_history(
        &self,
        bucket: &str,
        key: &str,
        from_revision: Option<u64>,
    ) -> Result<KvHistory, ClientError> {
        let path = paths::kv_key(bucket, key);
        let query = KvReadQuery { history: true, from_revision, ..KvReadQuery::default() };
        self.call(Call::new(Method::GET, &path, Repeat::Harmless).query(&query)).await
    }

    /// Puts a value, for `ttl` if it is given.
    ///
    /// # Errors
    /// [`ClientError`]; `revision_conflict` when the key does not hold what is expected.
    pub async fn kv_put(
        &self,
        (bucket, key): (&str, &str),
        value: impl Into<Bytes>,
        expect: KvExpect,
        ttl: Option<Duration>,
    ) -> Result<KvPutResult, ClientError> {
        let path = paths::kv_key(bucket, key);
        let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        let query = KvPutQuery { ttl_ms };
        let call = Call::new(Method::PUT, &path, Repeat::OnlyIfNothingHappened);
        self.call(call.query(&query).bytes(value.into()).header(expect.header())).await
    }

    /// Deletes a key that holds a value; purged, its history goes too.
    ///
    /// # Errors
    /// [`ClientError`]; `key_not_found`, and `revision_conflict` when the key does not hold what is expected.
    pub async fn kv_delete(
        &self,
        (bucket, key): (&str, &str),
        expect: KvExpect,
        purge: bool,
    ) -> Result<(), ClientError> {
        let path = paths::kv_key(bucket, key);
        let query = KvDeleteQuery { purge };
        let call = Call::new(Method::DELETE, &path, Repeat::OnlyIfNothingHappened);
        self.call::<_, _, IgnoredAny>(call.query(&query).header(expect.header())).await.map(|_| ())
    }

    /// Keys that hold a value, in byte order.
    ///
    /// # Errors
    /// [`ClientError`]; `bucket_not_found`.
    pub async fn kv_keys(&self, bucket: &str, query: &KvKeysQuery) -> Result<KvKeysPage, ClientError> {
        let path = paths::fill(paths::KV_KEYS, bucket);
        self.call(Call::new(Method::GET, &path, Repeat::Harmless).query(query)).await
    }
}
