use std::cmp::Ordering;

use fjall::Slice;

/// Bytes of a key that are compared as numbers.
const FIRST_BYTES: usize = 16;

/// A key as the buffer orders it: its first bytes as two numbers, so that a comparison follows no pointer and
/// calls nothing for most keys, and then all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::index) struct Key {
    first: [u64; 2],
    pub(in crate::index) bytes: Slice,
}

impl Key {
    fn first_of(bytes: &[u8]) -> [u64; 2] {
        let mut first = [0; FIRST_BYTES];
        let len = bytes.len().min(FIRST_BYTES);
        first[..len].copy_from_slice(&bytes[..len]);
        let whole = u128::from_be_bytes(first);
        [(whole >> 64) as u64, whole as u64]
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Self { first: Self::first_of(bytes), bytes: bytes.into() }
    }
}

impl From<Slice> for Key {
    fn from(bytes: Slice) -> Self {
        Self { first: Self::first_of(&bytes), bytes }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        // What is missing of a short key counts as zeros, which never puts it after a longer one; the rest decides.
        self.first.cmp(&other.first).then_with(|| self.bytes[..].cmp(&other.bytes[..]))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_their_bytes() {
        let mut all: Vec<Vec<u8>> = vec![vec![]];
        for len in [1, 2, 7, 8, 9, 15, 16, 17, 20, 21, 40] {
            for last in [0, 1, 0x7f, 0x80, 0xff] {
                for fill in [0, 1, 0xff] {
                    let mut bytes = vec![fill; len];
                    bytes[len - 1] = last;
                    all.push(bytes);
                }
            }
        }
        for a in &all {
            for b in &all {
                assert_eq!(Key::from(&a[..]).cmp(&Key::from(&b[..])), a.cmp(b), "{a:?} and {b:?}");
                assert_eq!(Key::from(&a[..]) == Key::from(Slice::from(&b[..])), a == b);
            }
        }
    }
}
