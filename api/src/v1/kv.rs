//! Key-value buckets. The names are the contract's, in snake case.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{
    BucketConfig, BucketInfo, BucketName, Consistency, KvEntry, KvFilter, KvKey, KvKeys, KvOperation, KvRead,
    KvVersions, Revision, Timestamp, limits,
};

use super::read::{Freshness, consistency_of, limit_of};
use crate::{ApiError, format_timestamp, number};

/// POST: make a bucket. 0 says nothing, as absent does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BucketBody {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How long an entry lives, in seconds.
    #[serde(
        alias = "ttlSeconds",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub ttl_seconds: Option<u64>,
    /// Bytes of one value, at most [`limits::KV_VALUE_BYTES_MAX`].
    #[serde(
        alias = "maxValueSize",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_value_size: Option<u64>,
    /// Bytes of all values that are kept, with their keys.
    #[serde(
        alias = "maxBytes",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_bytes: Option<u64>,
    /// Values that are kept of a key: 1 to [`limits::KV_HISTORY_MAX`]; absent is 1.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub history: Option<u64>,
}

impl BucketBody {
    /// The bucket that is asked for.
    ///
    /// # Errors
    /// `invalid_name` or `invalid_request`.
    pub fn into_config(self) -> Result<BucketConfig, ApiError> {
        let some = |number: Option<u64>| number.filter(|number| *number > 0);
        let config = BucketConfig {
            name: BucketName::new(&self.name)?,
            description: self.description.unwrap_or_default(),
            ttl: some(self.ttl_seconds).map(Duration::from_secs),
            value_bytes_max: some(self.max_value_size),
            bytes_max: some(self.max_bytes),
            history: u8::try_from(some(self.history).unwrap_or(1)).unwrap_or(u8::MAX),
        };
        config.check_limits()?;
        Ok(config)
    }
}

/// A bucket and what is in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BucketView {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How long an entry lives, in seconds; for ever without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// Bytes of one value.
    pub max_value_size: u64,
    /// Bytes of all values that are kept, with their keys; unbounded without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Values that are kept of a key.
    pub history: u64,
    /// Keys that hold a value, or held one and are due.
    pub values: u64,
    /// Bytes of all values that are kept, with their keys.
    pub bytes: u64,
    /// The revision of its last change.
    pub revision: u64,
    /// When it was created, RFC 3339.
    pub created_at: String,
}

impl From<&BucketInfo> for BucketView {
    fn from(info: &BucketInfo) -> Self {
        let config = &info.config;
        Self {
            name: config.name.as_str().into(),
            description: Some(config.description.clone()).filter(|text| !text.is_empty()),
            ttl_seconds: config.ttl.map(|ttl| ttl.as_secs()),
            max_value_size: config.value_limit(),
            max_bytes: config.bytes_max,
            history: config.history.into(),
            values: info.values,
            bytes: info.bytes,
            revision: info.revision.0,
            created_at: format_timestamp(info.created_at),
        }
    }
}

/// All buckets, in order of their names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BucketList {
    /// The buckets.
    pub buckets: Vec<BucketView>,
    /// Their number.
    pub count: usize,
}

/// GET of a key, of what it held, or of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KvReadQuery {
    /// The revision that is wanted; absent is the newest.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Whether all that is kept of the key is wanted, oldest first, and not one entry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub history: bool,
    /// The revision with which the history begins.
    #[serde(
        alias = "fromRevision",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub from_revision: Option<u64>,
    /// Absent: linearizable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Freshness>,
}

impl KvReadQuery {
    /// The entry that is wanted.
    #[must_use]
    pub fn to_read(&self) -> KvRead {
        self.revision.map_or(KvRead::Latest, |revision| KvRead::At(Revision(revision)))
    }

