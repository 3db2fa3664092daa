//! Rebuilds of projections, and what is compared: told through the leader, seen where they are folded.

use std::time::Duration;

use tokio::time::Instant;
use weir_actors::projection::{CompareError, Comparison, DryRun, DryRunEnd, FoldState, ProjectionSnapshot};
use weir_api::{
    ApiError, ErrorCode,
    v1::{
        ComparisonView, DifferenceView, DigestView, ProjectionStatus, RebuildBody, RebuildJob,
        RebuildProgress, RebuildStatus,
    },
};
use weir_types::{
    Deployment, EventId, PartitionKey, PartitionRebuild, Position, ProjectionKind, ProjectionName,
    RegistryCommand, RegistryError, RegistryOutcome, ports::View,
};

use super::{Engine, projections};

/// How long a change waits until this node has it.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a projection is held for somebody to look at it.
const HOLD_MAX: Duration = Duration::from_secs(10);

impl Engine {
    /// Folds a projection's source again, on every node beside what answers, all of it or one partition; or, as a dry
    /// run, here alone.
    ///
    /// # Errors
    /// `projection_not_found`, `rebuild_conflict`, `invalid_request` for what cannot be exact, or what an append may
    /// be refused with.
    pub async fn rebuild(&self, name: ProjectionName, body: &RebuildBody) -> Result<RebuildJob, ApiError> {
        body.check()?;
        let partition = body.to_partition()?;
        if self.workers.is_registered(&name).await? {
            return self.rebuild_by_workers(&name, body).await;
        }
        let one = self.followed(&name).await?;
        if partition.is_some() {
            must_have_partitions(&one)?;
        }
        if body.dry_run {
            must_not_be_of_a_sink(&one, "a dry run would fold into its tables")?;
            let upto = match body.to_event_id.as_deref().filter(|id| !id.is_empty()) {
                Some(id) => Some(self.position_of(id).await?),
                None => None,
            };
            let began = self.projections.start_dry_run(&name, partition, upto, self.now()).await;
            if !began.map_err(refusal)? {
                return Err(running());
            }
            return self.rebuild_job(&name).await;
        }
        let now = self.projections.status(&name);
        let of_partition = self.partition_job(&one, now.as_ref()).filter(runs);
        if of_partition.is_some() || now.is_some_and(|now| now.next.is_some()) {
            return Err(running());
        }
        match partition {
            Some(partition) => self.rebuild_partition(name, partition).await,
            None => self.rebuild_whole(name).await,
        }
    }

    async fn rebuild_by_workers(
        &self,
        name: &ProjectionName,
        body: &RebuildBody,
    ) -> Result<RebuildJob, ApiError> {
        if body.dry_run {
            return Err(ApiError::invalid(
                "`dryRun`: workers fold this projection, and they fold nothing in vain",
            ));
        }
        if body.to_partition()?.is_some() {
            return Err(ApiError::invalid(
                "`partition`: workers fold this projection, and one checkpoint is of all its partitions; it is rebuilt whole",
            ));
        }
        self.workers.rebuild(name).await?;
        self.rebuild_job(name).await
    }

    async fn rebuild_whole(&self, name: ProjectionName) -> Result<RebuildJob, ApiError> {
        match self.register(RegistryCommand::Rebuild { name: name.clone(), asked_at: self.now() }).await? {
            RegistryOutcome::Refused(error) => Err(error.into()),
            RegistryOutcome::Deployed(id) => {
                self.projections.reconciled(id.deployed, Instant::now() + PATIENCE).await;
                self.rebuild_job(&name).await
            }
            RegistryOutcome::RulesRefused(error) => Err(error.into()),
            RegistryOutcome::Removed | RegistryOutcome::Changed | RegistryOutcome::RulesChanged(_) => {
                Err(ApiError::new(ErrorCode::Internal, "rebuild was answered as another command"))
            }
        }
    }

    async fn rebuild_partition(
        &self,
        name: ProjectionName,
        partition: PartitionKey,
    ) -> Result<RebuildJob, ApiError> {
        let asked_at = self.now();
        let command =
            RegistryCommand::RebuildPartition { name: name.clone(), partition: partition.clone(), asked_at };
        self.change_registry(command).await?;
        let is_it = |one: &PartitionRebuild| one.partition == partition && one.asked_at == asked_at;
        self.status_where(&name, |one| one.partition_rebuilds.iter().any(is_it)).await?;
        if self.deployed(&name).await?.last_partition_rebuild().is_some_and(is_it) {
            return self.rebuild_job(&name).await;
        }
        // This node is too far behind to know of it, or another was asked for since.
        let target = self.ports.reader.applied(self.group);
        let at = RebuildProgress { folded: Position::ZERO, target, rate: 0.0 };
        let job = RebuildJob::new(&name, RebuildStatus::Rebuilding, at).asked_at(asked_at);
        Ok(RebuildJob { partition: Some(partition.to_string()), job_id: format!("{name}@?"), ..job })
    }

