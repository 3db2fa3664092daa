use weir_types::Position;

/// What to do with a batch from the bus. Positions within it rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// All of it is folded already.
    Skip,
    /// Positions are missing before it: read these from the log first.
    Fill {
        /// The first.
        from: Position,
        /// How many.
        count: u64,
    },
    /// The node has not applied its next event yet: wait until it has applied this.
    Wait(Position),
    /// Fold `take` events after `skip`.
    Fold {
        /// Events that are folded already.
        skip: usize,
        /// Events that follow without a hole and are applied here.
        take: usize,
    },
}

/// Decides by positions alone, so that duplicates, holes and a bus that is
/// ahead of this node's own log all come to the same fold.
pub(super) fn step(folded: Position, applied: Position, batch: &[Position]) -> Step {
    let skip = batch.partition_point(|position| *position <= folded);
    let Some(first) = batch.get(skip) else { return Step::Skip };
    let next = folded.next();
    if next > applied {
        return Step::Wait(next);
    }
    if *first > next {
        let until = (*first).min(applied.next());
        return Step::Fill { from: next, count: until.0 - next.0 };
    }
    let chain = batch[skip..].iter().zip(next.0..);
    let take = chain.take_while(|(position, next)| position.0 == *next && **position <= applied).count();
    Step::Fold { skip, take }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(folded: u64, applied: u64, batch: &[u64], expected: Step) {
        let batch: Vec<_> = batch.iter().copied().map(Position).collect();
        let got = step(Position(folded), Position(applied), &batch);
        assert_eq!(got, expected, "folded {folded}, applied {applied}, batch {batch:?}");
    }

    #[test]
    fn a_batch_is_folded_by_its_positions() {
        check(5, 9, &[], Step::Skip);
        check(5, 9, &[4, 5], Step::Skip);
        check(5, 9, &[6, 7], Step::Fold { skip: 0, take: 2 });
        check(5, 9, &[4, 5, 6], Step::Fold { skip: 2, take: 1 });
        check(5, 9, &[8, 9], Step::Fill { from: Position(6), count: 2 });
        check(5, 9, &[6, 8], Step::Fold { skip: 0, take: 1 });
        check(5, 6, &[6, 7], Step::Fold { skip: 0, take: 1 });
        check(5, 5, &[6, 7], Step::Wait(Position(6)));
        check(5, 5, &[9], Step::Wait(Position(6)));
        check(5, 7, &[20], Step::Fill { from: Position(6), count: 2 });
        check(0, 3, &[1, 2, 2, 3], Step::Fold { skip: 0, take: 2 });
    }

    #[test]
    fn every_step_moves_on() {
        for folded in 0..6_u64 {
            for applied in folded..8 {
                for first in 1..9_u64 {
                    match step(Position(folded), Position(applied), &[Position(first)]) {
                        Step::Skip => assert!(first <= folded),
                        Step::Wait(until) => assert!(until.0 > applied),
                        Step::Fill { count, .. } => assert!(count > 0),
                        Step::Fold { take, .. } => assert!(take > 0),
                    }
                }
            }
        }
    }
}
