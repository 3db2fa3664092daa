//! A failing plan with fewer faults that still fails.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{
    options::Options,
    run::{Ended, run},
};

/// Runs at most, since each takes as long as the first.
const RUNS_MAX: usize = 12;

/// Repeats a run that broke with ever fewer faults. The ids of those that are
/// left when fewer do not break it, at least not every time.
///
/// # Errors
/// When a run gives no verdict.
pub async fn smaller(options: &Options, broke: &Ended) -> Result<BTreeSet<String>> {
    let mut left: Vec<String> = broke.plan.faults().into_iter().map(|fault| fault.id).collect();
    let (mut pieces, mut runs) = (2, 0);
    while left.len() > 1 && runs < RUNS_MAX {
        let mut found = None;
        for part in parts(&left, pieces) {
            if runs >= RUNS_MAX {
                break;
            }
            runs += 1;
            let tried = Options { only: Some(part.iter().cloned().collect()), ..options.clone() };
            eprintln!(
                "minimise: run {runs} of at most {RUNS_MAX}, with {} faults of {}",
                part.len(),
                left.len()
            );
            let ended = run(&tried).await?;
            if ended.broken.iter().any(|checker| broke.broken.contains(checker)) {
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