    /// The last rebuild of a projection, or the last dry run if that was later, on this node.
    ///
    /// # Errors
    /// `projection_not_found`, `rebuild_conflict` when there was none, or a read error.
    pub async fn rebuild_job(&self, name: &ProjectionName) -> Result<RebuildJob, ApiError> {
        if self.workers.is_registered(name).await? {
            return self.worker_job(name).await;
        }
        let one = self.followed(name).await?;
        let of_partition = one.last_partition_rebuild().map(|rebuild| rebuild.asked_at);
        let asked_at = of_partition.or(one.rebuild.map(|rebuild| rebuild.asked_at));
        let dry_run =
            self.projections.dry_run(name).filter(|run| asked_at.is_none_or(|at| at <= run.asked_at));
        let applied = self.ports.reader.applied(self.group);
        if let Some(run) = dry_run {
            return Ok(dry_run_job(name, &run, applied));
        }
        let now = self.projections.status(name);
        self.partition_job(&one, now.as_ref())
            .or_else(|| self.job_of(&one, now.as_ref()))
            .ok_or_else(|| ApiError::new(ErrorCode::RebuildConflict, "projection was not rebuilt"))
    }

    /// What a name's newest generation does on this node, when it is a rebuild or does not answer yet.
    pub(super) fn job_of(&self, one: &Deployment, now: Option<&ProjectionSnapshot>) -> Option<RebuildJob> {
        let applied = self.ports.reader.applied(self.group);
        let next = now.and_then(|now| now.next.as_deref());
        if one.rebuild.is_none() && next.is_none() {
            return None;
        }
        let (status, at) = match (now, next) {
            (_, Some(next)) => (status_of(next), next),
            (Some(now), None) if now.id == one.id => (RebuildStatus::Completed, now),
            (Some(now), None) => (RebuildStatus::Cancelled, now),
            (None, None) => return None,
        };
        let target = match status {
            RebuildStatus::Completed => at.checkpoint.position,
            _ => applied,
        };
        let progress = RebuildProgress { folded: at.checkpoint.position, target, rate: at.events_per_second };
        let job = RebuildJob::new(&one.name, status, progress).of(&one.id);
        let job = job.failed_at(at.checkpoint.parked.as_ref().filter(|_| next.is_some()).map(|at| &at.event));
        Some(match one.rebuild {
            Some(rebuild) => job.asked_at(rebuild.asked_at),
            None => job,
        })
    }

    /// The rebuild of one partition that was asked for last, on this node; none while another generation is to answer
    /// or has begun since.
    pub(super) fn partition_job(
        &self,
        one: &Deployment,
        now: Option<&ProjectionSnapshot>,
    ) -> Option<RebuildJob> {
        let (last, now) = (one.last_partition_rebuild()?, now.filter(|now| now.next.is_none())?);
        let ended = now.partitions.ended.as_ref().filter(|end| end.at == last.at);
        let running = now.partitions.running.filter(|running| running.at == last.at);
        let status = match ended {
            Some(end) if end.failure.is_some() => RebuildStatus::Failed,
            Some(_) => RebuildStatus::Completed,
            None if last.cancelled => RebuildStatus::Cancelled,
            None if now.state == FoldState::Paused => RebuildStatus::Paused,
            None => RebuildStatus::Rebuilding,
        };
        let (folded, target) = match (ended, running) {
            (Some(end), _) => (end.position, end.position),
            (None, Some(running)) => (running.folded, now.checkpoint.position.max(running.folded)),
            (None, None) => (Position::ZERO, now.checkpoint.position),
        };
        let rate = running.map_or(0.0, |running| rate_of(running.folded, running.took));
        let job = RebuildJob::new(&one.name, status, RebuildProgress { folded, target, rate });
        let error = ended.and_then(|end| end.failure.clone());
        let job = job.of_partition(last.at, &last.partition).asked_at(last.asked_at);
        Some(RebuildJob { error, ..job })
    }

