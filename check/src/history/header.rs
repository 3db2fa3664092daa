//! The first line of a history.

use serde::{Deserialize, Serialize};

/// The format that this code writes. A reader refuses a newer one.
pub const FORMAT: u32 = 1;

/// What produced the history.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Header {
    /// The format version of all lines, [`FORMAT`] when written by this code.
    pub format: u32,
    /// The seed from which the run can be repeated.
    pub seed: u64,
    /// What was run.
    pub topology: Topology,
    /// The names of the workloads.
    pub workloads: Vec<String>,
    /// The command that repeats the run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub replay: String,
}

/// Who took part.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Topology {
    /// `processes`, `simulation`, or the name of a test.
    pub kind: String,
    /// The ids of the nodes at the start.
    pub nodes: Vec<u64>,
    /// How many nats-servers, 0 without NATS.
    #[serde(default)]
    pub nats: u32,
}

impl Header {
    /// A header in the current format.
    #[must_use]
    pub fn new(seed: u64, topology: Topology, workloads: &[&str]) -> Self {
        let workloads = workloads.iter().map(|&name| name.to_owned()).collect();
        Self { format: FORMAT, seed, topology, workloads, replay: String::new() }
    }
}
