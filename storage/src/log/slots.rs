//! A small value that is replaced whole: two slots of 4,096 bytes in one file.
//!
//! ```text
//!  0  magic 8 bytes          48  u64  generation
//!  8  u32  format version    56  u32  CRC32C of bytes 0..56 and the value
//! 12  u32  bytes of value    60  u32  zero
//! 16  cluster, node, group   64  the value
//! ```
//!
//! Invariant: at every moment one slot is durable and is not being written. At
//! rest both hold the same, so that one damaged slot loses nothing. Slot 1 is
//! written first, and alone while a value is only saved lazily; slot 0 follows
//! when slot 1 is durable.

use std::{io, path::Path};

use tracing::warn;

use super::{
    error::LogError,
    owner::{FORMAT_VERSION, OWNER_BYTES, Owner},
};
use crate::{
    directory,
    disk::{Disk, DiskFile},
};

/// Bytes from one slot to the next: each is alone on its page.
const SLOT_BYTES: usize = 4096;
const HEADER_BYTES: usize = 64;
/// Bytes of the longest value. Header and value fit two sectors of a disk.
pub(super) const VALUE_BYTES_MAX: usize = 960;

/// An open file of two slots.
#[derive(Debug)]
pub(super) struct SlotFile {
    file: DiskFile,
    magic: [u8; 8],
    owner: Owner,
    generation: u64,
}

/// A slot whose checksum was right.
struct Slot {
    generation: u64,
    value: Vec<u8>,
}

impl SlotFile {
    /// Makes the file, with both slots holding `value`; durable on return.
    pub(super) fn create(
        disk: &Disk,
        path: &Path,
        magic: [u8; 8],
        owner: Owner,
        value: &[u8],
    ) -> Result<Self, LogError> {
        let slot = encode(magic, owner, 1, value);
        let (dir, name) = parts(path);
        directory::write_file(disk, dir, name, &[slot.clone(), slot].concat())
            .map_err(LogError::io("create", path))?;
        let file = disk.open(path).map_err(LogError::io("open", path))?;
        Ok(Self { file, magic, owner, generation: 1 })
    }

    /// Opens the file, brings both slots to the newest value, and returns it. It
    /// is durable on return: what is read here may be only in the system's
    /// memory, left by a process whose sync failed, and is therefore written again.
    pub(super) fn open(
        disk: &Disk,
        path: &Path,
        magic: [u8; 8],
        owner: Owner,
    ) -> Result<(Self, Vec<u8>), LogError> {
        let file = disk.open(path).map_err(LogError::io("open", path))?;
        let mut bytes = disk.read(path).map_err(LogError::io("read", path))?;
        bytes.resize(2 * SLOT_BYTES, 0);
        let first = decode(&bytes[..SLOT_BYTES], magic, owner, path)?;
        let second = decode(&bytes[SLOT_BYTES..], magic, owner, path)?;
        let generation_of = |slot: &Option<Slot>| slot.as_ref().map_or(0, |slot| slot.generation);
        let generations = [generation_of(&first), generation_of(&second)];
        let older = usize::from(generations[1] < generations[0]);
        let newer = 1 - older;
        let Some(newest) = (if older == 0 { second } else { first }) else {
            return Err(LogError::damaged(path, 0, "the checksums of both slots do not match"));
        };
        let slots = Self { file, magic, owner, generation: newest.generation };
        if generations[older] == 0 {
            warn!(file = %path.display(), slot = older, "damaged slot replaced by the other");
        }
        let write = |slot| slots.write(slot, &newest.value).map_err(LogError::io("write", path));
        write(older)?;
        write(newer)?;
        Ok((slots, newest.value))
    }

    /// Replaces the value; durable on return.
    pub(super) fn save(&mut self, value: &[u8]) -> io::Result<()> {
        self.generation += 1;
        self.write(1, value)?;
        self.write(0, value)
    }

    /// Replaces the value in slot 1, where it survives the process at once, and
    /// the machine's power after the next [`SlotFile::save`] or whenever the system likes.
    pub(super) fn save_lazily(&mut self, value: &[u8]) -> io::Result<()> {
        self.generation += 1;
        let slot = encode(self.magic, self.owner, self.generation, value);
        self.file.write_all_at(&slot[..HEADER_BYTES + value.len()], SLOT_BYTES as u64)
    }

    fn write(&self, slot: usize, value: &[u8]) -> io::Result<()> {
        let bytes = encode(self.magic, self.owner, self.generation, value);
        self.file.write_all_at(&bytes, (slot * SLOT_BYTES) as u64)?;
        self.file.sync_data()
    }
}

fn parts(path: &Path) -> (&Path, &str) {
    let dir = path.parent().expect("slot files lie in a log folder");
    let name = path.file_name().and_then(|name| name.to_str()).expect("slot files have plain names");
    (dir, name)
}

