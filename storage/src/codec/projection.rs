//! The registry's commands, definitions and outcomes; views and checkpoints.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_types::{
    BadEvent, EntityId, EventId, EventName, EventPattern, LogIndex, OnError, PartitionKey, PartitionRebuild,
    Position, ProjectionDefinition, ProjectionId, ProjectionKind, ProjectionName, RegistryCommand,
    RegistryError, RegistryOutcome, SinkName, StreamVersion, Timestamp,
    ports::{Checkpoint, Parked, PartitionRebuildEnd, View},
};

use super::{
    CodecError,
    raw::Raw,
    rules::{StoredRulesChanged, StoredRulesCommand, StoredRulesError},
};

const WHAT: &str = "registry value";

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredDefinition<'a> {
    name: &'a str,
    #[serde(borrow)]
    events: Vec<&'a str>,
    partition_key: Option<&'a str>,
    source: &'a str,
    skip_bad: bool,
    #[serde(borrow)]
    kind: StoredKind<'a>,
}

#[derive(Serialize, Deserialize)]
enum StoredKind<'a> {
    Async,
    Inline,
    Virtual,
    Sql,
    /// Into tables of this sink.
    SqlInto(&'a str),
}

impl<'a> From<&'a ProjectionDefinition> for StoredDefinition<'a> {
    fn from(definition: &'a ProjectionDefinition) -> Self {
        Self {
            name: definition.name.as_str(),
            events: definition.events.iter().map(EventPattern::as_str).collect(),
            partition_key: definition.partition_key.as_deref(),
            source: &definition.source,
            skip_bad: definition.on_error == OnError::Skip,
            kind: match definition.kind {
                ProjectionKind::Async => StoredKind::Async,
                ProjectionKind::Inline => StoredKind::Inline,
                ProjectionKind::Virtual => StoredKind::Virtual,
                ProjectionKind::Sql => match &definition.sink {
                    None => StoredKind::Sql,
                    Some(sink) => StoredKind::SqlInto(sink.as_str()),
                },
            },
        }
    }
}

impl TryFrom<StoredDefinition<'_>> for ProjectionDefinition {
    type Error = CodecError;

    fn try_from(stored: StoredDefinition<'_>) -> Result<Self, CodecError> {
        let pattern = |text: &&str| EventPattern::new(text).map_err(|e| CodecError::malformed(WHAT, e));
        let sink = |name: &str| SinkName::new(name).map_err(CodecError::name(WHAT));
        Ok(Self {
            name: read_name(stored.name)?,
            events: stored.events.iter().map(pattern).collect::<Result<_, _>>()?,
            partition_key: stored.partition_key.map(str::to_owned),
            source: stored.source.into(),
            on_error: if stored.skip_bad { OnError::Skip } else { OnError::Park },
            kind: match stored.kind {
                StoredKind::Async => ProjectionKind::Async,
                StoredKind::Inline => ProjectionKind::Inline,
                StoredKind::Virtual => ProjectionKind::Virtual,
                StoredKind::Sql | StoredKind::SqlInto(_) => ProjectionKind::Sql,
            },
            sink: match stored.kind {
                StoredKind::SqlInto(name) => Some(sink(name)?),
                StoredKind::Async | StoredKind::Inline | StoredKind::Virtual | StoredKind::Sql => None,
            },
        })
    }
}

fn read_partition(text: &str) -> Result<PartitionKey, CodecError> {
    PartitionKey::new(text).map_err(CodecError::name(WHAT))
}

fn read_name(text: &str) -> Result<ProjectionName, CodecError> {
    ProjectionName::new(text).map_err(CodecError::name(WHAT))
}

