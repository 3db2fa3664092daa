//! What a desk does when nobody saves: events that are given up, a projection that stops before one, a rebuild that has
//! caught up, and a checkpoint that only looking has moved.

use tokio::time::Instant;
use weir_actors::workers::{Batch, Blocked};
use weir_types::{GroupId, KvGuard, KvWrite, limits, ports::Ports};

use super::{Desk, Step, Stop};
use crate::workers::{
    keys,
    store::{Done, Store, put},
    stored::{Ledger, Letter, OnFailure, Parked, Partition, Registration},
};

/// How often a checkpoint is written that no save has moved.
pub(super) const IDLE_CHECKPOINT_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

impl Desk {
    /// What waits is given up: the projection stops before it, or goes on without it.
    pub(super) async fn give_up(
        &mut self,
        store: &Store,
        batch: &Batch,
        deliveries: u32,
    ) -> Result<(), Stop> {
        let event = &batch.events[0];
        let full = self.ledger.dead >= limits::WORKER_DEAD_LETTERS_MAX;
        if self.registration.on_failure == OnFailure::Park || full {
            let told = self.refused.as_ref().filter(|(position, _)| *position == event.position);
            let why = told.map(|(_, reason)| format!(": {reason}")).unwrap_or_default();
            let reason = format!("handed out {deliveries} times and never saved{why}");
            return self.park_at(store, &Blocked { event: event.clone(), reason }).await;
        }
        let stored = self.partition(store, &batch.partition).await?;
        let value = Partition::new(
            event.position.0,
            stored.as_ref().map_or_else(String::new, |stored| stored.event_id.clone()),
            stored.and_then(|stored| stored.state),
        );
        let ledger = self.saved_ledger(&batch.partition, event.position, 0);
        let step = Step {
            ledger: Ledger { dead: ledger.dead + 1, ..ledger },
            partition: Some((&batch.partition, value)),
            letter: Some(Letter::new(event, batch.partition.to_string(), deliveries)),
            lease: None,
        };
        self.step(store, step).await?;
        self.window.done(&batch.partition, event.position);
        self.deliveries.remove(&batch.partition);
        self.in_flight = None;
        Ok(())
    }

    pub(super) async fn park_at(&mut self, store: &Store, blocked: &Blocked) -> Result<(), Stop> {
        let parked = Parked {
            event_id: blocked.event.id.to_string(),
            event: blocked.event.name.as_str().to_owned(),
            position: blocked.event.position.0,
            reason: blocked.reason.clone(),
        };
        self.in_flight = None;
        let ledger =
            Ledger { position: self.window.checkpoint().0, parked: Some(parked), ..self.ledger.clone() };
        self.step(store, Step { ledger, partition: None, letter: None, lease: None }).await
    }

    /// Notes how far the log was looked at while there was nothing to hand out, and whether a rebuild has caught up.
    /// What is not noted yet is due at the time that it gives.
    pub(super) async fn note_idle(&mut self, store: &Store, ports: &Ports) -> Result<Option<Instant>, Stop> {
        let caught_up = self.window.looked() >= ports.reader.applied(GroupId::DEFAULT);
        let due = Instant::now() >= self.idle_checkpoint_at;
        let moved = self.window.checkpoint().0 > self.ledger.position;
        if moved && (due || caught_up && self.registration.building.is_some()) {
            self.idle_checkpoint_at = Instant::now() + IDLE_CHECKPOINT_EVERY;
            let ledger = Ledger { position: self.window.checkpoint().0, ..self.ledger.clone() };
            self.step(store, Step { ledger, partition: None, letter: None, lease: None }).await?;
        }
        if let Some(built) = self.registration.building.filter(|_| caught_up) {
            self.swap(store, built).await?;
        }
        let moved = self.window.checkpoint().0 > self.ledger.position;
        Ok(moved.then_some(self.idle_checkpoint_at))
    }

    /// What was built takes the place of what was served.
    async fn swap(&mut self, store: &Store, built: u64) -> Result<(), Stop> {
        let old = self.registration.generation;
        let swapped = Registration { generation: built, building: None, ..self.registration.clone() };
        let checks = vec![self.own(), (keys::ledger(built), KvGuard::Revision(self.ledger_revision))];
        let writes =
            vec![put(keys::registration(&self.name), &swapped)?, KvWrite::put(keys::gone(old), "gone")];
        match store.change(checks, writes).await? {
            Done::Made { first, .. } => {
                (self.registration, self.revision) = (swapped, first);
                store.clear_gone().await?;
                Ok(())
            }
            Done::CheckFailed(_) => Err(Stop::Outdated),
        }
    }

    /// Tries again what it is parked at.
    pub(in crate::workers) async fn unpark(&mut self, store: &Store) -> Result<(), Stop> {
        if self.ledger.parked.is_none() {
            return Ok(());
        }
        let ledger = Ledger { parked: None, ..self.ledger.clone() };
        self.step(store, Step { ledger, partition: None, letter: None, lease: None }).await?;
        // What was counted, and an event that no partition could be found for, are looked at anew.
        Err(Stop::Outdated)
    }
}
