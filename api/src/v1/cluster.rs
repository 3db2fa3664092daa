use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number;

/// What a node is to its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MemberRole {
    /// It counts towards the quorum.
    Voter,
    /// It only follows.
    Learner,
}

/// What a node does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It belongs to no cluster yet.
    Uninitialized,
    /// It follows without a vote.
    Learner,
    /// It follows.
    Follower,
    /// It asks for votes.
    Candidate,
    /// It leads.
    Leader,
    /// It has stopped.
    Stopped,
}

/// The cluster as the answering node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// The cluster's id; absent before it is initialized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// The answering node.
    pub node_id: u64,
    /// The version of its software.
    pub version: String,
    /// What it does.
    pub state: NodeState,
    /// The term.
    pub term: u64,
    /// Who leads, if known.
    #[serde(default)]
    pub leader: Option<u64>,
    /// Where the leader's HTTP server is, if known.
    #[serde(default)]
    pub leader_url: Option<String>,
    /// Index of the last entry in its log.
    pub last_log_index: u64,
    /// Index of the last entry that it knows to be committed.
    pub committed_index: u64,
    /// Index of the last entry that it has applied.
    pub applied_index: u64,
    /// Position of the last event that it has applied.
    pub applied_position: u64,
    /// A digest over all that it has applied, 16 hexadecimal digits: equal on
    /// all nodes that have applied the same index.
    pub applied_digest: String,
    /// All members, the answering node among them.
    pub members: Vec<MemberStatus>,
}

/// One member, as the answering node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its id.
    pub node_id: u64,
    /// What it is to the group.
    pub role: MemberRole,
    /// Where its peer port is: `host:port`.
    pub peer_address: String,
    /// Where its HTTP server is: `http://host:port`.
    pub url: String,
    /// Index of the last entry that it holds, as the leader knows; absent elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched_index: Option<u64>,
    /// Milliseconds since the leader sent it the last call that it answered, 0
    /// for the leader itself. Only the leader knows: absent elsewhere, and for
    /// a member that has not answered since this leader leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_ms: Option<u64>,
}

/// POST: make a cluster. Without members, of the answering node alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InitBody {
    /// The voters, the answering node among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberBody>,
}

/// A member to be. POST: add it, as a voter unless `voter` is false.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberBody {
    /// Its id, never used before; the node's own configuration must agree.
    #[serde(alias = "node_id", deserialize_with = "number::or_zero")]
    pub node_id: u64,
    /// Where its peer port is: `host:port`.
    #[serde(alias = "peer_address")]
    pub peer_address: String,
    /// Where its HTTP server is: `http://host:port`.
    pub url: String,
    /// Whether it votes, once it has caught up.
    #[serde(default = "yes")]
    pub voter: bool,
}

fn yes() -> bool {
    true
}

/// POST: hand leadership over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferBody {
    /// To whom: a voter.
    #[serde(deserialize_with = "number::or_zero")]
    pub to: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_both_cases_and_vote_unless_told_otherwise() {
        let camel: MemberBody =
            serde_json::from_str(r#"{"nodeId":2,"peerAddress":"b:9124","url":"http://b:9123"}"#).unwrap();
        let snake: MemberBody = serde_json::from_str(
            r#"{"node_id":"2","peer_address":"b:9124","url":"http://b:9123","voter":true}"#,
        )
        .unwrap();
        assert_eq!(camel, snake);
        assert!(serde_json::from_str::<MemberBody>(r#"{"nodeId":2,"peerAddress":"b:9124"}"#).is_err());
        assert_eq!(serde_json::from_str::<InitBody>("{}").unwrap(), InitBody::default());
    }
}
