//! Packets that are lost at random, at one node or at all.

use anyhow::Result;
use async_trait::async_trait;
use serde_json::json;

use super::{Fault, Healed, Hit, Kind, Need, Scene, target::Target};
use crate::chaos::rig::firewall::{Action, Chain, Rule};

/// By whom it hits.
pub fn kinds() -> Vec<Kind> {
    vec![
        Kind { name: "loss-one", need: Need::Network, lasts: 3..20, make: || Loss::of(Target::One) },
        Kind { name: "loss-all", need: Need::Network, lasts: 3..15, make: || Loss::of(Target::All) },
    ]
}

struct Loss {
    target: Target,
    chains: Vec<Chain>,
}

impl Loss {
    fn of(target: Target) -> Box<dyn Fault> {
        Box::new(Self { target, chains: Vec::new() })
    }
}

#[async_trait]
impl Fault for Loss {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        let nodes = self.target.choose(scene).await;
        let percent = if nodes.len() == 1 { scene.rng.within(5..50) } else { scene.rng.within(2..20) };
        for id in &nodes {
            let rule = Rule { from: None, percent, action: Action::Drop };
            self.chains.push(Chain::set(&scene.rig.node(*id).site, scene.id, &[rule])?);
        }
        Ok(Some(Hit { nodes, detail: json!({ "percent": percent }) }))
    }

    async fn heal(&mut self, _scene: &mut Scene<'_>) -> Result<Healed> {
        let mut dropped = 0;
        for chain in self.chains.drain(..) {
            dropped += chain.lift()?;
        }
        Ok(Healed::Done(dropped))
    }
}
