//! Where clients find the nodes, while members come and go.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::rng::Rng;
use crate::edge::Edge;

/// The REST of every node that is or was a member, dead ones too. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Directory(Arc<RwLock<BTreeMap<u64, Edge>>>);

impl Directory {
    /// Enters a node.
    pub fn enter(&self, node: u64, edge: Edge) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(node, edge);
    }

    /// Strikes a node that is gone for good.
    pub fn strike(&self, node: u64) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&node);
    }

    /// All nodes by id.
    #[must_use]
    pub fn all(&self) -> Vec<(u64, Edge)> {
        let nodes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        nodes.iter().map(|(node, edge)| (*node, edge.clone())).collect()
    }

    /// One node.
    #[must_use]
    pub fn find(&self, node: u64) -> Option<Edge> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }

    /// Any node.
    ///
    /// # Panics
    /// When nobody was entered: a harness without nodes has no clients.
    pub fn pick(&self, rng: &mut Rng) -> (u64, Edge) {
        rng.pick(&self.all()).cloned().expect("the runner enters all founders before it starts a client")
    }
}
