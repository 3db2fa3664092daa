//! The order that real time demands, when the order of effects is known.
//!
//! Every operation takes effect at one moment of its interval. If the final
//! order gives each a rank, such moments exist exactly if no operation returned
//! before one of a lower rank was invoked: then the highest invocation up to
//! each rank is a legal moment for it. One sort and one pass decide it.

/// One operation in a known order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Which order: a stream's number. Different lines do not constrain each other.
    pub line: u32,
    /// Its place in the order; points with one rank do not constrain each other.
    pub rank: u64,
    /// It took effect at or after this moment.
    pub from_us: u64,
    /// And at or before this one.
    pub until_us: u64,
    /// Whether what follows it in the order must also follow it in time. Not so for a read that was allowed
    /// to be stale.
    pub binds: bool,
    /// The operation's id.
    pub op: u64,
}

/// The rank of what brings a line to `length`.
#[must_use]
pub const fn rank_of_append(length: u64) -> u64 {
    length.saturating_mul(2)
}

/// The rank of what saw a line at `length`.
#[must_use]
pub const fn rank_of_sight(length: u64) -> u64 {
    length.saturating_mul(2).saturating_add(1)
}

/// A pair that real time forbids: `late` has the lower rank and was invoked after `early` had returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inversion {
    /// The one that comes first in the order.
    pub late: Point,
    /// The one that comes after it.
    pub early: Point,
}

/// Finds every operation that returned before one of a lower rank began. Sorts the points.
pub fn inversions(points: &mut [Point]) -> Vec<Inversion> {
    points.sort_unstable_by_key(|point| (point.line, point.rank));
    let mut found = Vec::new();
    for line in points.chunk_by(|one, two| one.line == two.line) {
        let mut latest: Option<Point> = None;
        for rank in line.chunk_by(|one, two| one.rank == two.rank) {
            if let Some(late) = latest {
                let early = rank.iter().filter(|point| point.until_us < late.from_us);
                found.extend(early.map(|&early| Inversion { late, early }));
            }
            let candidates = rank.iter().filter(|point| point.binds).chain(latest.as_ref());
            latest = candidates.max_by_key(|point| point.from_us).copied();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(rank: u64, from_us: u64, until_us: u64, binds: bool) -> Point {
        Point { line: 0, rank, from_us, until_us, binds, op: rank }
    }

    #[test]
    fn only_a_return_before_a_lower_invocation_is_found() {
        let table = [
            (vec![point(2, 0, 5, true), point(4, 1, 9, true)], 0),
            (vec![point(2, 6, 9, true), point(4, 1, 5, true)], 1),
            (vec![point(2, 5, 9, true), point(4, 1, 5, true)], 0),
            (vec![point(3, 6, 9, true), point(3, 1, 5, true)], 0),
            (vec![point(3, 6, 9, false), point(4, 1, 5, true)], 0),
            (vec![point(2, 6, 9, true), point(3, 6, 9, true), point(6, 1, 5, false)], 1),
        ];
        for (mut points, expected) in table {
            assert_eq!(inversions(&mut points).len(), expected, "{points:?}");
        }
    }
}
