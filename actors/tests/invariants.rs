//! Invariants through the router over a log in memory, which can hold, refuse and lose writes at will.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use proptest::prelude::*;
use support::{NODE, decided, event, eventually, request, router};
use tokio::task::JoinHandle;
use weir_actors::{RouterConfig, RouterHandle};
use weir_types::{
    AppendAck, AppendError, AppendRequest, EntityType, EventName, IdempotencyKey, NewEvent, NodeId, RuleKind,
    Rules, RulesCommand, RulesScope, StreamVersion, Term, Timestamp, TransactionRequest,
    ports::Leadership,
    testing::{Fate, MemoryLog},
};

/// A balance that does not fall below zero.
const BALANCE: &str = "
export const initialState = { balance: 0 };
export const handlers = {
  deposited: (state, { data }) => { state.balance += data; },
  withdrawn: (state, { data }) => ({ balance: state.balance - data }),
};
export function check(state, event) {
  if (state.balance < 0) return `balance would be ${state.balance} after ${event.name}`;
}";

async fn with_invariant(source: &str) -> (MemoryLog, RouterHandle) {
    let log = MemoryLog::led_by(NODE);
    log.change_rules(set(source));
    let router = router(&log, RouterConfig::default()).await;
    (log, router)
}

fn set(source: &str) -> RulesCommand {
    let scope = RulesScope::Type(EntityType::new("order").unwrap());
    RulesCommand::Set(scope, Rules { invariant: Some(source.into()), ..Rules::default() })
}

/// `+5` deposits, `-5` withdraws.
fn change(amount: i64) -> NewEvent {
    let name = if amount < 0 { "withdrawn" } else { "deposited" };
    NewEvent {
        name: EventName::new(name).unwrap(),
        data: Bytes::from(amount.abs().to_string()),
        ..event("0")
    }
}

fn changes(entity: &str, amounts: &[i64]) -> AppendRequest {
    AppendRequest { events: amounts.iter().copied().map(change).collect(), ..request(entity, None) }
}

fn send(router: &RouterHandle, append: AppendRequest) -> JoinHandle<Result<AppendAck, AppendError>> {
    let router = router.clone();
    tokio::spawn(async move { router.append(append).await })
}

/// What an invariant has told, each with the number of the event.
fn told(answer: Result<impl std::fmt::Debug, AppendError>) -> Vec<(u32, String)> {
    let Err(AppendError::Invalid { faults }) = answer else {
        panic!("it is not refused by rules: {answer:?}")
    };
    assert!(faults.own.is_empty());
    assert!(faults.state.iter().all(|fault| fault.rule == RuleKind::Invariant));
    faults.state.into_iter().map(|fault| (fault.event, fault.message)).collect()
}

fn balances(log: &MemoryLog, entity: &str) -> Vec<i64> {
    let mut balance = 0;
    let of_stream = log.events().into_iter().filter(|event| event.entity_id.as_str() == entity);
    of_stream
        .map(|event| {
            let amount: i64 = std::str::from_utf8(&event.data).unwrap().parse().unwrap();
            balance += if event.name.as_str() == "withdrawn" { -amount } else { amount };
            balance
        })
        .collect()
}

#[tokio::test]
async fn an_event_is_judged_on_the_state_that_it_leads_to() {
    let (log, router) = with_invariant(BALANCE).await;
    router.append(changes("a", &[10, -3])).await.unwrap();
    let refused = router.append(changes("a", &[-3, -5])).await;
    assert_eq!(told(refused), [(1, "balance would be -1 after withdrawn".to_owned())]);
    router.append(changes("a", &[-7])).await.unwrap();
    assert_eq!(told(router.append(changes("a", &[-1])).await).len(), 1);
    assert_eq!(
        told(router.append(changes("b", &[-1])).await).len(),
        1,
        "an empty stream has the initial state"
    );
    assert_eq!(balances(&log, "a"), [10, 7, 0]);
    assert_eq!(router.validate(&changes("a", &[1]).into()).await, Ok(()));
    assert_eq!(told(router.validate(&changes("a", &[-1]).into()).await).len(), 1);
    let free = EntityType::new("account").unwrap();
    router.append(AppendRequest { entity_type: free, ..changes("c", &[-9]) }).await.unwrap();
}

#[tokio::test]
async fn what_is_in_flight_counts_already() {
    let (log, router) = with_invariant(BALANCE).await;
    router.append(changes("a", &[10])).await.unwrap();
    log.hold();
    let sent: Vec<_> = (0..4).map(|_| send(&router, changes("a", &[-4]))).collect();
    eventually("two are queued, and what the others wait for", || log.queued() >= 2).await;
    log.release();
    let ended = join_all(sent).await.into_iter().filter(|end| end.as_ref().unwrap().is_ok()).count();
    assert_eq!((ended, balances(&log, "a")), (2, vec![10, 6, 2]));
}

