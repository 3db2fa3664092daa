//! What the leader knows of a projection that is folded outside: which events wait for its worker.

mod window;

pub use window::{Batch, Blocked, Sorted, Window, WindowError};
