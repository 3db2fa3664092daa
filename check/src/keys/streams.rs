//! The busiest streams as keys: a guarded append is a compare-and-set, a version
//! is a revision. The exact checker takes the order of a stream from the final
//! log; this one never looks there, so it is a second opinion on the answers alone.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use crate::{
    evidence::{Evidence, Fate, Intent},
    history::{Call, Expected, Operation, ReadConsistency, ReadDirection, Seen, SeenEvent},
    search::{Finding, Spec, Timed, search},
    verdict::Verdict,
};

/// Streams that are searched.
const STREAMS_MAX: usize = 8;
/// Operations of each, from its first on: what was called then is a history of its own.
const OPERATIONS_MAX: usize = 300;
/// A search that takes more has no opinion.
const STEPS_MAX: u64 = 100_000;

/// A stream as a register: its version, and the last event's mark by number; 0 before the first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Register {
    version: u64,
    last: u32,
}

/// What was asked and answered.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ask {
    /// `Some` is the last version that the acknowledgement named.
    Append { expected: Option<u64>, events: u64, last: u32, told: Option<u64> },
    /// A guard that did not hold, against this version.
    Conflict { expected: u64, actual: u64 },
    /// A linearizable read; the last event too, if the answer showed it.
    Sight { version: u64, last: Option<u32> },
}

struct RegisterSpec;

impl Spec for RegisterSpec {
    type State = Register;
    type Op = Ask;

    fn step(&self, state: &Register, ask: &Ask) -> Option<Register> {
        match *ask {
            Ask::Append { expected, events, last, told } => {
                let version = state.version + events;
                let passes = expected.is_none_or(|expected| expected == state.version);
                (passes && told.is_none_or(|told| told == version)).then_some(Register { version, last })
            }
            Ask::Conflict { expected, actual } => {
                (actual == state.version && expected != actual).then(|| state.clone())
            }
            Ask::Sight { version, last } => {
                let equal = version == state.version && last.is_none_or(|last| last == state.last);
                equal.then(|| state.clone())
            }
        }
    }

    fn is_lost(&self, state: &Register, ask: &Ask) -> bool {
        // Versions never fall.
        match *ask {
            Ask::Append { told: Some(told), .. } => state.version >= told,
            Ask::Append { expected: Some(expected), .. } => state.version > expected,
            Ask::Append { .. } => false,
            Ask::Conflict { actual, .. } => state.version > actual,
            Ask::Sight { version, .. } => state.version > version,
        }
    }
}

/// An operation with the ids of those that it was told by.
struct Told {
    ids: Vec<u64>,
    timed: Timed<Ask>,
}

/// Searches for an order of each of the busiest streams.
pub(super) fn check(verdict: &mut Verdict, evidence: &Evidence<'_>) {
    let mut marks = FxHashMap::default();
    let mut streams: BTreeMap<&str, Vec<Told>> = BTreeMap::new();
    for intent in &evidence.intents {
        streams.entry(intent.stream).or_default().extend(appends(evidence, intent, &mut marks));
    }
    for op in &evidence.history.operations {
        if let Some((stream, told)) = sight(op, &mut marks) {
            streams.entry(stream).or_default().push(told);
        }
    }
    let mut busiest: Vec<(&str, Vec<Told>)> = streams.into_iter().collect();
    busiest.sort_by_key(|(stream, all)| (std::cmp::Reverse(guarded(all)), *stream));
    for (stream, all) in busiest.into_iter().take(STREAMS_MAX) {
        one(verdict, stream, beginning(all));
    }
}

/// How much there is to be wrong: an append without a guard fits nearly everywhere.
fn guarded(all: &[Told]) -> usize {
    let binds = |told: &&Told| !matches!(told.timed.op, Ask::Append { expected: None, told: None, .. });
    all.iter().filter(binds).count()
}

/// A wanted append, and each of its sends that met another version.
fn appends<'a>(
    evidence: &Evidence<'a>,
    intent: &Intent<'a>,
    marks: &mut FxHashMap<&'a str, u32>,
) -> Vec<Told> {
    let mut all = Vec::new();
    let sent = || evidence.sends(intent).filter(|send| !matches!(send.fate, Fate::Refused { .. }));
    let first = sent().map(|send| send.op.invoke_us).min();
    if let (Some(from_us), Some(mark)) = (first, intent.marks.last()) {
        let acked = |fate: Fate<'_>| match fate {
            Fate::Acked { last_version, .. } => Some(last_version),
            Fate::Refused { .. } | Fate::Unknown => None,
        };
        let answers = sent().filter_map(|send| Some((send.op.complete_us, acked(send.fate)?)));
        let answer = answers.min();
        let (events, last) = (intent.marks.len() as u64, number(marks, mark));
        let told = answer.map(|(_, version)| version);
        let guards: BTreeSet<Option<u64>> = sent().map(|send| version_of(send.expected)).collect();
        let expected = guard_of(&guards, told.map(|told| told.saturating_sub(events)));
        let op = Ask::Append { expected, events, last, told };
        let until_us = answer.map_or(u64::MAX, |(until_us, _)| until_us);
        let ids = sent().map(|send| send.op.id).collect();
        all.push(Told { ids, timed: Timed { from_us, until_us, op } });
    }
    for send in evidence.sends(intent) {
        if let (Fate::Refused { code: "version_conflict", actual: Some(actual) }, Some(expected)) =
            (send.fate, version_of(send.expected))
        {
            let op = Ask::Conflict { expected, actual };
            let timed = Timed { from_us: send.op.invoke_us, until_us: send.op.complete_us, op };
            all.push(Told { ids: vec![send.op.id], timed });
        }
    }
    all
}

