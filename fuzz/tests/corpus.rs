//! Every target over its corpus, and over seeded mutations of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, path::Path};

use weir_fuzz::{Mutator, TARGETS, Target, hold, inputs};

/// Mutated inputs of each target; `WEIR_FUZZ_RUNS` names another number.
const RUNS: u64 = 1_000;

#[test]
fn every_target_has_seeds_and_holds_for_them() {
    for target in TARGETS {
        let inputs = inputs(target).unwrap();
        assert!(!inputs.is_empty(), "{} has no corpus", target.name);
        for input in inputs {
            if let Err(finding) = hold(target, &input.bytes) {
                fail(target, &input.path, &finding.why);
            }
        }
    }
}

#[test]
fn every_target_holds_for_mutated_seeds() {
    let runs = std::env::var("WEIR_FUZZ_RUNS").map_or(RUNS, |runs| runs.parse().unwrap());
    for target in TARGETS {
        let seeds: Vec<Vec<u8>> = inputs(target).unwrap().into_iter().map(|input| input.bytes).collect();
        let mut mutator = Mutator::new(1);
        for _ in 0..target.share_of(runs) {
            let data = mutator.next(&seeds);
            if let Err(finding) = hold(target, &data) {
                let file = std::env::temp_dir().join(format!("weir-fuzz-{}", target.name));
                fs::write(&file, &data).unwrap();
                fail(target, &file, &finding.why);
            }
        }
    }
}

#[test]
fn names_are_unique_and_every_corpus_folder_is_a_targets() {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for folder in fs::read_dir(corpus).unwrap() {
        let folder = folder.unwrap().file_name().into_string().unwrap();
        let count = names.iter().filter(|name| **name == folder).count();
        assert!(count == 1 || cfg!(not(feature = "edge")), "{folder} is the folder of {count} targets");
    }
}

fn fail(target: &Target, file: &Path, why: &str) -> ! {
    panic!("{why}\nreplay it with: cargo run -p weir-fuzz -- {} {}", target.name, file.display());
}
