//! Damage on disk: what is derived is rebuilt, a record of the log is fetched from a peer, and what nobody
//! else has is refused by name.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use futures::FutureExt as _;
use serde_json::Value;

use super::{Outcome, Recipe, nats_outage::COUNTER};
use crate::{
    Cluster, ClusterSpec, PATIENCE, audit::audit, history::History, projections, report::Report,
    workload::Load,
};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "foundation/damage",
    summary: "index or state deleted or damaged: rebuilt, and said so; a flipped byte in the log: mended from a peer; a damaged vote: refused by name",
    release: false,
    run: |flags, report| story(report, 3_000, flags.seed).boxed(),
};

/// The node that is damaged.
const VICTIM: u64 = 3;

/// What is done to a folder, and how.
type Harm = fn(&Path) -> Result<()>;
const HARMS: [(&str, Harm); 3] = [("deleted", delete), ("emptied", empty), ("damaged", damage_all)];

/// Fills a cluster, then damages one node in each way in turn.
///
/// # Errors
/// When a node is silent about damage, serves it, or cuts it away.
pub async fn story(report: &mut Report, appends: u64, seed: u64) -> Result<Outcome> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
    cluster.node(1).edge.deploy(COUNTER).await?;
    let load = Load::start("load", &cluster.edges(), 8);
    load.makes_progress(appends, PATIENCE).await?;
    let mut history = load.stop().await?;
    for folder in ["index", "state"] {
        for (what, harm) in HARMS {
            report.phase(&format!("the folder {folder} is {what}"));
            rebuilds(&mut cluster, &history, folder, harm).await?;
        }
    }
    let offset = mends(&mut cluster, VICTIM, seed, report).await?;
    report.note("mended at byte", offset);
    let (file, good) = refuses(&mut cluster, report).await?;
    let load = Load::start("without", &cluster.edges()[..2], 2);
    load.makes_progress(20, PATIENCE).await?;
    history.merge(load.stop().await?);
    report.phase("the vote is put right");
    fs::write(&file, good)?;
    cluster.start_node(VICTIM)?;
    cluster.all_ready().await?;
    let replicas = audit(&cluster, &history).await?;
    report.note("events", replicas[0].events.len());
    // The stores of others say in their own words what they find.
    cluster.finish(&["damaged", "sled::", "fjall::"])?;
    Ok(Outcome::Holds)
}

/// Stops the victim, does `harm` to one of its folders, starts it, and checks
/// that it says that it rebuilt and holds what the others hold.
async fn rebuilds(cluster: &mut Cluster, history: &History, folder: &str, harm: Harm) -> Result<()> {
    let victim = cluster.node_mut(VICTIM);
    victim.stop(PATIENCE).await?;
    let said_before = victim.logged()?.len();
    let path = victim.data().join(folder);
    harm(&path).with_context(|| format!("cannot harm {folder}"))?;
    cluster.start_node(VICTIM)?;
    cluster.all_ready().await?;
    let said = cluster.node(VICTIM).logged()?.split_off(said_before);
    ensure!(
        said.lines().any(|line| warns(line, &path)),
        "node {VICTIM} rebuilt its {folder} mutely:\n{said}"
    );
    let last = audit(cluster, history).await?[0].events.len() as u64;
    projections::folded(cluster, "load-counter", last).await?;
    let count = cluster.node(VICTIM).edge.view("load-counter", "consistency=local").await?;
    ensure!(count["state"]["state"]["count"] == last, "its view is {count}, of {last} events");
    Ok(())
}

/// Whether a line of a node's log warns that the store in `path` is rebuilt from the log.
fn warns(line: &str, path: &Path) -> bool {
    let Ok(line) = serde_json::from_str::<Value>(line) else { return false };
    let says = |message: &str| message.contains("rebuilt from the log");
    line["level"] == "WARN"
        && line["message"].as_str().is_some_and(says)
        && line["store"].as_str() == path.file_name().and_then(|name| name.to_str())
        && line["folder"].as_str() == path.to_str()
}

