//! The disk side of one log, used by the log thread alone.
//!
//! Invariants:
//! - What is not flushed was never called durable: the mark, in its file and in
//!   every record's header, moves only after fdatasync.
//! - A segment begins only when everything before it is durable.
//! - A truncation is noted in the mark file before it touches a byte of the
//!   log, so that recovery finishes it instead of taking the half of it for damage.

use std::{io, path::PathBuf};

use tracing::{debug, info};
use weir_types::{LogId, Planted, planted};

use super::{
    frame::{self, Chain, HEADER_BYTES},
    mark::{Cut, Mark},
    owner::Owner,
    record::LogRecord,
    segment::{self, Blank, SegmentHeader, write_zeros},
    slots::SlotFile,
    state::Truncation,
    vote::VoteFile,
};
use crate::disk::{Disk, DiskFile};

/// A staging buffer beyond this is given back after use.
const STAGED_BYTES_KEPT: usize = 8 * 1024 * 1024;

/// The open files of one log, and what is staged for them.
#[derive(Debug)]
pub(super) struct LogDisk {
    pub(super) disk: Disk,
    pub(super) dir: PathBuf,
    pub(super) owner: Owner,
    /// The segment that is written to.
    pub(super) active: Option<Active>,
    /// The chain value after the last staged record.
    pub(super) chain: Chain,
    /// The index after the last staged record.
    pub(super) next: u64,
    pub(super) mark: Mark,
    pub(super) marks: SlotFile,
    pub(super) votes: VoteFile,
    /// Truncations that were carried out.
    pub(super) epoch: u64,
    /// Records that follow the written ones in the active segment.
    pub(super) staged: Vec<u8>,
    /// The mark differs from slot 1 of its file.
    pub(super) mark_changed: bool,
    /// Slot 1 of the mark file may not be durable.
    pub(super) mark_unsettled: bool,
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) file: DiskFile,
    pub(super) seed: u32,
    /// The byte after the last written record.
    pub(super) end: u64,
}

impl LogDisk {
    /// Encodes records behind what is staged.
    pub(super) fn stage(&mut self, records: &[LogRecord]) {
        let active = self.active.as_ref().expect("a segment was begun before its first record");
        for record in records {
            let offset = active.end + self.staged.len() as u64;
            let index = record.id.index.0;
            assert!(self.chain == Chain::GENESIS || index == self.next, "records are staged without a hole");
            let (previous, durable) = (self.chain, self.mark.durable_until);
            self.chain = frame::encode(record, previous, durable, active.seed, offset, &mut self.staged);
            self.next = record.id.index.next().0;
        }
    }

    /// Bytes that wait for [`LogDisk::flush`].
    pub(super) fn staged_bytes(&self) -> usize {
        self.staged.len()
    }

