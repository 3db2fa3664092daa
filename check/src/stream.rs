//! The exact checker of streams.
//!
//! Every append ends at a version, so the final log fixes the one order in
//! which a stream's operations can have taken effect. What remains to be
//! decided is whether real time allows that order ([`crate::order`]), whether
//! each append stands where its guard and its answer say, and whether every
//! read shows the stream as it was at one moment. All of it is O(n log n).

mod appends;
mod reads;
mod sight;

use rustc_hash::FxHashSet;

use crate::{
    evidence::Evidence,
    order::{self, Inversion, Point},
    verdict::{CheckId, Verdict},
};

/// What the parts of the checker share.
struct Check<'e, 'a> {
    evidence: &'e Evidence<'a>,
    verdict: Verdict,
    points: Vec<Point>,
    /// Versions inside an append of several events, by the stream's number: no moment has such a length.
    inner: FxHashSet<(u32, u64)>,
}

/// Checks all streams of a run.
#[must_use]
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let mut check = Check {
        evidence,
        verdict: Verdict::new(CheckId::Streams),
        points: Vec::with_capacity(evidence.history.operations.len()),
        inner: FxHashSet::default(),
    };
    check.appends();
    check.log();
    check.refusals();
    check.reads();
    check.order();
    check.verdict
}

impl Check<'_, '_> {
    /// Every event of the log was sent, once.
    fn log(&mut self) {
        for event in self.evidence.log.events {
            let sent = event.mark.is_empty() || self.evidence.intent_of(&event.mark).is_some();
            self.verdict.hold("phantom", sent, &[], || {
                format!("nobody sent `{}`, at {}@{}", event.mark, event.stream, event.version)
            });
        }
        for (one, two) in self.evidence.log.doubled() {
            let intent = self.evidence.intent_of(&one.mark);
            let ops = intent.map_or_else(Vec::new, |intent| self.evidence.send_ids(intent));
            self.verdict.hold("duplicate", false, &ops, || {
                let (a, b) = (one.position, two.position);
                format!("`{}` is at positions {a} and {b}", one.mark)
            });
        }
    }

    fn order(&mut self) {
        self.verdict.checked += self.points.len() as u64;
        for Inversion { late, early } in order::inversions(&mut self.points) {
            self.verdict.hold("real-time order", false, &[late.op, early.op], || {
                let (began, returned) = (late.from_us, early.until_us);
                let (one, two) = (late.op, early.op);
                format!(
                    "in the stream operation {two} comes after operation {one}, in time it had returned at \
                     {returned} µs, before {one} began at {began} µs"
                )
            });
        }
    }
}
