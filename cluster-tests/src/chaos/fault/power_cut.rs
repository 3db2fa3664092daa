//! Power loss: what a node had not synced is gone or torn.

use anyhow::Result;
use async_trait::async_trait;

use super::{Fault, Healed, Hit, Kind, Need, Scene, target::Target};

/// By whom it hits.
pub fn kinds() -> Vec<Kind> {
    vec![
        Kind { name: "power-cut-one", need: Need::Disk, lasts: 1..8, make: || PowerCut::of(Target::One) },
        Kind {
            name: "power-cut-leader",
            need: Need::Disk,
            lasts: 1..8,
            make: || PowerCut::of(Target::Leader),
        },
        Kind { name: "power-cut-all", need: Need::Disk, lasts: 1..4, make: || PowerCut::of(Target::All) },
    ]
}

struct PowerCut {
    target: Target,
    nodes: Vec<u64>,
}

impl PowerCut {
    fn of(target: Target) -> Box<dyn Fault> {
        Box::new(Self { target, nodes: Vec::new() })
    }
}

#[async_trait]
impl Fault for PowerCut {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        for id in self.target.choose(scene).await {
            if scene.rig.atlas.reserve(id, "power", scene.id) {
                self.nodes.push(id);
            }
        }
        // All stand still before the first disk loses power: they lose it at one moment.
        for id in &self.nodes {
            scene.rig.node_mut(*id).leash.pause(scene.id)?;
        }
        for id in &self.nodes {
            if let Some(disk) = &scene.rig.node(*id).disk {
                disk.cut_power()?;
            }
        }
        for id in &self.nodes {
            scene.rig.node_mut(*id).leash.hold_down(scene.id)?;
            scene.rig.node_mut(*id).leash.resume(scene.id)?;
        }
        Ok((!self.nodes.is_empty()).then(|| Hit::of(&self.nodes)))
    }

    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed> {
        for id in self.nodes.iter().copied().filter(|id| scene.rig.ids().contains(id)).collect::<Vec<_>>() {
            if let Some(disk) = &scene.rig.node(id).disk {
                disk.boot().await?;
            }
            scene.rig.node_mut(id).let_go(scene.id);
            scene.rig.atlas.release(id, "power", scene.id);
        }
        Ok(Healed::Done(self.nodes.len() as u64))
    }
}
