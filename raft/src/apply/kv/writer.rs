//! The one writer of a group's buckets.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::take,
};

use weir_storage::{
    index::Index,
    state::{Bucket, BucketNo, KvHead, KvMark, State, StateError},
};
use weir_types::{
    BucketConfig, BucketInfo, BucketName, KvCommand, KvEntry, KvError, KvGuard, KvKey, KvOperation,
    KvOutcome, KvWrite, LogIndex, Planted, Revision, StampedKv, Timestamp, limits, planted,
};

use super::{
    changes::KvChanges,
    digest::KvFacts,
    judge::{KvStanding, judge_delete, judge_put},
};
use crate::apply::ApplyError;

/// Entries after which it is asked again how much of the index is on disk.
const PRUNE_EVERY: u64 = 1_024;
/// Digests that one commit drops at most.
const PRUNE_MAX: usize = 2 * PRUNE_EVERY as usize;

/// The buckets in memory, and what one call of apply changes in them.
pub(in crate::apply) struct KvWriter {
    state: State,
    mark: KvMark,
    buckets: BTreeMap<BucketName, Bucket>,
    gone: BTreeSet<BucketNo>,
    changes: KvChanges,
    /// Buckets whose record changed, or that have none any more.
    touched: BTreeSet<BucketName>,
    /// Buckets that are gone, or of which nothing is left, since the last commit.
    touched_gone: BTreeSet<BucketNo>,
    /// What who watches is told, once it is written.
    told: Vec<(BucketName, Option<KvEntry>)>,
    facts: KvFacts,
    digests: Vec<(LogIndex, u64)>,
    /// Entries since digests were last dropped.
    unpruned: u64,
}

impl KvWriter {
    pub(in crate::apply) fn new(state: &State) -> Result<Self, StateError> {
        let (buckets, mark) = (state.kv_buckets()?, state.kv_mark()?);
        state.kv_feed().reach(mark.time);
        Ok(Self {
            state: state.clone(),
            mark,
            buckets: buckets.into_iter().map(|bucket| (bucket.info.config.name.clone(), bucket)).collect(),
            gone: state.kv_gone()?.into_iter().collect(),
            changes: KvChanges::default(),
            touched: BTreeSet::new(),
            touched_gone: BTreeSet::new(),
            told: Vec::new(),
            facts: KvFacts::default(),
            digests: Vec::new(),
            unpruned: 0,
        })
    }

    /// Whether the state reflects an entry already.
    pub(in crate::apply) fn reflects(&self, index: LogIndex) -> bool {
        index <= self.mark.applied
    }

    /// Applies an entry's commands, in order, and gives one outcome each, with a
    /// digest of all of them. Of an entry that the state reflects already the
    /// outcomes are not known any more, and the digest is the one of then; where
    /// the index reflects it too, the digest is kept no longer and is 0.
    ///
    /// # Errors
    /// The state's. The writer is then of no use any more.
    pub(in crate::apply) fn apply(
        &mut self,
        index: LogIndex,
        commands: &[&StampedKv],
        indexed: bool,
    ) -> Result<(Vec<KvOutcome>, u64), ApplyError> {
        if self.reflects(index) {
            let outcomes = vec![KvOutcome::AppliedBefore; commands.len()];
            let digest = if indexed { 0 } else { self.state.kv_digest(index)? };
            return Ok((outcomes, digest));
        }
        self.facts.clear();
        let mut outcomes = Vec::with_capacity(commands.len());
        for stamped in commands {
            self.mark.time = self.mark.time.max(stamped.at);
            let outcome = match self.judge(&stamped.command)? {
                Ok(outcome) => outcome,
                Err(error) => KvOutcome::Refused(error),
            };
            self.facts.add(&outcome);
            outcomes.push(outcome);
        }
        let digest = self.facts.digest();
        self.digests.push((index, digest));
        self.mark.applied = index;
        Ok((outcomes, digest))
    }

    /// Writes what was applied since the last time, in one batch, not flushed.
    /// Drops the digests that the index has on disk.
    ///
    /// # Errors
    /// The stores'.
    pub(in crate::apply) fn commit(&mut self, index: &Index) -> Result<(), ApplyError> {
        if self.digests.is_empty() {
            return Ok(());
        }
        let mut batch = self.state.kv_batch();
        take(&mut self.changes).write(&mut batch);
        for name in take(&mut self.touched) {
            match self.buckets.get(&name) {
                Some(bucket) => batch.put_bucket(bucket),
                None => batch.remove_bucket(&name),
            }
        }
        for no in take(&mut self.touched_gone) {
            if self.gone.contains(&no) {
                batch.put_gone(no);
            } else {
                batch.remove_gone(no);
            }
        }
        self.unpruned += self.digests.len() as u64;
        for (index, digest) in self.digests.drain(..) {
            batch.put_digest(index, digest);
        }
        if self.unpruned >= PRUNE_EVERY {
            self.unpruned = 0;
            for old in self.state.kv_digests(index.persisted()?, PRUNE_MAX)? {
                batch.remove_digest(old);
                self.mark.pruned = old;
            }
        }
        self.state.commit_kv(batch, &self.mark)?;
        self.state.kv_feed().reach(self.mark.time);
        self.state.kv_feed().publish(self.told.drain(..));
        Ok(())
    }

