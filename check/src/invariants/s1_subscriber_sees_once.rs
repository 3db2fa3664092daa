//! S1: a subscriber sees every matching event once, in order, over reconnects
//! and leader changes, or an explicit gap.
//!
//! Each connected stretch is exactly the run of matching events after the
//! position that it asked to go on from. A stretch that follows another asks
//! for no more than it missed, so that nothing is jumped over between them.

use weir_types::InvariantId::S1;

use super::{
    stretch::{Stretch, same, stretches},
    verdict,
};
use crate::{evidence::Evidence, history::Source, verdict::Verdict};

/// Checks every subscription of the run.
#[must_use]
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = verdict(S1);
    for (consumer, stretches) in stretches(evidence, Source::Subscription) {
        for stretch in &stretches {
            run(&mut verdict, evidence, consumer, stretch);
        }
        for pair in stretches.windows(2) {
            let reached = pair[0].reached().max(pair[0].gap_to.unwrap_or(0));
            let mut jumped = pair[1].due(evidence, reached);
            let next = jumped.next().filter(|event| event.position <= pair[1].after);
            verdict.hold("resumed past events", next.is_none(), &[pair[0].op.id, pair[1].op.id], || {
                let after = pair[1].after;
                format!("{consumer} had seen up to {reached} and went on after {after}")
            });
        }
    }
    verdict
}

fn run(verdict: &mut Verdict, evidence: &Evidence<'_>, consumer: &str, stretch: &Stretch<'_>) {
    let mut due = stretch.due(evidence, stretch.after);
    for event in stretch.events {
        let expected = due.next().map(|event| event.position);
        let in_order = expected == Some(event.position);
        verdict.hold("subscription skipped, repeated or reordered", in_order, &[stretch.op.id], || {
            format!("{consumer} saw position {} where {expected:?} was due", event.position)
        });
        same(verdict, evidence, stretch.op, event);
        if !in_order {
            return;
        }
    }
    if stretch.complete && stretch.gap_to.is_none() {
        let missing = due.next().map(|event| event.position);
        verdict.hold("subscription ended early", missing.is_none(), &[stretch.op.id], || {
            format!("{consumer} never saw position {missing:?}")
        });
    }
}
