//! Histories of what clients did and saw, and the checkers that judge them.
//!
//! A run writes a [`history`]: one line per operation, with the moments
//! between which it took place. Afterwards the checkers compare it with what
//! every node holds at the end. Nothing here talks to a cluster: the same
//! checkers serve real processes, the simulation and tests.

pub mod history;
pub mod state;