    /// With what a history begins.
    ///
    /// # Errors
    /// `invalid_request` when one entry is asked for too.
    pub fn to_history(&self) -> Result<Revision, ApiError> {
        match self.revision {
            Some(_) => Err(ApiError::invalid("a revision and a history cannot be asked for together")),
            None => Ok(Revision(self.from_revision.unwrap_or(0))),
        }
    }

    /// How fresh the answer must be.
    ///
    /// # Errors
    /// None today.
    pub fn to_consistency(&self) -> Result<Consistency, ApiError> {
        consistency_of(self.consistency, None)
    }
}

/// PUT of a value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KvPutQuery {
    /// How long this entry lives, in milliseconds, if less than its bucket's entries do.
    #[serde(
        alias = "ttlMs",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub ttl_ms: Option<u64>,
}

/// DELETE of a key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KvDeleteQuery {
    /// Whether its history goes too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub purge: bool,
}

/// The answer to a PUT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KvPutResult {
    /// The revision of the value.
    pub revision: u64,
    /// The time of the change, RFC 3339.
    pub created_at: String,
    /// When it is gone by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

impl KvPutResult {
    /// The answer for a value that was put.
    #[must_use]
    pub fn new(revision: Revision, at: Timestamp, expires_at: Option<Timestamp>) -> Self {
        Self {
            revision: revision.0,
            created_at: format_timestamp(at),
            expires_at: expires_at.map(format_timestamp),
        }
    }
}

/// What a key holds, or held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KvEntryView {
    /// The key.
    pub key: String,
    /// The value in base64; empty for a deletion.
    pub value: String,
    /// The change that made it so.
    pub revision: u64,
    /// When, RFC 3339.
    pub created_at: String,
    /// When it is gone by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// `put` or `delete`.
    pub operation: String,
}

impl From<&KvEntry> for KvEntryView {
    fn from(entry: &KvEntry) -> Self {
        let operation = match entry.operation {
            KvOperation::Put => "put",
            KvOperation::Delete => "delete",
        };
        Self {
            key: entry.key.as_str().into(),
            value: BASE64_STANDARD.encode(&entry.value),
            revision: entry.revision.0,
            created_at: format_timestamp(entry.at),
            expires_at: entry.expires_at.map(format_timestamp),
            operation: operation.into(),
        }
    }
}

impl KvEntryView {
    /// The value's bytes.
    ///
    /// # Errors
    /// `invalid_request` when it is no base64.
    pub fn bytes(&self) -> Result<Vec<u8>, ApiError> {
        BASE64_STANDARD.decode(&self.value).map_err(|error| ApiError::invalid(format!("value: {error}")))
    }
}

/// What a key held, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KvHistory {
    /// The key.
    pub key: String,
    /// Values and deletions.
    pub entries: Vec<KvEntryView>,
    /// The `from_revision` of the next page, if there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

impl KvHistory {
    /// A page of a key's history.
    #[must_use]
    pub fn new(key: &KvKey, versions: &KvVersions) -> Self {
        Self {
            key: key.as_str().into(),
            entries: versions.entries.iter().map(KvEntryView::from).collect(),
            next: versions.next.map(|revision| revision.0),
        }
    }
}

/// GET of a bucket's keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KvKeysQuery {
    /// A NATS wildcard; absent or empty is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The key after which the page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Keys in the page, 1 to [`limits::KV_LIST_MAX`].
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Absent: linearizable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Freshness>,
}

impl KvKeysQuery {
    /// Which keys, after which, and how many.
    ///
    /// # Errors
    /// `invalid_name`, `invalid_request` or `too_large`.
    pub fn to_page(&self) -> Result<(KvFilter, Option<KvKey>, usize), ApiError> {
        let filter = match self.filter.as_deref() {
            None | Some("") => KvFilter::all(),
            Some(text) => KvFilter::new(text)?,
        };
        let after = self.after.as_deref().map(KvKey::new).transpose()?;
        Ok((filter, after, limit_of(self.limit, limits::KV_LIST_MAX, limits::KV_LIST_MAX)?))
    }

