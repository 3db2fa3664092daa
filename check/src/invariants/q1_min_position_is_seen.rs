//! Q1: a read with `min_position` sees it.

use weir_types::InvariantId::Q1;

use super::verdict;
use crate::{
    evidence::Evidence,
    history::{Call, Operation, ReadConsistency, Seen},
    verdict::Verdict,
};

/// Checks every read of the run that named a position.
#[must_use]
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = verdict(Q1);
    for op in &evidence.history.operations {
        read(&mut verdict, evidence, op);
    }
    verdict
}

fn read(verdict: &mut Verdict, evidence: &Evidence<'_>, op: &Operation) {
    let Some(seen) = op.seen() else { return };
    match (&op.call, seen) {
        (Call::View { min_position: Some(wanted), .. }, Seen::View { checkpoint, .. }) => {
            reached(verdict, op, *wanted, *checkpoint);
        }
        (
            Call::ReadStream { stream, consistency: ReadConsistency::AtLeast(wanted), .. },
            Seen::Events { events, head, applied, .. },
        ) => {
            if let Some(applied) = applied {
                reached(verdict, op, *wanted, *applied);
            }
            let last = events.iter().map(|event| event.version).max();
            if head.is_some() {
                shows(verdict, evidence, op, stream, *wanted, head.or(last).unwrap_or(0));
            }
        }
        (
            Call::StreamInfo { stream, consistency: ReadConsistency::AtLeast(wanted), .. },
            Seen::Head { version, applied, .. },
        ) => {
            if let Some(applied) = applied {
                reached(verdict, op, *wanted, *applied);
            }
            shows(verdict, evidence, op, stream, *wanted, *version);
        }
        (
            Call::ReadLog { consistency: ReadConsistency::AtLeast(wanted), .. },
            Seen::Log { applied: Some(applied), .. },
        ) => reached(verdict, op, *wanted, *applied),
        _ => {}
    }
}

fn reached(verdict: &mut Verdict, op: &Operation, wanted: u64, answered: u64) {
    verdict.hold("answer is older than asked", answered >= wanted, &[op.id], || {
        format!("position {wanted} was asked for, the answer is at {answered}")
    });
}

fn shows(
    verdict: &mut Verdict,
    evidence: &Evidence<'_>,
    op: &Operation,
    stream: &str,
    wanted: u64,
    length: u64,
) {
    let due = evidence.log.length_at(stream, wanted);
    verdict.hold("answer does not show what was asked for", length >= due, &[op.id], || {
        format!("{stream} has version {due} at position {wanted}, the answer shows {length}")
    });
}
