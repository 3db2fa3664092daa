//! Finding what is damaged in a log that does not open, and mending it in place
//! with the records of a peer.
//!
//! Invariants:
//! - Only bytes that are proven damaged are written, with the bytes that were
//!   there before. A payload must be that of the record's own header. A lost
//!   record must hash to what the record after it, or the next segment, says of
//!   it. Only the log's last records have nothing after them: what is put there
//!   is committed by the group, and only where the group has committed the
//!   record before them too, so that they do not follow a tail that it dropped.
//! - A crash on the way leaves damage as it was, to be found again.

use std::path::{Path, PathBuf};

use weir_types::{GroupId, LogId, LogIndex, Term};

use super::{
    error::LogError,
    frame::{ALIGN, Chain, FrameHeader, HEADER_BYTES, Head, NotAFrame, frame_bytes},
    mark::{self, Mark},
    owner::Owner,
    record::LogRecord,
    recovery,
    segment::{self, SEGMENT_HEADER_BYTES, SegmentHeader, write_zeros},
    slots::SlotFile,
    walk::Walk,
};
use crate::{
    disk::{Disk, DiskFile},
    folder::DataFolder,
};

const READ_BYTES: usize = 1024 * 1024;
/// Records in a row that can be lost: what each header said of the durable mark is found by trying, and
/// each record doubles the tries.
const LOST_RECORDS_MAX: u64 = 20;

/// One damaged place.
#[derive(Debug)]
pub struct LogDamage {
    disk: Disk,
    file: PathBuf,
    offset: u64,
    wound: Wound,
}

#[derive(Debug)]
enum Wound {
    /// The segment's header, which can be made anew.
    Segment(Box<[u8; SEGMENT_HEADER_BYTES as usize]>),
    /// The payload of a record whose header is whole.
    Payload(FrameHeader),
    /// Whole records.
    Records(Gap),
}

/// Records that are gone.
#[derive(Debug)]
struct Gap {
    seed: u32,
    from: u64,
    until: u64,
    before: Before,
    /// The bytes that they took, or the most that they may have taken at the end of a segment.
    bytes: u64,
    /// Whether a record follows in the same segment.
    exact: bool,
    /// The chain value that the last of them has; unknown at the end of the log.
    chain: Option<Chain>,
}

/// What is known of the record before.
#[derive(Debug, Clone, Copy)]
struct Before {
    last: Option<LogId>,
    chain: Chain,
    durable_until: u64,
}

/// Why records do not mend a damage.
#[derive(Debug, thiserror::Error)]
pub enum MendError {
    /// They are not those that were lost. Nothing was written.
    #[error("records {from} to {last} do not fit the log around them: {detail}")]
    Unfit {
        /// The first lost record.
        from: LogIndex,
        /// The last.
        last: LogIndex,
        /// What does not fit.
        detail: &'static str,
    },
    /// The file could not be written.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl LogDamage {
    /// The first damage in a group's log, which must not be open. `None` when there is none.
    ///
    /// # Errors
    /// [`LogError`]; [`LogError::Damaged`] for damage that cannot be mended in place.
    pub fn find(folder: &DataFolder, group: GroupId) -> Result<Option<Self>, LogError> {
        let (disk, dir) = (folder.disk().clone(), folder.log_dir(group));
        let owner = Owner { identity: folder.identity(), group };
        let segments = recovery::list(&disk, &dir)?;
        let mark_path = dir.join(mark::NAME);
        let (_, value) = SlotFile::open(&disk, &mark_path, mark::MAGIC, owner)?;
        let mark = Mark::decode(&value)
            .ok_or_else(|| LogError::damaged(&mark_path, 0, "the value is not a mark"))?;
        let before = Before { last: None, chain: Chain::GENESIS, durable_until: 0 };
        let mut search = Search { disk, dir, owner, durable_until: mark.durable_until, before };
        for (at, first) in segments.iter().enumerate() {
            if let Some(damage) = search.segment(*first, segments.get(at + 1).copied())? {
                return Ok(Some(damage));
            }
        }
        Ok(None)
    }

