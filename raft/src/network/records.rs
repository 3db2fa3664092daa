//! Records of the log that a peer is asked for, to mend a damaged log with.
//! What is given is committed: it is the same on every node for ever.
//!
//! A request is `[version u8][from u64][until u64]`, exclusive until. An answer is
//! `[version u8][count u32]([index u64][term u64][leader u64][kind u8][length u32][payload])*`
//! and may hold fewer records than were asked for, but at least the first.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use weir_storage::log::{Log, LogRecord};
use weir_types::{GroupId, LogId, LogIndex, NodeId, Term};

use crate::{
    fields::{FieldError, FieldReader, FieldWriter},
    network::{frame::Kind, link::Myself, message, visit::Visit},
};

const VERSION: u8 = 1;
/// Bytes of payloads in one answer, unless one record alone has more.
const ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// Bytes that a record takes in an answer beside its payload.
const RECORD_BYTES_MIN: usize = 29;

type Range = (LogIndex, LogIndex);

pub(super) fn encode_request((from, until): Range) -> Bytes {
    let mut writer = FieldWriter::default();
    writer.u8(VERSION).u64(from.0).u64(until.0);
    writer.finish()
}

fn decode_request(body: Bytes) -> Result<Range, FieldError> {
    let mut reader = FieldReader::new(body);
    version(&mut reader)?;
    let range = (LogIndex(reader.u64()?), LogIndex(reader.u64()?));
    reader.end()?;
    Ok(range)
}

fn encode_answer(records: &[LogRecord]) -> Bytes {
    let mut writer = FieldWriter::default();
    writer.u8(VERSION).len(records.len());
    for LogRecord { id, kind, payload } in records {
        writer.u64(id.index.0).u64(id.term.0).u64(id.leader.0).u8(*kind as u8);
        writer.len(payload.len()).raw(payload);
    }
    writer.finish()
}

fn decode_answer(body: Bytes) -> Result<Vec<LogRecord>, FieldError> {
    let mut reader = FieldReader::new(body);
    version(&mut reader)?;
    let mut records = Vec::new();
    for _ in 0..reader.count(RECORD_BYTES_MIN)? {
        let (index, term, leader) = (LogIndex(reader.u64()?), Term(reader.u64()?), NodeId(reader.u64()?));
        let kind = message::record_kind(reader.u8()?)?;
        let bytes = reader.u32()? as usize;
        records.push(LogRecord { id: LogId { term, leader, index }, kind, payload: reader.raw(bytes)? });
    }
    reader.end()?;
    Ok(records)
}

fn version(reader: &mut FieldReader) -> Result<(), FieldError> {
    match reader.u8()? {
        VERSION => Ok(()),
        other => Err(FieldError::Unknown { field: "version of a request for records", value: other.into() }),
    }
}

/// Answers a peer that asks for records; reads the disk.
///
/// # Errors
/// Why it has none, in words.
pub(super) fn answer(log: &Log, body: Bytes) -> Result<Bytes, String> {
    let (from, until) = decode_request(body).map_err(|error| error.to_string())?;
    let committed = log.committed().map_or(LogIndex::ZERO, |id| id.index);
    if from == LogIndex::ZERO || until <= from || until > committed.next() {
        let last = LogIndex(until.0.saturating_sub(1));
        return Err(format!("records {from} to {last} are not all committed here, only up to {committed}"));
    }
    let records = log.read(from, until, ANSWER_BYTES).map_err(|error| error.to_string())?;
    Ok(encode_answer(&records))
}

/// Asks the node at an address for all records of a range. Says which node it is.
///
/// # Errors
/// Why there are none, in words.
pub(crate) async fn fetch(
    myself: &Myself,
    address: &str,
    (group, (from, until)): (GroupId, Range),
    wait_max: Duration,
) -> Result<(NodeId, Vec<LogRecord>), String> {
    let fetched = async {
        let mut visit = Visit::begin(myself, address).await?;
        let mut records: Vec<LogRecord> = Vec::new();
        let mut next = from;
        while next < until {
            let body = visit.ask((Kind::Records, group), encode_request((next, until))).await?;
            let part = decode_answer(body).map_err(|error| error.to_string())?;
            for record in &part {
                if record.id.index != next || next >= until {
                    return Err(format!("it gave record {} instead of {next}", record.id.index));
                }
                next = next.next();
            }
            if part.is_empty() {
                return Err("it gave no records".to_owned());
            }
            records.extend(part);
        }
        Ok((visit.node(), records))
    };
    timeout(wait_max, fetched).await.unwrap_or_else(|_| Err("it did not answer in time".to_owned()))
}

#[cfg(test)]
mod tests {
    use weir_storage::log::RecordKind;

    use super::*;

    fn record(index: u64, payload: &'static [u8]) -> LogRecord {
        let id = LogId { term: Term(3), leader: NodeId(2), index: LogIndex(index) };
        LogRecord { id, kind: RecordKind::Command, payload: Bytes::from_static(payload) }
    }

    #[test]
    fn requests_and_answers_keep_their_bytes() {
        let request = encode_request((LogIndex(7), LogIndex(9)));
        assert_eq!(request, include_bytes!("../../golden/v2/records_request.bin")[..]);
        assert_eq!(decode_request(request), Ok((LogIndex(7), LogIndex(9))));
        let records = [record(7, b"seven"), record(8, b"")];
        let answer = encode_answer(&records);
        assert_eq!(answer, include_bytes!("../../golden/v2/records_answer.bin")[..]);
        assert_eq!(decode_answer(answer).unwrap(), records);
    }

    #[test]
    fn damaged_bytes_are_refused_and_never_panic() {
        let answer = encode_answer(&[record(7, b"seven"), record(8, b"eight")]);
        for cut in 0..answer.len() {
            assert!(decode_answer(answer.slice(..cut)).is_err(), "cut at {cut}");
        }
        assert!(decode_request(Bytes::from_static(&[9; 17])).is_err());
    }
}
