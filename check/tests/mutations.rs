//! Each thing that a store can get wrong, done to a run in which nothing was
//! wrong: the checker whose business it is must say so.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod breakage;

use breakage::{MUTATIONS, Mutation, Run};
use weir_check::{
    Evidence, Rules, check,
    sample::{Shape, folds, run},
};

const SEEDS: u64 = 10;

fn made(seed: u64) -> Run {
    let (history, end) = run(Shape::small(seed, 600));
    Run::new(history, end)
}

#[test]
fn every_mutation_is_rejected_by_the_checker_whose_business_it_is() {
    let mut missed = Vec::new();
    for Mutation { name, by, rule, mutate } in MUTATIONS {
        for seed in 0..SEEDS {
            let mut run = made(seed);
            assert!(mutate(&mut run), "{name}: seed {seed} has nothing to mutate");
            let evidence = Evidence::new(&run.history, &run.end, Rules::default());
            let report = check(&evidence, &folds);
            let found = report.verdicts.iter().any(|verdict| {
                let named = verdict.invariant.to_string() == by;
                named && verdict.violations.iter().any(|violation| violation.rule == rule)
            });
            if !found {
                let broken: Vec<String> = report.broken().map(ToString::to_string).collect();
                missed.push(format!("{name}, seed {seed}: {by} did not find `{rule}`, only {broken:#?}"));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn names_are_unique_and_every_checker_has_a_mutation() {
    let mut names: Vec<&str> = MUTATIONS.iter().map(|mutation| mutation.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), MUTATIONS.len());
    let run = made(0);
    let evidence = Evidence::new(&run.history, &run.end, Rules::default());
    for verdict in check(&evidence, &folds).verdicts {
        let id = verdict.invariant.to_string();
        assert!(MUTATIONS.iter().any(|mutation| mutation.by == id), "nothing tests {id}");
    }
}
