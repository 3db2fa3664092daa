//! Seeded mutation: inputs for the test runs, where no coverage leads the way.

/// Numbers that parsers get wrong.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x001f_ffff_ffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Text that parsers get wrong.
const TEXTS: [&str; 20] = [
    "\"",
    "{",
    "}",
    "[",
    "null",
    "-1",
    "-0.0",
    "1e999",
    "9223372036854775808",
    "\\u0000",
    "\\ud800",
    "\r\n",
    "\0",
    "*",
    ".*",
    "..",
    "%00",
    "%2e%2e%2f",
    "\u{202e}",
    "\u{feff}",
];

/// Bytes that a mutated input has at most, unless its seed is longer.
const BYTES_MAX: usize = 4 * 1024;

/// Makes inputs of seeds. The same seed number gives the same inputs in the same order.
pub struct Mutator(u64);

impl Mutator {
    /// One that begins at a seed number.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A variation of one of the inputs, perhaps joined with another.
    ///
    /// # Panics
    /// When there are no inputs.
    pub fn next(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut data = inputs[self.below(inputs.len())].clone();
        let len_max = data.len().max(BYTES_MAX);
        for _ in 0..=self.below(4) {
            let other = &inputs[self.below(inputs.len())];
            self.change(&mut data, other);
        }
        data.truncate(len_max);
        data
    }

    fn change(&mut self, data: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(data.len() + 1);
        let end = (at + 1 + self.below(16)).min(data.len());
        match self.below(10) {
            0 if at < data.len() => data[at] ^= 1 << self.below(8),
            1 if at < data.len() => data[at] = self.random() as u8,
            2 => data.truncate(at),
            3 => drop(data.drain(at..end)),
            4 => {
                let piece = data[at..end].to_vec();
                insert(data, at, &piece);
            }
            5 => {
                let piece = TEXTS[self.below(TEXTS.len())].as_bytes();
                insert(data, at, piece);
            }
            6 => {
                let number = NUMBERS[self.below(NUMBERS.len())].to_le_bytes();
                let width = [1, 2, 4, 8][self.below(4)].min(data.len() - at);
                data[at..at + width].copy_from_slice(&number[..width]);
            }
            7 if !other.is_empty() => {
                let from = self.below(other.len());
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
            8 => data[at..end].fill(0),
            _ => {
                let digits = NUMBERS[self.below(NUMBERS.len())].to_string();
                insert(data, at, digits.as_bytes());
            }
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.random() % bound as u64) as usize
    }

    /// `SplitMix64` (Steele, Lea, Flood).
    fn random(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn insert(data: &mut Vec<u8>, at: usize, piece: &[u8]) {
    data.splice(at..at, piece.iter().copied());
}
