//! A3: one idempotency key, one outcome.
//!
//! A key belongs to a stream. All that is acknowledged for it within the
//! window has one place; one answer at most says that it was the first; what is
//! sent after an acknowledgement is answered with it, whatever its guard; other
//! content under the same key is refused. A refused append leaves no key.

use rustc_hash::FxHashMap;
use weir_types::InvariantId::A3;

use super::verdict;
use crate::{
    evidence::{Append, Evidence, Fate},
    verdict::Verdict,
};

/// Checks every key that was sent.
#[must_use]
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = verdict(A3);
    let mut groups: Vec<Vec<&Append<'_>>> = Vec::new();
    let mut numbers: FxHashMap<(&str, &str), usize> = FxHashMap::default();
    for append in &evidence.appends {
        let Some(key) = append.key else { continue };
        let number = *numbers.entry((append.stream, key)).or_insert(groups.len());
        if number == groups.len() {
            groups.push(Vec::with_capacity(1));
        }
        groups[number].push(append);
    }
    for group in &groups {
        one_place(&mut verdict, evidence, group);
        one_first(&mut verdict, evidence, group);
        refusals(&mut verdict, evidence, group);
        one_event(&mut verdict, evidence, group);
    }
    verdict
}

const fn place(append: &Append<'_>) -> Option<(u64, u64, u64)> {
    match append.fate {
        Fate::Acked { first_version, last_version, first_position, .. } => {
            Some((first_position, first_version, last_version))
        }
        Fate::Refused { .. } | Fate::Unknown => None,
    }
}

/// Sorted by position, neighbours within the window are the same.
fn one_place(verdict: &mut Verdict, evidence: &Evidence<'_>, group: &[&Append<'_>]) {
    let mut acked: Vec<_> = group.iter().filter_map(|append| Some((place(append)?, *append))).collect();
    acked.sort_unstable_by_key(|(place, append)| (*place, append.op.id));
    verdict.checked += u64::from(acked.len() == 1);
    for pair in acked.windows(2) {
        let ((one, first), (two, second)) = (pair[0], pair[1]);
        let forgotten = two.0 - one.0 > evidence.rules.key_window;
        let same = one == two && first.marks == second.marks;
        verdict.hold("one key has two outcomes", same || forgotten, &[first.op.id, second.op.id], || {
            format!(
                "key {:?} of {}: answers (position, first, last) {one:?} and {two:?}",
                first.key, first.stream
            )
        });
    }
}

fn one_first(verdict: &mut Verdict, evidence: &Evidence<'_>, group: &[&Append<'_>]) {
    let mut firsts: Vec<(u64, u64)> = group
        .iter()
        .filter_map(|append| match append.fate {
            Fate::Acked { first_position, repeated: false, .. } => Some((first_position, append.op.id)),
            _ => None,
        })
        .collect();
    firsts.sort_unstable();
    for pair in firsts.windows(2) {
        let forgotten = pair[1].0 - pair[0].0 > evidence.rules.key_window;
        verdict.hold("two answers say that they are the first", forgotten, &[pair[0].1, pair[1].1], || {
            format!("key {:?} of {}", group[0].key, group[0].stream)
        });
    }
}

/// A refusal that the state of the key forbids.
fn refusals(verdict: &mut Verdict, evidence: &Evidence<'_>, group: &[&Append<'_>]) {
    let earliest = group.iter().filter_map(|append| Some((append.op.complete_us, place(append)?, *append)));
    let Some((since, (position, ..), acked)) = earliest.min_by_key(|(since, ..)| *since) else {
        return conflicts(verdict, group);
    };
    let remembered = evidence.log.end().saturating_sub(position) <= evidence.rules.key_window;
    for append in group {
        let Fate::Refused { code, .. } = append.fate else { continue };
        let same = append.marks == acked.marks;
        let judged = matches!(
            code,
            "version_conflict" | "entity_type_conflict" | "idempotency_conflict" | "invariant_violated"
        );
        let decided = same && judged;
        let holds = !(decided && remembered && append.op.invoke_us > since);
        verdict.hold(
            "repeat was refused after its acknowledgement",
            holds,
            &[acked.op.id, append.op.id],
            || {
                format!(
                    "key {:?} of {} was acknowledged, then refused with {code}",
                    append.key, append.stream
                )
            },
        );
    }
    conflicts(verdict, group);
}

/// `idempotency_conflict` needs other content that was sent before the refusal came.
fn conflicts(verdict: &mut Verdict, group: &[&Append<'_>]) {
    for append in group {
        let Fate::Refused { code: "idempotency_conflict", .. } = append.fate else { continue };
        let other = group.iter().any(|other| {
            other.marks != append.marks
                && !matches!(other.fate, Fate::Refused { .. })
                && other.op.invoke_us <= append.op.complete_us
        });
        verdict.hold("key conflict without other content", other, &[append.op.id], || {
            format!("key {:?} of {}", append.key, append.stream)
        });
    }
}

/// Of all contents that were sent under the key, one is there, once.
fn one_event(verdict: &mut Verdict, evidence: &Evidence<'_>, group: &[&Append<'_>]) {
    let mut there: Vec<(u64, u64)> = group
        .iter()
        .filter_map(|append| Some((evidence.log.with_mark(append.marks.first()?)?.position, append.op.id)))
        .collect();
    there.sort_unstable();
    there.dedup_by_key(|(position, _)| *position);
    for pair in there.windows(2) {
        let forgotten = pair[1].0 - pair[0].0 > evidence.rules.key_window;
        verdict.hold("two contents of one key are there", forgotten, &[pair[0].1, pair[1].1], || {
            format!(
                "key {:?} of {}: positions {} and {}",
                group[0].key, group[0].stream, pair[0].0, pair[1].0
            )
        });
    }
    let marks = || group.iter().flat_map(|append| append.marks);
    if group.len() > 1 {
        for (one, two) in evidence.log.doubled().filter(|(one, _)| marks().any(|mark| *mark == one.mark)) {
            let ops: Vec<u64> = group.iter().map(|append| append.op.id).collect();
            verdict.hold("a repeat was appended again", false, &ops, || {
                format!("`{}` is at positions {} and {}", one.mark, one.position, two.position)
            });
        }
    }
}