#[derive(Serialize, Deserialize)]
pub(super) enum StoredRegistryCommand<'a> {
    #[serde(borrow)]
    Deploy(StoredDefinition<'a>),
    Remove(&'a str),
    Pause(&'a str),
    Resume(&'a str),
    #[serde(borrow)]
    Rules(StoredRulesCommand<'a>),
    Rebuild {
        name: &'a str,
        asked_at: i64,
    },
    CancelRebuild(&'a str),
    Switch(&'a str, &'a str),
    RebuildPartition {
        name: &'a str,
        partition: &'a str,
        asked_at: i64,
    },
}

impl<'a> From<&'a RegistryCommand> for StoredRegistryCommand<'a> {
    fn from(command: &'a RegistryCommand) -> Self {
        match command {
            RegistryCommand::Deploy(definition) => Self::Deploy(definition.into()),
            RegistryCommand::Remove(name) => Self::Remove(name.as_str()),
            RegistryCommand::Pause(name) => Self::Pause(name.as_str()),
            RegistryCommand::Resume(name) => Self::Resume(name.as_str()),
            RegistryCommand::Rules(command) => Self::Rules(command.into()),
            RegistryCommand::Rebuild { name, asked_at } => {
                Self::Rebuild { name: name.as_str(), asked_at: asked_at.0 }
            }
            RegistryCommand::CancelRebuild(name) => Self::CancelRebuild(name.as_str()),
            RegistryCommand::Switch(one, other) => Self::Switch(one.as_str(), other.as_str()),
            RegistryCommand::RebuildPartition { name, partition, asked_at } => Self::RebuildPartition {
                name: name.as_str(),
                partition: partition.as_str(),
                asked_at: asked_at.0,
            },
        }
    }
}

impl TryFrom<StoredRegistryCommand<'_>> for RegistryCommand {
    type Error = CodecError;

    fn try_from(stored: StoredRegistryCommand<'_>) -> Result<Self, CodecError> {
        Ok(match stored {
            StoredRegistryCommand::Deploy(definition) => Self::Deploy(definition.try_into()?),
            StoredRegistryCommand::Remove(name) => Self::Remove(read_name(name)?),
            StoredRegistryCommand::Pause(name) => Self::Pause(read_name(name)?),
            StoredRegistryCommand::Resume(name) => Self::Resume(read_name(name)?),
            StoredRegistryCommand::Rules(command) => Self::Rules(command.try_into()?),
            StoredRegistryCommand::Rebuild { name, asked_at } => {
                Self::Rebuild { name: read_name(name)?, asked_at: Timestamp(asked_at) }
            }
            StoredRegistryCommand::CancelRebuild(name) => Self::CancelRebuild(read_name(name)?),
            StoredRegistryCommand::Switch(one, other) => Self::Switch(read_name(one)?, read_name(other)?),
            StoredRegistryCommand::RebuildPartition { name, partition, asked_at } => Self::RebuildPartition {
                name: read_name(name)?,
                partition: read_partition(partition)?,
                asked_at: Timestamp(asked_at),
            },
        })
    }
}

// Texts are borrowed: an owned one takes the memory that its length field names before it is read.
#[derive(Serialize, Deserialize)]
pub(crate) enum StoredRegistryOutcome<'a> {
    Deployed {
        name: &'a str,
        deployed: u64,
    },
    Removed,
    Invalid {
        reason: &'a str,
    },
    NotFound,
    TooMany {
        max: u64,
    },
    Changed,
    RulesChanged(StoredRulesChanged),
    #[serde(borrow)]
    RulesRefused(StoredRulesError<'a>),
    NotRebuilding,
}

impl<'a> From<&'a RegistryOutcome> for StoredRegistryOutcome<'a> {
    fn from(outcome: &'a RegistryOutcome) -> Self {
        match outcome {
            RegistryOutcome::Deployed(id) => {
                Self::Deployed { name: id.name.as_str(), deployed: id.deployed.0 }
            }
            RegistryOutcome::Removed => Self::Removed,
            RegistryOutcome::Changed => Self::Changed,
            RegistryOutcome::Refused(RegistryError::Invalid { reason }) => Self::Invalid { reason },
            RegistryOutcome::Refused(RegistryError::NotFound) => Self::NotFound,
            RegistryOutcome::Refused(RegistryError::NotRebuilding) => Self::NotRebuilding,
            RegistryOutcome::Refused(RegistryError::TooMany { max }) => Self::TooMany { max: *max as u64 },
            RegistryOutcome::RulesChanged(changed) => Self::RulesChanged((*changed).into()),
            RegistryOutcome::RulesRefused(error) => Self::RulesRefused(error.into()),
        }
    }
}

impl TryFrom<StoredRegistryOutcome<'_>> for RegistryOutcome {
    type Error = CodecError;

    fn try_from(stored: StoredRegistryOutcome<'_>) -> Result<Self, CodecError> {
        use StoredRegistryOutcome as Stored;
        Ok(match stored {
            Stored::Deployed { name, deployed } => {
                Self::Deployed(ProjectionId { name: read_name(name)?, deployed: LogIndex(deployed) })
            }
            Stored::Removed => Self::Removed,
            Stored::Changed => Self::Changed,
            Stored::Invalid { reason } => Self::Refused(RegistryError::Invalid { reason: reason.to_owned() }),
            Stored::NotFound => Self::Refused(RegistryError::NotFound),
            Stored::RulesChanged(changed) => Self::RulesChanged(changed.into()),
            Stored::RulesRefused(error) => Self::RulesRefused(error.into()),
            Stored::NotRebuilding => Self::Refused(RegistryError::NotRebuilding),
            Stored::TooMany { max } => {
                let max = usize::try_from(max).unwrap_or(usize::MAX);
                Self::Refused(RegistryError::TooMany { max })
            }
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredCheckpoint<'a> {
    position: u64,
    events: u64,
    digest: u64,
    #[serde(borrow)]
    parked: Option<StoredParked<'a>>,
    dead_letters: u64,
    serves: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredParked<'a> {
    #[serde(borrow)]
    event: StoredBadEvent<'a>,
    resumed: u64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredBadEvent<'a> {
    id: u128,
    name: &'a str,
    entity_id: &'a str,
    version: u64,
    position: u64,
    message: &'a str,
    stack: &'a str,
}

impl<'a> From<&'a BadEvent> for StoredBadEvent<'a> {
    fn from(event: &'a BadEvent) -> Self {
        Self {
            id: event.id.0.as_u128(),
            name: event.name.as_str(),
            entity_id: event.entity_id.as_str(),
            version: event.version.0,
            position: event.position.0,
            message: &event.message,
            stack: &event.stack,
        }
    }
}

impl TryFrom<StoredBadEvent<'_>> for BadEvent {
    type Error = CodecError;

    fn try_from(stored: StoredBadEvent<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            id: EventId(Uuid::from_u128(stored.id)),
            name: EventName::new(stored.name).map_err(CodecError::name(WHAT))?,
            entity_id: EntityId::new(stored.entity_id).map_err(CodecError::name(WHAT))?,
            version: StreamVersion(stored.version),
            position: Position(stored.position),
            message: stored.message.to_owned(),
            stack: stored.stack.to_owned(),
        })
    }
}

