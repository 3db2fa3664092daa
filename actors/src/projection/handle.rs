use std::{
    collections::BTreeMap,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use ractor::{Actor, ActorRef};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::warn;
use weir_types::{
    BadEvent, Consistency, Deployment, LogIndex, PartitionKey, Planted, Position, ProjectionId,
    ProjectionKind, ProjectionName, ReadError, Timestamp, planted,
    ports::{Checkpoint, View},
};

use super::{
    brake::Hold,
    compare::{COMPARE_MAX, CompareError, Comparison, differences},
    dry_run::{self, DryRun},
    progress::{FoldState, Progress, ProjectionSnapshot},
    supervisor::{
        Board, Message, ProjectionSupervisor, ProjectionsArguments, ProjectionsError, Row, Running,
    },
};

/// How long stopping waits for the folds at hand.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// Deployments that a read of a view tries while each is replaced under it.
const DEPLOYMENTS_TRIED: usize = 8;

/// Why a view was not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// No such projection is deployed.
    #[error("projection not found")]
    NotFound,
    /// It is virtual: nothing follows the log, and there is a state only when somebody asks for a stream's.
    #[error("projection is virtual: it is folded when the state of a stream is read through it")]
    Virtual,
    /// It was not folded that far in time.
    #[error("projection is folded up to {folded} only, not {wanted}")]
    Stale {
        /// What the read asked for.
        wanted: Position,
        /// What there is.
        folded: Position,
    },
    /// It is parked before the position that the read asked for.
    #[error("projection is parked after {folded}, before {wanted}: {event}")]
    Parked {
        /// What the read asked for.
        wanted: Position,
        /// What there is.
        folded: Position,
        /// Why it is parked.
        event: Box<BadEvent>,
    },
    /// It is paused before the position that the read asked for.
    #[error("projection is paused after {folded}, before {wanted}")]
    Paused {
        /// What the read asked for.
        wanted: Position,
        /// What there is.
        folded: Position,
    },
    /// The store failed, or no leader could be asked.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// One partition's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewAnswer {
    /// The deployment that answers.
    pub id: ProjectionId,
    /// The state; `None` when no event of the partition is folded.
    pub view: Option<View>,
    /// What is folded: the state is the fold of exactly what lies up to here.
    pub checkpoint: Checkpoint,
}

/// A page of partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewsAnswer {
    /// The deployment that answers.
    pub id: ProjectionId,
    /// The partitions in byte order of their keys.
    pub views: Vec<(PartitionKey, View)>,
    /// What was folded when the states were read, at least.
    pub checkpoint: Checkpoint,
}

/// The projections of a group on this node. Cheap to clone.
#[derive(Clone)]
pub struct ProjectionsHandle {
    arguments: ProjectionsArguments,
    board: Arc<Board>,
    supervisor: ActorRef<Message>,
}

impl ProjectionsHandle {
    /// Starts folding what is deployed, now and later.
    ///
    /// # Errors
    /// [`ProjectionsError`], which only a bug leads to.
    pub async fn start(arguments: ProjectionsArguments) -> Result<Self, ProjectionsError> {
        let board = Arc::new(Board::default());
        let spawned = Actor::spawn(None, ProjectionSupervisor, (arguments.clone(), board.clone())).await;
        let (supervisor, _) = spawned.map_err(|error| ProjectionsError { reason: error.to_string() })?;
        Ok(Self { arguments, board, supervisor })
    }

    /// Stops folding; what is folded stays. Waits for the steps at hand.
    pub async fn stop(&self) {
        self.board.pasts.end();
        if self.supervisor.stop_and_wait(None, Some(STOP_PATIENCE)).await.is_err() {
            self.supervisor.kill();
        }
    }

    /// Every projection that runs here, by name.
    #[must_use]
    pub fn list(&self) -> Vec<(ProjectionName, ProjectionSnapshot)> {
        let rows = self.board.rows.read().expect("no holder of the lock panics");
        rows.iter().map(|(name, row)| (name.clone(), self.snapshot(row))).collect()
    }

