//! Random numbers that are the same for a seed on every machine and in every version.

use std::ops::Range;

/// SplitMix64: small, and good enough to choose with.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The numbers of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another sequence that depends on this seed and a name, and not on what was drawn so far:
    /// whoever has a name of its own draws the same numbers, whatever others draw.
    #[must_use]
    pub fn named(seed: u64, name: &str) -> Self {
        let mixed = name.bytes().fold(seed, |state, byte| Self(state ^ u64::from(byte)).draw());
        Self(mixed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
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
        let index = usize::try_from(self.within(0..of.len() as u64)).unwrap_or(0);
        of.get(index)
    }

    /// Puts them in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.within(0..last as u64 + 1)).unwrap_or(0);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_every_time() {
        let drawn = |mut rng: Rng| (0..5).map(|_| rng.draw()).collect::<Vec<_>>();
        assert_eq!(drawn(Rng::new(7)), drawn(Rng::new(7)));
        assert_ne!(drawn(Rng::new(7)), drawn(Rng::new(8)));
        assert_ne!(drawn(Rng::named(7, "a")), drawn(Rng::named(7, "b")));
    }

    #[test]
    fn a_number_is_within_its_range_and_an_empty_choice_is_nothing() {
        let mut rng = Rng::new(1);
        assert!((0..1_000).map(|_| rng.within(3..9)).all(|drawn| (3..9).contains(&drawn)));
        assert_eq!(rng.within(4..4), 4);
        assert_eq!(rng.pick::<u8>(&[]), None);
    }
}
