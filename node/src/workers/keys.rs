//! Where what is stored of worker-run projections lies.

use weir_types::{BucketName, KvFilter, KvKey, PartitionKey, Position, ProjectionName};

const BUCKET: &str = "_weir-workers";
/// What the bucket is for.
pub(super) const DESCRIPTION: &str = "projections that workers fold: their states, checkpoints and leases";

pub(super) fn bucket() -> BucketName {
    BucketName::new(BUCKET).expect("the name is legal")
}

pub(super) fn registration(name: &ProjectionName) -> KvKey {
    key(&format!("projection.{name}"))
}

pub(super) fn all_registrations() -> KvFilter {
    filter("projection.>")
}

/// Its revisions are the numbers of generations.
pub(super) fn numbered() -> KvKey {
    key("numbered")
}

/// Its revision is the number of the newest lease.
pub(super) fn fence(name: &ProjectionName) -> KvKey {
    key(&format!("fence.{name}"))
}

/// It is there as long as the newest lease.
pub(super) fn lease(name: &ProjectionName) -> KvKey {
    key(&format!("lease.{name}"))
}

pub(super) fn ledger(generation: u64) -> KvKey {
    key(&format!("ledger.{generation}"))
}

/// A partition of a generation, whose number no other has, of whichever projection.
pub(super) fn state(generation: u64, partition: &PartitionKey) -> KvKey {
    key(&format!("state.{generation}.{partition}"))
}

pub(super) fn all_states(generation: u64) -> KvFilter {
    filter(&format!("state.{generation}.>"))
}

/// The partition that a key is of.
pub(super) fn partition_of(key: &KvKey) -> Option<PartitionKey> {
    PartitionKey::new(key.as_str().splitn(3, '.').nth(2)?).ok()
}

pub(super) fn dead(generation: u64, position: Position) -> KvKey {
    key(&format!("dead.{generation}.{:020}", position.0))
}

pub(super) fn all_dead(generation: u64) -> KvFilter {
    filter(&format!("dead.{generation}.*"))
}

/// Marks a generation that is being removed.
pub(super) fn gone(generation: u64) -> KvKey {
    key(&format!("gone.{generation}"))
}

pub(super) fn all_gone() -> KvFilter {
    filter("gone.*")
}

/// The generation that a mark is of.
pub(super) fn gone_generation(key: &KvKey) -> Option<u64> {
    key.as_str().strip_prefix("gone.")?.parse().ok()
}

fn key(text: &str) -> KvKey {
    KvKey::new(text).expect("names are short and legal in a key")
}

fn filter(text: &str) -> KvFilter {
    KvFilter::new(text).expect("names are short and legal in a filter")
}

#[cfg(test)]
mod tests {
    use weir_types::limits;

    use super::*;

    #[test]
    fn every_partition_has_a_key_and_is_found_by_it() {
        let longest = "x".repeat(limits::WORKER_PARTITION_BYTES_MAX);
        for name in ["__global__", "a.b", ".", "größe", "a..b", longest.as_str()] {
            let partition = PartitionKey::new(name).unwrap();
            let key = state(u64::MAX, &partition);
            assert_eq!(partition_of(&key), Some(partition));
            assert!(all_states(u64::MAX).matches(&key) && !all_states(1).matches(&key), "{name}");
        }
        let name = ProjectionName::new("orders-v2.by_day").unwrap();
        assert!(all_registrations().matches(&registration(&name)));
        assert!(!all_registrations().matches(&fence(&name)));
        assert!(all_dead(7).matches(&dead(7, Position(9))) && dead(7, Position(9)) < dead(7, Position(10)));
        assert_eq!(gone_generation(&gone(12)), Some(12));
        assert!(crate::consumers::is_reserved(&bucket()));
    }
}
