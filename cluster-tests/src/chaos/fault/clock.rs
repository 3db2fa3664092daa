//! A wall clock that jumps, or gains, on one node or on all.

use anyhow::Result;
use async_trait::async_trait;
use serde_json::json;

use super::{Fault, Healed, Hit, Kind, Need, Scene, target::Target};
use crate::chaos::rig::shim::Word;

/// By what is wrong.
pub fn kinds() -> Vec<Kind> {
    vec![
        Kind { name: "clock-jump", need: Need::Shim, lasts: 2..15, make: || Clock::of(false) },
        Kind { name: "clock-drift", need: Need::Shim, lasts: 5..20, make: || Clock::of(true) },
    ]
}

/// The largest jump, forth or back.
const JUMP_S_MAX: u64 = 3_600;

struct Clock {
    drifts: bool,
    nodes: Vec<(u64, i64)>,
}

impl Clock {
    fn of(drifts: bool) -> Box<dyn Fault> {
        Box::new(Self { drifts, nodes: Vec::new() })
    }
}

#[async_trait]
impl Fault for Clock {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        let target = *scene.rng.pick(&[Target::One, Target::Leader, Target::All]).unwrap_or(&Target::One);
        let mut told = Vec::new();
        for id in target.choose(scene).await {
            if !scene.rig.atlas.reserve(id, "clock", scene.id) {
                continue;
            }
            let sign = if scene.rng.chance(50) { 1 } else { -1 };
            let seconds = i64::try_from(scene.rng.within(1..JUMP_S_MAX))? * sign;
            let ppm = i64::try_from(scene.rng.within(1_000..500_000))? * sign;
            let Some(page) = &scene.rig.node(id).page else { continue };
            self.nodes.push((id, page.get(Word::DoneClockReads)?));
            match self.drifts {
                true => page.drift(ppm)?,
                false => page.set(Word::ClockOffsetNs, seconds * 1_000_000_000)?,
            }
            told.push(if self.drifts { json!({ "ppm": ppm }) } else { json!({ "seconds": seconds }) });
        }
        let nodes: Vec<u64> = self.nodes.iter().map(|node| node.0).collect();
        Ok((!nodes.is_empty()).then(|| Hit { nodes, detail: json!(told) }))
    }

    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed> {
        let mut looks = 0;
        for (id, before) in &self.nodes {
            scene.rig.atlas.release(*id, "clock", scene.id);
            if !scene.rig.ids().contains(id) {
                continue;
            }
            let Some(page) = &scene.rig.node(*id).page else { continue };
            page.set(if self.drifts { Word::ClockDriftPpm } else { Word::ClockOffsetNs }, 0)?;
            looks += u64::try_from(page.get(Word::DoneClockReads)? - before)?;
        }
        Ok(Healed::Done(looks))
    }
}
