//! P2: a view is the fold of its events, on every node.

use std::collections::BTreeMap;

use serde_json::Value;
use weir_types::InvariantId::P2;

use super::{Violation, hold};

/// A projection's partitions and their states.
pub type Views = BTreeMap<String, Value>;

/// Compares a node's views with an independent fold.
///
/// # Errors
/// The first partition that differs, is missing or is too much.
pub fn check(node: u64, projection: &str, held: &Views, folded: &Views) -> Result<(), Violation> {
    for (partition, state) in folded {
        let found = held.get(partition);
        hold(P2, found == Some(state), || {
            format!("`{projection}` partition `{partition}` on node {node} is {found:?}, its fold is {state}")
        })?;
    }
    let extra = held.keys().find(|partition| !folded.contains_key(*partition));
    hold(P2, extra.is_none(), || {
        format!("`{projection}` on node {node} has a partition of no event: {extra:?}")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wrong_a_missing_and_an_extra_partition_are_found() {
        let views = |pairs: &[(&str, u64)]| -> Views {
            pairs.iter().map(|(key, n)| ((*key).to_owned(), json!({ "n": n }))).collect()
        };
        let fold = views(&[("a", 1), ("b", 2)]);
        assert_eq!(check(1, "p", &fold, &fold), Ok(()));
        for broken in
            [views(&[("a", 1), ("b", 3)]), views(&[("a", 1)]), views(&[("a", 1), ("b", 2), ("c", 0)])]
        {
            assert!(check(1, "p", &broken, &fold).is_err());
        }
    }
}
