//! What appends cost and how they end, as metrics. The handles are looked up once.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use weir_types::AppendError;

/// How an append ended, as the label of its duration.
const OUTCOMES: [&str; 10] = [
    "appended",
    "repeated",
    "conflict",
    "idempotency_conflict",
    "refused",
    "invalid",
    "overloaded",
    "unavailable",
    "unknown",
    "failed",
];

/// The metrics of appends. Made after the recorder is installed, or it notes nothing.
pub(super) struct Meter {
    durations: [Histogram; OUTCOMES.len()],
    appended: Counter,
    conflicts: Counter,
    unknown: Counter,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            durations: OUTCOMES
                .map(|outcome| histogram!("weir_append_duration_seconds", "outcome" => outcome)),
            appended: counter!("weir_events_appended_total"),
            conflicts: counter!("weir_append_conflicts_total"),
            unknown: counter!("weir_append_unknown_total"),
        }
    }

    /// How an append or a transaction ended: whether it was answered again, or why not.
    pub(super) fn note(&self, took: Duration, events: usize, repeated: Result<bool, &AppendError>) {
        let outcome = outcome_of(repeated);
        let number = OUTCOMES.iter().position(|known| *known == outcome).expect("every outcome is listed");
        self.durations[number].record(took.as_secs_f64());
        match outcome {
            "appended" => self.appended.increment(events as u64),
            "conflict" => self.conflicts.increment(1),
            "unknown" => self.unknown.increment(1),
            _ => {}
        }
    }
}

fn outcome_of(repeated: Result<bool, &AppendError>) -> &'static str {
    match repeated {
        Ok(true) => "repeated",
        Ok(false) => "appended",
        Err(
            AppendError::VersionConflict { .. }
            | AppendError::TypeConflict { .. }
            | AppendError::Violated { .. },
        ) => "conflict",
        Err(AppendError::Invalid { .. } | AppendError::InvariantFailed { .. }) => "invalid",
        Err(AppendError::IdempotencyConflict) => "idempotency_conflict",
        Err(AppendError::NoEvents | AppendError::TooLarge { .. } | AppendError::NamedTwice { .. }) => {
            "refused"
        }
        Err(AppendError::Overloaded) => "overloaded",
        Err(AppendError::NotLeader { .. } | AppendError::Unavailable { .. }) => "unavailable",
        Err(AppendError::OutcomeUnknown { .. }) => "unknown",
        Err(AppendError::Storage { .. }) => "failed",
    }
}