    /// The damaged file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Where in it, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The records that are needed to mend it, from and exclusive until; none when it mends itself. For the
    /// end of the log the record before the lost ones is one of them. All must be committed by the group.
    #[must_use]
    pub fn needs(&self) -> Option<(LogIndex, LogIndex)> {
        match &self.wound {
            Wound::Segment(_) => None,
            Wound::Payload(header) => Some((header.id.index, header.id.index.next())),
            Wound::Records(gap) => {
                let first = gap.witness().map_or(LogIndex(gap.from), |before| before.index);
                Some((first, LogIndex(gap.until)))
            }
        }
    }

    /// Puts the records in the place of what is damaged; durable on return.
    ///
    /// # Errors
    /// [`MendError`].
    pub fn mend(&self, records: &[LogRecord]) -> Result<(), MendError> {
        let (bytes, zeros) = match &self.wound {
            Wound::Segment(header) => (header.to_vec(), 0),
            Wound::Payload(header) => (self.payload(header, records)?, 0),
            Wound::Records(gap) => {
                let bytes = gap.encode(self.offset, records).map_err(|detail| self.unfit(detail))?;
                let zeros = gap.bytes - bytes.len() as u64;
                (bytes, zeros)
            }
        };
        let at = match &self.wound {
            Wound::Payload(_) => self.offset + HEADER_BYTES as u64,
            Wound::Segment(_) | Wound::Records(_) => self.offset,
        };
        let file = self.disk.open(&self.file).map_err(LogError::io("open", &self.file))?;
        let end = at + bytes.len() as u64;
        let written = file.write_all_at(&bytes, at).and_then(|()| write_zeros(&file, end, end + zeros));
        written.and_then(|()| file.sync_all()).map_err(LogError::io("write", &self.file))?;
        Ok(())
    }

    fn payload(&self, header: &FrameHeader, records: &[LogRecord]) -> Result<Vec<u8>, MendError> {
        let [record] = records else { return Err(self.unfit("one record was lost")) };
        let mut padded = record.payload.to_vec();
        padded.resize(header.frame_bytes() as usize - HEADER_BYTES, 0);
        if (record.id, record.kind) != (header.id, header.kind)
            || record.payload.len() != header.payload_bytes as usize
            || !header.owns(&padded)
        {
            return Err(self.unfit("the record is another one than its header says"));
        }
        Ok(padded)
    }

    fn unfit(&self, detail: &'static str) -> MendError {
        let (from, until) = self.needs().unwrap_or((LogIndex::ZERO, LogIndex(1)));
        MendError::Unfit { from, last: LogIndex(until.0.saturating_sub(1)), detail }
    }
}

impl Gap {
    /// The record before a gap that nothing follows. Nothing else here tells whether what the group has
    /// committed belongs behind it.
    fn witness(&self) -> Option<LogId> {
        self.before.last.filter(|_| self.chain.is_none())
    }

