//! The payload of a membership record: who the members are, self-contained, so
//! that the last one can be kept in the index and read back after a restart.
//!
//! Layout, version 1: `[version u8][term u64][leader u64][log index u64]`, then
//! the configurations `[count u32]([count u32](voter u64)*)*`, then the nodes
//! `[count u32](id u64, peer text, edge text)*`. Two configurations are a joint one.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::{
    fields::{FieldError, FieldReader, FieldWriter},
    types::{PeerNode, RaftLeaderId, RaftLogId, RaftMembership, RaftStoredMembership},
};

const VERSION: u8 = 1;

/// Encodes the membership that the entry `id` holds.
pub(crate) fn encode(id: &RaftLogId, membership: &RaftMembership) -> Bytes {
    let mut writer = FieldWriter::default();
    let leader = id.committed_leader_id();
    writer.u8(VERSION).u64(leader.term).u64(leader.node_id).u64(id.index());
    let configs = membership.get_joint_config();
    writer.len(configs.len());
    for config in configs {
        writer.len(config.len());
        for voter in config {
            writer.u64(*voter);
        }
    }
    let nodes: Vec<_> = membership.nodes().collect();
    writer.len(nodes.len());
    for (id, node) in nodes {
        writer.u64(*id).text(&node.peer).text(&node.edge);
    }
    writer.finish()
}

/// Reads a membership back. No bytes at all are the membership before the first.
///
/// # Errors
/// [`FieldError`] when the bytes are no membership record of a known version.
pub(crate) fn decode(payload: Bytes) -> Result<RaftStoredMembership, FieldError> {
    if payload.is_empty() {
        return Ok(RaftStoredMembership::default());
    }
    let mut reader = FieldReader::new(payload);
    match reader.u8()? {
        VERSION => {}
        other => return Err(FieldError::Unknown { field: "membership version", value: other.into() }),
    }
    let leader = RaftLeaderId { term: reader.u64()?, node_id: reader.u64()? };
    let id = RaftLogId::new(leader, reader.u64()?);
    let mut configs = Vec::new();
    for _ in 0..reader.count(4)? {
        let mut voters = BTreeSet::new();
        for _ in 0..reader.count(8)? {
            voters.insert(reader.u64()?);
        }
        configs.push(voters);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..reader.count(16)? {
        nodes.insert(reader.u64()?, PeerNode { peer: reader.text()?, edge: reader.text()? });
    }
    reader.end()?;
    let membership = RaftMembership::new(configs, nodes)
        .map_err(|_| FieldError::Unknown { field: "voter without a node", value: 0 })?;
    Ok(RaftStoredMembership::new(Some(id), membership))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (RaftLogId, RaftMembership) {
        let node = |name: &str| PeerNode { peer: format!("{name}:9124"), edge: format!("{name}:9123") };
        let nodes = BTreeMap::from([(1, node("a")), (2, node("b")), (3, node("c"))]);
        let configs = vec![BTreeSet::from([1, 2]), BTreeSet::from([1, 2, 3])];
        let id = RaftLogId::new(RaftLeaderId { term: 7, node_id: 2 }, 41);
        (id, RaftMembership::new(configs, nodes).unwrap())
    }

    #[test]
    fn a_membership_survives_its_bytes() {
        let (id, membership) = sample();
        let read = decode(encode(&id, &membership)).unwrap();
        assert_eq!(read, RaftStoredMembership::new(Some(id), membership));
        assert_eq!(decode(Bytes::new()).unwrap(), RaftStoredMembership::default());
    }

    #[test]
    fn damaged_bytes_are_refused_and_never_panic() {
        let (id, membership) = sample();
        let whole = encode(&id, &membership);
        for cut in 1..whole.len() {
            assert!(decode(whole.slice(..cut)).is_err(), "cut at {cut}");
        }
        let mut newer = whole.to_vec();
        newer[0] = 9;
        assert!(decode(newer.into()).is_err());
    }
}
