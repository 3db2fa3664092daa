//! The record in `README.md`: what was run, and what it held.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use crate::binary::workspace;

/// The line under which runs are added.
const HEAD: &str = "| seed | minutes | operations | acknowledged | faults | verdict |";

/// Adds a run to the table.
///
/// # Errors
/// When the table is not there.
pub fn add(line: &Map<String, Value>) -> Result<()> {
    let path = workspace().join("cluster-tests/README.md");
    let text = fs::read_to_string(&path)?;
    let (before, after) = text.split_once(HEAD).context("README.md has no table of runs")?;
    let (rule, rest) = after.trim_start_matches('\n').split_once('\n').unwrap_or((after, ""));
    let text = format!("{before}{HEAD}\n{}\n{}\n{rest}", rule.trim(), row(line));
    fs::write(path, text).context("cannot write the record")
}

fn row(line: &Map<String, Value>) -> String {
    let number = |key: &str| line.get(key).and_then(Value::as_u64).unwrap_or(0);
    let faults = line.get("faults").and_then(Value::as_object);
    let begun = faults.into_iter().flatten().filter(|(name, _)| name.ends_with(".begun"));
    let begun: Vec<u64> = begun.filter_map(|(_, times)| times.as_u64()).collect();
    let verdict = line.get("verdict").and_then(Value::as_str).unwrap_or_default();
    format!(
        "| {} | {} | {} | {} | {} of {} kinds | {verdict} |",
        number("seed"),
        number("seconds").div_ceil(60),
        number("ops"),
        number("acked"),
        begun.iter().sum::<u64>(),
        begun.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_faults_and_their_kinds() {
        let line = serde_json::json!({
            "seed": 7, "seconds": 300, "ops": 10, "acked": 6, "verdict": "holds",
            "faults": { "kill-one.begun": 2, "kill-one": 2, "flap.begun": 1 },
        });
        let line = line.as_object().unwrap();
        assert_eq!(row(line), "| 7 | 5 | 10 | 6 | 3 of 2 kinds | holds |");
    }
}