    /// The bytes of the records from `offset` on, as they were.
    fn encode(&self, offset: u64, records: &[LogRecord]) -> Result<Vec<u8>, &'static str> {
        let records = match (self.witness(), records.split_first()) {
            (None, _) => records,
            (Some(before), Some((witness, lost))) if witness.id == before => lost,
            (Some(_), _) => return Err("the group has committed another record before them"),
        };
        let mut term = self.before.last.map_or(Term::ZERO, |last| last.term);
        let mut expected = self.from;
        for record in records {
            if record.id.index.0 != expected || record.id.term < term {
                return Err("they are not consecutive");
            }
            (expected, term) = (expected + 1, record.id.term);
        }
        if expected != self.until {
            return Err("some are missing");
        }
        let bytes: u64 = records.iter().map(|record| frame_bytes(record.payload.len())).sum();
        if bytes > self.bytes || (self.exact && bytes != self.bytes) {
            return Err("they have another length");
        }
        let mut heads: Vec<(Head, u64)> = Vec::with_capacity(records.len());
        let mut at = offset;
        for record in records {
            heads.push((Head::of(record), at));
            at += frame_bytes(record.payload.len());
        }
        let headers = self.headers(&heads);
        let headers = headers.ok_or("their hashes do not lead to that of the record after them")?;
        let mut bytes = Vec::with_capacity(bytes as usize);
        for (header, record) in headers.iter().zip(records) {
            bytes.extend_from_slice(header);
            bytes.extend_from_slice(&record.payload);
            bytes.resize(bytes.len().next_multiple_of(ALIGN as usize), 0);
        }
        Ok(bytes)
    }

    /// Finds the headers whose last has the chain value that is known, if it is. A header says up to where all was
    /// durable when its record was written: that is what the record before it said, or, when that one was
    /// durable by then, the record's own index.
    fn headers(&self, heads: &[(Head, u64)]) -> Option<Vec<[u8; HEADER_BYTES]>> {
        let mut found = Vec::with_capacity(heads.len());
        let mut previous = self.before.chain;
        if self.chain.is_some() {
            return self.fit(heads, previous, self.before.durable_until, &mut found).then_some(found);
        }
        // Nothing follows that could say otherwise, and there may be more of them than a stack is deep.
        for (head, offset) in heads {
            let (header, chain) = head.encode(previous, head.id.index.0, self.seed, *offset);
            found.push(header);
            previous = chain;
        }
        Some(found)
    }

    /// Tries both for one record after the other; there are at most [`LOST_RECORDS_MAX`].
    fn fit(
        &self,
        heads: &[(Head, u64)],
        previous: Chain,
        durable_until: u64,
        found: &mut Vec<[u8; HEADER_BYTES]>,
    ) -> bool {
        let Some(((head, offset), rest)) = heads.split_first() else {
            return self.chain.is_none_or(|chain| chain == previous);
        };
        let own = head.id.index.0;
        let choices = [own, durable_until];
        for durable in &choices[..if own == durable_until { 1 } else { 2 }] {
            let (header, chain) = head.encode(previous, *durable, self.seed, *offset);
            found.push(header);
            if self.fit(rest, chain, *durable, found) {
                return true;
            }
            found.pop();
        }
        false
    }
}

/// The log as far as it is whole.
struct Search {
    disk: Disk,
    dir: PathBuf,
    owner: Owner,
    /// What the mark file proves.
    durable_until: u64,
    before: Before,
}

impl Search {
    fn next(&self, first: u64) -> u64 {
        self.before.last.map_or(first, |last| last.index.next().0)
    }

    fn segment(&mut self, first: u64, successor: Option<u64>) -> Result<Option<LogDamage>, LogError> {
        let path = segment::path_of(&self.dir, first);
        let file = self.disk.open_to_read(&path).map_err(LogError::io("open", &path))?;
        let seed = match SegmentHeader::read(&file, &path, self.owner, first) {
            Ok((header, seed)) if header.previous == self.before.chain && first == self.next(first) => seed,
            Ok(_) => return Err(LogError::damaged(&path, 48, "the segment does not follow the log")),
            Err(error @ LogError::Damaged { .. }) => return self.header(first, &file, path, error).map(Some),
            Err(error) => return Err(error),
        };
        let mut walk = Walk::new(&file, seed, SEGMENT_HEADER_BYTES, READ_BYTES);
        let payload = self.records(&mut walk, first).map_err(LogError::io("read", &path))?;
        let next = self.next(first);
        if payload.is_none() && successor == Some(next) {
            return Ok(None);
        }
        let offset = walk.offset();
        let after = self.after(&mut walk, &file, &path, successor)?;
        if after.until <= next {
            return Ok(None);
        }
        let wound = match payload {
            Some(header) => Wound::Payload(header),
            None if after.chain.is_some() && after.until - next > LOST_RECORDS_MAX => {
                let detail = format!("{} records in a row are lost", after.until - next);
                return Err(LogError::damaged(&path, offset, detail));
            }
            None => {
                let After { until, chain, offset: end, exact } = after;
                let (from, before, bytes) = (next, self.before, end - offset);
                Wound::Records(Gap { seed, from, until, before, bytes, exact, chain })
            }
        };
        Ok(Some(LogDamage { disk: self.disk.clone(), file: path, offset, wound }))
    }

