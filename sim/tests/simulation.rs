//! The quick ring of the simulation: a hundred seeds, some of them twice, and
//! every planted bug.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use weir_sim::{
    plant::PLANTS,
    seeds::{Tally, one},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_weir-sim");

/// Seeds that may go by before a plant is caught. Most need a few; an append that is lost with its leader and taken
/// nevertheless is in one of twelve, since a leader that dies is succeeded before its clients give up.
const SEEDS_PER_PLANT: u64 = 60;

fn hold(seeds: std::ops::RangeInclusive<u64>) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        let verdict = one(Path::new(PROGRAM), seed, &[]).unwrap();
        let wrong = verdict.wrong.join("\n  ");
        assert!(
            verdict.wrong.is_empty(),
            "seed {seed} does not hold:\n  {wrong}\nreplay: cargo run -p weir-sim -- one --seed {seed} --aloud yes"
        );
        tally.add(&verdict);
    }
    tally
}

#[test]
fn a_hundred_seeds_hold_and_are_about_something() {
    let tally = hold(101..=200);
    println!("{tally:?}");
    for what in [
        "appends.acked",
        "appends.conflict",
        "appends.repeated",
        "appends.validated",
        "bus.events",
        "bus.went_back",
        "claims.granted",
        "consumers.given",
        "effects.heard",
        "effects.not_taken",
        "invariants.refused",
        "keys.done",
        "leaders.changes",
        "nodes.restarts",
        "partitions.mended",
        "rules.refused",
        "searches.done",
        "snapshots.read",
        "states.of_times",
        "states.read",
        "subscribers.events",
        "tables.read",
        "transactions.acked",
        "transactions.refused",
        "views.read",
        "workers.saved",
    ] {
        assert!(
            tally.counts.get(what).is_some_and(|count| *count >= tally.seeds / 2),
            "hollow: {what}, {tally:?}"
        );
    }
}

#[test]
fn a_seed_is_the_same_twice() {
    for seed in 1_001..=1_006 {
        let [first, second] = [0, 1].map(|_| one(Path::new(PROGRAM), seed, &[]).unwrap());
        assert!(first.lines > 1_000, "{first:?}");
        assert_eq!(first, second, "replay: cargo run -p weir-sim -- one --seed {seed} --trace FILE, twice");
    }
}

#[test]
fn planted_bugs_are_caught() {
    for (name, _) in PLANTS {
        let caught = (1..=SEEDS_PER_PLANT).find(|seed| {
            let verdict = one(Path::new(PROGRAM), *seed, &["--plant", name]).unwrap();
            !verdict.wrong.is_empty()
        });
        assert!(caught.is_some(), "{name} is not caught by {SEEDS_PER_PLANT} seeds");
    }
}
