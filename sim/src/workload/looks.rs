use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::time::sleep;

use super::Worker;
use crate::{
    claims::Held,
    desk::{By, Claim, Search},
};

/// What may be claimed.
const CLAIMS: u64 = 4;

impl Worker {
    /// Reads a page of what a filter takes, either way.
    pub(super) async fn search(&mut self) {
        let (node, backward) = (self.node(), self.rng.chance(40));
        let by = match self.rng.within(0..3) {
            0 => By::Type,
            1 => By::Name,
            _ => By::Tag,
        };
        let limit = if self.rng.chance(50) { 500 } else { 3 };
        let asked = Search { by, from: self.rng.within(1..self.position + 5), backward, limit };
        if let Some(found) = self.client.search(node, &asked).await {
            self.world.notes.open().searched.push((asked, found));
        }
    }

    /// Reads what tables hold, as of what it knows of or of whatever is there.
    pub(super) async fn read_tables(&mut self) {
        if !self.world.prepared.load(Relaxed) {
            return;
        }
        let min = if self.rng.chance(50) { self.position } else { 0 };
        let node = self.node();
        if let Some(told) = self.client.tables(node, min).await {
            self.world.notes.open().tables.push((min, told));
        }
    }

    /// Claims something, and keeps it until its lease ends or gives it up before.
    pub(super) async fn claim(&mut self) {
        let (key, lease_ms) = (format!("claim-{}", self.rng.within(0..CLAIMS)), self.rng.within(50..800));
        let (node, asked) = (self.node(), Claim { key, lease_ms });
        let Some(granted) = self.client.claim(node, &asked).await else { return };
        let (released, node) = (self.rng.chance(40), self.node());
        if released {
            sleep(Duration::from_millis(self.rng.within(0..60))).await;
            self.client.release(node, asked.key.clone(), granted.revision).await;
        }
        self.world.notes.open().claims.push(Held { asked, granted, released });
    }
}
