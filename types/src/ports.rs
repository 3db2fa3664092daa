//! The seams between the parts. Each trait says what its callers may rely on;
//! the parts meet as `Arc<dyn …>` and never name each other.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{channel::oneshot, future::BoxFuture, stream::BoxStream};

use crate::{
    AppendError, BadEvent, Condition, Consistency, DecidedWrite, Deployment, EntityId, EntityType, GroupId,
    Idempotency, LogIndex, LogRead, LogSlice, NodeId, PartitionKey, Position, ProjectionDefinition,
    ProjectionId, ProjectionName, ReadError, RecordedEvent, RegistryCommand, RegistryOutcome, RuleSet,
    SqlError, SqlFault, SqlQuery, SqlRows, StreamGuard, StreamHead, StreamPage, StreamRead, TableChange,
    TablesDefinition, Term, Timestamp, Violation, WriteOutcome,
};

/// Wall-clock time. The only source of recorded times.
pub trait Clock: Send + Sync {
    /// Now. May jump in either direction.
    fn now(&self) -> Timestamp;
}

/// Who leads a group, as this node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leadership {
    /// The term.
    pub term: Term,
    /// The leader, if known.
    pub leader: Option<NodeId>,
    /// Whether this node leads, **and** has applied all that came before its
    /// term: only then may it decide appends.
    pub decides: bool,
}

/// Follows the leadership of a group.
pub trait LeadershipWatch: Send + Sync {
    /// What holds now.
    fn current(&self) -> Leadership;
    /// The current value and then every change. Fast changes may be merged; the last is always seen.
    fn changes(&self) -> BoxStream<'static, Leadership>;
}

/// Told once how a write ended, in the order in which writes were queued. It
/// must be quick, and wait for nothing. Dropped untold, the outcome is unknown.
pub type OnOutcome = Box<dyn FnOnce(Result<WriteOutcome, AppendError>) + Send>;

/// Puts decided writes into the replicated log.
#[async_trait]
pub trait Proposer: Send + Sync {
    /// Takes a write for the log. It is queued before this returns, in call
    /// order, and is in the log in that order. `done` is told when it is
    /// committed, durable on a quorum, and applied on this node, or when it was
    /// refused, which may be before this returns. The outcome is of the write's kind.
    ///
    /// `term` is the term in which the write was decided: in any other term it
    /// is refused with [`AppendError::NotLeader`] and nothing is written.
    ///
    /// # Errors
    /// `done` is told `NotLeader` and `Unavailable` when nothing was written;
    /// `OutcomeUnknown` when leadership was lost after it was proposed.
    fn propose(&self, term: Term, write: DecidedWrite, done: OnOutcome);

    /// As [`Proposer::propose`], for those who wait. Dropping the future does
    /// not withdraw the write.
    ///
    /// # Errors
    /// As [`Proposer::propose`].
    fn write(
        &self,
        term: Term,
        write: DecidedWrite,
    ) -> BoxFuture<'static, Result<WriteOutcome, AppendError>> {
        let (sender, outcome) = oneshot::channel();
        // Whoever waited may have gone, which changes nothing.
        self.propose(term, write, Box::new(|outcome| drop(sender.send(outcome))));
        Box::pin(async {
            outcome.await.unwrap_or_else(|_| {
                Err(AppendError::OutcomeUnknown {
                    reason: "node stopped before the outcome was known".into(),
                })
            })
        })
    }

    /// Resolves when all that was queued before is committed and applied: a
    /// refusal that rests on appends in flight waits for this.
    ///
    /// # Errors
    /// As [`Proposer::append`].
    fn barrier(&self, term: Term) -> BoxFuture<'static, Result<(), AppendError>>;

    /// Changes the registry.
    ///
    /// # Errors
    /// As [`Proposer::append`].
    async fn register(&self, command: RegistryCommand) -> Result<RegistryOutcome, AppendError>;
}

/// What an idempotency key led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedAppend {
    /// What the key was used for.
    pub idempotency: Idempotency,
    /// The outcome, always [`AppendOutcome::Repeated`](crate::AppendOutcome::Repeated).
    pub outcome: crate::AppendOutcome,
}

