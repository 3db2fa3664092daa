//! Parts for the tests of other crates (feature `testing`).

mod clock;
mod memory;

pub use clock::ManualClock;
pub use memory::{Fate, MemoryLog};
