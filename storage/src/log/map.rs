//! Where records lie: every segment, and a landmark about every 64 KiB within.

/// Bytes of log between two landmarks, about: 16 bytes of memory each.
const LANDMARK_BYTES: u64 = 64 * 1024;

/// The segments of a log in order. The last one is written to.
#[derive(Debug, Default)]
pub(super) struct SegmentMap {
    segments: Vec<Segment>,
    incarnations: u64,
}

/// One segment file.
#[derive(Debug)]
pub(super) struct Segment {
    /// The index of its first record.
    pub(super) first: u64,
    /// Tells it from an earlier file of the same name.
    pub(super) incarnation: u64,
    /// The length of the file in bytes.
    pub(super) capacity: u64,
    /// The first byte after its last record.
    pub(super) end: u64,
    /// Indexes of records and where they begin, ascending.
    landmarks: Vec<(u64, u64)>,
}

/// Where to begin looking for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) segment: u64,
    pub(super) incarnation: u64,
    /// A record at or before the one looked for, and where it begins.
    pub(super) index: u64,
    pub(super) offset: u64,
    /// The first byte after the segment's last record.
    pub(super) end: u64,
}

impl SegmentMap {
    /// Adds a segment at the end of the log.
    pub(super) fn push(&mut self, first: u64, capacity: u64, start: u64) {
        self.incarnations += 1;
        let incarnation = self.incarnations;
        self.segments.push(Segment { first, incarnation, capacity, end: start, landmarks: Vec::new() });
    }

    /// Adds a record of so many bytes at the end of the last segment.
    pub(super) fn grow(&mut self, index: u64, bytes: u64) {
        let segment = self.segments.last_mut().expect("a record has a segment");
        let offset = segment.end;
        segment.end += bytes;
        assert!(segment.end <= segment.capacity, "a record lies within its segment");
        if segment.landmarks.last().is_none_or(|(_, last)| offset - last >= LANDMARK_BYTES) {
            segment.landmarks.push((index, offset));
        }
    }

    /// The segment that is written to.
    pub(super) fn last(&self) -> Option<&Segment> {
        self.segments.last()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.segments.len()
    }

    /// The segment that begins at `first`.
    pub(super) fn segment(&self, first: u64) -> Option<&Segment> {
        self.segments.binary_search_by_key(&first, |segment| segment.first).ok().map(|at| &self.segments[at])
    }

    /// Where to look for a record that is in the log.
    pub(super) fn locate(&self, index: u64) -> Option<Spot> {
        let at = self.segments.partition_point(|segment| segment.first <= index).checked_sub(1)?;
        let segment = &self.segments[at];
        let landmark = segment.landmarks.partition_point(|(at, _)| *at <= index).checked_sub(1)?;
        let (found, offset) = segment.landmarks[landmark];
        let Segment { first, incarnation, end, .. } = *segment;
        Some(Spot { segment: first, incarnation, index: found, offset, end })
    }

    /// Drops the segments after the one that begins at `first`, and its records
    /// from byte `offset` on. Returns the ends of what went: the byte after the
    /// kept segment's last record, and the dropped segments in order.
    pub(super) fn truncate(&mut self, first: u64, offset: u64) -> (u64, Vec<u64>) {
        let keep = self.segments.partition_point(|segment| segment.first <= first);
        let dropped = self.segments.drain(keep..).map(|segment| segment.first).collect();
        let segment = self.segments.last_mut().expect("the kept segment exists");
        assert_eq!(segment.first, first, "a cut names a segment of the log");
        let end = std::mem::replace(&mut segment.end, offset);
        segment.landmarks.retain(|(_, at)| *at < offset);
        (end, dropped)
    }

    /// Drops all segments and returns them in order.
    pub(super) fn clear(&mut self) -> Vec<u64> {
        self.segments.drain(..).map(|segment| segment.first).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_from_the_landmark_before_them() {
        let mut map = SegmentMap::default();
        assert_eq!(map.locate(1), None);
        map.push(1, 1 << 20, 128);
        for index in 1..=10 {
            map.grow(index, 40_000);
        }
        map.push(11, 1 << 20, 128);
        map.grow(11, 8);
        let found = |index| map.locate(index).map(|spot| (spot.segment, spot.index, spot.offset));
        assert_eq!(found(0), None);
        assert_eq!(found(1), Some((1, 1, 128)));
        assert_eq!(found(2), Some((1, 1, 128)));
        assert_eq!(found(3), Some((1, 3, 80_128)));
        assert_eq!(found(10), Some((1, 9, 320_128)));
        assert_eq!(found(11), Some((11, 11, 128)));
    }

    #[test]
    fn a_cut_forgets_what_it_takes() {
        let mut map = SegmentMap::default();
        for first in [1, 3, 5] {
            map.push(first, 1 << 20, 128);
            map.grow(first, 70_000);
            map.grow(first + 1, 70_000);
        }
        assert_eq!(map.truncate(3, 70_128), (140_128, vec![5]));
        assert_eq!(map.locate(4).map(|spot| spot.index), Some(3));
        assert_eq!((map.len(), map.last().map(|segment| segment.end)), (2, Some(70_128)));
        assert_eq!(map.clear(), [1, 3]);
    }
}
