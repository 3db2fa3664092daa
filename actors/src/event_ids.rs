//! Where event ids come from.

use std::sync::atomic::{AtomicU64, Ordering};

use weir_types::{EventId, Timestamp};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Makes event ids: UUIDv7 of a given time, its random part drawn from a seed
/// and a counter. The same seed gives the same ids in the same order.
#[derive(Debug)]
pub struct EventIds {
    seed: u128,
    drawn: AtomicU64,
}

impl EventIds {
    /// A source whose ids no other source makes, if the seed is random and used once.
    #[must_use]
    pub fn seeded(seed: u128) -> Self {
        Self { seed, drawn: AtomicU64::new(0) }
    }

    /// The next id, of time `now`. A time before 1970 counts as 1970.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> EventId {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        let random = xxh3_128_with_seed(&self.seed.to_le_bytes(), drawn).to_le_bytes();
        let millis = u64::try_from(now.0 / 1_000).unwrap_or(0);
        let mut tail = [0; 10];
        tail.copy_from_slice(&random[..10]);
        EventId(uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_of_version_7_and_follow_the_seed() {
        let (ids, again, other) = (EventIds::seeded(1), EventIds::seeded(1), EventIds::seeded(2));
        let mut seen = HashSet::new();
        for millis in 0..10_000 {
            let now = Timestamp(millis * 1_000);
            let id = ids.next(now);
            assert_eq!(id, again.next(now));
            assert_eq!(id.0.get_version_num(), 7);
            assert!(seen.insert(id) && seen.insert(other.next(now)));
        }
        assert_eq!(EventIds::seeded(1).next(Timestamp(-5)).0.get_timestamp().unwrap().to_unix().0, 0);
    }
}
