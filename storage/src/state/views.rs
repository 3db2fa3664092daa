//! Views and checkpoints of deployments.

use std::ops::Bound;

use weir_types::{
    BadEvent, GroupId, LogIndex, PartitionKey, Planted, Position, ProjectionId, ProjectionName, planted,
    ports::{Checkpoint, PartitionRebuildEnd, View, ViewChange},
};

use super::{State, StateError};
use crate::{
    codec::{StoredBadEvent, StoredCheckpoint, StoredPartitionRebuildEnd, StoredView, decode, encode},
    schema::StateKey,
};

/// Keys that one batch of [`State::forget`] removes.
const FORGET_BATCH: usize = 1_000;

fn checkpoint_key(projection: &ProjectionId) -> StateKey<'_> {
    StateKey::Checkpoint(projection.name.as_str(), projection.deployed)
}

fn view_key<'a>(projection: &'a ProjectionId, partition: &'a str) -> StateKey<'a> {
    if planted(Planted::RedeployedInheritsViews) {
        return StateKey::View(projection.name.as_str(), LogIndex::ZERO, partition);
    }
    StateKey::View(projection.name.as_str(), projection.deployed, partition)
}

fn dead_letter_key(projection: &ProjectionId, position: Position) -> StateKey<'_> {
    StateKey::DeadLetter(projection.name.as_str(), projection.deployed, position)
}

fn partition_rebuild_key(projection: &ProjectionId) -> StateKey<'_> {
    StateKey::PartitionRebuild(projection.name.as_str(), projection.deployed)
}

/// What the keys of a deployment's dead letters begin with: such a key without its last number.
fn dead_letter_prefix(projection: &ProjectionId, group: GroupId) -> Vec<u8> {
    let mut prefix = dead_letter_key(projection, Position::ZERO).encode(group);
    prefix.pop();
    prefix
}

impl State {
    /// Writes a fold step in one atomic batch; not fsynced.
    ///
    /// # Errors
    /// [`StateError::CheckpointFell`] when the checkpoint would fall.
    pub fn commit_views(&self, projection: &ProjectionId, change: &ViewChange) -> Result<(), StateError> {
        let (stored, offered) = (self.checkpoint(projection)?.position, change.checkpoint.position);
        if offered < stored {
            return Err(StateError::CheckpointFell { stored, offered });
        }
        let mut batch = sled::Batch::default();
        for (partition, view) in &change.views {
            let key = view_key(projection, partition.as_str()).encode(self.group);
            batch.insert(key, encode(&StoredView::from(view)));
        }
        for event in &change.dead_letters {
            let key = dead_letter_key(projection, event.position).encode(self.group);
            batch.insert(key, encode(&StoredBadEvent::from(event)));
        }
        self.end_partition_rebuild(projection, change, &mut batch);
        let key = checkpoint_key(projection).encode(self.group);
        let checkpoint = encode(&StoredCheckpoint::from(&change.checkpoint));
        if planted(Planted::StateBeforeCheckpoint) {
            self.commit_first(batch.clone())?;
        }
        if planted(Planted::CheckpointBeforeState) {
            let mut first = sled::Batch::default();
            first.insert(key.clone(), checkpoint.clone());
            self.commit_first(first)?;
        }
        batch.insert(key, checkpoint);
        self.tree.apply_batch(batch).map_err(|error| self.failed("views", error))
    }

    fn end_partition_rebuild(&self, projection: &ProjectionId, change: &ViewChange, batch: &mut sled::Batch) {
        let Some(rebuilt) = &change.rebuilt else { return };
        if let Some(partition) = &rebuilt.dropped_view {
            batch.remove(view_key(projection, partition.as_str()).encode(self.group));
        }
        for position in &rebuilt.dropped_letters {
            batch.remove(dead_letter_key(projection, *position).encode(self.group));
        }
        let end = encode(&StoredPartitionRebuildEnd::from(&rebuilt.end));
        batch.insert(partition_rebuild_key(projection).encode(self.group), end);
    }