    fn judge(&mut self, command: &KvCommand) -> Result<Result<KvOutcome, KvError>, StateError> {
        if let Err(error) = command.check_limits() {
            return Ok(Err(error));
        }
        match command {
            KvCommand::CreateBucket(config) => Ok(self.create(config)),
            KvCommand::DeleteBucket(name) => Ok(self.delete_bucket(name)),
            KvCommand::Put { bucket, key, value, guard, ttl } => {
                let Some(meets) = self.meet(bucket, key)? else { return Ok(Err(KvError::BucketNotFound)) };
                let change = judge_put(meets.standing(key, self.mark.time), value.len() as u64, *guard, *ttl);
                Ok(change.map(|change| {
                    let expires_at = change.head.as_ref().and_then(|head| head.expires_at);
                    let outcome =
                        KvOutcome::Put { revision: change.revision, at: self.mark.time, expires_at };
                    self.replace(meets, key, change.revision, change.head, Some(value.clone()));
                    outcome
                }))
            }
            KvCommand::Delete { bucket, key, guard, purge } => {
                let Some(meets) = self.meet(bucket, key)? else { return Ok(Err(KvError::BucketNotFound)) };
                let change = judge_delete(meets.standing(key, self.mark.time), *guard, *purge);
                Ok(change.map(|change| {
                    self.replace(meets, key, change.revision, change.head, None);
                    KvOutcome::Deleted { revision: change.revision }
                }))
            }
            KvCommand::Sweep { keys_max } => self.sweep(*keys_max).map(Ok),
            KvCommand::Change { bucket, checks, writes } => self.change(bucket, checks, writes),
        }
    }

