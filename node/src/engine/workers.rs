//! Worker-run projections, as the edges ask for them.

use std::sync::Arc;

use tokio::time::timeout;

use weir_api::{
    ApiError, ErrorCode,
    v1::{ProjectionStatus, RebuildJob, RebuildProgress, RebuildStatus},
};
use weir_types::{Consistency, LogIndex, PartitionKey, Position, ProjectionId, ProjectionName, ports::View};

use super::{Engine, projections::VIEW_PATIENCE};
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

    /// The rebuild of a worker-run projection, or how far it is where none runs.
    pub(super) async fn worker_job(&self, name: &ProjectionName) -> Result<RebuildJob, ApiError> {
        let progress = self.workers.progress(name).await?;
        let status = match (&progress.parked, progress.worker.rebuild_checkpoint) {
            (_, None) => RebuildStatus::Completed,
            (Some(_), Some(_)) => RebuildStatus::Failed,
            (None, Some(_)) if progress.paused => RebuildStatus::Paused,
            (None, Some(_)) => RebuildStatus::Rebuilding,
        };
        let folded = Position(progress.worker.rebuild_checkpoint.unwrap_or(progress.checkpoint));
        let target = Position(progress.applied).max(folded);
        let job = RebuildJob::new(name, status, RebuildProgress { folded, target, rate: 0.0 });
        let id = ProjectionId { name: name.clone(), deployed: LogIndex(progress.generation) };
        Ok(RebuildJob { error: progress.parked, ..job.of(&id) })
    }

    /// One partition of a worker-run projection, as this node has applied it.
    pub(super) async fn worker_view(
        &self,
        name: &ProjectionName,
        partition: &PartitionKey,
        consistency: Consistency,
    ) -> Result<(ProjectionStatus, Option<View>), ApiError> {
        let ready = self.ready(consistency).await?;
        let wanted = match consistency {
            Consistency::Local => Position::ZERO,
            Consistency::AtLeast(position) => position,
            Consistency::Linearizable => ready,
        };
        let late =
            |_| ApiError::new(ErrorCode::Stale, "workers have not saved so far").with("wanted", wanted.0);
        timeout(VIEW_PATIENCE, self.workers.saved_to(name, wanted)).await.map_err(late)??;
        let status = ProjectionStatus::of_worker(self.workers.progress(name).await?);
        Ok((status, self.workers.view(name, partition).await?))
    }
}
