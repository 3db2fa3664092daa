//! Counting what a history shows.

use std::collections::{BTreeMap, BTreeSet};

use super::leaders::{any_within, changes};
use crate::{
    evidence::{Evidence, Fate, Intent},
    history::{Call, Operation, ReadConsistency, ReadDirection, Seen, Source},
};

/// How far apart a leader change and a cut may be seen, in microseconds.
const NEAR_US: u64 = 2_000_000;

/// Every counter that a history and its final state give, by name. Absent is 0.
#[must_use]
pub fn measure(evidence: &Evidence<'_>) -> BTreeMap<String, u64> {
    let mut counts = Counts(BTreeMap::new());
    let leaders = changes(evidence);
    counts.add("leaders.changes", leaders.len() as u64);
    appends(&mut counts, evidence, &leaders);
    nodes(&mut counts, evidence);
    let faults = faults(&mut counts, evidence);
    for op in &evidence.history.operations {
        reads(&mut counts, op, &faults);
    }
    consumers(&mut counts, evidence, &leaders);
    counts.0
}

struct Counts(BTreeMap<String, u64>);

impl Counts {
    fn add(&mut self, name: &str, more: u64) {
        if more > 0 {
            *self.0.entry(name.to_owned()).or_insert(0) += more;
        }
    }

    fn one_if(&mut self, condition: bool, name: &str) {
        self.add(name, u64::from(condition));
    }
}

fn appends(counts: &mut Counts, evidence: &Evidence<'_>, leaders: &[u64]) {
    for append in &evidence.appends {
        match append.fate {
            Fate::Acked { repeated, .. } => {
                counts.add("appends.acked", 1);
                counts.one_if(repeated, "appends.repeated");
                counts.one_if(append.marks.len() > 1, "appends.many_events");
            }
            Fate::Refused { code: "version_conflict", .. } => counts.add("appends.conflict", 1),
            Fate::Refused { .. } => counts.add("appends.refused_otherwise", 1),
            Fate::Unknown => {
                let applied = append.marks.first().is_some_and(|mark| evidence.log.with_mark(mark).is_some());
                counts.add(if applied { "appends.unknown_applied" } else { "appends.unknown_absent" }, 1);
            }
        }
    }
    for intent in evidence.intents.iter().filter(|intent| intent.sends.len() > 1) {
        counts.one_if(repeated_across(evidence, intent, leaders), "appends.repeated_across_leaders");
    }
}

fn repeated_across(evidence: &Evidence<'_>, intent: &Intent<'_>, leaders: &[u64]) -> bool {
    let first = evidence.sends(intent).map(|append| append.op.invoke_us).min().unwrap_or(0);
    let mut repeats =
        evidence.sends(intent).filter(|append| matches!(append.fate, Fate::Acked { repeated: true, .. }));
    repeats.any(|append| any_within(leaders, first, append.op.complete_us))
}

fn nodes(counts: &mut Counts, evidence: &Evidence<'_>) {
    let mut starts: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for (_, node, report) in evidence.reports() {
        counts.add("reports.nodes", 1);
        starts.entry(node).or_default().insert(report.incarnation);
    }
    let restarts: usize = starts.values().map(|starts| starts.len() - 1).sum();
    counts.add("nodes.restarts", restarts as u64);
}

/// Counts faults, and gives the moments at which they were made.
fn faults(counts: &mut Counts, evidence: &Evidence<'_>) -> Vec<u64> {
    let mut kinds = BTreeSet::new();
    let mut moments = Vec::new();
    for op in &evidence.history.operations {
        let Call::Fault { name, phase, .. } = &op.call else { continue };
        if phase != "inject" {
            continue;
        }
        counts.add("faults.injected", 1);
        counts.add(&format!("faults.{name}"), 1);
        kinds.insert(name);
        moments.push(op.complete_us);
    }
    counts.add("faults.kinds", kinds.len() as u64);
    moments.sort_unstable();
    moments
}

fn reads(counts: &mut Counts, op: &Operation, faults: &[u64]) {
    if op.seen().is_none() {
        return;
    }
    match &op.call {
        Call::ReadStream { consistency, direction, .. } => {
            consistency_of(counts, *consistency);
            counts.one_if(*direction == ReadDirection::Backward, "reads.backward");
            counts.one_if(any_within(faults, op.invoke_us, op.complete_us), "reads.across_a_fault");
        }
        Call::StreamInfo { consistency, .. } | Call::ReadLog { consistency, .. } => {
            consistency_of(counts, *consistency);
        }
        Call::View { min_position, .. } => {
            counts.add("views.read", 1);
            counts.one_if(min_position.is_some(), "views.min_position");
        }
        Call::Membership { .. } => counts.add("membership.changed", 1),
        Call::Kv { .. } => counts.add("keys.done", 1),
        Call::Append { .. } | Call::Observe { .. } | Call::NodeState { .. } | Call::Fault { .. } => {}
    }
}

fn consistency_of(counts: &mut Counts, consistency: ReadConsistency) {
    let name = match consistency {
        ReadConsistency::Linearizable => "reads.linearizable",
        ReadConsistency::Local => "reads.local",
        ReadConsistency::AtLeast(_) => "reads.at_least",
    };
    counts.add(name, 1);
}

fn consumers(counts: &mut Counts, evidence: &Evidence<'_>, leaders: &[u64]) {
    let mut cuts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut stretches: Vec<&Operation> =
        evidence.history.operations.iter().filter(|op| matches!(op.call, Call::Observe { .. })).collect();
    stretches.sort_by_key(|op| (op.invoke_us, op.id));
    for op in stretches {
        let (Call::Observe { consumer, source, .. }, Some(Seen::Observed { events, gap_to, .. })) =
            (&op.call, op.seen())
        else {
            continue;
        };
        counts.add("consumers.events", events.len() as u64);
        if *source != Source::Subscription {
            continue;
        }
        counts.one_if(gap_to.is_some(), "subscriptions.gaps");
        if let Some(cut) = cuts.insert(consumer, op.complete_us) {
            counts.add("subscriptions.resumed", 1);
            let across =
                any_within(leaders, cut.saturating_sub(NEAR_US), op.invoke_us.saturating_add(NEAR_US));
            counts.one_if(across, "subscriptions.resumed_across_leaders");
        }
    }
}
