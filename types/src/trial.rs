use crate::{BadEvent, PartitionKey, ProjectionDefinition, ports::View};

/// What came of folding given events with a projection that is deployed nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// What its source declares.
    pub definition: ProjectionDefinition,
    /// The state of each partition, in byte order of their keys.
    pub states: Vec<(PartitionKey, View)>,
    /// Events that its handler folded.
    pub folded: u64,
    /// Events that it is for, and that have no partition key.
    pub unkeyed: u64,
    /// Events that it would pass as dead letters.
    pub dead_letters: Vec<BadEvent>,
    /// The event that it would park at, if there is one; those after it are not folded.
    pub failed: Option<BadEvent>,
}
