//! R2: positions are dense and equal on all replicas, and their order is the
//! order of real time: it is checked over the whole log as one stream.

use weir_types::InvariantId::R2;

use super::verdict;
use crate::{
    evidence::{Evidence, Fate, Intent},
    history::{Call, Delivered, Operation, ReadConsistency, Seen},
    order::{self, Point, rank_of_append, rank_of_sight},
    verdict::Verdict,
};

/// Checks every node, every page of the log, and the order of all appends.
#[must_use]
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = verdict(R2);
    replicas(&mut verdict, evidence);
    let mut points: Vec<Point> =
        evidence.intents.iter().filter_map(|intent| append_point(evidence, intent)).collect();
    for op in &evidence.history.operations {
        if let (Call::ReadLog { from, limit, .. }, Some(Seen::Log { events, applied })) =
            (&op.call, op.seen())
        {
            page(&mut verdict, op, *from, *limit, events, *applied);
            events.iter().for_each(|event| same(&mut verdict, evidence, op, event));
        }
        points.extend(sight(&mut verdict, evidence, op));
    }
    verdict.checked += points.len() as u64;
    for order::Inversion { late, early } in order::inversions(&mut points) {
        verdict.hold("positions against real time", false, &[late.op, early.op], || {
            let (began, returned) = (late.from_us, early.until_us);
            format!(
                "operation {} (log length {}) had returned at {returned} µs, before operation {} (length {}) \
                 began at {began} µs",
                early.op,
                early.rank / 2,
                late.op,
                late.rank / 2
            )
        });
    }
    verdict
}

fn replicas(verdict: &mut Verdict, evidence: &Evidence<'_>) {
    for node in &evidence.end.nodes {
        let of = node.node;
        for (due, event) in (1..).zip(&node.events) {
            verdict.hold("positions have a hole or a double", event.position == due, &[], || {
                format!("node {of} has position {} where {due} is due", event.position)
            });
        }
        let (held, longest) = (node.events.len(), evidence.log.events.len());
        verdict.hold("a node holds less", held == longest, &[], || {
            format!("node {of} has {held} events, another has {longest}")
        });
        let differs = node.events.iter().zip(evidence.log.events).find(|(one, two)| one != two);
        verdict.hold("replicas differ", differs.is_none(), &[], || {
            let (one, two) = differs.map(|(one, two)| (&one.mark, &two.mark)).unzip();
            let position = differs.map(|(one, _)| one.position);
            format!("node {of} has {one:?} where another has {two:?}, near position {position:?}")
        });
    }
}

fn append_point(evidence: &Evidence<'_>, intent: &Intent<'_>) -> Option<Point> {
    let first = evidence.log.with_mark(&intent.marks[0])?;
    let sent = || evidence.sends(intent).filter(|append| !matches!(append.fate, Fate::Refused { .. }));
    let begun = sent().min_by_key(|append| append.op.invoke_us)?;
    let answered = sent().filter(|append| append.is_acked()).min_by_key(|append| append.op.complete_us);
    Some(Point {
        line: 0,
        rank: rank_of_append(first.position + intent.marks.len() as u64 - 1),
        from_us: begun.op.invoke_us,
        until_us: answered.map_or(u64::MAX, |append| append.op.complete_us),
        binds: true,
        op: answered.unwrap_or(begun).op.id,
    })
}

/// An answer that names what its node had applied has seen the log at that length.
fn sight(verdict: &mut Verdict, evidence: &Evidence<'_>, op: &Operation) -> Option<Point> {
    let (Seen::Events { applied, .. } | Seen::Head { applied, .. } | Seen::Log { applied, .. }) =
        op.seen()?
    else {
        return None;
    };
    let length = (*applied)?;
    let end = evidence.log.end();
    let there = verdict.hold("applied past the end", length <= end, &[op.id], || {
        format!("a node had applied position {length}, the log ends with {end}")
    });
    let (Call::ReadStream { consistency, .. }
    | Call::StreamInfo { consistency, .. }
    | Call::ReadLog { consistency, .. }) = &op.call
    else {
        return None;
    };
    there.then(|| Point {
        line: 0,
        rank: rank_of_sight(length),
        from_us: op.invoke_us,
        until_us: op.complete_us,
        binds: *consistency == ReadConsistency::Linearizable,
        op: op.id,
    })
}

/// A page of the log begins where it was asked to, has no hole, and goes on while there is more.
fn page(
    verdict: &mut Verdict,
    op: &Operation,
    from: u64,
    limit: u64,
    events: &[Delivered],
    applied: Option<u64>,
) {
    let dense = events.iter().zip(from.max(1)..).all(|(event, due)| event.position == due);
    verdict.hold("page of the log has a hole", dense, &[op.id], || {
        let positions: Vec<u64> = events.iter().map(|event| event.position).take(20).collect();
        format!("from {from}: {positions:?}")
    });
    verdict.hold("page of the log is too long", events.len() as u64 <= limit, &[op.id], || {
        format!("{} events, asked for {limit} at most", events.len())
    });
    let empty_early = events.is_empty() && limit > 0 && applied.is_some_and(|applied| applied >= from.max(1));
    verdict.hold("page of the log is empty", !empty_early, &[op.id], || {
        format!("nothing from {from}, and {applied:?} was applied")
    });
}

/// What was read at a position is what stays there.
fn same(verdict: &mut Verdict, evidence: &Evidence<'_>, op: &Operation, event: &Delivered) {
    let held = evidence.log.at_position(event.position);
    let equal = held.is_some_and(|held| {
        (&held.mark, &held.stream, held.version) == (&event.mark, &event.stream, event.version)
    });
    verdict.hold("position showed another event", equal, &[op.id], || {
        let held = held.map(|held| (&held.mark, &held.stream, held.version));
        format!("position {} was read as `{}`, the log has {held:?}", event.position, event.mark)
    });
}
