use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use weir_types::{
    PartitionKey, Partitions, Position, ProjectionId, ProjectionKind, ProjectionName, ReadError, ports::View,
};

use super::{
    given::Given,
    handle::{ProjectionsHandle, ViewError},
    progress::Progress,
    supervisor::Running,
};

/// Partitions that a look through all of them holds at once, each with its state.
const PAGE: usize = 32;
/// How long a projection that is deployed may take to run here.
const RUNNING_PATIENCE: Duration = Duration::from_secs(5);

/// What a follower of a projection's states is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewFrame {
    /// A partition's newest state.
    State {
        /// The partition.
        partition: PartitionKey,
        /// Its state.
        view: View,
    },
    /// Once: all that there was at the beginning is given.
    CaughtUp {
        /// What was folded then.
        checkpoint: Position,
    },
    /// Nothing new.
    Heartbeat {
        /// What is folded.
        checkpoint: Position,
    },
    /// Another deployment has taken the place of the one before. Its states follow when it has folded as far.
    Redeployed {
        /// The deployment.
        id: ProjectionId,
    },
    /// The last: the projection is removed.
    Removed,
}

/// Follows the states of a projection on this node: first those that are there, then every new one. A follower holds
/// no states: what it is slow to take is read when it takes it, so that the newest wins.
///
/// Within a deployment the position of a partition's state never falls from one frame to the next.
pub struct ViewWatch {
    handle: ProjectionsHandle,
    name: ProjectionName,
    partitions: Partitions,
    heartbeat: Duration,
    id: ProjectionId,
    progress: watch::Receiver<Progress>,
    given: Given,
    /// A deployment before was given up to here: this one is silent until it is as far.
    hold: Position,
    todo: Todo,
    ended: bool,
}

enum Todo {
    /// These, and nothing else.
    Keys(VecDeque<PartitionKey>),
    /// All partitions, from after one on; these of it first.
    All {
        after: Option<PartitionKey>,
        keys: VecDeque<PartitionKey>,
        whole: bool,
    },
    Nothing,
}

impl ProjectionsHandle {
    /// Follows the states of a projection. Of those that there are, only what changed after a position is given.
    ///
    /// # Errors
    /// [`ViewError`].
    pub async fn watch(
        &self,
        name: &ProjectionName,
        partitions: Partitions,
        after: Position,
        heartbeat: Duration,
    ) -> Result<ViewWatch, ViewError> {
        let Running { id, kind, progress, .. } =
            self.running(name, Instant::now() + RUNNING_PATIENCE).await?.serving;
        if kind == ProjectionKind::Inline {
            self.current(name, RUNNING_PATIENCE).await?;
        }
        let progress = progress.subscribe();
        let mut given = Given::up_to(after);
        given.aim(progress.borrow().checkpoint.position);
        let todo = Todo::of_all(&partitions);
        Ok(ViewWatch {
            handle: self.clone(),
            name: name.clone(),
            partitions,
            heartbeat,
            id,
            progress,
            given,
            hold: Position::ZERO,
            todo,
            ended: false,
        })
    }
}

impl Todo {
    /// Whatever there is of these partitions.
    fn of_all(partitions: &Partitions) -> Self {
        match partitions {
            Partitions::One(key) => Self::Keys(VecDeque::from([key.clone()])),
            Partitions::All => Self::All { after: None, keys: VecDeque::new(), whole: false },
        }
    }
}

impl ViewWatch {
    /// The deployment that is followed.
    #[must_use]
    pub fn id(&self) -> &ProjectionId {
        &self.id
    }

