//! Whom a fault hits.

use super::Scene;

/// A choice of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Any one.
    One,
    /// Who leads now.
    Leader,
    /// As many as the cluster can do without, at random.
    Minority,
    /// One more than that.
    Majority,
    /// All.
    All,
}

impl Target {
    /// The nodes, in random order; none when nobody leads and the leader is wanted.
    pub async fn choose(self, scene: &mut Scene<'_>) -> Vec<u64> {
        if self == Self::Leader {
            return scene.rig.leader().await.into_iter().collect();
        }
        let mut ids = scene.rig.ids();
        scene.rng.shuffle(&mut ids);
        ids.truncate(self.count(ids.len()));
        ids
    }

    fn count(self, of: usize) -> usize {
        match self {
            Self::One | Self::Leader => 1,
            Self::Minority => (of.saturating_sub(1) / 2).max(1),
            Self::Majority => of / 2 + 1,
            Self::All => of,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_is_more_than_half_and_a_minority_leaves_one() {
        let counts = |of| [Target::Minority, Target::Majority, Target::All].map(|target| target.count(of));
        assert_eq!(counts(3), [1, 2, 3]);
        assert_eq!(counts(4), [1, 3, 4]);
        assert_eq!(counts(5), [2, 3, 5]);
    }
}
