//! Views, checkpoints and rules of this node, kept in the state off the runtime.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use tokio::sync::watch;
use tokio_stream::{StreamExt, wrappers::WatchStream};
use weir_storage::group_store::GroupStore;
use weir_types::{
    BadEvent, Deployment, GroupId, LogIndex, PartitionKey, Position, ProjectionId, ReadError, RuleSet,
    ports::{Checkpoint, PartitionRebuildEnd, RuleStore, View, ViewChange, ViewStore},
};

use crate::{
    applied::Applied,
    read::{hosted, off_runtime},
};

/// The views of one group on one node.
pub(crate) struct GroupViews {
    store: GroupStore,
    applied: watch::Receiver<Applied>,
}

impl GroupViews {
    pub(crate) fn new(store: GroupStore, applied: watch::Receiver<Applied>) -> Arc<Self> {
        Arc::new(Self { store, applied })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        group: GroupId,
        task: impl FnOnce(&GroupStore) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        hosted(&self.store, group)?;
        off_runtime(self.store.clone(), task).await
    }
}

#[async_trait]
impl RuleStore for GroupViews {
    fn rules_at(&self, _group: GroupId) -> LogIndex {
        self.applied.borrow().rules
    }

    async fn rules(&self, group: GroupId) -> Result<RuleSet, ReadError> {
        self.blocking(group, |store| Ok(store.state.rules()?)).await
    }
}

#[async_trait]
impl ViewStore for GroupViews {
    async fn deployments(&self, group: GroupId) -> Result<Vec<Deployment>, ReadError> {
        self.blocking(group, |store| Ok(store.state.registry()?)).await
    }

    fn registry_at(&self, _group: GroupId) -> LogIndex {
        self.applied.borrow().registry
    }

    fn registry_changes(&self, _group: GroupId) -> BoxStream<'static, ()> {
        let mut seen = None;
        let changes = WatchStream::new(self.applied.clone()).filter_map(move |applied| {
            let changed = seen.replace(applied.registry) != Some(applied.registry);
            changed.then_some(())
        });
        Box::pin(changes)
    }

    async fn commit(
        &self,
        group: GroupId,
        projection: &ProjectionId,
        change: ViewChange,
    ) -> Result<(), ReadError> {
        let projection = projection.clone();
        self.blocking(group, move |store| Ok(store.state.commit_views(&projection, &change)?)).await
    }

    async fn checkpoint(&self, group: GroupId, projection: &ProjectionId) -> Result<Checkpoint, ReadError> {
        let projection = projection.clone();
        self.blocking(group, move |store| Ok(store.state.checkpoint(&projection)?)).await
    }

    async fn partition_rebuild(
        &self,
        group: GroupId,
        projection: &ProjectionId,
    ) -> Result<Option<PartitionRebuildEnd>, ReadError> {
        let projection = projection.clone();
        self.blocking(group, move |store| Ok(store.state.partition_rebuild(&projection)?)).await
    }

    async fn view(
        &self,
        group: GroupId,
        projection: &ProjectionId,
        partition: &PartitionKey,
    ) -> Result<Option<View>, ReadError> {
        let (projection, partition) = (projection.clone(), partition.clone());
        self.blocking(group, move |store| Ok(store.state.view(&projection, &partition)?)).await
    }

    async fn views(
        &self,
        group: GroupId,
        projection: &ProjectionId,
        after: Option<&PartitionKey>,
        limit: usize,
    ) -> Result<Vec<(PartitionKey, View)>, ReadError> {
        let (projection, after) = (projection.clone(), after.cloned());
        self.blocking(group, move |store| Ok(store.state.views(&projection, after.as_ref(), limit)?)).await
    }

    async fn dead_letters(
        &self,
        group: GroupId,
        projection: &ProjectionId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<BadEvent>, ReadError> {
        let projection = projection.clone();
        self.blocking(group, move |store| Ok(store.state.dead_letters(&projection, after, limit)?)).await
    }

    async fn kept(&self, group: GroupId) -> Result<Vec<ProjectionId>, ReadError> {
        self.blocking(group, |store| Ok(store.state.kept()?)).await
    }

    async fn forget(&self, group: GroupId, projection: &ProjectionId) -> Result<(), ReadError> {
        let projection = projection.clone();
        self.blocking(group, move |store| Ok(store.state.forget(&projection)?)).await
    }
}
