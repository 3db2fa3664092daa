use bytes::Bytes;
use weir_api::{ApiError, ErrorCode};
use weir_check::history::{KvOp, Outcome, Seen};
use weir_types::{
    AppendError, BucketConfig, BucketName, Consistency, KvCommand, KvError, KvGuard, KvKey, KvOutcome,
    KvRead, KvReadError, Revision,
};

use super::{Desk, failed};
use crate::plant::Plant;

impl Desk {
    /// Does what is asked of a key. A bucket that is not there yet is made.
    pub(super) async fn key(&self, bucket: &str, key: &str, op: KvOp) -> Outcome {
        let (Ok(bucket), Ok(key)) = (BucketName::new(bucket), KvKey::new(key)) else {
            return failed(&ApiError::invalid("a name is not legal"));
        };
        let Some(command) = self.command(&bucket, &key, op) else { return self.get(&bucket, &key).await };
        match self.engine.kv(command.clone()).await {
            Ok(KvOutcome::Refused(KvError::BucketNotFound)) => {
                let made = self.engine.kv(KvCommand::CreateBucket(BucketConfig::new(bucket))).await;
                match made {
                    // What became of the bucket, the key was not touched.
                    Err(_) => failed(&ApiError::new(ErrorCode::Unavailable, "the bucket is not made")),
                    Ok(_) => told(self.engine.kv(command).await),
                }
            }
            answer => told(answer),
        }
    }

    /// The command of an operation; none of a read.
    fn command(&self, bucket: &BucketName, key: &KvKey, op: KvOp) -> Option<KvCommand> {
        let (bucket, key) = (bucket.clone(), key.clone());
        let compared = |revision| match self.plant {
            Some(Plant::RevisionIgnored) => KvGuard::Any,
            _ => KvGuard::Revision(Revision(revision)),
        };
        let put = |value: String, guard| KvCommand::Put {
            bucket: bucket.clone(),
            key: key.clone(),
            value: Bytes::from(value),
            guard,
            ttl: None,
        };
        match op {
            KvOp::Get => None,
            KvOp::Put { value } => Some(put(value, KvGuard::Any)),
            KvOp::Cas { revision, value } => Some(put(value, compared(revision))),
            KvOp::Delete { revision } => {
                let guard = revision.map_or(KvGuard::Any, compared);
                Some(KvCommand::Delete { bucket, key, guard, purge: false })
            }
        }
    }

    async fn get(&self, bucket: &BucketName, key: &KvKey) -> Outcome {
        let consistency = match self.plant {
            Some(Plant::StaleKey) => Consistency::Local,
            _ => Consistency::Linearizable,
        };
        let seen = match self.engine.kv_get(bucket, key, KvRead::Latest, consistency).await {
            Ok(entry) => Seen::Kv {
                value: Some(String::from_utf8_lossy(&entry.value).into_owned()),
                revision: entry.revision.0,
            },
            Err(KvReadError::Refused(KvError::KeyNotFound | KvError::BucketNotFound)) => {
                Seen::Kv { value: None, revision: 0 }
            }
            Err(KvReadError::Refused(error)) => return refused(&error),
            Err(KvReadError::Read(error)) => return failed(&error.into()),
        };
        Outcome::Ok { seen }
    }
}

fn told(answer: Result<KvOutcome, AppendError>) -> Outcome {
    match answer {
        Ok(KvOutcome::Put { revision, .. } | KvOutcome::Deleted { revision }) => {
            Outcome::Ok { seen: Seen::Kv { value: None, revision: revision.0 } }
        }
        Ok(KvOutcome::Refused(error)) => refused(&error),
        Ok(other) => Outcome::Unknown { reason: format!("an odd outcome: {other:?}") },
        Err(error) => failed(&error.into()),
    }
}

fn refused(error: &KvError) -> Outcome {
    match error {
        KvError::RevisionConflict { actual } => {
            Outcome::Refused { code: "revision_conflict".to_owned(), actual: Some(actual.0) }
        }
        // A deletion compares with what is there, and there is nothing.
        KvError::KeyNotFound => Outcome::Refused { code: "revision_conflict".to_owned(), actual: Some(0) },
        other => Outcome::Refused { code: other.to_string(), actual: None },
    }
}
