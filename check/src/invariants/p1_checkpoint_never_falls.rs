//! P1: a checkpoint never falls, and no older generation answers after a newer one: what answers is replaced by what is
//! not behind it.
//!
//! Per node and projection, in order of time, while the node runs. Over a
//! restart it may fall unless [`crate::evidence::Rules`] say otherwise, since
//! views are not flushed per event; it never passes what its node has applied.

use weir_types::InvariantId::P1;

use super::verdict;
use crate::{evidence::Evidence, history::NodeReport, verdict::Verdict};

/// Checks all reports.
#[must_use]
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = verdict(P1);
    let mut reports: Vec<_> = evidence.reports().collect();
    reports.sort_by_key(|(op, node, _)| (*node, op.complete_us));
    for pair in reports.windows(2) {
        let ((one, node, first), (two, other, second)) = (pair[0], pair[1]);
        let restarted = first.incarnation != second.incarnation;
        let excused = restarted && !evidence.rules.checkpoints_survive_restart;
        if node == other && !excused && two.invoke_us > one.complete_us {
            rises(&mut verdict, node, first, second, &[one.id, two.id]);
        }
    }
    let after = evidence.end.nodes.iter().map(|node| (None, node.node, &node.report));
    for (op, node, report) in
        reports.iter().map(|&(op, node, report)| (Some(op.id), node, report)).chain(after)
    {
        let ops: Vec<u64> = op.into_iter().collect();
        for (projection, checkpoint) in &report.checkpoints {
            let end = evidence.log.end();
            verdict.hold("checkpoint past the end", checkpoint.position <= end, &ops, || {
                format!("{projection} on node {node} is at {}, the log ends with {end}", checkpoint.position)
            });
        }
    }
    verdict
}

fn rises(verdict: &mut Verdict, node: u64, first: &NodeReport, second: &NodeReport, ops: &[u64]) {
    for (projection, before) in &first.checkpoints {
        // A projection that is gone was deleted.
        let Some(after) = second.checkpoints.get(projection) else { continue };
        let rose = after.rebuilds >= before.rebuilds && after.position >= before.position;
        verdict.hold("checkpoint fell", rose, ops, || {
            format!("{projection} on node {node} went from {before:?} to {after:?}")
        });
    }
}
