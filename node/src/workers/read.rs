//! What is known of worker-run projections, on any node, of what it has applied.

use bytes::Bytes;
use weir_api::{
    ApiError, ErrorCode, format_timestamp,
    v1::{WorkerLetter, WorkerLetters, WorkerProgress, WorkerView},
};
use weir_types::{GroupId, KvKey, PartitionKey, Position, ProjectionName, limits, ports::View};

use super::{
    Workers, keys, not_found,
    stored::{Ledger, Letter, Partition, Registration},
};

impl Workers {
    /// Whether a name is one of a worker-run projection here.
    pub(crate) async fn is_registered(&self, name: &ProjectionName) -> Result<bool, ApiError> {
        Ok(self.store.read::<Registration>(&keys::registration(name)).await?.is_some())
    }

    /// All projections that workers fold, in order of their names.
    pub(super) async fn registrations(&self) -> Result<Vec<Registration>, ApiError> {
        let keys =
            self.store.list(keys::all_registrations(), None, limits::WORKER_PROJECTIONS_MAX + 1).await?;
        let mut all = Vec::with_capacity(keys.len());
        for key in keys {
            all.extend(self.store.read::<Registration>(&key).await?.map(|found| found.value));
        }
        Ok(all)
    }

    /// How far all of them are.
    ///
    /// # Errors
    /// What a read of a bucket may meet.
    pub async fn all_progress(&self) -> Result<Vec<WorkerProgress>, ApiError> {
        let mut all = Vec::new();
        for registration in self.registrations().await? {
            all.push(self.progress_of(&registration).await?);
        }
        Ok(all)
    }

    /// How far one is.
    ///
    /// # Errors
    /// `projection_not_found`.
    pub async fn progress(&self, name: &ProjectionName) -> Result<WorkerProgress, ApiError> {
        let found = self.store.read::<Registration>(&keys::registration(name)).await?;
        self.progress_of(&found.ok_or_else(not_found)?.value).await
    }

    /// Waits until what is served of a projection is saved up to a position; up to where it is then. Woken by changes
    /// of buckets.
    ///
    /// # Errors
    /// `projection_not_found`, `projection_parked`, `projection_paused`, or a read's error.
    pub async fn saved_to(&self, name: &ProjectionName, until: Position) -> Result<Position, ApiError> {
        loop {
            let written = self.store.reader.feed().written();
            let WorkerProgress { checkpoint, parked, paused, .. } = self.progress(name).await?;
            let refuse = |code, message: String| {
                Err(ApiError::new(code, message).with("wanted", until.0).with("applied", checkpoint))
            };
            match parked {
                _ if checkpoint >= until.0 => return Ok(Position(checkpoint)),
                _ if paused => return refuse(ErrorCode::ProjectionPaused, "projection is paused".into()),
                Some(parked) => return refuse(ErrorCode::ProjectionParked, parked),
                None => self.store.reader.feed().written_after(written).await,
            }
        }
    }

    async fn ledger(&self, generation: u64) -> Result<Ledger, ApiError> {
        let found = self.store.read::<Ledger>(&keys::ledger(generation)).await?;
        Ok(found.map(|found| found.value).unwrap_or_default())
    }

    async fn progress_of(&self, registration: &Registration) -> Result<WorkerProgress, ApiError> {
        let name = ProjectionName::new(&registration.name)?;
        let served = self.ledger(registration.generation).await?;
        let built = match registration.building {
            Some(generation) => Some(self.ledger(generation).await?),
            None => None,
        };
        let lease = self.store.read_bytes(&keys::lease(&name)).await?;
        let number = self.store.read_bytes(&keys::fence(&name)).await?.map_or(0, |found| found.revision.0);
        let parked = built.as_ref().unwrap_or(&served).parked.as_ref();
        Ok(WorkerProgress {
            name: registration.name.clone(),
            generation: registration.generation,
            events: registration.events.clone(),
            partition_key: registration.partition_key.clone(),
            mode: registration.mode.as_str().into(),
            paused: registration.paused,
            parked: parked.map(|at| {
                format!("event `{}` {} at position {}: {}", at.event, at.event_id, at.position, at.reason)
            }),
            checkpoint: served.position,
            saved: served.saved,
            applied: self.ports.reader.applied(GroupId::DEFAULT).0,
            worker: WorkerView {
                lease_until: lease.as_ref().and_then(|found| found.expires_at).map(format_timestamp),
                worker: lease.map(|found| String::from_utf8_lossy(&found.value).into_owned()),
                lease_number: number,
                lease_ms: registration.lease_ms,
                deliveries_max: registration.deliveries_max,
                on_failure: registration.on_failure.as_str().into(),
                dead_letters: served.dead,
                rebuild_checkpoint: built.map(|built| built.position),
            },
        })
    }

    /// The state of a partition, if it has one; a projection that is for its effects has none.
    ///
    /// # Errors
    /// `projection_not_found`.
    pub async fn view(
        &self,
        name: &ProjectionName,
        partition: &PartitionKey,
    ) -> Result<Option<View>, ApiError> {
        let found =
            self.store.read::<Registration>(&keys::registration(name)).await?.ok_or_else(not_found)?;
        self.state_in(found.value.generation, partition).await
    }

    /// The same of one generation.
    pub(super) async fn state_in(
        &self,
        generation: u64,
        partition: &PartitionKey,
    ) -> Result<Option<View>, ApiError> {
        if partition.as_str().len() > limits::WORKER_PARTITION_BYTES_MAX {
            return Ok(None);
        }
        let stored = self.store.read::<Partition>(&keys::state(generation, partition)).await?;
        Ok(stored.and_then(|found| {
            let state = Bytes::from(found.value.state?.get().to_owned());
            Some(View { state, position: Position(found.value.position) })
        }))
    }

    /// Keys of the partitions, in byte order.
    ///
    /// # Errors
    /// `projection_not_found`.
    pub async fn partitions(
        &self,
        name: &ProjectionName,
        after: Option<&PartitionKey>,
        limit: usize,
    ) -> Result<Vec<PartitionKey>, ApiError> {
        let found =
            self.store.read::<Registration>(&keys::registration(name)).await?.ok_or_else(not_found)?;
        let generation = found.value.generation;
        let after = after.map(|after| KvKey::new(format!("state.{generation}.{after}"))).transpose()?;
        let keys = self.store.list(keys::all_states(generation), after, limit).await?;
        Ok(keys.iter().filter_map(keys::partition_of).collect())
    }

    /// Events that were given up, after a position.
    ///
    /// # Errors
    /// `projection_not_found`.
    pub async fn dead_letters(
        &self,
        name: &ProjectionName,
        after: Position,
        limit: usize,
    ) -> Result<WorkerLetters, ApiError> {
        let found =
            self.store.read::<Registration>(&keys::registration(name)).await?.ok_or_else(not_found)?;
        let generation = found.value.generation;
        let page =
            self.store.list(keys::all_dead(generation), Some(keys::dead(generation, after)), limit).await?;
        let full = page.len() == limit;
        let mut dead_letters = Vec::with_capacity(page.len());
        for key in page {
            let Some(found) = self.store.read::<Letter>(&key).await? else { continue };
            let Letter { event_id, name, position, partition, deliveries, .. } = found.value;
            dead_letters.push(WorkerLetter { event_id, name, position, partition, deliveries });
        }
        let next = dead_letters.last().map(|letter| letter.position).filter(|_| full);
        Ok(WorkerLetters { dead_letters, next })
    }
}
