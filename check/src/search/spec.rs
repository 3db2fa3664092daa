//! What a sequential object does.

/// An object that takes one operation at a time.
pub trait Spec {
    /// Its state.
    type State;
    /// An operation together with its answer, if there was one.
    type Op;

    /// The state after `op`, or `None` if it could not have answered so in `state`. Deterministic. For an
    /// operation without a known answer: what it does if it takes effect, `None` if it would do nothing.
    fn step(&self, state: &Self::State, op: &Self::Op) -> Option<Self::State>;

    /// Whether `op` can take effect neither in `state` nor in any state that follows from it. Saying no is
    /// always right, saying yes saves the search much of its way.
    fn is_lost(&self, state: &Self::State, op: &Self::Op) -> bool {
        let _ = (state, op);
        false
    }
}

/// An operation with the interval in which it takes effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed<O> {
    /// Not before this moment.
    pub from_us: u64,
    /// Not after this one; `u64::MAX`: perhaps never.
    pub until_us: u64,
    /// The operation.
    pub op: O,
}