    /// The next frame; `None` after the last. Waits for it. Dropping the future loses none.
    ///
    /// # Errors
    /// [`ViewError`], after which it is not to be used.
    pub async fn next(&mut self) -> Result<Option<ViewFrame>, ViewError> {
        let heartbeat = Instant::now() + self.heartbeat;
        while !self.ended {
            if let Some(key) = self.next_key().await? {
                if let Some(frame) = self.state_of(key).await? {
                    return Ok(Some(frame));
                }
                continue;
            }
            if let Some(frame) = self.end_round() {
                return Ok(Some(frame));
            }
            if let Some(frame) = self.begin_round(heartbeat).await? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// The next partition to look at. It stays to do until its state is given.
    async fn next_key(&mut self) -> Result<Option<PartitionKey>, ReadError> {
        loop {
            match &mut self.todo {
                Todo::Nothing => return Ok(None),
                Todo::Keys(keys) => return Ok(keys.front().cloned()),
                Todo::All { keys, whole, .. } if *whole || !keys.is_empty() => {
                    return Ok(keys.front().cloned());
                }
                Todo::All { after, .. } => {
                    let (arguments, after) = (self.handle.arguments(), after.clone());
                    let page = arguments.views.views(arguments.group, &self.id, after.as_ref(), PAGE).await?;
                    let last = page.last().map(|(key, _)| key.clone());
                    let newer = page.iter().filter(|(_, view)| view.position > self.given.seen());
                    let keys = newer.map(|(key, _)| key.clone()).collect();
                    self.todo = Todo::All { whole: page.len() < PAGE, after: last.or(after), keys };
                }
            }
        }
    }

    /// The state of a partition, if it is not given yet.
    async fn state_of(&mut self, key: PartitionKey) -> Result<Option<ViewFrame>, ReadError> {
        let arguments = self.handle.arguments();
        let view = arguments.views.view(arguments.group, &self.id, &key).await?;
        if let Todo::Keys(keys) | Todo::All { keys, .. } = &mut self.todo {
            keys.pop_front();
        }
        Ok(view.and_then(|view| self.given.give(key, view)))
    }

    /// What was to do is done.
    fn end_round(&mut self) -> Option<ViewFrame> {
        match std::mem::replace(&mut self.todo, Todo::Nothing) {
            Todo::Nothing => None,
            Todo::Keys(_) | Todo::All { .. } => self.given.end_round(),
        }
    }

    /// Waits until something is folded that is not given.
    async fn begin_round(&mut self, heartbeat: Instant) -> Result<Option<ViewFrame>, ViewError> {
        let from = self.given.seen().max(Position(self.hold.0.saturating_sub(1)));
        let (partitions, seen) = (&self.partitions, self.given.seen());
        let folded = self.progress.wait_for(|progress| progress.checkpoint.position > from);
        let found = |progress: watch::Ref<'_, Progress>| {
            (progress.checkpoint.position, todo_of(&progress, partitions, seen))
        };
        let waited = timeout_at(heartbeat, folded).await.map(|folded| folded.map(found));
        match waited {
            Err(_) => {
                let checkpoint = self.progress.borrow().checkpoint.position;
                Ok(Some(ViewFrame::Heartbeat { checkpoint }))
            }
            Ok(Ok((target, todo))) => {
                self.given.aim(target);
                self.todo = todo;
                Ok(None)
            }
            Ok(Err(_)) => self.follow_next(heartbeat).await,
        }
    }

    /// The deployment has gone: another one follows, or none.
    async fn follow_next(&mut self, heartbeat: Instant) -> Result<Option<ViewFrame>, ViewError> {
        match self.handle.running(&self.name, heartbeat).await {
            Ok(row) => {
                let Running { id, progress, .. } = row.serving;
                (self.id, self.progress) = (id.clone(), progress.subscribe());
                self.hold = self.hold.max(self.given.seen());
                self.given.forget();
                Ok(Some(ViewFrame::Redeployed { id }))
            }
            Err(ViewError::NotFound | ViewError::Virtual) => {
                self.ended = true;
                Ok(Some(ViewFrame::Removed))
            }
            // It is deployed, and does not run yet.
            Err(ViewError::Stale { .. }) => Ok(Some(ViewFrame::Heartbeat { checkpoint: self.given.seen() })),
            Err(error) => Err(error),
        }
    }
}

/// What changed after a checkpoint: as far as it is remembered, or else whatever there is.
fn todo_of(progress: &Progress, partitions: &Partitions, seen: Position) -> Todo {
    let Some(changed) = progress.recent.since(seen) else { return Todo::of_all(partitions) };
    let keys: BTreeSet<&PartitionKey> = changed.filter(|key| partitions.take(key)).collect();
    Todo::Keys(keys.into_iter().cloned().collect())
}
