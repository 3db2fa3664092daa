//! Opening a log: all of it is read and verified, then it is writable.
//!
//! The rule for the first bytes X that are no record, or do not follow the
//! record before them: when a mark proves that the record which belongs at X was
//! durable, it is damage, and the log does not open. A mark is the mark file, a
//! later segment, or the header of any later record that is still valid.
//! Otherwise X was never acknowledged: it is a torn tail and is cut.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tracing::warn;
use weir_types::{LogId, Planted, planted};

use super::{
    disk::{Active, LogDisk},
    error::LogError,
    frame::{Chain, FrameHeader, NotAFrame},
    map::SegmentMap,
    mark::{self, Cut, Mark},
    owner::Owner,
    segment::{self, SEGMENT_HEADER_BYTES, SegmentHeader, UNFINISHED, write_zeros},
    slots::SlotFile,
    vote::{self, VoteFile},
    walk::Walk,
};
use crate::{
    directory,
    disk::{Disk, DiskFile},
};

/// The log is read in pieces of this size.
const READ_BYTES: usize = 1024 * 1024;

/// What [`super::Log::open`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogRecovery {
    /// Records in the log.
    pub records: u64,
    /// Segment files.
    pub segments: usize,
    /// Bytes of records and headers, all read and verified.
    pub bytes: u64,
    /// Bytes of a torn tail that were cut. They were never acknowledged.
    pub torn_bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// A verified log.
pub(super) struct Recovered {
    pub(super) disk: LogDisk,
    pub(super) map: SegmentMap,
    pub(super) last: Option<LogId>,
    pub(super) vote: Option<Bytes>,
    pub(super) report: LogRecovery,
}

/// Opens the log in `dir`, making an empty one when there is none.
pub(super) fn recover(disk: &Disk, dir: &Path, owner: Owner) -> Result<Recovered, LogError> {
    let start = Instant::now();
    directory::create(disk, dir).map_err(LogError::io("create", dir))?;
    directory::settle(disk, dir, 2).map_err(LogError::io("sync", dir))?;
    let segments = list(disk, dir)?;
    let Files { marks, mut mark, votes, vote } = open_files(disk, dir, owner, &segments)?;
    let segments = match mark.cut {
        Some(cut) => finish_cut(disk, dir, cut, segments)?,
        None => segments,
    };
    let mut verified = Verified::new(disk, dir, owner, &mark);
    for (at, first) in segments.iter().enumerate() {
        verified.segment(*first, segments.get(at + 1).copied())?;
    }
    let next = verified.last.map_or(0, |last| last.index.next().0);
    if mark.durable_until > next && !planted(Planted::DamageTakenForTornTail) {
        let detail =
            format!("records up to {} were durable, the log ends before {next}", mark.durable_until - 1);
        return Err(LogError::damaged(&dir.join(mark::NAME), 0, detail));
    }
    verified.drop_hollow()?;
    let Verified { map, chain, last, active, committed_found, mut report, .. } = verified;
    mark.durable_until = next;
    mark.cut = None;
    // The mark was written after the record was durable. One that was not, by an
    // earlier version, says nothing about the records that lie in its place.
    mark.committed = mark.committed.filter(|_| committed_found);
    let mut log = LogDisk {
        disk: disk.clone(),
        dir: dir.to_path_buf(),
        owner,
        active,
        chain,
        next,
        mark,
        marks,
        votes,
        epoch: 0,
        staged: Vec::new(),
        mark_changed: false,
        mark_unsettled: false,
    };
    log.settle().map_err(LogError::io("write", &dir.join(mark::NAME)))?;
    report.segments = map.len();
    report.took = start.elapsed();
    Ok(Recovered { disk: log, map, last, vote, report })
}

