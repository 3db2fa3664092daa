//! The judgement of one append.

use weir_storage::{
    codec::command::AppendMeta,
    index::{IndexHead, Remembered},
};
use weir_types::{AppendOutcome, LogIndex, Planted, Position, StreamVersion, planted};

use super::rules::judged_here;

/// What an append meets.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// The stream's head; `None` when it has no events.
    pub head: Option<&'a IndexHead>,
    /// What its idempotency key led to before, in or out of the window.
    pub remembered: Option<&'a Remembered>,
    /// The position that its first event would get.
    pub next: Position,
    /// Positions over which an idempotency key counts.
    pub window: u64,
    /// The log index of the last change of rules.
    pub rules: LogIndex,
}

/// What becomes of an append of `events` events. The order of the rules is part
/// of the format: a repeat is answered with its first result even when the
/// stream has moved on, and a stream's type is a harder fact than its version.
#[must_use]
pub fn judge_append(standing: Standing<'_>, meta: &AppendMeta, events: u64) -> AppendOutcome {
    let counts = |found: &&Remembered| found.counts_at(standing.next, standing.window);
    if let (Some(idempotency), Some(found)) = (&meta.idempotency, standing.remembered.filter(counts)) {
        return repeated(found, idempotency.digest);
    }
    if let Some(found) = standing.head.filter(|found| found.head.entity_type != meta.entity_type) {
        return AppendOutcome::TypeConflict { actual: found.head.entity_type.clone() };
    }
    let mut actual = standing.head.map_or(StreamVersion::ZERO, |found| found.head.version);
    if planted(Planted::HoleAfterActivation) {
        actual = meta.base;
    }
    if actual != meta.base {
        return AppendOutcome::VersionConflict { actual };
    }
    if !judged_here(meta.judged, standing.rules, standing.head) {
        return AppendOutcome::JudgedOnOther;
    }
    AppendOutcome::Appended {
        first_version: actual.next(),
        last_version: actual.plus(events),
        first_position: standing.next,
    }
}

fn repeated(found: &Remembered, digest: u64) -> AppendOutcome {
    if found.digest != digest {
        return AppendOutcome::IdempotencyConflict;
    }
    AppendOutcome::Repeated {
        first_version: found.first_version,
        last_version: found.last_version,
        first_position: found.first_position,
    }
}
