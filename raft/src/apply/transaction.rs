//! The judgement of one transaction.

use weir_storage::{
    codec::command::CommandTransaction,
    index::{IndexError, IndexHead},
};
use weir_types::{
    Condition, ExpectedVersion, Idempotency, Planted, Position, StreamGuard, StreamVersion,
    TransactionOutcome, Violation, planted,
};

use super::{ApplyContext, Changes, Terms, command::look_up_head, condition::Seen, rules::judged_here};

/// What becomes of a transaction. As with an append, a repeat is answered with
/// its first result even when nothing else would hold any more.
pub(super) fn judge_transaction(
    seen: &Seen<'_, impl ApplyContext>,
    transaction: &CommandTransaction,
    terms: Terms,
) -> Result<TransactionOutcome, IndexError> {
    let next = seen.last.next();
    if let Some(idempotency) = &transaction.meta.idempotency
        && let Some(repeat) = repeated(seen, transaction, idempotency, next, terms.window)?
    {
        return Ok(repeat);
    }
    let written = transaction.appends.iter().map(|append| {
        let (meta, base) = (&append.meta, ExpectedVersion::Exact(append.meta.base));
        StreamGuard::of_written(&meta.entity_id, &meta.entity_type, base)
    });
    let guards: Vec<_> = written.chain(transaction.meta.checks.iter().map(StreamGuard::from)).collect();
    let mut violations = violations_seen(seen, &guards, &transaction.meta.conditions)?;
    for append in &transaction.appends {
        let head = look_up_head(seen.context, seen.changes, &append.meta.entity_id)?;
        if !judged_here(append.meta.judged, terms.rules, head.as_ref()) {
            violations.push(Violation::JudgedOnOther { entity_id: append.meta.entity_id.clone() });
        }
    }
    Ok(match violations.is_empty() {
        true => TransactionOutcome::Committed { first_position: next },
        false => TransactionOutcome::Violated(violations),
    })
}

/// What stands against guards and conditions as of the last position that is applied.
///
/// # Errors
/// The look-ups'.
pub fn violations(
    context: &impl ApplyContext,
    last: Position,
    guards: &[StreamGuard],
    conditions: &[Condition],
) -> Result<Vec<Violation>, IndexError> {
    violations_seen(&Seen { context, changes: &Changes::default(), last }, guards, conditions)
}

fn violations_seen(
    seen: &Seen<'_, impl ApplyContext>,
    guards: &[StreamGuard],
    conditions: &[Condition],
) -> Result<Vec<Violation>, IndexError> {
    let mut violations = Vec::new();
    for guard in guards {
        let head = look_up_head(seen.context, seen.changes, &guard.entity_id)?;
        violations.extend(stream_violation(guard, head.as_ref()));
    }
    if !planted(Planted::ConditionIgnored) {
        for (number, condition) in (0..).zip(conditions) {
            violations.extend(seen.violation(number, condition)?);
        }
    }
    Ok(violations)
}

/// A type that does not fit is told instead of the version, as with an append.
fn stream_violation(guard: &StreamGuard, head: Option<&IndexHead>) -> Option<Violation> {
    let entity_id = guard.entity_id.clone();
    if let (Some(wanted), Some(found)) = (&guard.entity_type, head)
        && found.head.entity_type != *wanted
    {
        return Some(Violation::Type { entity_id, actual: found.head.entity_type.clone() });
    }
    let actual = head.map_or(StreamVersion::ZERO, |found| found.head.version);
    let met = guard.expected.met_by(actual);
    (!met).then_some(Violation::Version { entity_id, expected: guard.expected, actual })
}

fn repeated(
    seen: &Seen<'_, impl ApplyContext>,
    transaction: &CommandTransaction,
    idempotency: &Idempotency,
    next: Position,
    window: u64,
) -> Result<Option<TransactionOutcome>, IndexError> {
    let scope = &transaction.appends[0].meta.entity_id;
    let found = match seen.changes.remembered(scope, &idempotency.key) {
        Some(found) => Some(found.clone()),
        None => seen.context.remembered(scope, &idempotency.key)?,
    };
    let found = found.filter(|found| found.counts_at(next, window));
    Ok(found.map(|found| match found.digest == idempotency.digest {
        true => TransactionOutcome::Repeated { first_position: found.first_position },
        false => TransactionOutcome::IdempotencyConflict,
    }))
}
