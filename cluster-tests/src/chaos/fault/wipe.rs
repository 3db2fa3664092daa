//! A data folder that is lost: the node is killed, its folder emptied, and it is
//! started as if nothing had happened. It takes its seat again by itself.
//!
//! Only as many nodes have lost what they had synced at a time as the cluster can do without.

use std::{
    fs, io,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use serde_json::json;

use super::{Fault, Healed, Hit, Kind, Need, Scene, members::RESOURCE, target::Target};
use crate::chaos::seat::votes;

/// By whom it hits.
pub fn kinds() -> Vec<Kind> {
    vec![
        Kind { name: "wipe-one", need: Need::Nothing, lasts: 1..8, make: || Wipe::of(Target::One) },
        Kind { name: "wipe-leader", need: Need::Nothing, lasts: 1..8, make: || Wipe::of(Target::Leader) },
    ]
}

/// Between two looks whether it votes again.
const BETWEEN: Duration = Duration::from_millis(500);

struct Wipe {
    target: Target,
    node: Option<u64>,
    looked_at: Option<Instant>,
}

impl Wipe {
    fn of(target: Target) -> Box<dyn Fault> {
        Box::new(Self { target, node: None, looked_at: None })
    }
}

#[async_trait]
impl Fault for Wipe {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        let Some(id) = self.target.choose(scene).await.first().copied() else { return Ok(None) };
        if !take_charge(scene, id) {
            return Ok(None);
        }
        let server = scene.rig.node_mut(id);
        server.excuse(scene.id);
        server.leash.hold_down(scene.id)?;
        self.node = Some(id);
        let data = server.data();
        match fs::remove_dir_all(&data) {
            // It may not have been started yet.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", data.display()));
            }
            _ => Ok(Some(Hit { nodes: vec![id], detail: json!({ "folder": data }) })),
        }
    }

    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed> {
        let Some(id) = self.node else { return Ok(Healed::Done(0)) };
        scene.rig.node_mut(id).let_go(scene.id);
        if self.looked_at.is_some_and(|at| at.elapsed() < BETWEEN) {
            return Ok(Healed::NotYet);
        }
        self.looked_at = Some(Instant::now());
        if !votes(&scene.rig.statuses().await, id) {
            return Ok(Healed::NotYet);
        }
        scene.rig.node_mut(id).excuse_ends(scene.id);
        give_back(scene, id);
        Ok(Healed::Done(1))
    }
}

/// Asks for leave to do what a node must heal from by itself. The members stay as they are meanwhile: the
/// node asks those for its seat that its config names.
pub(super) fn take_charge(scene: &mut Scene<'_>, id: u64) -> bool {
    let (atlas, why) = (&mut scene.rig.atlas, scene.id);
    let free = atlas.reserve(0, RESOURCE, why) && atlas.reserve(id, "power", why) && atlas.damage(id, why);
    let leave = free && scene.rig.heals_itself(id);
    if !leave {
        give_back(scene, id);
    }
    leave
}

/// It has healed.
pub(super) fn give_back(scene: &mut Scene<'_>, id: u64) {
    let (atlas, why) = (&mut scene.rig.atlas, scene.id);
    atlas.release(0, RESOURCE, why);
    atlas.release(id, "power", why);
    atlas.undamage(why);
}
