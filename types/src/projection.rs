//! Projections, as the replicated registry knows them.

use std::{fmt, sync::Arc};

use crate::{
    EntityId, EventId, EventName, LogIndex, PartitionKey, Position, ProjectionName, RulesChanged,
    RulesCommand, RulesError, SinkName, StreamVersion, Timestamp, limits,
};

/// Which events a projection folds: a name, `prefix.*`, or `*` for all.
///
/// `*` stands only at the end, alone or after a dot. `order.*` takes
/// `order.placed` and `order.line.added`, and not `order`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventPattern(Arc<str>);

impl EventPattern {
    /// Checks and takes a pattern.
    ///
    /// # Errors
    /// [`RegistryError::Invalid`] when the pattern is empty, too long, or has a `*` elsewhere.
    pub fn new(text: &str) -> Result<Self, RegistryError> {
        let invalid = |why: &str| RegistryError::Invalid { reason: format!("event pattern `{text}` {why}") };
        let stem = match text {
            "*" => "",
            _ => text.strip_suffix(".*").unwrap_or(text),
        };
        if stem.contains('*') {
            return Err(invalid("may hold `*` only alone or at the end, after a dot"));
        }
        if text != "*" {
            EventName::new(stem).map_err(|error| invalid(&format!("is not legal: {error}")))?;
        }
        Ok(Self(Arc::from(text)))
    }

    /// Whether an event of this name is folded.
    #[must_use]
    pub fn matches(&self, name: &EventName) -> bool {
        match self.0.strip_suffix('*') {
            None => *self.0 == *name.as_str(),
            Some(prefix) => name.as_str().starts_with(prefix) && name.as_str().len() > prefix.len(),
        }
    }

    /// The beginning that names share, where the pattern is no single name.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.0.strip_suffix('*')
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A projection's identity: one deployment of one name. Folded state belongs to
/// a deployment, so another deployment of the same name starts from nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectionId {
    /// The name.
    pub name: ProjectionName,
    /// The log index of the command that deployed it.
    pub deployed: LogIndex,
}

/// What a projection does about an event that its handler cannot fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// It stops before the event, and says why.
    #[default]
    Park,
    /// It goes on after the event, which is kept with its error: a dead letter.
    Skip,
}

impl OnError {
    /// Its name, as a source says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Park => "park",
            Self::Skip => "skip",
        }
    }

    /// The policy of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Park, Self::Skip].into_iter().find(|policy| policy.as_str() == name)
    }
}

/// How a projection's states follow the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProjectionKind {
    /// A moment later: a read is of what is folded.
    #[default]
    Async,
    /// No read is behind what the node that answers has applied.
    Inline,
    /// Not at all: a read folds the one stream that it asks for.
    Virtual,
    /// As async, into tables that are asked in SQL.
    Sql,
}

impl ProjectionKind {
    const ALL: [Self; 4] = [Self::Async, Self::Inline, Self::Virtual, Self::Sql];

    /// Its name, as a source says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Async => "async",
            Self::Inline => "inline",
            Self::Virtual => "virtual",
            Self::Sql => "sql",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// An event that a handler could not fold, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEvent {
    /// The event.
    pub id: EventId,
    /// Its name.
    pub name: EventName,
    /// Its stream.
    pub entity_id: EntityId,
    /// Its version in the stream.
    pub version: StreamVersion,
    /// Its position.
    pub position: Position,
    /// The error, with its name: `TypeError: not a function`.
    pub message: String,
    /// Where in the source: lines of `at handler (projection.js:3:9)`. May be empty.
    pub stack: String,
}

impl fmt::Display for BadEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event `{}` at position {}: {}", self.name, self.position, self.message)
    }
}

/// A projection as its author deployed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectionDefinition {
    /// Its name.
    pub name: ProjectionName,
    /// The events that it folds; 1 to [`limits::PROJECTION_PATTERNS_MAX`].
    pub events: Vec<EventPattern>,
    /// JSONPath of the partition key within the event, e.g. `$.data.customer.id`.
    pub partition_key: Option<String>,
    /// The JavaScript module's text.
    pub source: Arc<str>,
    /// What becomes of an event that its handler cannot fold.
    pub on_error: OnError,
    /// How its states follow the log.
    pub kind: ProjectionKind,
    /// Where its tables are, if not on each node: a name of the nodes' configs. Of kind `sql` alone.
    pub sink: Option<SinkName>,
}

