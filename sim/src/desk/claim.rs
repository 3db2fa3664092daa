use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_api::{ApiError, ErrorCode};
use weir_types::{BucketConfig, BucketName, KvCommand, KvError, KvGuard, KvKey, KvOutcome, Revision};

use super::Desk;
use crate::plant::Plant;

/// Where claims are.
const BUCKET: &str = "claims";

/// Something that one client at a time may hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claim {
    /// What.
    pub key: String,
    /// For how long, in milliseconds.
    pub lease_ms: u64,
}

/// A claim that was granted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Granted {
    /// Its revision.
    pub revision: u64,
    /// From when on, in microseconds of the buckets' time.
    pub at_us: i64,
    /// Until when.
    pub until_us: i64,
}

impl Desk {
    /// Claims something that nobody holds.
    pub(super) async fn grant(&self, asked: Claim) -> Result<Granted, ApiError> {
        let bucket = BucketName::new(BUCKET)?;
        let guard = match self.plant {
            Some(Plant::LeaseIgnored) => KvGuard::Any,
            _ => KvGuard::Absent,
        };
        let command = KvCommand::Put {
            bucket: bucket.clone(),
            key: KvKey::new(&asked.key)?,
            value: Bytes::from_static(b"held"),
            guard,
            ttl: Some(std::time::Duration::from_millis(asked.lease_ms)),
        };
        let mut outcome = self.engine.kv(command.clone()).await?;
        if matches!(outcome, KvOutcome::Refused(KvError::BucketNotFound)) {
            self.engine.kv(KvCommand::CreateBucket(BucketConfig::new(bucket))).await?;
            outcome = self.engine.kv(command).await?;
        }
        match outcome {
            KvOutcome::Put { revision, at, expires_at: Some(until) } => {
                Ok(Granted { revision: revision.0, at_us: at.0, until_us: until.0 })
            }
            other => Err(ApiError::new(ErrorCode::Unavailable, format!("it is not granted: {other:?}"))),
        }
    }

    /// Gives a claim up.
    pub(super) async fn release(&self, key: &str, revision: u64) -> Result<(), ApiError> {
        let (bucket, key) = (BucketName::new(BUCKET)?, KvKey::new(key)?);
        let guard = KvGuard::Revision(Revision(revision));
        match self.engine.kv(KvCommand::Delete { bucket, key, guard, purge: false }).await? {
            KvOutcome::Deleted { .. } => Ok(()),
            other => Err(ApiError::new(ErrorCode::Unavailable, format!("it is not given up: {other:?}"))),
        }
    }
}
