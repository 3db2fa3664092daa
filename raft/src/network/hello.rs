//! The first frame in each direction: who speaks to whom, and in which protocol.
//! A connection between strangers carries nothing else.

use bytes::Bytes;
use uuid::Uuid;
use weir_types::{ClusterId, GroupId, Incarnation, LogIndex, NodeId};

use crate::{
    admission::{self, NotAdmitted},
    fields::{FieldError, FieldReader, FieldWriter},
    network::frame::{Header, Kind, Outgoing, Role},
};

const MAGIC: &[u8; 8] = b"WEIRPEER";
/// The version of the peer protocol. A node of version 2 may vote twice in a term, which no cluster
/// survives that holds both kinds (ADR 0037).
pub(crate) const PROTOCOL: u16 = 3;

/// The id that stands for whoever is there, and for who has none yet. What is
/// asked of anybody does not count for a quorum or an election.
pub(crate) const ANYBODY: NodeId = NodeId(0);

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) protocol: u16,
    pub(crate) cluster: ClusterId,
    /// [`ANYBODY`] for a node that asks to be admitted.
    pub(crate) from: NodeId,
    /// [`ANYBODY`] on a visit.
    pub(crate) to: NodeId,
    /// The last log entry that the answering side holds durably; zero from the asking side, whose log does
    /// not matter to whom it asks.
    pub(crate) held: LogIndex,
    /// A checksum of the settings that must be equal on all nodes.
    pub(crate) config: u64,
    /// The incarnation of the speaker's data folder.
    pub(crate) incarnation: Incarnation,
    /// The incarnation that the asking side knows the other by, if it is recorded.
    pub(crate) expects: Option<Incarnation>,
}

/// Why a peer is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HelloError {
    #[error("bytes are no hello of a weir node: {0}")]
    Malformed(#[from] FieldError),
    #[error("peer speaks protocol {theirs}, this node speaks {ours}")]
    Protocol { theirs: u16, ours: u16 },
    #[error("peer belongs to cluster {theirs}, this node to {ours}")]
    Cluster { theirs: ClusterId, ours: ClusterId },
    #[error("peer wanted node {wanted}, this is node {ours}")]
    Target { wanted: NodeId, ours: NodeId },
    #[error(
        "cluster config of the peer has the checksum {theirs:016x}, that of this node {ours:016x}: \
         make the settings under `cluster` equal on all nodes"
    )]
    Config { theirs: u64, ours: u64 },
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
}

impl Hello {
    pub(crate) fn frame(&self, role: Role) -> Outgoing {
        let mut writer = FieldWriter::default();
        writer.raw(MAGIC).u16(self.protocol).raw(self.cluster.0.as_bytes());
        writer.u64(self.from.0).u64(self.to.0).u64(self.held.0).u64(self.config);
        writer.raw(self.incarnation.0.as_bytes());
        // No folder has the nil UUID.
        writer.raw(self.expects.map_or(Uuid::nil(), |expected| expected.0).as_bytes());
        Outgoing::new(header(role), writer.finish())
    }

    pub(crate) fn read(body: Bytes) -> Result<Self, FieldError> {
        let mut reader = FieldReader::new(body);
        if reader.raw(MAGIC.len())? != MAGIC[..] {
            return Err(FieldError::Unknown { field: "hello magic", value: 0 });
        }
        let protocol = reader.u16()?;
        if protocol != PROTOCOL {
            // Another protocol's hello has other fields; this much is enough to say so.
            return Ok(Self { protocol, ..Self::of_nobody() });
        }
        let hello = Self {
            protocol,
            cluster: ClusterId(uuid(&mut reader)?),
            from: NodeId(reader.u64()?),
            to: NodeId(reader.u64()?),
            held: LogIndex(reader.u64()?),
            config: reader.u64()?,
            incarnation: Incarnation(uuid(&mut reader)?),
            expects: Some(uuid(&mut reader)?).filter(|uuid| !uuid.is_nil()).map(Incarnation),
        };
        // Bytes that follow belong to later builds.
        Ok(hello)
    }

    fn of_nobody() -> Self {
        Self {
            protocol: 0,
            cluster: ClusterId(Uuid::nil()),
            from: NodeId(0),
            to: NodeId(0),
            held: LogIndex::ZERO,
            config: 0,
            incarnation: Incarnation(Uuid::nil()),
            expects: None,
        }
    }