impl ProjectionName {
    /// Whether it means itself where it stands in a path of the REST API.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        !matches!(self.as_str(), "." | ".." | "wait-for-event")
    }
}

/// One fold of a projection from the log's beginning: a deployment, or a rebuild of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its identity; its name is the one in its source.
    pub id: ProjectionId,
    /// As it was deployed.
    pub definition: ProjectionDefinition,
}

/// That the newest generation folds the source of the one before it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuild {
    /// When it was asked for, by the leader's clock.
    pub asked_at: Timestamp,
    /// Whether it was given up: a node on which it does not answer yet drops it.
    pub cancelled: bool,
}

/// That one partition is folded again from the log's beginning, on every node for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRebuild {
    /// The log index of the command. Generations that begin after it fold the partition anew by themselves.
    pub at: LogIndex,
    /// The partition.
    pub partition: PartitionKey,
    /// When it was asked for, by the leader's clock.
    pub asked_at: Timestamp,
    /// Whether it was given up: a node that has not done it leaves it.
    pub cancelled: bool,
}

/// A name of the registry, and what answers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The name that is asked for. After a switch the source has another.
    pub name: ProjectionName,
    /// What answers, or is to answer: the newest generation.
    pub id: ProjectionId,
    /// As it was deployed.
    pub definition: ProjectionDefinition,
    /// The log index of its first generation. All that succeed each other have it in common.
    pub first: LogIndex,
    /// The generations before it, oldest first: on a node where the newest has not caught up yet, one of them answers.
    pub before: Vec<Generation>,
    /// Set when the newest generation is a rebuild.
    pub rebuild: Option<Rebuild>,
    /// The last rebuilds of single partitions, oldest first, one of each; at most
    /// [`limits::PARTITION_REBUILDS_MAX`]. A node that was down does those that it has not done.
    pub partition_rebuilds: Vec<PartitionRebuild>,
    /// Whether it folds nothing for now.
    pub paused: bool,
    /// The log index of the last command that told it to go on: whoever was parked before tries again.
    pub resumed: LogIndex,
}

impl Deployment {
    /// A deployment that folds from the start.
    #[must_use]
    pub fn new(id: ProjectionId, definition: ProjectionDefinition) -> Self {
        let (name, first) = (id.name.clone(), id.deployed);
        Self {
            name,
            id,
            definition,
            first,
            before: Vec::new(),
            rebuild: None,
            partition_rebuilds: Vec::new(),
            paused: false,
            resumed: LogIndex::ZERO,
        }
    }

    /// All generations, the newest first.
    pub fn generations(&self) -> impl Iterator<Item = (&ProjectionId, &ProjectionDefinition)> {
        let before = self.before.iter().rev().map(|one| (&one.id, &one.definition));
        std::iter::once((&self.id, &self.definition)).chain(before)
    }

    /// The same with one partition to be rebuilt. An earlier rebuild of the same partition has no use then.
    #[must_use]
    pub fn with_partition_rebuild(&self, one: PartitionRebuild) -> Self {
        let mut all = self.partition_rebuilds.clone();
        all.retain(|other| other.partition != one.partition);
        all.push(one);
        all.drain(..all.len().saturating_sub(limits::PARTITION_REBUILDS_MAX));
        Self { partition_rebuilds: all, ..self.clone() }
    }

    /// The rebuild of a single partition that was asked for last, unless another generation has begun since.
    #[must_use]
    pub fn last_partition_rebuild(&self) -> Option<&PartitionRebuild> {
        self.partition_rebuilds.last().filter(|one| one.at > self.id.deployed)
    }