    /// The last rebuild of a single partition of a deployment that ended here.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn partition_rebuild(
        &self,
        projection: &ProjectionId,
    ) -> Result<Option<PartitionRebuildEnd>, StateError> {
        let Some(bytes) = self.get(partition_rebuild_key(projection))? else { return Ok(None) };
        let stored: StoredPartitionRebuildEnd<'_> =
            decode("partition rebuild", &bytes).map_err(|e| self.damaged("partition rebuild", e))?;
        Ok(Some(stored.into()))
    }

    /// A half of a step, durable before the whole: what only a planted bug does.
    fn commit_first(&self, half: sled::Batch) -> Result<(), StateError> {
        self.tree.apply_batch(half).map_err(|error| self.failed("views", error))?;
        self.flush()
    }

    /// A deployment's checkpoint; the default one when nothing is folded yet.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn checkpoint(&self, projection: &ProjectionId) -> Result<Checkpoint, StateError> {
        let Some(bytes) = self.get(checkpoint_key(projection))? else { return Ok(Checkpoint::default()) };
        self.read_checkpoint(&bytes)
    }

    fn read_checkpoint(&self, bytes: &[u8]) -> Result<Checkpoint, StateError> {
        let stored: StoredCheckpoint<'_> =
            decode("checkpoint", bytes).map_err(|e| self.damaged("checkpoint", e))?;
        stored.try_into().map_err(|e| self.damaged("checkpoint", e))
    }

    /// The highest position that any deployment has folded; 0 when none has.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn highest_checkpoint(&self) -> Result<Position, StateError> {
        Ok(self.checkpoints()?.into_iter().map(|checkpoint| checkpoint.position).max().unwrap_or_default())
    }

    pub(super) fn checkpoints(&self) -> Result<Vec<Checkpoint>, StateError> {
        let read = |entry: sled::Result<(sled::IVec, sled::IVec)>| {
            let (_, value) = entry.map_err(|error| self.failed("checkpoint", error))?;
            self.read_checkpoint(&value)
        };
        self.tree.scan_prefix(self.checkpoint_family()).map(read).collect()
    }

    /// The deployments that have a checkpoint here, still deployed or not, in
    /// order of names. A view is never without a checkpoint.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn kept(&self) -> Result<Vec<ProjectionId>, StateError> {
        let read = |key: sled::Result<sled::IVec>| {
            let key = key.map_err(|error| self.failed("checkpoint", error))?;
            let Some((_, StateKey::Checkpoint(name, deployed))) = StateKey::decode(&key) else {
                return Err(self.damaged("checkpoint", "a key is malformed"));
            };
            let name = ProjectionName::new(name).map_err(|e| self.damaged("checkpoint", e))?;
            Ok(ProjectionId { name, deployed })
        };
        self.tree.scan_prefix(self.checkpoint_family()).keys().map(read).collect()
    }

    /// What the keys of all checkpoints begin with: such a key of no name, without its ending.
    fn checkpoint_family(&self) -> Vec<u8> {
        let mut prefix = StateKey::Registry("").encode(self.group);
        *prefix.last_mut().expect("a key has a family byte") = b'c';
        prefix
    }

    /// One partition's state.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn view(
        &self,
        projection: &ProjectionId,
        partition: &PartitionKey,
    ) -> Result<Option<View>, StateError> {
        let Some(bytes) = self.get(view_key(projection, partition.as_str()))? else { return Ok(None) };
        self.read_view(&bytes).map(Some)
    }

    fn read_view(&self, bytes: &[u8]) -> Result<View, StateError> {
        let stored: StoredView<'_> = decode("view", bytes).map_err(|e| self.damaged("view", e))?;
        Ok(stored.into())
    }

    /// Partitions in byte order of their keys, after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn views(
        &self,
        projection: &ProjectionId,
        after: Option<&PartitionKey>,
        limit: usize,
    ) -> Result<Vec<(PartitionKey, View)>, StateError> {
        let prefix = view_key(projection, "").encode(self.group);
        let start = match after {
            Some(after) => Bound::Excluded(view_key(projection, after.as_str()).encode(self.group)),
            None => Bound::Included(prefix.clone()),
        };
        let mut views = Vec::new();
        for entry in self.tree.range::<Vec<u8>, _>((start, Bound::Unbounded)).take(limit) {
            let (key, value) = entry.map_err(|error| self.failed("views", error))?;
            if !key.starts_with(&prefix) {
                break;
            }
            let Some((_, StateKey::View(_, _, partition))) = StateKey::decode(&key) else {
                return Err(self.damaged("views", "a key is malformed"));
            };
            let partition = PartitionKey::new(partition).map_err(|e| self.damaged("views", e))?;
            views.push((partition, self.read_view(&value)?));
        }
        Ok(views)
    }

    /// Dead letters in order of their positions, after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn dead_letters(
        &self,
        projection: &ProjectionId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<BadEvent>, StateError> {
        let prefix = dead_letter_prefix(projection, self.group);
        let start = Bound::Excluded(dead_letter_key(projection, after).encode(self.group));
        let mut events = Vec::new();
        for entry in self.tree.range::<Vec<u8>, _>((start, Bound::Unbounded)).take(limit) {
            let (key, value) = entry.map_err(|error| self.failed("dead letters", error))?;
            if !key.starts_with(&prefix) {
                break;
            }
            let stored: StoredBadEvent<'_> =
                decode("dead letter", &value).map_err(|e| self.damaged("dead letter", e))?;
            events.push(stored.try_into().map_err(|e| self.damaged("dead letter", e))?);
        }
        Ok(events)
    }

    /// Drops a deployment's views, dead letters and checkpoint, in batches. Repeating it is harmless.
    ///
    /// # Errors
    /// [`StateError`]; some may be dropped by then.
    pub fn forget(&self, projection: &ProjectionId) -> Result<(), StateError> {
        self.drop_all(&view_key(projection, "").encode(self.group))?;
        self.drop_all(&dead_letter_prefix(projection, self.group))?;
        let key = partition_rebuild_key(projection).encode(self.group);
        self.tree.remove(key).map_err(|error| self.failed("forget", error))?;
        // Last, so that a crash before leaves a checkpoint to forget by.
        let key = checkpoint_key(projection).encode(self.group);
        self.tree.remove(key).map(|_| ()).map_err(|error| self.failed("forget", error))
    }

    fn drop_all(&self, prefix: &[u8]) -> Result<(), StateError> {
        loop {
            let mut batch = sled::Batch::default();
            let mut found = 0;
            for key in self.tree.scan_prefix(prefix).keys().take(FORGET_BATCH) {
                batch.remove(key.map_err(|error| self.failed("forget", error))?);
                found += 1;
            }
            self.tree.apply_batch(batch).map_err(|error| self.failed("forget", error))?;
            if found < FORGET_BATCH {
                return Ok(());
            }
        }
    }
}