fn encode(magic: [u8; 8], owner: Owner, generation: u64, value: &[u8]) -> Vec<u8> {
    assert!(value.len() <= VALUE_BYTES_MAX, "a slot holds up to {VALUE_BYTES_MAX} bytes");
    let mut slot = vec![0; SLOT_BYTES];
    slot[..8].copy_from_slice(&magic);
    slot[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    slot[12..16].copy_from_slice(&(value.len() as u32).to_le_bytes());
    slot[16..48].copy_from_slice(&owner.encode());
    slot[48..56].copy_from_slice(&generation.to_le_bytes());
    slot[HEADER_BYTES..HEADER_BYTES + value.len()].copy_from_slice(value);
    let crc = crc_of(&slot, value.len());
    slot[56..60].copy_from_slice(&crc.to_le_bytes());
    slot
}

fn decode(slot: &[u8], magic: [u8; 8], owner: Owner, path: &Path) -> Result<Option<Slot>, LogError> {
    let number = |at: usize| u32::from_le_bytes(slot[at..at + 4].try_into().expect("four bytes were sliced"));
    let len = number(12) as usize;
    if slot[..8] != magic || len > VALUE_BYTES_MAX || crc_of(slot, len) != number(56) {
        return Ok(None);
    }
    let owner_bytes: &[u8; OWNER_BYTES] = slot[16..48].try_into().expect("the owner's bytes were sliced");
    owner.check(number(8), owner_bytes, path)?;
    let generation = u64::from_le_bytes(slot[48..56].try_into().expect("eight bytes were sliced"));
    Ok(Some(Slot { generation, value: slot[HEADER_BYTES..HEADER_BYTES + len].to_vec() }))
}

fn crc_of(slot: &[u8], value_bytes: usize) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&slot[..56]), &slot[HEADER_BYTES..HEADER_BYTES + value_bytes])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use weir_types::{ClusterId, GroupId, NodeId};

    use super::*;
    use crate::folder::Identity;

    const KIND: [u8; 8] = *b"TESTSLOT";

    fn owner() -> Owner {
        let identity = Identity { cluster: ClusterId(uuid::Uuid::from_u128(7)), node: NodeId(1) };
        Owner { identity, group: GroupId(1) }
    }

    #[test]
    fn at_rest_any_damaged_byte_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slots");
        SlotFile::create(&Disk::Real, &path, KIND, owner(), b"old").unwrap().save(b"new").unwrap();
        let good = fs::read(&path).unwrap();
        for slot in 0..2 {
            for byte in 0..HEADER_BYTES + 3 {
                let mut bad = good.clone();
                bad[slot * SLOT_BYTES + byte] ^= 0x10;
                fs::write(&path, bad).unwrap();
                assert_eq!(
                    SlotFile::open(&Disk::Real, &path, KIND, owner()).unwrap().1,
                    b"new",
                    "slot {slot} byte {byte}"
                );
            }
        }
    }

    #[test]
    fn a_torn_write_leaves_the_value_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slots");
        let mut slots = SlotFile::create(&Disk::Real, &path, KIND, owner(), b"first").unwrap();
        slots.save(b"second").unwrap();
        let before = fs::read(&path).unwrap();
        slots.save_lazily(b"third").unwrap();
        let after = fs::read(&path).unwrap();
        assert_eq!(before[..SLOT_BYTES], after[..SLOT_BYTES], "slot 0 is not touched");
        for cut in 0..=HEADER_BYTES + 6 {
            let torn = [&after[..SLOT_BYTES + cut], &before[SLOT_BYTES + cut..]].concat();
            fs::write(&path, &torn).unwrap();
            let found = SlotFile::open(&Disk::Real, &path, KIND, owner()).unwrap().1;
            assert!(found == b"second" || found == b"third", "cut {cut}: {found:?}");
            let rest = fs::read(&path).unwrap();
            assert_eq!(
                rest[..HEADER_BYTES + 5],
                rest[SLOT_BYTES..SLOT_BYTES + HEADER_BYTES + 5],
                "cut {cut}"
            );
        }
    }

    #[test]
    fn both_slots_damaged_another_owner_and_a_newer_format_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slots");
        SlotFile::create(&Disk::Real, &path, KIND, owner(), b"value").unwrap();
        let other = Owner { group: GroupId(2), ..owner() };
        assert!(matches!(SlotFile::open(&Disk::Real, &path, KIND, other), Err(LogError::Foreign { .. })));
        let mut slot = encode(KIND, owner(), 1, b"value");
        slot[8] = 2;
        let crc = crc_of(&slot, 5);
        slot[56..60].copy_from_slice(&crc.to_le_bytes());
        fs::write(&path, [slot.clone(), slot].concat()).unwrap();
        assert!(matches!(
            SlotFile::open(&Disk::Real, &path, KIND, owner()),
            Err(LogError::Newer { found: 2, .. })
        ));
        fs::write(&path, vec![0; 2 * SLOT_BYTES]).unwrap();
        assert!(matches!(SlotFile::open(&Disk::Real, &path, KIND, owner()), Err(LogError::Damaged { .. })));
    }
}
