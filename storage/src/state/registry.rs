//! The replicated registry, as far as the log says.

use serde::{Deserialize, Serialize};
use weir_types::{
    Deployment, Generation, LogIndex, PartitionRebuild, ProjectionDefinition, ProjectionId, ProjectionName,
    Rebuild, RegistryOutcome, Timestamp,
};

use super::{State, StateError};
use crate::{
    codec::{
        CodecError, FORMAT_VERSION, StoredDefinition, StoredPartitionRebuild, StoredRegistryOutcome, decode,
        decode_as, encode, encode_as,
    },
    schema::StateKey,
};

pub use weir_types::registry::RegistryChange;

/// The version of a deployment of which single partitions were rebuilt; one without is written as ever.
const WITH_PARTITIONS: u8 = FORMAT_VERSION + 1;

#[derive(Serialize, Deserialize)]
struct StoredDeploymentWithPartitions<'a> {
    #[serde(borrow)]
    deployment: StoredDeployment<'a>,
    partition_rebuilds: Vec<StoredPartitionRebuild<'a>>,
}

/// The bytes of a deployment.
pub(crate) fn encode_deployment(one: &Deployment) -> Vec<u8> {
    if one.partition_rebuilds.is_empty() {
        return encode(&StoredDeployment::from(one));
    }
    let partition_rebuilds = one.partition_rebuilds.iter().map(StoredPartitionRebuild::from).collect();
    let mut out = Vec::with_capacity(64);
    let stored = StoredDeploymentWithPartitions { deployment: one.into(), partition_rebuilds };
    encode_as(WITH_PARTITIONS, &stored, &mut out);
    out
}

/// Reads what [`encode_deployment`] wrote.
pub(crate) fn decode_deployment(bytes: &[u8]) -> Result<Deployment, CodecError> {
    if bytes.first() != Some(&WITH_PARTITIONS) {
        return decode::<StoredDeployment<'_>>("registry", bytes)?.try_into();
    }
    let stored: StoredDeploymentWithPartitions<'_> = decode_as(WITH_PARTITIONS, "registry", bytes)?;
    let partition_rebuilds = stored.partition_rebuilds.into_iter().map(PartitionRebuild::try_from);
    let partition_rebuilds = partition_rebuilds.collect::<Result<_, _>>()?;
    Ok(Deployment { partition_rebuilds, ..stored.deployment.try_into()? })
}

#[derive(Serialize, Deserialize)]
struct StoredDeployment<'a> {
    name: &'a str,
    #[serde(borrow)]
    newest: StoredGeneration<'a>,
    first: u64,
    before: Vec<StoredGeneration<'a>>,
    /// When a rebuild was asked for, and whether it was given up.
    rebuild: Option<(i64, bool)>,
    paused: bool,
    resumed: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredGeneration<'a> {
    deployed: u64,
    #[serde(borrow)]
    definition: StoredDefinition<'a>,
}

impl TryFrom<StoredGeneration<'_>> for Generation {
    type Error = CodecError;

    fn try_from(stored: StoredGeneration<'_>) -> Result<Self, CodecError> {
        let definition = ProjectionDefinition::try_from(stored.definition)?;
        let id = ProjectionId { name: definition.name.clone(), deployed: LogIndex(stored.deployed) };
        Ok(Self { id, definition })
    }
}

impl<'a> From<&'a Deployment> for StoredDeployment<'a> {
    fn from(one: &'a Deployment) -> Self {
        Self {
            name: one.name.as_str(),
            newest: StoredGeneration { deployed: one.id.deployed.0, definition: (&one.definition).into() },
            first: one.first.0,
            before: one
                .before
                .iter()
                .map(|old| StoredGeneration {
                    deployed: old.id.deployed.0,
                    definition: (&old.definition).into(),
                })
                .collect(),
            rebuild: one.rebuild.map(|rebuild| (rebuild.asked_at.0, rebuild.cancelled)),
            paused: one.paused,
            resumed: one.resumed.0,
        }
    }
}

impl TryFrom<StoredDeployment<'_>> for Deployment {
    type Error = CodecError;

    fn try_from(stored: StoredDeployment<'_>) -> Result<Self, CodecError> {
        let Generation { id, definition } = stored.newest.try_into()?;
        let rebuild = |(asked_at, cancelled)| Rebuild { asked_at: Timestamp(asked_at), cancelled };
        Ok(Self {
            name: ProjectionName::new(stored.name).map_err(CodecError::name("deployment"))?,
            id,
            definition,
            first: LogIndex(stored.first),
            before: stored.before.into_iter().map(Generation::try_from).collect::<Result<_, _>>()?,
            rebuild: stored.rebuild.map(rebuild),
            partition_rebuilds: Vec::new(),
            paused: stored.paused,
            resumed: LogIndex(stored.resumed),
        })
    }
}

impl State {
    /// The deployed projections, in order of their names.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn registry(&self) -> Result<Vec<Deployment>, StateError> {
        let read = |entry: sled::Result<(sled::IVec, sled::IVec)>| {
            let (_, value) = entry.map_err(|error| self.failed("registry", error))?;
            decode_deployment(&value).map_err(|e| self.damaged("registry", e))
        };
        self.tree.scan_prefix(StateKey::Registry("").encode(self.group)).map(read).collect()
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
            RegistryChange::Put(deployments) => {
                for one in deployments {
                    let key = StateKey::Registry(one.name.as_str()).encode(self.group);
                    batch.insert(key, encode_deployment(one));
                }
            }
            RegistryChange::Remove(name) => {
                batch.remove(StateKey::Registry(name.as_str()).encode(self.group));
            }
            RegistryChange::Rules(change) => self.put_rules(index, change, &mut batch),
        }
        let outcome = encode(&StoredRegistryOutcome::from(outcome));
        batch.insert(StateKey::RegistryOutcome(index).encode(self.group), outcome);
        batch.insert(StateKey::RegistryApplied.encode(self.group), encode(&index.0));
        self.tree.apply_batch(batch).map_err(|error| self.failed("registry", error))?;
        self.flush()
    }
}