/// The first indexes of the segments, ascending. Removes what never became part of the log.
pub(super) fn list(disk: &Disk, dir: &Path) -> Result<Vec<u64>, LogError> {
    let mut segments = Vec::new();
    for name in disk.list(dir).map_err(LogError::io("list", dir))? {
        if let Some(first) = segment::first_of(&name) {
            segments.push(first);
        } else if name.ends_with(UNFINISHED) {
            let path = dir.join(name);
            disk.remove(&path).map_err(LogError::io("remove", &path))?;
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

struct Files {
    marks: SlotFile,
    mark: Mark,
    votes: VoteFile,
    vote: Option<Bytes>,
}

/// Opens mark and vote. Only a log that holds nothing yet may lack them: the
/// vote file is made first and the mark file last, before anything is written.
fn open_files(disk: &Disk, dir: &Path, owner: Owner, segments: &[u64]) -> Result<Files, LogError> {
    let (mark_path, vote_path) = (dir.join(mark::NAME), dir.join(vote::NAME));
    let exists = |path: &Path| disk.exists(path).map_err(LogError::io("read", path));
    let (has_vote, has_mark) = (exists(&vote_path)?, exists(&mark_path)?);
    let (votes, vote) = match (has_vote, has_mark || !segments.is_empty()) {
        (true, _) => VoteFile::open(disk, dir, owner)?,
        (false, false) => (VoteFile::create(disk, dir, owner)?, None),
        (false, true) => return Err(LogError::damaged(&vote_path, 0, "the file is missing")),
    };
    if has_mark {
        let (marks, value) = SlotFile::open(disk, &mark_path, mark::MAGIC, owner)?;
        let mark = Mark::decode(&value)
            .ok_or_else(|| LogError::damaged(&mark_path, 0, "the value is not a mark"))?;
        return Ok(Files { marks, mark, votes, vote });
    }
    if vote.is_some() || !segments.is_empty() {
        return Err(LogError::damaged(&mark_path, 0, "the file is missing"));
    }
    let mark = Mark::default();
    let marks = SlotFile::create(disk, &mark_path, mark::MAGIC, owner, &mark.encode())?;
    Ok(Files { marks, mark, votes, vote })
}

/// Finishes a truncation that was noted and not completed. Doing it twice is doing it once.
fn finish_cut(disk: &Disk, dir: &Path, cut: Cut, segments: Vec<u64>) -> Result<Vec<u64>, LogError> {
    let (kept, dropped): (Vec<_>, Vec<_>) = segments.into_iter().partition(|first| match cut {
        Cut::All => false,
        Cut::After { segment, .. } => *first <= segment,
    });
    for first in dropped.iter().rev() {
        let path = segment::path_of(dir, *first);
        disk.remove(&path).map_err(LogError::io("remove", &path))?;
    }
    disk.sync_dir(dir).map_err(LogError::io("sync", dir))?;
    if let Cut::After { segment, offset } = cut {
        let path = segment::path_of(dir, segment);
        let file = open(disk, &path)?;
        let end = file.len().map_err(LogError::io("read", &path))?;
        zero(&file, &path, offset, end)?;
    }
    warn!(dir = %dir.display(), dropped = dropped.len(), "interrupted truncation finished");
    Ok(kept)
}

/// The log as far as it was read.
struct Verified<'log> {
    disk: &'log Disk,
    dir: &'log Path,
    owner: Owner,
    /// What the mark file proves.
    durable_until: u64,
    /// What the mark file calls committed, and whether the log holds that record.
    committed: Option<LogId>,
    committed_found: bool,
    map: SegmentMap,
    chain: Chain,
    last: Option<LogId>,
    /// The byte of the segment up to which the mark proves its records durable.
    proven: u64,
    active: Option<Active>,
    report: LogRecovery,
}

impl<'log> Verified<'log> {
    fn new(disk: &'log Disk, dir: &'log Path, owner: Owner, mark: &Mark) -> Self {
        Self {
            disk,
            dir,
            owner,
            durable_until: mark.durable_until,
            committed: mark.committed,
            committed_found: false,
            map: SegmentMap::default(),
            chain: Chain::GENESIS,
            last: None,
            proven: SEGMENT_HEADER_BYTES,
            active: None,
            report: LogRecovery::default(),
        }
    }

    /// Reads the segment that begins at `first`. `successor` begins the next one, if there is one.
    fn segment(&mut self, first: u64, successor: Option<u64>) -> Result<(), LogError> {
        let path = segment::path_of(self.dir, first);
        let file = open(self.disk, &path)?;
        let (header, seed) = SegmentHeader::read(&file, &path, self.owner, first)?;
        let expected = self.last.map_or(first, |last| last.index.next().0);
        if header.previous != self.chain || first != expected {
            let detail = format!("the segment does not follow the log, which goes on at record {expected}");
            return Err(LogError::damaged(&path, 48, detail));
        }
        let capacity = file.len().map_err(LogError::io("read", &path))?;
        self.map.push(first, capacity, SEGMENT_HEADER_BYTES);
        self.proven = SEGMENT_HEADER_BYTES;
        let mut walk = Walk::new(&file, seed, SEGMENT_HEADER_BYTES, READ_BYTES);
        let stopped_by = self.records(&mut walk, first).map_err(LogError::io("read", &path))?;
        let end = walk.offset();
        self.report.bytes += end;
        let next = self.last.map_or(first, |last| last.index.next().0);
        match successor {
            Some(successor) if successor == next => return Ok(()),
            Some(successor) => {
                let detail = format!("{stopped_by}, and the next segment begins only at record {successor}");
                return Err(LogError::damaged(&path, end, detail));
            }
            None => {}
        }
        self.tail(&path, &file, walk, next, stopped_by)?;
        self.write_again(&path, &file, end)?;
        self.active = Some(Active { file, seed, end });
        Ok(())
    }

    /// Removes the segment of a log without records: the first record to come may
    /// have another index than the one that the segment was begun for.
    fn drop_hollow(&mut self) -> Result<(), LogError> {
        if self.last.is_some() {
            return Ok(());
        }
        self.active = None;
        for first in self.map.clear() {
            let path = segment::path_of(self.dir, first);
            self.disk.remove(&path).map_err(LogError::io("remove", &path))?;
        }
        self.disk.sync_dir(self.dir).map_err(LogError::io("sync", self.dir))
    }

    /// Reads records up to the first bytes that are none, or do not follow, and says why.
    fn records(&mut self, walk: &mut Walk<'_>, first: u64) -> std::io::Result<&'static str> {
        loop {
            let header = match walk.header()? {
                Ok(header) => header,
                Err(NotAFrame::Blank) => return Ok("no record was written here"),
                Err(NotAFrame::Invalid(reason)) => return Ok(reason),
            };
            if let Some(reason) = self.objection(&header, first) {
                return Ok(reason);
            }
            if walk.payload(&header)?.is_none() {
                return Ok("the checksum of the record's payload does not match");
            }
            if header.id.index.0 < self.durable_until {
                self.proven = walk.offset() + header.frame_bytes();
            }
            self.map.grow(header.id.index.0, header.frame_bytes());
            walk.skip(&header);
            self.chain = header.chain;
            self.last = Some(header.id);
            self.committed_found |= self.last == self.committed;
            self.report.records += 1;
        }
    }

    /// Why a valid record cannot be the next one.
    fn objection(&self, header: &FrameHeader, first: u64) -> Option<&'static str> {
        let expected = self.last.map_or(first, |last| last.index.next().0);
        if header.id.index.0 != expected {
            return Some("the record's index does not follow");
        }
        if header.previous != self.chain {
            return Some("the record was not written after the one before it");
        }
        if self.last.is_some_and(|last| header.id.term < last.term) {
            return Some("the record's term is lower than the one before it");
        }
        None
    }

    /// Makes what was read durable. What a process wrote whose sync failed, or
    /// never came back, may be only in the system's memory and marked clean
    /// there: it is read, and no sync would write it. So it is written again.
    fn write_again(&self, path: &Path, file: &DiskFile, end: u64) -> Result<(), LogError> {
        let mut at = self.proven;
        while at < end {
            let mut bytes = vec![0; (end - at).min(READ_BYTES as u64) as usize];
            file.read_exact_at(&mut bytes, at).map_err(LogError::io("read", path))?;
            file.write_all_at(&bytes, at).map_err(LogError::io("write", path))?;
            at += bytes.len() as u64;
        }
        file.sync_all().map_err(LogError::io("sync", path))
    }

    /// Tells a torn tail, which is cut, from damage.
    fn tail(
        &mut self,
        path: &Path,
        file: &DiskFile,
        mut walk: Walk<'_>,
        next: u64,
        stopped_by: &str,
    ) -> Result<(), LogError> {
        let end = walk.offset();
        let remains = walk.scan().map_err(LogError::io("read", path))?;
        let durable_until = self.durable_until.max(remains.durable_until);
        if durable_until > next && !planted(Planted::DamageTakenForTornTail) {
            let detail = format!("{stopped_by}, but records {next} to {} were durable", durable_until - 1);
            return Err(LogError::damaged(path, end, detail));
        }
        if remains.end > end {
            self.report.torn_bytes = remains.end - end;
            warn!(
                file = %path.display(),
                offset = end,
                bytes = self.report.torn_bytes,
                reason = stopped_by,
                "torn tail cut"
            );
            zero(file, path, end, remains.end)?;
        }
        Ok(())
    }
}

fn open(disk: &Disk, path: &Path) -> Result<DiskFile, LogError> {
    disk.open(path).map_err(LogError::io("open", path))
}

/// Overwrites bytes with zeros; durable on return.
fn zero(file: &DiskFile, path: &Path, from: u64, until: u64) -> Result<(), LogError> {
    let zeroed = write_zeros(file, from, until).and_then(|()| file.sync_all());
    zeroed.map_err(LogError::io("write", path))
}
