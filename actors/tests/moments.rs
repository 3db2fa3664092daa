//! Streams as of a moment, against all of the stream, filtered.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/events.rs"]
mod events;

use futures::executor::block_on;
use proptest::prelude::*;
use serde_json::json;
use weir_actors::moment::read_past;
use weir_types::{
    Direction, EntityId, GroupId, Moment, NodeId, RecordedEvent, StreamRead, StreamVersion, Timestamp,
    testing::MemoryLog,
};

/// A stream whose events were recorded and occurred at these times.
fn stream(times: &[(i64, Option<i64>)]) -> MemoryLog {
    let log = MemoryLog::led_by(NodeId(1));
    for (version, (recorded, occurred)) in (0..).zip(times) {
        let mut append = events::append(version, "e", "s", &json!({ "v": version }));
        append.recorded_at = Timestamp(*recorded);
        append.events[0].occurred_at = occurred.map(Timestamp);
        log.write(append);
        log.write(events::append(version, "e", "other", &json!({})));
    }
    log
}

fn read(direction: Direction, from: Option<u64>, limit: usize) -> StreamRead {
    let entity_id = EntityId::new("s").unwrap();
    StreamRead { group: GroupId::DEFAULT, entity_id, from: from.map(StreamVersion), direction, limit }
}

/// All pages of a read, one after the other.
fn all(log: &MemoryLog, direction: Direction, limit: usize, moment: Moment) -> Vec<u64> {
    let (mut versions, mut from) = (Vec::new(), None);
    loop {
        let past = block_on(read_past(log, read(direction, from, limit), moment)).unwrap();
        assert!(past.page.events.len() <= limit);
        versions.extend(past.page.events.iter().map(|event| event.version.0));
        match past.page.next {
            Some(next) => from = Some(next.0),
            None => return versions,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_read_of_the_past_is_the_stream_filtered(
        steps in proptest::collection::vec((0_i64..3, proptest::option::of(-5_i64..20)), 0..20),
        as_of in proptest::option::of(-1_i64..30),
        at in proptest::option::of(-6_i64..30),
        version in proptest::option::of(0_u64..25),
        limit in 1_usize..8,
    ) {
        let mut now = 0;
        let times: Vec<_> = steps.iter().map(|(step, occurred)| { now += step; (now, *occurred) }).collect();
        let log = stream(&times);
        let moment = Moment {
            as_of: as_of.map(Timestamp),
            at: at.map(Timestamp),
            as_of_version: version.map(StreamVersion),
        };
        let of_stream = |event: &RecordedEvent| event.entity_id.as_str() == "s" && moment.holds(event);
        let expected: Vec<u64> =
            log.events().into_iter().filter(of_stream).map(|event| event.version.0).collect();
        prop_assert_eq!(&all(&log, Direction::Forward, limit, moment), &expected);
        let mut back = all(&log, Direction::Backward, limit, moment);
        back.reverse();
        prop_assert_eq!(back, expected);
    }
}

#[test]
fn the_last_version_of_a_moment_is_told() {
    let log = stream(&[(10, Some(50)), (20, None), (20, Some(1)), (30, None)]);
    let last = |moment| block_on(read_past(&log, read(Direction::Forward, None, 10), moment)).unwrap().last.0;
    let as_of = |time| Moment { as_of: Some(Timestamp(time)), ..Moment::default() };
    assert_eq!([9, 10, 19, 20, 29, 30, 99].map(as_of).map(last), [0, 1, 1, 3, 3, 4, 4], "inclusive");
    let both = |version| Moment { as_of_version: Some(StreamVersion(version)), ..as_of(20) };
    assert_eq!([0, 1, 2, 3, 4, 9].map(both).map(last), [0, 1, 2, 3, 3, 3]);
    let at = Moment { at: Some(Timestamp(20)), ..Moment::default() };
    assert_eq!(all(&log, Direction::Forward, 10, at), [2, 3]);
    assert_eq!(all(&log, Direction::Forward, 10, Moment { as_of: Some(Timestamp(20)), ..at }), [2, 3]);
}
