//! Bytes that rot: in the log, where a node must mend them with what its peers
//! hold, or refuse them when it knows no peers; in what is derived from it, which
//! a node must rebuild.
//!
//! Only as many nodes have a damaged log at a time as the cluster can do without.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use async_trait::async_trait;
use serde_json::json;
use weir_api::v1::{ClusterStatus, NodeState};

use super::{
    Fault, Healed, Hit, Kind, Need, Scene,
    target::Target,
    wipe::{give_back, take_charge},
};
use crate::chaos::seat::{seat, votes};

/// By what rots.
pub fn kinds() -> Vec<Kind> {
    vec![
        Kind { name: "flip-log", need: Need::Nothing, lasts: 3..12, make: || Box::new(FlipLog::default()) },
        Kind {
            name: "flip-log-live",
            need: Need::Nothing,
            lasts: 3..12,
            make: || Box::new(FlipLog { live: true, ..FlipLog::default() }),
        },
        Kind { name: "rot-index", need: Need::Nothing, lasts: 1..4, make: || Rot::of("index", true) },
        Kind { name: "rot-state", need: Need::Nothing, lasts: 1..4, make: || Rot::of("state", true) },
        Kind { name: "lose-index", need: Need::Nothing, lasts: 1..4, make: || Rot::of("index", false) },
        Kind { name: "lose-state", need: Need::Nothing, lasts: 1..4, make: || Rot::of("state", false) },
    ]
}

/// How many bytes tell whether what lies at a place is still what was damaged.
const KNOWN_BYTES: usize = 32;

/// Between two looks whether a node has healed.
const BETWEEN: Duration = Duration::from_millis(500);

/// One bit of the log. The node has to put it right, if it knows peers; else it is put right in the end.
#[derive(Default)]
struct FlipLog {
    live: bool,
    node: Option<u64>,
    at: Option<Flipped>,
    logged_before: u64,
    heals_itself: bool,
    /// Whether the node was started since.
    restarted: bool,
    looked_at: Option<Instant>,
}

/// A bit that was flipped.
struct Flipped {
    file: PathBuf,
    offset: u64,
    /// What lay there afterwards, and behind it.
    left: Vec<u8>,
}

impl Flipped {
    fn make((file, offset): (PathBuf, u64)) -> Result<Self> {
        flip(&file, offset)?;
        let left = bytes_at(&file, offset)?;
        Ok(Self { file, offset, left })
    }

    /// Whether it is as it was left.
    fn lasts(&self) -> Result<bool> {
        Ok(self.file.exists() && bytes_at(&self.file, self.offset)? == self.left)
    }

