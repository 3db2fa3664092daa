use serde::{Deserialize, Serialize};
use weir_types::SUBJECT_PREFIX;

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
    /// What JetStream's stream and subjects begin with; clusters that share a
    /// NATS account differ in it. 1 to 32 of `a`-`z`, `0`-`9`, `-` and `_`.
    pub nats_prefix: String,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            heartbeat_ms: 250,
            election_timeout_min_ms: 1_000,
            election_timeout_max_ms: 2_000,
            nats_replicas: 1,
            nats_prefix: SUBJECT_PREFIX.to_owned(),
        }
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
        // What was there before it was added is the checksum without it: such nodes still meet.
        let prefix = Some(self.nats_prefix.bytes()).filter(|_| self.nats_prefix != SUBJECT_PREFIX);
        bytes
            .chain(prefix.into_iter().flatten())
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
            ClusterConfig { nats_prefix: "shop".to_owned(), ..plain.clone() },
        ] {
            assert_ne!(plain.checksum(), other.checksum(), "{other:?}");
        }
    }
}
