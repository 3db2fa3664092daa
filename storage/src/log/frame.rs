//! A record as bytes: a header of 64 bytes, the payload, zeros up to the next
//! multiple of 8. Integers are little-endian.
//!
//! ```text
//!  0  u32  magic            32  u64  chain value of the record before
//!  4  u32  payload bytes    40  u64  all records below this index were durable when it was written
//!  8  u64  index            48  u8   kind, then 3 zeros
//! 16  u64  term             52  u32  CRC32C of the payload
//! 24  u64  leader           56  u32  zero
//!                           60  u32  CRC32C of the segment's seed, the file offset and bytes 0..60
//! ```
//!
//! The header's checksum is bound to its segment and offset, so that bytes of
//! another place, or a log stored as event data, never pass for a record here.

use bytes::Bytes;
use weir_types::{LogId, LogIndex, NodeId, Term, limits};

use super::record::{LogRecord, RecordKind};

/// Bytes of a record's header.
pub(super) const HEADER_BYTES: usize = 64;
/// Every record begins at a multiple of it.
pub(super) const ALIGN: u64 = 8;
/// The first four bytes of a record.
pub(super) const MAGIC: [u8; 4] = *b"WREC";

/// A hash of a record's header, which holds the payload's checksum and the
/// chain value before: it stands for the log up to here, on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain(pub(super) u64);

impl Chain {
    /// The value before the log's first record.
    pub(super) const GENESIS: Self = Self(0);
}

/// What a record's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) id: LogId,
    pub(super) kind: RecordKind,
    pub(super) payload_bytes: u32,
    pub(super) payload_crc: u32,
    pub(super) previous: Chain,
    /// Exclusive: every record with a lower index was durable.
    pub(super) durable_until: u64,
    /// This record's own chain value.
    pub(super) chain: Chain,
}

/// Why bytes are not a record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotAFrame {
    /// They are zeros: nothing was written here.
    Blank,
    /// They are something else.
    Invalid(&'static str),
}

/// Bytes that a record with so long a payload takes.
pub(super) const fn frame_bytes(payload_bytes: usize) -> u64 {
    ((HEADER_BYTES + payload_bytes) as u64).next_multiple_of(ALIGN)
}

/// Appends a record, as it will lie at `offset` of the segment with `seed`, and
/// returns its chain value.
pub(super) fn encode(
    record: &LogRecord,
    previous: Chain,
    durable_until: u64,
    seed: u32,
    offset: u64,
    out: &mut Vec<u8>,
) -> Chain {
    let (header, chain) = Head::of(record).encode(previous, durable_until, seed, offset);
    out.extend_from_slice(&header);
    out.extend_from_slice(&record.payload);
    let padding = frame_bytes(record.payload.len()) as usize - HEADER_BYTES - record.payload.len();
    out.extend_from_slice(&[0; ALIGN as usize][..padding]);
    chain
}

/// What a header says of its record alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) id: LogId,
    kind: RecordKind,
    payload_bytes: u32,
    payload_crc: u32,
}

impl Head {
    pub(super) fn of(record: &LogRecord) -> Self {
        assert!(record.payload.len() <= limits::LOG_RECORD_BYTES_MAX, "payloads were checked at submission");
        Self {
            id: record.id,
            kind: record.kind,
            payload_bytes: record.payload.len() as u32,
            payload_crc: crc32c::crc32c(&record.payload),
        }
    }

    /// The header, as it will lie at `offset` of the segment with `seed`, and its chain value.
    pub(super) fn encode(
        &self,
        previous: Chain,
        durable_until: u64,
        seed: u32,
        offset: u64,
    ) -> ([u8; HEADER_BYTES], Chain) {
        assert!(offset.is_multiple_of(ALIGN), "a record begins at a multiple of {ALIGN}");
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC);
        header[4..8].copy_from_slice(&self.payload_bytes.to_le_bytes());
        header[8..16].copy_from_slice(&self.id.index.0.to_le_bytes());
        header[16..24].copy_from_slice(&self.id.term.0.to_le_bytes());
        header[24..32].copy_from_slice(&self.id.leader.0.to_le_bytes());
        header[32..40].copy_from_slice(&previous.0.to_le_bytes());
        header[40..48].copy_from_slice(&durable_until.to_le_bytes());
        header[48] = self.kind as u8;
        header[52..56].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = header_crc(&header, seed, offset);
        header[60..].copy_from_slice(&crc.to_le_bytes());
        let chain = chain_of(&header);
        (header, chain)
    }
}

