//! Leadership is handed over, again and again.

use std::time::{Duration, Instant};

use anyhow::Result;
use async_trait::async_trait;
use serde_json::json;
use weir_api::v1::{MemberRole, paths};

use super::{Fault, Healed, Hit, Kind, Need, Scene};
use crate::chaos::seat::{leading, seat};

/// One.
pub fn kinds() -> Vec<Kind> {
    vec![Kind { name: "transfer", need: Need::Nothing, lasts: 2..15, make: || Box::new(Transfer::default()) }]
}

/// How long one request may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Transfer {
    next: Option<Instant>,
    accepted: u64,
}

impl Transfer {
    async fn hand_over(&mut self, scene: &mut Scene<'_>) -> Option<u64> {
        let statuses = scene.rig.statuses().await;
        let leader = leading(&statuses)?;
        let others: Vec<_> = leader
            .members
            .iter()
            .filter(|one| one.node_id != leader.node_id && one.role == MemberRole::Voter)
            .collect();
        let to = scene.rng.pick(&others)?.node_id;
        let body = json!({ "to": to });
        let asked = scene.rig.node(seat(leader.node_id)).edge.post(paths::CLUSTER_TRANSFER, &body);
        tokio::time::timeout(CALL_TIMEOUT, asked).await.ok()?.ok()?;
        self.accepted += 1;
        Some(to)
    }
}

#[async_trait]
impl Fault for Transfer {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        Ok(Some(Hit { detail: json!({ "to": self.hand_over(scene).await }), ..Hit::default() }))
    }

    async fn tick(&mut self, scene: &mut Scene<'_>) -> Result<()> {
        if self.next.is_none_or(|next| next <= Instant::now()) {
            if self.next.is_some() {
                self.hand_over(scene).await;
            }
            self.next = Some(Instant::now() + Duration::from_millis(scene.rng.within(500..4_000)));
        }
        Ok(())
    }

    async fn heal(&mut self, _scene: &mut Scene<'_>) -> Result<Healed> {
        Ok(Healed::Done(self.accepted))
    }
}