    /// How fresh the answer must be.
    ///
    /// # Errors
    /// None today.
    pub fn to_consistency(&self) -> Result<Consistency, ApiError> {
        consistency_of(self.consistency, None)
    }
}

/// A watch of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KvWatchQuery {
    /// A key, or a NATS wildcard over keys; all of them without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// A revision: what keys hold by changes after it comes first, 0 being everything. Absent: only what comes.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

impl KvWatchQuery {
    /// Which keys.
    ///
    /// # Errors
    /// `invalid_name`.
    pub fn to_filter(&self) -> Result<KvFilter, ApiError> {
        match self.key.as_deref() {
            None | Some("") => Ok(KvFilter::all()),
            Some(text) => Ok(KvFilter::new(text)?),
        }
    }
}

/// A change of a key, as who watches is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KvUpdate {
    /// Always `kv_update`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The bucket.
    pub bucket: String,
    /// What the key holds, and by which change; `delete` also where it was purged or is due.
    #[serde(flatten)]
    pub entry: KvEntryView,
}

impl KvUpdate {
    /// The change that made an entry.
    #[must_use]
    pub fn new(bucket: &BucketName, entry: &KvEntry) -> Self {
        Self { kind: "kv_update".into(), bucket: bucket.as_str().into(), entry: entry.into() }
    }
}

/// Keys of a bucket that hold a value, in byte order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KvKeysPage {
    /// The keys.
    pub keys: Vec<String>,
    /// Their number in this page.
    pub count: usize,
    /// The `after` of the next page, if there may be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl From<KvKeys> for KvKeysPage {
    fn from(page: KvKeys) -> Self {
        let keys: Vec<String> = page.keys.iter().map(|key| key.as_str().to_owned()).collect();
        Self { count: keys.len(), keys, next: page.next.map(|key| key.as_str().to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ErrorCode;

    #[test]
    fn a_bucket_is_asked_for_in_either_spelling_and_zero_says_nothing() {
        for body in [
            json!({"name": "b", "ttl_seconds": 604_800, "max_value_size": 10, "max_bytes": "20", "history": 3}),
            json!({"name": "b", "ttlSeconds": "604800", "maxValueSize": 10, "maxBytes": 20, "history": 3}),
        ] {
            let config = serde_json::from_value::<BucketBody>(body).unwrap().into_config().unwrap();
            assert_eq!(config.ttl, Some(Duration::from_secs(604_800)));
            assert_eq!((config.value_bytes_max, config.bytes_max, config.history), (Some(10), Some(20), 3));
        }
        let plain = json!({"name": "b", "ttl_seconds": 0, "history": 0});
        let config = serde_json::from_value::<BucketBody>(plain).unwrap().into_config().unwrap();
        assert_eq!(config, BucketConfig::new(BucketName::new("b").unwrap()));
        for (body, code) in [
            (json!({"name": "a.b"}), ErrorCode::InvalidName),
            (json!({"name": "b", "history": 65}), ErrorCode::InvalidRequest),
            (json!({"name": "b", "history": 300}), ErrorCode::InvalidRequest),
        ] {
            let refused = serde_json::from_value::<BucketBody>(body).unwrap().into_config().unwrap_err();
            assert_eq!(refused.code, code);
        }
    }

    #[test]
    fn an_entry_is_told_as_the_contract_says() {
        let entry = KvEntry {
            key: KvKey::new("user:1").unwrap(),
            revision: Revision(7),
            at: Timestamp(0),
            expires_at: None,
            operation: KvOperation::Put,
            value: bytes::Bytes::from_static(b"\x00hi"),
        };
        let view = KvEntryView::from(&entry);
        assert_eq!(
            serde_json::to_value(&view).unwrap(),
            json!({
                "key": "user:1", "value": "AGhp", "revision": 7,
                "created_at": "1970-01-01T00:00:00.000000Z", "operation": "put",
            })
        );
        assert_eq!(view.bytes().unwrap(), b"\x00hi");
    }
}