    /// One projection, or `None` when no such runs here. After a deploy was
    /// applied it takes a moment until it does.
    #[must_use]
    pub fn status(&self, name: &ProjectionName) -> Option<ProjectionSnapshot> {
        self.row(name).map(|row| self.snapshot(&row))
    }

    /// The generation that answers for a deployment on this node, once it is looked after here. The registry may have
    /// forgotten it.
    #[must_use]
    pub fn serving(&self, one: &Deployment) -> Option<ProjectionId> {
        self.row(&one.name).filter(|row| row.first == one.first).map(|row| row.serving.id)
    }

    fn snapshot(&self, row: &Row) -> ProjectionSnapshot {
        let applied = self.arguments.reader.applied(self.arguments.group);
        let of = |running: &Running| ProjectionSnapshot {
            partitions: running.partitions.borrow().clone(),
            ..running.progress.borrow().snapshot(&running.id, applied)
        };
        ProjectionSnapshot { next: row.next.as_ref().map(|next| Box::new(of(next))), ..of(&row.serving) }
    }

    fn row(&self, name: &ProjectionName) -> Option<Row> {
        self.board.rows.read().expect("no holder of the lock panics").get(name).cloned()
    }

    /// The last dry run of a projection on this node.
    #[must_use]
    pub fn dry_run(&self, name: &ProjectionName) -> Option<DryRun> {
        self.board.dry_runs.get(name)
    }

    /// Begins to fold a projection's source again beside it, or of it one
    /// partition, only to compare what comes of it; up to a position, or as
    /// far as it is folded then. Whether it began: one at a time does.
    ///
    /// # Errors
    /// [`CompareError`]; `Outdated` when another source is about to take over.
    pub async fn start_dry_run(
        &self,
        name: &ProjectionName,
        partition: Option<PartitionKey>,
        upto: Option<Position>,
        asked_at: Timestamp,
    ) -> Result<bool, CompareError> {
        let serving = self.answering(name).await?;
        let deployed = self.arguments.views.deployments(self.arguments.group).await?;
        let of_name = deployed.iter().find(|one| one.name == *name).ok_or(ViewError::NotFound)?;
        let source = of_name.generations().find(|(id, _)| **id == serving.id);
        let (_, definition) = source.ok_or(CompareError::Outdated)?;
        let (name, definition) = (name.clone(), definition.clone());
        let wanted = dry_run::Wanted { name, definition, upto, partition, asked_at, serving };
        Ok(dry_run::start(&self.board.dry_runs, self.arguments.clone(), wanted))
    }

    /// Gives a dry run up; whether one ran.
    pub async fn cancel_dry_run(&self, name: &ProjectionName) -> bool {
        let Some(scratch) = self.board.dry_runs.cancel(name) else { return false };
        if let Err(error) = self.arguments.forget(&scratch).await {
            warn!(projection = %name, %error, "views of a dry run are not dropped yet");
        }
        true
    }

    /// Holds a projection where it is, for at most `patience`, so that it can
    /// be looked at with [`ProjectionsHandle::held_at`]; gives where it is.
    ///
    /// # Errors
    /// [`CompareError`].
    pub async fn hold(
        &self,
        name: &ProjectionName,
        patience: Duration,
    ) -> Result<(ProjectionId, Checkpoint), CompareError> {
        let serving = self.answering(name).await?;
        let hold = serving.hold(patience.min(COMPARE_MAX)).await;
        self.holds().insert(name.clone(), (serving.id.clone(), hold));
        Ok((serving.id.clone(), serving.checkpoint()))
    }

