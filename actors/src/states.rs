//! States of streams as of any moment of their past, folded when they are asked for: by the invariant of their entity
//! type, or by a virtual projection. A fold of versions 1 to n is the same on every node and for ever, so it is kept, and gone on from.

mod cache;
mod code;
mod fold;

pub use fold::{StateError, StateRead, States, StreamState};