    /// Gives a rebuild up on every node on which it does not answer yet, or this node's dry run.
    ///
    /// # Errors
    /// `projection_not_found`, `rebuild_conflict` when none runs, or what an append may be refused with.
    pub async fn cancel_rebuild(&self, name: ProjectionName) -> Result<(), ApiError> {
        if self.workers.is_registered(&name).await? {
            return self.workers.cancel_rebuild(&name).await;
        }
        let one = self.followed(&name).await?;
        if self.projections.cancel_dry_run(&name).await {
            return Ok(());
        }
        let now = self.projections.status(&name);
        let of_partition = self.partition_job(&one, now.as_ref()).filter(runs);
        if of_partition.is_none() && now.is_some_and(|now| now.next.is_none()) {
            return Err(RegistryError::NotRebuilding.into());
        }
        must_not_be_of_a_sink(
            &one,
            "the tables of its rebuild may have taken the place of those before already",
        )?;
        self.change_registry(RegistryCommand::CancelRebuild(name)).await
    }

    /// Lets each of two names answer from what the other one did, in one step.
    ///
    /// # Errors
    /// `projection_not_found`, `projection_invalid` when they are one, or what an append may be refused with.
    pub async fn switch_projections(
        &self,
        one: ProjectionName,
        other: ProjectionName,
    ) -> Result<ProjectionStatus, ApiError> {
        let first = self.deployed(&one).await?;
        for deployed in [&first, &self.deployed(&other).await?] {
            must_not_be_of_a_sink(deployed, "its tables have its name there, by which others read them")?;
        }
        let before = first.id;
        self.change_registry(RegistryCommand::Switch(one.clone(), other)).await?;
        self.status_where(&one, |now| now.id != before).await
    }

    /// Compares two projections at one position on this node.
    ///
    /// # Errors
    /// `projection_not_found`, `stale` when one of them does not get there, or a read error.
    pub async fn diff_projections(
        &self,
        left: &ProjectionName,
        right: &ProjectionName,
        limit: usize,
    ) -> Result<ComparisonView, ApiError> {
        for name in [left, right] {
            self.followed(name).await?;
        }
        let compared = self.projections.compare(left, right, limit).await.map_err(refusal)?;
        Ok(comparison_view(&compared))
    }

    /// A projection's digest at exactly a position; without one it is held where it is.
    ///
    /// # Errors
    /// `projection_not_found`, `position_passed`, `stale` when it does not get there.
    pub async fn projection_digest(
        &self,
        name: &ProjectionName,
        position: Option<Position>,
    ) -> Result<DigestView, ApiError> {
        self.followed(name).await?;
        let (id, checkpoint) = match position {
            Some(position) => self.projections.held_at(name, position).await,
            None => self.projections.hold(name, HOLD_MAX).await,
        }
        .map_err(refusal)?;
        Ok(DigestView {
            name: name.as_str().into(),
            node_id: self.node.0,
            deployed: id.deployed.0,
            position: checkpoint.position.0,
            digest: format!("{:016x}", checkpoint.digest),
            folded_events: checkpoint.events,
            dead_letters: checkpoint.dead_letters,
        })
    }

    /// Where an event lies: ids are not indexed, so that it is looked for from the beginning.
    async fn position_of(&self, id: &str) -> Result<Position, ApiError> {
        let unknown = || ApiError::invalid(format!("`toEventId`: there is no event `{id}`"));
        let wanted = id.parse::<uuid::Uuid>().map(EventId).map_err(|_| unknown())?;
        let mut next = Position(1);
        loop {
            let events = self.ports.reader.read_log(self.group, next, 4_096).await?;
            if let Some(found) = events.iter().find(|event| event.id == wanted) {
                return Ok(found.position);
            }
            next = events.last().map(|event| event.position.next()).ok_or_else(unknown)?;
        }
    }
}

fn running() -> ApiError {
    ApiError::new(ErrorCode::RebuildConflict, "a rebuild of this projection runs already")
}

/// Whether a job is not at its end.
pub(super) fn runs(job: &RebuildJob) -> bool {
    matches!(job.status, RebuildStatus::Rebuilding | RebuildStatus::Paused)
}

/// Positions a second.
#[allow(clippy::cast_precision_loss, reason = "a rate is a float")]
fn rate_of(folded: Position, took: Duration) -> f64 {
    folded.0 as f64 / took.as_secs_f64().max(0.001)
}

