//! The one way in which a change of the membership is proposed.

use openraft::{
    ChangeMembers,
    errors::{ClientWriteError, ForwardToLeader, RaftError},
    raft::{ClientWriteResponse, Precondition},
};

use crate::types::{PeerNode, Raft, TypeConfig};

/// Proposes a change, unless another one comes between.
///
/// A leader that was removed leads for a moment still, so that the others learn of it. It proposes no more changes:
/// openraft asserts that whoever does is a member.
pub(crate) async fn propose(
    raft: &Raft,
    change: ChangeMembers<u64, PeerNode>,
) -> Result<ClientWriteResponse<TypeConfig>, RaftError<TypeConfig, ClientWriteError<TypeConfig>>> {
    let node = *raft.node_id();
    let known = raft.with_raft_state(move |state| {
        let effective = state.membership_state.effective();
        (effective.get_node(&node).is_some(), *effective.log_id())
    });
    let (is_member, last_membership_log_id) = known.await?;
    if !is_member {
        return Err(RaftError::APIError(ForwardToLeader::empty().into()));
    }
    let unchanged = Precondition::LastMembershipLogId { last_membership_log_id };
    raft.change_membership_if(change, false, [unchanged]).await
}
