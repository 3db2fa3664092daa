//! Three nodes and more, in one process: what a cluster promises.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod folders;
mod membership;
mod nodes;
mod peers;
mod proposals;
mod reads;
mod restarts;
mod seats;