/// Reads the header of the record at `offset` of the segment with `seed`.
pub(super) fn decode(header: &[u8; HEADER_BYTES], seed: u32, offset: u64) -> Result<FrameHeader, NotAFrame> {
    if header.iter().all(|byte| *byte == 0) {
        return Err(NotAFrame::Blank);
    }
    if header[..4] != MAGIC {
        return Err(NotAFrame::Invalid("no record begins here"));
    }
    if header_crc(header, seed, offset) != u32_at(header, 60) {
        return Err(NotAFrame::Invalid("the checksum of the record's header does not match"));
    }
    let kind = RecordKind::from_byte(header[48]).ok_or(NotAFrame::Invalid("the record's kind is unknown"))?;
    let payload_bytes = u32_at(header, 4);
    if payload_bytes as usize > limits::LOG_RECORD_BYTES_MAX {
        return Err(NotAFrame::Invalid("the record is longer than any may be"));
    }
    Ok(FrameHeader {
        id: LogId {
            term: Term(u64_at(header, 16)),
            leader: NodeId(u64_at(header, 24)),
            index: LogIndex(u64_at(header, 8)),
        },
        kind,
        payload_bytes,
        payload_crc: u32_at(header, 52),
        previous: Chain(u64_at(header, 32)),
        durable_until: u64_at(header, 40),
        chain: chain_of(header),
    })
}

impl FrameHeader {
    /// Bytes of the whole record.
    pub(super) fn frame_bytes(&self) -> u64 {
        frame_bytes(self.payload_bytes as usize)
    }

    /// Whether these bytes, padding included, are the payload that was written.
    pub(super) fn owns(&self, padded: &[u8]) -> bool {
        if (HEADER_BYTES + padded.len()) as u64 != self.frame_bytes() {
            return false;
        }
        let (payload, padding) = padded.split_at(self.payload_bytes as usize);
        crc32c::crc32c(payload) == self.payload_crc && padding.iter().all(|byte| *byte == 0)
    }

    /// The record, with its checked payload.
    pub(super) fn record(&self, payload: Bytes) -> LogRecord {
        LogRecord { id: self.id, kind: self.kind, payload }
    }
}

fn header_crc(header: &[u8; HEADER_BYTES], seed: u32, offset: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &offset.to_le_bytes()), &header[..60])
}

fn chain_of(header: &[u8; HEADER_BYTES]) -> Chain {
    Chain(xxhash_rust::xxh3::xxh3_64(header))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were sliced"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were sliced"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(payload: &'static [u8]) -> LogRecord {
        LogRecord {
            id: LogId { term: Term(3), leader: NodeId(2), index: LogIndex(9) },
            kind: RecordKind::Command,
            payload: Bytes::from_static(payload),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for payload in [&b""[..], b"x", b"12345678", b"123456789"] {
            let mut bytes = Vec::new();
            let chain = encode(&record(payload), Chain(5), 4, 77, 128, &mut bytes);
            assert_eq!(bytes.len() as u64, frame_bytes(payload.len()));
            let header = decode(bytes.first_chunk().unwrap(), 77, 128).unwrap();
            assert_eq!((header.previous, header.durable_until, header.chain), (Chain(5), 4, chain));
            assert!(header.owns(&bytes[HEADER_BYTES..]));
            assert!(bytes.len() == HEADER_BYTES || !header.owns(&bytes[HEADER_BYTES..bytes.len() - 1]));
            assert_eq!(header.record(Bytes::copy_from_slice(payload)), record(payload));
        }
    }

    #[test]
    fn a_header_is_valid_only_unchanged_and_at_its_own_place() {
        let mut bytes = Vec::new();
        encode(&record(b"payload"), Chain::GENESIS, 0, 77, 128, &mut bytes);
        let good: [u8; HEADER_BYTES] = *bytes.first_chunk().unwrap();
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bad, 77, 128).is_err(), "bit {bit}");
        }
        assert!(decode(&good, 78, 128).is_err());
        assert!(decode(&good, 77, 136).is_err());
        assert_eq!(decode(&[0; HEADER_BYTES], 77, 128), Err(NotAFrame::Blank));
    }

    #[test]
    fn every_flipped_bit_of_a_payload_and_its_padding_is_found() {
        let mut bytes = Vec::new();
        encode(&record(b"payload"), Chain::GENESIS, 0, 77, 128, &mut bytes);
        let header = decode(bytes.first_chunk().unwrap(), 77, 128).unwrap();
        for bit in HEADER_BYTES * 8..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!header.owns(&bad[HEADER_BYTES..]), "bit {bit}");
        }
    }
}
