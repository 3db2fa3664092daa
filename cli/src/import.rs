//! `weir import`: a CSV file as events, exactly once.
//!
//! Row k of an entity becomes version k of its stream, guarded by exactly that
//! version and by a key made of its content. So an import may be stopped,
//! killed and run again, and a lost answer may be repeated: every row is in
//! its stream once, or the conflict is reported.

mod args;
#[cfg(feature = "inside")]
pub mod inside;
mod lanes;
mod mapping;
mod report;
mod rows;
mod time;
mod verify;

pub use args::ImportArgs;
pub(crate) use lanes::run;
