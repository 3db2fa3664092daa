//! From a failing history to the few operations that show the failure.
//!
//! Delta debugging: drop ever smaller pieces as long as the same rule stays
//! broken in the same place. The final state stays as it is, apart from streams
//! that have nothing to do with it.

use rustc_hash::FxHashSet;
use weir_types::InvariantId::{A1, A2, A3, A4, Q1};

use crate::{
    evidence::{Evidence, Rules},
    history::{Call, History, Operation},
    state::FinalState,
    verdict::{CheckId, Verdict, Violation},
};

/// What is left.
#[derive(Debug, Clone, PartialEq)]
pub struct Minimal {
    /// The operations, with the header of the whole history.
    pub history: History,
    /// The final state, reduced to the streams concerned where that is allowed.
    pub end: FinalState,
    /// The violation, as the operations that are left show it.
    pub violation: Violation,
    /// How often the checker was run.
    pub runs: usize,
}

/// Shrinks a failing run. `None` if the checker finds nothing in it. At most
/// about `runs_max` runs of the checker: then the result is small, not minimal.
pub fn minimise(
    history: &History,
    end: &FinalState,
    rules: Rules,
    check: &dyn Fn(&Evidence<'_>) -> Verdict,
    runs_max: usize,
) -> Option<Minimal> {
    let verdict = check(&Evidence::new(history, end, rules));
    let target = verdict.violations.into_iter().next()?;
    let mut search = Search { rules, check, target, runs: 1, runs_max };
    let (mut ops, mut end) = (history.operations.clone(), end.clone());
    let streams = streams_of(&ops, &search.target.ops);
    let mut smaller = ops.clone();
    smaller
        .retain(|op| search.target.ops.contains(&op.id) || stream(op).is_some_and(|it| streams.contains(it)));
    if is_per_stream(verdict.invariant) && !streams.is_empty() {
        let cut = only(&end, &streams);
        if search.fails(history, &smaller, &cut).is_some() {
            (ops, end) = (smaller, cut);
        }
    } else if search.fails(history, &smaller, &end).is_some() {
        ops = smaller;
    }
    let ops = search.shrink(history, ops, &end);
    let violation = search.fails(history, &ops, &end).unwrap_or_else(|| search.target.clone());
    let history = History { header: history.header.clone(), operations: ops };
    Some(Minimal { history, end, violation, runs: search.runs })
}

struct Search<'a> {
    rules: Rules,
    check: &'a dyn Fn(&Evidence<'_>) -> Verdict,
    target: Violation,
    runs: usize,
    runs_max: usize,
}

impl Search<'_> {
    /// The violation, if these operations still show it.
    fn fails(&mut self, history: &History, ops: &[Operation], end: &FinalState) -> Option<Violation> {
        self.runs += 1;
        let part = History { header: history.header.clone(), operations: ops.to_vec() };
        let verdict = (self.check)(&Evidence::new(&part, end, self.rules));
        verdict.violations.into_iter().find(|violation| self.is_target(violation))
    }

    /// The same rule in the same place. What nobody sent must be the same mark, since every append that is
    /// dropped here leaves another one.
    fn is_target(&self, violation: &Violation) -> bool {
        let target = &self.target;
        let shares = violation.rule != "phantom" && violation.ops.iter().any(|op| target.ops.contains(op));
        violation.rule == target.rule && (violation.what == target.what || shares)
    }

    fn shrink(&mut self, history: &History, mut ops: Vec<Operation>, end: &FinalState) -> Vec<Operation> {
        let mut pieces = 2;
        while ops.len() > 1 && self.runs < self.runs_max {
            let size = ops.len().div_ceil(pieces);
            let mut dropped = false;
            let mut at = 0;
            while at < ops.len() && self.runs < self.runs_max {
                let until = (at + size).min(ops.len());
                let rest = [&ops[..at], &ops[until..]].concat();
                if self.fails(history, &rest, end).is_some() {
                    ops = rest;
                    dropped = true;
                } else {
                    at = until;
                }
            }
            if size == 1 && !dropped {
                break;
            }
            pieces = if dropped { pieces.min(ops.len()).max(2) } else { (pieces * 2).min(ops.len()) };
        }
        ops
    }
}

/// Whether the other streams of the final state do not matter.
const fn is_per_stream(check: CheckId) -> bool {
    match check {
        CheckId::Streams | CheckId::Keys => true,
        CheckId::Invariant(id) => matches!(id, A1 | A2 | A3 | A4 | Q1),
    }
}

fn stream(op: &Operation) -> Option<&str> {
    match &op.call {
        Call::Append { stream, .. } | Call::ReadStream { stream, .. } | Call::StreamInfo { stream, .. } => {
            Some(stream)
        }
        _ => None,
    }
}

fn streams_of(ops: &[Operation], ids: &[u64]) -> FxHashSet<String> {
    let named = ops.iter().filter(|op| ids.contains(&op.id));
    named.filter_map(stream).map(str::to_owned).collect()
}

fn only(end: &FinalState, streams: &FxHashSet<String>) -> FinalState {
    let mut end = end.clone();
    for node in &mut end.nodes {
        node.events.retain(|event| streams.contains(&event.stream));
    }
    if let Some(jetstream) = &mut end.jetstream {
        jetstream.messages.retain(|message| streams.contains(&message.stream));
    }
    end
}
