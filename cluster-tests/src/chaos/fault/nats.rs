//! NATS servers that die, stand still, or are out of reach.

use anyhow::Result;
use async_trait::async_trait;
use serde_json::json;

use super::{Fault, Healed, Hit, Kind, Need, Scene, target::Target};
use crate::chaos::rig::firewall::{Chain, Rule};

/// By what is wrong.
pub fn kinds() -> Vec<Kind> {
    let kind = |name, need, lasts, make| Kind { name, need, lasts, make };
    vec![
        kind("nats-kill-one", Need::Nats, 2..15, || Servers::of(Wrong::Kill, false)),
        kind("nats-kill-all", Need::Nats, 2..12, || Servers::of(Wrong::Kill, true)),
        kind("nats-pause-one", Need::Nats, 2..20, || Servers::of(Wrong::Pause, false)),
        kind("nats-pause-all", Need::Nats, 2..10, || Servers::of(Wrong::Pause, true)),
        kind("nats-split", Need::NatsNetwork, 3..15, || Box::new(Cut { among: true, chains: Vec::new() })),
        kind("nats-unreachable", Need::NatsNetwork, 3..15, || {
            Box::new(Cut { among: false, chains: Vec::new() })
        }),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Kill,
    Pause,
}

/// Signals to servers.
struct Servers {
    wrong: Wrong,
    all: bool,
    hit: u64,
}

impl Servers {
    fn of(wrong: Wrong, all: bool) -> Box<dyn Fault> {
        Box::new(Self { wrong, all, hit: 0 })
    }
}

#[async_trait]
impl Fault for Servers {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        let chosen = scene.rng.within(0..scene.rig.nats.len() as u64) + 1;
        let mut servers = Vec::new();
        for bus in scene.rig.nats.iter_mut().filter(|bus| self.all || bus.id == chosen) {
            let hit = match self.wrong {
                Wrong::Kill => bus.leash.hold_down(scene.id)?,
                Wrong::Pause => bus.leash.pause(scene.id)?,
            };
            self.hit += u64::from(hit);
            servers.push(bus.id);
        }
        Ok(Some(Hit { nodes: Vec::new(), detail: json!({ "nats": servers }) }))
    }

    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed> {
        for bus in &mut scene.rig.nats {
            bus.leash.let_go(scene.id);
            bus.leash.resume(scene.id)?;
        }
        scene.rig.start_nats()?;
        Ok(Healed::Done(self.hit))
    }
}

/// One server out of reach of the others, or one node out of reach of all servers.
struct Cut {
    among: bool,
    chains: Vec<Chain>,
}

#[async_trait]
impl Fault for Cut {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        let servers: Vec<_> = scene.rig.nats.iter().map(|bus| bus.site.clone()).collect();
        let one = if self.among {
            scene.rng.pick(&servers).cloned()
        } else {
            // The outbox is where the leader is.
            let target = if scene.rng.chance(70) { Target::Leader } else { Target::One };
            target.choose(scene).await.first().map(|id| scene.rig.node(*id).site.clone())
        };
        let Some(one) = one else { return Ok(None) };
        for server in servers.iter().filter(|server| server.name != one.name) {
            self.chains.push(Chain::set(server, scene.id, &[Rule::cut(one.address)])?);
        }
        let rules: Vec<Rule> = servers
            .iter()
            .filter(|server| server.name != one.name)
            .map(|server| Rule::cut(server.address))
            .collect();
        self.chains.push(Chain::set(&one, scene.id, &rules)?);
        Ok(Some(Hit { nodes: Vec::new(), detail: json!({ "cut off": one.name }) }))
    }

    async fn heal(&mut self, _scene: &mut Scene<'_>) -> Result<Healed> {
        let mut dropped = 0;
        for chain in self.chains.drain(..) {
            dropped += chain.lift()?;
        }
        Ok(Healed::Done(dropped))
    }
}
