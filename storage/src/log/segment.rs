//! Segment files: `<log index of the first record, 20 digits>.log`.
//!
//! A header of 128 bytes, then records, then zeros up to the file's length,
//! which was given when the file was made and is never exceeded.
//!
//! ```text
//!  0  magic 8 bytes          56  u64  chain value before the first record
//!  8  u32  format version    64  zeros
//! 12  u32  zero             124  u32  CRC32C of bytes 0..124, the seed of its records' checksums
//! 16  cluster, node, group
//! 48  u64  index of the first record
//! ```
//!
//! Invariant: a segment's name appears only after its header and zeros, and all
//! records of the segment before it, are durable. So a name proves its header,
//! and a successor proves every record of its predecessor.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    error::LogError,
    frame::Chain,
    owner::{FORMAT_VERSION, OWNER_BYTES, Owner},
};
use crate::disk::{Disk, DiskFile};

/// Bytes of a segment's header; the first record's offset.
pub(super) const SEGMENT_HEADER_BYTES: u64 = 128;
/// The ending of files that are not part of the log yet; open removes them.
pub(super) const UNFINISHED: &str = ".new";
const ENDING: &str = ".log";
const MAGIC: [u8; 8] = *b"WEIRSEGM";
const CRC_AT: usize = SEGMENT_HEADER_BYTES as usize - 4;
/// Zeros are written in pieces of this size.
static ZEROS: [u8; 256 * 1024] = [0; 256 * 1024];

/// What a segment's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) owner: Owner,
    /// The index of its first record.
    pub(super) first: u64,
    /// The chain value before its first record.
    pub(super) previous: Chain,
}

/// What a new segment is made of.
#[derive(Debug)]
pub(super) enum Blank {
    /// A zeroed and durable file.
    Spare(Spare),
    /// Nothing: the file is made now, this long.
    Bytes(u64),
}

/// A zeroed and durable file without a place in the log.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) path: PathBuf,
    pub(super) file: DiskFile,
    pub(super) bytes: u64,
}

impl Blank {
    /// The length of the segment.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Spare(spare) => spare.bytes,
            Self::Bytes(bytes) => *bytes,
        }
    }
}

impl SegmentHeader {
    /// The header as bytes, and the seed of its records' checksums.
    pub(super) fn encode(&self) -> ([u8; SEGMENT_HEADER_BYTES as usize], u32) {
        let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.owner.encode());
        bytes[48..56].copy_from_slice(&self.first.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.previous.0.to_le_bytes());
        let seed = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&seed.to_le_bytes());
        (bytes, seed)
    }

    /// Reads and checks the header of the segment that begins at `first`.
    pub(super) fn read(
        file: &DiskFile,
        path: &Path,
        owner: Owner,
        first: u64,
    ) -> Result<(Self, u32), LogError> {
        let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
        match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(LogError::damaged(path, 0, "the segment's header is cut short"));
            }
            result => result.map_err(LogError::io("read", path))?,
        }
        let seed = crc32c::crc32c(&bytes[..CRC_AT]);
        if bytes[..8] != MAGIC || bytes[CRC_AT..] != seed.to_le_bytes() {
            return Err(LogError::damaged(path, 0, "the checksum of the segment's header does not match"));
        }
        let number =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were sliced"));
        let version = u32::from_le_bytes(bytes[8..12].try_into().expect("four bytes were sliced"));
        let owner_bytes: &[u8; OWNER_BYTES] =
            bytes[16..48].try_into().expect("the owner's bytes were sliced");
        owner.check(version, owner_bytes, path)?;
        let header = Self { owner, first: number(48), previous: Chain(number(56)) };
        if header.first != first {
            let detail = format!("the file's name says record {first}, its header says {}", header.first);
            return Err(LogError::damaged(path, 48, detail));
        }
        Ok((header, seed))
    }

    /// Makes the segment part of the log: everything about it is durable on return.
    pub(super) fn create(&self, disk: &Disk, dir: &Path, blank: Blank) -> io::Result<(DiskFile, u32)> {
        let (bytes, seed) = self.encode();
        let (unnamed, file) = match blank {
            Blank::Spare(spare) => (spare.path, spare.file),
            Blank::Bytes(len) => {
                let path = dir.join(format!("{:020}{UNFINISHED}", self.first));
                let file = disk.create(&path)?;
                write_zeros(&file, 0, len)?;
                (path, file)
            }
        };
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        disk.rename(&unnamed, &path_of(dir, self.first))?;
        disk.sync_dir(dir)?;
        Ok((file, seed))
    }
}

/// The file of the segment that begins at `first`.
pub(crate) fn path_of(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}{ENDING}"))
}

/// The index of the first record of the segment with this file name.
pub(super) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(ENDING)?;
    (digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Overwrites `from..until` with zeros. They are not durable on return.
pub(super) fn write_zeros(file: &DiskFile, from: u64, until: u64) -> io::Result<()> {
    let mut at = from;
    while at < until {
        let len = (until - at).min(ZEROS.len() as u64);
        file.write_all_at(&ZEROS[..len as usize], at)?;
        at += len;
    }
    Ok(())
}

/// Whether all bytes are zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|piece| *piece == ZEROS[..piece.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_not_segments() {
        for first in [0, 1, 42, u64::MAX] {
            let path = path_of(Path::new(""), first);
            assert_eq!(first_of(path.to_str().unwrap()), Some(first));
        }
        for other in
            ["mark", "vote", "1.log", "0000000000000000000x.log", "99999999999999999999.log", "x.new"]
        {
            assert_eq!(first_of(other), None, "{other}");
        }
    }
}
