//! SIGKILL, and a start some seconds later.

use anyhow::Result;
use async_trait::async_trait;

use super::{Fault, Healed, Hit, Kind, Need, Scene, target::Target};

/// By whom it hits.
pub fn kinds() -> Vec<Kind> {
    vec![
        Kind { name: "kill-one", need: Need::Nothing, lasts: 1..10, make: || Kill::of(Target::One) },
        Kind { name: "kill-leader", need: Need::Nothing, lasts: 1..10, make: || Kill::of(Target::Leader) },
        Kind {
            name: "kill-minority",
            need: Need::Nothing,
            lasts: 1..10,
            make: || Kill::of(Target::Minority),
        },
        Kind { name: "kill-majority", need: Need::Nothing, lasts: 1..8, make: || Kill::of(Target::Majority) },
        Kind { name: "kill-all", need: Need::Nothing, lasts: 1..5, make: || Kill::of(Target::All) },
    ]
}

struct Kill {
    target: Target,
    nodes: Vec<u64>,
    killed: u64,
}

impl Kill {
    fn of(target: Target) -> Box<dyn Fault> {
        Box::new(Self { target, nodes: Vec::new(), killed: 0 })
    }
}

#[async_trait]
impl Fault for Kill {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        self.nodes = self.target.choose(scene).await;
        for id in &self.nodes {
            self.killed += u64::from(scene.rig.node_mut(*id).leash.hold_down(scene.id)?);
        }
        Ok((!self.nodes.is_empty()).then(|| Hit::of(&self.nodes)))
    }

    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed> {
        for node in scene.rig.nodes.iter_mut() {
            node.let_go(scene.id);
        }
        Ok(Healed::Done(self.killed))
    }
}
