//! The words of Weir: ids, positions, events, commands, limits and ports.
//!
//! Everything here is plain data and checked constructors; there is no I/O, no
//! clock and no async runtime. The other crates meet only through these types
//! and through the traits in [`ports`].

mod append;
mod causes;
mod consumers;
mod event;
mod facet;
mod id;
mod invariant;
mod kv;
pub mod limits;
mod log_id;
mod moment;
pub mod planted;
pub mod ports;
mod position;
mod projection;
mod read;
pub mod registry;
mod rules;
mod sql;
mod subject;
mod subscription;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod trace;
mod transaction;
mod trial;
mod write;

pub use append::{
    AppendAck, AppendError, AppendOutcome, AppendRequest, DecidedAppend, DecidedEvent, ExpectedVersion,
    Idempotency,
};
pub use causes::with_causes;
pub use consumers::{
    AckMode, ConsumerGroup, ConsumerGroupError, ConsumerGroupName, ConsumerStatus, ConsumerTerms, DeadLetter,
    DeathCause, Settlement, Verdict,
};
pub use event::{ContentType, EventSource, NewEvent, RecordedEvent};
pub use facet::{Facet, FacetKind};
pub use id::{
    ClusterId, EntityId, EntityType, EventId, EventName, GroupId, IdempotencyKey, Incarnation, NameError,
    NodeId, PartitionKey, ProjectionName, SinkName, Tag,
};
pub use invariant::InvariantId;
pub use kv::{
    BucketConfig, BucketInfo, BucketName, KvCommand, KvEntry, KvError, KvFilter, KvGuard, KvKey, KvKeys,
    KvOperation, KvOutcome, KvRead, KvReadError, KvVersions, KvWrite, Revision, StampedKv,
};
pub use log_id::LogId;
pub use moment::Moment;
pub use planted::{Planted, planted};
pub use position::{LogIndex, Position, StreamVersion, Term};
pub use projection::{
    BadEvent, Deployment, EventPattern, Generation, OnError, PartitionRebuild, ProjectionDefinition,
    ProjectionId, ProjectionKind, Rebuild, RegistryCommand, RegistryError, RegistryOutcome,
};
pub use read::{
    Consistency, Direction, LogFilter, LogRead, LogSlice, ReadError, StreamHead, StreamPage, StreamRead,
};
pub use rules::{
    EventSchema, Judged, MetadataRule, MetadataType, RuleFault, RuleFaults, RuleKind, RuleSet, Rules,
    RulesChanged, RulesCommand, RulesError, RulesLimit, RulesScope, SchemaMode, UpcastError, Upcaster,
    UpcasterRecord, Upcasters,
};
pub use sql::{
    SqlError, SqlFault, SqlQuery, SqlRows, SqlStatement, SqlStep, SqlValue, TableChange, TablesDefinition,
};
pub(crate) use subject::fnv1a;
pub use subject::{SUBJECT_PREFIX, is_literal_subject, subject_of, subject_token, subject_under};
pub use subscription::{
    Cursor, CursorError, CursorScope, FilterError, FilterText, Partitions, Pattern, PatternError, Selector,
    Slow, SubscribeRequest, SubscriptionStart, ViewPattern, subscription_id, view_topic,
};
pub use time::Timestamp;
pub use trace::{TraceContext, untraced};
pub use transaction::{
    Condition, DecidedTransaction, StreamAppend, StreamCheck, StreamGuard, TransactionAck,
    TransactionOutcome, TransactionRequest, Violation,
};
pub use trial::Trial;
pub use write::{DecidedWrite, WriteOutcome};
