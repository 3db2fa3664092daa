use std::{sync::Arc, time::Duration};

use ractor::{Actor, ActorRef};
use tokio::time::{Instant, timeout_at};
use weir_types::{
    BadEvent, Consistency, LogIndex, PartitionKey, Planted, Position, ProjectionId, ProjectionName,
    ReadError, planted,
    ports::{Checkpoint, View},
};

use super::{
    progress::{FoldState, ProgressReceiver, ProjectionSnapshot},
    supervisor::{Board, Message, ProjectionSupervisor, ProjectionsArguments, ProjectionsError},
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
        if self.supervisor.stop_and_wait(None, Some(STOP_PATIENCE)).await.is_err() {
            self.supervisor.kill();
        }
    }

    /// Every projection that runs here, by name and deployment.
    #[must_use]
    pub fn list(&self) -> Vec<ProjectionSnapshot> {
        let applied = self.arguments.reader.applied(self.arguments.group);
        let rows = self.board.rows.read().expect("no holder of the lock panics");
        rows.iter().map(|(id, progress)| progress.borrow().snapshot(id, applied)).collect()
    }

    /// One projection, or `None` when no such runs here. After a deploy was
    /// applied it takes a moment until it does.
    #[must_use]
    pub fn status(&self, name: &ProjectionName) -> Option<ProjectionSnapshot> {
        let (id, progress) = self.find(name)?;
        let applied = self.arguments.reader.applied(self.arguments.group);
        let snapshot = progress.borrow().snapshot(&id, applied);
        Some(snapshot)
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
        let folded = self.folded(name, Consistency::AtLeast(position), patience).await;
        folded.map(|(_, checkpoint)| checkpoint)
    }

    pub(super) fn arguments(&self) -> &ProjectionsArguments {
        &self.arguments
    }

    fn find(&self, name: &ProjectionName) -> Option<(ProjectionId, ProgressReceiver)> {
        let rows = self.board.rows.read().expect("no holder of the lock panics");
        let newest = rows.iter().rev().find(|(id, _)| id.name == *name);
        newest.map(|(id, progress)| (id.clone(), progress.subscribe()))
    }

    /// Waits until the projection is folded as far as asked.
    async fn folded(
        &self,
        name: &ProjectionName,
        consistency: Consistency,
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
            let (id, mut progress) = self.running(name, deadline).await?;
            let waited = timeout_at(
                deadline,
                progress.wait_for(|progress| progress.checkpoint.position >= wanted || progress.is_stopped()),
            );
            // Out of time, or removed meanwhile: what is known last decides.
            let late = waited.await.is_err();
            // What was folded that far was applied that far, and with it every deployment before: the
            // answer must not be of the one that another has replaced by then.
            let replaced = self.arguments.views.registry_at(group) != registry;
            if replaced && !late && consistency != Consistency::Local {
                continue;
            }
            let (checkpoint, state) = {
                let progress = progress.borrow();
                (progress.checkpoint.clone(), progress.state)
            };
            let folded = checkpoint.position;
            return match checkpoint.parked {
                _ if folded >= wanted => Ok((id, checkpoint)),
                _ if state == FoldState::Paused => Err(ViewError::Paused { wanted, folded }),
                Some(parked) => Err(ViewError::Parked { wanted, folded, event: Box::new(parked.event) }),
                None => Err(ViewError::Stale { wanted, folded }),
            };
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
    pub(super) async fn running(
        &self,
        name: &ProjectionName,
        deadline: Instant,
    ) -> Result<(ProjectionId, ProgressReceiver), ViewError> {
        let mut changes = self.board.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(found) = self.find(name) {
                return Ok(found);
            }
            let deployed = self.arguments.views.projections(self.arguments.group).await?;
            if !deployed.iter().any(|(id, _)| id.name == *name) {
                return Err(ViewError::NotFound);
            }
            let changed = timeout_at(deadline, changes.changed()).await;
            let stale = ViewError::Stale { wanted: Position::ZERO, folded: Position::ZERO };
            changed.map_err(|_| stale)?.map_err(|_| ViewError::NotFound)?;
        }
    }
}
