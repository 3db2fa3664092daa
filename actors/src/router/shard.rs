//! One shard of the router: the actors of a part of the streams.
//!
//! Invariant W1: of one stream and term at most one actor decides. An actor is
//! taken out of the shard only when it has no leases, or when its term is over
//! (what it still proposes is refused by term). While it is spent and has
//! leases it stays, and its successor waits for it.

use std::collections::HashMap;

use weir_types::{EntityId, Term};

use crate::stream::{StreamHandle, lease::Lease};

/// The actors of some streams, all of one term.
#[derive(Default)]
pub(crate) struct Shard {
    term: Term,
    streams: HashMap<EntityId, StreamHandle>,
}

/// What a shard knows of a stream.
pub(crate) enum Found {
    /// Its actor, leased.
    Actor(StreamHandle, Lease),
    /// No actor that decides; `0` is one that must end first.
    Missing(Option<StreamHandle>),
    /// The term is over.
    TermOver,
}

impl Shard {
    /// Actors in the shard.
    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Begins a term, if it is new: gives out all actors of the last one.
    pub(crate) fn begin(&mut self, term: Term) -> Vec<StreamHandle> {
        if term <= self.term {
            return Vec::new();
        }
        self.term = term;
        self.streams.drain().map(|(_, stream)| stream).collect()
    }

    /// Finds and leases a stream's actor.
    pub(crate) fn find(&self, entity: &EntityId, term: Term, use_count: u64) -> Found {
        if term != self.term {
            return Found::TermOver;
        }
        match self.streams.get(entity) {
            None => Found::Missing(None),
            Some(stream) if stream.is_spent() => Found::Missing(Some(stream.clone())),
            Some(stream) => Found::Actor(stream.clone(), stream.lease(use_count)),
        }
    }

    /// Puts a fresh actor in the place of `predecessor`, unless somebody was faster.
    pub(crate) fn insert(
        &mut self,
        entity: EntityId,
        term: Term,
        predecessor: Option<&StreamHandle>,
        fresh: StreamHandle,
        use_count: u64,
    ) -> Result<Lease, StreamHandle> {
        let there = self.streams.get(&entity);
        let vacant = match (there, predecessor) {
            (None, _) => true,
            (Some(there), Some(predecessor)) => there.is(predecessor),
            (Some(_), None) => false,
        };
        if term != self.term || !vacant {
            return Err(fresh);
        }
        let lease = fresh.lease(use_count);
        self.streams.insert(entity, fresh);
        Ok(lease)
    }

    /// Takes out up to `count` actors without leases, the longest unused first.
    pub(crate) fn evict(&mut self, count: usize) -> Vec<StreamHandle> {
        let idle = self.streams.iter().filter(|(_, stream)| stream.shared().leases() == 0);
        let mut idle: Vec<_> =
            idle.map(|(entity, stream)| (stream.shared().used(), entity.clone())).collect();
        if idle.len() > count {
            idle.select_nth_unstable(count);
            idle.truncate(count);
        }
        idle.iter().filter_map(|(_, entity)| self.streams.remove(entity)).collect()
    }

    /// Takes out the actors without leases that were not used since `mark`, and those that are spent.
    pub(crate) fn sweep(&mut self, mark: u64) -> Vec<StreamHandle> {
        let leaves = |stream: &StreamHandle| {
            stream.shared().leases() == 0 && (stream.shared().used() < mark || stream.is_spent())
        };
        self.streams.extract_if(|_, stream| leaves(stream)).map(|(_, stream)| stream).collect()
    }

    /// Stops every actor; those with leases stay listed until they are settled.
    pub(crate) fn retire_all(&mut self) -> usize {
        self.streams.values().for_each(StreamHandle::stop);
        let before = self.streams.len();
        self.streams.retain(|_, stream| stream.shared().leases() > 0);
        before - self.streams.len()
    }
}
