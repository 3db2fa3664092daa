//! W1: at most one deciding actor per stream and term. Actors decide only where
//! a term's leader is, so: no two nodes lead one term; what a node says of its
//! term never falls; and the events of a stream carry terms that never fall,
//! each term with one decider.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use weir_types::InvariantId::W1;

use super::verdict;
use crate::{evidence::Evidence, verdict::Verdict};

/// Checks all reports, and the events that name their term.
#[must_use]
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = verdict(W1);
    one_leader(&mut verdict, evidence);
    terms_rise(&mut verdict, evidence);
    one_decider(&mut verdict, evidence);
    verdict
}

fn one_leader(verdict: &mut Verdict, evidence: &Evidence<'_>) {
    let mut leaders: BTreeMap<u64, (u64, Option<u64>)> = BTreeMap::new();
    let during = evidence.reports().map(|(op, node, report)| (node, Some(op.id), report));
    let after = evidence.end.nodes.iter().map(|node| (node.node, None, &node.report));
    for (node, op, report) in during.chain(after).filter(|(_, _, report)| report.leads) {
        let (first, earlier) = *leaders.entry(report.term).or_insert((node, op));
        let ops: Vec<u64> = earlier.into_iter().chain(op).collect();
        verdict.hold("two nodes led one term", first == node, &ops, || {
            format!("nodes {first} and {node} both led term {}", report.term)
        });
    }
}

fn terms_rise(verdict: &mut Verdict, evidence: &Evidence<'_>) {
    let mut reports: Vec<_> = evidence.reports().collect();
    reports.sort_by_key(|(op, node, _)| (*node, op.complete_us));
    for pair in reports.windows(2) {
        let ((one, node, first), (two, other, second)) = (pair[0], pair[1]);
        if node != other || two.invoke_us <= one.complete_us {
            continue;
        }
        verdict.hold("a term fell", first.term <= second.term, &[one.id, two.id], || {
            format!("node {node} went from term {} back to {}", first.term, second.term)
        });
    }
}

fn one_decider(verdict: &mut Verdict, evidence: &Evidence<'_>) {
    for (stream, events) in evidence.log.streams() {
        let mut highest = 0;
        let mut deciders: FxHashMap<u64, u64> = FxHashMap::default();
        for event in events {
            let Some(term) = event.term else { continue };
            verdict.hold("terms of a stream fell", term >= highest, &[], || {
                format!("{stream}@{} is of term {term}, after term {highest}", event.version)
            });
            highest = highest.max(term);
            let Some(node) = event.decided_by else { continue };
            let first = *deciders.entry(term).or_insert(node);
            verdict.hold("two actors decided in one term", first == node, &[], || {
                format!("{stream}@{}: nodes {first} and {node} decided in term {term}", event.version)
            });
        }
    }
}