/// The guard under which it took effect: whoever is told of a conflict sends again with another.
fn guard_of(guards: &BTreeSet<Option<u64>>, met: Option<u64>) -> Option<u64> {
    let fits = |guard: &Option<u64>| guard.is_none() || met.is_none() || *guard == met;
    match guards.iter().find(|guard| fits(guard)) {
        Some(_) if met.is_none() && guards.len() > 1 => None,
        Some(guard) => *guard,
        None => guards.first().copied().flatten(),
    }
}

fn version_of(expected: Expected) -> Option<u64> {
    match expected {
        Expected::Any => None,
        Expected::Exact(version) => Some(version),
    }
}

/// A number from 1 for each mark.
fn number<'a>(marks: &mut FxHashMap<&'a str, u32>, mark: &'a str) -> u32 {
    let next = u32::try_from(marks.len() + 1).unwrap_or(u32::MAX);
    *marks.entry(mark).or_insert(next)
}

fn sight<'a>(op: &'a Operation, marks: &mut FxHashMap<&'a str, u32>) -> Option<(&'a str, Told)> {
    let (stream, version, last): (_, _, Option<&SeenEvent>) = match (&op.call, op.seen()?) {
        (
            Call::StreamInfo { stream, consistency: ReadConsistency::Linearizable, .. },
            Seen::Head { version, .. },
        ) => (stream, *version, None),
        (
            Call::ReadStream { stream, direction, consistency: ReadConsistency::Linearizable, .. },
            Seen::Events { events, head: Some(head), .. },
        ) => {
            let newest = if *direction == ReadDirection::Forward { events.last() } else { events.first() };
            (stream, *head, newest.filter(|event| event.version == *head && !event.mark.is_empty()))
        }
        _ => return None,
    };
    let op_of = Ask::Sight { version, last: last.map(|event| number(marks, &event.mark)) };
    let timed = Timed { from_us: op.invoke_us, until_us: op.complete_us, op: op_of };
    Some((stream.as_str(), Told { ids: vec![op.id], timed }))
}

/// The operations that were called first. Of those that had not returned when the next one was called, an
/// append may have taken effect later, with what it answered then; a sight says nothing about so early a time.
fn beginning(mut all: Vec<Told>) -> Vec<Told> {
    all.sort_by_key(|told| (told.timed.from_us, told.ids.first().copied()));
    let Some(cut_us) = all.get(OPERATIONS_MAX).map(|next| next.timed.from_us) else { return all };
    all.truncate(OPERATIONS_MAX);
    all.retain_mut(|told| {
        let open = told.timed.until_us >= cut_us;
        if open {
            told.timed.until_us = u64::MAX;
        }
        !open || matches!(told.timed.op, Ask::Append { .. })
    });
    all
}

fn one(verdict: &mut Verdict, stream: &str, all: Vec<Told>) {
    let ops: Vec<Timed<Ask>> = all.iter().map(|told| told.timed.clone()).collect();
    match search(&RegisterSpec, &Register::default(), &ops, STEPS_MAX) {
        Finding::Linearizable(_) => verdict.checked += ops.len() as u64,
        // No opinion is no fact: the exact checker has one.
        Finding::Undecided { .. } => {}
        Finding::Illegal { stuck, placed } => {
            let near = |told: &&Told| {
                told.timed.from_us <= ops[stuck].until_us && told.timed.until_us >= ops[stuck].from_us
            };
            let ids: Vec<u64> =
                all.iter().filter(near).flat_map(|told| told.ids.iter().copied()).take(50).collect();
            verdict.hold("no order explains the answers", false, &ids, || {
                let ids = &all[stuck].ids;
                format!("stream {stream}: {placed} operations have an order, then {ids:?} fits nowhere")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evidence::Rules,
        history::Outcome,
        sample::{Shape, run},
        verdict::CheckId,
    };

    fn judged(change: impl Fn(&mut Operation)) -> Verdict {
        let (mut history, end) = run(Shape::small(3, 600));
        history.operations.iter_mut().for_each(change);
        let mut verdict = Verdict::new(CheckId::Keys);
        check(&mut verdict, &Evidence::new(&history, &end, Rules::default()));
        verdict
    }

    #[test]
    fn an_append_that_was_sent_again_with_another_guard_took_effect_under_one_of_them() {
        let guards = |all: &[Option<u64>]| all.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(guard_of(&guards(&[Some(99), Some(100)]), Some(100)), Some(100));
        assert_eq!(guard_of(&guards(&[Some(99)]), Some(100)), Some(99), "which is a violation");
        assert_eq!(guard_of(&guards(&[Some(99)]), None), Some(99));
        assert_eq!(guard_of(&guards(&[Some(99), Some(100)]), None), None, "whichever it was");
        assert_eq!(guard_of(&guards(&[None]), Some(7)), None);
    }

    #[test]
    fn the_answers_of_a_right_run_have_an_order() {
        let verdict = judged(|_| {});
        assert!(verdict.holds() && verdict.checked > 100, "{verdict}");
    }

    #[test]
    fn conflicts_with_a_version_that_never_was_have_none() {
        let verdict = judged(|op| {
            if let Outcome::Refused { actual: Some(actual), .. } = &mut op.outcome {
                *actual += 1_000;
            }
        });
        assert!(!verdict.holds(), "{verdict}");
    }

    #[test]
    fn an_old_head_has_none() {
        let verdict = judged(|op| {
            if let Outcome::Ok { seen: Seen::Head { version, .. } } = &mut op.outcome {
                *version = version.saturating_sub(2);
            }
        });
        assert!(!verdict.holds(), "{verdict}");
    }
}
