use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{task::AbortHandle, time::Instant};
use tracing::{info, warn};
use weir_types::{
    BadEvent, LogIndex, PartitionKey, Position, ProjectionDefinition, ProjectionId, ProjectionName,
    ReadError, Timestamp,
    ports::{Checkpoint, View},
};

use super::{
    compare::{COMPARE_MAX, Comparison, Difference, differences},
    fold::{Fold, FoldError},
    partition::{Part, no_events},
    supervisor::{ProjectionsArguments, Running},
};

/// Events of one step.
const BATCH_EVENTS: usize = 4_096;
/// From how near to what answers that one is stopped until it is reached.
const NEAR_EVENTS: u64 = 4_096;
/// Partitions that a dry run names which would be another.
const DIFFERENCES_MAX: usize = 20;

/// How a dry run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DryRunEnd {
    /// It folded as far as what answers here, and was compared with it.
    Compared(Comparison),
    /// It folded up to the position that it was given, which what answers has passed.
    Folded(Checkpoint),
    /// It could not go on.
    Failed(String),
    /// Somebody gave it up.
    Cancelled,
}

/// Why a fold beside a projection does not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    /// It cannot fold this event.
    #[error("{0}")]
    Parked(Box<BadEvent>),
    /// The store or the log failed.
    #[error("{0}")]
    Failed(String),
}

/// A fold beside a projection that never answers, on this node alone.
#[derive(Debug, Clone, PartialEq)]
pub struct DryRun {
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// What it has folded.
    pub folded: Position,
    /// Up to where it is to fold; what answers at its end, when absent.
    pub upto: Option<Position>,
    /// The one partition that it folds, where it is not all.
    pub partition: Option<PartitionKey>,
    /// Time that it has taken.
    pub took: Duration,
    /// How it ended, when it did.
    pub end: Option<DryRunEnd>,
}

/// The dry runs of a node, the last one of each projection.
#[derive(Default)]
pub(super) struct DryRuns(Mutex<BTreeMap<ProjectionName, Kept>>);

struct Kept {
    run: DryRun,
    began: Instant,
    scratch: ProjectionId,
    task: Option<AbortHandle>,
}

/// What is to be folded.
pub(super) struct Wanted {
    pub(super) name: ProjectionName,
    pub(super) definition: ProjectionDefinition,
    pub(super) upto: Option<Position>,
    /// The one partition, where it is not all.
    pub(super) partition: Option<PartitionKey>,
    pub(super) asked_at: Timestamp,
    /// What it is compared with.
    pub(super) serving: Running,
}

impl DryRuns {
    fn kept(&self) -> MutexGuard<'_, BTreeMap<ProjectionName, Kept>> {
        self.0.lock().expect("no holder of the lock panics")
    }

    pub(super) fn get(&self, name: &ProjectionName) -> Option<DryRun> {
        self.kept().get(name).map(Kept::now)
    }

    /// Whether this is what a dry run keeps while it runs.
    pub(super) fn is_scratch(&self, id: &ProjectionId) -> bool {
        self.kept().values().any(|kept| kept.task.is_some() && kept.scratch == *id)
    }

    /// Ends a dry run; whether one ran.
    pub(super) fn cancel(&self, name: &ProjectionName) -> Option<ProjectionId> {
        let mut runs = self.kept();
        let kept = runs.get_mut(name)?;
        let task = kept.task.take()?;
        task.abort();
        kept.end(DryRunEnd::Cancelled);
        Some(kept.scratch.clone())
    }

    fn tell(&self, name: &ProjectionName, folded: Position) {
        if let Some(kept) = self.kept().get_mut(name) {
            kept.run.folded = folded;
        }
    }

    fn end(&self, name: &ProjectionName, end: DryRunEnd) {
        if let Some(kept) = self.kept().get_mut(name) {
            kept.task = None;
            kept.end(end);
        }
    }
}

impl Kept {
    fn now(&self) -> DryRun {
        let took = if self.run.end.is_some() { self.run.took } else { self.began.elapsed() };
        DryRun { took, ..self.run.clone() }
    }

