//! A short connection to whoever is at an address: by a node that does not take
//! part, because its log is damaged or because it is no member.

use bytes::Bytes;
use weir_types::{GroupId, NodeId};

use crate::network::{
    connection::greet,
    frame::{Header, Incoming, Kind, Outgoing, Role},
    hello::ANYBODY,
    join::{JoinAnswer, JoinRequest},
    link::Myself,
    socket::{PeerReader, PeerSocket, PeerWriter},
};

/// Asks the node at an address for a seat.
///
/// # Errors
/// Why there is no answer, in words.
pub(crate) async fn join(
    myself: &Myself,
    address: &str,
    group: GroupId,
    request: &JoinRequest,
) -> Result<JoinAnswer, String> {
    let body = Visit::begin(myself, address).await?.ask((Kind::Join, group), request.encode()).await?;
    JoinAnswer::decode(body).map_err(|error| error.to_string())
}

/// One such connection. One question at a time.
pub(super) struct Visit {
    node: NodeId,
    read: PeerReader,
    write: PeerWriter,
    asked: u64,
}

impl Visit {
    /// Says hello.
    ///
    /// # Errors
    /// Why nobody answers, in words.
    pub(super) async fn begin(myself: &Myself, address: &str) -> Result<Self, String> {
        let socket = myself.dialer.dial(address).await.map_err(|error| error.to_string())?;
        let PeerSocket { mut read, mut write, .. } = socket;
        let hello = myself.hello(ANYBODY, None);
        let theirs = greet(&mut read, &mut write, &hello).await.map_err(|error| error.to_string())?;
        Ok(Self { node: theirs.from, read, write, asked: 0 })
    }

    /// Who answers.
    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    /// Asks one thing and waits for the answer's body.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) async fn ask(&mut self, (kind, group): (Kind, GroupId), body: Bytes) -> Result<Bytes, String> {
        self.asked += 1;
        let header = Header { kind, role: Role::Request, stream: 0, group, id: self.asked };
        let sent = Outgoing::new(header, body).write(&mut self.write).await;
        sent.map_err(|error| error.to_string())?;
        let Incoming { header, body } =
            Incoming::read(&mut self.read).await.map_err(|error| error.to_string())?;
        match header.role {
            Role::Answer => Ok(body),
            Role::Request | Role::Refusal => Err(String::from_utf8_lossy(&body).chars().take(500).collect()),
        }
    }
}
