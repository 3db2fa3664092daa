//! What lies outside the log is broken: reports, views, JetStream, consumers, keys.

use serde_json::json;
use weir_check::{
    history::{Call, CaughtUp, KvOp, NodeReport, Operation, Seen, Source},
    state::Message,
};

use super::{Run, seen};

pub fn publish_refused(run: &mut Run) -> bool {
    let Some((stream, mark)) = run.refused("version_conflict") else { return false };
    let position = run.log().len() as u64 + 1;
    let message = Message { sequence: position, position, stream, version: 1, mark };
    run.end.jetstream.as_mut().unwrap().messages.push(message);
    true
}

pub fn other_digest(run: &mut Run) -> bool {
    run.end.nodes[1].report.digest = "other".to_owned();
    true
}

pub fn other_view(run: &mut Run) -> bool {
    run.end.views[1].value = Some(json!({ "count": 1_000_000, "sum": 0 }));
    true
}

/// The last two reports of one run of one node.
fn reports(run: &Run, fits: impl Fn(&NodeReport, &NodeReport) -> bool) -> Option<usize> {
    let ops = &run.history.operations;
    let of = |op: &Operation| match (&op.call, op.seen()) {
        (Call::NodeState { node }, Some(Seen::Node(report))) => Some((*node, report.clone())),
        _ => None,
    };
    let mut found = None;
    for (at, op) in ops.iter().enumerate() {
        let Some((node, report)) = of(op) else { continue };
        let before = ops[..at].iter().rev().find_map(|op| of(op).filter(|(other, _)| *other == node));
        if before.is_some_and(|(_, before)| {
            before.incarnation == report.incarnation && before.position > 0 && fits(&before, &report)
        }) {
            found = Some(at);
        }
    }
    found
}

fn change_report(run: &mut Run, at: Option<usize>, change: impl Fn(&mut NodeReport)) -> bool {
    let Some(at) = at else { return false };
    let Some(Seen::Node(report)) = seen(run.op(at)) else { return false };
    change(report);
    true
}

pub fn applied_falls(run: &mut Run) -> bool {
    let at = reports(run, |_, _| true);
    change_report(run, at, |report| (report.applied_index, report.position) = (0, 0))
}

pub fn two_leaders(run: &mut Run) -> bool {
    let at = reports(run, |before, report| before.term == report.term && !report.leads);
    change_report(run, at, |report| report.leads = true)
}

pub fn term_falls(run: &mut Run) -> bool {
    let at = reports(run, |before, _| before.term > 0);
    change_report(run, at, |report| report.term = 0)
}

pub fn checkpoint_falls(run: &mut Run) -> bool {
    let at = reports(run, |before, _| before.checkpoints.values().any(|checkpoint| checkpoint.position > 0));
    change_report(run, at, |report| report.checkpoints.values_mut().for_each(|it| it.position = 0))
}

pub fn checkpoint_past_end(run: &mut Run) -> bool {
    let end = run.log().len() as u64;
    run.end.nodes[0].report.checkpoints.values_mut().for_each(|it| it.position = end + 1);
    true
}

fn messages(run: &mut Run) -> &mut Vec<Message> {
    &mut run.end.jetstream.as_mut().unwrap().messages
}

pub fn lose_message(run: &mut Run) -> bool {
    messages(run).pop().is_some()
}

pub fn swap_messages(run: &mut Run) -> bool {
    let messages = messages(run);
    let last = messages.len() - 1;
    messages.swap(last - 1, last);
    true
}

pub fn change_message(run: &mut Run) -> bool {
    messages(run)[2].mark = "m-other".to_owned();
    true
}

/// The last stretch of a source with at least this many events.
fn stretch(run: &Run, wanted: Source, least: usize) -> Option<usize> {
    run.last(|op| {
        matches!(&op.call, Call::Observe { source, .. } if *source == wanted)
            && matches!(op.seen(), Some(Seen::Observed { events, .. }) if events.len() >= least)
    })
}

fn change_stretch(run: &mut Run, source: Source, change: impl Fn(&mut Seen)) -> bool {
    let Some(at) = stretch(run, source, 5) else { return false };
    change(seen(run.op(at)).unwrap());
    true
}

fn remove(seen: &mut Seen, at: usize) {
    if let Seen::Observed { events, .. } = seen {
        events.remove(at);
    }
}

pub fn skip_for_consumer(run: &mut Run) -> bool {
    change_stretch(run, Source::JetStream, |seen| remove(seen, 2))
}

fn ending(run: &Run, wanted: Source) -> Option<usize> {
    run.last(|op| {
        matches!(&op.call, Call::Observe { source, .. } if *source == wanted)
            && matches!(op.seen(), Some(Seen::Observed { complete_to: Some(_), .. }))
    })
}

