//! Nodes that start again and again: one in a loop of kills, or all in turn by SIGTERM.

use std::time::{Duration, Instant};

use anyhow::Result;
use async_trait::async_trait;

use super::{Fault, Healed, Hit, Kind, Need, Scene, target::Target};
use crate::chaos::seat::seat;

/// Both.
pub fn kinds() -> Vec<Kind> {
    vec![
        Kind { name: "restart-loop", need: Need::Nothing, lasts: 5..15, make: || Box::new(Loop::default()) },
        Kind {
            name: "rolling-restart",
            need: Need::Nothing,
            lasts: 15..30,
            make: || Box::new(Rolling::default()),
        },
    ]
}

/// A node that is killed soon after each start.
#[derive(Default)]
struct Loop {
    node: Option<u64>,
    next: Option<Instant>,
    kills: u64,
}

#[async_trait]
impl Fault for Loop {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        self.node = Target::One.choose(scene).await.first().copied();
        Ok(self.node.map(|node| Hit::of(&[node])))
    }

    async fn tick(&mut self, scene: &mut Scene<'_>) -> Result<()> {
        let Some(node) = self.node.filter(|id| scene.rig.ids().contains(id)) else { return Ok(()) };
        if self.next.is_some_and(|next| Instant::now() < next) {
            return Ok(());
        }
        let server = scene.rig.node_mut(node);
        self.kills += u64::from(server.leash.kill()?);
        self.next = Some(Instant::now() + Duration::from_millis(scene.rng.within(200..2_500)));
        Ok(())
    }

    async fn heal(&mut self, _scene: &mut Scene<'_>) -> Result<Healed> {
        Ok(Healed::Done(self.kills))
    }
}

/// Every node in turn, as an upgrade does it: SIGTERM, its end, its start, until it is ready.
#[derive(Default)]
struct Rolling {
    left: Vec<u64>,
    stopping: Option<(u64, Instant)>,
    starting: Option<(u64, Instant)>,
    stopped: u64,
}

/// How long an upgrade waits for one node before it goes on.
const STEP: Duration = Duration::from_secs(12);

impl Rolling {
    fn finish_stop(&mut self, scene: &mut Scene<'_>) {
        if let Some((id, since)) = self.stopping {
            let gone = !scene.rig.ids().contains(&id) || !scene.rig.node(id).leash.has_process();
            if gone || since.elapsed() > STEP {
                if !gone {
                    // It is stuck behind another fault; an upgrade's patience ends with SIGKILL.
                    let _ = scene.rig.node_mut(id).leash.kill();
                }
                self.stopped += 1;
                scene.rig.nodes.iter_mut().for_each(|node| node.let_go(scene.id));
                (self.stopping, self.starting) = (None, Some((id, Instant::now())));
            }
        }
    }
}

#[async_trait]
impl Fault for Rolling {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        self.left = Target::All.choose(scene).await;
        Ok(Some(Hit::of(&self.left)))
    }

    async fn tick(&mut self, scene: &mut Scene<'_>) -> Result<()> {
        self.finish_stop(scene);
        if self.stopping.is_some() {
            return Ok(());
        }
        if let Some((id, since)) = self.starting {
            let there = scene.rig.ids().contains(&id);
            let ready = there && scene.rig.statuses().await.iter().any(|status| seat(status.node_id) == id);
            if there && !ready && since.elapsed() < STEP {
                return Ok(());
            }
            self.starting = None;
        }
        let Some(next) = self.left.pop().filter(|id| scene.rig.ids().contains(id)) else { return Ok(()) };
        if scene.rig.node_mut(next).leash.ask_to_stop(scene.id)? {
            self.stopping = Some((next, Instant::now()));
        } else {
            scene.rig.node_mut(next).let_go(scene.id);
        }
        Ok(())
    }

    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed> {
        self.left.clear();
        self.finish_stop(scene);
        Ok(if self.stopping.is_some() { Healed::NotYet } else { Healed::Done(self.stopped) })
    }
}