/// What is done on one node, or undone, is not where all nodes have the same tables.
fn must_not_be_of_a_sink(one: &Deployment, why: &str) -> Result<(), ApiError> {
    let sink = one.generations().find_map(|(_, definition)| definition.sink.as_ref());
    match sink {
        None => Ok(()),
        Some(sink) => {
            let name = &one.name;
            Err(ApiError::invalid(format!("projection `{name}` folds into the sink `{sink}`: {why}")))
        }
    }
}

/// What is folded into tables has no partitions that could be rebuilt.
fn must_have_partitions(one: &Deployment) -> Result<(), ApiError> {
    match one.definition.kind {
        ProjectionKind::Async | ProjectionKind::Inline | ProjectionKind::Virtual => Ok(()),
        ProjectionKind::Sql => Err(ApiError::invalid(
            "`partition`: the tables of a projection of kind `sql` have no partitions; it is rebuilt whole",
        )),
    }
}

fn status_of(next: &ProjectionSnapshot) -> RebuildStatus {
    match next.state {
        FoldState::Parked => RebuildStatus::Failed,
        FoldState::Paused => RebuildStatus::Paused,
        FoldState::CatchingUp | FoldState::Live => RebuildStatus::Rebuilding,
    }
}

fn dry_run_job(name: &ProjectionName, run: &DryRun, applied: Position) -> RebuildJob {
    let status = match &run.end {
        None => RebuildStatus::Rebuilding,
        Some(DryRunEnd::Compared(compared)) if compared.digests.0 != compared.digests.1 => {
            RebuildStatus::DryRunDiffers
        }
        Some(DryRunEnd::Compared(_) | DryRunEnd::Folded(_)) => RebuildStatus::DryRunOk,
        Some(DryRunEnd::Failed(_)) => RebuildStatus::Failed,
        Some(DryRunEnd::Cancelled) => RebuildStatus::Cancelled,
    };
    let target = match status {
        RebuildStatus::DryRunOk | RebuildStatus::DryRunDiffers => run.folded,
        _ => run.upto.unwrap_or(applied),
    };
    let rate = rate_of(run.folded, run.took);
    let job = RebuildJob::new(name, status, RebuildProgress { folded: run.folded, target, rate });
    let (result, error) = match &run.end {
        Some(DryRunEnd::Compared(compared)) => (Some(comparison_view(compared)), None),
        Some(DryRunEnd::Folded(checkpoint)) => {
            (Some(folded_view(checkpoint.position, checkpoint.digest)), None)
        }
        Some(DryRunEnd::Failed(reason)) => (None, Some(reason.clone())),
        None | Some(DryRunEnd::Cancelled) => (None, None),
    };
    let partition = run.partition.as_ref().map(ToString::to_string);
    RebuildJob { dry_run: true, partition, result, error, ..job.asked_at(run.asked_at) }
}

fn comparison_view(compared: &Comparison) -> ComparisonView {
    let view = |one: &weir_actors::projection::Difference| {
        DifferenceView::new(one.partition.as_str(), one.left.as_ref() as Option<&View>, one.right.as_ref())
    };
    ComparisonView {
        position: compared.position.0,
        equal: compared.digests.0 == compared.digests.1,
        left_digest: format!("{:016x}", compared.digests.0),
        right_digest: format!("{:016x}", compared.digests.1),
        differences: compared.differences.iter().map(view).collect(),
        truncated: compared.truncated,
    }
}

/// A fold that was compared with nothing: only its digest is told.
fn folded_view(position: Position, digest: u64) -> ComparisonView {
    let digest = format!("{digest:016x}");
    ComparisonView {
        position: position.0,
        equal: true,
        left_digest: digest.clone(),
        right_digest: digest,
        differences: Vec::new(),
        truncated: false,
    }
}

fn refusal(error: CompareError) -> ApiError {
    let message = error.to_string();
    match error {
        CompareError::View(error) => projections::refusal(error),
        CompareError::Outdated => ApiError::new(ErrorCode::RebuildConflict, message),
        CompareError::Passed { wanted, folded } => ApiError::new(ErrorCode::PositionPassed, message)
            .with("wanted", wanted.0)
            .with("folded", folded.0),
        CompareError::NotThere { wanted, folded } => {
            ApiError::new(ErrorCode::Stale, message).with("wanted", wanted.0).with("applied", folded.0)
        }
        CompareError::TooLong => ApiError::new(ErrorCode::DeadlineExceeded, message),
        CompareError::Read(error) => error.into(),
    }
}
