//! A fresh clone: the README's two commands work.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::FutureExt as _;

use super::{Outcome, Recipe};
use crate::{binary::workspace, edge::Edge, eventually, process::Process, report::Report};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "foundation/fresh-clone",
    summary: "git clone, then the README's two commands: a store that answers, and the whole check",
    release: false,
    run: |_, report| story(report).boxed(),
};

/// The README's commands, which must stand there word for word.
const FIRST: &str = "cargo run -- dev";
/// As [`FIRST`].
const SECOND: &str = "cargo xtask test";
/// A cold build on two cores, and the tests after it.
const BUILD: Duration = Duration::from_secs(30 * 60);

/// Clones the committed state into an empty folder and follows the README there.
///
/// # Errors
/// When the README says something else, or a command fails.
pub async fn story(report: &mut Report) -> Result<Outcome> {
    let folder = tempfile::Builder::new().prefix("weir-clone-").tempdir()?;
    let clone = folder.path().join("weir");
    let mut git = Command::new("git");
    let cloned = git.args(["clone", "--quiet", "--no-hardlinks"]).arg(workspace()).arg(&clone).status()?;
    ensure!(cloned.success(), "git clone failed");
    let readme = std::fs::read_to_string(clone.join("README.md")).context("the clone has no README.md")?;
    for command in [FIRST, SECOND] {
        ensure!(readme.contains(command), "README.md does not say `{command}`");
    }
    report.phase(&format!("cloned; {FIRST}"));
    first(&clone).await?;
    report.phase(&format!("it answered and stopped; {SECOND}"));
    let mut second = start(SECOND, &clone, &folder.path().join("second.log"))?;
    let status = second.ended(BUILD).await?;
    let printed = second.printed()?;
    let tail: Vec<&str> = printed.lines().rev().take(40).collect();
    ensure!(status.success(), "{SECOND} failed:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
    Ok(Outcome::Holds)
}

async fn first(clone: &Path) -> Result<()> {
    let edge = Edge::new("http://127.0.0.1:9123");
    ensure!(edge.ready().await.is_err(), "something answers on port 9123 already");
    let mut dev = start(FIRST, clone, &clone.with_extension("first.log"))?;
    let answers = eventually("`weir dev` answers", BUILD, || async {
        ensure!(edge.ready().await.is_ok(), "no answer on port 9123 yet");
        Ok(())
    });
    tokio::select! {
        answered = answers => answered?,
        ended = dev.ended(BUILD) => anyhow::bail!("{FIRST} ended: {:?}\n{}", ended?, dev.printed()?),
    }
    dev.terminate()?;
    let status = dev.ended(Duration::from_secs(30)).await?;
    ensure!(status.success(), "{FIRST} ended with {status} after SIGTERM");
    Ok(())
}

fn start(command: &str, clone: &Path, log: &Path) -> Result<Process> {
    let mut words = command.split_whitespace();
    let mut process = Command::new(words.next().context("a command has a word")?);
    process.args(words).current_dir(clone);
    // The clone is built by itself, not into our folder, and finds its own programs.
    for name in ["CARGO_TARGET_DIR", "WEIR_BIN", "CARGO_MANIFEST_DIR"] {
        process.env_remove(name);
    }
    Process::start(command, &mut process, log)
}
