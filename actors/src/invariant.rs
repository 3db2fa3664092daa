//! Invariants: an author's JavaScript folds a stream, and judges each event on
//! the state that it would lead to, before the event is proposed.
//!
//! A state is JSON. It is kept with its stream's actor, so that a judgement
//! costs one event; what is not in memory is folded from the log. The code runs
//! on a thread of its own, one for each invariant, so that one that loops or
//! allocates holds up nothing but streams of its own entity type.

mod fold;
mod memory;
mod thread;

pub(crate) use self::{
    fold::{Basis, judge},
    memory::{Folded, Memory, Slot},
    thread::{Invariant, Walk},
};
