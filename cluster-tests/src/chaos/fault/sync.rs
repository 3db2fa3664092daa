//! A disk whose syncs fail or take long, or whose writes fail, as the process sees it.

use anyhow::Result;
use async_trait::async_trait;
use serde_json::json;

use super::{Fault, Healed, Hit, Kind, Need, Scene, target::Target};
use crate::chaos::rig::shim::Word;

/// By what is wrong.
pub fn kinds() -> Vec<Kind> {
    let kind = |name, lasts, make| Kind { name, need: Need::Shim, lasts, make };
    vec![
        kind("sync-error", 2..8, || Sync::of(Wrong::Error)),
        kind("write-error", 2..8, || Sync::of(Wrong::Write)),
        kind("slow-disk", 3..15, || Sync::of(Wrong::Slow)),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// One sync fails with EIO; those after it succeed, and what it should have synced is lost.
    Error,
    /// One write fails with ENOSPC.
    Write,
    /// Every sync takes long.
    Slow,
}

impl Wrong {
    fn words(self) -> (Word, Word) {
        match self {
            Self::Error => (Word::SyncErrors, Word::DoneSyncErrors),
            Self::Write => (Word::WriteErrors, Word::DoneWriteErrors),
            Self::Slow => (Word::SyncDelayMs, Word::DoneSyncDelays),
        }
    }
}

struct Sync {
    wrong: Wrong,
    node: Option<u64>,
    before: i64,
}

impl Sync {
    fn of(wrong: Wrong) -> Box<dyn Fault> {
        Box::new(Self { wrong, node: None, before: 0 })
    }
}

#[async_trait]
impl Fault for Sync {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        let target = if scene.rng.chance(50) { Target::Leader } else { Target::One };
        let Some(id) = target.choose(scene).await.first().copied() else { return Ok(None) };
        let (word, done) = self.wrong.words();
        let value = match self.wrong {
            Wrong::Slow => i64::try_from(scene.rng.within(20..1_500))?,
            Wrong::Error | Wrong::Write => i64::try_from(scene.rng.within(1..4))?,
        };
        if !scene.rig.atlas.reserve(id, "sync", scene.id) {
            return Ok(None);
        }
        let server = scene.rig.node_mut(id);
        server.excuse(scene.id);
        let Some(page) = &server.page else { return Ok(None) };
        self.before = page.get(done)?;
        page.set(word, value)?;
        self.node = Some(id);
        Ok(Some(Hit { nodes: vec![id], detail: json!({ "value": value }) }))
    }

    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed> {
        let Some(id) = self.node else { return Ok(Healed::Done(0)) };
        scene.rig.atlas.release(id, "sync", scene.id);
        if !scene.rig.ids().contains(&id) {
            return Ok(Healed::Done(0));
        }
        let (word, done) = self.wrong.words();
        let server = scene.rig.node_mut(id);
        server.excuse_ends(scene.id);
        let Some(page) = &server.page else { return Ok(Healed::Done(0)) };
        page.set(word, 0)?;
        Ok(Healed::Done(u64::try_from(page.get(done)? - self.before)?))
    }
}
