//! Doors to what is private, for fuzz targets: what a peer's bytes meet,
//! without a peer.

use bytes::Bytes;
use futures::FutureExt as _;

use crate::{
    fields::FieldError,
    membership_record,
    network::{
        frame::{Incoming, Kind, Outgoing, Role},
        hello::Hello,
        message,
    },
    vote_record,
};

/// Reads frames from a peer's bytes until there is none, and the bodies by
/// their kinds. Gives what each frame is written as again.
///
/// # Panics
/// Panics when what was read is not written as what is read as the same.
#[must_use]
pub fn frames_again(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    loop {
        let read = Incoming::read(&mut bytes).now_or_never().expect("bytes in memory are there at once");
        let Ok(frame) = read else { return frames };
        message_again(frame.header.kind as u8, &frame.body);
        let mut again = Vec::new();
        let written = Outgoing::new(frame.header, frame.body).write(&mut again).now_or_never();
        written.expect("memory takes bytes at once").expect("memory takes all bytes");
        frames.push(again);
    }
}

/// Reads a body as each message that a frame of this kind may carry.
///
/// # Panics
/// Panics when a message that was read is not written as what is read as the same.
pub fn message_again(kind: u8, body: &Bytes) {
    type Again = fn(Bytes) -> Result<Bytes, FieldError>;
    let messages: &[Again] = match kind {
        kind if kind == Kind::Hello as u8 => &[hello],
        kind if kind == Kind::Append as u8 => &[append, append_result],
        kind if kind == Kind::Vote as u8 || kind == Kind::PreVote as u8 => &[vote_request, vote_response],
        kind if kind == Kind::TransferLeader as u8 => &[transfer, transfer_response],
        kind if kind == Kind::ReadIndex as u8 => &[read_index],
        _ => &[],
    };
    for message in messages {
        settles(*message, body);
    }
}

/// Reads a membership record and a vote, as the log keeps them.
///
/// # Panics
/// As [`message_again`].
pub fn records_again(bytes: &Bytes) {
    settles(membership, bytes);
    settles(|bytes| vote_record::decode(bytes).map(|vote| vote_record::encode(&vote)), bytes);
}

/// What is written after a read is read, and then written as the same.
fn settles(again: impl Fn(Bytes) -> Result<Bytes, FieldError>, bytes: &Bytes) {
    let Ok(once) = again(bytes.clone()) else { return };
    let twice = again(once.clone()).expect("what was written is read");
    assert!(once == twice, "{once:?} is written as {twice:?}");
}

fn hello(body: Bytes) -> Result<Bytes, FieldError> {
    Ok(joined(Hello::read(body)?.frame(Role::Request).parts))
}

fn append(body: Bytes) -> Result<Bytes, FieldError> {
    Ok(joined(message::encode_append(&message::decode_append(body)?)))
}

fn append_result(body: Bytes) -> Result<Bytes, FieldError> {
    Ok(message::encode_append_result(&message::decode_append_result(body)?))
}

fn vote_request(body: Bytes) -> Result<Bytes, FieldError> {
    Ok(message::encode_vote_request(&message::decode_vote_request(body)?))
}

fn vote_response(body: Bytes) -> Result<Bytes, FieldError> {
    Ok(message::encode_vote_response(&message::decode_vote_response(body)?))
}

fn transfer(body: Bytes) -> Result<Bytes, FieldError> {
    Ok(message::encode_transfer(&message::decode_transfer(body)?))
}

fn transfer_response(body: Bytes) -> Result<Bytes, FieldError> {
    Ok(message::encode_transfer_response(&message::decode_transfer_response(body)?))
}

fn read_index(body: Bytes) -> Result<Bytes, FieldError> {
    Ok(message::encode_read_index(message::decode_read_index(body)?))
}

/// Of a membership, what an entry that holds it is written as.
fn membership(payload: Bytes) -> Result<Bytes, FieldError> {
    let stored = membership_record::decode(payload)?;
    let Some(id) = stored.log_id() else { return Ok(Bytes::new()) };
    Ok(membership_record::encode(id, stored.membership()))
}

fn joined(parts: Vec<Bytes>) -> Bytes {
    parts.concat().into()
}
