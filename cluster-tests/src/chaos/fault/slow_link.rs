//! A node whose packets go out slowly.

use anyhow::Result;
use async_trait::async_trait;
use serde_json::json;

use super::{Fault, Healed, Hit, Kind, Need, Scene, target::Target};
use crate::chaos::rig::place::Site;

/// One.
pub fn kinds() -> Vec<Kind> {
    vec![Kind {
        name: "slow-link",
        need: Need::Network,
        lasts: 3..20,
        make: || Box::new(SlowLink::default()),
    }]
}

#[derive(Default)]
struct SlowLink {
    site: Option<(u64, Site)>,
}

#[async_trait]
impl Fault for SlowLink {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        let Some(id) = Target::One.choose(scene).await.first().copied() else { return Ok(None) };
        // A link has one queue: who comes second finds nothing to slow down.
        if !scene.rig.atlas.reserve(id, "link", scene.id) {
            return Ok(None);
        }
        let (site, rate) = (scene.rig.node(id).site.clone(), scene.rng.within(64..2_000));
        let rate_text = format!("{rate}kbit");
        let shape = ["tbf", "rate", &rate_text, "burst", "16kb", "latency", "500ms"];
        site.run("tc", &[&["qdisc", "add", "dev", "eth0", "root"][..], &shape[..]].concat())?;
        self.site = Some((id, site));
        Ok(Some(Hit { nodes: vec![id], detail: json!({ "kbit": rate }) }))
    }

    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed> {
        let Some((id, site)) = self.site.take() else { return Ok(Healed::Done(0)) };
        let told = site.run("tc", &["-s", "qdisc", "show", "dev", "eth0"])?;
        site.run("tc", &["qdisc", "del", "dev", "eth0", "root"])?;
        scene.rig.atlas.release(id, "link", scene.id);
        Ok(Healed::Done(held_up(&told)))
    }
}

/// Packets that had to wait or did not get through, of what `tc -s qdisc` prints.
fn held_up(told: &str) -> u64 {
    let number_after = |word: &str| {
        let rest = told.split(word).nth(1)?;
        rest.trim_start().split(|letter: char| !letter.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    number_after("dropped").unwrap_or(0) + number_after("overlimits").unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_and_lost_packets_are_counted() {
        let told = "qdisc tbf 8001: root refcnt 2\n Sent 97402 bytes 1100 pkt (dropped 14, overlimits 215 requeues 0)";
        assert_eq!(held_up(told), 229);
        assert_eq!(held_up("qdisc noqueue"), 0);
    }
}
