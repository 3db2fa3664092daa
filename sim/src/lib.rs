//! A whole cluster in one process, the same for every seed.
//!
//! The nodes are real from the engine down: stream actors, proposer, Raft,
//! peers' protocol, log, apply, index, rules, upcasters and projections. Simulated are the network (turmoil), the
//! clock, chance, and the disk of the log, which loses or tears what was not
//! synced. The HTTP edge is left out, and PostgreSQL. What runs an author's code is
//! waited for.
//!
//! Start at [`run`](run::run). `setting` and `plan` say what a seed decides;
//! `machine` is one node with its disk; `desk` and `client` are the two ends of
//! a call, `hook` is where webhooks go, `bus` what NATS is; `workload` and `subscriber` are what clients do, `folds` the code that they hand in; `audit` and `verdict` are the end.
//! `chance` and `trace` make every run of a seed the same, and show that it is.

pub mod chance;
pub mod trace;

pub mod folds;
pub mod plan;
pub mod plant;
pub mod setting;

pub mod admin;
pub mod bus;
pub mod client;
pub mod desk;
pub mod disk;
pub mod hook;
pub mod links;
pub mod listener;
pub mod machine;
pub mod network;
pub mod pump;
pub mod report;
pub mod subscriber;
pub mod twice;
pub mod workload;

pub mod audit;
pub mod balances;
pub mod claims;
pub mod notes;
pub mod run;
pub mod searches;
pub mod tables;
pub mod verdict;
pub mod whole;

pub mod seeds;
