//! What a client, an observer or the harness asked for.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One call. `node` is the id of the node that was asked, 0 if the client chose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Call {
    /// Append events to a stream.
    Append {
        /// The entity id.
        stream: String,
        /// The guard.
        expected: Expected,
        /// The idempotency key; operations with one key carry the same marks unless a conflict is wanted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// One mark per event, unique in the run, which lies in the event's payload.
        marks: Vec<String>,
        /// The node that was asked.
        node: u64,
    },
    /// Read a page of a stream.
    ReadStream {
        /// The entity id.
        stream: String,
        /// The first version, `None` for the start, or for the end when backward.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<u64>,
        /// Which way.
        direction: ReadDirection,
        /// Events in the page at most.
        limit: u64,
        /// How fresh.
        consistency: ReadConsistency,
        /// The node that was asked.
        node: u64,
    },
    /// Read the head of a stream.
    StreamInfo {
        /// The entity id.
        stream: String,
        /// How fresh.
        consistency: ReadConsistency,
        /// The node that was asked.
        node: u64,
    },
    /// Read a page of the whole log.
    ReadLog {
        /// The first position, 1 for the start.
        from: u64,
        /// Events in the page at most.
        limit: u64,
        /// How fresh.
        consistency: ReadConsistency,
        /// The node that was asked.
        node: u64,
    },
    /// Query a view.
    View {
        /// The projection.
        projection: String,
        /// The partition key.
        partition: String,
        /// The position that the answer must reflect.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min_position: Option<u64>,
        /// The node that was asked.
        node: u64,
    },
    /// One connected stretch of a consumer outside the cluster, from connect to cut.
    Observe {
        /// Who: the same name over reconnects.
        consumer: String,
        /// Where the events came from.
        source: Source,
        /// Which events it asked for.
        filter: Filter,
        /// The position after which it asked to go on: 0 for all.
        after: u64,
    },
    /// Ask a node for its state.
    NodeState {
        /// The node.
        node: u64,
    },
    /// Change the membership.
    Membership {
        /// What was asked.
        change: MembershipOp,
        /// The node concerned.
        member: u64,
        /// The node that was asked.
        node: u64,
    },
    /// An operation on one key of a key-value bucket.
    Kv {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// The operation.
        op: KvOp,
        /// The node that was asked.
        node: u64,
    },
    /// The harness made or healed a fault; `invoke_us` and `complete_us` bound it.
    Fault {
        /// The fault, such as `kill-9` or `partition`.
        name: String,
        /// `inject` or `heal`.
        phase: String,
        /// The nodes hit.
        nodes: Vec<u64>,
        /// Anything else that helps a reader.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        detail: Value,
    },
}

/// The guard of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "guard", content = "version", rename_all = "snake_case")]
pub enum Expected {
    /// No guard.
    Any,
    /// The stream is at exactly this version; 0: it has no events.
    Exact(u64),
}

/// Which way a read walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadDirection {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// How fresh an answer was asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "level", content = "position", rename_all = "snake_case")]
pub enum ReadConsistency {
    /// It reflects all that was acknowledged before the read began.
    Linearizable,
    /// It reflects some earlier moment.
    Local,
    /// It reflects at least this position.
    AtLeast(u64),
}

/// Where a consumer outside the cluster gets its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A JetStream consumer: at least once, a repeat has the position of the first.
    JetStream,
    /// A subscription at a node: once.
    Subscription,
}

/// Which events a consumer asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "match", rename_all = "snake_case")]
pub enum Filter {
    /// All of them.
    All,
    /// One stream's.
    Stream {
        /// The entity id.
        stream: String,
    },
    /// Those of streams whose id begins so.
    Prefix {
        /// The beginning.
        prefix: String,
    },
    /// Those with one of these event names.
    Names {
        /// The names.
        names: Vec<String>,
    },
}

impl Filter {
    /// Whether an event of this stream and name is asked for.
    #[must_use]
    pub fn matches(&self, stream: &str, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Stream { stream: wanted } => stream == wanted,
            Self::Prefix { prefix } => stream.starts_with(prefix.as_str()),
            Self::Names { names } => names.iter().any(|wanted| wanted == name),
        }
    }
}

/// A change of membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipOp {
    /// Add as a learner.
    AddLearner,
    /// Make a learner a voter.
    Promote,
    /// Make a voter a learner.
    Demote,
    /// Take it out.
    Remove,
    /// Hand leadership to it.
    TransferLeader,
}

/// An operation on one key. A revision counts the writes of the key: 0 means absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum KvOp {
    /// Read value and revision.
    Get,
    /// Write without a guard.
    Put {
        /// The value, unique in the run.
        value: String,
    },
    /// Write if the key is at this revision.
    Cas {
        /// The guard; 0: the key is absent.
        revision: u64,
        /// The value, unique in the run.
        value: String,
    },
    /// Take the key away, with an optional guard.
    Delete {
        /// The guard.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<u64>,
    },
}
