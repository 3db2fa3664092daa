//! A disk without room.

use anyhow::Result;
use async_trait::async_trait;
use serde_json::json;

use super::{Fault, Healed, Hit, Kind, Need, Scene, target::Target};

/// By whom it hits.
pub fn kinds() -> Vec<Kind> {
    vec![
        Kind { name: "disk-full-one", need: Need::Disk, lasts: 3..15, make: || DiskFull::of(Target::One) },
        Kind {
            name: "disk-full-leader",
            need: Need::Disk,
            lasts: 3..15,
            make: || DiskFull::of(Target::Leader),
        },
        Kind { name: "disk-full-all", need: Need::Disk, lasts: 3..8, make: || DiskFull::of(Target::All) },
    ]
}

struct DiskFull {
    target: Target,
    nodes: Vec<u64>,
}

impl DiskFull {
    fn of(target: Target) -> Box<dyn Fault> {
        Box::new(Self { target, nodes: Vec::new() })
    }
}

#[async_trait]
impl Fault for DiskFull {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        let left = scene.rng.within(0..300_000);
        for id in self.target.choose(scene).await {
            // Without power there is nothing to fill.
            if !scene.rig.atlas.reserve(id, "power", scene.id) {
                continue;
            }
            let server = scene.rig.node_mut(id);
            server.excuse(scene.id);
            server.disk.as_ref().map_or(Ok(0), |disk| disk.fill(left))?;
            self.nodes.push(id);
        }
        Ok((!self.nodes.is_empty())
            .then(|| Hit { nodes: self.nodes.clone(), detail: json!({ "left": left }) }))
    }

    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed> {
        for id in self.nodes.iter().copied().filter(|id| scene.rig.ids().contains(id)).collect::<Vec<_>>() {
            let server = scene.rig.node_mut(id);
            server.disk.as_ref().map_or(Ok(()), |disk| disk.free())?;
            server.excuse_ends(scene.id);
            scene.rig.atlas.release(id, "power", scene.id);
        }
        Ok(Healed::Done(self.nodes.len() as u64))
    }
}
