//! Rules through the router over a log in memory, which can hold writes at will.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use support::{NODE, event, eventually, keyed, request, router};
use weir_actors::{RouterConfig, RouterHandle};
use weir_types::{
    AppendError, AppendRequest, EntityType, EventName, EventSchema, MetadataRule, MetadataType, NewEvent,
    RuleFaults, RuleKind, Rules, RulesCommand, RulesScope, SchemaMode, StreamVersion, Timestamp,
    TransactionRequest, testing::MemoryLog,
};

async fn led() -> (MemoryLog, RouterHandle) {
    let log = MemoryLog::led_by(NODE);
    let router = router(&log, RouterConfig::default()).await;
    (log, router)
}

/// The schema of `order.placed`, whose data must be a number of at least 1.
fn schema(version: u32) -> RulesCommand {
    RulesCommand::PutSchema(EventSchema {
        name: EventName::new("order.placed").unwrap(),
        version,
        schema: r#"{"type": "number", "minimum": 1}"#.into(),
        description: String::new(),
        registered_at: Timestamp(0),
    })
}

fn mode(scope: RulesScope, schemas: SchemaMode) -> RulesCommand {
    RulesCommand::Set(scope, Rules { schemas: Some(schemas), ..Rules::default() })
}

fn orders() -> RulesScope {
    RulesScope::Type(EntityType::new("order").unwrap())
}

fn with(events: Vec<NewEvent>) -> AppendRequest {
    AppendRequest { events, ..request("a", None) }
}

fn faults(answer: Result<impl std::fmt::Debug, AppendError>) -> RuleFaults {
    match answer {
        Err(AppendError::Invalid { faults }) => faults,
        other => panic!("it is not refused by rules: {other:?}"),
    }
}

#[tokio::test]
async fn events_keep_to_their_schema_where_the_rules_say_so() {
    let (log, router) = led().await;
    log.change_rules(schema(1));
    router.append(with(vec![event("\"no number\"")])).await.unwrap();
    log.change_rules(mode(RulesScope::Namespace, SchemaMode::Known));
    router.append(with(vec![event("1")])).await.unwrap();
    let refused = faults(router.append(with(vec![event("1"), event("0"), event("\"x\"")])).await);
    let told: Vec<_> =
        refused.own.iter().map(|fault| (fault.event, fault.rule, fault.path.as_str())).collect();
    assert_eq!(told, [(1, RuleKind::Schema, ""), (2, RuleKind::Schema, "")]);
    assert!(refused.state.is_empty());
    let other = NewEvent { name: EventName::new("order.noted").unwrap(), ..event("\"x\"") };
    router.append(with(vec![other.clone()])).await.unwrap();
    let newer = NewEvent { schema_version: 2, ..event("1") };
    assert!(faults(router.append(with(vec![newer])).await).to_string().contains("no schema of version 2"));
    log.change_rules(mode(orders(), SchemaMode::Required));
    assert!(faults(router.append(with(vec![other.clone()])).await).to_string().contains("has no schema"));
    log.change_rules(RulesCommand::Delete(orders()));
    router.append(with(vec![other])).await.unwrap();
    log.change_rules(mode(orders(), SchemaMode::Off));
    router.append(with(vec![event("0")])).await.unwrap();
    assert_eq!(log.events().len(), 5);
}

#[tokio::test]
async fn metadata_holds_what_namespace_and_entity_type_ask_for() {
    let (log, router) = led().await;
    let rule = |key: &str, kind| {
        let metadata = BTreeMap::from([(key.to_owned(), MetadataRule { kind, required: true })]);
        Rules { metadata, ..Rules::default() }
    };
    log.change_rules(RulesCommand::Set(RulesScope::Namespace, rule("tenantId", MetadataType::Text)));
    log.change_rules(RulesCommand::Set(orders(), rule("n", MetadataType::Integer)));
    let metadata =
        |text: &'static str| NewEvent { metadata: Bytes::from_static(text.as_bytes()), ..event("1") };
    let refused =
        faults(router.append(with(vec![metadata(""), metadata(r#"{"tenantId":"t","n":1.5}"#)])).await);
    let told: Vec<_> = refused.own.iter().map(|fault| (fault.event, fault.path.as_str())).collect();
    assert_eq!(told, [(0, "/tenantId"), (0, "/n"), (1, "/n")]);
    router.append(with(vec![metadata(r#"{"tenantId":"t","n":1}"#)])).await.unwrap();
}

#[tokio::test]
async fn a_change_of_rules_reaches_what_was_decided_before_it_and_applied_after() {
    let (log, router) = led().await;
    log.change_rules(schema(1));
    log.hold();
    let sent = |data: &str| {
        let (router, append) = (router.clone(), with(vec![event(data)]));
        tokio::spawn(async move { router.append(append).await })
    };
    let (good, bad) = (sent("7"), sent("0"));
    eventually("both are queued", || log.queued() == 2).await;
    log.change_rules(mode(RulesScope::Namespace, SchemaMode::Known));
    log.release();
    assert_eq!(good.await.unwrap().unwrap().last_version, StreamVersion(1), "it is judged anew, and let in");
    assert!(!faults(bad.await.unwrap()).own.is_empty(), "it is judged anew, and refused");
    assert_eq!(log.events().len(), 1);
}

#[tokio::test]
async fn a_repeat_is_answered_without_being_judged_again() {
    let (log, router) = led().await;
    let first = router.append(keyed("a", "k", "0")).await.unwrap();
    let transaction: TransactionRequest = keyed("b", "k", "0").into();
    router.transact(transaction.clone()).await.unwrap();
    log.change_rules(schema(1));
    log.change_rules(mode(RulesScope::Namespace, SchemaMode::Known));
    let again = router.append(keyed("a", "k", "0")).await.unwrap();
    assert_eq!((again.repeated, again.event_ids), (true, first.event_ids));
    assert!(router.transact(transaction).await.unwrap().repeated);
    assert!(!faults(router.append(keyed("a", "other", "0")).await).own.is_empty());
    assert_eq!(log.events().len(), 4);
}

#[tokio::test]
async fn a_transaction_is_refused_for_every_fault_of_all_its_streams() {
    let (log, router) = led().await;
    log.change_rules(schema(1));
    log.change_rules(mode(RulesScope::Namespace, SchemaMode::Known));
    let mut transaction: TransactionRequest = with(vec![event("0")]).into();
    let second: TransactionRequest =
        AppendRequest { events: vec![event("1"), event("-1")], ..request("b", None) }.into();
    transaction.appends.extend(second.appends);
    let refused = faults(router.transact(transaction.clone()).await);
    let told: Vec<_> = refused.own.iter().map(|fault| (fault.entity_id.as_str(), fault.event)).collect();
    assert_eq!(told, [("a", 0), ("b", 1)]);
    assert_eq!(faults(router.validate(&transaction).await), refused);
    transaction.appends.truncate(0);
    let good: TransactionRequest = with(vec![event("1")]).into();
    assert_eq!(router.validate(&good).await, Ok(()));
    assert!(log.events().is_empty());
    router.transact(good).await.unwrap();
}
