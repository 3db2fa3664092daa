//! A node that does not know its place asks for its seat.
//!
//! A request is `[version u8][wants u8][seat u64][incarnation 16 bytes, nil if none][peer text][edge text]`.
//! An answer is `[version u8][kind u8]`, then for 1 `[node u64]`, for 4 `[reason text]`, for 5
//! `[node u64][address text]`, for 6 `[in a cluster u8][leader's address text]`; 2 and 3 have no more.

use bytes::Bytes;
use uuid::Uuid;
use weir_types::{Incarnation, NodeId};

use crate::fields::{FieldError, FieldReader, FieldWriter};

const VERSION: u8 = 1;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinRequest {
    /// Whether the folder is to be admitted. Otherwise the node only asks how things stand.
    pub(crate) wants: bool,
    /// The configured id.
    pub(crate) seat: NodeId,
    /// That of the folder; none for a node that has no folder to come with yet.
    pub(crate) incarnation: Option<Incarnation>,
    /// Where its peers dial it, `host:port`.
    pub(crate) peer: String,
    /// Where clients reach it, `host:port`.
    pub(crate) edge: String,
}

/// What is answered. Only a leader that a quorum confirms knows more than `Elsewhere`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JoinAnswer {
    /// The folder is a member's, under this id.
    Member(NodeId),
    /// Nobody ever had this seat, or it waits for its first folder: the node takes part as it is configured.
    Open,
    /// Another folder has the seat, and one that asks for it now would be admitted.
    Free,
    /// Another folder has the seat, and now is not the time to admit one.
    Later(String),
    /// Another folder has the seat, and a process that still answers with it.
    Taken { node: NodeId, address: String },
    /// This node does not lead.
    Elsewhere { in_cluster: bool, leader: Option<String> },
}

impl JoinRequest {
    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = FieldWriter::default();
        writer.u8(VERSION).u8(self.wants.into()).u64(self.seat.0);
        writer.raw(self.incarnation.map_or(Uuid::nil(), |own| own.0).as_bytes());
        writer.text(&self.peer).text(&self.edge);
        writer.finish()
    }

    pub(crate) fn decode(body: Bytes) -> Result<Self, FieldError> {
        let mut reader = FieldReader::new(body);
        version(&mut reader)?;
        let (wants, seat) = (reader.flag()?, NodeId(reader.u64()?));
        let uuid = Uuid::from_slice(&reader.raw(16)?).expect("sixteen bytes were read");
        let incarnation = Some(uuid).filter(|uuid| !uuid.is_nil()).map(Incarnation);
        let (peer, edge) = (reader.text()?, reader.text()?);
        reader.end()?;
        Ok(Self { wants, seat, incarnation, peer, edge })
    }
}

impl JoinAnswer {
    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = FieldWriter::default();
        writer.u8(VERSION);
        match self {
            Self::Member(node) => writer.u8(1).u64(node.0),
            Self::Open => writer.u8(2),
            Self::Free => writer.u8(3),
            Self::Later(reason) => writer.u8(4).text(reason),
            Self::Taken { node, address } => writer.u8(5).u64(node.0).text(address),
            Self::Elsewhere { in_cluster, leader } => {
                writer.u8(6).u8((*in_cluster).into()).text(leader.as_deref().unwrap_or_default())
            }
        };
        writer.finish()
    }

    pub(crate) fn decode(body: Bytes) -> Result<Self, FieldError> {
        let mut reader = FieldReader::new(body);
        version(&mut reader)?;
        let answer = match reader.u8()? {
            1 => Self::Member(NodeId(reader.u64()?)),
            2 => Self::Open,
            3 => Self::Free,
            4 => Self::Later(reader.text()?),
            5 => Self::Taken { node: NodeId(reader.u64()?), address: reader.text()? },
            6 => {
                let (in_cluster, leader) = (reader.flag()?, reader.text()?);
                Self::Elsewhere { in_cluster, leader: Some(leader).filter(|leader| !leader.is_empty()) }
            }
            other => return Err(FieldError::Unknown { field: "answer about a seat", value: other.into() }),
        };
        reader.end()?;
        Ok(answer)
    }
}

fn version(reader: &mut FieldReader) -> Result<(), FieldError> {
    match reader.u8()? {
        VERSION => Ok(()),
        other => Err(FieldError::Unknown { field: "version of a request for a seat", value: other.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> JoinRequest {
        JoinRequest {
            wants: true,
            seat: NodeId(3),
            incarnation: Some(Incarnation(Uuid::from_u128(9))),
            peer: "c:9124".into(),
            edge: "c:9123".into(),
        }
    }

    #[test]
    fn requests_and_answers_keep_their_bytes() {
        let whole = request().encode();
        assert_eq!(whole, include_bytes!("../../golden/v2/join_request.bin")[..]);
        assert_eq!(JoinRequest::decode(whole.clone()), Ok(request()));
        let asks = JoinRequest { wants: false, incarnation: None, ..request() };
        assert_eq!(JoinRequest::decode(asks.encode()), Ok(asks));
        for cut in 0..whole.len() {
            assert!(JoinRequest::decode(whole.slice(..cut)).is_err(), "cut at {cut}");
        }
        let answers = [
            JoinAnswer::Member(NodeId(57_000_003)),
            JoinAnswer::Open,
            JoinAnswer::Free,
            JoinAnswer::Later("too early".into()),
            JoinAnswer::Taken { node: NodeId(3), address: "c:9124".into() },
            JoinAnswer::Elsewhere { in_cluster: true, leader: Some("a:9124".into()) },
            JoinAnswer::Elsewhere { in_cluster: false, leader: None },
        ];
        let all: Vec<u8> = answers.iter().flat_map(|answer| answer.encode().to_vec()).collect();
        assert_eq!(all, include_bytes!("../../golden/v2/join_answers.bin")[..]);
        for answer in answers {
            let whole = answer.encode();
            assert_eq!(JoinAnswer::decode(whole.clone()), Ok(answer));
            for cut in 0..whole.len() {
                assert!(JoinAnswer::decode(whole.slice(..cut)).is_err(), "cut at {cut}");
            }
        }
    }
}
