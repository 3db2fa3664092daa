//! S1: a subscriber sees every matching event once, in order, over reconnects
//! and leader changes, or an explicit gap.
//!
//! Each connected stretch is exactly the run of matching events after the
//! position that it asked to go on from. A stretch that follows another asks
//! for no more than it missed, so that nothing is jumped over between them.
//! When a subscriber is told that history has ended, all of it had come.

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
    if let Some(told) = stretch.caught_up.filter(|_| stretch.gap_to.is_none()) {
        let nth = usize::try_from(told.events).unwrap_or(usize::MAX);
        let missing = stretch.due(evidence, stretch.after).nth(nth).map(|event| event.position);
        let true_word = missing.is_none_or(|position| position > told.position);
        verdict.hold("told too early that history has ended", true_word, &[stretch.op.id], || {
            format!(
                "{consumer} was told so at position {}, and position {missing:?} had not come",
                told.position
            )
        });
    }
    if stretch.complete_to.is_some() && stretch.gap_to.is_none() {
        let missing = stretch.missing(due);
        verdict.hold("subscription ended early", missing.is_none(), &[stretch.op.id], || {
            format!("{consumer} never saw position {missing:?}")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evidence::Rules,
        history::{Call, Outcome, Seen},
        sample::{Shape, run},
    };

    /// Of a run in which a subscriber lacks the last event of the log, and says
    /// that it had all up to there, or up to the one before.
    fn violations(all_but_the_last: bool) -> usize {
        let (mut history, end) = run(Shape::small(3, 600));
        let ending = history.operations.iter_mut().rev().find_map(|op| {
            let subscriber = matches!(&op.call, Call::Observe { source: Source::Subscription, .. });
            match &mut op.outcome {
                Outcome::Ok { seen: Seen::Observed { events, complete_to, .. } }
                    if subscriber && complete_to.is_some() && !events.is_empty() =>
                {
                    Some((events, complete_to))
                }
                _ => None,
            }
        });
        let (events, complete_to) = ending.expect("the sample's subscriber reads to the end");
        let last = events.pop().expect("it has events").position;
        *complete_to = Some(last - u64::from(all_but_the_last));
        check(&Evidence::new(&history, &end, Rules::default())).violations.len()
    }

    #[test]
    fn an_append_that_came_after_a_subscription_ended_is_not_missed_by_it() {
        assert!(violations(false) > 0, "the last event was due");
        assert_eq!(violations(true), 0, "it came later");
    }
}