/// Everything that the last stretch brought, and so the end of the log, is missing.
fn empty_ending(run: &mut Run, source: Source) -> bool {
    let Some(at) = ending(run, source) else { return false };
    let Call::Observe { after, .. } = &mut run.op(at).call else { return false };
    *after = after.saturating_sub(1);
    let Some(Seen::Observed { events, .. }) = seen(run.op(at)) else { return false };
    events.clear();
    true
}

pub fn withhold_end(run: &mut Run) -> bool {
    empty_ending(run, Source::JetStream)
}

pub fn end_early(run: &mut Run) -> bool {
    empty_ending(run, Source::Subscription)
}

pub fn deliver_other(run: &mut Run) -> bool {
    change_stretch(run, Source::JetStream, |seen| {
        if let Seen::Observed { events, .. } = seen {
            events[2].mark = events[0].mark.clone();
        }
    })
}

pub fn skip_for_subscriber(run: &mut Run) -> bool {
    change_stretch(run, Source::Subscription, |seen| remove(seen, 2))
}

pub fn repeat_for_subscriber(run: &mut Run) -> bool {
    change_stretch(run, Source::Subscription, |seen| {
        if let Seen::Observed { events, .. } = seen {
            events.insert(2, events[1].clone());
        }
    })
}

/// The mark of a stretch that was not cut comes before its first event, and with that event's position.
pub fn caught_up_early(run: &mut Run) -> bool {
    let whole = run.last(|op| {
        let subscribes = matches!(&op.call, Call::Observe { source: Source::Subscription, .. });
        let uncut =
            matches!(op.seen(), Some(Seen::Observed { events, gap_to: None, .. }) if !events.is_empty());
        subscribes && uncut
    });
    let Some(at) = whole else { return false };
    if let Some(Seen::Observed { events, caught_up, .. }) = seen(run.op(at)) {
        *caught_up = Some(CaughtUp { position: events[0].position, events: 0 });
    }
    true
}

pub fn hide_gap(run: &mut Run) -> bool {
    let gap = run.last(|op| {
        let after = match &op.call {
            Call::Observe { after, .. } => *after,
            _ => return false,
        };
        let Some(Seen::Observed { events, gap_to: Some(gap), .. }) = op.seen() else { return false };
        events.last().map_or(after, |event| event.position) < *gap
    });
    let Some(at) = gap else { return false };
    let Some(Seen::Observed { gap_to, .. }) = seen(run.op(at)) else { return false };
    *gap_to = None;
    true
}

/// A view during the run of a stream that had events then.
fn view(run: &Run) -> Option<usize> {
    run.last(|op| matches!(op.seen(), Some(Seen::View { value: Some(_), .. })))
}

pub fn fold_twice(run: &mut Run) -> bool {
    let Some(at) = view(run) else { return false };
    let Some(Seen::View { value: Some(value), .. }) = seen(run.op(at)) else { return false };
    let count = value["count"].as_u64().unwrap();
    value["count"] = json!(count + 1);
    true
}

pub fn checkpoint_first(run: &mut Run) -> bool {
    let log = run.log().to_vec();
    let next_of = |partition: &str, checkpoint: u64| {
        log.iter()
            .find(|event| event.stream == partition && event.position > checkpoint)
            .map(|it| it.position)
    };
    let found = run.last(|op| match (&op.call, op.seen()) {
        (Call::View { partition, .. }, Some(Seen::View { checkpoint, .. })) => {
            next_of(partition, *checkpoint).is_some()
        }
        _ => false,
    });
    let Some(at) = found else { return false };
    let Call::View { partition, .. } = run.op(at).call.clone() else { return false };
    let Some(Seen::View { checkpoint, .. }) = seen(run.op(at)) else { return false };
    *checkpoint = next_of(&partition, *checkpoint).unwrap();
    true
}

pub fn unknown_projection(run: &mut Run) -> bool {
    run.end.views[0].projection = "nobody-knows".to_owned();
    true
}

pub fn older_than_asked(run: &mut Run) -> bool {
    let found =
        run.last(|op| matches!(op.call, Call::View { min_position: Some(1..), .. }) && op.seen().is_some());
    let Some(at) = found else { return false };
    let Some(Seen::View { value, checkpoint }) = seen(run.op(at)) else { return false };
    (*value, *checkpoint) = (None, 0);
    true
}

pub fn stale_key(run: &mut Run) -> bool {
    let found = run.last(|op| {
        matches!(op.call, Call::Kv { op: KvOp::Cas { revision: 2.., .. }, .. }) && op.outcome.is_ok()
    });
    let Some(at) = found else { return false };
    let Call::Kv { op: KvOp::Cas { revision, .. }, .. } = &mut run.op(at).call else { return false };
    *revision -= 1;
    true
}
