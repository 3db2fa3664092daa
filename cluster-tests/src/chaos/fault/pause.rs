//! SIGSTOP: a process that keeps its sockets and its beliefs, and wakes up in
//! a world that went on.

use anyhow::Result;
use async_trait::async_trait;

use super::{Fault, Healed, Hit, Kind, Need, Scene, target::Target};

/// By whom it hits and for how long.
pub fn kinds() -> Vec<Kind> {
    vec![
        Kind { name: "pause-one", need: Need::Nothing, lasts: 1..60, make: || Pause::of(Target::One) },
        Kind { name: "pause-leader", need: Need::Nothing, lasts: 2..30, make: || Pause::of(Target::Leader) },
        Kind {
            name: "pause-majority",
            need: Need::Nothing,
            lasts: 1..8,
            make: || Pause::of(Target::Majority),
        },
        Kind { name: "pause-blink", need: Need::Nothing, lasts: 0..2, make: || Pause::of(Target::Leader) },
    ]
}

struct Pause {
    target: Target,
    nodes: Vec<u64>,
}

impl Pause {
    fn of(target: Target) -> Box<dyn Fault> {
        Box::new(Self { target, nodes: Vec::new() })
    }
}

#[async_trait]
impl Fault for Pause {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        for id in self.target.choose(scene).await {
            if scene.rig.node_mut(id).leash.pause(scene.id)? {
                self.nodes.push(id);
            }
        }
        Ok((!self.nodes.is_empty()).then(|| Hit::of(&self.nodes)))
    }

    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed> {
        for node in scene.rig.nodes.iter_mut() {
            node.leash.resume(scene.id)?;
        }
        Ok(Healed::Done(self.nodes.len() as u64))
    }
}
