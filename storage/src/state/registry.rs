//! The replicated registry, as far as the log says.

use serde::{Deserialize, Serialize};
use weir_types::{LogIndex, ProjectionDefinition, ProjectionId, ProjectionName, RegistryOutcome};

use super::{State, StateError};
use crate::{
    codec::{StoredDefinition, StoredRegistryOutcome, decode, encode},
    schema::StateKey,
};

/// What a registry command changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryChange {
    /// Nothing.
    None,
    /// A deployment takes the place of any other of its name.
    Deploy(ProjectionId, ProjectionDefinition),
    /// The name is gone.
    Remove(ProjectionName),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredDeployment<'a> {
    deployed: u64,
    #[serde(borrow)]
    definition: StoredDefinition<'a>,
}

impl<'a> StoredDeployment<'a> {
    pub(crate) fn new(deployed: LogIndex, definition: &'a ProjectionDefinition) -> Self {
        Self { deployed: deployed.0, definition: definition.into() }
    }
}

impl State {
    /// The deployed projections, in order of their names.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn registry(&self) -> Result<Vec<(ProjectionId, ProjectionDefinition)>, StateError> {
        let mut registry = Vec::new();
        let prefix = StateKey::Registry("").encode(self.group);
        for entry in self.tree.scan_prefix(prefix) {
            let (_, value) = entry.map_err(|error| self.failed("registry", error))?;
            let stored: StoredDeployment<'_> =
                decode("registry", &value).map_err(|e| self.damaged("registry", e))?;
            let definition: ProjectionDefinition =
                stored.definition.try_into().map_err(|e| self.damaged("registry", e))?;
            let deployed = LogIndex(stored.deployed);
            registry.push((ProjectionId { name: definition.name.clone(), deployed }, definition));
        }
        Ok(registry)
    }

    /// What the registry command at `index` led to when it was applied here: a
    /// replay of the log answers from this, since the registry has moved on.
    ///
    /// # Errors
    /// [`StateError::Damaged`] when the outcome is missing, too: only ask for
    /// registry commands at or below [`State::registry_applied`].
    pub fn registry_outcome(&self, index: LogIndex) -> Result<RegistryOutcome, StateError> {
        let Some(bytes) = self.get(StateKey::RegistryOutcome(index))? else {
            return Err(self.damaged("registry outcome", format!("none is kept of log index {index}")));
        };
        let stored: StoredRegistryOutcome<'_> =
            decode("registry outcome", &bytes).map_err(|e| self.damaged("registry outcome", e))?;
        stored.try_into().map_err(|e| self.damaged("registry outcome", e))
    }

    /// Writes a registry command's effect, its outcome and its log index in one
    /// atomic batch, durable on return: the index may only say that it is
    /// applied once it cannot be lost.
    ///
    /// # Errors
    /// [`StateError`].
    ///
    /// # Panics
    /// Panics when `index` is not above what is applied: the caller must skip it.
    pub fn commit_registry(
        &self,
        index: LogIndex,
        change: &RegistryChange,
        outcome: &RegistryOutcome,
    ) -> Result<(), StateError> {
        assert!(index > self.registry_applied()?, "a registry command is applied once");
        let mut batch = sled::Batch::default();
        match change {
            RegistryChange::None => {}
            RegistryChange::Deploy(id, definition) => batch.insert(
                StateKey::Registry(id.name.as_str()).encode(self.group),
                encode(&StoredDeployment::new(id.deployed, definition)),
            ),
            RegistryChange::Remove(name) => {
                batch.remove(StateKey::Registry(name.as_str()).encode(self.group));
            }
        }
        let outcome = encode(&StoredRegistryOutcome::from(outcome));
        batch.insert(StateKey::RegistryOutcome(index).encode(self.group), outcome);
        batch.insert(StateKey::RegistryApplied.encode(self.group), encode(&index.0));
        self.tree.apply_batch(batch).map_err(|error| self.failed("registry", error))?;
        self.flush()
    }
}
