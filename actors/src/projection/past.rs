use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::{OnceCell, watch},
    task::AbortHandle,
    time::{Instant, sleep_until, timeout},
};
use tracing::warn;
use weir_types::{
    BadEvent, LogIndex, PartitionKey, Position, ProjectionDefinition, ProjectionId, ProjectionName,
    ReadError, RecordedEvent, Timestamp,
    limits::{PAST_FOLDS_MAX, PAST_FOLDS_RUNNING_MAX},
    ports::{Checkpoint, View},
};

use super::{
    fold::Fold,
    handle::{ProjectionsHandle, ViewError},
    supervisor::{Board, ProjectionsArguments},
};

/// How long a projection that is deployed may take to run here.
const RUNNING_PATIENCE: Duration = Duration::from_secs(5);
/// Events of one step.
const BATCH_EVENTS: usize = 4_096;
/// How long a fold is kept after somebody looked at it last.
const KEPT_FOR: Duration = Duration::from_secs(600);
/// Where the numbers of these folds begin, which no command has as its index. Those of dry runs count down from the end.
const SCRATCH: u64 = u64::MAX / 2;

/// A moment of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// When the log ended with this position.
    At(Position),
    /// Before the first event that was recorded later than this.
    AsOf(Timestamp),
}

/// How a fold of the past ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PastEnd {
    /// It is at its moment.
    Ready(Checkpoint),
    /// The projection cannot fold this event, which lies before the moment.
    Parked(Box<BadEvent>),
    /// The store or the log failed.
    Failed(String),
}

/// A projection as it was, folded beside what answers, on this node alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// The generation whose source is folded.
    pub id: ProjectionId,
    /// The moment.
    pub moment: Moment,
    /// What is folded.
    pub folded: Position,
    /// Up to where it folds at most.
    pub target: Position,
    /// Time that it has taken.
    pub took: Duration,
    /// Whether nothing that is appended from now on can belong before the moment.
    pub closed: bool,
    /// How it ended, when it did.
    pub end: Option<PastEnd>,
}

/// Why the past of a projection was not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PastError {
    /// No such projection runs here.
    #[error("projection not found")]
    NotFound,
    /// The moment is none of the past on this node.
    #[error("position {wanted} is not applied here, only {applied}")]
    NotApplied {
        /// The moment's position.
        wanted: Position,
        /// What there is.
        applied: Position,
    },
    /// As many as may be are folded now.
    #[error("node folds {PAST_FOLDS_RUNNING_MAX} projections of the past already, which is its limit")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The folds of the past that a node has.
#[derive(Default)]
pub(super) struct Pasts {
    kept: Mutex<BTreeMap<Key, Kept>>,
    made: Mutex<u64>,
    /// The last number that folds before the node's start had: what they left may be there still.
    left: OnceCell<u64>,
}

type Key = (ProjectionId, Moment);

struct Kept {
    scratch: ProjectionId,
    used: Instant,
    progress: watch::Sender<Past>,
    task: Option<AbortHandle>,
}

impl Kept {
    fn runs(&self) -> bool {
        self.progress.borrow().end.is_none()
    }
}

impl Pasts {
    fn kept(&self) -> MutexGuard<'_, BTreeMap<Key, Kept>> {
        self.kept.lock().expect("no holder of the lock panics")
    }

    /// Whether this is what a fold of the past keeps.
    pub(super) fn is_scratch(&self, id: &ProjectionId) -> bool {
        self.kept().values().any(|kept| kept.scratch == *id)
    }

    /// Ends all folds; what they leave goes with the node's next start.
    pub(super) fn end(&self) {
        self.kept().clear();
    }

    /// Finds out, once, which numbers are taken by what is left of before the node's start.
    async fn look_for_left(&self, stands_on: &ProjectionsArguments) -> Result<(), ReadError> {
        let look = async || {
            let kept = stands_on.views.kept(stands_on.group).await?;
            let numbers = kept.iter().filter_map(|id| id.deployed.0.checked_sub(SCRATCH));
            // Beyond these are the numbers of dry runs.
            Ok(numbers.filter(|number| *number < SCRATCH / 2).max().unwrap_or(0))
        };
        self.left.get_or_try_init(look).await.map(drop)
    }

    fn number(&self) -> u64 {
        let mut made = self.made.lock().expect("no holder of the lock panics");
        *made += 1;
        SCRATCH + self.left.get().copied().unwrap_or(0) + *made
    }
}

