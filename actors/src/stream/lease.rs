//! What a stream's callers and its actor share.
//!
//! A lease is held from the moment the router hands an actor out until the
//! outcome of the append is settled, also when the caller has gone. No leases
//! therefore means: the mailbox is empty and nothing is in flight, so that the
//! actor may be passivated and another be started without a wait (W1).

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use weir_types::StreamVersion;

use crate::invariant::Slot;

/// The shared part of one stream actor.
pub(crate) struct Shared {
    leases: AtomicUsize,
    used: AtomicU64,
    durable: AtomicU64,
    retired: AtomicBool,
    /// The stream's state, as its invariant folded it.
    folded: Arc<Slot>,
}

impl Shared {
    /// The shared part of a fresh actor.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            leases: AtomicUsize::new(0),
            used: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            folded: Arc::default(),
        })
    }

    /// Where the stream's state is kept, as its invariant folded it.
    pub(crate) fn folded(&self) -> &Arc<Slot> {
        &self.folded
    }

    /// Leases out.
    pub(crate) fn leases(&self) -> usize {
        self.leases.load(Ordering::Acquire)
    }

    /// The router's use count when the actor was last handed out.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The last version known to be committed and applied here.
    pub(crate) fn durable(&self) -> StreamVersion {
        StreamVersion(self.durable.load(Ordering::Acquire))
    }

    /// Notes that all up to `version` is committed and applied here.
    pub(crate) fn note_durable(&self, version: StreamVersion) {
        self.durable.fetch_max(version.0, Ordering::AcqRel);
    }

    /// Whether the actor's state no longer holds. It decides nothing any more.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Says that the actor's state no longer holds. It is dropped, never repaired.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }
}

/// The right to use a stream actor for one append.
pub(crate) struct Lease(Arc<Shared>);

impl Lease {
    /// Takes a lease. The router does this under its shard's lock, so that no
    /// actor is passivated between being found and being leased.
    pub(crate) fn take(shared: &Arc<Shared>, use_count: u64) -> Self {
        shared.leases.fetch_add(1, Ordering::AcqRel);
        shared.used.fetch_max(use_count, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl std::ops::Deref for Lease {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.leases.fetch_sub(1, Ordering::AcqRel);
    }
}
