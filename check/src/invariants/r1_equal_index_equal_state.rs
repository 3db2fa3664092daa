//! R1: equal applied index, equal state. Two nodes that report one index report
//! one digest, in the run and at the end; two views of one partition at one
//! checkpoint are equal on all nodes; and what a node has applied never falls
//! while it runs.

use rustc_hash::FxHashMap;
use serde_json::Value;
use weir_types::InvariantId::R1;

use super::verdict;
use crate::{
    evidence::Evidence,
    history::{Call, NodeReport, Seen},
    verdict::Verdict,
};

/// Checks all reports and all views.
#[must_use]
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = verdict(R1);
    digests(&mut verdict, evidence);
    views(&mut verdict, evidence);
    applied_rises(&mut verdict, evidence);
    verdict
}

fn digests(verdict: &mut Verdict, evidence: &Evidence<'_>) {
    let mut known: FxHashMap<u64, (u64, Option<u64>, &NodeReport)> = FxHashMap::default();
    let during = evidence.reports().map(|(op, node, report)| (node, Some(op.id), report));
    let after = evidence.end.nodes.iter().map(|node| (node.node, None, &node.report));
    for (node, op, report) in during.chain(after).filter(|(_, _, report)| !report.digest.is_empty()) {
        let Some(&(other, earlier, first)) = known.get(&report.applied_index) else {
            known.insert(report.applied_index, (node, op, report));
            continue;
        };
        let ops: Vec<u64> = earlier.into_iter().chain(op).collect();
        let equal = first.digest == report.digest && first.position == report.position;
        verdict.hold("one index has two states", equal, &ops, || {
            let index = report.applied_index;
            format!(
                "index {index}: node {other} has {} at position {}, node {node} has {} at position {}",
                first.digest, first.position, report.digest, report.position
            )
        });
    }
}

fn views(verdict: &mut Verdict, evidence: &Evidence<'_>) {
    type Place<'a> = (&'a str, &'a str, u64);
    let mut known: FxHashMap<Place<'_>, (u64, Option<u64>, &Option<Value>)> = FxHashMap::default();
    let during = evidence.history.operations.iter().filter_map(|op| match (&op.call, op.seen()) {
        (Call::View { projection, partition, node, .. }, Some(Seen::View { value, checkpoint })) => {
            Some(((projection.as_str(), partition.as_str(), *checkpoint), (*node, Some(op.id), value)))
        }
        _ => None,
    });
    let after = evidence.end.views.iter().map(|view| {
        ((view.projection.as_str(), view.partition.as_str(), view.checkpoint), (view.node, None, &view.value))
    });
    for (place, (node, op, value)) in during.chain(after) {
        let Some(&(other, earlier, first)) = known.get(&place) else {
            known.insert(place, (node, op, value));
            continue;
        };
        let ops: Vec<u64> = earlier.into_iter().chain(op).collect();
        verdict.hold("one checkpoint has two views", first == value, &ops, || {
            format!("{place:?}: node {other} has {first:?}, node {node} has {value:?}")
        });
    }
}

/// Within an incarnation, what one report shows, the next one asked for after it does not undercut.
fn applied_rises(verdict: &mut Verdict, evidence: &Evidence<'_>) {
    let mut reports: Vec<_> = evidence.reports().collect();
    reports.sort_by_key(|(op, node, report)| (*node, report.incarnation, op.complete_us));
    let same_run = |(_, one, a): &(_, u64, &NodeReport), (_, two, b): &(_, u64, &NodeReport)| {
        one == two && a.incarnation == b.incarnation
    };
    for run in reports.chunk_by(same_run) {
        for pair in run.windows(2) {
            let ((one, node, first), (two, _, second)) = (pair[0], pair[1]);
            let overlap = two.invoke_us <= one.complete_us;
            let rises = (first.applied_index, first.position) <= (second.applied_index, second.position);
            verdict.hold("applied fell", overlap || rises, &[one.id, two.id], || {
                let (from, to) = (first.applied_index, second.applied_index);
                format!("node {node} went from index {from} back to {to} without a restart")
            });
        }
    }
}
