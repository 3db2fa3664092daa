//! Where what is stored of consumer groups lies.

use weir_types::{BucketName, ConsumerGroupName, KvFilter, KvKey, Position, Revision, limits};

const BUCKET: &str = "_weir-consumers";
/// What the bucket is for.
pub(super) const DESCRIPTION: &str = "consumer groups, their ledgers and dead letters";

/// Whether a bucket is Weir's own: clients do not see it.
pub(crate) fn is_reserved(bucket: &BucketName) -> bool {
    bucket.as_str().starts_with(limits::KV_RESERVED_PREFIX)
}

pub(super) fn bucket() -> BucketName {
    BucketName::new(BUCKET).expect("the name is legal")
}

pub(super) fn group(name: &ConsumerGroupName) -> KvKey {
    key(&format!("group.{name}"))
}

pub(super) fn all_groups() -> KvFilter {
    filter("group.*")
}

/// Of the group that a revision made.
pub(super) fn ledger(name: &ConsumerGroupName, id: Revision) -> KvKey {
    key(&format!("ledger.{name}.{id}"))
}

pub(super) fn dead(name: &ConsumerGroupName, id: Revision, position: Position) -> KvKey {
    key(&format!("dead.{name}.{id}.{:020}", position.0))
}

pub(super) fn all_dead(name: &ConsumerGroupName, id: Revision) -> KvFilter {
    filter(&format!("dead.{name}.{id}.*"))
}

/// The position of a dead letter's key.
pub(super) fn dead_position(key: &KvKey) -> Option<Position> {
    key.as_str().rsplit('.').next().and_then(|position| position.parse().ok()).map(Position)
}

/// Marks a group that is being removed.
pub(super) fn gone(name: &ConsumerGroupName, id: Revision) -> KvKey {
    key(&format!("gone.{name}.{id}"))
}

pub(super) fn all_gone() -> KvFilter {
    filter("gone.>")
}

/// The group that a mark is of.
pub(super) fn gone_group(key: &KvKey) -> Option<(ConsumerGroupName, Revision)> {
    let (name, id) = key.as_str().strip_prefix("gone.")?.rsplit_once('.')?;
    Some((ConsumerGroupName::new(name).ok()?, Revision(id.parse().ok()?)))
}

fn key(text: &str) -> KvKey {
    KvKey::new(text).expect("a group's name is short and legal in a key")
}

fn filter(text: &str) -> KvFilter {
    KvFilter::new(text).expect("a group's name is short and legal in a filter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_order_of_position_and_each_groups_own() {
        let mail = ConsumerGroupName::new("mail").unwrap();
        let dead = |position| dead(&mail, Revision(7), Position(position));
        assert!(dead(9) < dead(10) && dead(10) < dead(u64::MAX));
        let all = all_dead(&mail, Revision(7));
        assert!(all.matches(&dead(9)) && !all_dead(&mail, Revision(70)).matches(&dead(9)));
        assert!(all_groups().matches(&group(&mail)) && !all_groups().matches(&ledger(&mail, Revision(7))));
        assert_eq!(dead_position(&dead(10)), Some(Position(10)));
        assert_eq!(gone_group(&gone(&mail, Revision(7))), Some((mail.clone(), Revision(7))));
        assert!(all_gone().matches(&gone(&mail, Revision(7))) && !all_gone().matches(&group(&mail)));
        assert!(is_reserved(&bucket()) && !is_reserved(&BucketName::new("weir").unwrap()));
    }
}
