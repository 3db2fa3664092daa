//! A linearizability search for any sequential specification.
//!
//! The algorithm of Wing and Gong with Lowe's cache: walk the calls in order of
//! time, take any that could be next, go back when an operation has returned
//! that was not taken, and never visit the same set of taken operations in the
//! same state twice. Where the final order is known, [`crate::stream`] is
//! exact and far faster; this is for keys, and to check the checkers. It is
//! exponential in the number of operations that overlap, so it has a step cap.

mod bits;
mod entries;
mod kv;
mod spec;

use std::hash::Hash;

use rustc_hash::FxHashSet;

pub use kv::{KvAnswer, KvSpec, KvState};
pub use spec::{Spec, Timed};

use bits::Bits;
use entries::Entries;

/// Steps after which a search gives up, unless the caller says otherwise: about ten seconds.
pub const STEPS_MAX: u64 = 20_000_000;

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// An order exists: the operations that took effect, in that order, as indexes.
    Linearizable(Vec<usize>),
    /// No order exists. The operation that could not be placed in the longest attempt.
    Illegal {
        /// Its index.
        stuck: usize,
        /// How many operations the longest attempt had placed.
        placed: usize,
    },
    /// The cap was reached: this counts as a failure, never as a success.
    Undecided {
        /// Steps that were made.
        steps: u64,
    },
}

/// Looks for an order in which every operation takes effect within its
/// interval and answers as the specification says. Operations whose end is
/// `u64::MAX` may also never take effect.
#[must_use]
pub fn search<S: Spec>(spec: &S, start: &S::State, ops: &[Timed<S::Op>], steps_max: u64) -> Finding
where
    S::State: Clone + Eq + Hash,
{
    let mut entries = Entries::new(ops.iter().map(|op| (op.from_us, op.until_us)));
    let mut state = start.clone();
    let mut taken = Bits::new(ops.len());
    let mut seen: FxHashSet<(Bits, S::State)> = FxHashSet::default();
    let mut stack: Vec<(usize, S::State)> = Vec::new();
    let (mut steps, mut longest, mut stuck) = (0, 0, 0);
    let mut at = entries.first();
    while entries.returns_left() > 0 {
        steps += 1;
        if steps > steps_max {
            return Finding::Undecided { steps: steps_max };
        }
        let Some(entry) = at else { return Finding::Illegal { stuck, placed: longest } };
        if let Some(op) = entries.call(entry) {
            if let Some(next) = spec.step(&state, &ops[op].op) {
                taken.set(op);
                if seen.insert((taken.clone(), next.clone())) {
                    stack.push((op, std::mem::replace(&mut state, next)));
                    entries.lift(op);
                    at = entries.first();
                    continue;
                }
                taken.clear(op);
            }
            at = entries.next(entry);
        } else {
            if stack.len() >= longest {
                (longest, stuck) = (stack.len(), entries.op(entry));
            }
            let Some((op, before)) = stack.pop() else { return Finding::Illegal { stuck, placed: longest } };
            state = before;
            taken.clear(op);
            entries.unlift(op);
            at = entries.after_call(op);
        }
    }
    Finding::Linearizable(stack.into_iter().map(|(op, _)| op).collect())
}
