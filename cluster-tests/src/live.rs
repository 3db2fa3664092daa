//! Subscribers as strangers make them: server-sent events, the WebSocket and gRPC, raw, each at one node.

mod grpc;
mod heard;
mod socket;
mod sse;

pub use heard::{Ask, Event, Heard, Start, Target};

use anyhow::Result;

use crate::edge::Edge;

/// Which door of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Server-sent events.
    Sse,
    /// The WebSocket.
    Socket,
    /// gRPC.
    Grpc,
}

/// Every door.
pub const DOORS: [Door; 3] = [Door::Sse, Door::Socket, Door::Grpc];

impl Door {
    /// A word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::Socket => "socket",
            Self::Grpc => "grpc",
        }
    }
}

/// An open subscription.
pub enum Listening {
    /// By server-sent events.
    Sse(sse::Sse),
    /// By a WebSocket.
    Socket(Box<socket::Socket>),
    /// By gRPC.
    Grpc(Box<grpc::Grpc>),
}

impl Listening {
    /// Subscribes at a node.
    ///
    /// # Errors
    /// When the node does not answer, or refuses.
    pub async fn open(door: Door, edge: &Edge, ask: &Ask) -> Result<Self> {
        Ok(match door {
            Door::Sse => Self::Sse(sse::Sse::open(edge, ask).await?),
            Door::Socket => Self::Socket(Box::new(socket::Socket::open(edge, ask).await?)),
            Door::Grpc => Self::Grpc(Box::new(grpc::Grpc::open(edge, ask).await?)),
        })
    }

    /// What comes next; the first says where it begins.
    ///
    /// # Errors
    /// When the connection breaks, or ends without a word.
    pub async fn next(&mut self) -> Result<Heard> {
        match self {
            Self::Sse(sse) => sse.next().await,
            Self::Socket(socket) => socket.next().await,
            Self::Grpc(grpc) => grpc.next().await,
        }
    }
}