    /// The same name with another generation on top of it.
    #[must_use]
    pub fn succeeded_by(&self, id: ProjectionId, definition: ProjectionDefinition) -> Self {
        let mut before = self.before.clone();
        before.push(Generation { id: self.id.clone(), definition: self.definition.clone() });
        before.drain(..before.len().saturating_sub(limits::PROJECTION_GENERATIONS_MAX - 1));
        Self { id, definition, before, rebuild: None, ..self.clone() }
    }
}

impl ProjectionDefinition {
    /// Checks the limits.
    ///
    /// # Errors
    /// [`RegistryError::Invalid`] naming the limit.
    pub fn check_limits(&self) -> Result<(), RegistryError> {
        let refuse = |reason: String| Err(RegistryError::Invalid { reason });
        if self.events.is_empty() {
            return refuse("projection folds no events".into());
        }
        if self.events.len() > limits::PROJECTION_PATTERNS_MAX {
            return refuse(format!("projection has over {} event patterns", limits::PROJECTION_PATTERNS_MAX));
        }
        if self.source.len() > limits::PROJECTION_SOURCE_BYTES_MAX {
            return refuse(format!(
                "projection source has over {} bytes",
                limits::PROJECTION_SOURCE_BYTES_MAX
            ));
        }
        Ok(())
    }

    /// Whether an event of this name is folded.
    #[must_use]
    pub fn folds(&self, name: &EventName) -> bool {
        self.events.iter().any(|pattern| pattern.matches(name))
    }
}

/// A change to the replicated registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryCommand {
    /// Deploy a projection. The definition that stands already is no change.
    Deploy(ProjectionDefinition),
    /// Remove a projection with its views.
    Remove(ProjectionName),
    /// Fold nothing until it is resumed.
    Pause(ProjectionName),
    /// Go on after a pause, and try again where it is parked.
    Resume(ProjectionName),
    /// Change rules or schemas of events.
    Rules(RulesCommand),
    /// Fold the same source again, beside what answers now.
    Rebuild {
        /// The projection.
        name: ProjectionName,
        /// The leader's time.
        asked_at: Timestamp,
    },
    /// Give a rebuild up on every node on which it does not answer yet; the last one, of the whole or of a partition.
    CancelRebuild(ProjectionName),
    /// Each of two names answers from now on from what the other one did.
    Switch(ProjectionName, ProjectionName),
    /// Fold one partition again, beside what answers now, and put it in the place of what answers.
    RebuildPartition {
        /// The projection.
        name: ProjectionName,
        /// The partition.
        partition: PartitionKey,
        /// The leader's time.
        asked_at: Timestamp,
    },
}

/// What apply made of a registry command; equal on every replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryOutcome {
    /// It is deployed under this id, now or since an earlier equal command.
    Deployed(ProjectionId),
    /// It was removed.
    Removed,
    /// It was refused.
    Refused(RegistryError),
    /// It is as was asked for.
    Changed,
    /// Rules or schemas are as they were asked for.
    RulesChanged(RulesChanged),
    /// A change of rules was refused.
    RulesRefused(RulesError),
}

/// Why a registry command was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The definition is not legal.
    #[error("{reason}")]
    Invalid {
        /// What is wrong.
        reason: String,
    },
    /// There is no such projection.
    #[error("projection not found")]
    NotFound,
    /// There is no rebuild that could be given up.
    #[error("projection is not being rebuilt")]
    NotRebuilding,
    /// The group has as many projections as it may.
    #[error("group has {max} projections, which is the limit")]
    TooMany {
        /// The limit.
        max: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_by_whole_segments() {
        for (pattern, name, expected) in [
            ("*", "anything", true),
            ("order.placed", "order.placed", true),
            ("order.placed", "order.placed.twice", false),
            ("order.*", "order.placed", true),
            ("order.*", "order.line.added", true),
            ("order.*", "order", false),
            ("order.*", "order.", false),
            ("order.*", "orders.placed", false),
        ] {
            let pattern = EventPattern::new(pattern).unwrap();
            assert_eq!(pattern.matches(&EventName::new(name).unwrap()), expected, "{pattern:?} {name}");
        }
        for bad in ["", "a*", "*.a", "a.*.b", ".*", "a\n"] {
            assert!(EventPattern::new(bad).is_err(), "{bad:?}");
        }
    }
}