/// Reads what is applied on this node.
#[async_trait]
pub trait EventReader: Send + Sync {
    /// Waits until the answer of a read that begins now meets `consistency`,
    /// and gives the position that is applied then.
    ///
    /// # Errors
    /// [`ReadError::Stale`] or [`ReadError::Unavailable`] when it cannot be met in time.
    async fn ready(&self, group: GroupId, consistency: Consistency) -> Result<Position, ReadError>;

    /// A stream's head, or `None` when it has no events.
    async fn head(&self, group: GroupId, entity: &EntityId) -> Result<Option<StreamHead>, ReadError>;

    /// One page of a stream. A stream without events is an empty page.
    async fn read_stream(&self, read: StreamRead) -> Result<StreamPage, ReadError>;

    /// Events by position, from `from` on, oldest first: at most `limit`, at
    /// most about [`crate::limits::READ_BYTES_MAX`] bytes, at least one if there is one.
    async fn read_log(
        &self,
        group: GroupId,
        from: Position,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError>;

    /// One page of the log's events that fit a filter, either way.
    async fn search_log(&self, read: LogRead) -> Result<LogSlice, ReadError>;

    /// Heads in order of creation, of one type or of all, and their number in all.
    async fn list_streams(
        &self,
        group: GroupId,
        entity_type: Option<&EntityType>,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<StreamHead>, u64), ReadError>;

    /// What an idempotency key of a stream led to, if it is still remembered.
    async fn remembered(
        &self,
        group: GroupId,
        entity: &EntityId,
        key: &crate::IdempotencyKey,
    ) -> Result<Option<RememberedAppend>, ReadError>;

    /// What stands against a transaction, as far as this node has applied: of
    /// guards on streams, and of conditions. In their order, all of them.
    async fn violations(
        &self,
        group: GroupId,
        guards: Vec<StreamGuard>,
        conditions: Vec<Condition>,
    ) -> Result<Vec<Violation>, ReadError>;

    /// The last position that is applied here.
    fn applied(&self, group: GroupId) -> Position;

    /// The applied position now and after every change; changes may be merged.
    fn applied_changes(&self, group: GroupId) -> BoxStream<'static, Position>;
}

/// How far a projection is folded here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// The last position that is folded.
    pub position: Position,
    /// Events handed to the handler so far.
    pub events: u64,
    /// The wrapping sum, over all partitions, of xxh3-64 of the partition's key,
    /// a zero byte and its state: two nodes at the same position have the same
    /// digest (invariants R1 and P2), however the events came in batches.
    pub digest: u64,
    /// Why the projection is parked at the event after `position`, if it is.
    pub parked: Option<Box<Parked>>,
    /// Events that were passed though the handler could not fold them. Each adds to the digest.
    pub dead_letters: u64,
    /// Whether this generation answers here, or once did: it was not behind the one that answered before it. A node
    /// answers from its newest generation that serves.
    pub serves: bool,
}

/// Where a projection stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The event, and what is wrong with it.
    pub event: BadEvent,
    /// When the projection had been told to go on last: a later word makes it try again.
    pub resumed: LogIndex,
}

/// One partition's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// JSON.
    pub state: Bytes,
    /// Position of the last event that changed it.
    pub position: Position,
}

/// What one fold step changes: written whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ViewChange {
    /// The checkpoint after it.
    pub checkpoint: Checkpoint,
    /// The partitions that changed.
    pub views: Vec<(PartitionKey, View)>,
    /// Events that were passed though the handler could not fold them.
    pub dead_letters: Vec<BadEvent>,
    /// Set when it ends a rebuild of one partition.
    pub rebuilt: Option<Box<Rebuilt>>,
}

/// What goes with the end of a rebuild of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// How it ended. It takes the place of the one before.
    pub end: PartitionRebuildEnd,
    /// The partition, when it has no state.
    pub dropped_view: Option<PartitionKey>,
    /// Positions of the partition's dead letters that are none.
    pub dropped_letters: Vec<Position>,
}

/// How a rebuild of one partition ended on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRebuildEnd {
    /// The log index of its command. Those before it are behind this node too.
    pub at: LogIndex,
    /// What was folded.
    pub position: Position,
    /// Why it changed nothing, if so.
    pub failure: Option<String>,
}