#[tokio::test]
async fn what_is_lost_did_not_count() {
    let (log, router) = with_invariant(BALANCE).await;
    router.append(changes("a", &[10])).await.unwrap();
    log.hold();
    let lost = send(&router, changes("a", &[-10]));
    eventually("it is queued", || log.queued() == 1).await;
    log.release_lost(1);
    log.release();
    assert!(matches!(lost.await.unwrap(), Err(AppendError::OutcomeUnknown { .. })));
    router.append(changes("a", &[-10])).await.unwrap();
    assert_eq!(told(router.append(changes("a", &[-1])).await).len(), 1);
    assert_eq!(balances(&log, "a"), [10, 0]);
}

#[tokio::test]
async fn the_same_version_over_another_event_is_judged_anew() {
    let (log, router) = with_invariant(
        "
        export const initialState = 0;
        export const fold = (sum, event) => sum + event.data;
        export const check = (sum) => sum > 5 ? 'too much' : undefined;",
    )
    .await;
    let number = |data: &str| AppendRequest { events: vec![event(data)], ..request("a", None) };
    log.hold();
    let here = send(&router, number("1"));
    eventually("it is queued", || log.queued() == 1).await;
    // Another leader writes what this one did not know of, at the version that this one has decided.
    let leads = |node, decides| Leadership { term: Term(2), leader: Some(NodeId(node)), decides };
    log.lead(leads(2, false), Fate::Lost);
    assert!(matches!(here.await.unwrap(), Err(AppendError::OutcomeUnknown { .. })));
    log.release();
    let judged = Some(weir_types::Judged { rules: weir_types::LogIndex(1), last: None });
    log.write(weir_types::DecidedAppend { judged, ..decided("a", 0, 77, "5") });
    log.lead(Leadership { term: Term(3), ..leads(1, true) }, Fate::Lost);
    assert_eq!(told(router.append(number("1")).await), [(0, "too much".to_owned())]);
    router.append(number("0")).await.unwrap();
    assert_eq!(log.events().len(), 2);
}

#[tokio::test]
async fn a_transaction_is_judged_in_each_stream_that_it_writes() {
    let (log, router) = with_invariant(BALANCE).await;
    router.append(changes("a", &[10])).await.unwrap();
    let transfer = |amount: i64| {
        let mut both: TransactionRequest = changes("a", &[-amount]).into();
        both.appends.extend(TransactionRequest::from(changes("b", &[amount])).appends);
        both
    };
    router.transact(transfer(7)).await.unwrap();
    assert_eq!(told(router.transact(transfer(4)).await).len(), 1);
    router.append(changes("b", &[-7])).await.unwrap();
    router.transact(transfer(3)).await.unwrap();
    assert_eq!((balances(&log, "a"), balances(&log, "b")), (vec![10, 3, 0], vec![7, 0, 3]));
    let keyed = TransactionRequest {
        idempotency_key: Some(IdempotencyKey::new("k").unwrap()),
        ..changes("b", &[-3]).into()
    };
    log.hold();
    let both: Vec<_> = (0..2)
        .map(|_| {
            let (router, keyed) = (router.clone(), keyed.clone());
            tokio::spawn(async move { router.transact(keyed).await })
        })
        .collect();
    eventually("one is queued, and the other waits", || log.queued() == 2).await;
    log.release();
    let repeated: Vec<_> =
        join_all(both).await.into_iter().map(|end| end.unwrap().unwrap().repeated).collect();
    assert_eq!(repeated.iter().filter(|repeated| **repeated).count(), 1, "a repeat is no second withdrawal");
}

#[tokio::test]
async fn another_invariant_is_asked_from_when_it_is_set() {
    let (log, router) = with_invariant(BALANCE).await;
    router.append(changes("a", &[10])).await.unwrap();
    log.hold();
    let sent = send(&router, changes("a", &[-10]));
    eventually("it is queued", || log.queued() == 1).await;
    let stricter = BALANCE.replace("state.balance < 0", "state.balance < 5");
    log.change_rules(set(&stricter));
    log.release();
    assert_eq!(told(sent.await.unwrap()).len(), 1, "it was decided before, and comes after");
    router.append(changes("a", &[-5])).await.unwrap();
    log.change_rules(RulesCommand::Delete(RulesScope::Type(EntityType::new("order").unwrap())));
    router.append(changes("a", &[-50])).await.unwrap();
    assert_eq!(balances(&log, "a"), [10, 5, -45]);
}

