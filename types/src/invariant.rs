/// The invariants that tests, chaos runs and metrics check under these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InvariantId {
    /// Acknowledged means durable on a quorum.
    A1,
    /// Versions of a stream are 1..n with no hole.
    A2,
    /// One idempotency key, one outcome.
    A3,
    /// A refused append left nothing.
    A4,
    /// Equal applied index, equal state.
    R1,
    /// Positions are dense and equal on all replicas.
    R2,
    /// At most one deciding actor per stream and term.
    W1,
    /// Every committed event reaches JetStream in position order, and a reader of positions sees it once.
    O1,
    /// A checkpoint never falls, except by rebuild.
    P1,
    /// A view is the fold of its events up to its checkpoint.
    P2,
    /// A read with `min_position` sees it.
    Q1,
    /// A subscriber sees every matching event once, in order, or an explicit gap.
    S1,
}
