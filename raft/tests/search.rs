//! Reads of the log through filters, against a look at every event.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod scene;

use scene::{Scene, append};
use weir_raft::apply::CommandOutcome;
use weir_storage::codec::command::encode_writes;
use weir_types::{
    AppendOutcome, DecidedAppend, DecidedWrite, Direction, EntityType, EventName, EventPattern, GroupId,
    LogFilter, LogRead, Position, ReadError, RecordedEvent, Tag, WriteOutcome, limits,
};

const NAMES: [&str; 5] = ["order.placed", "order.paid", "order", "orders.x", "p"];

/// An append of `count` events to stream `number`, with names and tags that its numbers choose.
fn varied(number: u64, base: u64, count: u64) -> DecidedAppend {
    let kind = ["order", "account", "orders"][number as usize % 3];
    let mut append = append(&format!("s{number}"), kind, base, count, None);
    for (at, event) in (base..).zip(&mut append.events) {
        let choice = number * 31 + at * 7;
        event.name = EventName::new(NAMES[choice as usize % NAMES.len()]).unwrap();
        let tags = [("even", 2), ("third", 3), ("rare", 401)];
        let tags = tags.iter().filter(|(_, every)| choice.is_multiple_of(*every));
        event.tags = tags.map(|(tag, _)| Tag::new(tag).unwrap()).collect();
    }
    append
}

/// Entries of one to four appends, one of them of more events than a run holds.
fn filled() -> Scene {
    let mut scene = Scene::new(1_000);
    let mut versions = [0_u64; 7];
    for entry in 0..60_u64 {
        let mut writes = Vec::new();
        for part in 0..=entry % 4 {
            let (number, count) =
                ((entry + part * 2) % 7, if entry == 20 { 300 } else { 1 + (entry + part) % 5 });
            let base = &mut versions[number as usize];
            writes.push(DecidedWrite::Append(varied(number, *base, count)));
            *base += count;
        }
        let CommandOutcome::Writes(outcomes) = scene.command(encode_writes(&writes)) else {
            panic!("writes")
        };
        let taken =
            |outcome: &WriteOutcome| matches!(outcome, WriteOutcome::Append(AppendOutcome::Appended { .. }));
        assert!(outcomes.iter().all(taken), "{outcomes:?}");
    }
    scene
}

fn filters() -> Vec<LogFilter> {
    let mut filters = Vec::new();
    for name in [None, Some("order.placed"), Some("order.*"), Some("*"), Some("nothing"), Some("nothing.*")] {
        for kind in [None, Some("order"), Some("nobody")] {
            for tag in [None, Some("even"), Some("rare")] {
                filters.push(LogFilter {
                    names: name.map(|name| EventPattern::new(name).unwrap()),
                    entity_type: kind.map(|kind| EntityType::new(kind).unwrap()),
                    tag: tag.map(|tag| Tag::new(tag).unwrap()),
                });
            }
        }
    }
    filters
}

/// Every page, one after another.
fn pages(scene: &Scene, mut read: LogRead) -> Vec<RecordedEvent> {
    let mut all = Vec::new();
    loop {
        let slice = scene.store.search_log(&read).unwrap();
        assert!(slice.events.len() <= read.limit);
        all.extend(slice.events);
        let whole = match read.direction {
            Direction::Forward => slice.next > slice.applied,
            Direction::Backward => slice.next == Position::ZERO,
        };
        if whole {
            return all;
        }
        assert_ne!(Some(slice.next), read.from, "a page goes on");
        read.from = Some(slice.next);
    }
}

#[test]
fn pages_through_a_filter_are_the_events_that_fit_it() {
    let scene = filled();
    let last = scene.store.index.applied_position();
    let mut every: Vec<RecordedEvent> = Vec::new();
    while (every.len() as u64) < last.0 {
        every.extend(scene.store.read_log(Position(every.len() as u64 + 1), 4_096).unwrap());
    }
    assert!(every.len() > 500, "{}", every.len());
    for filter in filters() {
        for (direction, from) in [
            (Direction::Forward, None),
            (Direction::Forward, Some(Position(150))),
            (Direction::Forward, Some(last.next())),
            (Direction::Backward, None),
            (Direction::Backward, Some(Position(150))),
            (Direction::Backward, Some(Position(u64::MAX))),
        ] {
            let within = |event: &&RecordedEvent| match direction {
                Direction::Forward => event.position >= from.unwrap_or_default(),
                Direction::Backward => event.position <= from.unwrap_or(last),
            };
            let mut expected: Vec<_> =
                every.iter().filter(within).filter(|event| filter.matches(event)).cloned().collect();
            if direction == Direction::Backward {
                expected.reverse();
            }
            for limit in [3, 4_096] {
                let group = GroupId::DEFAULT;
                let read = LogRead { group, from, direction, limit, filter: filter.clone() };
                assert_eq!(pages(&scene, read.clone()), expected, "{read:?}");
            }
        }
    }
}

#[test]
fn what_filters_find_is_the_same_after_the_index_was_made_anew() {
    let scene = filled();
    let before = scene.fingerprint();
    let scene = scene.reopen(|dir| std::fs::remove_dir_all(dir.join("index")).unwrap());
    assert!(scene.replayed > 0);
    assert_eq!(scene.fingerprint(), before);
}

#[test]
fn a_beginning_of_too_many_names_is_refused() {
    let mut scene = Scene::new(1_000);
    let mut one = append("s", "order", 0, limits::SEARCH_NAMES_MAX as u64 + 1, None);
    for (number, event) in one.events.iter_mut().enumerate() {
        event.name = EventName::new(format!("n.{number}")).unwrap();
    }
    scene.command(encode_writes(&[DecidedWrite::Append(one)]));
    let read = |names: &str| LogRead {
        group: GroupId::DEFAULT,
        from: None,
        direction: Direction::Forward,
        limit: 10,
        filter: LogFilter { names: Some(EventPattern::new(names).unwrap()), ..LogFilter::default() },
    };
    assert!(matches!(scene.store.search_log(&read("n.*")), Err(ReadError::TooWide { .. })));
    assert_eq!(scene.store.search_log(&read("n.7")).unwrap().events.len(), 1);
}