#[tokio::test]
async fn an_event_of_the_past_is_judged_where_it_occurred() {
    let at =
        |second: i64, event: NewEvent| NewEvent { occurred_at: Some(Timestamp(second * 1_000_000)), ..event };
    for (retroactive, refused) in [("export const retroactive = true;", true), ("", false)] {
        let (log, router) = with_invariant(&format!("{BALANCE}\n{retroactive}")).await;
        let append = |events| AppendRequest { events, ..request("a", None) };
        router.append(append(vec![at(1, change(10)), at(5, change(-8)), at(9, change(20))])).await.unwrap();
        // At second 3 there were 10: 6 less then, and the 8 of second 5 are too much.
        let answer = router.append(append(vec![at(3, change(-6))])).await;
        match refused {
            true => assert_eq!(told(answer), [(0, "balance would be -4 after withdrawn".to_owned())]),
            false => assert_eq!(answer.unwrap().last_version, StreamVersion(4)),
        }
        router.append(append(vec![at(4, change(-2))])).await.unwrap();
        // A fresh router folds it from the log to the same.
        let fresh = support::router(&log, RouterConfig::default()).await;
        let left = if refused { 20 } else { 14 };
        assert_eq!(told(fresh.append(append(vec![at(10, change(-left - 1))])).await).len(), 1);
        fresh.append(append(vec![at(10, change(-left))])).await.unwrap();
    }
}

#[tokio::test]
async fn an_invariant_that_fails_refuses_and_hurts_no_others() {
    for (body, reason) in [
        ("check = () => { throw new Error('broken'); }", "broken"),
        ("check = () => { for (;;) {} }", "ticks"),
        ("check = () => { const all = []; for (;;) all.push('x'.repeat(1e6)); }", "memory"),
        ("check = () => 7", "must return"),
        ("check = () => [{ wrong: 1 }]", "must return"),
        ("check = async () => 'x'", "async"),
        ("check = (state) => state.none.deeper", "TypeError"),
    ] {
        let source =
            format!("export const initialState = {{}}; export const fold = (s) => s; export const {body};");
        let (log, router) = with_invariant(&source).await;
        let other = AppendRequest { entity_type: EntityType::new("account").unwrap(), ..changes("b", &[1]) };
        let broken = send(&router, changes("a", &[1]));
        let began = Instant::now();
        router.append(other).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(5), "{body}");
        match broken.await.unwrap() {
            Err(AppendError::InvariantFailed { entity_type, reason: told }) => {
                assert!(told.contains(reason), "{body}: {told}");
                assert_eq!(entity_type.as_str(), "order");
            }
            other => panic!("{body}: {other:?}"),
        }
        assert_eq!(log.events().len(), 1, "{body}");
        log.change_rules(set(BALANCE));
        router.append(changes("a", &[1])).await.unwrap();
    }
}

#[tokio::test]
async fn a_judge_does_not_change_the_state() {
    let (_, router) = with_invariant("
        export const initialState = { n: 0 };
        export const fold = (s) => { s.n += 1; };
        export const check = (s) => { const n = s.n; s.n = 100; return n > 3 ? [`n is ${n}`, { message: 'second', path: '/n' }] : []; };
    ").await;
    router.append(changes("a", &[1, 1])).await.unwrap();
    router.append(changes("a", &[1])).await.unwrap();
    let refused = told(router.append(changes("a", &[1, 1])).await);
    assert_eq!(refused, [(0, "n is 4".to_owned()), (0, "second".to_owned())]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever comes at once, is held, or is judged by a router that knows nothing yet: no balance is
    /// ever below zero, and what was acknowledged is there.
    #[test]
    fn no_prefix_of_a_stream_breaks_its_invariant(
        amounts in proptest::collection::vec((0..3_usize, -8..8_i64, any::<bool>()), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (log, mut router) = with_invariant(BALANCE).await;
            let mut sent = Vec::new();
            for (number, (entity, amount, fresh)) in amounts.iter().enumerate() {
                let entity = ["a", "b", "c"][*entity];
                sent.push(send(&router, changes(entity, &[*amount])));
                if number % 7 == 6 {
                    if *fresh { log.hold() } else { log.release() }
                }
                if *fresh && number % 5 == 4 {
                    log.release();
                    join_all(sent.drain(..)).await;
                    router = support::router(&log, RouterConfig::default()).await;
                }
            }
            log.release();
            join_all(sent).await;
            for entity in ["a", "b", "c"] {
                assert!(balances(&log, entity).iter().all(|balance| *balance >= 0));
            }
        });
    }
}