    /// Whether the speaker takes no part, and may ask little.
    pub(crate) fn is_visit(&self) -> bool {
        self.to == ANYBODY
    }

    /// Checks a peer's hello against this node.
    ///
    /// # Errors
    /// [`HelloError`] naming what differs.
    pub(crate) fn check(
        &self,
        cluster: ClusterId,
        (node, own): (NodeId, Incarnation),
        config: u64,
    ) -> Result<(), HelloError> {
        if self.protocol != PROTOCOL {
            return Err(HelloError::Protocol { theirs: self.protocol, ours: PROTOCOL });
        }
        if self.cluster != cluster {
            return Err(HelloError::Cluster { theirs: self.cluster, ours: cluster });
        }
        if self.to != node && !self.is_visit() {
            return Err(HelloError::Target { wanted: self.to, ours: node });
        }
        if self.config != config {
            return Err(HelloError::Config { theirs: self.config, ours: config });
        }
        if let Some(expected) = self.expects {
            admission::check(node, own, expected)?;
        }
        Ok(())
    }
}

fn uuid(reader: &mut FieldReader) -> Result<Uuid, FieldError> {
    Ok(Uuid::from_slice(&reader.raw(16)?).expect("sixteen bytes were read"))
}

/// The header of a hello.
pub(crate) fn header(role: Role) -> Header {
    Header { kind: Kind::Hello, role, stream: 0, group: GroupId(0), id: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            protocol: PROTOCOL,
            cluster: ClusterId(Uuid::from_u128(7)),
            from: NodeId(1),
            to: NodeId(2),
            held: LogIndex(9),
            config: 5,
            incarnation: folder(1),
            expects: Some(folder(2)),
        }
    }

    fn folder(number: u128) -> Incarnation {
        Incarnation(Uuid::from_u128(number))
    }

    #[test]
    fn strangers_are_refused_by_what_differs() {
        let (ours, node) = (hello().cluster, NodeId(2));
        let theirs = ClusterId(Uuid::from_u128(8));
        for (hello, expected) in [
            (hello(), Ok(())),
            (Hello { protocol: 9, ..hello() }, Err(HelloError::Protocol { theirs: 9, ours: PROTOCOL })),
            (Hello { cluster: theirs, ..hello() }, Err(HelloError::Cluster { theirs, ours })),
            (
                Hello { to: NodeId(3), ..hello() },
                Err(HelloError::Target { wanted: NodeId(3), ours: NodeId(2) }),
            ),
            (Hello { from: ANYBODY, to: ANYBODY, expects: None, ..hello() }, Ok(())),
            (Hello { config: 6, ..hello() }, Err(HelloError::Config { theirs: 6, ours: 5 })),
            (Hello { expects: None, ..hello() }, Ok(())),
            (
                Hello { expects: Some(folder(3)), ..hello() },
                Err(HelloError::NotAdmitted(NotAdmitted::Replaced {
                    node,
                    found: folder(2),
                    admitted: folder(3),
                })),
            ),
        ] {
            assert_eq!(hello.check(ours, (node, folder(2)), 5), expected);
        }
    }

    #[test]
    fn a_hello_survives_its_bytes() {
        let frame = hello().frame(Role::Request);
        assert_eq!(Hello::read(frame.parts[0].clone()).unwrap(), hello());
        assert_eq!(frame.parts[0], include_bytes!("../../golden/v3/hello.bin")[..]);
        let stranger = Hello { expects: None, ..hello() };
        assert_eq!(Hello::read(stranger.frame(Role::Request).parts[0].clone()).unwrap(), stranger);
        let (v1, v2) =
            (include_bytes!("../../golden/v1/hello.bin"), include_bytes!("../../golden/v2/hello.bin"));
        for (theirs, bytes) in [(1, &v1[..]), (2, &v2[..])] {
            let old = Hello::read(Bytes::from_static(bytes)).unwrap();
            let refused = old.check(hello().cluster, (NodeId(2), folder(2)), 5);
            assert_eq!(refused, Err(HelloError::Protocol { theirs, ours: PROTOCOL }));
        }
        assert!(Hello::read(Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n")).is_err());
    }
}
