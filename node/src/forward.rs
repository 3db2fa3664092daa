//! The leader's side of forwarding: what other nodes ask this one to decide.
//!
//! A forwarded request is never forwarded again: if this node does not lead
//! either, it says so and the asking node looks for the leader anew.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tracing::warn;
use weir_actors::RouterHandle;
use weir_raft::ForwardHandler;
use weir_storage::codec::forward::{ForwardRequest, ForwardResponse};
use weir_types::{AppendError, NodeId, ports::Proposer};

use crate::buckets::Buckets;

/// Where forwarded requests are decided; set once the node is wired.
#[derive(Clone)]
pub(crate) struct Deciders {
    pub(crate) router: RouterHandle,
    pub(crate) proposer: Arc<dyn Proposer>,
    pub(crate) buckets: Arc<Buckets>,
}

/// Answers forwarded requests. The peers' link needs it before the router is
/// made, because the router needs the ports that the link's node gives.
#[derive(Clone, Default)]
pub(crate) struct LeaderSide {
    deciders: Arc<OnceLock<Deciders>>,
}

impl LeaderSide {
    /// Begins to answer.
    pub(crate) fn begin(&self, deciders: Deciders) {
        let first = self.deciders.set(deciders).is_ok();
        assert!(first, "a node is wired once");
    }

    async fn decide(&self, request: ForwardRequest) -> ForwardResponse {
        match (request, self.deciders.get()) {
            (ForwardRequest::Append(request), Some(deciders)) => {
                ForwardResponse::Append(deciders.router.append(request).await)
            }
            (ForwardRequest::Register(command), Some(deciders)) => {
                ForwardResponse::Register(deciders.proposer.register(command).await)
            }
            (ForwardRequest::Transact(request), Some(deciders)) => {
                ForwardResponse::Transact(deciders.router.transact(request).await)
            }
            (ForwardRequest::Kv(command), Some(deciders)) => {
                ForwardResponse::Kv(deciders.buckets.decide(command).await)
            }
            (ForwardRequest::Kv(_), None) => ForwardResponse::Kv(Err(starting())),
            (ForwardRequest::Transact(_), None) => ForwardResponse::Transact(Err(starting())),
            (ForwardRequest::Append(_), None) => ForwardResponse::Append(Err(starting())),
            (ForwardRequest::Register(_), None) => ForwardResponse::Register(Err(starting())),
        }
    }
}

fn starting() -> AppendError {
    AppendError::Unavailable { reason: "the leader is starting".to_owned() }
}

#[async_trait::async_trait]
impl ForwardHandler for LeaderSide {
    async fn handle(&self, from: NodeId, body: Bytes) -> Bytes {
        match ForwardRequest::decode(&body) {
            Ok(request) => self.decide(request).await.encode(),
            Err(error) => {
                warn!(from = from.0, %error, "forwarded request is not readable");
                let reason = format!("forwarded request is not readable: {error}");
                ForwardResponse::Append(Err(AppendError::Unavailable { reason })).encode()
            }
        }
    }
}
