//! Key-value buckets: changed through the leader, read here.

use std::sync::Arc;

use tokio::time::Instant;
use weir_raft::BucketReader;
use weir_types::{
    AppendError, BucketInfo, BucketName, Consistency, KvCommand, KvEntry, KvError, KvFilter, KvKey, KvKeys,
    KvOutcome, KvRead, KvReadError, KvVersions, Revision, ports::Leadership,
};

use super::{Engine, append::nobody_decides, read::Timer};

impl Engine {
    /// Has a command judged, by whoever leads. While no leader is known or
    /// reachable it waits and tries again, as long as nothing can have been written.
    ///
    /// # Errors
    /// [`AppendError`]; after `OutcomeUnknown` it may be done or not.
    pub async fn kv(&self, command: KvCommand) -> Result<KvOutcome, AppendError> {
        if let Err(error) = command.check_limits() {
            return Ok(KvOutcome::Refused(error));
        }
        let (began, kind) = (Instant::now(), kind_of(&command));
        let attempt = |seen| self.attempt_kv(seen, &command);
        let result = self.on_the_leader(attempt, began + self.leader_wait).await;
        let seconds = began.elapsed().as_secs_f64();
        metrics::histogram!("weir_kv_duration_seconds", "kind" => kind).record(seconds);
        metrics::counter!("weir_kv_commands_total", "kind" => kind, "outcome" => outcome_of(&result))
            .increment(1);
        result
    }

    async fn attempt_kv(&self, seen: Leadership, command: &KvCommand) -> Result<KvOutcome, AppendError> {
        match seen.leader {
            _ if seen.decides => self.buckets.decide(command.clone()).await,
            Some(leader) if leader != self.node => self.forward_kv(leader, command.clone()).await,
            other => Err(nobody_decides(other)),
        }
    }

    /// Reads of the buckets, as this node has applied them.
    #[must_use]
    pub fn bucket_reader(&self) -> Arc<BucketReader> {
        self.raft.buckets()
    }

    /// Resolves when what was acknowledged before is applied here.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn kv_fresh(&self) -> Result<(), KvReadError> {
        self.ready(Consistency::Linearizable).await?;
        Ok(())
    }

    /// All buckets, in order of their names.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn kv_buckets(&self, consistency: Consistency) -> Result<Vec<BucketInfo>, KvReadError> {
        let _timer = Timer::start("kv_buckets");
        self.ready(consistency).await?;
        self.raft.buckets().list().await
    }

    /// A bucket and what is in it.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn kv_bucket(
        &self,
        name: &BucketName,
        consistency: Consistency,
    ) -> Result<BucketInfo, KvReadError> {
        let _timer = Timer::start("kv_bucket");
        self.ready(consistency).await?;
        self.raft.buckets().info(name).await
    }

    /// What a key holds, or held.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn kv_get(
        &self,
        bucket: &BucketName,
        key: &KvKey,
        read: KvRead,
        consistency: Consistency,
    ) -> Result<KvEntry, KvReadError> {
        let _timer = Timer::start("kv_get");
        self.ready(consistency).await?;
        self.raft.buckets().get(bucket, key, read).await
    }

    /// What is kept of a key from a revision on, oldest first.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn kv_history(
        &self,
        bucket: &BucketName,
        key: &KvKey,
        from: Revision,
        consistency: Consistency,
    ) -> Result<KvVersions, KvReadError> {
        let _timer = Timer::start("kv_history");
        self.ready(consistency).await?;
        self.raft.buckets().history(bucket, key, from).await
    }

    /// Keys that hold a value and match, in byte order.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn kv_keys(
        &self,
        bucket: &BucketName,
        (filter, after, limit): (KvFilter, Option<KvKey>, usize),
        consistency: Consistency,
    ) -> Result<KvKeys, KvReadError> {
        let _timer = Timer::start("kv_keys");
        self.ready(consistency).await?;
        self.raft.buckets().keys(bucket, filter, after, limit).await
    }
}

fn kind_of(command: &KvCommand) -> &'static str {
    match command {
        KvCommand::CreateBucket(_) => "create_bucket",
        KvCommand::DeleteBucket(_) => "delete_bucket",
        KvCommand::Put { .. } => "put",
        KvCommand::Delete { purge: false, .. } => "delete",
        KvCommand::Delete { purge: true, .. } => "purge",
        KvCommand::Sweep { .. } => "sweep",
        KvCommand::Change { .. } => "change",
    }
}

fn outcome_of(result: &Result<KvOutcome, AppendError>) -> &'static str {
    match result {
        Ok(KvOutcome::Refused(KvError::RevisionConflict { .. } | KvError::CheckFailed { .. })) => "conflict",
        Ok(KvOutcome::Refused(_)) => "refused",
        Ok(_) => "done",
        Err(AppendError::Overloaded) => "overloaded",
        Err(AppendError::NotLeader { .. } | AppendError::Unavailable { .. }) => "unavailable",
        Err(AppendError::OutcomeUnknown { .. }) => "unknown",
        Err(_) => "failed",
    }
}
