//! One history, told to each of the testers.

pub mod keys;
pub mod streams;

use std::{fmt::Debug, hash::Hash};

use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use weir_check::search::{Finding, Spec, Timed, search};

/// An operation: its interval, what was asked, and the answer if there was one.
#[derive(Debug, Clone)]
pub struct Told<C, A> {
    pub from_us: u64,
    pub until_us: u64,
    pub call: C,
    pub answer: Option<A>,
}

impl<C, A> Told<C, A> {
    pub fn timed<O>(&self, op: O) -> Timed<O> {
        let until_us = if self.answer.is_some() { self.until_us } else { u64::MAX };
        Timed { from_us: self.from_us, until_us, op }
    }
}

pub fn searched<S: Spec>(spec: &S, start: &S::State, ops: &[Timed<S::Op>]) -> bool
where
    S::State: Clone + Eq + Hash,
{
    match search(spec, start, ops, 1_000_000) {
        Finding::Linearizable(_) => true,
        Finding::Illegal { .. } => false,
        Finding::Undecided { steps } => panic!("gave up after {steps} steps"),
    }
}

/// stateright's opinion; every operation is a thread of its own.
pub fn tested<S>(start: S, ops: &[Told<S::Op, S::Ret>]) -> bool
where
    S: SequentialSpec + Clone,
    S::Op: Clone + Debug,
    S::Ret: Clone + Debug + PartialEq,
{
    let mut moments = Vec::new();
    for (at, op) in ops.iter().enumerate() {
        moments.push((op.from_us, false, at));
        if op.answer.is_some() {
            moments.push((op.until_us, true, at));
        }
    }
    moments.sort_unstable();
    let mut tester = LinearizabilityTester::new(start);
    for (_, is_return, at) in moments {
        let told = if is_return {
            tester.on_return(at, ops[at].answer.clone().unwrap()).map(|_| ())
        } else {
            tester.on_invoke(at, ops[at].call.clone()).map(|_| ())
        };
        told.unwrap();
    }
    tester.is_consistent()
}

/// Intervals and moments of effect of a plan, in the order of effect: plan index, from, effect, until.
pub fn moments(plan: &super::Plan) -> Vec<(usize, u64, u64, u64)> {
    let mut clocks = [0_u64; 3];
    let mut moments = Vec::new();
    for (at, &(client, _, wait, before, after, _)) in plan.iter().enumerate() {
        let from = clocks[client] + wait;
        let effect = from + before;
        let until = effect + after;
        clocks[client] = until + 1;
        moments.push((at, from, effect, until));
    }
    moments.sort_by_key(|&(at, _, effect, _)| (effect, at));
    moments
}
