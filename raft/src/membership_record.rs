//! The payload of a membership record: who the members are, self-contained, so
//! that the last one can be kept in the index and read back after a restart.
//!
//! Layout, version 2: `[version u8][term u64][leader u64][log index u64]`, then
//! the configurations `[count u32]([count u32](voter u64)*)*`, then the nodes
//! `[count u32](id u64, peer text, edge text, admitted u8, incarnation 16 bytes if it is 2)*`.
//! `admitted` is 0 for a node that is awaited, 1 for any folder, 2 for one. Two
//! configurations are a joint one. Version 1 had no `admitted`; its nodes were
//! admitted with any folder.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use uuid::Uuid;
use weir_types::Incarnation;

use crate::{
    admission::Admitted,
    fields::{FieldError, FieldReader, FieldWriter},
    leader_id::CommittedLeaderId,
    types::{PeerNode, RaftLogId, RaftMembership, RaftStoredMembership},
};

const VERSION: u8 = 2;
/// The version that kept no incarnations.
const VERSION_1: u8 = 1;

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
        match node.admitted {
            Admitted::Awaited => writer.u8(0),
            Admitted::Any => writer.u8(1),
            Admitted::Only(incarnation) => writer.u8(2).raw(incarnation.0.as_bytes()),
        };
    }
    writer.finish()
}

fn admitted(reader: &mut FieldReader) -> Result<Admitted, FieldError> {
    match reader.u8()? {
        0 => Ok(Admitted::Awaited),
        1 => Ok(Admitted::Any),
        2 => {
            let bytes = reader.raw(16)?;
            Ok(Admitted::Only(Incarnation(Uuid::from_slice(&bytes).expect("sixteen bytes were read"))))
        }
        other => Err(FieldError::Unknown { field: "admitted", value: other.into() }),
    }
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
    let version = reader.u8()?;
    match version {
        VERSION_1 | VERSION => {}
        other => return Err(FieldError::Unknown { field: "membership version", value: other.into() }),
    }
    let leader = CommittedLeaderId { term: reader.u64()?, node_id: reader.u64()? };
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
        let (id, peer, edge) = (reader.u64()?, reader.text()?, reader.text()?);
        let admitted = if version == VERSION_1 { Admitted::Any } else { admitted(&mut reader)? };
        nodes.insert(id, PeerNode { peer, edge, admitted });
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
        let node = |name: &str, admitted| PeerNode {
            admitted,
            ..PeerNode::at(format!("{name}:9124"), format!("{name}:9123"))
        };
        let folder = Admitted::Only(Incarnation(Uuid::from_u128(9)));
        let nodes = BTreeMap::from([
            (1, node("a", folder)),
            (2, node("b", Admitted::Any)),
            (3, node("c", Admitted::Awaited)),
        ]);
        let configs = vec![BTreeSet::from([1, 2]), BTreeSet::from([1, 2, 3])];
        let id = RaftLogId::new(CommittedLeaderId { term: 7, node_id: 2 }, 41);
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
    fn records_of_every_version_are_read_and_the_newest_is_written() {
        let (id, membership) = sample();
        assert_eq!(encode(&id, &membership), include_bytes!("../golden/v2/membership.bin")[..]);
        let old = decode(Bytes::from_static(include_bytes!("../golden/v1/membership.bin"))).unwrap();
        assert_eq!(old.log_id(), &Some(id));
        assert!(old.nodes().all(|(_, peer)| peer.admitted == Admitted::Any));
        let addresses = |all: &RaftMembership| -> Vec<_> {
            all.nodes().map(|(id, peer)| (*id, peer.peer.clone(), peer.edge.clone())).collect()
        };
        assert_eq!(addresses(old.membership()), addresses(&membership));
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
