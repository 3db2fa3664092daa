//! States of streams as of any moment, against a fold by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/events.rs"]
mod events;

use std::sync::Arc;

use serde_json::{Value, json};
use weir_actors::states::{StateError, StateRead, States};
use weir_types::{
    EntityId, EntityType, EventName, GroupId, Judged, Moment, NodeId, ReadError, Rules, RulesCommand,
    RulesScope, StreamVersion, Timestamp, Upcaster, limits, ports::RuleStore as _, testing::MemoryLog,
};

const GROUP: GroupId = GroupId::DEFAULT;

/// Lists the events that it has folded.
const LIST: &str = "export const initialState = {seen: []}; \
                    export function fold(state, event) { state.seen.push(event.data.n) } \
                    export function check() {}";

fn set(source: &str) -> RulesCommand {
    let scope = RulesScope::Type(EntityType::new("thing").unwrap());
    RulesCommand::Set(scope, Rules { invariant: Some(source.into()), ..Rules::default() })
}

/// A stream whose events were recorded and occurred at these times, and what folds it.
fn stream(source: &str, times: &[(i64, Option<i64>)]) -> (MemoryLog, States) {
    let log = MemoryLog::led_by(NodeId(1));
    log.change_rules(set(source));
    for (version, (recorded, occurred)) in (0..).zip(times) {
        let mut append = events::append(version, "e", "s", &json!({ "n": version + 1 }));
        append.recorded_at = Timestamp(*recorded);
        append.events[0].occurred_at = occurred.map(Timestamp);
        append.judged = Some(Judged { rules: log.rules_at(GROUP), last: None });
        log.write(append);
    }
    let states = States::new(GROUP, Arc::new(log.clone()), Arc::new(log.clone()));
    (log, states)
}

async fn state(states: &States, moment: Moment) -> Result<(u64, Value), StateError> {
    let read = StateRead { entity_id: EntityId::new("s").unwrap(), moment };
    let found = states.through_invariant(read).await?;
    Ok((found.last.0, serde_json::from_str(&found.state).unwrap()))
}

fn version(version: u64) -> Moment {
    Moment { as_of_version: Some(StreamVersion(version)), ..Moment::default() }
}

fn as_of(time: i64) -> Moment {
    Moment { as_of: Some(Timestamp(time)), ..Moment::default() }
}

fn at(time: i64) -> Moment {
    Moment { at: Some(Timestamp(time)), ..Moment::default() }
}

fn seen(last: u64, numbers: &[u64]) -> Result<(u64, Value), StateError> {
    Ok((last, json!({ "seen": numbers })))
}

#[tokio::test]
async fn a_state_is_the_fold_of_what_was_there_at_the_moment() {
    let times = [(10, None), (20, Some(5)), (20, None), (30, Some(5)), (40, Some(90))];
    let (_, states) = stream(LIST, &times);
    for _ in 0..2 {
        assert_eq!(state(&states, Moment::default()).await, seen(5, &[1, 2, 3, 4, 5]));
        for last in [3, 0, 5, 1, 4, 2, 9] {
            let numbers: Vec<u64> = (1..=last.min(5)).collect();
            assert_eq!(state(&states, version(last)).await, seen(last.min(5), &numbers));
        }
        assert_eq!(state(&states, as_of(9)).await, seen(0, &[]));
        assert_eq!(state(&states, as_of(20)).await, seen(3, &[1, 2, 3]));
        assert_eq!(
            state(&states, Moment { as_of: Some(Timestamp(20)), ..version(2) }).await,
            seen(2, &[1, 2])
        );
        // In the order of occurrence, ties by version.
        assert_eq!(state(&states, at(5)).await, seen(5, &[2, 4]));
        assert_eq!(state(&states, at(20)).await, seen(5, &[2, 4, 1, 3]));
        assert_eq!(
            state(&states, Moment { as_of: Some(Timestamp(20)), ..at(20) }).await,
            seen(3, &[2, 1, 3])
        );
        assert_eq!(state(&states, at(4)).await, seen(5, &[]));
    }
    let retroactive = format!("{LIST}; export const retroactive = true");
    let (_, states) = stream(&retroactive, &times);
    assert_eq!(state(&states, Moment::default()).await, seen(5, &[2, 4, 1, 3, 5]));
    assert_eq!(state(&states, version(3)).await, seen(3, &[2, 1, 3]));
}

#[tokio::test]
async fn what_changes_the_fold_changes_the_state() {
    let (log, states) = stream(LIST, &[(1, None), (2, None)]);
    assert_eq!(state(&states, Moment::default()).await, seen(2, &[1, 2]));
    let upcaster = |from, to| {
        RulesCommand::SetUpcaster(Upcaster {
            name: EventName::new("e").unwrap(),
            from,
            to,
            source: "export const upcast = ({n}) => ({n: n * 10})".into(),
            description: String::new(),
            registered_at: Timestamp(0),
        })
    };
    log.change_rules(upcaster(1, 2));
    assert_eq!(state(&states, Moment::default()).await, seen(2, &[10, 20]));
    log.change_rules(set(&LIST.replace("push(", "unshift(")));
    assert_eq!(state(&states, Moment::default()).await, seen(2, &[20, 10]));
    log.change_rules(upcaster(4, 5));
    let gap = state(&states, Moment::default()).await.unwrap_err();
    assert!(matches!(gap, StateError::Read(ReadError::Upcast { .. })), "{gap:?}");
    log.change_rules(set("export const initialState = 0; export const check = () => {}; \
                          export const fold = () => { throw new Error('no state') }"));
    log.change_rules(RulesCommand::DeleteUpcaster(EventName::new("e").unwrap(), 4));
    let failed = state(&states, Moment::default()).await.unwrap_err();
    assert!(matches!(&failed, StateError::Failed { reason } if reason.contains("no state")), "{failed:?}");
    log.change_rules(RulesCommand::Delete(RulesScope::Type(EntityType::new("thing").unwrap())));
    assert!(matches!(state(&states, Moment::default()).await, Err(StateError::NoInvariant(_))));
    let none = StateRead { entity_id: EntityId::new("none").unwrap(), moment: Moment::default() };
    assert_eq!(states.through_invariant(none).await, Err(StateError::NoStream));
}

#[tokio::test]
async fn a_fold_has_a_limit_and_goes_on_from_what_is_kept() {
    let count = i64::try_from(limits::STATE_EVENTS_MAX).unwrap() + 10;
    let times: Vec<_> = (0..count).map(|time| (time, None)).collect();
    let sum =
        "export const initialState = 0; export const fold = (n) => n + 1; export const check = () => {}";
    let (_, states) = stream(sum, &times);
    let long = state(&states, Moment::default()).await.unwrap_err();
    assert_eq!(long, StateError::TooLong { actual: count.unsigned_abs(), max: limits::STATE_EVENTS_MAX });
    assert_eq!(state(&states, version(1_000)).await, Ok((1_000, json!(1_000))));
    assert_eq!(state(&states, Moment::default()).await, Ok((count.unsigned_abs(), json!(count))));
    let long = state(&states, at(count)).await.unwrap_err();
    assert!(matches!(long, StateError::TooLong { max: limits::INVARIANT_SORTED_EVENTS_MAX, .. }));
}
