//! What clients were told is broken.

use weir_check::history::{Call, Expected, Operation, Outcome, ReadConsistency, ReadDirection, Seen};

use super::{Run, is_only_send, marks, seen};

pub fn count_wrong(run: &mut Run) -> bool {
    let Some(at) = run.acked(|_, _| true) else { return false };
    let Some(Seen::Appended { last_version, .. }) = seen(run.op(at)) else { return false };
    *last_version += 1;
    true
}

/// The last answer that repeats another that was acknowledged too.
fn repeat(run: &Run) -> Option<(usize, usize)> {
    let ops = &run.history.operations;
    let again = run.last(|op| {
        matches!(&op.outcome, Outcome::Ok { seen: Seen::Appended { repeated: true, .. } })
            && ops.iter().any(|other| {
                other.id != op.id
                    && marks(other) == marks(op)
                    && other.outcome.is_ok()
                    && other.complete_us < op.invoke_us
            })
    })?;
    let first = ops.iter().position(|op| marks(op) == marks(&ops[again]) && op.outcome.is_ok())?;
    Some((first, again))
}

pub fn move_repeat(run: &mut Run) -> bool {
    let Some((_, again)) = repeat(run) else { return false };
    let Some(Seen::Appended { first_version, last_version, first_position, .. }) = seen(run.op(again)) else {
        return false;
    };
    *first_version += 1;
    *last_version += 1;
    *first_position += 1;
    true
}

pub fn two_firsts(run: &mut Run) -> bool {
    let Some((first, again)) = repeat(run) else { return false };
    for at in [first, again] {
        let Some(Seen::Appended { repeated, .. }) = seen(run.op(at)) else { return false };
        *repeated = false;
    }
    true
}

pub fn refuse_repeat(run: &mut Run) -> bool {
    let Some((_, again)) = repeat(run) else { return false };
    run.op(again).outcome = Outcome::Refused { code: "version_conflict".to_owned(), actual: Some(999) };
    true
}

pub fn key_conflict(run: &mut Run) -> bool {
    let keyed = run.acked(|op, marks| {
        matches!(op.call, Call::Append { key: Some(_), .. }) && is_only_send(run, &marks[0])
    });
    let Some(at) = keyed else { return false };
    run.op(at).outcome = Outcome::Refused { code: "idempotency_conflict".to_owned(), actual: None };
    true
}

pub fn share_key(run: &mut Run) -> bool {
    let Some(one) = run.acked(|op, _| matches!(op.call, Call::Append { key: Some(_), .. })) else {
        return false;
    };
    let Call::Append { stream: of, key: wanted, marks: of_one, .. } = run.op(one).call.clone() else {
        return false;
    };
    let other = run.acked(|op, marks| {
        matches!(&op.call, Call::Append { stream, key: Some(_), .. } if *stream == of) && *marks != of_one[..]
    });
    let Some(other) = other else { return false };
    let Call::Append { key, .. } = &mut run.op(other).call else { return false };
    *key = wanted;
    true
}

pub fn show_refused(run: &mut Run) -> bool {
    let Some((_, mark)) = run.refused("version_conflict") else { return false };
    let read = run.last(|op| matches!(op.seen(), Some(Seen::Events { events, .. }) if !events.is_empty()));
    let Some(at) = read else { return false };
    let Some(Seen::Events { events, .. }) = seen(run.op(at)) else { return false };
    events[0].mark = mark;
    true
}

fn linearizable(op: &Operation) -> bool {
    let (Call::ReadStream { consistency, .. } | Call::StreamInfo { consistency, .. }) = &op.call else {
        return false;
    };
    *consistency == ReadConsistency::Linearizable && op.seen().is_some()
}

/// A read that answers from before an append that was acknowledged before the read began: a boundary that is
/// far back.
pub fn stale_read(run: &mut Run) -> bool {
    let boundaries = single_versions(run);
    let found = run.last(|op| {
        let Call::StreamInfo { stream, .. } = &op.call else { return false };
        let Some(Seen::Head { version, .. }) = op.seen() else { return false };
        linearizable(op) && boundaries.iter().any(|(of, at, _)| of == stream && at + 8 < *version)
    });
    let Some(at) = found else { return false };
    let Call::StreamInfo { stream, .. } = run.op(at).call.clone() else { return false };
    let Some((_, old, position)) = boundaries.into_iter().find(|(of, ..)| *of == stream) else {
        return false;
    };
    let Some(Seen::Head { version, last_position, applied }) = seen(run.op(at)) else { return false };
    (*version, *last_position, *applied) = (old, Some(position), None);
    true
}

/// The same, in what it says of the position alone.
pub fn stale_position(run: &mut Run) -> bool {
    let Some(at) = run.last(linearizable) else { return false };
    match seen(run.op(at)) {
        Some(Seen::Events { applied, .. } | Seen::Head { applied, .. }) => {
            *applied = applied.map(|applied| applied / 2);
        }
        _ => return false,
    }
    true
}

