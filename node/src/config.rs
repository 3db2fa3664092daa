//! What a node is told: a TOML file, overridden by `WEIR_*` variables, overridden by flags.
//!
//! Reading a config touches nothing but the file itself: a bad one is refused
//! before a folder is made or a port is bound.

mod check;
mod cluster;
mod error;
mod member;
mod sink;
mod text;

pub use check::{Nats, NodePlan};
pub use cluster::ClusterConfig;
pub use error::ConfigError;
pub use member::Member;
pub use sink::{SinkConfig, SinkFlag};
pub use text::{ConfigFlags, LimitsConfig, LogFormat, NodeConfig, Repair};

/// The only config format that this build reads.
pub const CONFIG_VERSION: i64 = 1;
