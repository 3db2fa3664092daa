//! A1: what was acknowledged is on every replica, at the version and the
//! position that the answer named, once.

use weir_types::InvariantId::A1;

use super::verdict;
use crate::{
    evidence::{Append, Evidence, Fate, Log},
    verdict::Verdict,
};

/// Checks every acknowledgement against every node.
#[must_use]
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = verdict(A1);
    let (equal, differing) = evidence.replicas();
    let reference = [(None, &evidence.log)];
    let replicas = reference.into_iter().chain(differing.iter().map(|(node, log)| (Some(*node), log)));
    for (node, log) in replicas {
        for append in &evidence.appends {
            honoured(&mut verdict, append, node, log);
        }
    }
    // The nodes that hold exactly the reference were compared with it as a whole.
    let acked = evidence.appends.iter().filter(|append| append.is_acked()).count() as u64;
    verdict.checked += acked * equal.saturating_sub(1);
    once(&mut verdict, evidence);
    verdict
}

fn honoured(verdict: &mut Verdict, append: &Append<'_>, node: Option<u64>, log: &Log<'_>) {
    let Fate::Acked { first_version, last_version, first_position, .. } = append.fate else { return };
    let stream = append.stream;
    let counts = last_version.checked_sub(first_version).map(|more| more + 1);
    verdict.hold(
        "answer counts other events",
        counts == Some(append.marks.len() as u64),
        &[append.op.id],
        || format!("{} events were answered with {first_version}..={last_version}", append.marks.len()),
    );
    for (offset, mark) in (0..).zip(append.marks) {
        let (version, position) = (first_version + offset, first_position + offset);
        let held = log.at_version(stream, version);
        let kept = held.is_some_and(|event| event.mark == *mark && event.position == position);
        verdict.hold("acked is not durable", kept, &[append.op.id], || {
            let node = node.map_or_else(|| "the longest log".to_owned(), |node| format!("node {node}"));
            let held = held.map(|event| (&event.mark, event.position));
            format!("`{mark}` was acknowledged as {stream}@{version} at {position}; {node} has {held:?}")
        });
    }
}

fn once(verdict: &mut Verdict, evidence: &Evidence<'_>) {
    for (one, two) in evidence.log.doubled() {
        let acked =
            evidence.intent_of(&one.mark).filter(|intent| evidence.sends(intent).any(Append::is_acked));
        if let Some(intent) = acked {
            verdict.hold("acked is there twice", false, &evidence.send_ids(intent), || {
                format!("`{}` is at positions {} and {}", one.mark, one.position, two.position)
            });
        }
    }
}