    /// The checkpoint of a projection at exactly `position`, to which it goes
    /// on from where it was held. It is let go then.
    ///
    /// # Errors
    /// [`CompareError`]; `Passed` when nobody held it before the position.
    pub async fn held_at(
        &self,
        name: &ProjectionName,
        position: Position,
    ) -> Result<(ProjectionId, Checkpoint), CompareError> {
        let serving = self.answering(name).await?;
        let held = self.holds().remove(name).filter(|(id, _)| *id == serving.id).map(|(_, hold)| hold);
        let mut hold = match held {
            Some(hold) => hold,
            None => serving.hold(COMPARE_MAX).await,
        };
        hold.extend(COMPARE_MAX);
        let checkpoint = serving.fold_to(&mut hold, position, Instant::now() + COMPARE_MAX).await?;
        Ok((serving.id.clone(), checkpoint))
    }

    /// What answers for a name here, once it does.
    async fn answering(&self, name: &ProjectionName) -> Result<Running, ViewError> {
        Ok(self.running(name, Instant::now() + COMPARE_MAX).await?.serving)
    }

    fn holds(&self) -> MutexGuard<'_, BTreeMap<ProjectionName, (ProjectionId, Hold)>> {
        self.board.holds.lock().expect("no holder of the lock panics")
    }

    /// Compares two projections at one position on this node, which both are
    /// folded to and held at meanwhile; names the first `limit` partitions that differ.
    ///
    /// # Errors
    /// [`CompareError`].
    pub async fn compare(
        &self,
        left: &ProjectionName,
        right: &ProjectionName,
        limit: usize,
    ) -> Result<Comparison, CompareError> {
        let left = self.answering(left).await?;
        let right = self.answering(right).await?;
        let deadline = Instant::now() + COMPARE_MAX;
        let (mut left_hold, mut right_hold) = (left.hold(COMPARE_MAX).await, right.hold(COMPARE_MAX).await);
        let position = left_hold.position().max(right_hold.position());
        let (at_left, at_right) = tokio::try_join!(
            left.fold_to(&mut left_hold, position, deadline),
            right.fold_to(&mut right_hold, position, deadline)
        )?;
        let digests = (at_left.digest, at_right.digest);
        let (found, truncated) = match digests.0 == digests.1 {
            true => (Vec::new(), false),
            false => {
                let ProjectionsArguments { views, group, .. } = &self.arguments;
                differences(views, *group, &left.id, &right.id, limit).await?
            }
        };
        if !left_hold.stands_for(Duration::ZERO) || !right_hold.stands_for(Duration::ZERO) {
            return Err(CompareError::TooLong);
        }
        Ok(Comparison { position, digests, differences: found, truncated })
    }

    /// Waits until this generation of a projection answers here, or none that is newer could, at most until `deadline`.
    pub async fn answers(&self, name: &ProjectionName, id: &ProjectionId, deadline: Instant) {
        let mut changes = self.board.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let waits = self.row(name).is_some_and(|row| row.next.is_some_and(|next| next.id == *id));
            if !waits || timeout_at(deadline, changes.changed()).await.is_err() {
                return;
            }
        }
    }

    /// One partition's state, once the projection has folded what `consistency`
    /// asks for; `Local` does not wait. `partition` is
    /// [`PartitionKey::global`] for a projection without a partition key.
    ///
    /// # Errors
    /// [`ViewError`]; `Stale` when it took longer than `patience`.
    pub async fn view(
        &self,
        name: &ProjectionName,
        partition: &PartitionKey,
        consistency: Consistency,
        patience: Duration,
    ) -> Result<ViewAnswer, ViewError> {
        for _ in 0..DEPLOYMENTS_TRIED {
            let (id, checkpoint) = self.folded(name, consistency, patience).await?;
            if let Some((view, checkpoint)) = self.at_checkpoint(&id, partition, checkpoint).await? {
                return Ok(ViewAnswer { id, view, checkpoint });
            }
        }
        Err(ViewError::Stale { wanted: Position::ZERO, folded: Position::ZERO })
    }

    /// The state together with the checkpoint that it reflects, which is not
    /// before `checkpoint`; `None` when the deployment was dropped meanwhile.
    ///
    /// The two are read one after the other, and folding goes on between. A
    /// state whose last event lies after the checkpoint is of a later one.
    async fn at_checkpoint(
        &self,
        id: &ProjectionId,
        partition: &PartitionKey,
        mut checkpoint: Checkpoint,
    ) -> Result<Option<(Option<View>, Checkpoint)>, ReadError> {
        let (views, group) = (&self.arguments.views, self.arguments.group);
        loop {
            let view = views.view(group, id, partition).await?;
            if planted(Planted::ViewOfAnotherMoment) {
                return Ok(Some((view, views.checkpoint(group, id).await?)));
            }
            let reflected = view.as_ref().is_some_and(|view| view.position <= checkpoint.position);
            if reflected {
                return Ok(Some((view, checkpoint)));
            }
            let stored = views.checkpoint(group, id).await?;
            if stored.position < checkpoint.position {
                return Ok(None);
            }
            if view.is_none() {
                return Ok(Some((view, checkpoint)));
            }
            checkpoint = stored;
        }
    }

    /// A page of partitions after `after`, at most `limit`; as [`Self::view`] else.
    ///
    /// # Errors
    /// As [`Self::view`].
    pub async fn views(
        &self,
        name: &ProjectionName,
        after: Option<&PartitionKey>,
        limit: usize,
        consistency: Consistency,
        patience: Duration,
    ) -> Result<ViewsAnswer, ViewError> {
        let (id, checkpoint) = self.folded(name, consistency, patience).await?;
        let views = self.arguments.views.views(self.arguments.group, &id, after, limit).await?;
        Ok(ViewsAnswer { id, views, checkpoint })
    }

    /// Waits until a projection has folded a position here, and gives its checkpoint then.
    ///
    /// # Errors
    /// [`ViewError`]; `Stale` when it took longer than `patience`.
    pub async fn folded_to(
        &self,
        name: &ProjectionName,
        position: Position,
        patience: Duration,
    ) -> Result<Checkpoint, ViewError> {
        // Who waits has a position in hand, and reads nothing yet.
        let folded = self.folded_and(name, Consistency::AtLeast(position), Position::ZERO, patience).await;
        folded.map(|(_, checkpoint)| checkpoint)
    }

    /// Waits until a projection is folded as far as `consistency` asks for, and gives what answers and how far it is.
    ///
    /// # Errors
    /// [`ViewError`].
    pub async fn reached(
        &self,
        name: &ProjectionName,
        consistency: Consistency,
        patience: Duration,
    ) -> Result<(ProjectionId, Checkpoint), ViewError> {
        self.folded(name, consistency, patience).await
    }

    /// Waits until what is read here of a projection is as new as its kind promises.
    ///
    /// # Errors
    /// [`ViewError`].
    pub async fn current(&self, name: &ProjectionName, patience: Duration) -> Result<(), ViewError> {
        self.folded(name, Consistency::Local, patience).await.map(drop)
    }

    pub(super) fn board(&self) -> &Board {
        &self.board
    }

    pub(super) fn shared_board(&self) -> Arc<Board> {
        self.board.clone()
    }

    pub(super) fn arguments(&self) -> &ProjectionsArguments {
        &self.arguments
    }

    /// Waits until the projection is folded as far as a read asks for, and as its kind promises.
    async fn folded(
        &self,
        name: &ProjectionName,
        consistency: Consistency,
        patience: Duration,
    ) -> Result<(ProjectionId, Checkpoint), ViewError> {
        let applied = self.arguments.reader.applied(self.arguments.group);
        self.folded_and(name, consistency, applied, patience).await
    }

    /// Waits until the projection is folded as far as asked, and an inline one as far as was `applied`.
    async fn folded_and(
        &self,
        name: &ProjectionName,
        consistency: Consistency,
        applied: Position,
        patience: Duration,
    ) -> Result<(ProjectionId, Checkpoint), ViewError> {
        let deadline = Instant::now() + patience;
        let group = self.arguments.group;
        let wanted = match consistency {
            Consistency::Local => Position::ZERO,
            Consistency::AtLeast(_) if planted(Planted::ViewTooEarly) => Position::ZERO,
            Consistency::AtLeast(position) => position,
            Consistency::Linearizable => {
                let ready = self.arguments.reader.ready(group, consistency);
                let late =
                    |_| ReadError::Unavailable { reason: "leadership is not confirmed in time".into() };
                timeout_at(deadline, ready).await.map_err(late)??
            }
        };
        loop {
            let registry = self.arguments.views.registry_at(group);
            if consistency != Consistency::Local {
                self.reconciled(registry, deadline).await;
            }
            let waited = self.folded_once(name, wanted, applied, deadline).await?;
            // What was folded that far was applied that far, and with it every deployment before: the
            // answer must not be of a name that was removed by then, nor of one that another took over from.
            let replaced = self.arguments.views.registry_at(group) != registry;
            if replaced && consistency != Consistency::Local && Instant::now() < deadline {
                continue;
            }
            return waited;
        }
    }

    /// Waits until what answers is folded as far as asked, and an inline one as far as was `applied`; a generation
    /// that takes its place goes on for it.
    async fn folded_once(
        &self,
        name: &ProjectionName,
        asked: Position,
        applied: Position,
        deadline: Instant,
    ) -> Result<Result<(ProjectionId, Checkpoint), ViewError>, ViewError> {
        let mut changes = self.board.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let row = self.running(name, deadline).await?;
            let wanted = match row.serving.kind {
                ProjectionKind::Inline => asked.max(applied),
                ProjectionKind::Async | ProjectionKind::Virtual | ProjectionKind::Sql => asked,
            };
            let mut progress = row.serving.progress.subscribe();
            let waits = row.next.is_some();
            let done = |progress: &Progress| {
                // One that is stopped may have a successor that is not.
                progress.checkpoint.position >= wanted || (progress.is_stopped() && !waits)
            };
            tokio::select! {
                biased;
                Ok(now) = progress.wait_for(done) => return Ok(answer(row.serving.id, &now, wanted)),
                Ok(()) = changes.changed() => {}
                () = sleep_until(deadline) => {
                    return Ok(answer(row.serving.id, &row.serving.progress.borrow(), wanted));
                }
            }
        }
    }

    /// Waits until what runs here is what is deployed as of a registry command,
    /// at most until `deadline`.
    pub async fn reconciled(&self, registry: LogIndex, deadline: Instant) {
        let mut reconciled = self.board.reconciled.subscribe();
        // Past the deadline the answer is of what runs, as without this wait.
        drop(timeout_at(deadline, reconciled.wait_for(|at| *at >= registry)).await);
    }

    /// Finds a projection that runs, and waits for one that is deployed and about to.
    pub(super) async fn running(&self, name: &ProjectionName, deadline: Instant) -> Result<Row, ViewError> {
        let mut changes = self.board.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(found) = self.row(name) {
                return Ok(found);
            }
            let deployed = self.arguments.views.deployments(self.arguments.group).await?;
            let found = deployed.iter().find(|one| one.name == *name).ok_or(ViewError::NotFound)?;
            if found.definition.kind == ProjectionKind::Virtual {
                return Err(ViewError::Virtual);
            }
            let changed = timeout_at(deadline, changes.changed()).await;
            let stale = ViewError::Stale { wanted: Position::ZERO, folded: Position::ZERO };
            changed.map_err(|_| stale)?.map_err(|_| ViewError::NotFound)?;
        }
    }
}

/// What a read is answered with a projection that is so far.
fn answer(
    id: ProjectionId,
    progress: &Progress,
    wanted: Position,
) -> Result<(ProjectionId, Checkpoint), ViewError> {
    let checkpoint = progress.checkpoint.clone();
    let folded = checkpoint.position;
    match checkpoint.parked {
        _ if folded >= wanted => Ok((id, progress.checkpoint.clone())),
        _ if progress.state == FoldState::Paused => Err(ViewError::Paused { wanted, folded }),
        Some(parked) => Err(ViewError::Parked { wanted, folded, event: Box::new(parked.event) }),
        None => Err(ViewError::Stale { wanted, folded }),
    }
}
