//! Checksums made right again, written from the description of the formats and
//! not from their code: no fuzzer guesses one, and what lies behind them must
//! hold too.

const SEGMENT_HEADER_BYTES: usize = 128;
const RECORD_HEADER_BYTES: usize = 64;
const RECORD_MAGIC: &[u8; 4] = b"WREC";
const SLOT_BYTES: usize = 4096;

/// What a record's header says, its checksum being right.
pub(crate) struct Record {
    /// Byte of the file at which its header begins.
    pub(crate) offset: usize,
    pub(crate) index: u64,
    pub(crate) durable_until: u64,
}

/// Seals a segment file: its header, and the header and payload of every record.
pub(crate) fn segment(file: &mut [u8]) {
    if file.len() < SEGMENT_HEADER_BYTES {
        return;
    }
    let seed = crc32c::crc32c(&file[..124]);
    put(file, 124, seed);
    for offset in record_offsets(file) {
        let header = offset..offset + RECORD_HEADER_BYTES;
        let payload = header.end..header.end + u32_at(file, offset + 4) as usize;
        if let Some(payload) = file.get(payload) {
            let crc = crc32c::crc32c(payload);
            put(file, offset + 52, crc);
        }
        let crc = record_crc(&file[header], seed, offset);
        put(file, offset + 60, crc);
    }
}

/// The records of a segment file whose headers are right, wherever they lie.
pub(crate) fn records(file: &[u8]) -> Vec<Record> {
    if file.len() < SEGMENT_HEADER_BYTES {
        return Vec::new();
    }
    let seed = crc32c::crc32c(&file[..124]);
    let right = |offset: &usize| {
        let header = &file[*offset..offset + RECORD_HEADER_BYTES];
        record_crc(header, seed, *offset) == u32_at(file, offset + 60)
    };
    let record = |offset: usize| Record {
        offset,
        index: u64_at(file, offset + 8),
        durable_until: u64_at(file, offset + 40),
    };
    record_offsets(file).into_iter().filter(right).map(record).collect()
}

/// Whether the payload at these bytes is the one that its record's header was written for.
pub(crate) fn payload_is_right(file: &[u8], payload: std::ops::Range<usize>) -> bool {
    let Some(header) = payload.start.checked_sub(RECORD_HEADER_BYTES) else { return false };
    records(file).iter().any(|record| record.offset == header)
        && u32_at(file, header + 4) as usize == payload.len()
        && file.get(payload).is_some_and(|payload| crc32c::crc32c(payload) == u32_at(file, header + 52))
}

/// Seals both slots of a vote or mark file.
pub(crate) fn slots(file: &mut [u8]) {
    for slot in file.chunks_exact_mut(SLOT_BYTES) {
        let len = u32_at(slot, 12) as usize;
        if let Some(value) = slot.get(64..64 + len) {
            let crc = crc32c::crc32c_append(crc32c::crc32c(&slot[..56]), value);
            put(slot, 56, crc);
        }
    }
}

/// Seals an identity file: its last four bytes.
pub(crate) fn identity(file: &mut [u8]) {
    if let Some(end) = file.len().checked_sub(4) {
        let crc = crc32c::crc32c(&file[..end]);
        put(file, end, crc);
    }
}

/// Seals the frames of a peer's bytes, one after another; a length that leads
/// beyond the end is cut to what there is.
pub(crate) fn peer_frames(bytes: &mut [u8]) {
    let mut rest = bytes;
    while rest.len() >= 32 {
        let body = (u32_at(rest, 0) as usize).min(rest.len() - 32);
        put(rest, 0, body as u32);
        let crc = crc32c::crc32c(&rest[8..32 + body]);
        put(rest, 4, crc);
        rest = &mut rest[32 + body..];
    }
}

/// Seals an event's frame: length and checksum of its body.
pub(crate) fn event_frame(frame: &mut [u8]) {
    if frame.len() >= 8 {
        let (len, crc) = ((frame.len() - 8) as u32, crc32c::crc32c(&frame[8..]));
        put(frame, 0, len);
        put(frame, 4, crc);
    }
}

/// Where a record's magic stands, at multiples of eight after the file's header.
fn record_offsets(file: &[u8]) -> Vec<usize> {
    let last = (file.len() + 1).saturating_sub(RECORD_HEADER_BYTES);
    let places = (SEGMENT_HEADER_BYTES..last).step_by(8);
    places.filter(|at| file[*at..].starts_with(RECORD_MAGIC)).collect()
}

fn record_crc(header: &[u8], seed: u32, offset: usize) -> u32 {
    let place = crc32c::crc32c_append(seed, &(offset as u64).to_le_bytes());
    crc32c::crc32c_append(place, &header[..60])
}

fn put(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were sliced"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were sliced"))
}