    /// Reads records up to the first that is not whole; its header, if only its payload is not.
    fn records(&mut self, walk: &mut Walk<'_>, first: u64) -> std::io::Result<Option<FrameHeader>> {
        loop {
            let header = match walk.header()? {
                Ok(header) => header,
                Err(NotAFrame::Blank | NotAFrame::Invalid(_)) => return Ok(None),
            };
            let falls = self.before.last.is_some_and(|last| header.id.term < last.term);
            if header.id.index.0 != self.next(first) || header.previous != self.before.chain || falls {
                return Ok(None);
            }
            if walk.payload(&header)?.is_none() {
                return Ok(Some(header));
            }
            walk.skip(&header);
            let (last, chain) = (Some(header.id), header.chain);
            self.before = Before { last, chain, durable_until: header.durable_until };
        }
    }

    /// What comes after the place where a walk stopped: the next whole record, the next segment, or, at the
    /// log's end, what the mark says. Without a proof that something was durable it is nothing.
    fn after(
        &self,
        walk: &mut Walk<'_>,
        file: &DiskFile,
        path: &Path,
        successor: Option<u64>,
    ) -> Result<After, LogError> {
        let io = |error| LogError::io("read", path)(error);
        let capacity = file.len().map_err(io)?;
        let found = walk.next_header().map_err(io)?;
        if let Some(first) = successor {
            if let Some((offset, header)) = found {
                return Ok(After::record(offset, &header));
            }
            let path = segment::path_of(&self.dir, first);
            let file = self.disk.open_to_read(&path).map_err(LogError::io("open", &path))?;
            let (header, _) = SegmentHeader::read(&file, &path, self.owner, first)?;
            let chain = Some(header.previous);
            return Ok(After { until: first, chain, offset: capacity, exact: false });
        }
        let durable_until = self.durable_until.max(walk.scan().map_err(io)?.durable_until);
        Ok(match found {
            Some((offset, header)) if header.id.index.0 <= durable_until => After::record(offset, &header),
            Some(_) | None => After { until: durable_until, chain: None, offset: capacity, exact: false },
        })
    }

    /// A segment's header can be made anew from what is known. That it is right shows in the first record,
    /// whose checksum holds that of the header.
    fn header(
        &self,
        first: u64,
        file: &DiskFile,
        path: PathBuf,
        error: LogError,
    ) -> Result<LogDamage, LogError> {
        let header = SegmentHeader { owner: self.owner, first, previous: self.before.chain };
        let (bytes, seed) = header.encode();
        let mut walk = Walk::new(file, seed, SEGMENT_HEADER_BYTES, READ_BYTES);
        match walk.header().map_err(LogError::io("read", &path))? {
            Ok(record) if record.id.index.0 == first && record.previous == self.before.chain => {
                let wound = Wound::Segment(Box::new(bytes));
                Ok(LogDamage { disk: self.disk.clone(), file: path, offset: 0, wound })
            }
            _ => Err(error),
        }
    }
}

struct After {
    /// The index of what comes next.
    until: u64,
    chain: Option<Chain>,
    /// Where it begins, or the file ends.
    offset: u64,
    /// Whether it is a record.
    exact: bool,
}

impl After {
    fn record(offset: u64, header: &FrameHeader) -> Self {
        Self { until: header.id.index.0, chain: Some(header.previous), offset, exact: true }
    }
}
