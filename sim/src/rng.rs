//! Numbers that are the same for a seed on every machine and in every version.

use std::ops::Range;

/// SplitMix64: small, and good enough to choose with.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The numbers of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another sequence, for whoever has this name: what others draw does not change it.
    #[must_use]
    pub fn named(seed: u64, name: &str) -> Self {
        Self(name.bytes().fold(seed, |state, byte| Self(state ^ u64::from(byte)).draw()))
    }

    /// The next number.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range; its start when the range is empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        let width = range.end.saturating_sub(range.start).max(1);
        range.start + self.draw() % width
    }

    /// Whether something of this many per cent happens.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.within(0..100) < percent
    }

    /// One of them; nothing when there is none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(usize::try_from(self.within(0..of.len() as u64)).unwrap_or(0))
    }
}
