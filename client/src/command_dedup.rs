//! Commands that arrive twice: each is handled by whoever claims its id first.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;
use weir_api::{
    ApiError, ErrorCode,
    v1::{BucketBody, KvEntryView, KvReadQuery},
};

use crate::{Client, ClientError, KvExpect, retry::pause};

/// Claims of command ids in a bucket, which is made on first use.
///
/// A claim lives as long as its lease, by the replicated time of the cluster
/// and not by anybody's clock: when its claimant crashes, it is gone by itself
/// and the next one may claim. A claimant that outlives its lease is told by
/// [`CommandDedup::finalize`] that the claim is lost; what it did meanwhile it
/// must have done under a guard of its own (an expected version).
#[derive(Debug, Clone)]
pub struct CommandDedup {
    client: Client,
    bucket: BucketBody,
    lease: Duration,
}

/// What became of a try to claim.
#[derive(Debug)]
pub enum Claim<T> {
    /// It is yours: handle the command, then finalize or release.
    Mine(HeldClaim),
    /// It was handled: the result.
    Done(T),
    /// Somebody handles it, until this time at the latest (RFC 3339), if there is a limit.
    InProgress(Option<String>),
}

/// A claim that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldClaim {
    /// The command.
    pub command_id: String,
    /// The revision of the claim: it rises from claimant to claimant, and so fences them off.
    pub revision: u64,
    token: Uuid,
}

/// Why a claim was not finalized.
#[derive(Debug, thiserror::Error)]
pub enum FinalizeError {
    /// The lease has run out, and the claim is gone or another's.
    #[error("claim of the command is lost")]
    Lost,
    /// The call failed; ask it whether the outcome is known.
    #[error(transparent)]
    Client(#[from] ClientError),
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    token: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
}

/// What lies at a command's id, for one claimant.
enum Found {
    Nothing,
    Own { revision: u64 },
    OwnResult,
    Other(Option<String>),
    Result(Value),
}

impl CommandDedup {
    /// Claims in this bucket, with a lease of 30 seconds; results are kept for a week.
    #[must_use]
    pub fn new(client: Client, bucket: &str) -> Self {
        let bucket = BucketBody { name: bucket.into(), ttl_seconds: Some(604_800), ..BucketBody::default() };
        Self { client, bucket, lease: Duration::from_secs(30) }
    }

    /// Another lease: longer than handling a command ever takes.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Another time for which results are kept, where the bucket is still to be made.
    #[must_use]
    pub fn keep(mut self, time: Duration) -> Self {
        self.bucket.ttl_seconds = Some(time.as_secs().max(1));
        self
    }

    /// Claims a command.
    ///
    /// # Errors
    /// [`ClientError`]; a claim that was made and not heard of is gone with its lease.
    pub async fn try_claim<T: DeserializeOwned>(&self, command_id: &str) -> Result<Claim<T>, ClientError> {
        let token = Uuid::new_v4();
        let mine = |revision| Claim::Mine(HeldClaim { command_id: command_id.into(), revision, token });
        let place = (self.bucket.name.as_str(), command_id);
        let value = encode(&Record { token, result: None })?;
        let mut patience = Patience::of(&self.client);
        loop {
            let put = self.client.kv_put(place, value.clone(), KvExpect::Absent, Some(self.lease)).await;
            let error = match put {
                Ok(put) => return Ok(mine(put.revision)),
                Err(error) if error.code() == Some(ErrorCode::BucketNotFound) => {
                    self.make_bucket().await?;
                    error
                }
                Err(error) if error.outcome_unknown() || is_conflict(&error) => error,
                Err(error) => return Err(error),
            };
            match self.find(command_id, token).await? {
                Found::Own { revision } => return Ok(mine(revision)),
                Found::Result(result) => return Ok(Claim::Done(decode(result)?)),
                Found::Other(until) => return Ok(Claim::InProgress(until)),
                // It was due between the two, or an unknown try did not happen (yet).
                Found::Nothing | Found::OwnResult => patience.wait(error).await?,
            }
        }
    }

