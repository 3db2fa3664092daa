//! Requests of the node itself between peers, opaque to Raft.

use std::time::Duration;

use bytes::Bytes;
use weir_types::{GroupId, NodeId};

use crate::network::{connection::LinkError, frame::Kind, links::Links};

/// Answers the requests that other nodes forward to this one.
#[async_trait::async_trait]
pub trait ForwardHandler: Send + Sync + 'static {
    /// Answers one request. `from` was checked to be of this cluster. The body
    /// and the answer are at most [`weir_types::limits::PEER_MESSAGE_BYTES_MAX`] bytes.
    async fn handle(&self, from: NodeId, body: Bytes) -> Bytes;
}

/// Why a forwarded request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// It did not reach the peer: it was not handled.
    #[error("request did not reach node {target}: {reason}")]
    NotSent {
        /// The peer.
        target: NodeId,
        /// Why.
        reason: String,
    },
    /// It was sent, and whether it was handled is not known.
    #[error("answer of node {target} was lost: {reason}")]
    Unknown {
        /// The peer.
        target: NodeId,
        /// Why.
        reason: String,
    },
}

/// Sends a request to a peer's [`ForwardHandler`].
pub(crate) async fn forward(
    links: &Links,
    (target, address): (NodeId, &str),
    body: Bytes,
    wait_max: Duration,
) -> Result<Bytes, ForwardError> {
    let asked = links.ask((target, address), (Kind::Forward, GroupId::DEFAULT), body, wait_max).await;
    asked.map_err(|error| {
        let reason = error.to_string();
        match error {
            LinkError::NotConnected { .. } | LinkError::Refused { .. } => {
                ForwardError::NotSent { target, reason }
            }
            LinkError::Lost | LinkError::Timeout { .. } | LinkError::Malformed(_) => {
                ForwardError::Unknown { target, reason }
            }
        }
    })
}
