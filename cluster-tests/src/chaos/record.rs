//! The record in `README.md`: what was run, and what it held.

use std::fs;

use anyhow::{Context, Result};

use super::campaign::Sum;
use crate::binary::workspace;

/// The line under which campaigns are entered, newest first.
const HEAD: &str = "| date | weir | seeds | hours | operations | acknowledged | facts | faults | red runs |";

/// Enters a campaign into the table, in place of what it entered before.
///
/// # Errors
/// When the table is not there.
pub fn put(sum: &Sum) -> Result<()> {
    let path = workspace().join("cluster-tests/README.md");
    let text = fs::read_to_string(&path)?;
    let entered =
        entered(&text, sum, &today(), &revision()).context("README.md has no table of campaigns")?;
    fs::write(path, entered).context("cannot write the record")
}

fn entered(text: &str, sum: &Sum, date: &str, revision: &str) -> Option<String> {
    let (before, after) = text.split_once(HEAD)?;
    let (rule, rest) = after.strip_prefix('\n')?.split_once('\n')?;
    let first = sum.seeds.first().copied().unwrap_or(0);
    let begins = format!("| {date} | {revision} | {first} ");
    // The tree may move on while a campaign runs, its first seed does not.
    let day = format!("| {date} | ");
    let seeds = format!(" | {first} to ");
    let rest = match rest.split_once('\n') {
        Some((earlier, below)) if earlier.starts_with(&day) && earlier.contains(&seeds) => below,
        _ => rest,
    };
    Some(format!("{before}{HEAD}\n{rule}\n{begins}{}\n{rest}", cells(sum)))
}

fn cells(sum: &Sum) -> String {
    let facts: Vec<String> = sum.facts.iter().map(|(checker, facts)| format!("{checker} {facts}")).collect();
    let mut red: Vec<String> = sum.red.iter().map(|(seed, word)| format!("{seed} {word}")).collect();
    red.extend(sum.idle().into_iter().map(|kind| format!("{kind} idle")));
    format!(
        "to {} | {:.2} | {} | {} | {} | {} of {} kinds | {} |",
        sum.seeds.last().copied().unwrap_or(0),
        sum.seconds as f64 / 3_600.0,
        sum.operations,
        sum.acked,
        facts.join(", "),
        sum.faults.values().sum::<u64>(),
        sum.faults.len(),
        if red.is_empty() { "none".to_owned() } else { red.join(", ") },
    )
}

fn today() -> String {
    told("date", &["+%Y-%m-%d"])
}

fn revision() -> String {
    told("git", &["rev-parse", "--short", "HEAD"])
}

/// What a program prints; nothing more is lost than a cell when it is not there.
fn told(program: &str, args: &[&str]) -> String {
    let out = std::process::Command::new(program).args(args).current_dir(workspace()).output();
    let told = out.ok().filter(|out| out.status.success()).map(|out| out.stdout).unwrap_or_default();
    let told = String::from_utf8_lossy(&told).trim().to_owned();
    if told.is_empty() { "unknown".to_owned() } else { told }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_has_one_row_which_follows_its_runs() {
        let text = format!("above\n{HEAD}\n| --- |\n| old |\n\nbelow\n");
        let mut sum = Sum { seeds: vec![7], seconds: 1_800, operations: 10, acked: 6, ..Sum::default() };
        let once = entered(&text, &sum, "2026-01-02", "abc").unwrap();
        let row = "| 2026-01-02 | abc | 7 to 7 | 0.50 | 10 | 6 |  | 0 of 0 kinds | none |";
        assert_eq!(once, format!("above\n{HEAD}\n| --- |\n{row}\n| old |\n\nbelow\n"));
        sum.seeds.push(8);
        sum.red.push((8, "hollow".to_owned()));
        let twice = entered(&once, &sum, "2026-01-02", "abc").unwrap();
        assert!(
            twice.contains("| 7 to 8 |") && !twice.contains("| 7 to 7 |") && twice.contains("| 8 hollow |")
        );
        assert_eq!(twice.lines().count(), once.lines().count());
    }
}