impl ProjectionsHandle {
    /// The fold of a projection's present source up to a moment, which begins
    /// with the first who asks and is kept for a while. Waits at most
    /// `patience` for its end.
    ///
    /// # Errors
    /// [`PastError`].
    pub async fn past(
        &self,
        name: &ProjectionName,
        moment: Moment,
        patience: Duration,
    ) -> Result<Past, PastError> {
        let (id, definition) = self.serving_source(name).await?;
        let applied = self.arguments().reader.applied(self.arguments().group);
        let target = match moment {
            Moment::At(wanted) if wanted > applied => return Err(PastError::NotApplied { wanted, applied }),
            Moment::At(position) => position,
            Moment::AsOf(_) => applied,
        };
        self.board().pasts.look_for_left(self.arguments()).await?;
        let mut progress = self.looked_at(&id, definition, moment, target)?;
        // Not at its end in time: how far it is, is the answer.
        drop(timeout(patience, progress.wait_for(|past| past.end.is_some())).await);
        let past = progress.borrow().clone();
        Ok(past)
    }

    /// A partition's state in a fold of the past that is at its moment.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn past_view(&self, past: &Past, partition: &PartitionKey) -> Result<Option<View>, ReadError> {
        let Some(scratch) = self.scratch_of(past) else { return Ok(None) };
        self.arguments().views.view(self.arguments().group, &scratch, partition).await
    }

    /// Partitions of such a fold, after `after`, in byte order of their keys.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn past_views(
        &self,
        past: &Past,
        after: Option<&PartitionKey>,
        limit: usize,
    ) -> Result<Vec<(PartitionKey, View)>, ReadError> {
        let Some(scratch) = self.scratch_of(past) else { return Ok(Vec::new()) };
        self.arguments().views.views(self.arguments().group, &scratch, after, limit).await
    }

    fn scratch_of(&self, past: &Past) -> Option<ProjectionId> {
        let mut kept = self.board().pasts.kept();
        let kept = kept.get_mut(&(past.id.clone(), past.moment))?;
        kept.used = Instant::now();
        Some(kept.scratch.clone())
    }

    async fn serving_source(
        &self,
        name: &ProjectionName,
    ) -> Result<(ProjectionId, ProjectionDefinition), PastError> {
        // One that is deployed and does not run yet is waited for, as for any read.
        let running = self.running(name, Instant::now() + RUNNING_PATIENCE).await;
        let serving = running.map_err(|error| match error {
            ViewError::Read(error) => PastError::Read(error),
            _ => PastError::NotFound,
        })?;
        let deployed = self.arguments().views.deployments(self.arguments().group).await?;
        let of_name = deployed.iter().find(|one| one.name == *name).ok_or(PastError::NotFound)?;
        // The registry may have forgotten what answers: then the newest source is folded.
        let found = of_name.generations().find(|(id, _)| **id == serving.serving.id);
        let (id, definition) = found.unwrap_or((&of_name.id, &of_name.definition));
        Ok((id.clone(), definition.clone()))
    }

    /// The fold that there is, or one that begins now.
    fn looked_at(
        &self,
        id: &ProjectionId,
        definition: ProjectionDefinition,
        moment: Moment,
        target: Position,
    ) -> Result<watch::Receiver<Past>, PastError> {
        let pasts = &self.board().pasts;
        let mut all = pasts.kept();
        let key = (id.clone(), moment);
        if let Some(kept) = all.get_mut(&key) {
            kept.used = Instant::now();
            let past = kept.progress.borrow().clone();
            let failed = matches!(past.end, Some(PastEnd::Failed(_)));
            let grown = past.end.is_some() && !past.closed && target > past.target;
            if !failed && !grown {
                return Ok(kept.progress.subscribe());
            }
        }
        if all.values().filter(|kept| kept.runs()).count() >= PAST_FOLDS_RUNNING_MAX {
            return Err(PastError::Busy);
        }
        let gone = (all.len() >= PAST_FOLDS_MAX).then(|| oldest(&all)).flatten();
        let gone = gone.into_iter().chain([key.clone()]).filter_map(|key| all.remove(&key));
        let gone: Vec<_> = gone.map(|kept| kept.scratch.clone()).collect();
        let scratch = ProjectionId { name: id.name.clone(), deployed: LogIndex(pasts.number()) };
        let begun = Past {
            id: id.clone(),
            moment,
            folded: Position::ZERO,
            target,
            took: Duration::ZERO,
            closed: matches!(moment, Moment::At(_)),
            end: None,
        };
        let progress = watch::Sender::new(begun);
        let receiver = progress.subscribe();
        let folding = Folding {
            stands_on: self.arguments().clone(),
            deployed: id.deployed,
            scratch: scratch.clone(),
            definition: Arc::new(definition),
            moment,
            target,
            progress: progress.clone(),
        };
        let (board, mine) = (self.shared_board(), key.clone());
        let task = tokio::spawn(async move {
            for scratch in gone {
                forget(&folding.stands_on, &scratch).await;
            }
            let end = folding.run().await;
            folding.progress.send_modify(|past| past.end = Some(end));
            folding.keep(&board, &mine).await;
        });
        let task = Some(task.abort_handle());
        all.insert(key, Kept { scratch, used: Instant::now(), progress, task });
        Ok(receiver)
    }
}

