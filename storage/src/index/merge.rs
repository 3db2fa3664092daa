//! Two sorted lists of entries as one, in which the newer hides the older.

use std::{cmp::Ordering, iter::Peekable, ops::RangeInclusive};

use fjall::Slice;

/// A key and its value; `None` removes the key from what lies below.
pub(super) type Entry = (Slice, Option<Slice>);

/// The range that every key is in: a key begins with the length of its group's number, which is 8 at most.
pub(super) fn all_keys() -> RangeInclusive<Vec<u8>> {
    Vec::new()..=vec![u8::MAX]
}

/// The order in which keys come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Rising,
    Falling,
}

impl Order {
    fn compare(self, a: &Slice, b: &Slice) -> Ordering {
        match self {
            Self::Rising => a.cmp(b),
            Self::Falling => b.cmp(a),
        }
    }
}

/// Merges two lists that are both in `order`. Of a key in both, only the newer's
/// entry comes. What cannot be read comes as soon as it is met.
pub(super) fn merge<N, O, E>(newer: N, older: O, order: Order) -> Merge<N, O>
where
    N: Iterator<Item = Result<Entry, E>>,
    O: Iterator<Item = Result<Entry, E>>,
{
    Merge { newer: newer.peekable(), older: older.peekable(), order }
}

pub(super) struct Merge<N: Iterator, O: Iterator> {
    newer: Peekable<N>,
    older: Peekable<O>,
    order: Order,
}

impl<N, O, E> Iterator for Merge<N, O>
where
    N: Iterator<Item = Result<Entry, E>>,
    O: Iterator<Item = Result<Entry, E>>,
{
    type Item = Result<Entry, E>;

    fn next(&mut self) -> Option<Self::Item> {
        match (self.newer.peek(), self.older.peek()) {
            (None, _) | (_, Some(Err(_))) => self.older.next(),
            (_, None) | (Some(Err(_)), _) => self.newer.next(),
            (Some(Ok(newer)), Some(Ok(older))) => match self.order.compare(&newer.0, &older.0) {
                Ordering::Less => self.newer.next(),
                Ordering::Greater => self.older.next(),
                Ordering::Equal => {
                    self.older.next();
                    self.newer.next()
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(&str, Option<&str>)]) -> Vec<Result<Entry, ()>> {
        entries.iter().map(|(key, value)| Ok((Slice::from(*key), value.map(Slice::from)))).collect()
    }

    #[test]
    fn the_newer_hides_the_older_in_both_orders() {
        let newer = list(&[("b", Some("new")), ("c", None), ("e", Some("5"))]);
        let older = list(&[("a", Some("1")), ("b", Some("old")), ("c", Some("3")), ("d", Some("4"))]);
        let mut merged =
            list(&[("a", Some("1")), ("b", Some("new")), ("c", None), ("d", Some("4")), ("e", Some("5"))]);
        let rising = merge(newer.clone().into_iter(), older.clone().into_iter(), Order::Rising);
        assert_eq!(rising.collect::<Vec<_>>(), merged);
        merged.reverse();
        let falling = merge(newer.into_iter().rev(), older.into_iter().rev(), Order::Falling);
        assert_eq!(falling.collect::<Vec<_>>(), merged);
    }
}
