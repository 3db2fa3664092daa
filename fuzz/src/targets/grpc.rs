//! The messages of `weir.v1.StreamService`.

use buffa::Message as _;
use weir_api::{
    proto::v1::{AppendRequest, AppendSessionRequest, AppendSessionResponse},
    session::{outcome_from_proto, outcome_to_proto, request_from_proto, request_to_proto},
};
use weir_types::GroupId;

use super::PARSER;
use crate::Target;

pub(super) const GRPC: Target = Target {
    name: "grpc",
    about: "requests and answers of the append session: what is taken is sent on as the same",
    run: messages,
    memory: PARSER,
    seeds: &[],
    slow_ms: 0,
};

fn messages(data: &[u8]) {
    if let Ok(message) = AppendRequest::decode_from_slice(data) {
        request(message);
    }
    if let Ok(message) = AppendSessionRequest::decode_from_slice(data)
        && let Some(append) = message.append.into_option()
    {
        request(append);
    }
    if let Ok(message) = AppendSessionResponse::decode_from_slice(data) {
        let (id, outcome) = outcome_from_proto(&message);
        if let Ok(ack) = &outcome {
            assert!(ack.last_position() >= ack.first_position);
        }
        let again = outcome_from_proto(&outcome_to_proto(id, &outcome));
        assert_eq!((again.0, again.1.ok()), (id, outcome.ok()));
    }
}

fn request(message: AppendRequest) {
    let Ok(request) = request_from_proto(GroupId::DEFAULT, message) else { return };
    request.check_limits().expect("what is taken is within the limits");
    let again = request_to_proto(&request).encode_to_vec();
    let again = AppendRequest::decode_from_slice(&again).expect("what was written is read");
    assert_eq!(request_from_proto(GroupId::DEFAULT, again).expect("it was taken before"), request);
}
