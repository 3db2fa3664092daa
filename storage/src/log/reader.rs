//! Reading records and places from segment files.

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use weir_types::LogId;

use super::{
    error::LogError,
    frame::{FrameHeader, HEADER_BYTES, NotAFrame},
    map::Spot,
    owner::Owner,
    record::{LogRecord, Place},
    segment::{self, SegmentHeader},
    walk::Walk,
};
use crate::disk::{Disk, DiskFile};

/// Segment files that are kept open for reading.
const OPEN_FILES_MAX: usize = 64;
/// The buffer of a walk that looks for one record: about the way between two landmarks.
const LOOK_BYTES: usize = 64 * 1024;
/// The largest buffer of a walk that reads records.
const READ_BYTES_MAX: usize = 1024 * 1024;

/// The files of one log that readers have open, the most recently used last.
#[derive(Debug)]
pub(super) struct SegmentReader {
    disk: Disk,
    dir: PathBuf,
    owner: Owner,
    open: Mutex<VecDeque<Arc<OpenSegment>>>,
}

#[derive(Debug)]
struct OpenSegment {
    incarnation: u64,
    path: PathBuf,
    file: DiskFile,
    seed: u32,
}

/// A record that was read, and where its payload lies.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) id: LogId,
    pub(super) place: Place,
}

impl SegmentReader {
    pub(super) fn new(disk: Disk, dir: PathBuf, owner: Owner) -> Self {
        Self { disk, dir, owner, open: Mutex::new(VecDeque::new()) }
    }

    /// Reads records from `from` on, all of the spot's segment, until `until` or
    /// until the next one would bring their payloads over `bytes_max`; the first
    /// is read always.
    pub(super) fn records(
        &self,
        spot: Spot,
        from: u64,
        until: u64,
        bytes_max: usize,
    ) -> Result<Vec<(LogRecord, Place)>, LogError> {
        let segment = self.segment(spot.segment, spot.incarnation)?;
        let chunk_bytes = bytes_max.clamp(LOOK_BYTES, READ_BYTES_MAX);
        let mut walk = Walk::new(&segment.file, segment.seed, spot.offset, chunk_bytes);
        let mut records = Vec::new();
        let mut bytes_left = bytes_max;
        let mut index = spot.index;
        while index < until && walk.offset() < spot.end {
            let header = segment.header(&mut walk, index)?;
            let payload_bytes = header.payload_bytes as usize;
            if index >= from {
                if payload_bytes > bytes_left && !records.is_empty() {
                    break;
                }
                bytes_left = bytes_left.saturating_sub(payload_bytes);
                let offset = walk.offset() + HEADER_BYTES as u64;
                let payload = walk.payload(&header).map_err(LogError::io("read", &segment.path))?;
                let payload = payload.ok_or_else(|| {
                    let detail = format!("the checksum of the payload of record {index} does not match");
                    LogError::damaged(&segment.path, offset, detail)
                })?;
                let place = Place { segment: spot.segment, offset, len: header.payload_bytes };
                records.push((header.record(payload), place));
            }
            walk.skip(&header);
            index += 1;
        }
        Ok(records)
    }

    /// Finds a record without reading its payload.
    pub(super) fn locate(&self, spot: Spot, index: u64) -> Result<Located, LogError> {
        let segment = self.segment(spot.segment, spot.incarnation)?;
        let mut walk = Walk::new(&segment.file, segment.seed, spot.offset, LOOK_BYTES);
        let mut at = spot.index;
        loop {
            let header = segment.header(&mut walk, at)?;
            if at == index {
                let offset = walk.offset() + HEADER_BYTES as u64;
                let place = Place { segment: spot.segment, offset, len: header.payload_bytes };
                return Ok(Located { id: header.id, place });
            }
            walk.skip(&header);
            at += 1;
        }
    }

    /// Reads the bytes of a place, whose checksum is its caller's.
    pub(super) fn bytes(&self, place: Place, incarnation: u64) -> Result<Bytes, LogError> {
        let segment = self.segment(place.segment, incarnation)?;
        let mut bytes = vec![0; place.len as usize];
        match segment.file.read_exact_at(&mut bytes, place.offset) {
            Ok(()) => Ok(Bytes::from(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(LogError::damaged(&segment.path, place.offset, "the file is cut short"))
            }
            Err(error) => Err(LogError::io("read", &segment.path)(error)),
        }
    }

    fn segment(&self, first: u64, incarnation: u64) -> Result<Arc<OpenSegment>, LogError> {
        let mut open = self.open.lock().expect("no holder of the open files panics");
        let found = open.iter().position(|segment| segment.incarnation == incarnation);
        let segment = match found.and_then(|at| open.remove(at)) {
            Some(segment) => segment,
            None => {
                let path = segment::path_of(&self.dir, first);
                let file = self.disk.open_to_read(&path).map_err(LogError::io("open", &path))?;
                let (_, seed) = SegmentHeader::read(&file, &path, self.owner, first)?;
                Arc::new(OpenSegment { incarnation, path, file, seed })
            }
        };
        if open.len() == OPEN_FILES_MAX {
            open.pop_front();
        }
        open.push_back(segment.clone());
        Ok(segment)
    }
}

impl OpenSegment {
    /// The header where the walk stands, which must be that of `index`.
    fn header(&self, walk: &mut Walk<'_>, index: u64) -> Result<FrameHeader, LogError> {
        let detail = match walk.header().map_err(LogError::io("read", &self.path))? {
            Ok(header) if header.id.index.0 == index => return Ok(header),
            Ok(header) => format!("record {} lies in the place of record {index}", header.id.index),
            Err(NotAFrame::Blank) => format!("record {index} was here and is zeros now"),
            Err(NotAFrame::Invalid(reason)) => format!("record {index} was here: {reason}"),
        };
        Err(LogError::damaged(&self.path, walk.offset(), detail))
    }
}