    /// Puts it right. Where a node has written the place anew, a bit would be damaged by it.
    fn undo(&self) -> Result<()> {
        if self.lasts()? {
            flip(&self.file, self.offset)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Fault for FlipLog {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        let Some(id) = Target::One.choose(scene).await.first().copied() else { return Ok(None) };
        self.heals_itself = scene.rig.heals_itself(id);
        if !self.take_charge(scene, id) {
            return Ok(None);
        }
        let server = scene.rig.node_mut(id);
        server.excuse(scene.id);
        if !self.live {
            server.leash.hold_down(scene.id)?;
        }
        self.node = Some(id);
        self.logged_before = fs::metadata(server.log()).map_or(0, |log| log.len());
        if let Some(place) = written_place(&server.data().join("log"), scene.rng.draw())? {
            self.at = Some(Flipped::make(place)?);
        }
        server.let_go(scene.id);
        self.restarted = !self.live;
        let detail = self.at.as_ref().map(|at| {
            json!({ "file": at.file.file_name().map(|name| name.to_string_lossy()), "offset": at.offset, "logged": self.logged_before })
        });
        Ok(Some(Hit { nodes: vec![id], detail: detail.unwrap_or_default() }))
    }

    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed> {
        let Some(id) = self.node else { return Ok(Healed::Done(0)) };
        let done = match scene.rig.ids().contains(&id) {
            false => true,
            true if self.heals_itself && self.at.is_some() => self.has_healed(scene, id).await?,
            true => {
                let statuses = scene.rig.statuses().await;
                self.told_if_unnoticed(scene, id, &statuses)?;
                self.put_right(scene, id).map(|()| true)?
            }
        };
        if !done {
            return Ok(Healed::NotYet);
        }
        give_back(scene, id);
        Ok(Healed::Done(1))
    }
}

impl FlipLog {
    fn take_charge(&self, scene: &mut Scene<'_>, id: u64) -> bool {
        if self.heals_itself {
            return take_charge(scene, id);
        }
        let free = scene.rig.atlas.reserve(id, "power", scene.id) && scene.rig.atlas.damage(id, scene.id);
        if !free {
            give_back(scene, id);
        }
        free
    }

    /// Whether the node has mended its log, or has its seat again with another folder, and votes.
    async fn has_healed(&mut self, scene: &mut Scene<'_>, id: u64) -> Result<bool> {
        if self.looked_at.is_some_and(|at| at.elapsed() < BETWEEN) {
            return Ok(false);
        }
        self.looked_at = Some(Instant::now());
        let lasts = self.at.as_ref().map_or(Ok(false), Flipped::lasts)?;
        if lasts && !self.restarted {
            // What is met while a node runs is mended at its next start.
            scene.rig.node_mut(id).leash.kill()?;
            self.restarted = true;
            return Ok(false);
        }
        let statuses = scene.rig.statuses().await;
        if self.told_if_unnoticed(scene, id, &statuses)? {
            return self.put_right(scene, id).map(|()| true);
        }
        let healed = !lasts && votes(&statuses, id);
        if healed {
            scene.rig.journal.did("flip-log.healed", 1);
            scene.rig.node_mut(id).excuse_ends(scene.id);
        }
        Ok(healed)
    }

    /// Whether the node serves after it was started with the bit as it was left, which is then told: a node
    /// reads all of its log before it says anything, and no byte before the last record is without a checksum
    /// or a value that is due. What lies behind the log's end is zeroed when it is met, and does not last.
    fn told_if_unnoticed(&self, scene: &Scene<'_>, id: u64, statuses: &[ClusterStatus]) -> Result<bool> {
        let serves = |one: &ClusterStatus| seat(one.node_id) == id && one.state != NodeState::Uninitialized;
        let Some(at) = self.at.as_ref().filter(|_| self.restarted && statuses.iter().any(serves)) else {
            return Ok(false);
        };
        // Looked at after the answer: what is mended is mended before it.
        let lasts = at.lasts()?;
        if lasts {
            let (file, offset) = (at.file.display(), at.offset);
            scene.rig.journal.wrong(&format!(
                "node {id} serves with a flipped bit at byte {offset} of {file}: it was not noticed"
            ));
        }
        Ok(lasts)
    }

    /// Undoes the flip under a node that does not run.
    fn put_right(&mut self, scene: &mut Scene<'_>, id: u64) -> Result<()> {
        let server = scene.rig.node_mut(id);
        server.leash.hold_down(scene.id)?;
        if let Some(at) = self.at.take() {
            at.undo()?;
            if !self.live && !refused(server.log(), self.logged_before)? {
                scene.rig.journal.did("flip-log.unnoticed", 1);
            }
        }
        let server = scene.rig.node_mut(id);
        server.excuse_ends(scene.id);
        server.let_go(scene.id);
        Ok(())
    }
}

/// A folder of what is derived from the log: damaged or gone.
struct Rot {
    folder: &'static str,
    damages: bool,
    node: Option<u64>,
}

impl Rot {
    fn of(folder: &'static str, damages: bool) -> Box<dyn Fault> {
        Box::new(Self { folder, damages, node: None })
    }
}

#[async_trait]
impl Fault for Rot {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        let Some(id) = Target::One.choose(scene).await.first().copied() else { return Ok(None) };
        if !scene.rig.atlas.reserve(id, "power", scene.id) {
            return Ok(None);
        }
        scene.rig.atlas.release(id, "power", scene.id);
        let server = scene.rig.node_mut(id);
        server.leash.hold_down(scene.id)?;
        server.excuse(scene.id);
        self.node = Some(id);
        let folder = server.data().join(self.folder);
        if !folder.exists() {
            return Ok(Some(Hit::of(&[id])));
        }
        if self.damages {
            rot(&folder, scene)?;
        } else {
            fs::remove_dir_all(&folder)?;
        }
        Ok(Some(Hit { nodes: vec![id], detail: json!({ "folder": self.folder }) }))
    }

    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed> {
        let Some(id) = self.node.take().filter(|id| scene.rig.ids().contains(id)) else {
            return Ok(Healed::Done(1));
        };
        let server = scene.rig.node_mut(id);
        server.let_go(scene.id);
        server.excuse_ends(scene.id);
        Ok(Healed::Done(1))
    }
}

/// Flips some bytes here and there, in some of the files or in all.
fn rot(folder: &Path, scene: &mut Scene<'_>) -> Result<()> {
    for file in files(folder)? {
        let length = fs::metadata(&file)?.len();
        if length == 0 || scene.rng.chance(30) {
            continue;
        }
        for _ in 0..scene.rng.within(1..20) {
            flip(&file, scene.rng.within(0..length))?;
        }
    }
    Ok(())
}

/// A place in the first three quarters of what is written in some segment: surely before the durable mark.
fn written_place(log: &Path, draw: u64) -> Result<Option<(PathBuf, u64)>> {
    let mut segments = files(log)?;
    segments.retain(|file| file.extension().is_some_and(|extension| extension == "log"));
    segments.sort();
    // The last may be prepared and empty. Less than this, and what is known of a place is not written yet.
    let mut written = Vec::new();
    for segment in segments {
        let last = fs::read(&segment)?.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        if last > 4 * KNOWN_BYTES {
            written.push((segment, last as u64));
        }
    }
    let Some(count) = (!written.is_empty()).then_some(written.len() as u64) else { return Ok(None) };
    let (file, last) = written.swap_remove(usize::try_from(draw % count)?);
    Ok(Some((file, draw / 7 % (last * 3 / 4).max(1))))
}

fn flip(file: &Path, offset: u64) -> Result<()> {
    let open = fs::File::options().read(true).write(true).open(file);
    let open = open.with_context(|| format!("cannot open {}", file.display()))?;
    let mut byte = [0];
    open.read_exact_at(&mut byte, offset)?;
    Ok(open.write_all_at(&[byte[0] ^ 0x10], offset)?)
}

fn bytes_at(file: &Path, offset: u64) -> Result<Vec<u8>> {
    let open = fs::File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    let mut bytes = vec![0; KNOWN_BYTES];
    let read = open.read_at(&mut bytes, offset)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Whether a log of output says, after this many bytes, that a file is damaged.
fn refused(log: &Path, after: u64) -> Result<bool> {
    let said = fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    let said = String::from_utf8_lossy(said.get(usize::try_from(after)?..).unwrap_or_default()).into_owned();
    Ok(said.contains("is damaged"))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return Ok(found) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}
