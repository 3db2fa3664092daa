//! Which fault has what: so that two do not fight over one thing, and no record
//! is damaged on a majority.

use std::collections::BTreeMap;

/// What faults hold, by fault.
#[derive(Debug, Default)]
pub struct Atlas {
    voters: usize,
    reserved: BTreeMap<(u64, &'static str), String>,
    damaged: BTreeMap<String, u64>,
}

impl Atlas {
    /// Of a cluster with so many voters.
    #[must_use]
    pub fn new(voters: usize) -> Self {
        Self { voters, ..Self::default() }
    }

    /// Takes what only one fault at a time can use of a node; node 0 stands for the cluster. Whether it was free.
    pub fn reserve(&mut self, node: u64, resource: &'static str, why: &str) -> bool {
        self.reserved.entry((node, resource)).or_insert_with(|| why.to_owned()) == why
    }

    /// Gives it back, if `why` has it.
    pub fn release(&mut self, node: u64, resource: &'static str, why: &str) {
        if self.reserved.get(&(node, resource)).is_some_and(|owner| owner == why) {
            self.reserved.remove(&(node, resource));
        }
    }

    /// Asks for leave to damage what a node has synced. It is not given for more nodes at a time than
    /// the cluster can do without.
    pub fn damage(&mut self, node: u64, why: &str) -> bool {
        let spare = self.voters.saturating_sub(1) / 2;
        if self.damaged.values().any(|other| *other == node) || self.damaged.len() >= spare {
            return false;
        }
        self.damaged.insert(why.to_owned(), node);
        true
    }

    /// The damage of `why` is undone.
    pub fn undamage(&mut self, why: &str) {
        self.damaged.remove(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_has_one_owner() {
        let mut atlas = Atlas::new(3);
        assert!(atlas.reserve(1, "link", "a") && atlas.reserve(1, "link", "a"));
        assert!(!atlas.reserve(1, "link", "b"));
        atlas.release(1, "link", "b");
        assert!(!atlas.reserve(1, "link", "b"), "only its owner gives it back");
        atlas.release(1, "link", "a");
        assert!(atlas.reserve(1, "link", "b"));
    }

    #[test]
    fn no_more_than_a_minority_is_damaged() {
        let mut atlas = Atlas::new(3);
        assert!(atlas.damage(2, "a"));
        assert!(!atlas.damage(3, "b") && !atlas.damage(2, "b"));
        atlas.undamage("a");
        assert!(atlas.damage(3, "b"));
        let mut five = Atlas::new(5);
        assert!(five.damage(1, "a") && five.damage(2, "b") && !five.damage(3, "c"));
    }
}