/// Keeps views and checkpoints on this node.
#[async_trait]
pub trait ViewStore: Send + Sync {
    /// The projections that are deployed, as of the applied position, in order of their names.
    async fn deployments(&self, group: GroupId) -> Result<Vec<Deployment>, ReadError>;

    /// The same, without what was done to them since.
    async fn projections(
        &self,
        group: GroupId,
    ) -> Result<Vec<(ProjectionId, ProjectionDefinition)>, ReadError> {
        let all = self.deployments(group).await?;
        Ok(all.into_iter().map(|one| (one.id, one.definition)).collect())
    }

    /// The log index of the last registry command that is applied here; from
    /// memory, and never ahead of [`ViewStore::projections`].
    fn registry_at(&self, group: GroupId) -> LogIndex;

    /// Yields once now, and again after the registry changed.
    fn registry_changes(&self, group: GroupId) -> BoxStream<'static, ()>;

    /// Writes a fold step in one atomic batch. The caller has checked that the
    /// checkpoint does not fall (invariant P1); a fall is refused.
    async fn commit(
        &self,
        group: GroupId,
        projection: &ProjectionId,
        change: ViewChange,
    ) -> Result<(), ReadError>;

    /// The checkpoint; the default one when nothing is folded yet.
    async fn checkpoint(&self, group: GroupId, projection: &ProjectionId) -> Result<Checkpoint, ReadError>;

    /// The last rebuild of a single partition of a deployment that ended here.
    async fn partition_rebuild(
        &self,
        group: GroupId,
        projection: &ProjectionId,
    ) -> Result<Option<PartitionRebuildEnd>, ReadError>;

    /// One partition's state.
    async fn view(
        &self,
        group: GroupId,
        projection: &ProjectionId,
        partition: &PartitionKey,
    ) -> Result<Option<View>, ReadError>;

    /// Partitions in byte order of their keys, after `after`.
    async fn views(
        &self,
        group: GroupId,
        projection: &ProjectionId,
        after: Option<&PartitionKey>,
        limit: usize,
    ) -> Result<Vec<(PartitionKey, View)>, ReadError>;

    /// Dead letters in order of their positions, after `after`.
    async fn dead_letters(
        &self,
        group: GroupId,
        projection: &ProjectionId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<BadEvent>, ReadError>;

    /// The deployments of which something is kept here, whether they are still deployed or not.
    async fn kept(&self, group: GroupId) -> Result<Vec<ProjectionId>, ReadError>;

    /// Drops everything of a deployment that is gone.
    async fn forget(&self, group: GroupId, projection: &ProjectionId) -> Result<(), ReadError>;
}

/// Keeps the tables of projections apart from their views: on this node, or in a sink, which is one database for all
/// nodes. Each generation has tables of its own, with the checkpoint that they reflect.
#[async_trait]
pub trait TableStore: Send + Sync {
    /// Says what is wrong with the definition of a projection's tables, if anything is. Changes nothing.
    ///
    /// # Errors
    /// [`SqlError::Refused`] with what is wrong, or [`SqlError::Read`] when it cannot be said now.
    async fn check(&self, projection: &ProjectionName, tables: TablesDefinition) -> Result<(), SqlError>;

    /// The checkpoint that a generation's tables reflect; makes empty ones when there are none, and when those on this
    /// node cannot be trusted. A sink's checkpoint is ahead of a node that is behind another; where another generation
    /// has taken their place, they are as if all were folded.
    ///
    /// # Errors
    /// [`ReadError`], also when the definition is not legal.
    async fn open(
        &self,
        projection: &ProjectionId,
        tables: &TablesDefinition,
    ) -> Result<Checkpoint, ReadError>;

    /// Carries out the statements of events in one transaction with the checkpoint after them, or nothing of it. The
    /// event whose statements are to blame is given, if one is. The tables were opened before. What another node has
    /// carried out in a sink is left out; what it has passed there is given as to blame.
    ///
    /// # Errors
    /// [`ReadError`] when no event is to blame. What was damaged is made anew when it is opened again.
    async fn commit(
        &self,
        projection: &ProjectionId,
        change: TableChange,
    ) -> Result<Option<SqlFault>, ReadError>;

