//! Where clients find the nodes, while members come and go.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use crate::edge::Edge;
use weir_check::rng::Rng;

/// The REST of every node that is or was a member, dead ones too. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Directory(Arc<RwLock<BTreeMap<u64, Entry>>>);

#[derive(Debug, Clone)]
struct Entry {
    edge: Edge,
    lives: u64,
}

impl Directory {
    /// Enters a node.
    pub fn enter(&self, node: u64, edge: Edge) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(node, Entry { edge, lives: 0 });
    }

    /// Notes that a node is about to be started.
    pub fn born(&self, node: u64) {
        if let Some(entry) = self.0.write().unwrap_or_else(PoisonError::into_inner).get_mut(&node) {
            entry.lives += 1;
        }
    }

    /// How often a node was started; 0 for one that is not here.
    #[must_use]
    pub fn lives(&self, node: u64) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&node).map_or(0, |entry| entry.lives)
    }

    /// Strikes a node that is gone for good.
    pub fn strike(&self, node: u64) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&node);
    }

    /// All nodes by id.
    #[must_use]
    pub fn all(&self) -> Vec<(u64, Edge)> {
        let nodes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        nodes.iter().map(|(node, entry)| (*node, entry.edge.clone())).collect()
    }

    /// One node.
    #[must_use]
    pub fn find(&self, node: u64) -> Option<Edge> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&node).map(|entry| entry.edge.clone())
    }

    /// Any node.
    ///
    /// # Panics
    /// When nobody was entered: a harness without nodes has no clients.
    pub fn pick(&self, rng: &mut Rng) -> (u64, Edge) {
        rng.pick(&self.all()).cloned().expect("the runner enters all founders before it starts a client")
    }
}
