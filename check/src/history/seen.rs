//! What an answer showed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The content of a successful answer; the variant fits the call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "seen", rename_all = "snake_case")]
pub enum Seen {
    /// Of an append.
    Appended {
        /// Version of its first event.
        first_version: u64,
        /// Version of its last event.
        last_version: u64,
        /// Position of its first event.
        first_position: u64,
        /// Whether the answer says that it repeats an earlier one.
        #[serde(default)]
        repeated: bool,
    },
    /// Of a read of a stream.
    Events {
        /// The page, in the read's direction.
        events: Vec<SeenEvent>,
        /// The stream's version according to the answer, 0 for a stream without events, `None` if it did
        /// not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head: Option<u64>,
        /// Where the next page begins, if the answer says that there is more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<u64>,
        /// The position that the node had applied, if the answer named it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        applied: Option<u64>,
    },
    /// Of a read of a stream's head.
    Head {
        /// The version, 0 for a stream without events.
        version: u64,
        /// Position of its last event, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_position: Option<u64>,
        /// The position that the node had applied, if the answer named it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        applied: Option<u64>,
    },
    /// Of a read of the log.
    Log {
        /// The page, in order of position.
        events: Vec<Delivered>,
        /// The position that the node had applied, if the answer named it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        applied: Option<u64>,
    },
    /// Of a query of a view.
    View {
        /// The view, `None` if the partition has none.
        value: Option<Value>,
        /// The position up to which the projection was folded on the node.
        checkpoint: u64,
    },
    /// Of an observed stretch.
    Observed {
        /// What arrived, in order of arrival.
        events: Vec<Delivered>,
        /// The source said that it left out what lies after the last event, up to this position.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gap_to: Option<u64>,
        /// All events up to this position had to be there when it ended. What is
        /// later may have come after: an append whose client gave up comes when it comes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        complete_to: Option<u64>,
        /// The source said, once, that history had ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        caught_up: Option<CaughtUp>,
    },
    /// Of a node's state.
    Node(NodeReport),
    /// Of a change of membership.
    Membership {
        /// The voters afterwards.
        voters: Vec<u64>,
        /// The learners afterwards.
        learners: Vec<u64>,
    },
    /// Of a key: after a write its new revision, after a read what it holds.
    Kv {
        /// The value read; `None` when absent, and after a write.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
        /// The revision, 0 when absent.
        revision: u64,
    },
    /// Nothing but success.
    Done,
}

/// The word of a subscription that history has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaughtUp {
    /// Everything up to this position had come.
    pub position: u64,
    /// Events of the stretch that had come before it.
    pub events: u64,
}

/// An event in a page of its stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenEvent {
    /// Its version.
    #[serde(rename = "v")]
    pub version: u64,
    /// Its position.
    #[serde(rename = "p")]
    pub position: u64,
    /// The mark in its payload; empty for an event that no workload wrote.
    #[serde(rename = "m")]
    pub mark: String,
}

/// An event outside its stream: from the log, a subscription or JetStream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// Its position.
    #[serde(rename = "p")]
    pub position: u64,
    /// Its stream's entity id.
    #[serde(rename = "s")]
    pub stream: String,
    /// Its version.
    #[serde(rename = "v")]
    pub version: u64,
    /// The mark in its payload; empty for an event that no workload wrote.
    #[serde(rename = "m")]
    pub mark: String,
}

/// What a node said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeReport {
    /// How often it was started, so that a restart is visible.
    #[serde(default)]
    pub incarnation: u64,
    /// The log index that it has applied.
    pub applied_index: u64,
    /// The position that it has applied.
    pub position: u64,
    /// The digest of its applied state at `applied_index`; empty if it gives none.
    #[serde(default)]
    pub digest: String,
    /// Its term.
    pub term: u64,
    /// Who leads, as it sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<u64>,
    /// Whether it says that it leads itself in `term`.
    #[serde(default)]
    pub leads: bool,
    /// Stream actors that run on it, if it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actors: Option<u64>,
    /// The checkpoint of each projection.
    #[serde(default)]
    pub checkpoints: BTreeMap<String, Checkpoint>,
}

/// How far a projection is on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The position that it has folded.
    pub position: u64,
    /// How often it was rebuilt: a rebuild may let the position fall.
    #[serde(default)]
    pub rebuilds: u64,
}
