//! Packets that arrive late and out of order, at one node or at all.

use anyhow::{Context, Result};
use async_trait::async_trait;
use serde_json::json;

use super::{Fault, Healed, Hit, Kind, Need, Scene, target::Target};
use crate::{
    chaos::{
        delay_queue,
        rig::firewall::{Action, Chain, Rule},
    },
    process::Process,
};

/// By whom it hits.
pub fn kinds() -> Vec<Kind> {
    vec![
        Kind { name: "delay-one", need: Need::Network, lasts: 3..20, make: || Delay::of(Target::One) },
        Kind { name: "delay-leader", need: Need::Network, lasts: 3..15, make: || Delay::of(Target::Leader) },
        Kind { name: "delay-all", need: Need::Network, lasts: 3..15, make: || Delay::of(Target::All) },
    ]
}

/// A site has one queue.
const RESOURCE: &str = "queue";

struct Delay {
    target: Target,
    at: Vec<(u64, Process, Chain)>,
}

impl Delay {
    fn of(target: Target) -> Box<dyn Fault> {
        Box::new(Self { target, at: Vec::new() })
    }
}

#[async_trait]
impl Fault for Delay {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        let (base, jitter) = (scene.rng.within(1..150), scene.rng.within(0..150));
        // A recipe is another program, beside the one that serves a queue.
        let this = std::env::current_exe().context("this program does not know where it is")?;
        let program = Some(this.with_file_name("chaos")).filter(|chaos| chaos.is_file()).unwrap_or(this);
        let mut nodes = Vec::new();
        for id in self.target.choose(scene).await {
            if !scene.rig.atlas.reserve(id, RESOURCE, scene.id) {
                continue;
            }
            let site = &scene.rig.node(id).site;
            let mut command = site.command(std::path::Path::new("setpriv"));
            command.args(["--pdeathsig", "KILL"]).arg(&program).arg(delay_queue::COMMAND);
            command.args([base.to_string(), jitter.to_string()]);
            let log = scene.rig.logs().join("delays.log");
            let process = Process::start(&format!("the queue of node {id}"), &mut command, &log)?;
            let rule = Rule { from: None, percent: 100, action: Action::Queue };
            self.at.push((id, process, Chain::set(site, scene.id, &[rule])?));
            nodes.push(id);
        }
        let detail = json!({ "ms": base, "jitter_ms": jitter });
        Ok((!nodes.is_empty()).then_some(Hit { nodes, detail }))
    }

    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed> {
        let mut packets = 0;
        for (id, mut process, chain) in self.at.drain(..) {
            // A queue that ended let everything pass at once: then nothing was late.
            let served = process.runs();
            let passed = chain.lift()?;
            packets += if served { passed } else { 0 };
            process.kill()?;
            scene.rig.atlas.release(id, RESOURCE, scene.id);
        }
        Ok(Healed::Done(packets))
    }
}
