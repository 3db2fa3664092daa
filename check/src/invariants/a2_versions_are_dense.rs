//! A2: the versions of a stream are 1..n with no hole and no double, on every
//! node.

use weir_types::InvariantId::A2;

use super::verdict;
use crate::{
    evidence::{Evidence, Log},
    verdict::Verdict,
};

/// Checks every stream of every node.
#[must_use]
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = verdict(A2);
    let (equal, differing) = evidence.replicas();
    dense(&mut verdict, evidence, None, &evidence.log);
    verdict.checked *= equal.max(1);
    for (node, log) in &differing {
        dense(&mut verdict, evidence, Some(*node), log);
    }
    verdict
}

fn dense(verdict: &mut Verdict, evidence: &Evidence<'_>, node: Option<u64>, log: &Log<'_>) {
    for (stream, events) in log.streams() {
        for (due, event) in (1..).zip(events) {
            let dense = event.version == due;
            let intent = if dense { None } else { evidence.intent_of(&event.mark) };
            let ops = intent.map_or_else(Vec::new, |intent| evidence.send_ids(intent));
            verdict.hold("versions have a hole or a double", dense, &ops, || {
                let (version, position) = (event.version, event.position);
                format!(
                    "{stream} has version {version} at position {position} where {due} is due (node {node:?})"
                )
            });
        }
    }
}
