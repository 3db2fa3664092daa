//! Reads and changes of the bucket in which everything of worker-run projections lies.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use weir_api::{ApiError, ErrorCode};
use weir_raft::BucketReader;
use weir_types::{
    BucketConfig, KvCommand, KvError, KvFilter, KvGuard, KvKey, KvOutcome, KvRead, KvReadError, KvWrite,
    Revision, Timestamp, limits,
};

use super::{keys, stored::has_known_form};
use crate::buckets::Buckets;

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// It is made.
    Made {
        /// The revision of the first value that was put.
        first: Revision,
        /// When.
        at: Timestamp,
    },
    /// This check does not hold, and nothing changed.
    CheckFailed(u32),
}

/// The bucket.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) reader: Arc<BucketReader>,
    pub(super) buckets: Arc<Buckets>,
}

/// A value that is there.
pub(super) struct Found<T> {
    pub(super) revision: Revision,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) value: T,
}

impl Store {
    pub(super) async fn read<T: DeserializeOwned>(&self, key: &KvKey) -> Result<Option<Found<T>>, ApiError> {
        let Some(found) = self.read_bytes(key).await? else { return Ok(None) };
        if !has_known_form(&found.value) {
            return Err(internal(&format!("value at {key} is of a form that this node does not know")));
        }
        let value = serde_json::from_slice(&found.value).map_err(|error| internal(&error))?;
        Ok(Some(Found { revision: found.revision, expires_at: found.expires_at, value }))
    }

    pub(super) async fn read_bytes(&self, key: &KvKey) -> Result<Option<Found<Bytes>>, ApiError> {
        match self.reader.get(&keys::bucket(), key, KvRead::Latest).await {
            Ok(entry) => {
                let (revision, expires_at) = (entry.revision, entry.expires_at);
                Ok(Some(Found { revision, expires_at, value: entry.value }))
            }
            Err(KvReadError::Refused(KvError::KeyNotFound | KvError::BucketNotFound)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Keys in byte order, at most `limit`.
    pub(super) async fn list(
        &self,
        filter: KvFilter,
        after: Option<KvKey>,
        limit: usize,
    ) -> Result<Vec<KvKey>, ApiError> {
        match self.reader.keys(&keys::bucket(), filter, after, limit).await {
            Ok(page) => Ok(page.keys),
            Err(KvReadError::Refused(KvError::BucketNotFound)) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// A number that no generation has or will have, of whichever projection: the revision of a key that is written for
    /// it. What the bucket's next revision is may be asked by two at once.
    pub(super) async fn fresh_generation(&self) -> Result<u64, ApiError> {
        match self.change(Vec::new(), vec![KvWrite::put(keys::numbered(), "numbered")]).await? {
            Done::Made { first, .. } => Ok(first.0),
            Done::CheckFailed(number) => Err(internal(&format!("check {number} failed, and there was none"))),
        }
    }

    /// Makes the bucket, if there is none.
    pub(super) async fn make_bucket(&self) -> Result<(), ApiError> {
        let config =
            BucketConfig { description: keys::DESCRIPTION.into(), ..BucketConfig::new(keys::bucket()) };
        match self.buckets.decide(KvCommand::CreateBucket(config)).await? {
            KvOutcome::BucketCreated(_) | KvOutcome::Refused(KvError::BucketExists) => Ok(()),
            other => Err(odd(other)),
        }
    }

    /// Changes several keys, all of them or none.
    pub(super) async fn change(
        &self,
        checks: Vec<(KvKey, KvGuard)>,
        writes: Vec<KvWrite>,
    ) -> Result<Done, ApiError> {
        let change = KvCommand::Change { bucket: keys::bucket(), checks, writes };
        match self.buckets.decide(change).await? {
            KvOutcome::Changed { first, at, .. } => Ok(Done::Made { first, at }),
            KvOutcome::Refused(KvError::CheckFailed { number, .. }) => Ok(Done::CheckFailed(number)),
            other => Err(odd(other)),
        }
    }

    /// Removes what generations that are gone have left, also of removals that were cut.
    pub(super) async fn clear_gone(&self) -> Result<(), ApiError> {
        for mark in self.list(keys::all_gone(), None, limits::KV_LIST_MAX).await? {
            let Some(generation) = keys::gone_generation(&mark) else { continue };
            for filter in [keys::all_states(generation), keys::all_dead(generation)] {
                loop {
                    let left = self.list(filter.clone(), None, limits::KV_CHANGE_KEYS_MAX).await?;
                    if left.is_empty() {
                        break;
                    }
                    self.change(Vec::new(), left.into_iter().map(KvWrite::purge).collect()).await?;
                }
            }
            self.change(Vec::new(), vec![KvWrite::purge(keys::ledger(generation)), KvWrite::purge(mark)])
                .await?;
        }
        Ok(())
    }
}

/// A value to be put, as it is stored.
pub(super) fn put(key: KvKey, value: &impl Serialize) -> Result<KvWrite, ApiError> {
    Ok(KvWrite::put(key, serde_json::to_vec(value).map_err(|error| internal(&error))?))
}

pub(super) fn internal(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::Internal, format!("what is stored of the projection is not readable: {error}"))
}

/// An outcome that nothing here leads to.
fn odd(outcome: KvOutcome) -> ApiError {
    match outcome {
        KvOutcome::Refused(error) => error.into(),
        other => ApiError::new(ErrorCode::Internal, format!("change was answered with {other:?}")),
    }
}
