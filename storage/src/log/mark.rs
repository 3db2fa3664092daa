//! The mark: how far the log was durable, a cut that is under way, and what the
//! group had committed. It tells a torn tail from damage.

use bytes::{Buf, BufMut};
use weir_types::{LogId, LogIndex, NodeId, Term};

/// The file's name in a log folder.
pub(super) const NAME: &str = "mark";
/// The first bytes of its slots.
pub(super) const MAGIC: [u8; 8] = *b"WEIRMARK";

/// What the mark file holds. Always true of the disk, perhaps behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// Exclusive: every record with a lower index was durable.
    pub(super) durable_until: u64,
    /// A truncation that began and must be finished before the log is read.
    pub(super) cut: Option<Cut>,
    /// What the group had committed, to this node's knowledge.
    pub(super) committed: Option<LogId>,
}

/// What a truncation keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Nothing.
    All,
    /// This segment up to this byte, and all segments before it.
    After {
        /// The index of the segment's first record.
        segment: u64,
        /// The first byte of the file to go.
        offset: u64,
    },
}

const HAS_COMMITTED: u8 = 1;
const CUTS_ALL: u8 = 2;
const CUTS_AFTER: u8 = 4;

impl Mark {
    /// Flags u8, durable-until u64, the cut's segment and offset u64 each, the
    /// committed term, leader and index u64 each; little-endian, absent is zero.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(49);
        let (cut_flag, segment, offset) = match self.cut {
            None => (0, 0, 0),
            Some(Cut::All) => (CUTS_ALL, 0, 0),
            Some(Cut::After { segment, offset }) => (CUTS_AFTER, segment, offset),
        };
        let committed_flag = if self.committed.is_some() { HAS_COMMITTED } else { 0 };
        bytes.put_u8(cut_flag | committed_flag);
        bytes.put_u64_le(self.durable_until);
        bytes.put_u64_le(segment);
        bytes.put_u64_le(offset);
        let (term, leader, index) =
            self.committed.map_or((0, 0, 0), |id| (id.term.0, id.leader.0, id.index.0));
        bytes.put_u64_le(term);
        bytes.put_u64_le(leader);
        bytes.put_u64_le(index);
        bytes
    }

    /// `None` when the bytes are not a mark of this format.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() != 49 {
            return None;
        }
        let flags = bytes.get_u8();
        let durable_until = bytes.get_u64_le();
        let (segment, offset) = (bytes.get_u64_le(), bytes.get_u64_le());
        let term = Term(bytes.get_u64_le());
        let leader = NodeId(bytes.get_u64_le());
        let index = LogIndex(bytes.get_u64_le());
        let cut = match flags & !HAS_COMMITTED {
            0 => None,
            CUTS_ALL => Some(Cut::All),
            CUTS_AFTER => Some(Cut::After { segment, offset }),
            _ => return None,
        };
        let committed = (flags & HAS_COMMITTED != 0).then_some(LogId { term, leader, index });
        Some(Self { durable_until, cut, committed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_round_trip() {
        let id = LogId { term: Term(3), leader: NodeId(2), index: LogIndex(9) };
        for cut in [None, Some(Cut::All), Some(Cut::After { segment: 4, offset: 128 })] {
            for committed in [None, Some(id)] {
                let mark = Mark { durable_until: 10, cut, committed };
                assert_eq!(Mark::decode(&mark.encode()), Some(mark));
            }
        }
        assert_eq!(Mark::decode(&[0; 48]), None);
        assert_eq!(Mark::decode(&[0xff; 49]), None);
    }
}
