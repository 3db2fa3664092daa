//! A failing plan with fewer faults that still fails.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{
    options::Options,
    run::{Ended, remove_data, run},
};

/// Runs at most, since each takes as long as the first.
const RUNS_MAX: usize = 12;

/// Stands for a plan of no faults in `--only`, where a period and a fault have numbers.
const NO_FAULT: &str = "none";

/// Repeats a run that broke with none of its faults, then with ever fewer. The
/// ids of those that are left when fewer do not break it, at least not every
/// time. What the repeats wrote stays, apart from their data.
///
/// # Errors
/// When a run gives no verdict.
pub async fn smaller(options: &Options, broke: &Ended) -> Result<BTreeSet<String>> {
    let mut left: Vec<String> = broke.plan.faults().into_iter().map(|fault| fault.id).collect();
    let none = vec![NO_FAULT.to_owned()];
    eprintln!("minimise: a run without faults");
    if breaks(options, broke, &none).await? {
        return Ok(none.into_iter().collect());
    }
    let (mut pieces, mut runs) = (2, 1);
    while left.len() > 1 && runs < RUNS_MAX {
        let mut found = None;
        for part in parts(&left, pieces) {
            if runs >= RUNS_MAX {
                break;
            }
            runs += 1;
            eprintln!(
                "minimise: run {runs} of at most {RUNS_MAX}, with {} faults of {}",
                part.len(),
                left.len()
            );
            if breaks(options, broke, &part).await? {
                found = Some(part);
                break;
            }
        }
        match found {
            Some(part) => (left, pieces) = (part, 2),
            None if pieces >= left.len() => break,
            None => pieces = (pieces * 2).min(left.len()),
        }
    }
    Ok(left.into_iter().collect())
}

/// Whether a run with these faults alone breaks something that the first one broke.
async fn breaks(options: &Options, broke: &Ended, only: &[String]) -> Result<bool> {
    let tried = Options { only: Some(only.iter().cloned().collect()), ..options.clone() };
    let ended = run(&tried).await?;
    remove_data(&ended.folder)?;
    Ok(ended.broken.iter().any(|checker| broke.broken.contains(checker)))
}

/// Each piece alone, when there are two; each with one piece taken away, when there are more.
fn parts(all: &[String], pieces: usize) -> Vec<Vec<String>> {
    let size = all.len().div_ceil(pieces);
    let chunks: Vec<&[String]> = all.chunks(size).collect();
    if pieces == 2 {
        return chunks.into_iter().map(<[String]>::to_vec).collect();
    }
    let without = |taken: usize| {
        let kept = chunks.iter().enumerate().filter(|(number, _)| *number != taken);
        kept.flat_map(|(_, chunk)| chunk.iter().cloned()).collect()
    };
    (0..chunks.len()).map(without).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_come_first_and_then_all_but_a_piece() {
        let all: Vec<String> = ["1", "2", "3", "4"].map(str::to_owned).to_vec();
        assert_eq!(parts(&all, 2), [["1", "2"], ["3", "4"]]);
        assert_eq!(parts(&all, 4)[0], ["2", "3", "4"]);
        assert_eq!(parts(&all, 4).len(), 4);
    }
}