    /// Stores the result: from now on whoever claims the command gets it.
    ///
    /// # Errors
    /// [`FinalizeError`].
    pub async fn finalize<T: Serialize>(&self, held: &HeldClaim, result: &T) -> Result<(), FinalizeError> {
        let result = serde_json::to_value(result).map_err(|error| not_json(&error))?;
        let value = encode(&Record { token: held.token, result: Some(result) })?;
        let place = (self.bucket.name.as_str(), held.command_id.as_str());
        let mut patience = Patience::of(&self.client);
        loop {
            let put = self.client.kv_put(place, value.clone(), KvExpect::Revision(held.revision), None).await;
            let error = match put {
                Ok(_) => return Ok(()),
                Err(error) if error.outcome_unknown() || is_conflict(&error) => error,
                Err(error) if error.code() == Some(ErrorCode::BucketNotFound) => {
                    return Err(FinalizeError::Lost);
                }
                Err(error) => return Err(error.into()),
            };
            match self.find(&held.command_id, held.token).await? {
                Found::OwnResult => return Ok(()),
                Found::Own { revision } if revision == held.revision => patience.wait(error).await?,
                Found::Own { .. } | Found::Nothing | Found::Other(_) | Found::Result(_) => {
                    return Err(FinalizeError::Lost);
                }
            }
        }
    }

    /// Gives a claim up, so that the command may be handled anew. A claim that
    /// is lost, or finalized, is left as it is.
    ///
    /// # Errors
    /// [`ClientError`]; the claim is then gone with its lease.
    pub async fn release(&self, held: &HeldClaim) -> Result<(), ClientError> {
        let place = (self.bucket.name.as_str(), held.command_id.as_str());
        match self.client.kv_delete(place, KvExpect::Revision(held.revision), false).await {
            Err(error) if error.code() == Some(ErrorCode::KeyNotFound) || is_conflict(&error) => Ok(()),
            other => other,
        }
    }

    async fn make_bucket(&self) -> Result<(), ClientError> {
        match self.client.create_bucket(&self.bucket).await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(ErrorCode::BucketExists) || error.outcome_unknown() => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn find(&self, command_id: &str, token: Uuid) -> Result<Found, ClientError> {
        let query = KvReadQuery::default();
        let Some(entry) = self.client.kv_get(&self.bucket.name, command_id, &query).await? else {
            return Ok(Found::Nothing);
        };
        let KvEntryView { revision, expires_at, .. } = &entry;
        let bytes = entry.bytes()?;
        let record: Record = serde_json::from_slice(&bytes)
            .map_err(|error| ApiError::invalid(format!("claim is not one of this client: {error}")))?;
        Ok(match (record.token == token, record.result) {
            (true, None) => Found::Own { revision: *revision },
            (true, Some(_)) => Found::OwnResult,
            (false, None) => Found::Other(expires_at.clone()),
            (false, Some(result)) => Found::Result(result),
        })
    }
}

/// Tries again until the client's deadline.
struct Patience {
    end: Instant,
    tries: u32,
}

impl Patience {
    fn of(client: &Client) -> Self {
        Self { end: Instant::now() + client.options().deadline, tries: 0 }
    }

    /// Waits a little, or gives the error back when there is no time left.
    async fn wait(&mut self, error: ClientError) -> Result<(), ClientError> {
        self.tries += 1;
        let pause = pause(self.tries, Uuid::new_v4().as_bytes()[0]);
        if Instant::now() + pause >= self.end {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

fn is_conflict(error: &ClientError) -> bool {
    error.code() == Some(ErrorCode::RevisionConflict)
}

fn encode(record: &Record) -> Result<Vec<u8>, ClientError> {
    serde_json::to_vec(record).map_err(|error| not_json(&error))
}

fn decode<T: DeserializeOwned>(result: Value) -> Result<T, ClientError> {
    serde_json::from_value(result).map_err(|error| not_json(&error))
}

fn not_json(error: &serde_json::Error) -> ClientError {
    ApiError::invalid(format!("result is not as expected: {error}")).into()
}
