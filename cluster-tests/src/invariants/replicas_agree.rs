//! R1: equal applied index, equal state.

use weir_types::InvariantId::R1;

use super::{Violation, hold};

/// What a node says of the state that it has applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedState {
    /// The node.
    pub node: u64,
    /// How far it is: a log index, or a projection's checkpoint.
    pub index: u64,
    /// Its digest over everything up to there.
    pub digest: String,
}

/// Checks all pairs of nodes that are at the same index.
///
/// # Errors
/// The first pair whose digests differ.
pub fn check(states: &[AppliedState]) -> Result<(), Violation> {
    for one in states {
        for two in states.iter().filter(|two| two.index == one.index) {
            hold(R1, one.digest == two.digest, || format!("{one:?} and {two:?}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_digests_at_one_index_are_found() {
        let state = |node, index, digest: &str| AppliedState { node, index, digest: digest.to_owned() };
        assert_eq!(check(&[state(1, 7, "a"), state(2, 7, "a"), state(3, 8, "b")]), Ok(()));
        assert!(check(&[state(1, 7, "a"), state(2, 8, "b"), state(3, 7, "c")]).is_err());
    }
}
