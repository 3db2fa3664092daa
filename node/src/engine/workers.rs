//! Worker-run projections, as the edges ask for them.

use std::sync::Arc;

use weir_api::{ApiError, v1::ProjectionStatus};
use weir_types::{Consistency, PartitionKey, ProjectionName, ports::View};

use super::Engine;
use crate::workers::{Workers, kind_conflict};

impl Engine {
    /// The worker-run projections of this node, which hands out their events while it leads.
    #[must_use]
    pub fn workers(&self) -> &Arc<Workers> {
        &self.workers
    }

    /// Refuses a name that a worker-run projection has.
    pub(super) async fn must_not_be_worker_run(&self, name: &ProjectionName) -> Result<(), ApiError> {
        self.ready(Consistency::Linearizable).await?;
        match self.workers.is_registered(name).await? {
            true => Err(kind_conflict("workers")),
            false => Ok(()),
        }
    }

    /// The statuses of all worker-run projections.
    pub(super) async fn worker_statuses(&self) -> Result<Vec<ProjectionStatus>, ApiError> {
        let all = self.workers.all_progress().await?;
        Ok(all.into_iter().map(ProjectionStatus::of_worker).collect())
    }

    /// One partition of a worker-run projection, as this node has applied it.
    pub(super) async fn worker_view(
        &self,
        name: &ProjectionName,
        partition: &PartitionKey,
        consistency: Consistency,
    ) -> Result<(ProjectionStatus, Option<View>), ApiError> {
        self.ready(consistency).await?;
        let status = ProjectionStatus::of_worker(self.workers.progress(name).await?);
        Ok((status, self.workers.view(name, partition).await?))
    }
}
