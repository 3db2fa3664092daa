//! Chaos: a cluster of real processes under random faults, driven by clients
//! whose histories are checked afterwards.
//!
//! [`workload`] holds what the clients do, one file each. The same seed draws
//! the same plan of faults and the same workload choices.

pub mod campaign;
pub mod canary;
pub mod counters;
pub mod delay_queue;
pub mod directory;
pub mod fault;
pub mod gather;
pub mod journal;
pub mod lull;
pub mod node_logs;
pub mod observer;
pub mod options;
pub mod plan;
pub mod record;
pub mod rig;
pub mod run;
pub mod seat;
pub mod silent_cuts;
pub mod smaller;
pub mod stop;
pub mod streams;
pub mod timeline;
pub mod verdict;
pub mod voters;
pub mod workload;
