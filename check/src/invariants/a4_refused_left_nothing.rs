//! A4: a refused append left nothing, nowhere, at no time; and nothing is seen
//! that nobody sent.

use rustc_hash::FxHashSet;
use weir_types::InvariantId::A4;

use super::verdict;
use crate::{
    evidence::Evidence,
    history::{Operation, Seen},
    verdict::Verdict,
};

/// Checks every node, JetStream, and every answer of the run.
#[must_use]
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let refused: FxHashSet<&str> = evidence
        .intents
        .iter()
        .filter(|intent| evidence.is_refused(intent))
        .flat_map(|intent| intent.marks.iter().map(String::as_str))
        .collect();
    let mut check = Check { evidence, refused, verdict: verdict(A4) };
    let (equal, differing) = evidence.replicas();
    evidence.log.events.iter().for_each(|event| check.mark(&event.mark, None, "the longest log"));
    check.verdict.checked *= equal.max(1);
    for (node, log) in &differing {
        let place = format!("node {node}");
        log.events.iter().for_each(|event| check.mark(&event.mark, None, &place));
    }
    let messages = evidence.end.jetstream.iter().flat_map(|jetstream| &jetstream.messages);
    messages.for_each(|message| check.mark(&message.mark, None, "JetStream"));
    for op in &evidence.history.operations {
        check.answer(op);
    }
    check.verdict
}

struct Check<'e, 'a> {
    evidence: &'e Evidence<'a>,
    refused: FxHashSet<&'a str>,
    verdict: Verdict,
}

impl Check<'_, '_> {
    fn answer(&mut self, op: &Operation) {
        match op.seen() {
            Some(Seen::Events { events, .. }) => {
                events.iter().for_each(|event| self.mark(&event.mark, Some(op), "a read"));
            }
            Some(Seen::Log { events, .. } | Seen::Observed { events, .. }) => {
                events.iter().for_each(|event| self.mark(&event.mark, Some(op), "a stretch of the log"));
            }
            _ => {}
        }
    }

    fn mark(&mut self, mark: &str, op: Option<&Operation>, place: &str) {
        if mark.is_empty() {
            return;
        }
        let intent = self.evidence.intent_of(mark);
        let ops: Vec<u64> = op.map(|op| op.id).into_iter().collect();
        self.verdict
            .hold("phantom", intent.is_some(), &ops, || format!("{place} holds `{mark}`, which nobody sent"));
        let refused = self.refused.contains(mark);
        let sends = intent.filter(|_| refused).map_or_else(Vec::new, |intent| self.evidence.send_ids(intent));
        let ops = [ops, sends].concat();
        self.verdict.hold("refused left something", !refused, &ops, || {
            format!("{place} holds `{mark}`, which was refused")
        });
    }
}
