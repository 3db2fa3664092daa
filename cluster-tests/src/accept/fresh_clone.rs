//! A fresh clone: the README's two commands work.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::FutureExt as _;

use super::{Outcome, Recipe};
use crate::{binary::workspace, process::Process, report::Report};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "foundation/fresh-clone",
    summary: "git clone, then the README's two commands: the main job once, and the whole check",
    release: false,
    run: |_, report| story(report).boxed(),
};

/// The README's commands, which must stand there word for word.
const FIRST: &str = "cargo run -- demo";
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
    for command in [FIRST, SECOND] {
        report.phase(command);
        follow(command, &clone, &folder.path().join("printed.log")).await?;
    }
    Ok(Outcome::Holds)
}

async fn follow(command: &str, clone: &Path, log: &Path) -> Result<()> {
    let mut process = start(command, clone, log)?;
    let status = process.ended(BUILD).await?;
    let printed = process.printed()?;
    let lines: Vec<&str> = printed.lines().collect();
    let tail = lines[lines.len().saturating_sub(60)..].join("\n");
    ensure!(status.success(), "`{command}` ended with {status}:\n{tail}");
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
