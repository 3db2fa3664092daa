//! When leaders changed, as reports show it.

use std::collections::BTreeMap;

use crate::evidence::Evidence;

/// The moment at which each leadership but the first was first seen, in order.
pub(super) fn changes(evidence: &Evidence<'_>) -> Vec<u64> {
    let mut first_seen: BTreeMap<u64, u64> = BTreeMap::new();
    for (op, _, report) in evidence.reports().filter(|(_, _, report)| report.leads) {
        let moment = first_seen.entry(report.term).or_insert(op.complete_us);
        *moment = op.complete_us.min(*moment);
    }
    let mut moments: Vec<u64> = first_seen.into_values().skip(1).collect();
    moments.sort_unstable();
    moments
}

/// Whether one of the moments lies within a span.
pub(super) fn any_within(moments: &[u64], from_us: u64, until_us: u64) -> bool {
    let next = moments.partition_point(|&moment| moment < from_us);
    moments.get(next).is_some_and(|&moment| moment <= until_us)
}
