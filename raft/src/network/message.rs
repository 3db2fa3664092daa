//! The bodies of Raft's messages between peers.

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use weir_storage::log::{LogRecord, RecordKind};
use weir_types::{LogId, LogIndex, NodeId, Term};

use crate::{
    entry,
    fields::{FieldError, FieldReader, FieldWriter},
    leader_id::CommittedLeaderId,
    types::{RaftLogId, TypeConfig},
    vote_record::{put as put_vote, take as vote},
};

type Decoded<T> = Result<T, FieldError>;

fn put_log_id(writer: &mut FieldWriter, id: Option<&RaftLogId>) {
    match id {
        None => writer.u8(0),
        Some(id) => {
            let leader = id.committed_leader_id();
            writer.u8(1).u64(leader.term).u64(leader.node_id).u64(id.index())
        }
    };
}

fn log_id(reader: &mut FieldReader) -> Decoded<Option<RaftLogId>> {
    if !reader.flag()? {
        return Ok(None);
    }
    let leader = CommittedLeaderId { term: reader.u64()?, node_id: reader.u64()? };
    Ok(Some(RaftLogId::new(leader, reader.u64()?)))
}

fn some_log_id(reader: &mut FieldReader) -> Decoded<RaftLogId> {
    log_id(reader)?.ok_or(FieldError::Unknown { field: "missing log id", value: 0 })
}

/// An append request in parts: all fixed fields first, then the payloads as
/// they lie in memory. Nothing is done per event.
pub(crate) fn encode_append(request: &AppendEntriesRequest<TypeConfig>) -> Vec<Bytes> {
    let mut writer = FieldWriter::default();
    put_vote(&mut writer, &request.vote);
    put_log_id(&mut writer, request.prev_log_id.as_ref());
    put_log_id(&mut writer, request.leader_commit.as_ref());
    writer.len(request.entries.len());
    let mut payloads = Vec::with_capacity(request.entries.len());
    for entry in &request.entries {
        let record = entry::record_of(entry);
        writer.u64(record.id.term.0).u64(record.id.leader.0).u64(record.id.index.0);
        writer.u8(record.kind as u8).len(record.payload.len());
        payloads.push(record.payload);
    }
    let mut parts = vec![writer.finish()];
    parts.extend(payloads);
    parts
}

/// Reads an append request; payloads share the frame's memory.
pub(crate) fn decode_append(body: Bytes) -> Decoded<AppendEntriesRequest<TypeConfig>> {
    const ENTRY_HEAD_BYTES: usize = 8 + 8 + 8 + 1 + 4;
    let mut reader = FieldReader::new(body);
    let vote = vote(&mut reader)?;
    let prev_log_id = log_id(&mut reader)?;
    let leader_commit = log_id(&mut reader)?;
    let count = reader.count(ENTRY_HEAD_BYTES)?;
    let mut heads = Vec::with_capacity(count);
    for _ in 0..count {
        let (term, leader, index) = (Term(reader.u64()?), NodeId(reader.u64()?), LogIndex(reader.u64()?));
        if index == LogIndex::ZERO {
            return Err(FieldError::Unknown { field: "log index", value: 0 });
        }
        let kind = record_kind(reader.u8()?)?;
        heads.push((LogId { term, leader, index }, kind, reader.u32()? as usize));
    }
    let mut entries = Vec::with_capacity(count);
    for (id, kind, bytes) in heads {
        entries.push(entry::entry_of(LogRecord { id, kind, payload: reader.raw(bytes)? })?);
    }
    reader.end()?;
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

pub(super) fn record_kind(byte: u8) -> Decoded<RecordKind> {
    match byte {
        0 => Ok(RecordKind::Blank),
        1 => Ok(RecordKind::Command),
        2 => Ok(RecordKind::Membership),
        other => Err(FieldError::Unknown { field: "record kind", value: other.into() }),
    }
}

pub(crate) fn encode_append_result(result: &StreamAppendResult<TypeConfig>) -> Bytes {
    let mut writer = FieldWriter::default();
    match result {
        Ok(last) => put_log_id(writer.u8(0), last.as_ref()),
        Err(StreamAppendError::Conflict(at)) => put_log_id(writer.u8(1), Some(at)),
        Err(StreamAppendError::HigherVote(vote)) => put_vote(writer.u8(2), vote),
    }
    writer.finish()
}

pub(crate) fn decode_append_result(body: Bytes) -> Decoded<StreamAppendResult<TypeConfig>> {
    let mut reader = FieldReader::new(body);
    let result = match reader.u8()? {
        0 => Ok(log_id(&mut reader)?),
        1 => Err(StreamAppendError::Conflict(some_log_id(&mut reader)?)),
        2 => Err(StreamAppendError::HigherVote(vote(&mut reader)?)),
        other => return Err(FieldError::Unknown { field: "append result", value: other.into() }),
    };
    reader.end()?;
    Ok(result)
}

pub(crate) fn encode_vote_request(request: &VoteRequest<TypeConfig>) -> Bytes {
    let mut writer = FieldWriter::default();
    put_vote(&mut writer, &request.vote);
    put_log_id(&mut writer, request.last_log_id.as_ref());
    writer.u8(request.leadership_transfer.into());
    writer.finish()
}

pub(crate) fn decode_vote_request(body: Bytes) -> Decoded<VoteRequest<TypeConfig>> {
    let mut reader = FieldReader::new(body);
    let mut request = VoteRequest::new(vote(&mut reader)?, log_id(&mut reader)?);
    request.leadership_transfer = reader.flag()?;
    reader.end()?;
    Ok(request)
}

pub(crate) fn encode_vote_response(response: &VoteResponse<TypeConfig>) -> Bytes {
    let mut writer = FieldWriter::default();
    put_vote(&mut writer, &response.vote);
    writer.u8(response.vote_granted.into());
    put_log_id(&mut writer, response.last_log_id.as_ref());
    writer.finish()
}

pub(crate) fn decode_vote_response(body: Bytes) -> Decoded<VoteResponse<TypeConfig>> {
    let mut reader = FieldReader::new(body);
    let (vote, vote_granted) = (vote(&mut reader)?, reader.flag()?);
    let last_log_id = log_id(&mut reader)?;
    reader.end()?;
    Ok(VoteResponse { vote, vote_granted, last_log_id })
}

pub(crate) fn encode_transfer(request: &TransferLeaderRequest<TypeConfig>) -> Bytes {
    let mut writer = FieldWriter::default();
    put_vote(&mut writer, request.from_leader());
    writer.u64(*request.to_node_id());
    put_log_id(&mut writer, request.last_log_id());
    writer.finish()
}

pub(crate) fn decode_transfer(body: Bytes) -> Decoded<TransferLeaderRequest<TypeConfig>> {
    let mut reader = FieldReader::new(body);
    let (from, to) = (vote(&mut reader)?, reader.u64()?);
    let last = log_id(&mut reader)?;
    reader.end()?;
    Ok(TransferLeaderRequest::new(from, to, last))
}

pub(crate) fn encode_transfer_response(response: &TransferLeaderResponse<TypeConfig>) -> Bytes {
    let mut writer = FieldWriter::default();
    match response {
        Ok(()) => {
            writer.u8(0);
        }
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            put_vote(writer.u8(1), expected);
            put_vote(&mut writer, actual);
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            put_log_id(writer.u8(2), expected.as_ref());
            put_log_id(&mut writer, actual.as_ref());
        }
    }
    writer.finish()
}

