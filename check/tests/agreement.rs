//! Three opinions on short random histories, broken and not: the exact checker,
//! the search with a memo, and the tester of stateright must agree.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod opinions;

use opinions::{keys, streams};
use proptest::prelude::*;

/// One operation of a plan: client, kind, how long it waits, until it takes effect, until it returns, fate.
pub type Plan = Vec<(usize, u8, u64, u64, u64, u8)>;
/// What is broken afterwards: which operation, how, and by how much.
pub type Breaks = Vec<(usize, u8, u64)>;

fn plan(operations: usize) -> impl Strategy<Value = Plan> {
    let operation = (0..3_usize, 0..12_u8, 0..4_u64, 0..6_u64, 0..4_u64, 0..12_u8);
    prop::collection::vec(operation, 1..=operations)
}

fn breaks() -> impl Strategy<Value = Breaks> {
    prop::collection::vec((0..12_usize, 0..8_u8, 0..6_u64), 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn three_opinions_on_a_stream_agree(plan in plan(9), breaks in breaks()) {
        let mut run = streams::run(&plan);
        prop_assert!(run.exact().holds(), "unbroken: {}\n{run:#?}", run.exact());
        streams::damage(&mut run, &breaks);
        let exact = run.exact();
        prop_assert_eq!(exact.holds(), run.searched(), "{}\n{:#?}", &exact, &run);
        prop_assert_eq!(exact.holds(), run.tested(), "stateright: {}\n{:#?}", &exact, &run);
    }

    #[test]
    fn two_opinions_on_a_key_agree(plan in plan(9), breaks in breaks()) {
        let mut run = keys::run(&plan);
        prop_assert!(run.searched(), "unbroken: {run:#?}");
        keys::damage(&mut run, &breaks);
        prop_assert_eq!(run.searched(), run.tested(), "{:#?}", &run);
    }
}

/// The breaks do break: otherwise agreement says little.
#[test]
fn a_fair_part_of_the_broken_histories_is_rejected() {
    let (mut streams_rejected, mut keys_rejected, mut rng) = (0, 0, 7_u64);
    let mut below = |limit: u64| {
        rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (rng >> 33) % limit
    };
    for _ in 0..1_000 {
        let operation = |below: &mut dyn FnMut(u64) -> u64| {
            let (client, kind) = (below(3) as usize, below(12) as u8);
            (client, kind, below(4), below(6), below(4), below(12) as u8)
        };
        let plan: Plan = (0..8).map(|_| operation(&mut below)).collect();
        let breaks: Breaks = (0..2).map(|_| (below(12) as usize, below(8) as u8, below(6))).collect();
        let mut stream = streams::run(&plan);
        streams::damage(&mut stream, &breaks);
        streams_rejected += u64::from(!stream.exact().holds());
        let mut key = keys::run(&plan);
        keys::damage(&mut key, &breaks);
        keys_rejected += u64::from(!key.searched());
    }
    assert!(streams_rejected > 300 && streams_rejected < 990, "{streams_rejected}");
    assert!(keys_rejected > 200 && keys_rejected < 990, "{keys_rejected}");
}
