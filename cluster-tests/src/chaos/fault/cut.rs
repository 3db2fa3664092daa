//! Partitions between nodes: whole, one-way, partial, flapping.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::Result;
use async_trait::async_trait;
use serde_json::json;

use super::{Fault, Healed, Hit, Kind, Need, Scene, target::Target};
use crate::chaos::rig::{
    Rig,
    firewall::{Action, Chain, Rule},
};

/// By shape.
pub fn kinds() -> Vec<Kind> {
    let kind = |name, lasts, make| Kind { name, need: Need::Network, lasts, make };
    vec![
        kind("isolate-one", 3..20, || Cut::of(Shape::Isolate(Target::One))),
        kind("isolate-leader", 3..20, || Cut::of(Shape::Isolate(Target::Leader))),
        kind("isolate-all", 2..10, || Cut::of(Shape::Isolate(Target::All))),
        kind("deafen-one", 3..20, || Cut::of(Shape::Deafen(Target::One))),
        kind("deafen-leader", 3..20, || Cut::of(Shape::Deafen(Target::Leader))),
        kind("mute-leader", 3..20, || Cut::of(Shape::Mute(Target::Leader))),
        kind("cut-pair", 3..30, || Cut::of(Shape::Pair)),
        kind("reset-pair", 3..15, || Cut::of(Shape::Reset)),
        kind("flap", 4..15, || Cut::of(Shape::Flap)),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Nothing to it and nothing from it, among nodes.
    Isolate(Target),
    /// It hears no other node, and all hear it.
    Deafen(Target),
    /// No other node hears it, and it hears all.
    Mute(Target),
    /// Two nodes do not hear each other; others hear both.
    Pair,
    /// As a pair, with resets instead of silence.
    Reset,
    /// One is isolated and is not, several times a second to once in two seconds.
    Flap,
}

struct Cut {
    shape: Shape,
    hit: Vec<u64>,
    chains: Vec<Chain>,
    round: u32,
    flip_at: Option<Instant>,
    dropped: u64,
}

/// Drop at the first what comes from the second.
type Link = (u64, u64);

impl Cut {
    fn of(shape: Shape) -> Box<dyn Fault> {
        let (hit, chains) = (Vec::new(), Vec::new());
        Box::new(Self { shape, hit, chains, round: 0, flip_at: None, dropped: 0 })
    }

    fn set(&mut self, scene: &mut Scene<'_>) -> Result<()> {
        let links = links(self.shape, &self.hit, &scene.rig.ids());
        self.round += 1;
        let name = format!("{}-{}", scene.id, self.round);
        for at in scene.rig.ids() {
            let from: Vec<Ipv4Addr> =
                links.iter().filter(|link| link.0 == at).map(|link| address(scene.rig, link.1)).collect();
            let action = if self.shape == Shape::Reset { Action::Reset } else { Action::Drop };
            let rules: Vec<Rule> = from.into_iter().map(|from| Rule { action, ..Rule::cut(from) }).collect();
            if !rules.is_empty() {
                self.chains.push(Chain::set(&scene.rig.node(at).site, &name, &rules)?);
            }
        }
        Ok(())
    }

    fn lift(&mut self) -> Result<()> {
        for chain in self.chains.drain(..) {
            self.dropped += chain.lift()?;
        }
        Ok(())
    }
}

/// Two nodes, mostly the leader among them: followers seldom speak with each other.
async fn pair(scene: &mut Scene<'_>) -> Vec<u64> {
    let leader = if scene.rng.chance(70) { scene.rig.leader().await } else { None };
    let others = Target::All.choose(scene).await.into_iter().filter(|id| Some(*id) != leader);
    leader.into_iter().chain(others).take(2).collect()
}

fn address(rig: &Rig, id: u64) -> Ipv4Addr {
    rig.node(id).site.address
}

/// The links that a shape cuts. A node that was hit and has left since has none.
fn links(shape: Shape, hit: &[u64], all: &[u64]) -> Vec<Link> {
    let hit: Vec<u64> = hit.iter().copied().filter(|id| all.contains(id)).collect();
    let pairs =
        hit.iter().flat_map(|one| all.iter().filter(move |other| *other != one).map(|other| (*one, *other)));
    match shape {
        Shape::Isolate(_) | Shape::Flap => {
            pairs.flat_map(|(one, other)| [(one, other), (other, one)]).collect()
        }
        Shape::Deafen(_) => pairs.collect(),
        Shape::Mute(_) => pairs.map(|(one, other)| (other, one)).collect(),
        Shape::Pair | Shape::Reset => match hit[..] {
            [one, other, ..] => vec![(one, other), (other, one)],
            _ => Vec::new(),
        },
    }
}

#[async_trait]
impl Fault for Cut {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        self.hit = match self.shape {
            Shape::Isolate(target) | Shape::Deafen(target) | Shape::Mute(target) => {
                target.choose(scene).await
            }
            Shape::Flap => Target::One.choose(scene).await,
            Shape::Pair | Shape::Reset => pair(scene).await,
        };
        if self.hit.is_empty() {
            return Ok(None);
        }
        self.set(scene)?;
        Ok(Some(Hit { nodes: self.hit.clone(), detail: json!({ "rules": self.chains.len() }) }))
    }

    async fn tick(&mut self, scene: &mut Scene<'_>) -> Result<()> {
        if self.shape != Shape::Flap || self.flip_at.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        if self.chains.is_empty() {
            self.set(scene)?;
        } else {
            self.lift()?;
        }
        self.flip_at = Some(Instant::now() + Duration::from_millis(scene.rng.within(100..2_000)));
        Ok(())
    }

    async fn heal(&mut self, _scene: &mut Scene<'_>) -> Result<Healed> {
        self.lift()?;
        Ok(Healed::Done(self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_cut_the_links_that_their_names_say() {
        let all = [1, 2, 3];
        let cut = |shape, hit: &[u64]| {
            let mut links = links(shape, hit, &all);
            links.sort_unstable();
            links
        };
        assert_eq!(cut(Shape::Isolate(Target::One), &[2]), [(1, 2), (2, 1), (2, 3), (3, 2)]);
        assert_eq!(cut(Shape::Deafen(Target::One), &[2]), [(2, 1), (2, 3)]);
        assert_eq!(cut(Shape::Mute(Target::Leader), &[2]), [(1, 2), (3, 2)]);
        assert_eq!(cut(Shape::Pair, &[1, 3]), [(1, 3), (3, 1)]);
    }

    #[test]
    fn a_node_that_left_while_it_flapped_is_cut_no_more() {
        for (shape, hit) in
            [(Shape::Flap, &[4][..]), (Shape::Isolate(Target::One), &[4]), (Shape::Pair, &[4, 1])]
        {
            assert_eq!(links(shape, hit, &[1, 2, 3]), []);
        }
    }
}
