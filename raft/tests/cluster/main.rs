//! Three nodes and more, in one process: what a cluster promises.

mod membership;
mod nodes;
mod peers;
mod proposals;
mod reads;
mod restarts;
