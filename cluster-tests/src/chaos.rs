//! Chaos: a cluster of real processes under random faults, driven by clients
//! whose histories are checked afterwards.
//!
//! [`workload`] holds what the clients do, one file each. The same seed draws
//! the same plan of faults and the same workload choices.

pub mod counters;
pub mod directory;
pub mod rng;
pub mod stop;
pub mod workload;
