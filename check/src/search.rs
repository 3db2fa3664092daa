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
/// `u64::MAX` may also never take effect; they are tried only where the others
/// are stuck.
#[must_use]
pub fn search<S: Spec>(spec: &S, start: &S::State, ops: &[Timed<S::Op>], steps_max: u64) -> Finding
where
    S::State: Clone + Eq + Hash,
{
    let mut walk = Walk {
        spec,
        ops,
        entries: Entries::new(ops.iter().map(|op| (op.from_us, op.until_us))),
        state: start.clone(),
        taken: Bits::new(ops.len()),
        seen: FxHashSet::default(),
        stack: Vec::new(),
    };
    let (mut steps, mut longest, mut stuck) = (0, 0, 0);
    let mut cursor = Cursor::start(&walk.entries);
    while let Some(due) = walk.entries.first_return() {
        steps += 1;
        if steps > steps_max {
            return Finding::Undecided { steps: steps_max };
        }
        match walk.candidate(&mut cursor, due) {
            Some(op) if walk.take(op, cursor) => cursor = Cursor::start(&walk.entries),
            Some(_) => {}
            None => {
                if walk.stack.len() >= longest {
                    (longest, stuck) = (walk.stack.len(), due);
                }
                let Some(back) = walk.undo() else { return Finding::Illegal { stuck, placed: longest } };
                cursor = back;
            }
        }
    }
    Finding::Linearizable(walk.stack.into_iter().map(|(op, ..)| op).collect())
}

/// Where the next candidate is looked for: among those that returned, then among those that perhaps never
/// happened.
#[derive(Debug, Clone, Copy)]
enum Cursor {
    Known(Option<usize>),
    Perhaps(usize),
}

impl Cursor {
    fn start(entries: &Entries) -> Self {
        Self::Known(entries.first())
    }
}

struct Walk<'a, S: Spec> {
    spec: &'a S,
    ops: &'a [Timed<S::Op>],
    entries: Entries,
    state: S::State,
    taken: Bits,
    seen: FxHashSet<(Bits, S::State)>,
    /// What was taken, the state before it, and where to go on if it was wrong.
    stack: Vec<(usize, S::State, Cursor)>,
}

impl<S: Spec> Walk<'_, S>
where
    S::State: Clone + Eq + Hash,
{
    /// The next operation that could be next, given that `due` must come before anything that begins after
    /// its return. Moves the cursor past it.
    fn candidate(&self, cursor: &mut Cursor, due: usize) -> Option<usize> {
        if let Cursor::Known(at) = *cursor {
            if self.spec.is_lost(&self.state, &self.ops[due].op) {
                return None;
            }
            if let Some(op) = at.and_then(|at| self.entries.call(at)) {
                *cursor = Cursor::Known(at.and_then(|at| self.entries.next(at)));
                return Some(op);
            }
            *cursor = Cursor::Perhaps(0);
        }
        let Cursor::Perhaps(at) = cursor else { return None };
        let returns_us = self.ops[due].until_us;
        while let Some(&op) = self.entries.perhaps().get(*at) {
            if self.ops[op].from_us > returns_us {
                return None;
            }
            *at += 1;
            if !self.taken.has(op) {
                return Some(op);
            }
        }
        None
    }

    /// Takes an operation, unless it cannot answer so here, or this was tried.
    fn take(&mut self, op: usize, back: Cursor) -> bool {
        let Some(next) = self.spec.step(&self.state, &self.ops[op].op) else { return false };
        self.taken.set(op);
        if !self.seen.insert((self.taken.clone(), next.clone())) {
            self.taken.clear(op);
            return false;
        }
        self.stack.push((op, std::mem::replace(&mut self.state, next), back));
        self.entries.lift(op);
        true
    }

    fn undo(&mut self) -> Option<Cursor> {
        let (op, before, back) = self.stack.pop()?;
        self.state = before;
        self.taken.clear(op);
        self.entries.unlift(op);
        Some(back)
    }
}
