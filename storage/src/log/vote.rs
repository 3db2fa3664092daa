//! The vote: whom this node last voted for. Opaque here, durable before it is answered.

use std::{io, path::Path};

use bytes::Bytes;

use super::{error::LogError, owner::Owner, slots::SlotFile};
use crate::disk::Disk;

/// The file's name in a log folder.
pub(super) const NAME: &str = "vote";
const MAGIC: [u8; 8] = *b"WEIRVOTE";
const NONE: u8 = 0;
const SOME: u8 = 1;

/// The open vote file.
#[derive(Debug)]
pub(super) struct VoteFile(SlotFile);

impl VoteFile {
    /// Makes the file without a vote.
    pub(super) fn create(disk: &Disk, dir: &Path, owner: Owner) -> Result<Self, LogError> {
        SlotFile::create(disk, &dir.join(NAME), MAGIC, owner, &[NONE]).map(Self)
    }

    /// Opens the file and returns the last vote that was saved.
    pub(super) fn open(disk: &Disk, dir: &Path, owner: Owner) -> Result<(Self, Option<Bytes>), LogError> {
        let path = dir.join(NAME);
        let (slots, value) = SlotFile::open(disk, &path, MAGIC, owner)?;
        match value.split_first() {
            Some((&SOME, vote)) => Ok((Self(slots), Some(Bytes::copy_from_slice(vote)))),
            Some((&NONE, [])) => Ok((Self(slots), None)),
            _ => Err(LogError::damaged(&path, 0, "the value is not a vote")),
        }
    }

    /// Replaces the vote; durable on return.
    pub(super) fn save(&mut self, vote: &[u8]) -> io::Result<()> {
        self.0.save(&[&[SOME], vote].concat())
    }
}
