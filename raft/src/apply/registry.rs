//! The judgement of registry commands.

use std::collections::BTreeMap;

use weir_storage::state::RegistryChange;
use weir_types::{
    LogIndex, ProjectionDefinition, ProjectionId, ProjectionName, RegistryCommand, RegistryError,
    RegistryOutcome, limits,
};

/// The registry in memory, as of the last registry command that was applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    deployed: BTreeMap<ProjectionName, (ProjectionId, ProjectionDefinition)>,
}

impl Registry {
    /// The registry that holds these deployments.
    #[must_use]
    pub fn new(deployed: Vec<(ProjectionId, ProjectionDefinition)>) -> Self {
        Self { deployed: deployed.into_iter().map(|entry| (entry.0.name.clone(), entry)).collect() }
    }

    /// Takes a change.
    pub fn take(&mut self, change: RegistryChange) {
        match change {
            RegistryChange::None => {}
            RegistryChange::Deploy(id, definition) => {
                self.deployed.insert(id.name.clone(), (id, definition));
            }
            RegistryChange::Remove(name) => {
                self.deployed.remove(&name);
            }
        }
    }
}

/// What becomes of a registry command at `index`.
#[must_use]
pub fn judge_registry(
    registry: &Registry,
    index: LogIndex,
    command: &RegistryCommand,
) -> (RegistryChange, RegistryOutcome) {
    match command {
        RegistryCommand::Deploy(definition) => judge_deploy(registry, index, definition),
        RegistryCommand::Remove(name) if registry.deployed.contains_key(name) => {
            (RegistryChange::Remove(name.clone()), RegistryOutcome::Removed)
        }
        RegistryCommand::Remove(_) => refused(RegistryError::NotFound),
    }
}

fn judge_deploy(
    registry: &Registry,
    index: LogIndex,
    definition: &ProjectionDefinition,
) -> (RegistryChange, RegistryOutcome) {
    if let Err(error) = definition.check_limits() {
        return refused(error);
    }
    match registry.deployed.get(&definition.name) {
        Some((id, standing)) if standing == definition => {
            return (RegistryChange::None, RegistryOutcome::Deployed(id.clone()));
        }
        None if registry.deployed.len() >= limits::PROJECTIONS_MAX => {
            return refused(RegistryError::TooMany { max: limits::PROJECTIONS_MAX });
        }
        Some(_) | None => {}
    }
    let id = ProjectionId { name: definition.name.clone(), deployed: index };
    (RegistryChange::Deploy(id.clone(), definition.clone()), RegistryOutcome::Deployed(id))
}

fn refused(error: RegistryError) -> (RegistryChange, RegistryOutcome) {
    (RegistryChange::None, RegistryOutcome::Refused(error))
}