impl<'a> From<&'a Checkpoint> for StoredCheckpoint<'a> {
    fn from(checkpoint: &'a Checkpoint) -> Self {
        Self {
            position: checkpoint.position.0,
            events: checkpoint.events,
            digest: checkpoint.digest,
            parked: checkpoint.parked.as_deref().map(StoredParked::from),
            dead_letters: checkpoint.dead_letters,
            serves: checkpoint.serves,
        }
    }
}

impl<'a> From<&'a Parked> for StoredParked<'a> {
    fn from(parked: &'a Parked) -> Self {
        Self { event: (&parked.event).into(), resumed: parked.resumed.0 }
    }
}

impl TryFrom<StoredParked<'_>> for Parked {
    type Error = CodecError;

    fn try_from(stored: StoredParked<'_>) -> Result<Self, CodecError> {
        Ok(Self { event: stored.event.try_into()?, resumed: LogIndex(stored.resumed) })
    }
}

impl TryFrom<StoredCheckpoint<'_>> for Checkpoint {
    type Error = CodecError;

    fn try_from(stored: StoredCheckpoint<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            position: Position(stored.position),
            events: stored.events,
            digest: stored.digest,
            parked: stored.parked.map(Parked::try_from).transpose()?.map(Box::new),
            dead_letters: stored.dead_letters,
            serves: stored.serves,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredView<'a> {
    position: u64,
    #[serde(borrow)]
    state: Raw<'a>,
}

impl<'a> From<&'a View> for StoredView<'a> {
    fn from(view: &'a View) -> Self {
        Self { position: view.position.0, state: Raw(&view.state) }
    }
}

impl From<StoredView<'_>> for View {
    fn from(stored: StoredView<'_>) -> Self {
        Self { position: Position(stored.position), state: Bytes::copy_from_slice(stored.state.0) }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredPartitionRebuild<'a> {
    at: u64,
    partition: &'a str,
    asked_at: i64,
    cancelled: bool,
}

impl<'a> From<&'a PartitionRebuild> for StoredPartitionRebuild<'a> {
    fn from(one: &'a PartitionRebuild) -> Self {
        Self {
            at: one.at.0,
            partition: one.partition.as_str(),
            asked_at: one.asked_at.0,
            cancelled: one.cancelled,
        }
    }
}

impl TryFrom<StoredPartitionRebuild<'_>> for PartitionRebuild {
    type Error = CodecError;

    fn try_from(stored: StoredPartitionRebuild<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            at: LogIndex(stored.at),
            partition: read_partition(stored.partition)?,
            asked_at: Timestamp(stored.asked_at),
            cancelled: stored.cancelled,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredPartitionRebuildEnd<'a> {
    at: u64,
    position: u64,
    #[serde(borrow)]
    failure: Option<&'a str>,
}

impl<'a> From<&'a PartitionRebuildEnd> for StoredPartitionRebuildEnd<'a> {
    fn from(end: &'a PartitionRebuildEnd) -> Self {
        Self { at: end.at.0, position: end.position.0, failure: end.failure.as_deref() }
    }
}

impl From<StoredPartitionRebuildEnd<'_>> for PartitionRebuildEnd {
    fn from(stored: StoredPartitionRebuildEnd<'_>) -> Self {
        Self {
            at: LogIndex(stored.at),
            position: Position(stored.position),
            failure: stored.failure.map(str::to_owned),
        }
    }
}