    /// Drops the tables of a generation, if it has any. Those in a sink go later, once nothing keeps them: when a
    /// newer generation has reached what they reflect, or at once when there is none.
    async fn forget(&self, projection: &ProjectionId) -> Result<(), ReadError>;

    /// The generations that have tables here, or had some in a sink that are not dropped.
    async fn kept(&self) -> Result<Vec<ProjectionId>, ReadError>;

    /// Answers a question about tables of this node as they are at one moment.
    ///
    /// # Errors
    /// [`SqlError`].
    async fn query(&self, query: SqlQuery) -> Result<SqlRows, SqlError>;
}

/// Gives the rules that events must keep to.
#[async_trait]
pub trait RuleStore: Send + Sync {
    /// The log index of the last change of rules that is applied here; from memory. 0 is no rules, ever.
    fn rules_at(&self, group: GroupId) -> LogIndex;

    /// All rules and schemas, as of one log index: that of [`RuleStore::rules_at`] or a later one.
    async fn rules(&self, group: GroupId) -> Result<RuleSet, ReadError>;
}

/// Why the bus did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// It is not reachable, or did not answer: what it did is not known.
    #[error("bus is not available: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// What it holds is not what this log published; it must be rebuilt.
    #[error("bus disagrees with the log: {reason}")]
    Diverged {
        /// In what.
        reason: String,
    },
}

/// Carries committed events outward, in position order.
///
/// Everything here is derived from the log. An error proves nothing about what
/// the bus holds: ask [`Publisher::published`] and go on from there.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// The last position that the bus holds, creating its stream if there is none.
    async fn published(&self, group: GroupId) -> Result<Position, BusError>;

    /// Publishes events that follow `after` without a hole. The bus refuses
    /// them unless `after` is the last that it holds, so that two publishers
    /// never interleave (invariant O1). Returns the last position published.
    async fn publish(
        &self,
        group: GroupId,
        after: Position,
        events: &[RecordedEvent],
    ) -> Result<Position, BusError>;

    /// The id of the event that the bus holds at `position`, if it can tell: by
    /// it the outbox notices a bus that another log has filled.
    async fn event_at(
        &self,
        _group: GroupId,
        _position: Position,
    ) -> Result<Option<crate::EventId>, BusError> {
        Ok(None)
    }

    /// Throws the bus's copy away, so that the outbox publishes all of the log again.
    async fn reset(&self, group: GroupId) -> Result<(), BusError>;
}

/// Brings events to a projection: JetStream, or the local log.
#[async_trait]
pub trait Feed: Send + Sync {
    /// A subscription of this node for one projection, from after `checkpoint`.
    async fn subscribe(
        &self,
        group: GroupId,
        projection: &ProjectionId,
        checkpoint: Position,
    ) -> Result<Box<dyn Subscription>, BusError>;

    /// Ends what the bus keeps for a projection of this node that is gone.
    async fn unsubscribe(&self, group: GroupId, projection: &ProjectionId) -> Result<(), BusError>;
}

/// A running subscription. Events may come twice, and a hole may come; they
/// never come out of order within one batch. The projection compares positions
/// with its checkpoint and fills holes from the log.
#[async_trait]
pub trait Subscription: Send {
    /// The next events, at least one; waits for them. Dropping the future loses none.
    async fn next(&mut self) -> Result<Vec<RecordedEvent>, BusError>;

    /// Says that all up to `position` is folded and stored.
    async fn done(&mut self, position: Position) -> Result<(), BusError>;
}

/// The ports that one node is built of.
#[derive(Clone)]
pub struct Ports {
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Leadership of the group.
    pub leadership: Arc<dyn LeadershipWatch>,
    /// The way into the log.
    pub proposer: Arc<dyn Proposer>,
    /// The way out of the log.
    pub reader: Arc<dyn EventReader>,
    /// Views and checkpoints.
    pub views: Arc<dyn ViewStore>,
    /// Rules and schemas of events.
    pub rules: Arc<dyn RuleStore>,
}
