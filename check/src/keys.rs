//! The checker of keys: each key of each bucket is a linearizable register with
//! compare-and-set by revision. One key at a time, cut into windows where
//! nothing was under way and the state is known. The busiest streams are keys
//! too, for a second opinion.

mod streams;

use std::collections::BTreeMap;

use crate::{
    evidence::Evidence,
    history::{Call, Operation},
    search::{Finding, KvAnswer, KvSpec, KvState, STEPS_MAX, Spec, Timed, search},
    verdict::{CheckId, Verdict},
};

type KvTimed = Timed<<KvSpec as Spec>::Op>;

/// Checks every key and the beginnings of the busiest streams, each window of a key with [`STEPS_MAX`] steps at most. Undecided is a violation.
#[must_use]
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    check_within(evidence, STEPS_MAX)
}

/// As [`check`], with another cap.
#[must_use]
pub fn check_within(evidence: &Evidence<'_>, steps_max: u64) -> Verdict {
    let mut verdict = Verdict::new(CheckId::Keys);
    let mut keys: BTreeMap<(&str, &str), Vec<(u64, KvTimed)>> = BTreeMap::new();
    for op in &evidence.history.operations {
        if let Call::Kv { bucket, key, .. } = &op.call
            && let Some(timed) = timed(op)
        {
            keys.entry((bucket, key)).or_default().push((op.id, timed));
        }
    }
    for ((bucket, key), mut ops) in keys {
        ops.sort_by_key(|(id, op)| (op.from_us, *id));
        verdict.checked += ops.len() as u64;
        one_key(&mut verdict, &format!("{bucket}/{key}"), &ops, steps_max);
    }
    streams::check(&mut verdict, evidence);
    verdict
}

fn timed(op: &Operation) -> Option<KvTimed> {
    let Call::Kv { op: asked, .. } = &op.call else { return None };
    let (asked, answer) = KvSpec::op(asked, &op.outcome)?;
    let (from_us, until_us) = KvSpec::interval(op, &answer);
    Some(Timed { from_us, until_us, op: (asked, answer) })
}

fn one_key(verdict: &mut Verdict, key: &str, ops: &[(u64, KvTimed)], steps_max: u64) {
    let mut state = KvState::default();
    for window in windows(ops) {
        let timed: Vec<KvTimed> = window.iter().map(|(_, op)| op.clone()).collect();
        match search(&KvSpec, &state, &timed, steps_max) {
            Finding::Linearizable(order) => state = end_of(&state, &timed, &order),
            Finding::Illegal { stuck, placed } => {
                let ids = around(window, stuck);
                verdict.hold("no order explains the answers", false, &ids, || {
                    let stuck = window[stuck].0;
                    format!("{key}: {placed} operations have an order, then operation {stuck} fits nowhere")
                });
                return;
            }
            Finding::Undecided { steps } => {
                let ids: Vec<u64> = window.iter().map(|(id, _)| *id).take(50).collect();
                verdict.hold("undecided", false, &ids, || format!("{key}: given up after {steps} steps"));
                return;
            }
        }
    }
}

/// Cut where everything before has returned and the last answer before pins the state: it was the only one
/// under way, and a write or a read that was done.
fn windows(ops: &[(u64, KvTimed)]) -> Vec<&[(u64, KvTimed)]> {
    let mut cuts = Vec::new();
    let mut begin = 0;
    let (mut latest, mut before) = (0, 0);
    for (at, (_, op)) in ops.iter().enumerate() {
        let alone = op.from_us > before && ops.get(at + 1).is_none_or(|(_, next)| next.from_us > op.until_us);
        let pins = matches!(op.op.1, KvAnswer::Done(..));
        latest = latest.max(op.until_us);
        if alone && pins && latest != u64::MAX {
            cuts.push(&ops[begin..=at]);
            begin = at + 1;
        }
        before = latest;
    }
    if begin < ops.len() {
        cuts.push(&ops[begin..]);
    }
    cuts
}

/// The state after an order; a window ends with an operation that pins it, so every order ends there.
fn end_of(start: &KvState, ops: &[KvTimed], order: &[usize]) -> KvState {
    let step = |state: KvState, &at: &usize| KvSpec.step(&state, &ops[at].op).unwrap_or(state);
    order.iter().fold(start.clone(), step)
}

/// The operations that overlap one, for the reader of a violation.
fn around(window: &[(u64, KvTimed)], at: usize) -> Vec<u64> {
    let (_, stuck) = &window[at];
    let near = window.iter().filter(|(_, op)| op.from_us <= stuck.until_us && op.until_us >= stuck.from_us);
    let last = window.iter().rfind(|(_, op)| op.until_us < stuck.from_us);
    last.into_iter().chain(near).map(|(id, _)| *id).take(50).collect()
}
