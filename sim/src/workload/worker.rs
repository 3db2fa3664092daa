//! A worker that folds outside.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::time::sleep;
use weir_api::{
    JsonText,
    connect::{PollProjectionResponse, SaveProjectionRequest},
};

use super::Worker;
use crate::{
    desk::LEASE_MS,
    folds::{WORKED, counted},
};

impl Worker {
    /// Takes events of the projection that workers fold, and saves what comes of them: all, some, too late or not at all.
    pub(super) async fn fold(&mut self) {
        if !self.world.prepared.load(Relaxed) {
            return;
        }
        let notes = self.world.notes.clone();
        let first = self.node();
        let nodes: Vec<u64> = (first..=self.world.nodes).chain(1..first).collect();
        let Some(polled) = self.client.hand_out(&nodes, self.name.clone(), &notes).await else { return };
        let mut count = polled.events.len();
        match self.rng.within(0..100) {
            0..8 => return,
            8..28 => sleep(Duration::from_millis(LEASE_MS * 3 / 2)).await,
            28..40 => count = 1,
            _ => {}
        }
        if let Some(save) = saved(&polled, count, &self.name) {
            self.client.save(&nodes, save, &notes).await;
        }
    }
}

/// What comes of the first events of those that were handed out.
#[must_use]
pub fn saved(polled: &PollProjectionResponse, count: usize, worker: &str) -> Option<SaveProjectionRequest> {
    let events = polled.events.get(..count)?;
    let last = events.last()?;
    let state = polled.current_state.as_ref().and_then(|state| state.to_value().ok());
    let state = counted(state.as_ref(), events.iter().map(|event| event.seq));
    Some(SaveProjectionRequest {
        name: WORKED.to_owned(),
        partition_key: polled.partition.clone(),
        state: Some(JsonText::of_stored(state.to_string().as_bytes())),
        last_event_id: last.id.clone(),
        last_event_seq: last.seq,
        worker_id: worker.to_owned(),
        lease_number: Some(polled.lease_number),
    })
}