    /// Judges all of it on what was before, and then does it.
    fn change(
        &mut self,
        name: &BucketName,
        checks: &[(KvKey, KvGuard)],
        writes: &[KvWrite],
    ) -> Result<Result<KvOutcome, KvError>, StateError> {
        let Some(bucket) = self.buckets.get(name).cloned() else { return Ok(Err(KvError::BucketNotFound)) };
        let now = self.mark.time;
        for (number, (key, guard)) in checks.iter().enumerate() {
            let head = self.changes.head(&self.state, bucket.no, key)?;
            let standing = KvStanding { bucket: &bucket.info, key, head: head.as_ref(), now };
            if let Err(error) = standing.check(*guard)
                && !planted(Planted::SaveIgnoresFence)
            {
                let KvError::RevisionConflict { actual } = error else { return Ok(Err(error)) };
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                return Ok(Err(KvError::CheckFailed { number, actual }));
            }
        }
        let mut info = bucket.info.clone();
        let mut planned = Vec::with_capacity(writes.len());
        for write in writes {
            let head = self.changes.head(&self.state, bucket.no, &write.key)?;
            let before = head.as_ref().map_or(0, KvHead::bytes);
            let standing = KvStanding { bucket: &info, key: &write.key, head: head.as_ref(), now };
            let change = match &write.value {
                Some(value) => judge_put(standing, value.len() as u64, KvGuard::Any, write.ttl),
                None => match judge_delete(standing, KvGuard::Any, true) {
                    // It is as was asked for.
                    Err(KvError::KeyNotFound) => continue,
                    other => other,
                },
            };
            match change {
                Ok(change) => {
                    info.revision = change.revision;
                    info.bytes = info.bytes - before + change.head.as_ref().map_or(0, KvHead::bytes);
                    planned.push((write, change));
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        let first = bucket.info.revision.next();
        for (write, change) in planned {
            let met = self.meet(name, &write.key)?.expect("the bucket was there when it was judged");
            self.replace(met, &write.key, change.revision, change.head, write.value.clone());
        }
        Ok(Ok(KvOutcome::Changed { first, last: info.revision, at: now }))
    }

    fn create(&mut self, config: &BucketConfig) -> Result<KvOutcome, KvError> {
        if self.buckets.contains_key(&config.name) {
            return Err(KvError::BucketExists);
        }
        if self.buckets.len() >= limits::KV_BUCKETS_MAX {
            return Err(KvError::TooManyBuckets { max: limits::KV_BUCKETS_MAX });
        }
        self.mark.buckets += 1;
        let info = BucketInfo {
            config: config.clone(),
            created_at: self.mark.time,
            revision: Revision::ZERO,
            values: 0,
            bytes: 0,
        };
        let bucket = Bucket { no: BucketNo(self.mark.buckets), info: info.clone() };
        self.buckets.insert(config.name.clone(), bucket);
        self.touched.insert(config.name.clone());
        Ok(KvOutcome::BucketCreated(info))
    }

    fn delete_bucket(&mut self, name: &BucketName) -> Result<KvOutcome, KvError> {
        let bucket = self.buckets.remove(name).ok_or(KvError::BucketNotFound)?;
        self.touched.insert(name.clone());
        self.told.push((name.clone(), None));
        if bucket.info.revision > Revision::ZERO {
            self.gone.insert(bucket.no);
            self.touched_gone.insert(bucket.no);
        }
        Ok(KvOutcome::BucketDeleted)
    }

    /// A bucket and what it keeps of a key; `None` when there is no such bucket.
    fn meet(&self, bucket: &BucketName, key: &KvKey) -> Result<Option<Met>, StateError> {
        let Some(bucket) = self.buckets.get(bucket) else { return Ok(None) };
        let head = self.changes.head(&self.state, bucket.no, key)?;
        Ok(Some(Met { bucket: bucket.clone(), head }))
    }

    /// Puts what is kept of a key in place of what was, and counts.
    fn replace(
        &mut self,
        met: Met,
        key: &KvKey,
        revision: Revision,
        after: Option<KvHead>,
        value: Option<bytes::Bytes>,
    ) {
        let Met { mut bucket, head: before } = met;
        let count = |head: Option<&KvHead>| {
            let live = head.is_some_and(|head| head.newest().operation == KvOperation::Put);
            (u64::from(live), head.map_or(0, KvHead::bytes))
        };
        let (was, is) = (count(before.as_ref()), count(after.as_ref()));
        bucket.info.values = bucket.info.values + is.0 - was.0;
        bucket.info.bytes = bucket.info.bytes + is.1 - was.1;
        bucket.info.revision = revision;
        self.tell(&bucket.info.config.name, key, revision, after.as_ref(), value.as_ref());
        self.changes.replace((bucket.no, key), before.as_ref(), after, value);
        let name = bucket.info.config.name.clone();
        self.touched.insert(name.clone());
        self.buckets.insert(name, bucket);
    }

    /// What a key holds by a change, for who watches. Weir's own buckets nobody watches.
    fn tell(
        &mut self,
        bucket: &BucketName,
        key: &KvKey,
        revision: Revision,
        after: Option<&KvHead>,
        value: Option<&bytes::Bytes>,
    ) {
        if bucket.as_str().starts_with(limits::KV_RESERVED_PREFIX) {
            return;
        }
        let newest = after.map(KvHead::newest);
        let operation = newest.map_or(KvOperation::Delete, |newest| newest.operation);
        let entry = KvEntry {
            key: key.clone(),
            revision,
            at: self.mark.time,
            expires_at: after.and_then(|after| after.expires_at),
            operation,
            value: value.filter(|_| operation == KvOperation::Put).cloned().unwrap_or_default(),
        };
        self.told.push((bucket.clone(), Some(entry)));
    }

    fn sweep(&mut self, keys_max: u32) -> Result<KvOutcome, StateError> {
        let limit = keys_max.min(limits::KV_SWEEP_KEYS_MAX) as usize;
        let due = self.changes.due(&self.state, self.mark.time, limit)?;
        let mut keys = due.len();
        for due in due {
            let head = self.changes.head(&self.state, due.bucket, &due.key)?;
            let owner = self.buckets.values().find(|bucket| bucket.no == due.bucket).cloned();
            match owner {
                // It takes no revision: nobody changed anything.
                Some(bucket) => {
                    let revision = bucket.info.revision;
                    self.replace(Met { bucket, head }, &due.key, revision, None, None);
                }
                None => self.changes.replace((due.bucket, &due.key), head.as_ref(), None, None),
            }
        }
        while keys < limit
            && let Some(no) = self.gone.first().copied()
        {
            let left = self.changes.keys(&self.state, no, limit - keys)?;
            if left.is_empty() {
                self.gone.remove(&no);
                self.touched_gone.insert(no);
                continue;
            }
            keys += left.len();
            for (key, head) in left {
                self.changes.replace((no, &key), Some(&head), None, None);
            }
        }
        let keys = u32::try_from(keys).unwrap_or(u32::MAX);
        Ok(KvOutcome::Swept { keys, more: keys as usize == limit })
    }
}

/// A bucket, and what it keeps of one key.
struct Met {
    bucket: Bucket,
    head: Option<KvHead>,
}

impl Met {
    fn standing<'a>(&'a self, key: &'a KvKey, now: Timestamp) -> KvStanding<'a> {
        KvStanding { bucket: &self.bucket.info, key, head: self.head.as_ref(), now }
    }
}
