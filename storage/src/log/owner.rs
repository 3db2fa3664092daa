//! Whose file it is: the first 32 bytes after the magic and version of every
//! file in a log folder.

use std::path::Path;

use uuid::Uuid;
use weir_types::{ClusterId, GroupId, NodeId};

use super::error::LogError;
use crate::folder::Identity;

pub(super) const OWNER_BYTES: usize = 32;
/// The newest layout of log files that this build reads and writes.
pub(super) const FORMAT_VERSION: u32 = 1;

/// The cluster, node and group that a log belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) identity: Identity,
    pub(super) group: GroupId,
}

impl Owner {
    /// Cluster 16 bytes, node u64, group u64; little-endian.
    pub(super) fn encode(self) -> [u8; OWNER_BYTES] {
        let mut bytes = [0; OWNER_BYTES];
        bytes[..16].copy_from_slice(self.identity.cluster.0.as_bytes());
        bytes[16..24].copy_from_slice(&self.identity.node.0.to_le_bytes());
        bytes[24..].copy_from_slice(&self.group.0.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; OWNER_BYTES]) -> Self {
        let cluster = bytes[..16].try_into().expect("sixteen bytes were sliced");
        let number =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were sliced"));
        let identity = Identity { cluster: ClusterId(Uuid::from_bytes(cluster)), node: NodeId(number(16)) };
        Self { identity, group: GroupId(number(24)) }
    }

    /// Refuses a file, whose checksum was right, of a newer format or another owner.
    pub(super) fn check(self, version: u32, owner: &[u8; OWNER_BYTES], file: &Path) -> Result<(), LogError> {
        if version > FORMAT_VERSION {
            return Err(LogError::Newer {
                file: file.to_path_buf(),
                found: version,
                supported: FORMAT_VERSION,
            });
        }
        let found = Self::decode(owner);
        if found != self {
            return Err(LogError::Foreign {
                file: file.to_path_buf(),
                expected: self.to_string(),
                found: found.to_string(),
            });
        }
        Ok(())
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "group {} of node {} in cluster {}", self.group, self.identity.node, self.identity.cluster)
    }
}
