//! The `weir` command, run as an operator would.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::{binary, edge::Edge};

/// A `weir` command against these nodes; killed when it is dropped.
///
/// # Errors
/// When there is no binary.
pub fn command(edges: &[Edge], args: &[&str]) -> Result<Command> {
    let servers: Vec<&str> = edges.iter().map(Edge::base).collect();
    let mut command = Command::new(binary::weir()?);
    command.args(args).args(["--server", &servers.join(",")]).arg("--json");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(command)
}

/// Runs it to its end; its stdout as JSON, which may be several lines of it.
///
/// # Errors
/// When it fails, with what it said.
pub async fn run(edges: &[Edge], args: &[&str]) -> Result<Vec<Value>> {
    let shown = args.join(" ");
    let out = command(edges, args)?.output().await.with_context(|| format!("cannot start `weir {shown}`"))?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "`weir {shown}` failed ({}): {said}", out.status);
    let values = serde_json::Deserializer::from_slice(&out.stdout).into_iter();
    values.collect::<Result<_, _>>().with_context(|| format!("`weir {shown}` printed no JSON"))
}
