//! The membership changes under fire: one more joins and one leaves, or a node
//! is lost with its disk and another takes its place under a new id.

use std::time::{Duration, Instant};

use anyhow::Result;
use async_trait::async_trait;
use serde_json::json;
use weir_api::v1::{ClusterStatus, MemberRole, MemberStatus, paths};

use super::{Fault, Healed, Hit, Kind, Need, Scene, target::Target};
use crate::{chaos::seat, edge::Edge};

/// Both.
pub fn kinds() -> Vec<Kind> {
    vec![
        Kind { name: "join-leave", need: Need::Nothing, lasts: 6..20, make: || Change::of(false) },
        Kind { name: "replace", need: Need::Nothing, lasts: 6..20, make: || Change::of(true) },
    ]
}

/// How long one request may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between two requests.
const BETWEEN: Duration = Duration::from_millis(700);
/// Nobody else changes the membership meanwhile.
pub(super) const RESOURCE: &str = "members";

struct Change {
    /// Whether the one that leaves is lost at the beginning, with its disk.
    lost: bool,
    joins: Option<u64>,
    leaves: Option<u64>,
    may_leave: bool,
    promoted: bool,
    asked_at: Option<Instant>,
    done: u64,
}

impl Change {
    fn of(lost: bool) -> Box<dyn Fault> {
        let (joins, leaves, asked_at) = (None, None, None);
        Box::new(Self { lost, joins, leaves, may_leave: lost, promoted: false, asked_at, done: 0 })
    }

    /// The next step, if it is time for one.
    async fn step(&mut self, scene: &mut Scene<'_>) {
        if self.asked_at.is_some_and(|at| at.elapsed() < BETWEEN) {
            return;
        }
        self.asked_at = Some(Instant::now());
        let statuses = scene.rig.statuses().await;
        let Some(status) = seat::leading(&statuses) else { return };
        let edge = scene.rig.node(seat::seat(status.node_id)).edge.clone();
        if let Some(joins) = self.joins.filter(|_| !self.promoted) {
            let role = member(status, joins).map(|member| member.role);
            if role == Some(MemberRole::Voter) {
                (self.promoted, self.done) = (true, self.done + 1);
            } else {
                self.ask_to_join(scene, &edge, joins, role.is_some()).await;
            }
        } else if let Some(leaves) = self.leaves.filter(|_| self.may_leave && self.promoted) {
            match member(status, leaves) {
                None => self.gone(scene, leaves),
                Some(member) => {
                    let path = paths::fill(paths::CLUSTER_MEMBER, &member.node_id.to_string());
                    // What it answers does not matter: the members are looked at again.
                    let asked = edge.send(reqwest::Method::DELETE, &path, None);
                    let _ = tokio::time::timeout(CALL_TIMEOUT, asked).await;
                }
            }
        }
    }

    async fn ask_to_join(&self, scene: &mut Scene<'_>, edge: &Edge, joins: u64, voter: bool) {
        let server = scene.rig.node(joins);
        let body = json!({
            "nodeId": joins, "peerAddress": server.peer(), "url": server.edge.base(), "voter": voter,
        });
        // As above.
        let _ = tokio::time::timeout(CALL_TIMEOUT, edge.post(paths::CLUSTER_MEMBERS, &body)).await;
    }

    fn gone(&mut self, scene: &mut Scene<'_>, leaves: u64) {
        self.done += 1;
        self.leaves = None;
        if scene.rig.ids().contains(&leaves) {
            // A process that cannot be killed is dropped with the rig.
            let _ = scene.rig.drop_node(leaves);
        }
        scene.rig.atlas.release(0, RESOURCE, scene.id);
        scene.rig.atlas.undamage(scene.id);
    }
}

/// The newest member that is this node.
fn member(status: &ClusterStatus, id: u64) -> Option<&MemberStatus> {
    seat::holders(status, id).last()
}

#[async_trait]
impl Fault for Change {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        let Some(old) = Target::One.choose(scene).await.first().copied() else { return Ok(None) };
        if !scene.rig.atlas.reserve(0, RESOURCE, scene.id) {
            return Ok(None);
        }
        if self.lost && !scene.rig.atlas.damage(old, scene.id) {
            scene.rig.atlas.release(0, RESOURCE, scene.id);
            return Ok(None);
        }
        if self.lost {
            scene.rig.node_mut(old).leash.hold_down(scene.id)?;
        }
        let new = scene.rig.add_node()?;
        (self.joins, self.leaves) = (Some(new), Some(old));
        Ok(Some(Hit { nodes: vec![old, new], detail: json!({ "leaves": old, "joins": new }) }))
    }

    async fn tick(&mut self, scene: &mut Scene<'_>) -> Result<()> {
        self.step(scene).await;
        Ok(())
    }

    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed> {
        self.may_leave = true;
        self.step(scene).await;
        Ok(if self.leaves.is_some() { Healed::NotYet } else { Healed::Done(self.done) })
    }
}
