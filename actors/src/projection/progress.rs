use std::time::Duration;

use tokio::{sync::watch, time::Instant};
use weir_types::{Position, ProjectionId, ports::Checkpoint};

use super::{partition_rebuilds::PartitionProgress, recent::RecentChanges};

/// Over how long the rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// Where a projection's events come from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedKind {
    /// The bus.
    Jetstream,
    /// The local log.
    Log,
}

/// What a projection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoldState {
    /// It is far behind and reads the local log in large batches.
    CatchingUp,
    /// It follows.
    Live,
    /// It stopped before an event that it cannot fold; deploy a repaired source, or resume it.
    Parked,
    /// It was told to fold nothing for now.
    Paused,
}

/// One projection on this node, as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectionSnapshot {
    /// Its deployment.
    pub id: ProjectionId,
    /// What is folded and stored.
    pub checkpoint: Checkpoint,
    /// Events applied on this node and not folded yet.
    pub lag: u64,
    /// What it does.
    pub state: FoldState,
    /// Where its events come from.
    pub feed: FeedKind,
    /// Events skipped for want of a partition key, since this node started it.
    pub unkeyed: u64,
    /// Positions passed per second, over about the last second.
    pub events_per_second: f64,
    /// Time in which steps were folded and stored, since this node started it.
    pub folding: Duration,
    /// The generation that is to take its place here, and how far it is.
    pub next: Option<Box<ProjectionSnapshot>>,
    /// How far rebuilds of single partitions are.
    pub partitions: PartitionProgress,
    /// Why it is parked, or why the node failed to go on with it last.
    pub error: Option<String>,
}

/// What the actor tells about itself.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    pub(super) checkpoint: Checkpoint,
    pub(super) state: FoldState,
    pub(super) feed: FeedKind,
    pub(super) unkeyed: u64,
    pub(super) error: Option<String>,
    pub(super) recent: RecentChanges,
    folding: Duration,
    rate: f64,
    window_began: Instant,
    window_events: u64,
}

pub(super) type ProgressSender = watch::Sender<Progress>;

fn error_of(checkpoint: &Checkpoint) -> Option<String> {
    checkpoint.parked.as_ref().map(|parked| parked.event.to_string())
}

impl Progress {
    pub(super) fn new(checkpoint: Checkpoint) -> Self {
        Self {
            error: error_of(&checkpoint),
            state: if checkpoint.parked.is_some() { FoldState::Parked } else { FoldState::CatchingUp },
            recent: RecentChanges::after(checkpoint.position),
            checkpoint,
            feed: FeedKind::Log,
            unkeyed: 0,
            folding: Duration::ZERO,
            rate: 0.0,
            window_began: Instant::now(),
            window_events: 0,
        }
    }

    /// One that folds nothing for now.
    pub(super) fn paused(checkpoint: Checkpoint) -> Self {
        Self { state: FoldState::Paused, ..Self::new(checkpoint) }
    }

    /// The same, once more after a failure: until it is known to work, the failure is told.
    pub(super) fn after_failure(self, failed: Option<String>) -> Self {
        let error = self.error.or(failed);
        Self { error, ..self }
    }

    /// What it stands on was found.
    pub(super) fn works(&mut self) {
        self.error = error_of(&self.checkpoint);
    }

    /// Whether it folds nothing more unless somebody does something.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.state, FoldState::Parked | FoldState::Paused)
    }

    /// A checkpoint was stored.
    pub(super) fn advance(&mut self, checkpoint: Checkpoint, unkeyed: u64, took: Duration) {
        let passed = checkpoint.position.0.saturating_sub(self.checkpoint.position.0);
        self.unkeyed += unkeyed;
        self.folding += took;
        self.window_events += passed;
        let elapsed = self.window_began.elapsed();
        if elapsed >= RATE_WINDOW {
            self.rate = self.window_events as f64 / elapsed.as_secs_f64();
            (self.window_began, self.window_events) = (Instant::now(), 0);
        }
        self.error = error_of(&checkpoint);
        if checkpoint.parked.is_some() {
            self.state = FoldState::Parked;
        }
        self.checkpoint = checkpoint;
    }

    pub(super) fn snapshot(&self, id: &ProjectionId, applied: Position) -> ProjectionSnapshot {
        let elapsed = self.window_began.elapsed();
        let events_per_second = match elapsed {
            elapsed if elapsed < RATE_WINDOW => self.rate,
            elapsed => self.window_events as f64 / elapsed.as_secs_f64(),
        };
        ProjectionSnapshot {
            id: id.clone(),
            checkpoint: self.checkpoint.clone(),
            lag: applied.0.saturating_sub(self.checkpoint.position.0),
            state: self.state,
            feed: self.feed,
            unkeyed: self.unkeyed,
            events_per_second,
            error: self.error.clone(),
            folding: self.folding,
            next: None,
            partitions: PartitionProgress::default(),
        }
    }
}
