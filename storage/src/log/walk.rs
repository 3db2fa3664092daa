//! Walking over the records of one segment file in large reads.

use std::io;

use bytes::Bytes;

use super::{
    frame::{self, ALIGN, FrameHeader, HEADER_BYTES, MAGIC, NotAFrame},
    segment::is_zero,
};
use crate::disk::DiskFile;

/// A reader that moves from record to record. Its buffer holds `chunk_bytes`,
/// or one record if that is longer.
#[derive(Debug)]
pub(super) struct Walk<'file> {
    file: &'file DiskFile,
    seed: u32,
    chunk_bytes: usize,
    chunk: Bytes,
    chunk_at: u64,
    offset: u64,
}

/// What a scan found after the first byte that is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Remains {
    /// The highest durable mark in a record's header that is still valid.
    pub(super) durable_until: u64,
    /// The byte after the last one that is not zero; 0 when all are.
    pub(super) end: u64,
}

impl<'file> Walk<'file> {
    /// Starts at a record of the segment with `seed`, or where one would be.
    pub(super) fn new(file: &'file DiskFile, seed: u32, offset: u64, chunk_bytes: usize) -> Self {
        Self { file, seed, chunk_bytes, chunk: Bytes::new(), chunk_at: offset, offset }
    }

    /// Where it stands.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The header of the record where it stands.
    pub(super) fn header(&mut self) -> io::Result<Result<FrameHeader, NotAFrame>> {
        let bytes = self.bytes(self.offset, HEADER_BYTES)?;
        Ok(match bytes.first_chunk() {
            Some(header) => frame::decode(header, self.seed, self.offset),
            None if is_zero(&bytes) => Err(NotAFrame::Blank),
            None => Err(NotAFrame::Invalid("the file ends within a record's header")),
        })
    }

    /// The payload of the record where it stands; `None` when it is not what was written.
    pub(super) fn payload(&mut self, header: &FrameHeader) -> io::Result<Option<Bytes>> {
        let padded =
            self.bytes(self.offset + HEADER_BYTES as u64, header.frame_bytes() as usize - HEADER_BYTES)?;
        Ok(header.owns(&padded).then(|| padded.slice(..header.payload_bytes as usize)))
    }

    /// Moves to the next record.
    pub(super) fn skip(&mut self, header: &FrameHeader) {
        self.offset += header.frame_bytes();
    }

    /// Looks at everything from where it stands to the end of the file. Stays where it is.
    pub(super) fn scan(&mut self) -> io::Result<Remains> {
        let mut remains = Remains::default();
        let mut at = self.offset;
        loop {
            let bytes = self.bytes(at, self.chunk_bytes.max(2 * HEADER_BYTES))?;
            if !is_zero(&bytes) {
                let last = bytes.iter().rposition(|byte| *byte != 0).expect("some byte is not zero");
                remains.end = at + last as u64 + 1;
                let durable_until = self.highest_mark(&bytes, at);
                remains.durable_until = remains.durable_until.max(durable_until);
            }
            if bytes.len() < 2 * HEADER_BYTES {
                return Ok(remains);
            }
            // The next piece begins with the bytes whose header could reach past this one.
            at += ((bytes.len() - HEADER_BYTES) as u64 / ALIGN) * ALIGN;
        }
    }

    /// The first header that is valid after where it stands, and its place. Stays where it is.
    pub(super) fn next_header(&mut self) -> io::Result<Option<(u64, FrameHeader)>> {
        let mut at = self.offset + ALIGN;
        loop {
            let bytes = self.bytes(at, self.chunk_bytes.max(2 * HEADER_BYTES))?;
            for start in (0..bytes.len()).step_by(ALIGN as usize) {
                let candidate = &bytes[start..];
                let place = at + start as u64;
                if candidate.starts_with(&MAGIC)
                    && let Some(header) = candidate.first_chunk()
                    && let Ok(header) = frame::decode(header, self.seed, place)
                {
                    return Ok(Some((place, header)));
                }
            }
            if bytes.len() < 2 * HEADER_BYTES {
                return Ok(None);
            }
            at += ((bytes.len() - HEADER_BYTES) as u64 / ALIGN) * ALIGN;
        }
    }

    fn highest_mark(&self, bytes: &[u8], at: u64) -> u64 {
        let mut highest = 0;
        for start in (0..bytes.len()).step_by(ALIGN as usize) {
            let candidate = &bytes[start..];
            if candidate.starts_with(&MAGIC)
                && let Some(header) = candidate.first_chunk()
                && let Ok(header) = frame::decode(header, self.seed, at + start as u64)
            {
                highest = highest.max(header.durable_until);
            }
        }
        highest
    }

    /// The bytes at `at`, fewer only where the file ends.
    fn bytes(&mut self, at: u64, len: usize) -> io::Result<Bytes> {
        let held = at.checked_sub(self.chunk_at).and_then(|start| usize::try_from(start).ok());
        if let Some(start) = held
            && self.chunk.len().checked_sub(start).is_some_and(|held| held >= len)
        {
            return Ok(self.chunk.slice(start..start + len));
        }
        self.chunk = read_upto(self.file, at, len.max(self.chunk_bytes))?;
        self.chunk_at = at;
        Ok(self.chunk.slice(..len.min(self.chunk.len())))
    }
}

fn read_upto(file: &DiskFile, at: u64, len: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut bytes[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(Bytes::from(bytes))
}
