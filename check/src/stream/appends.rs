//! Appends: where they are, where they may be, and what refusals say.

use super::Check;
use crate::{
    evidence::{Append, Fate, Intent},
    history::Expected,
    order::{Point, rank_of_append},
    state::StoredEvent,
};

impl Check<'_, '_> {
    /// Every wanted append is there once and whole, or not at all.
    pub(super) fn appends(&mut self) {
        let evidence = self.evidence;
        for intent in &evidence.intents {
            let ops = || evidence.send_ids(intent);
            let placed = evidence.log.with_mark(&intent.marks[0]);
            let acked = evidence.sends(intent).find(|append| append.is_acked());
            let Some(first) = placed else {
                self.verdict.hold("acked append is lost", acked.is_none(), &ids(acked), || {
                    format!("`{}` was acknowledged and is not in the log", intent.marks[0])
                });
                self.absent(intent);
                continue;
            };
            let refused = evidence.is_refused(intent);
            if refused || acked.is_none() {
                let ops = if refused { ops() } else { Vec::new() };
                self.verdict.hold("refused append is there", !refused, &ops, || {
                    format!("`{}` was refused and is at {}@{}", first.mark, first.stream, first.version)
                });
            }
            if self.whole(intent, first) && !refused {
                self.guard(intent, first);
                self.answers(intent, first);
                self.placed(intent, first);
            }
        }
    }

    /// Of an append that is not there, no event is.
    fn absent(&mut self, intent: &Intent<'_>) {
        for mark in intent.marks.iter().skip(1) {
            let found = self.evidence.log.with_mark(mark);
            let evidence = self.evidence;
            let ops = if found.is_some() { evidence.send_ids(intent) } else { Vec::new() };
            self.verdict.hold("append is torn", found.is_none(), &ops, || {
                format!("`{mark}` is there and `{}` is not", intent.marks[0])
            });
        }
    }

    /// Its events follow each other in its own stream and in the log.
    fn whole(&mut self, intent: &Intent<'_>, first: &StoredEvent) -> bool {
        let evidence = self.evidence;
        let ops = |holds: bool| if holds { Vec::new() } else { evidence.send_ids(intent) };
        let at_home = first.stream == intent.stream;
        let here = self.verdict.hold("append is in another stream", at_home, &ops(at_home), || {
            format!("`{}` was sent to {} and is in {}", first.mark, intent.stream, first.stream)
        });
        let mut whole = true;
        for (offset, mark) in (1..).zip(intent.marks.iter().skip(1)) {
            let follows = evidence.log.with_mark(mark).is_some_and(|event| {
                event.stream == first.stream
                    && event.version == first.version + offset
                    && event.position == first.position + offset
            });
            whole &= self.verdict.hold("append is torn", follows, &ops(follows), || {
                format!("`{mark}` does not stand {offset} after `{}`", first.mark)
            });
        }
        here && whole
    }

    /// It stands after the version that some send expected.
    fn guard(&mut self, intent: &Intent<'_>, first: &StoredEvent) {
        let before = first.version.saturating_sub(1);
        let sends =
            || self.evidence.sends(intent).filter(|append| !matches!(append.fate, Fate::Refused { .. }));
        let passes = sends().any(|append| match append.expected {
            Expected::Any => true,
            Expected::Exact(version) => version == before,
        });
        let ops = if passes { Vec::new() } else { sends().map(|append| append.op.id).collect() };
        self.verdict.hold("guard was passed over", passes, &ops, || {
            format!("`{}` follows version {before} of {}, which no send expected", first.mark, first.stream)
        });
    }

    /// Every answer names the place where it is.
    fn answers(&mut self, intent: &Intent<'_>, first: &StoredEvent) {
        let is = (first.version, first.version + intent.marks.len() as u64 - 1, first.position);
        for append in self.evidence.sends(intent) {
            let Fate::Acked { first_version, last_version, first_position, .. } = append.fate else {
                continue;
            };
            let told = (first_version, last_version, first_position);
            self.verdict.hold("answer names another place", told == is, &[append.op.id], || {
                format!("`{}` is at (first, last, position) {is:?}, the answer said {told:?}", first.mark)
            });
        }
    }

    /// Its one moment lies after its first send and before its first answer.
    fn placed(&mut self, intent: &Intent<'_>, first: &StoredEvent) {
        let Some(line) = self.evidence.log.number(&first.stream) else { return };
        let last_version = first.version + intent.marks.len() as u64 - 1;
        self.inner.extend((first.version..last_version).map(|version| (line, version)));
        let sent =
            || self.evidence.sends(intent).filter(|append| !matches!(append.fate, Fate::Refused { .. }));
        let Some(begun) = sent().min_by_key(|append| append.op.invoke_us) else { return };
        let answered = sent().filter(|append| append.is_acked()).min_by_key(|append| append.op.complete_us);
        self.points.push(Point {
            line,
            rank: rank_of_append(last_version),
            from_us: begun.op.invoke_us,
            until_us: answered.map_or(u64::MAX, |append| append.op.complete_us),
            binds: true,
            op: answered.unwrap_or(begun).op.id,
        });
    }

    /// A conflict says at which version the stream was instead.
    pub(super) fn refusals(&mut self) {
        let evidence = self.evidence;
        for append in &evidence.appends {
            let Fate::Refused { code: "version_conflict", actual } = append.fate else { continue };
            let wanted = match append.expected {
                Expected::Any => None,
                Expected::Exact(version) => Some(version),
            };
            let conflicts = wanted.is_some() && wanted != actual;
            self.verdict.hold("conflict without reason", conflicts, &[append.op.id], || {
                format!("expected {wanted:?}, conflict with {actual:?}")
            });
            if let Some(actual) = actual {
                self.exact_sight(append.op, append.stream, actual, true);
            }
        }
    }
}

fn ids(append: Option<&Append<'_>>) -> Vec<u64> {
    append.map(|append| append.op.id).into_iter().collect()
}
