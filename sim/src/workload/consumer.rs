use std::sync::atomic::Ordering::Relaxed;

use weir_api::v1::{SettlementBody, VerdictKind};

use super::Worker;

impl Worker {
    /// Takes events in the name of the group, and settles them, gives them back, gives them up or forgets them.
    pub(super) async fn consume(&mut self) {
        if !self.world.prepared.load(Relaxed) {
            return;
        }
        let notes = self.world.notes.clone();
        let first = self.node();
        let nodes: Vec<u64> = (first..=self.world.nodes).chain(1..first).collect();
        let held = self.client.pull(&nodes, &notes).await;
        let mut verdicts = Vec::new();
        for one in held {
            let verdict = match self.rng.within(0..100) {
                0..10 => VerdictKind::Nak,
                10..14 => VerdictKind::Term,
                14..18 => VerdictKind::Release,
                18..26 => continue,
                _ => VerdictKind::Ack,
            };
            let (attempt, desk) = (Some(one.attempt), Some(one.desk));
            verdicts.push(SettlementBody { position: one.position, attempt, desk, verdict, delay_ms: None });
        }
        if !verdicts.is_empty() {
            self.client.settle(&nodes, verdicts, &notes).await;
        }
    }
}
