//! What a peer, or a stranger at the peer port, may send.

use bytes::Bytes;
use weir_raft::inside::{frames_again, message_again, records_again};
use weir_types::limits;

use super::PARSER;
use crate::{Target, memory::Bound, seal};

pub(super) const FRAMES: Target = Target {
    name: "peer-frames",
    about: "a peer's bytes as frames and messages; sealed when the first byte is odd",
    run: frames,
    // The buffer of one body is made by the length that its header says.
    memory: Bound { fixed: limits::PEER_MESSAGE_BYTES_MAX + 1024 * 1024, per_byte: 64 },
    seeds: &[],
    slow_ms: 0,
};

pub(super) const MESSAGES: Target = Target {
    name: "peer-messages",
    about: "a message of the kind that the first byte says",
    run: messages,
    memory: PARSER,
    seeds: &[],
    slow_ms: 0,
};

pub(super) const RECORDS: Target = Target {
    name: "peer-records",
    about: "a membership record and a vote, as the log keeps them",
    run: records,
    memory: PARSER,
    seeds: &["raft/golden/v1", "raft/golden/v2"],
    slow_ms: 0,
};

fn frames(data: &[u8]) {
    let Some((mode, bytes)) = data.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if mode % 2 == 1 {
        seal::peer_frames(&mut bytes);
    }
    for frame in frames_again(&bytes) {
        let again = frames_again(&frame);
        assert!(again.len() == 1 && again[0] == frame, "a frame is written as what is read as the same");
    }
}

fn messages(data: &[u8]) {
    if let Some((kind, body)) = data.split_first() {
        message_again(*kind, &Bytes::copy_from_slice(body));
    }
}

fn records(data: &[u8]) {
    records_again(&Bytes::copy_from_slice(data));
}
