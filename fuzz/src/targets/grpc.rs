//! The messages of `weir.v1.StreamService`.

use buffa::Message as _;
use weir_api::{
    proto::v1::{AppendRequest, AppendSessionRequest, AppendSessionResponse},
    session::{
        outcomes_from_proto, outcomes_to_proto, request_from_proto, request_to_proto, requests_from_proto,
    },
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
    if let Ok(message) = AppendSessionRequest::decode_from_slice(data) {
        requests_from_proto(message).filter_map(|(_, append)| append).for_each(request);
    }
    if let Ok(message) = AppendSessionResponse::decode_from_slice(data) {
        for (id, outcome) in outcomes_from_proto(&message) {
            if let Ok(ack) = &outcome {
                assert!(ack.last_position() >= ack.first_position);
            }
            let written = outcomes_to_proto([(id, outcome.clone())]);
            let again = outcomes_from_proto(&written).next().expect("one was written");
            assert_eq!((again.0, again.1.ok()), (id, outcome.ok()));
        }
    }
}

fn request(message: AppendRequest) {
    let Ok(request) = request_from_proto(GroupId::DEFAULT, message) else { return };
    request.check_limits().expect("what is taken is within the limits");
    let again = request_to_proto(&request).encode_to_vec();
    let again = AppendRequest::decode_from_slice(&again).expect("what was written is read");
    assert_eq!(request_from_proto(GroupId::DEFAULT, again).expect("it was taken before"), request);
}
