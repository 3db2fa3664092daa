//! The bodies of an append and of a transaction over REST.

use weir_api::{
    objects,
    v1::{AppendBody, TransactionBody},
};
use weir_storage::codec::forward::ForwardRequest;
use weir_types::{AppendRequest, EntityId, GroupId, TransactionRequest};

use super::PARSER;
use crate::Target;

pub(super) const APPEND: Target = Target {
    name: "rest-append",
    about: "the JSON of an append: what is taken is within the limits, and is sent on as the same",
    run: append,
    memory: PARSER,
    seeds: &[],
    slow_ms: 0,
};

fn append(data: &[u8]) {
    let Some(request) = read(data) else { return };
    request.check_limits().expect("what is taken is within the limits");
    let again = AppendBody::from_request(&request);
    let again = serde_json::to_vec(&again).expect("a body is JSON");
    assert_eq!(read(&again).expect("what was written is read"), request);
    let forwarded = ForwardRequest::Append(request);
    assert_eq!(ForwardRequest::decode(&forwarded.encode()).expect("what was written is read"), forwarded);
}

fn read(data: &[u8]) -> Option<AppendRequest> {
    let body: AppendBody = objects::from_slice(data).ok()?;
    let entity = EntityId::new(body.entity_id.as_deref().unwrap_or("e-1")).ok()?;
    let request = body.into_request(GroupId::DEFAULT, entity, None).ok()?;
    // The body that is sent on names no entity: the path does.
    Some(AppendRequest { entity_id: EntityId::new("e-1").expect("a legal id"), ..request })
}

pub(super) const TRANSACTION: Target = Target {
    name: "rest-transaction",
    about: "the JSON of a transaction: what is taken is within the limits, and is sent on as the same",
    run: transaction,
    memory: PARSER,
    seeds: &["fuzz/corpus/rest-append"],
    slow_ms: 0,
};

fn transaction(data: &[u8]) {
    let Some(request) = read_transaction(data) else { return };
    request.check_limits().expect("what is taken is within the limits");
    let again = TransactionBody::from_request(&request);
    let again = serde_json::to_vec(&again).expect("a body is JSON");
    assert_eq!(read_transaction(&again).expect("what was written is read"), request);
    let forwarded = ForwardRequest::Transact(request);
    assert_eq!(ForwardRequest::decode(&forwarded.encode()).expect("what was written is read"), forwarded);
}

fn read_transaction(data: &[u8]) -> Option<TransactionRequest> {
    let body: TransactionBody = objects::from_slice(data).ok()?;
    body.into_request(GroupId::DEFAULT, None).ok()
}