/// Streams, versions and positions of events that were appended alone and acknowledged.
fn single_versions(run: &Run) -> Vec<(String, u64, u64)> {
    let single = |mark: &str| run.acked(|_, marks| marks.len() == 1 && marks[0] == mark).is_some();
    let log = run.log().iter().filter(|event| single(&event.mark));
    log.map(|event| (event.stream.clone(), event.version, event.position)).collect()
}

/// A read that shows an append that began after the read had returned.
pub fn future_read(run: &mut Run) -> bool {
    let boundaries = single_versions(run);
    let found = run.history.operations.iter().position(|op| {
        matches!((&op.call, op.seen()), (Call::StreamInfo { .. }, Some(Seen::Head { version: 1.., .. })))
    });
    let Some(at) = found else { return false };
    let Call::StreamInfo { stream, .. } = run.op(at).call.clone() else { return false };
    let Some((_, late, position)) = boundaries.into_iter().rev().find(|(of, ..)| *of == stream) else {
        return false;
    };
    let Some(Seen::Head { version, last_position, .. }) = seen(run.op(at)) else { return false };
    (*version, *last_position) = (late, Some(position));
    true
}

pub fn shift_version(run: &mut Run) -> bool {
    let Some(at) = run.acked(|_, _| true) else { return false };
    let Some(Seen::Appended { first_version, last_version, .. }) = seen(run.op(at)) else { return false };
    *first_version += 1;
    *last_version += 1;
    true
}

pub fn pass_guard(run: &mut Run) -> bool {
    let guarded = run.acked(|op, marks| {
        matches!(op.call, Call::Append { expected: Expected::Exact(1..), .. }) && is_only_send(run, &marks[0])
    });
    let Some(at) = guarded else { return false };
    let Call::Append { expected, .. } = &mut run.op(at).call else { return false };
    *expected = Expected::Exact(0);
    true
}

pub fn skip_in_page(run: &mut Run) -> bool {
    let read = run.last(|op| matches!(op.seen(), Some(Seen::Events { events, .. }) if events.len() > 2));
    let Some(at) = read else { return false };
    let Some(Seen::Events { events, .. }) = seen(run.op(at)) else { return false };
    events.remove(1);
    true
}

pub fn half_append(run: &mut Run) -> bool {
    let Some(long) = run.acked(|_, marks| marks.len() > 1) else { return false };
    let mark = marks(&run.history.operations[long]).unwrap()[0].clone();
    let event = run.stored(&mark).unwrap().clone();
    let template = run.history.operations[long].clone();
    let (stream, consistency) = (event.stream, ReadConsistency::Local);
    let id = template.id + 2_000_000_000;
    let call = Call::StreamInfo { stream, consistency, node: 1 };
    let seen = Seen::Head { version: event.version, last_position: Some(event.position), applied: None };
    let read = Operation { id, call, outcome: Outcome::Ok { seen }, ..template };
    run.history.operations.push(read);
    true
}

/// A page of the log with at least this many events.
fn log_page(run: &Run, least: usize) -> Option<usize> {
    run.last(|op| matches!(op.seen(), Some(Seen::Log { events, .. }) if events.len() >= least))
}

pub fn skip_in_log(run: &mut Run) -> bool {
    let Some(at) = log_page(run, 3) else { return false };
    let Some(Seen::Log { events, .. }) = seen(run.op(at)) else { return false };
    events.remove(1);
    true
}

pub fn change_in_log(run: &mut Run) -> bool {
    let Some(at) = log_page(run, 3) else { return false };
    let Some(Seen::Log { events, .. }) = seen(run.op(at)) else { return false };
    let mark = events[0].mark.clone();
    events[1].mark = mark;
    true
}

pub fn empty_log(run: &mut Run) -> bool {
    let Some(at) = log_page(run, 1) else { return false };
    let Some(Seen::Log { events, .. }) = seen(run.op(at)) else { return false };
    events.clear();
    true
}

pub fn applied_past_end(run: &mut Run) -> bool {
    let end = run.log().len() as u64;
    let Some(at) = run.last(linearizable) else { return false };
    let Some(Seen::Events { applied, .. } | Seen::Head { applied, .. }) = seen(run.op(at)) else {
        return false;
    };
    *applied = Some(end + 1);
    true
}

/// An answer that names a position and shows the stream as it was before.
pub fn without_its_event(run: &mut Run) -> bool {
    let end = run.log().len() as u64;
    let event = run.log().last().unwrap().clone();
    let Some(at) = run.last(|op| matches!(op.seen(), Some(Seen::Events { .. }))) else { return false };
    let (stream, direction) = (event.stream.clone(), ReadDirection::Forward);
    let consistency = ReadConsistency::AtLeast(end);
    let call =
        Call::ReadStream { stream, from: Some(event.version), direction, limit: 1, consistency, node: 1 };
    let (head, applied) = (Some(event.version - 1), Some(end));
    let outcome = Outcome::Ok { seen: Seen::Events { events: Vec::new(), head, next: None, applied } };
    let op = run.op(at);
    (op.call, op.outcome) = (call, outcome);
    true
}