pub(crate) fn decode_transfer_response(body: Bytes) -> Decoded<TransferLeaderResponse<TypeConfig>> {
    let mut reader = FieldReader::new(body);
    let response = match reader.u8()? {
        0 => Ok(()),
        1 => {
            Err(TransferLeaderError::VoteChanged { expected: vote(&mut reader)?, actual: vote(&mut reader)? })
        }
        2 => Err(TransferLeaderError::LogNotFlushed {
            expected: log_id(&mut reader)?,
            actual: log_id(&mut reader)?,
        }),
        other => return Err(FieldError::Unknown { field: "transfer response", value: other.into() }),
    };
    reader.end()?;
    Ok(response)
}

/// The answer to a read-index request: the entry that a read must have applied.
pub(crate) fn encode_read_index(index: LogIndex) -> Bytes {
    let mut writer = FieldWriter::default();
    writer.u64(index.0);
    writer.finish()
}

pub(crate) fn decode_read_index(body: Bytes) -> Decoded<LogIndex> {
    let mut reader = FieldReader::new(body);
    let index = LogIndex(reader.u64()?);
    reader.end()?;
    Ok(index)
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;

    use super::*;
    use crate::types::{CommandBytes, RaftEntry, RaftVote};

    fn id(index: u64) -> RaftLogId {
        RaftLogId::new(CommittedLeaderId { term: 3, node_id: 1 }, index)
    }

    fn joined(parts: &[Bytes]) -> Bytes {
        parts.concat().into()
    }

    #[test]
    fn an_append_request_survives_its_bytes_and_its_payloads_are_shared() {
        let payload = Bytes::from(vec![7; 1000]);
        let request = AppendEntriesRequest {
            vote: RaftVote::new_committed(3, 1),
            prev_log_id: None,
            entries: vec![
                RaftEntry { log_id: id(0), payload: EntryPayload::Blank },
                RaftEntry { log_id: id(1), payload: EntryPayload::Normal(CommandBytes(payload.clone())) },
            ],
            leader_commit: Some(id(0)),
        };
        let parts = encode_append(&request);
        assert_eq!(parts.last().unwrap().as_ptr(), payload.as_ptr());
        let body = joined(&parts);
        let read = decode_append(body.clone()).unwrap();
        assert_eq!(read.entries, request.entries);
        assert_eq!((read.vote, read.prev_log_id, read.leader_commit), (request.vote, None, Some(id(0))));
        for cut in 0..body.len() {
            assert!(decode_append(body.slice(..cut)).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn append_results_survive_their_bytes() {
        for result in [
            Ok(None),
            Ok(Some(id(9))),
            Err(StreamAppendError::Conflict(id(4))),
            Err(StreamAppendError::HigherVote(RaftVote::new(9, 2))),
        ] {
            assert_eq!(decode_append_result(encode_append_result(&result)).unwrap(), result);
        }
    }

    #[test]
    fn votes_survive_their_bytes() {
        let mut request = VoteRequest::new(RaftVote::new(4, 2), Some(id(8)));
        request.leadership_transfer = true;
        assert_eq!(decode_vote_request(encode_vote_request(&request)).unwrap(), request);
        let response = VoteResponse { vote: request.vote, vote_granted: true, last_log_id: None };
        assert_eq!(decode_vote_response(encode_vote_response(&response)).unwrap(), response);
    }

    #[test]
    fn transfers_survive_their_bytes() {
        let request = TransferLeaderRequest::new(RaftVote::new_committed(4, 2), 3, Some(id(8)));
        assert_eq!(decode_transfer(encode_transfer(&request)).unwrap(), request);
        for response in [
            Ok(()),
            Err(TransferLeaderError::VoteChanged {
                expected: RaftVote::new(1, 1),
                actual: RaftVote::new(2, 2),
            }),
            Err(TransferLeaderError::LogNotFlushed { expected: Some(id(2)), actual: None }),
        ] {
            assert_eq!(decode_transfer_response(encode_transfer_response(&response)).unwrap(), response);
        }
    }
}