    /// One write and one fdatasync for all that is staged; then the mark.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if !self.staged.is_empty() {
            let active = self.active.as_mut().expect("what is staged has a segment");
            active.file.write_all_at(&self.staged, active.end)?;
            if !planted(Planted::AckBeforeFsync) {
                active.file.sync_data()?;
            }
            active.end += self.staged.len() as u64;
            self.staged.clear();
            self.staged.shrink_to(STAGED_BYTES_KEPT);
            self.mark.durable_until = self.next;
            self.mark_changed = true;
        }
        if self.mark_changed {
            self.marks.save_lazily(&self.mark.encode())?;
            (self.mark_changed, self.mark_unsettled) = (false, true);
        }
        Ok(())
    }

    /// Begins the segment whose first record is `first`. Everything staged must be flushed.
    pub(super) fn roll(&mut self, first: u64, blank: Blank) -> io::Result<()> {
        assert!(self.staged.is_empty(), "a segment begins when all before it is durable");
        let bytes = blank.bytes();
        let header = SegmentHeader { owner: self.owner, first, previous: self.chain };
        let (file, seed) = header.create(&self.disk, &self.dir, blank)?;
        self.active = Some(Active { file, seed, end: segment::SEGMENT_HEADER_BYTES });
        debug!(group = self.owner.group.0, segment = first, bytes, "segment begun");
        Ok(())
    }

    /// Replaces the vote; durable on return.
    pub(super) fn save_vote(&mut self, vote: &[u8]) -> io::Result<()> {
        self.votes.save(vote)
    }

    /// Notes what is committed; [`LogDisk::flush`] writes it, nothing waits for
    /// it. Not yet while the record itself, or a truncation that made room for
    /// it, is still on its way, which asks again: after a loss of power the mark
    /// would call a record committed that lies in its place.
    pub(super) fn note_committed(&mut self, committed: Option<LogId>, epoch: u64) {
        if epoch > self.epoch || committed.is_some_and(|committed| committed.index.0 >= self.next) {
            return;
        }
        self.mark_changed |= self.mark.committed != committed;
        self.mark.committed = committed;
    }

    /// Drops records from the end; durable on return. Everything staged must be flushed.
    pub(super) fn truncate(&mut self, truncation: &Truncation) -> io::Result<()> {
        assert!(self.staged.is_empty(), "a truncation comes after all before it is durable");
        self.mark.durable_until = self.mark.durable_until.min(truncation.next);
        self.mark.cut = Some(truncation.cut);
        self.marks.save(&self.mark.encode())?;

        self.active = None;
        for first in truncation.dropped.iter().rev() {
            self.disk.remove(&segment::path_of(&self.dir, *first))?;
        }
        self.disk.sync_dir(&self.dir)?;
        self.chain = Chain::GENESIS;
        self.next = truncation.next;
        self.epoch += 1;
        if let Cut::After { segment, offset } = truncation.cut {
            self.shorten(segment, offset, truncation)?;
        }

        self.mark.cut = None;
        self.settle()?;
        info!(group = self.owner.group.0, next = self.next, "log truncated");
        Ok(())
    }

    /// Makes the mark durable, in both slots of its file.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.marks.save(&self.mark.encode())?;
        (self.mark_changed, self.mark_unsettled) = (false, false);
        Ok(())
    }

    /// Zeroes the end of a segment and goes on writing there.
    fn shorten(&mut self, first: u64, offset: u64, truncation: &Truncation) -> io::Result<()> {
        let path = segment::path_of(&self.dir, first);
        let file = self.disk.open(&path)?;
        let header = SegmentHeader::read(&file, &path, self.owner, first);
        let (_, seed) = header.map_err(|error| io::Error::other(error.to_string()))?;
        let mut last = [0; HEADER_BYTES];
        file.read_exact_at(&mut last, truncation.last_offset)?;
        let last = frame::decode(&last, seed, truncation.last_offset)
            .map_err(|reason| io::Error::other(format!("record before the cut is damaged: {reason:?}")))?;
        assert_eq!(last.id.index.next().0, truncation.next, "the cut follows the last kept record");
        write_zeros(&file, offset, truncation.end)?;
        file.sync_data()?;
        self.chain = last.chain;
        self.active = Some(Active { file, seed, end: offset });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bytes::Bytes;
    use weir_types::{ClusterId, GroupId, LogIndex, NodeId, Term};

    use super::*;
    use crate::{
        folder::Identity,
        log::{RecordKind, recovery::recover},
    };

    const CAPACITY: u64 = 512;
    const PER_SEGMENT: u64 = 4;

    fn owner() -> Owner {
        let identity = Identity { cluster: ClusterId(uuid::Uuid::from_u128(7)), node: NodeId(1) };
        Owner { identity, group: GroupId(1) }
    }

    fn record(index: u64) -> LogRecord {
        let id = LogId { term: Term(1), leader: NodeId(1), index: LogIndex(index) };
        LogRecord { id, kind: RecordKind::Command, payload: Bytes::from_static(b"12345678") }
    }

    /// Bytes of one such record.
    const FRAME: u64 = 72;

    fn written(dir: &std::path::Path, segments: u64) -> LogDisk {
        let mut disk = recover(&Disk::Real, dir, owner()).unwrap().disk;
        for first in (0..segments).map(|segment| 1 + segment * PER_SEGMENT) {
            disk.roll(first, Blank::Bytes(CAPACITY)).unwrap();
            for index in first..first + PER_SEGMENT {
                disk.stage(&[record(index)]);
                disk.flush().unwrap();
            }
        }
        disk.settle().unwrap();
        disk
    }

    #[test]
    fn l4_an_interrupted_truncation_is_finished_wherever_it_stopped() {
        let keep = 6;
        let (segment, offset) = (5, segment::SEGMENT_HEADER_BYTES + 2 * FRAME);
        let zeroed = [(0, 0), (0, FRAME), (FRAME, 2 * FRAME), (0, 2 * FRAME), (40, 100)];
        for (dropped, (from, until)) in (0..=2).flat_map(|dropped| zeroed.map(|zeros| (dropped, zeros))) {
            let dir = tempfile::tempdir().unwrap();
            let mut disk = written(dir.path(), 4);
            disk.mark =
                Mark { durable_until: keep + 1, cut: Some(Cut::After { segment, offset }), ..disk.mark };
            disk.settle().unwrap();
            for first in [13, 9].iter().take(dropped) {
                fs::remove_file(segment::path_of(dir.path(), *first)).unwrap();
            }
            let kept = Disk::Real.open(&segment::path_of(dir.path(), segment)).unwrap();
            write_zeros(&kept, offset + from, offset + until).unwrap();
            drop(disk);
            let what = format!("{dropped} segments dropped, bytes {from} to {until} zeroed");
            let mut disk = {
                let found = recover(&Disk::Real, dir.path(), owner()).unwrap();
                assert_eq!(found.last, Some(record(keep).id), "{what}");
                assert_eq!((found.report.torn_bytes, found.disk.mark.cut), (0, None), "{what}");
                found.disk
            };
            disk.stage(&[record(keep + 1)]);
            disk.flush().unwrap();
            assert_eq!(
                recover(&Disk::Real, dir.path(), owner()).unwrap().last,
                Some(record(keep + 1).id),
                "{what}"
            );
        }
    }

    #[test]
    fn l4_an_interrupted_truncation_of_everything_is_finished() {
        for dropped in 0..=3 {
            let dir = tempfile::tempdir().unwrap();
            let mut disk = written(dir.path(), 3);
            disk.mark = Mark { durable_until: 0, cut: Some(Cut::All), ..disk.mark };
            disk.settle().unwrap();
            for first in [9, 5, 1].iter().take(dropped) {
                fs::remove_file(segment::path_of(dir.path(), *first)).unwrap();
            }
            let found = recover(&Disk::Real, dir.path(), owner()).unwrap();
            assert_eq!((found.last, found.map.len()), (None, 0));
        }
    }

    #[test]
    fn l4_a_segment_without_a_record_and_an_unfinished_one_confuse_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = written(dir.path(), 2);
        disk.roll(9, Blank::Bytes(CAPACITY)).unwrap();
        for unfinished in ["spare-0.new", "00000000000000000013.new"] {
            fs::write(dir.path().join(unfinished), b"half").unwrap();
        }
        drop(disk);
        for _ in 0..2 {
            let found = recover(&Disk::Real, dir.path(), owner()).unwrap();
            assert_eq!((found.last, found.map.len()), (Some(record(8).id), 3));
            assert!(!dir.path().join("spare-0.new").exists());
        }
        let mut disk = recover(&Disk::Real, dir.path(), owner()).unwrap().disk;
        disk.stage(&[record(9)]);
        disk.flush().unwrap();
        assert_eq!(recover(&Disk::Real, dir.path(), owner()).unwrap().last, Some(record(9).id));
    }

    #[test]
    fn a_record_carries_the_mark_that_was_known_when_it_was_staged() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = written(dir.path(), 1);
        disk.stage(&[record(5)]);
        disk.stage(&[record(6)]);
        let seed = disk.active.as_ref().unwrap().seed;
        let start = segment::SEGMENT_HEADER_BYTES + PER_SEGMENT * FRAME;
        for at in [0, FRAME] {
            let header = disk.staged[at as usize..].first_chunk().unwrap();
            assert_eq!(frame::decode(header, seed, start + at).unwrap().durable_until, 5);
        }
    }
}
