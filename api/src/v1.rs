//! REST, version 1: bodies and queries under `/api/v1`. Requests are taken in
//! snake case and camel case, whole numbers as numbers or strings, and unknown
//! fields are refused, so that a typo is not a silent default. Answers are in
//! camel case; where SDKs of the contract read snake case, both are there.

mod append;
mod cluster;
mod consumer_groups;
mod event;
mod group_change;
mod health;
mod history;
mod kv;
mod limits;
mod log;
mod outbox;
mod past;
pub mod paths;
mod projection;
mod projection_fault;
mod read;
mod rebuild;
mod rules;
mod snapshot;
mod sql;
mod state;
mod stream;
mod subscribe;
mod transaction;
mod upcaster;
mod wait;

pub use crate::view_update::StateUpdate;
pub use append::{AppendBody, AppendResult, EventBody};
pub(crate) use append::{expected_of, has_its_ids};
pub use cluster::{ClusterStatus, InitBody, MemberBody, MemberRole, MemberStatus, NodeState, TransferBody};
pub use consumer_groups::{
    ConsumerGroupBody, ConsumerGroupList, ConsumerGroupView, DeadLetterPage, DeadLetterView,
    DeadLettersQuery, DeliveryView, GroupAckMode, GroupStatus, PullQuery, PullResult, ReplayBody,
    ReplayResult, SettleBody, SettleResult, SettlementBody, SettlementKind, SettlementView, VerdictKind,
};
pub use event::EventView;
pub(crate) use event::data_of;
pub use event::metadata_of;
#[cfg(test)]
pub(crate) use event::tests as event_tests;
pub use group_change::ConsumerGroupChange;
pub use health::{Capabilities, Health};
pub use history::{HistoryEntry, HistoryPage};
pub use kv::{
    BucketBody, BucketList, BucketView, KvDeleteQuery, KvEntryView, KvHistory, KvKeysPage, KvKeysQuery,
    KvPutQuery, KvPutResult, KvReadQuery, KvUpdate, KvWatchQuery,
};
pub use limits::Limits;
pub use log::{LogPage, LogQuery};
pub use outbox::OutboxStatus;
pub use past::{
    PastFold, PastMoment, PastPage, PastPageQuery, PastPartition, PastProgress, PastQuery, PastStatus,
    PastView, past_fault,
};
pub use projection::{
    DeployBody, DeployResult, LastEvent, PartitionEntry, PartitionSearch, PartitionsPage, PartitionsQuery,
    ProjectionList, ProjectionState, ProjectionStatus, ProjectionStatusKind, ProjectionView, ViewQuery,
    entity_tag, names_tag,
};
pub use projection::{
    LeaseQuery, PollQuery, WorkerHeard, WorkerLetter, WorkerLetters, WorkerProgress, WorkerView,
};
pub use projection_fault::{ProjectionDeadLetters, ProjectionDeadLettersQuery, ProjectionFault};
pub(crate) use read::direction_of;
pub use read::{Freshness, ReadPage, ReadQuery};
pub use rebuild::{
    CancelResult, ComparisonView, DiffQuery, DifferenceView, DigestBody, DigestView, RebuildBody, RebuildJob,
    RebuildProgress, RebuildStatus, SwitchBody,
};
pub use rules::{
    EventSchemaBody, EventSchemaList, EventSchemaRegistered, EventSchemaSummary, EventSchemaView,
    EventSchemasQuery, MetadataKind, MetadataRuleBody, RulesBody, RulesList, RulesResult, RulesView,
    SchemaModeKind,
};
pub use snapshot::{
    Snapshot, SnapshotBody, SnapshotCreated, SnapshotList, SnapshotQuery, SnapshotRead, SnapshotView,
};
pub use sql::{SqlBody, SqlQuestion, SqlResult};
pub use state::{StateQuery, StateView};
pub use stream::{ListPage, ListQuery, StreamSummary};
pub use subscribe::{Beginning, StatesQuery, SubscribeQuery, SubscriptionEnd, SubscriptionMark, sse};
pub(crate) use subscribe::{heartbeat_of, slow_of};
pub use transaction::{
    ConditionBody, StreamAppendBody, StreamCheckBody, TransactionBody, TransactionResult, Validated,
};
pub use upcaster::{UpcastBody, UpcastResult, UpcastStep, UpcasterBody, UpcasterList, UpcasterView};
pub use wait::{
    CatchupBatchBody, CatchupBatchResult, CatchupItem, CatchupOutcome, CatchupQuery, Wait, WaitForEventBody,
    WaitResult,
};
pub(crate) use wait::{event_id, patience, wait_of, waits_of};
