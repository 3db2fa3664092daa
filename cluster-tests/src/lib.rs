//! The cluster under attack: real `weir` processes, a real nats-server, real
//! kills; what clients were told against what every node holds.
//!
//! [`Cluster`] starts the processes and gives the verbs of a story,
//! [`workload`] writes and keeps a [`history::History`], [`invariants`] judge
//! it, and [`accept`] holds the acceptance recipes. The crate runs the binary
//! and links none of the product but the wire's shapes and the words.

pub mod accept;
pub mod audit;
pub mod binary;
pub mod chaos;
pub mod clocks;
mod cluster;
pub mod dataset;
pub mod edge;
mod eventually;
pub mod folding;
pub mod history;
pub mod invariants;
pub mod live;
pub mod nats;
mod node;
pub mod port;
pub mod postgres;
pub mod process;
pub mod projections;
pub mod replica;
pub mod report;
pub mod weir;
pub mod workload;

pub use cluster::{Cluster, ClusterSpec, PATIENCE};
pub use eventually::{eventually, pause, window};
pub use node::Node;
