//! NATS loses what it acknowledged: all servers come back with the data that
//! they had some time ago.

use anyhow::Result;
use async_trait::async_trait;

use super::{Fault, Healed, Hit, Kind, Need, Scene};
use crate::chaos::rig::place::tool;

/// One.
pub fn kinds() -> Vec<Kind> {
    vec![Kind { name: "nats-rewind", need: Need::Nats, lasts: 5..25, make: || Box::new(Rewind::default()) }]
}

#[derive(Default)]
struct Rewind {
    kept: bool,
}

/// What NATS has stored: what is kept of it may not be in want of a repair that would be lost with what came since.
pub(super) const STORED: &str = "what NATS has stored";

#[async_trait]
impl Fault for Rewind {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        if !scene.rig.atlas.reserve(0, STORED, scene.id) {
            return Ok(None);
        }
        for bus in &mut scene.rig.nats {
            bus.leash.hold_down(scene.id)?;
        }
        for bus in &mut scene.rig.nats {
            let (store, kept) = (bus.store(), bus.store().with_extension("kept"));
            tool("rm", &["-rf", &kept.to_string_lossy()])?;
            tool("cp", &["-a", &store.to_string_lossy(), &kept.to_string_lossy()])?;
            bus.leash.let_go(scene.id);
        }
        self.kept = true;
        scene.rig.start_nats()?;
        Ok(Some(Hit::default()))
    }

    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed> {
        if !self.kept {
            return Ok(Healed::Done(0));
        }
        scene.rig.atlas.release(0, STORED, scene.id);
        for bus in &mut scene.rig.nats {
            bus.leash.hold_down(scene.id)?;
        }
        for bus in &mut scene.rig.nats {
            let (store, kept) = (bus.store(), bus.store().with_extension("kept"));
            tool("rm", &["-rf", &store.to_string_lossy()])?;
            tool("mv", &[&kept.to_string_lossy(), &store.to_string_lossy()])?;
            bus.leash.let_go(scene.id);
        }
        scene.rig.start_nats()?;
        Ok(Healed::Done(1))
    }
}
