//! The registry's commands, definitions and outcomes; views and checkpoints.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_types::{
    EventPattern, LogIndex, Position, ProjectionDefinition, ProjectionId, ProjectionName, RegistryCommand,
    RegistryError, RegistryOutcome,
    ports::{Checkpoint, View},
};

use super::{CodecError, raw::Raw};

const WHAT: &str = "registry value";

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredDefinition<'a> {
    name: &'a str,
    #[serde(borrow)]
    events: Vec<&'a str>,
    partition_key: Option<&'a str>,
    source: &'a str,
}

impl<'a> From<&'a ProjectionDefinition> for StoredDefinition<'a> {
    fn from(definition: &'a ProjectionDefinition) -> Self {
        Self {
            name: definition.name.as_str(),
            events: definition.events.iter().map(EventPattern::as_str).collect(),
            partition_key: definition.partition_key.as_deref(),
            source: &definition.source,
        }
    }
}

impl TryFrom<StoredDefinition<'_>> for ProjectionDefinition {
    type Error = CodecError;

    fn try_from(stored: StoredDefinition<'_>) -> Result<Self, CodecError> {
        let pattern = |text: &&str| EventPattern::new(text).map_err(|e| CodecError::malformed(WHAT, e));
        Ok(Self {
            name: read_name(stored.name)?,
            events: stored.events.iter().map(pattern).collect::<Result<_, _>>()?,
            partition_key: stored.partition_key.map(str::to_owned),
            source: stored.source.into(),
        })
    }
}

fn read_name(text: &str) -> Result<ProjectionName, CodecError> {
    ProjectionName::new(text).map_err(CodecError::name(WHAT))
}

#[derive(Serialize, Deserialize)]
pub(super) enum StoredRegistryCommand<'a> {
    #[serde(borrow)]
    Deploy(StoredDefinition<'a>),
    Remove(&'a str),
}

impl<'a> From<&'a RegistryCommand> for StoredRegistryCommand<'a> {
    fn from(command: &'a RegistryCommand) -> Self {
        match command {
            RegistryCommand::Deploy(definition) => Self::Deploy(definition.into()),
            RegistryCommand::Remove(name) => Self::Remove(name.as_str()),
        }
    }
}

impl TryFrom<StoredRegistryCommand<'_>> for RegistryCommand {
    type Error = CodecError;

    fn try_from(stored: StoredRegistryCommand<'_>) -> Result<Self, CodecError> {
        Ok(match stored {
            StoredRegistryCommand::Deploy(definition) => Self::Deploy(definition.try_into()?),
            StoredRegistryCommand::Remove(name) => Self::Remove(read_name(name)?),
        })
    }
}

// Texts are borrowed: an owned one takes the memory that its length field names before it is read.
#[derive(Serialize, Deserialize)]
pub(crate) enum StoredRegistryOutcome<'a> {
    Deployed { name: &'a str, deployed: u64 },
    Removed,
    Invalid { reason: &'a str },
    NotFound,
    TooMany { max: u64 },
}

impl<'a> From<&'a RegistryOutcome> for StoredRegistryOutcome<'a> {
    fn from(outcome: &'a RegistryOutcome) -> Self {
        match outcome {
            RegistryOutcome::Deployed(id) => {
                Self::Deployed { name: id.name.as_str(), deployed: id.deployed.0 }
            }
            RegistryOutcome::Removed => Self::Removed,
            RegistryOutcome::Refused(RegistryError::Invalid { reason }) => Self::Invalid { reason },
            RegistryOutcome::Refused(RegistryError::NotFound) => Self::NotFound,
            RegistryOutcome::Refused(RegistryError::TooMany { max }) => Self::TooMany { max: *max as u64 },
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
            Stored::Invalid { reason } => Self::Refused(RegistryError::Invalid { reason: reason.to_owned() }),
            Stored::NotFound => Self::Refused(RegistryError::NotFound),
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
    parked: Option<&'a str>,
}

impl<'a> From<&'a Checkpoint> for StoredCheckpoint<'a> {
    fn from(checkpoint: &'a Checkpoint) -> Self {
        Self {
            position: checkpoint.position.0,
            events: checkpoint.events,
            digest: checkpoint.digest,
            parked: checkpoint.parked.as_deref(),
        }
    }
}

impl From<StoredCheckpoint<'_>> for Checkpoint {
    fn from(stored: StoredCheckpoint<'_>) -> Self {
        Self {
            position: Position(stored.position),
            events: stored.events,
            digest: stored.digest,
            parked: stored.parked.map(str::to_owned),
        }
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