    fn end(&mut self, end: DryRunEnd) {
        (self.run.took, self.run.end) = (self.began.elapsed(), Some(end));
    }
}

/// Begins a dry run, unless one of this projection runs.
pub(super) fn start(runs: &Arc<DryRuns>, stands_on: ProjectionsArguments, wanted: Wanted) -> bool {
    let (shared, name) = (runs.clone(), wanted.name.clone());
    let mut all = runs.kept();
    if all.get(&name).is_some_and(|kept| kept.task.is_some()) {
        return false;
    }
    // No command has such an index, and no two generations have the same.
    let ProjectionId { name: source, deployed } = wanted.serving.id.clone();
    let scratch = ProjectionId { name: source, deployed: LogIndex(u64::MAX - deployed.0) };
    let run = DryRun {
        asked_at: wanted.asked_at,
        folded: Position::ZERO,
        upto: wanted.upto,
        partition: wanted.partition.clone(),
        took: Duration::ZERO,
        end: None,
    };
    let id = scratch.clone();
    let task = tokio::spawn(async move {
        let name = wanted.name.clone();
        let end = match fold(&shared, &stands_on, &wanted, &id).await {
            Ok(end) => end,
            Err(reason) => DryRunEnd::Failed(reason),
        };
        info!(projection = %name, ?end, "dry run ended");
        if let Err(error) = stands_on.forget(&id).await {
            warn!(projection = %name, %error, "views of a dry run are not dropped yet");
        }
        shared.end(&name, end);
    });
    all.insert(name, Kept { run, began: Instant::now(), scratch, task: Some(task.abort_handle()) });
    true
}

/// Folds from the log's beginning to the end that is wanted.
async fn fold(
    runs: &DryRuns,
    stands_on: &ProjectionsArguments,
    wanted: &Wanted,
    scratch: &ProjectionId,
) -> Result<DryRunEnd, String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let part = part_of(stands_on, wanted, scratch).await.map_err(|e| told(&e))?;
    let fold = match &part {
        Some(part) => part.fold().await.map_err(|e| told(&e))?,
        None => whole(stands_on, wanted, scratch).await.map_err(|e| told(&e))?,
    };
    let mut checkpoint = Checkpoint::default();
    loop {
        let serving = wanted.serving.checkpoint().position;
        if wanted.upto.is_none_or(|upto| upto >= serving)
            && serving.0 <= checkpoint.position.0.saturating_add(NEAR_EVENTS)
        {
            break;
        }
        if wanted.upto == Some(checkpoint.position) {
            return Ok(DryRunEnd::Folded(checkpoint));
        }
        checkpoint = step(stands_on, &fold, checkpoint, wanted.upto).await.map_err(|e| told(&e))?;
        runs.tell(&wanted.name, checkpoint.position);
    }
    let mut hold = wanted.serving.hold(COMPARE_MAX).await;
    let position = wanted.upto.unwrap_or(hold.position()).max(hold.position());
    let current = wanted.serving.fold_to(&mut hold, position, Instant::now() + COMPARE_MAX / 2).await;
    let current = current.map_err(|e| told(&e))?;
    while checkpoint.position < position {
        checkpoint = step(stands_on, &fold, checkpoint, Some(position)).await.map_err(|e| told(&e))?;
        runs.tell(&wanted.name, checkpoint.position);
    }
    let compared = match &part {
        Some(part) => compared_part(part, position).await?,
        None => compared_whole(stands_on, wanted, scratch, (&current, &checkpoint)).await?,
    };
    if !hold.stands_for(Duration::ZERO) {
        return Err(format!("comparison took longer than {} s", COMPARE_MAX.as_secs()));
    }
    Ok(DryRunEnd::Compared(compared))
}

/// The fold of all partitions.
async fn whole(
    stands_on: &ProjectionsArguments,
    wanted: &Wanted,
    scratch: &ProjectionId,
) -> Result<Fold, FoldError> {
    stands_on.forget(scratch).await?;
    let definition = Arc::new(wanted.definition.clone());
    // As of an index that no command has: by those that a rebuild would fold by now.
    let upcasts = stands_on.upcasting.as_of(scratch.deployed).await?;
    Fold::start(stands_on, scratch.clone(), definition, upcasts, LogIndex::ZERO).await
}

