//! Chance, from the seed alone.
//!
//! Hash maps, runtimes and libraries draw random bytes where nobody can hand
//! them another source: all of them ask `getrandom`. In a program that links
//! this crate it answers from a stream that a seed begins, one stream per
//! thread, so that the thread which drives a simulation draws the same bytes
//! in every run.
#![allow(unsafe_code, reason = "the C function that everybody asks for random bytes is replaced")]

use std::{cell::Cell, slice};

use weir_check::rng::Rng;

thread_local! {
    static STREAM: Cell<u64> = const { Cell::new(0x005E_ED0F_07AE_4B1D) };
}

/// Begins this thread's stream. Call it before anything draws.
pub fn begin(seed: u64) {
    STREAM.set(seed);
}

/// Fills a buffer; never fails.
///
/// # Safety
/// As getrandom(2): `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    if length == 0 {
        return 0;
    }
    // SAFETY: the caller promises room for so many bytes.
    let bytes = unsafe { slice::from_raw_parts_mut(buffer, length) };
    // A thread that ends has no stream any more, and what it still draws matters to nobody.
    let mut rng = Rng::new(STREAM.try_with(Cell::get).unwrap_or(0));
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&rng.draw().to_le_bytes()[..chunk.len()]);
    }
    let _ = STREAM.try_with(|stream| stream.set(rng.draw()));
    isize::try_from(length).unwrap_or(isize::MAX)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::hash_map::RandomState,
        hash::BuildHasher as _,
        thread::{self, JoinHandle},
    };

    fn drawn(seed: u64) -> JoinHandle<(u64, u128)> {
        thread::spawn(move || {
            super::begin(seed);
            (RandomState::new().hash_one(7), uuid::Uuid::new_v4().as_u128())
        })
    }

    #[test]
    fn hash_maps_and_ids_follow_the_seed() {
        let [one, again, other] = [1, 1, 2].map(|seed| drawn(seed).join().unwrap());
        assert_eq!(one, again);
        assert_ne!(one.0, other.0, "hash maps");
        assert_ne!(one.1, other.1, "ids");
    }
}
