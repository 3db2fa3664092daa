//! Histories of what clients did and saw, and the checkers that judge them.
//!
//! A run writes a [`history`]: one line per operation, with the moments
//! between which it took place. Afterwards the checkers compare it with what
//! every node holds at the end. Nothing here talks to a cluster: the same
//! checkers serve real processes, the simulation and tests.

pub mod history;
pub mod state;

pub mod evidence;
pub mod verdict;

pub mod effects;
pub mod groups;
pub mod invariants;
pub mod keys;
pub mod leases;
pub mod order;
pub mod search;
pub mod stream;

pub mod coverage;
pub mod minimise;
pub mod report;
pub mod rng;
pub mod sample;
pub mod timeline;

pub use evidence::{Evidence, Rules};
pub use history::{History, Recorder};
pub use report::{Report, check};
pub use state::FinalState;
pub use verdict::{CheckId, Verdict, Violation};
