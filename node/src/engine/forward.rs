//! The asking side of forwarding.

use std::time::Duration;

use weir_raft::ForwardError;
use weir_storage::codec::forward::{ForwardRequest, ForwardResponse};
use weir_types::{
    AppendAck, AppendError, AppendRequest, KvCommand, KvOutcome, NodeId, Planted, RegistryCommand,
    RegistryOutcome, TransactionAck, TransactionRequest, planted,
};

use super::Engine;

/// How long the leader may take to answer; past it, what it did is not known.
const ANSWER_WAIT: Duration = Duration::from_secs(15);

impl Engine {
    pub(super) async fn forward_append(
        &self,
        leader: NodeId,
        request: AppendRequest,
    ) -> Result<AppendAck, AppendError> {
        match self.ask(leader, ForwardRequest::Append(request)).await? {
            ForwardResponse::Append(result) => result,
            _ => Err(odd()),
        }
    }

    pub(super) async fn forward_transaction(
        &self,
        leader: NodeId,
        request: TransactionRequest,
    ) -> Result<TransactionAck, AppendError> {
        match self.ask(leader, ForwardRequest::Transact(request)).await? {
            ForwardResponse::Transact(result) => result,
            // A leader that cannot read a request does not know which kind it is.
            ForwardResponse::Append(Err(error)) => Err(error),
            _ => Err(odd()),
        }
    }

    pub(super) async fn forward_kv(
        &self,
        leader: NodeId,
        command: KvCommand,
    ) -> Result<KvOutcome, AppendError> {
        match self.ask(leader, ForwardRequest::Kv(command)).await? {
            ForwardResponse::Kv(result) => result,
            ForwardResponse::Append(Err(error)) => Err(error),
            _ => Err(odd()),
        }
    }

    pub(super) async fn forward_register(
        &self,
        leader: NodeId,
        command: RegistryCommand,
    ) -> Result<RegistryOutcome, AppendError> {
        match self.ask(leader, ForwardRequest::Register(command)).await? {
            ForwardResponse::Register(result) => result,
            // A leader that cannot read a request does not know which kind it is.
            ForwardResponse::Append(Err(error)) => Err(error),
            _ => Err(odd()),
        }
    }

    async fn ask(&self, leader: NodeId, request: ForwardRequest) -> Result<ForwardResponse, AppendError> {
        metrics::counter!("weir_forwarded_total").increment(1);
        let answer = self.raft.forward(leader, request.encode(), ANSWER_WAIT).await.map_err(|error| {
            let reason = error.to_string();
            match error {
                ForwardError::NotSent { .. } => AppendError::Unavailable { reason },
                ForwardError::Unknown { .. } if planted(Planted::LostAnswerIsNotSent) => {
                    AppendError::Unavailable { reason }
                }
                ForwardError::Unknown { .. } => AppendError::OutcomeUnknown { reason },
            }
        })?;
        ForwardResponse::decode(&answer).map_err(|error| AppendError::OutcomeUnknown {
            reason: format!("answer is not readable: {error}"),
        })
    }
}

fn odd() -> AppendError {
    AppendError::OutcomeUnknown { reason: "leader answered something else".to_owned() }
}
