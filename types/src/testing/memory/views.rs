//! Views and checkpoints.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::{StreamExt, channel::mpsc, stream::BoxStream};

use super::MemoryLog;
use crate::{
    BadEvent, Deployment, GroupId, LogIndex, PartitionKey, Position, ProjectionId, ReadError,
    ports::{Checkpoint, PartitionRebuildEnd, View, ViewChange, ViewStore},
};

/// One projection's checkpoint and views.
#[derive(Default)]
pub(super) struct Folded {
    checkpoint: Checkpoint,
    views: BTreeMap<PartitionKey, View>,
    dead_letters: Vec<BadEvent>,
    partition_rebuild: Option<PartitionRebuildEnd>,
}

#[async_trait]
impl ViewStore for MemoryLog {
    async fn deployments(&self, _group: GroupId) -> Result<Vec<Deployment>, ReadError> {
        Ok(self.inner().registry.deployments().cloned().collect())
    }

    fn registry_at(&self, _group: GroupId) -> LogIndex {
        self.inner().registry_at
    }

    fn registry_changes(&self, _group: GroupId) -> BoxStream<'static, ()> {
        let (sender, receiver) = mpsc::unbounded();
        self.inner().registry_watchers.push(sender);
        futures::stream::once(async {}).chain(receiver).boxed()
    }

    async fn commit(
        &self,
        _group: GroupId,
        projection: &ProjectionId,
        change: ViewChange,
    ) -> Result<(), ReadError> {
        let mut inner = self.inner();
        let folded = inner.folded.entry(projection.clone()).or_default();
        if change.checkpoint.position < folded.checkpoint.position {
            let reason = format!("checkpoint falls to {} (P1)", change.checkpoint.position);
            return Err(ReadError::Storage { reason });
        }
        folded.checkpoint = change.checkpoint;
        folded.views.extend(change.views);
        let new = &change.dead_letters;
        folded.dead_letters.retain(|old| !new.iter().any(|event| event.position == old.position));
        folded.dead_letters.extend(change.dead_letters);
        if let Some(rebuilt) = change.rebuilt {
            folded.views.retain(|key, _| Some(key) != rebuilt.dropped_view.as_ref());
            folded.dead_letters.retain(|old| !rebuilt.dropped_letters.contains(&old.position));
            folded.dead_letters.sort_by_key(|event| event.position);
            folded.partition_rebuild = Some(rebuilt.end);
        }
        Ok(())
    }

    async fn partition_rebuild(
        &self,
        _group: GroupId,
        projection: &ProjectionId,
    ) -> Result<Option<PartitionRebuildEnd>, ReadError> {
        Ok(self.inner().folded.get(projection).and_then(|folded| folded.partition_rebuild.clone()))
    }

    async fn checkpoint(&self, _group: GroupId, projection: &ProjectionId) -> Result<Checkpoint, ReadError> {
        let inner = self.inner();
        Ok(inner.folded.get(projection).map(|folded| folded.checkpoint.clone()).unwrap_or_default())
    }

    async fn view(
        &self,
        _group: GroupId,
        projection: &ProjectionId,
        partition: &PartitionKey,
    ) -> Result<Option<View>, ReadError> {
        let inner = self.inner();
        Ok(inner.folded.get(projection).and_then(|folded| folded.views.get(partition)).cloned())
    }

    async fn views(
        &self,
        _group: GroupId,
        projection: &ProjectionId,
        after: Option<&PartitionKey>,
        limit: usize,
    ) -> Result<Vec<(PartitionKey, View)>, ReadError> {
        let inner = self.inner();
        let Some(folded) = inner.folded.get(projection) else { return Ok(Vec::new()) };
        let rest = folded.views.iter().filter(|(key, _)| after.is_none_or(|after| *key > after));
        Ok(rest.take(limit).map(|(key, view)| (key.clone(), view.clone())).collect())
    }

    async fn dead_letters(
        &self,
        _group: GroupId,
        projection: &ProjectionId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<BadEvent>, ReadError> {
        let inner = self.inner();
        let kept =
            inner.folded.get(projection).map(|folded| folded.dead_letters.as_slice()).unwrap_or_default();
        Ok(kept.iter().filter(|event| event.position > after).take(limit).cloned().collect())
    }

    async fn kept(&self, _group: GroupId) -> Result<Vec<ProjectionId>, ReadError> {
        Ok(self.inner().folded.keys().cloned().collect())
    }

    async fn forget(&self, _group: GroupId, projection: &ProjectionId) -> Result<(), ReadError> {
        self.inner().folded.remove(projection);
        Ok(())
    }
}
