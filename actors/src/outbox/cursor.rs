//! Where an outbox goes on: pure decisions over what a bus says it holds.

use std::time::Duration;

use weir_types::{EventId, Position, limits};
use xxhash_rust::xxh3::xxh3_64;

/// Pause after the first failure; it doubles with every further one.
const BACKOFF_MIN: Duration = Duration::from_millis(50);

/// Where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resume {
    /// After this position.
    After(Position),
    /// Nowhere: the bus holds what this log did not publish.
    Diverged(String),
}

/// The last event that the bus holds, as bus and log know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastEvent {
    /// Its id on the bus, if the bus can tell.
    pub(crate) on_bus: Option<EventId>,
    /// Its id in the log.
    pub(crate) in_log: Option<EventId>,
}

/// Judges what the bus holds against the log. `last` is asked only about
/// positions that the log has.
pub(crate) fn resume(published: Position, applied: Position, last: LastEvent) -> Resume {
    if published > applied {
        return Resume::Diverged(format!("bus holds position {published}, log only {applied}"));
    }
    match last {
        LastEvent { on_bus: Some(bus), in_log: Some(log) } if bus != log => {
            Resume::Diverged(format!("bus holds event {bus} at position {published}, log holds event {log}"))
        }
        _ => Resume::After(published),
    }
}

/// The pause before try `attempt` (from 1): doubling, at most
/// [`limits::OUTBOX_BACKOFF_MAX`], of which `salt` takes off up to a half so
/// that nodes do not ask in step.
pub(crate) fn backoff(attempt: u32, salt: u64) -> Duration {
    let doubled = BACKOFF_MIN.saturating_mul(1 << attempt.saturating_sub(1).min(16));
    let pause = doubled.min(limits::OUTBOX_BACKOFF_MAX);
    let draw = xxh3_64(&[salt.to_le_bytes(), u64::from(attempt).to_le_bytes()].concat()) % 1_000;
    pause - pause.mul_f64(draw as f64 / 2_000.0)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_outbox_resumes_after_what_the_bus_holds_or_not_at_all() {
        let id = |n| Some(EventId(Uuid::from_u128(n)));
        let last = |on_bus, in_log| LastEvent { on_bus, in_log };
        for (case, published, applied, last, goes_on) in [
            ("both empty", 0, 0, last(None, None), true),
            ("fresh bus", 0, 10, last(None, None), true),
            ("behind", 4, 10, last(id(4), id(4)), true),
            ("behind, trimmed so that the last is gone", 4, 10, last(None, id(4)), true),
            ("equal", 10, 10, last(id(10), id(10)), true),
            ("ahead of the log", 11, 10, last(None, None), false),
            ("ahead of an empty log", 1, 0, last(None, None), false),
            ("filled by another log", 4, 10, last(id(99), id(4)), false),
        ] {
            let resume = resume(Position(published), Position(applied), last);
            match goes_on {
                true => assert_eq!(resume, Resume::After(Position(published)), "{case}"),
                false => assert!(matches!(resume, Resume::Diverged(_)), "{case}: {resume:?}"),
            }
        }
    }

    #[test]
    fn the_pause_grows_to_its_limit_and_never_past_it() {
        for salt in 0..50 {
            for attempt in 1..100 {
                let pause = backoff(attempt, salt);
                assert!(pause >= BACKOFF_MIN / 2 && pause <= limits::OUTBOX_BACKOFF_MAX);
            }
            assert!(backoff(1, salt) <= BACKOFF_MIN);
            assert!(backoff(40, salt) >= limits::OUTBOX_BACKOFF_MAX / 2);
        }
    }
}