/// Flips a byte amid the log of a node and checks that it fetches what it lost, and says so before and
/// after. Returns the byte's offset.
///
/// # Errors
/// What does not hold.
pub(super) async fn mends(cluster: &mut Cluster, id: u64, seed: u64, report: &Report) -> Result<u64> {
    cluster.node_mut(id).stop(PATIENCE).await?;
    let victim = cluster.node(id);
    let file = first_segment(&victim.data().join("log"))?;
    let good = fs::read(&file)?;
    let written = good.iter().rposition(|byte| *byte != 0).context("the segment is empty")? as u64;
    let offset = written / 4 + seed.wrapping_mul(7_919) % (written / 2).max(1);
    flip(&file, offset)?;
    let said_before = victim.logged()?.len();
    report.phase(&format!("byte {offset} of {written} in the log is flipped"));
    cluster.start_node(id)?;
    cluster.all_ready().await?;
    let said = cluster.node(id).logged()?.split_off(said_before);
    let name = file.file_name().context("a segment has a name")?.to_string_lossy().into_owned();
    for (level, message) in [("WARN", "log is damaged"), ("INFO", "was mended and verified")] {
        let says = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
            text("level") == level && text("message").contains(message) && text("file").ends_with(&name)
        };
        ensure!(said.lines().any(says), "it does not say `{message}` of {name}:\n{said}");
    }
    let mended = fs::read(&file)?;
    let whole = usize::try_from(written)? + 1;
    ensure!(mended[..whole] == good[..whole], "the file is not what it was");
    Ok(offset)
}

/// Damages the vote of the victim, which nobody else has, and checks that it
/// refuses by name and touches nothing when it is only to mend its log. Returns
/// the file and what was in it.
async fn refuses(cluster: &mut Cluster, report: &Report) -> Result<(PathBuf, Vec<u8>)> {
    cluster.node_mut(VICTIM).stop(PATIENCE).await?;
    let victim = cluster.node_mut(VICTIM);
    victim.set_repair("mend");
    let file = vote(victim.data());
    let good = fs::read(&file)?;
    let bad = damage_vote(victim.data())?;
    let said_before = victim.logged()?.len();
    report.phase("the vote is damaged");
    cluster.start_node(VICTIM)?;
    let status = cluster.node_mut(VICTIM).ended(PATIENCE).await.context("it votes with a damaged vote")?;
    ensure!(!status.success(), "it ended as if all were well");
    let said = cluster.node(VICTIM).logged()?.split_off(said_before);
    for part in ["/vote", "is damaged at byte"] {
        ensure!(said.contains(part), "its refusal does not say `{part}`:\n{said}");
    }
    ensure!(fs::read(&file)? == bad, "it changed the damaged file");
    Ok((file, good))
}

fn vote(data: &Path) -> PathBuf {
    data.join("log/1/vote")
}

/// Damages both copies of the vote in a data folder. Returns what lies there now.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn damage_vote(data: &Path) -> Result<Vec<u8>> {
    let bad = vec![0xA5; fs::read(vote(data))?.len()];
    fs::write(vote(data), &bad)?;
    Ok(bad)
}

fn first_segment(log: &Path) -> Result<PathBuf> {
    let mut segments: Vec<PathBuf> =
        files(log)?.into_iter().filter(|file| file.extension().is_some_and(|e| e == "log")).collect();
    segments.sort();
    segments.into_iter().next().with_context(|| format!("{} holds no segment", log.display()))
}

fn flip(file: &Path, offset: u64) -> Result<()> {
    let mut bytes = fs::read(file)?;
    bytes[usize::try_from(offset)?] ^= 0x40;
    fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

fn delete(folder: &Path) -> Result<()> {
    Ok(fs::remove_dir_all(folder)?)
}

fn empty(folder: &Path) -> Result<()> {
    delete(folder)?;
    Ok(fs::create_dir(folder)?)
}

/// Inverts the middle half of every file in a folder.
fn damage_all(folder: &Path) -> Result<()> {
    for file in files(folder)? {
        let mut bytes = fs::read(&file)?;
        let quarter = bytes.len() / 4;
        let end = bytes.len() - quarter;
        bytes[quarter..end].iter_mut().for_each(|byte| *byte = !*byte);
        fs::write(&file, bytes)?;
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}
