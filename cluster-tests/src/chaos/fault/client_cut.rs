//! Clients that do not reach a node, while the nodes reach each other.

use anyhow::Result;
use async_trait::async_trait;

use super::{Fault, Healed, Hit, Kind, Need, Scene, target::Target};
use crate::chaos::rig::firewall::{Action, Chain, Rule};

/// By how clients notice.
pub fn kinds() -> Vec<Kind> {
    vec![
        Kind { name: "client-cut", need: Need::Network, lasts: 2..12, make: || ClientCut::of(Action::Drop) },
        Kind {
            name: "client-reset",
            need: Need::Network,
            lasts: 1..6,
            make: || ClientCut::of(Action::Reset),
        },
    ]
}

struct ClientCut {
    action: Action,
    chain: Option<Chain>,
}

impl ClientCut {
    fn of(action: Action) -> Box<dyn Fault> {
        Box::new(Self { action, chain: None })
    }
}

#[async_trait]
impl Fault for ClientCut {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        let target = if scene.rng.chance(50) { Target::Leader } else { Target::One };
        let node = target.choose(scene).await.first().copied();
        let (Some(id), Some(clients)) = (node, scene.rig.clients()) else { return Ok(None) };
        let rule = Rule { action: self.action, ..Rule::cut(clients) };
        self.chain = Some(Chain::set(&scene.rig.node(id).site, scene.id, &[rule])?);
        Ok(Some(Hit::of(&[id])))
    }

    async fn heal(&mut self, _scene: &mut Scene<'_>) -> Result<Healed> {
        Ok(Healed::Done(self.chain.take().map_or(Ok(0), Chain::lift)?))
    }
}