/// The fold that is at its end and was looked at before all others.
fn oldest(all: &BTreeMap<Key, Kept>) -> Option<Key> {
    let ended = all.iter().filter(|(_, kept)| !kept.runs());
    ended.min_by_key(|(_, kept)| kept.used).map(|(key, _)| key.clone())
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

struct Folding {
    stands_on: ProjectionsArguments,
    /// When its source was deployed: it is folded by the upcasters of then.
    deployed: LogIndex,
    scratch: ProjectionId,
    definition: Arc<ProjectionDefinition>,
    moment: Moment,
    target: Position,
    progress: watch::Sender<Past>,
}

impl Folding {
    async fn run(&self) -> PastEnd {
        match self.fold().await {
            Ok(end) => end,
            Err(reason) => PastEnd::Failed(reason),
        }
    }

    /// Folds from the log's beginning up to the moment.
    async fn fold(&self) -> Result<PastEnd, String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let upcasts = self.stands_on.upcasting.as_of(self.deployed).await.map_err(|e| told(&e))?;
        let (id, definition) = (self.scratch.clone(), self.definition.clone());
        let fold = Fold::start(&self.stands_on, id, definition, upcasts, LogIndex::ZERO);
        let fold = fold.await.map_err(|e| told(&e))?;
        let (mut at, began) = (Checkpoint::default(), Instant::now());
        while at.position < self.target {
            let events = self.read(at.position.next()).await?;
            let whole = events.len();
            let events = self.until_moment(events);
            let mut rest = events.as_slice();
            while !rest.is_empty() {
                let folded = fold.step(&at, Arc::new(rest.to_vec())).await.map_err(|e| told(&e))?;
                if let Some(parked) = folded.checkpoint.parked {
                    return Ok(PastEnd::Parked(Box::new(parked.event)));
                }
                rest = &rest[folded.passed..];
                at = folded.checkpoint;
                self.progress.send_modify(|past| {
                    (past.folded, past.took) = (at.position, began.elapsed());
                });
            }
            if events.len() < whole {
                self.progress.send_modify(|past| past.closed = true);
                break;
            }
        }
        self.progress.send_modify(|past| past.target = at.position);
        Ok(PastEnd::Ready(at))
    }

    async fn read(&self, next: Position) -> Result<Vec<RecordedEvent>, String> {
        let ProjectionsArguments { group, reader, .. } = &self.stands_on;
        let events = reader.read_log(*group, next, BATCH_EVENTS).await;
        let mut events = events.map_err(|error| error.to_string())?;
        events.truncate(events.partition_point(|event| event.position <= self.target));
        match events.first() {
            Some(first) if first.position == next => Ok(events),
            _ => Err(format!("local log has no event at position {next}")),
        }
    }

    fn until_moment(&self, mut events: Vec<RecordedEvent>) -> Vec<RecordedEvent> {
        if let Moment::AsOf(time) = self.moment
            && let Some(later) = events.iter().position(|event| event.recorded_at > time)
        {
            events.truncate(later);
        }
        events
    }

    /// Waits until nobody has looked at it for long, and drops it.
    async fn keep(&self, board: &Board, key: &Key) {
        loop {
            let until = match board.pasts.kept().get(key) {
                Some(kept) if kept.scratch == self.scratch => kept.used + KEPT_FOR,
                // Another has taken its place, or room for another was made of it.
                _ => return,
            };
            if until > Instant::now() {
                sleep_until(until).await;
                continue;
            }
            // Dropping what is kept ends this task at its next wait: it must have none before it is forgotten.
            let kept = board.pasts.kept().remove(key);
            if let Some(mut kept) = kept {
                kept.task = None;
                forget(&self.stands_on, &self.scratch).await;
            }
            return;
        }
    }
}

/// Drops the views of a fold. What is left by an error goes with the node's next start.
async fn forget(stands_on: &ProjectionsArguments, scratch: &ProjectionId) {
    if let Err(error) = stands_on.forget(scratch).await {
        warn!(projection = %scratch.name, %error, "views of the past are not dropped yet");
    }
}
