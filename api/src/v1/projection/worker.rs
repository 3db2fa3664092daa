use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ProjectionStatus, ProjectionStatusKind};
use crate::number;

/// What is special of a projection that workers fold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkerView {
    /// Who has it to itself, if anybody has; empty for a worker without a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The number of the newest lease: a save under another is refused.
    pub lease_number: u64,
    /// Since when it ends without a sign of life, as RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<String>,
    /// How long a lease goes on without a sign of life.
    pub lease_ms: u64,
    /// How often the same events are handed out before they count as not to be folded.
    pub deliveries_max: u32,
    /// What becomes of an event then: `park` or `dead_letter`.
    pub on_failure: String,
    /// Events that were given up.
    pub dead_letters: u64,
    /// The checkpoint of the state that is built anew, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebuild_checkpoint: Option<u64>,
}

/// How far a projection is that workers fold.
#[derive(Debug, Clone, Default)]
pub struct WorkerProgress {
    /// Its name.
    pub name: String,
    /// The number of its state: another one is folded from the start.
    pub generation: u64,
    /// The patterns of its events.
    pub events: Vec<String>,
    /// JSONPath of the partition.
    pub partition_key: Option<String>,
    /// `managed` or `external`.
    pub mode: String,
    /// Whether it is paused.
    pub paused: bool,
    /// Why it is parked, if it is.
    pub parked: Option<String>,
    /// Up to where all is saved.
    pub checkpoint: u64,
    /// Events that were saved.
    pub saved: u64,
    /// What is applied on this node.
    pub applied: u64,
    /// What is special of it.
    pub worker: WorkerView,
}

impl ProjectionStatus {
    /// The status of a projection that workers fold.
    #[must_use]
    pub fn of_worker(progress: WorkerProgress) -> Self {
        let WorkerProgress { parked, checkpoint, .. } = progress;
        let status = match (&parked, progress.paused, progress.worker.rebuild_checkpoint) {
            (Some(_), ..) => ProjectionStatusKind::Error,
            (None, true, _) => ProjectionStatusKind::Paused,
            (None, false, Some(_)) => ProjectionStatusKind::Rebuilding,
            (None, false, None) => ProjectionStatusKind::Active,
        };
        Self {
            name: progress.name,
            deployed: progress.generation,
            events: progress.events,
            partition_key: progress.partition_key,
            status,
            checkpoint,
            lag: progress.applied.saturating_sub(checkpoint),
            folded_events: progress.saved,
            digest: String::new(),
            error_message: parked.clone(),
            error: None,
            dead_letters: progress.worker.dead_letters,
            unkeyed_events: 0,
            on_error: progress.worker.on_failure.clone(),
            kind: String::new(),
            mode: progress.mode,
            rebuild: None,
            worker: Some(progress.worker),
            checkpoint_snake: checkpoint,
            error_snake: parked,
        }
    }
}

/// A page of events that were given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerLetters {
    /// Events that were given up, in order of position.
    pub dead_letters: Vec<WorkerLetter>,
    /// After which position the next page begins, if there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// An event that was given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerLetter {
    /// Its id.
    pub event_id: String,
    /// Its name.
    pub name: String,
    /// Its position.
    pub position: u64,
    /// Its partition.
    pub partition: String,
    /// How often it was handed out.
    pub deliveries: u32,
}

/// What events a worker takes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PollQuery {
    /// Its name; the lease is of this name.
    #[serde(alias = "worker_id", skip_serializing_if = "String::is_empty")]
    pub worker_id: String,
    /// Events at once, at most.
    #[serde(deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// How long to wait for the first, in milliseconds, 25,000 at most.
    #[serde(
        alias = "wait_ms",
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub wait_ms: Option<u64>,
}

/// Whose lease is given up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeaseQuery {
    /// The worker; empty where it has no name.
    #[serde(default, alias = "worker_id")]
    pub worker_id: String,
    /// The number of the lease.
    #[serde(alias = "lease_number", deserialize_with = "number::or_zero")]
    pub lease_number: u64,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerHeard {
    /// Its name.
    pub worker_id: String,
    /// `registered` or `alive`.
    pub status: String,
    /// Projections whose leases were renewed by it.
    pub projections: Vec<String>,
}
