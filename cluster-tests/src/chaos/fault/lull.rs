//! Clients fall silent: nothing is asked while other faults go on.

use anyhow::Result;
use async_trait::async_trait;

use super::{Fault, Healed, Hit, Kind, Need, Scene};

/// One.
pub fn kinds() -> Vec<Kind> {
    vec![Kind { name: "lull", need: Need::Nothing, lasts: 2..8, make: || Box::new(Silence) }]
}

struct Silence;

#[async_trait]
impl Fault for Silence {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        scene.rig.lull.begin();
        Ok(Some(Hit::default()))
    }

    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed> {
        scene.rig.lull.end();
        Ok(Healed::Done(1))
    }
}
