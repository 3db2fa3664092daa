//! What is there at the end of a run, after everything has healed.

use std::{
    fs::File,
    io::{BufReader, BufWriter},
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::history::{HistoryError, NodeReport};

/// Everything that the checkers compare a history with.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FinalState {
    /// Each node that is a member at the end.
    pub nodes: Vec<NodeEnd>,
    /// JetStream's content; `None` if the run had no NATS.
    #[serde(default)]
    pub jetstream: Option<JetStreamEnd>,
    /// Views, from any node, at any checkpoint.
    #[serde(default)]
    pub views: Vec<ViewEnd>,
}

/// What one node holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NodeEnd {
    /// The node.
    pub node: u64,
    /// What it says of itself.
    pub report: NodeReport,
    /// All its events, as they were read: in order of position if it is right.
    pub events: Vec<StoredEvent>,
}

/// One event as a node holds it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StoredEvent {
    /// Its place in the namespace.
    pub position: u64,
    /// Its stream's entity id.
    pub stream: String,
    /// Its place in the stream.
    pub version: u64,
    /// The mark in its payload; empty for an event that no workload wrote.
    pub mark: String,
    /// Its event name.
    #[serde(default)]
    pub name: String,
    /// Its event id.
    #[serde(default)]
    pub id: String,
    /// When it was recorded, in microseconds of the cluster's clock; 0 if not read.
    #[serde(default)]
    pub recorded_us: i64,
    /// The term of its log entry, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// The node whose actor decided it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<u64>,
    /// Its data, for the folds that need more than the mark.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

/// JetStream's content.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct JetStreamEnd {
    /// All messages in order of sequence.
    pub messages: Vec<Message>,
    /// The highest position that was taken away on purpose (a retention limit), 0 if nothing was.
    #[serde(default)]
    pub trimmed_to: u64,
}

/// One message in JetStream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Message {
    /// Its sequence, which is its position.
    pub sequence: u64,
    /// The position in its header.
    pub position: u64,
    /// The stream (entity id) in its content.
    pub stream: String,
    /// The version in its content.
    pub version: u64,
    /// The mark in its payload.
    pub mark: String,
}

/// One view on one node.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ViewEnd {
    /// The node.
    pub node: u64,
    /// The projection.
    pub projection: String,
    /// The partition key.
    pub partition: String,
    /// The position up to which it is folded.
    pub checkpoint: u64,
    /// The view, `None` if there is none.
    pub value: Option<Value>,
}

impl FinalState {
    /// The longest log among the nodes: what the others are compared with.
    #[must_use]
    pub fn longest(&self) -> &[StoredEvent] {
        self.nodes.iter().map(|node| node.events.as_slice()).max_by_key(|events| events.len()).unwrap_or(&[])
    }

    /// Writes it as one JSON file, beside the history.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), HistoryError> {
        let file = BufWriter::new(File::create(path)?);
        serde_json::to_writer(file, self).map_err(|error| HistoryError::File(error.into()))
    }

    /// Reads what [`FinalState::save`] wrote.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn load(path: &Path) -> Result<Self, HistoryError> {
        serde_json::from_reader(BufReader::new(File::open(path)?))
            .map_err(|error| HistoryError::File(error.into()))
    }
}