/// The one partition that is wanted, if it is one. It is folded by the upcasters of what answers, as its rebuild is.
async fn part_of(
    stands_on: &ProjectionsArguments,
    wanted: &Wanted,
    scratch: &ProjectionId,
) -> Result<Option<Part>, ReadError> {
    let Some(partition) = wanted.partition.clone() else { return Ok(None) };
    let of = wanted.serving.id.clone();
    Ok(Some(Part {
        stands_on: stands_on.clone(),
        scratch: scratch.clone(),
        partition,
        definition: Arc::new(wanted.definition.clone()),
        upcasts: stands_on.upcasting.as_of(of.deployed).await?,
        of,
    }))
}

async fn compared_whole(
    stands_on: &ProjectionsArguments,
    wanted: &Wanted,
    scratch: &ProjectionId,
    (current, folded): (&Checkpoint, &Checkpoint),
) -> Result<Comparison, String> {
    let digests = (current.digest, folded.digest);
    let ProjectionsArguments { group, views, .. } = stands_on;
    let (differences, truncated) = match digests.0 == digests.1 {
        true => (Vec::new(), false),
        false => differences(views, *group, &wanted.serving.id, scratch, DIFFERENCES_MAX)
            .await
            .map_err(|error| error.to_string())?,
    };
    Ok(Comparison { position: current.position, digests, differences, truncated })
}

/// What answers of one partition, beside what was folded of it. The digests are of the partition alone.
async fn compared_part(part: &Part, position: Position) -> Result<Comparison, String> {
    let ours = part.ours().await.map_err(|error| error.to_string())?;
    let theirs = part.theirs(&ours).await.map_err(|error| error.to_string())?;
    let ProjectionsArguments { views, group, .. } = &part.stands_on;
    let checkpoint = views.checkpoint(*group, &part.of).await.map_err(|error| error.to_string())?;
    if checkpoint.position != position {
        return Err("another generation has begun to answer".into());
    }
    if ours.is_nothing() && theirs.is_nothing() {
        return Err(no_events(&part.partition, position));
    }
    let digests = (theirs.digest(&part.partition), ours.digest(&part.partition));
    let state = |view: &Option<View>| view.as_ref().map(|view| view.state.clone());
    let differs = state(&theirs.view) != state(&ours.view);
    let difference = differs.then(|| Difference {
        partition: part.partition.clone(),
        left: theirs.view,
        right: ours.view,
    });
    Ok(Comparison { position, digests, differences: difference.into_iter().collect(), truncated: false })
}

/// Folds what follows a checkpoint, at most up to a position.
pub(super) async fn step(
    stands_on: &ProjectionsArguments,
    fold: &Fold,
    checkpoint: Checkpoint,
    upto: Option<Position>,
) -> Result<Checkpoint, StepError> {
    let failed = |error: &dyn std::fmt::Display| StepError::Failed(error.to_string());
    let next = checkpoint.position.next();
    let events = stands_on.reader.read_log(stands_on.group, next, BATCH_EVENTS).await;
    let mut events = events.map_err(|error| failed(&error))?;
    let last = upto.unwrap_or(Position(u64::MAX)).min(stands_on.reader.applied(stands_on.group));
    events.truncate(events.partition_point(|event| event.position <= last));
    if events.first().is_none_or(|event| event.position != next) {
        return Err(failed(&format_args!("local log has no event at position {next}")));
    }
    let mut rest = events.as_slice();
    let mut at = checkpoint;
    while !rest.is_empty() {
        let folded = fold.step(&at, Arc::new(rest.to_vec())).await.map_err(|error| failed(&error))?;
        if let Some(parked) = folded.checkpoint.parked {
            return Err(StepError::Parked(Box::new(parked.event)));
        }
        rest = &rest[folded.passed..];
        at = folded.checkpoint;
    }
    Ok(at)
}
