use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far the outbox is, as the answering node knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutboxStatus {
    /// Whether this node publishes: it does while it leads.
    pub active: bool,
    /// The bus: `jetstream` or `none`.
    pub bus: String,
    /// The last position that the bus holds, if this node knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<u64>,
    /// The last position that this node has applied.
    pub applied: u64,
    /// Positions that are committed and not published, if this node knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// What went wrong last, while it is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
