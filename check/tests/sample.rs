//! Runs in which nothing is broken: no checker finds anything, and none has nothing to do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use weir_check::{
    Evidence, Rules, check, coverage,
    sample::{Shape, folds, run},
};

#[test]
fn nothing_is_found_where_nothing_is_broken() {
    for seed in 0..200 {
        let (history, end) = run(Shape::small(seed, 400));
        let evidence = Evidence::new(&history, &end, Rules::default());
        let report = check(&evidence, &folds);
        assert!(report.holds(), "seed {seed}\n{report}");
        assert_eq!(report.hollow(), [], "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let shape = Shape::small(42, 1_000);
    assert_eq!(run(shape), run(shape));
    assert_ne!(run(shape).0, run(Shape::small(43, 1_000)).0);
}

#[test]
fn a_sample_covers_what_clients_can_cover() {
    let shape = Shape { seed: 5, operations: 20_000, clients: 16, streams: 50, keys: 20 };
    let (history, end) = run(shape);
    let counts = coverage::measure(&Evidence::new(&history, &end, Rules::default()));
    let missed = coverage::hollow(&coverage::SEEN_BY_CONSUMERS, &counts, 300);
    assert_eq!(missed, [], "{counts:?}");
    let expected = ["reads.across_a_fault", "faults.kinds"];
    let missed = coverage::hollow(&coverage::SEEN_BY_CLIENTS, &counts, 300);
    let missed: Vec<&str> =
        missed.iter().map(|item| item.name).filter(|name| !expected.contains(name)).collect();
    assert!(missed.is_empty(), "{missed:?} {counts:?}");
    let empty = coverage::hollow(&coverage::SEEN_BY_CLIENTS, &Default::default(), 300);
    assert_eq!(
        empty.len(),
        coverage::SEEN_BY_CLIENTS.len(),
        "a run without anything is hollow in everything"
    );
}
