//! A failing run of hundreds of operations becomes the few that show the failure.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use weir_check::{
    Evidence, Rules, Verdict,
    history::{Call, Operation, Outcome, ReadConsistency, Seen},
    invariants,
    minimise::minimise,
    sample::{Shape, run},
    stream, timeline,
};

/// A linearizable head that is as old as the stream.
fn stale_head() -> (weir_check::History, weir_check::FinalState, u64) {
    let (mut history, end) = run(Shape::small(3, 800));
    let late = history.operations.iter().map(|op| op.complete_us).max().unwrap();
    let (stream, consistency) = ("s1".to_owned(), ReadConsistency::Linearizable);
    let id = 5_000_000_000;
    history.operations.push(Operation {
        id,
        client: 99,
        invoke_us: late + 1,
        complete_us: late + 2,
        call: Call::StreamInfo { stream, consistency, node: 2 },
        outcome: Outcome::Ok { seen: Seen::Head { version: 0, last_position: None, applied: None } },
    });
    (history, end, id)
}

#[test]
fn a_stale_read_needs_two_operations() {
    let (history, end, id) = stale_head();
    let found = minimise(&history, &end, Rules::default(), &stream::check, 500).unwrap();
    let ops = &found.history.operations;
    assert_eq!(ops.len(), 2, "{ops:#?}");
    assert!(ops.iter().any(|op| op.id == id) && ops.iter().any(|op| matches!(op.call, Call::Append { .. })));
    assert_eq!(found.violation.rule, "real-time order");
    let text = timeline::text(&found.history, &found.violation);
    assert!(text.lines().filter(|line| line.starts_with('>')).count() == 2, "{text}");
    assert!(timeline::html(&found.history, &found.violation).contains("class=guilty"));
}

#[test]
fn a_lost_append_needs_one_operation() {
    let (history, mut end) = run(Shape::small(4, 800));
    let acked = |op: &&Operation| matches!(op.seen(), Some(Seen::Appended { repeated: false, .. }));
    let lost = history.operations.iter().rfind(acked).unwrap();
    let Call::Append { marks, .. } = &lost.call else { unreachable!() };
    end.nodes.iter_mut().for_each(|node| node.events.retain(|event| !marks.contains(&event.mark)));
    let check: fn(&Evidence<'_>) -> Verdict = stream::check;
    for check in [check, invariants::a1] {
        let found = minimise(&history, &end, Rules::default(), &check, 500).unwrap();
        assert!(found.history.operations.len() <= 2, "{:#?}", found.history.operations);
        assert!(found.runs < 500);
    }
}

#[test]
fn a_run_that_is_right_is_not_minimised() {
    let (history, end) = run(Shape::small(5, 200));
    assert_eq!(minimise(&history, &end, Rules::default(), &stream::check, 500), None);
}
