use serde::{Deserialize, Serialize};

/// What every node of a cluster must have equal. Its checksum is compared when peers meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// Milliseconds between a leader's heartbeats.
    pub heartbeat_ms: u64,
    /// Least milliseconds without a leader before an election.
    pub election_timeout_min_ms: u64,
    /// Most milliseconds without a leader before an election.
    pub election_timeout_max_ms: u64,
    /// Replicas of the JetStream stream: 1, 3 or 5.
    pub nats_replicas: usize,
}

/// The defaults.
pub(super) const DEFAULTS: ClusterConfig = ClusterConfig {
    heartbeat_ms: 250,
    election_timeout_min_ms: 1_000,
    election_timeout_max_ms: 2_000,
    nats_replicas: 1,
};

impl Default for ClusterConfig {
    fn default() -> Self {
        DEFAULTS
    }
}

impl ClusterConfig {
    /// A checksum of all fields in their declared order (FNV-1a, 64 bits).
    #[must_use]
    pub fn checksum(&self) -> u64 {
        let fields = [
            self.heartbeat_ms,
            self.election_timeout_min_ms,
            self.election_timeout_max_ms,
            self.nats_replicas as u64,
        ];
        let bytes = fields.iter().flat_map(|field| field.to_le_bytes());
        bytes
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_counts_in_the_checksum() {
        let plain = ClusterConfig::default();
        for other in [
            ClusterConfig { heartbeat_ms: 251, ..plain.clone() },
            ClusterConfig { election_timeout_min_ms: 1_001, ..plain.clone() },
            ClusterConfig { election_timeout_max_ms: 2_001, ..plain.clone() },
            ClusterConfig { nats_replicas: 3, ..plain.clone() },
        ] {
            assert_ne!(plain.checksum(), other.checksum(), "{other:?}");
        }
    }
}
