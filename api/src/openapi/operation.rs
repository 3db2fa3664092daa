//! The table of operations: a line for each, of which the server's routes and
//! the document are made.

use super::spec::Spec;
use crate::{
    ErrorCode::{
        AlreadyInitialized, BucketExists, BucketFull, BucketNotFound, BucketsFull, BusUnavailable,
        ConsumerGroupExists, ConsumerGroupNotFound, ConsumerGroupsFull, DeadlineExceeded, EmptyAppend,
        EntityTypeConflict, EventInvalid, EventNotFound, IdempotencyConflict, Internal, InvalidCursor,
        InvalidFilter, InvalidName, InvalidPattern, InvalidRequest, InvariantFailed, InvariantViolated,
        KeyNotFound, LeaseLost, MembershipConflict, NotInitialized, NotLeader, OutcomeUnknown, Overloaded,
        PositionPassed, ProjectionInvalid, ProjectionKindConflict, ProjectionNotFound, ProjectionParked,
        ProjectionPaused, ProjectionVirtual, ProjectionsFull, RebuildConflict, RevisionConflict, RulesFull,
        RulesInvalid, RulesNotFound, SchemaInvalid, SchemaNotFound, SnapshotNotFound, SqlInvalid, Stale,
        StateFailed, StorageDamaged, StorageFailed, StreamNotFound, SubscriptionsFull, TooLarge,
        TransactionRefused, Unavailable, Unimplemented, UpcastFailed, UpcastGap, UpcasterInvalid,
        UpcasterNotFound, VersionConflict,
    },
    connect,
    v1::{self, paths},
};

/// A method of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "they are HTTP's")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Who answers an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answerer {
    /// Any process, also one of no cluster.
    Process,
    /// Any node of a cluster.
    Member,
    /// The leader, to which others pass it on.
    Leader,
    /// Any node, for as long as its client listens.
    Live,
    /// Any node, in the Connect protocol.
    Connect,
    /// Any node, in gRPC and Connect, by services of their own.
    Rpc,
}

macro_rules! operations {
    ($($area:ident { $(#[doc = $doc:literal] $name:ident = $answerer:ident $method:ident $path:expr, $spec:expr;)* })*) => {
        /// Everything that the HTTP server can be asked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Operation {
            $($(#[doc = $doc] $name,)*)*
        }

        impl Operation {
            /// All of them.
            pub const ALL: &[Self] = &[$($(Self::$name,)*)*];

            /// The path, as axum's router writes it.
            #[must_use]
            pub const fn path(self) -> &'static str {
                match self { $($(Self::$name => $path,)*)* }
            }

            /// The method.
            #[must_use]
            pub const fn method(self) -> Method {
                match self { $($(Self::$name => Method::$method,)*)* }
            }

            /// Who answers it.
            #[must_use]
            pub const fn answerer(self) -> Answerer {
                match self { $($(Self::$name => Answerer::$answerer,)*)* }
            }

            /// Its name in the document.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$name => stringify!($name),)*)* }
            }

            /// What it is for, in a line.
            #[must_use]
            pub fn summary(self) -> &'static str {
                match self { $($(Self::$name => $doc,)*)* }.trim()
            }

            /// What it is about.
            pub(super) const fn area(self) -> &'static str {
                match self { $($(Self::$name => stringify!($area),)*)* }
            }

            /// Whether its errors are those of Connect and gRPC.
            pub(super) fn is_rpc(self) -> bool {
                self.area() == "rpc"
            }

            pub(super) fn describe(self, spec: Spec<'_>) -> Spec<'_> {
                let describe: fn(Spec<'_>) -> Spec<'_> = match self { $($(Self::$name => $spec,)*)* };
                let spec = describe(spec);
                match (self.is_rpc(), self.answerer()) {
                    (true, _) => spec,
                    (false, Answerer::Process) => spec.fails(&[Internal]),
                    (false, _) => spec.fails(&[NotInitialized, Unavailable, DeadlineExceeded, Internal]),
                }
            }
        }
    };
}

operations! {
    streams {
        /// Appends events to a stream, all of them or none.
        AppendEvents = Member Post paths::STREAM_EVENTS, |spec| append(spec)
            .body::<v1::AppendBody>().gives::<v1::AppendResult>(201).gives::<v1::AppendResult>(200)
            .gives::<v1::Validated>(200).fails(&[VersionConflict, EntityTypeConflict]);
        /// Reads events of a stream.
        ReadEvents = Member Get paths::STREAM_EVENTS, |spec| events(spec).query::<v1::ReadQuery>().gives::<v1::ReadPage>(200);
        /// What is known of a stream.
        GetStream = Member Get paths::STREAM, |spec| read(spec)
            .query::<v1::ReadQuery>().gives::<v1::StreamSummary>(200).fails(&[StreamNotFound]);
        /// Reads events of a stream as SDKs of the contract do.
        GetHistory = Member Get paths::STREAM_HISTORY, |spec| events(spec)
            .query::<v1::ReadQuery>().gives::<v1::HistoryPage>(200);
        /// The state of a stream as of any moment, through the invariant of its entity type or a virtual projection.
        GetState = Member Get paths::STREAM_STATE, |spec| events(spec)
            .query::<v1::StateQuery>().gives::<v1::StateView>(200)
            .fails(&[StreamNotFound, RulesNotFound, StateFailed, Overloaded, ProjectionNotFound, ProjectionKindConflict]);
        /// Lists streams in the order of their creation.
        ListStreams = Member Get paths::STREAMS, |spec| read(spec).query::<v1::ListQuery>().gives::<v1::ListPage>(200);
        /// Appends to several streams, with checks and conditions, all of it or nothing.
        Transact = Member Post paths::TRANSACTIONS, |spec| append(spec)
            .body::<v1::TransactionBody>().gives::<v1::TransactionResult>(201).gives::<v1::TransactionResult>(200)
            .gives::<v1::Validated>(200).fails(&[TransactionRefused]);
        /// Reads events by position.
        ReadLog = Member Get paths::LOG, |spec| events(spec).query::<v1::LogQuery>().gives::<v1::LogPage>(200);
    }
    snapshots {
        /// Keeps the state that a stream has folded to at a version.
        CreateSnapshot = Member Post paths::STREAM_SNAPSHOTS, |spec| change(spec)
            .body::<v1::SnapshotBody>().gives::<v1::SnapshotCreated>(201)
            .fails(&[StreamNotFound, VersionConflict, EntityTypeConflict, TooLarge, Overloaded]);
        /// The newest snapshot of a stream, or the newest that is not beyond a version.
        GetSnapshot = Member Get paths::STREAM_SNAPSHOTS, |spec| read(spec)
            .query::<v1::SnapshotQuery>().gives::<v1::SnapshotView>(200).fails(&[StreamNotFound, SnapshotNotFound]);
        /// The versions of which snapshots are kept.
        ListSnapshots = Member Get paths::STREAM_SNAPSHOT_VERSIONS, |spec| read(spec)
            .query::<v1::SnapshotQuery>().gives::<v1::SnapshotList>(200).fails(&[StreamNotFound]);
        /// Drops a snapshot.
        DeleteSnapshot = Member Delete paths::STREAM_SNAPSHOT, |spec| change(spec)
            .gives_nothing(204, "dropped").fails(&[StreamNotFound, SnapshotNotFound]);
        /// The newest snapshot of a stream, and the events after it.
        ReadFromSnapshot = Member Get paths::STREAM_FROM_SNAPSHOT, |spec| events(spec)
            .query::<v1::ReadQuery>().gives::<v1::SnapshotRead>(200);
    }
    subscriptions {
        /// The events that a pattern takes, as they come, as server-sent events.
        Subscribe = Live Get paths::SUBSCRIBE, |spec| subscribe(spec);
        /// The events of a stream, as they come, as server-sent events.
        SubscribeToStream = Live Get paths::STREAM_SUBSCRIBE, |spec| subscribe(spec);
        /// The WebSocket of the contract.
        OpenSocket = Live Get paths::SOCKET, |spec| spec
            .gives_nothing(101, "the connection is a WebSocket now").fails(&[InvalidRequest]);
    }
    consumer_groups {
        /// Makes a consumer group.
        CreateConsumerGroup = Leader Post paths::CONSUMER_GROUPS, |spec| change(spec)
            .body::<v1::ConsumerGroupBody>().gives::<v1::ConsumerGroupBody>(201)
            .fails(&[InvalidPattern, InvalidFilter, ConsumerGroupExists, ConsumerGroupsFull]);
        /// Lists consumer groups.
        ListConsumerGroups = Leader Get paths::CONSUMER_GROUPS, |spec| lead(spec).gives::<v1::ConsumerGroupList>(200);
        /// A consumer group and how far it is.
        GetConsumerGroup = Leader Get paths::CONSUMER_GROUP, |spec| of_group(spec).gives::<v1::ConsumerGroupView>(200);
        /// Changes the terms of a consumer group, pauses or resumes it.
        ChangeConsumerGroup = Leader Patch paths::CONSUMER_GROUP, |spec| of_group(change(spec))
            .body::<v1::ConsumerGroupChange>().gives::<v1::ConsumerGroupBody>(200).fails(&[InvalidFilter]);
        /// Removes a consumer group with its dead letters.
        DeleteConsumerGroup = Leader Delete paths::CONSUMER_GROUP, |spec| of_group(spec)
            .gives_nothing(204, "removed").fails(&[OutcomeUnknown]);
        /// Takes events in the name of a group.
        PullEvents = Leader Post paths::CONSUMER_GROUP_PULL, |spec| of_group(spec)
            .query::<v1::PullQuery>().gives::<v1::PullResult>(200).fails(&[SubscriptionsFull]);
        /// Says what became of events that were taken.
        SettleEvents = Leader Post paths::CONSUMER_GROUP_SETTLE, |spec| of_group(spec)
            .body::<v1::SettleBody>().gives::<v1::SettleResult>(200).fails(&[TooLarge, OutcomeUnknown]);
        /// Lists what a group has given up.
        ListDeadLetters = Leader Get paths::CONSUMER_GROUP_DEAD_LETTERS, |spec| of_group(spec)
            .query::<v1::DeadLettersQuery>().gives::<v1::DeadLetterPage>(200);
        /// Hands dead letters out again.
        ReplayDeadLetters = Leader Post paths::CONSUMER_GROUP_REPLAY, |spec| of_group(spec)
            .body::<v1::ReplayBody>().gives::<v1::ReplayResult>(200).fails(&[TooLarge, OutcomeUnknown]);
    }
    buckets {
        /// Makes a key-value bucket.
        CreateBucket = Member Post paths::KV_BUCKETS, |spec| change(spec)
            .body::<v1::BucketBody>().gives::<v1::BucketView>(201).fails(&[BucketExists, BucketsFull, TooLarge]);
        /// Lists buckets.
        ListBuckets = Member Get paths::KV_BUCKETS, |spec| read(spec).query::<v1::KvReadQuery>().gives::<v1::BucketList>(200);
        /// What is known of a bucket.
        GetBucket = Member Get paths::KV_BUCKET, |spec| of_bucket(read(spec))
            .query::<v1::KvReadQuery>().gives::<v1::BucketView>(200);
        /// Removes a bucket with all that it holds.
        DeleteBucket = Member Delete paths::KV_BUCKET, |spec| of_bucket(change(spec)).gives_nothing(204, "removed");
        /// Every change of a bucket's keys, as server-sent events, or over a WebSocket where one is asked for.
        WatchBucket = Live Get paths::KV_WATCH, |spec| of_bucket(spec)
            .query::<v1::KvWatchQuery>().header("Last-Event-ID", "the revision to go on after")
            .gives_text("text/event-stream", "changes, each with its revision as id")
            .gives_nothing(101, "the connection is a WebSocket now")
            .fails(&[InvalidRequest, InvalidName, TooLarge, SubscriptionsFull, StorageFailed, StorageDamaged]);
        /// Lists the keys of a bucket.
        ListKeys = Member Get paths::KV_KEYS, |spec| of_bucket(read(spec))
            .query::<v1::KvKeysQuery>().gives::<v1::KvKeysPage>(200);
        /// Reads a key, or its history.
        GetKey = Member Get paths::KV_KEY, |spec| of_bucket(read(spec))
            .query::<v1::KvReadQuery>().gives::<v1::KvEntryView>(200).gives::<v1::KvHistory>(200).fails(&[KeyNotFound]);
        /// Writes a key: its value is the body.
        PutKey = Member Put paths::KV_KEY, |spec| guarded(of_bucket(change(spec)))
            .query::<v1::KvPutQuery>().bytes().gives::<v1::KvPutResult>(200).fails(&[TooLarge, BucketFull]);
        /// Deletes a key, or purges its history.
        DeleteKey = Member Delete paths::KV_KEY, |spec| guarded(of_bucket(change(spec)))
            .query::<v1::KvDeleteQuery>().gives_nothing(204, "deleted; its revision is in `x-weir-revision`")
            .fails(&[KeyNotFound]);
    }
    rules {
        /// Registers the schema of a version of the events of a name.
        RegisterEventSchema = Member Post paths::EVENT_SCHEMAS, |spec| change(spec)
            .body::<v1::EventSchemaBody>().gives::<v1::EventSchemaRegistered>(201).gives::<v1::EventSchemaRegistered>(200)
            .fails(&[SchemaInvalid, RulesFull, TooLarge]);
        /// Lists schemas of events.
        ListEventSchemas = Member Get paths::EVENT_SCHEMAS, |spec| read(spec)
            .query::<v1::EventSchemasQuery>().gives::<v1::EventSchemaList>(200);
        /// The newest schema of events of a name.
        GetNewestEventSchema = Member Get paths::EVENT_SCHEMA_NEWEST, |spec| read(spec)
            .gives::<v1::EventSchemaView>(200).fails(&[SchemaNotFound]);
        /// A schema of events; version 0 is the newest.
        GetEventSchema = Member Get paths::EVENT_SCHEMA, |spec| read(spec)
            .gives::<v1::EventSchemaView>(200).fails(&[SchemaNotFound]);
        /// Removes a schema of events.
        DeleteEventSchema = Member Delete paths::EVENT_SCHEMA, |spec| change(spec)
            .gives_nothing(204, "removed").fails(&[SchemaNotFound]);
        /// Lists all rules.
        ListRules = Member Get paths::RULES, |spec| read(spec).gives::<v1::RulesList>(200);
        /// The rules of the namespace.
        GetNamespaceRules = Member Get paths::RULES_NAMESPACE, |spec| read(spec)
            .gives::<v1::RulesView>(200).fails(&[RulesNotFound]);
        /// Sets the rules of the namespace.
        SetNamespaceRules = Member Put paths::RULES_NAMESPACE, |spec| set_rules(spec);
        /// Removes the rules of the namespace.
        DeleteNamespaceRules = Member Delete paths::RULES_NAMESPACE, |spec| change(spec)
            .gives_nothing(204, "removed").fails(&[RulesNotFound]);
        /// The rules of an entity type.
        GetTypeRules = Member Get paths::RULES_TYPE, |spec| read(spec)
            .gives::<v1::RulesView>(200).fails(&[RulesNotFound]);
        /// Sets the rules of an entity type.
        SetTypeRules = Member Put paths::RULES_TYPE, |spec| set_rules(spec);
        /// Removes the rules of an entity type.
        DeleteTypeRules = Member Delete paths::RULES_TYPE, |spec| change(spec)
            .gives_nothing(204, "removed").fails(&[RulesNotFound]);
    }
    upcasters {
        /// Lists upcasters.
        ListUpcasters = Member Get paths::UPCASTERS, |spec| read(spec).gives::<v1::UpcasterList>(200);
        /// The upcaster of events of a name from a schema version.
        GetUpcaster = Member Get paths::UPCASTER, |spec| read(spec)
            .gives::<v1::UpcasterView>(200).fails(&[UpcasterNotFound]);
        /// Sets an upcaster.
        SetUpcaster = Member Put paths::UPCASTER, |spec| change(spec)
            .body::<v1::UpcasterBody>().gives::<v1::RulesResult>(200).fails(&[UpcasterInvalid, RulesFull, TooLarge]);
        /// Removes an upcaster.
        DeleteUpcaster = Member Delete paths::UPCASTER, |spec| change(spec)
            .gives_nothing(204, "removed").fails(&[UpcasterNotFound]);
        /// Tries the upcasters of a name on data, and shows each step.
        TestUpcasters = Member Post paths::UPCASTER_TEST, |spec| read(spec)
            .body::<v1::UpcastBody>().gives::<v1::UpcastResult>(200).fails(&[UpcasterNotFound]);
        /// The same as SDKs of the contract ask for it.
        UpcastEvent = Member Post paths::EVENT_UPCAST, |spec| read(spec)
            .body::<v1::UpcastBody>().gives::<v1::UpcastResult>(200).fails(&[UpcasterNotFound]);
    }
    projections {
        /// Deploys a projection.
        DeployProjection = Member Post paths::PROJECTIONS, |spec| change(spec)
            .body::<v1::DeployBody>().gives::<v1::DeployResult>(201).fails(&[ProjectionInvalid, ProjectionsFull, TooLarge]);
        /// Lists projections.
        ListProjections = Member Get paths::PROJECTIONS, |spec| read(spec).gives::<v1::ProjectionList>(200);
        /// Reads the state of one partition.
        GetProjection = Member Get paths::PROJECTION, |spec| of_projection(read(spec))
            .query::<v1::ViewQuery>().header("If-None-Match", "the `ETag` of a state that the client has")
            .gives::<v1::ProjectionView>(200).gives_nothing(304, "the client has this state")
            .fails(&[ProjectionPaused, StateFailed, Overloaded, TooLarge]);
        /// Removes a projection.
        DeleteProjection = Member Delete paths::PROJECTION, |spec| of_projection(change(spec)).gives_nothing(204, "removed");
        /// How far a projection is.
        GetProjectionStatus = Member Get paths::PROJECTION_STATUS, |spec| of_projection(read(spec))
            .gives::<v1::ProjectionStatus>(200);
        /// Tells a projection to fold nothing until it is resumed.
        PauseProjection = Member Post paths::PROJECTION_PAUSE, |spec| of_projection(change(spec))
            .gives::<v1::ProjectionStatus>(200);
        /// Tells a projection to go on, and to try again where it is parked.
        ResumeProjection = Member Post paths::PROJECTION_RESUME, |spec| of_projection(change(spec))
            .gives::<v1::ProjectionStatus>(200);
        /// Folds a projection again beside what answers, which it replaces when it has caught up; or only compares.
        RebuildProjection = Member Post paths::PROJECTION_REBUILD, |spec| of_projection(change(spec))
            .body::<v1::RebuildBody>().gives::<v1::RebuildJob>(202).fails(&[RebuildConflict, StreamNotFound]);
        /// How far a rebuild is on the answering node.
        GetRebuild = Member Get paths::PROJECTION_REBUILD, |spec| of_projection(read(spec))
            .gives::<v1::RebuildJob>(200).fails(&[RebuildConflict]);
        /// Gives a rebuild up.
        CancelRebuild = Member Post paths::PROJECTION_CANCEL, |spec| of_projection(change(spec))
            .gives::<v1::CancelResult>(200).fails(&[RebuildConflict, ProjectionVirtual]);
        /// Lets each of two names answer from what the other one did.
        SwitchProjections = Member Post paths::PROJECTION_SWITCH, |spec| of_projection(change(spec))
            .body::<v1::SwitchBody>().gives::<v1::ProjectionStatus>(200).fails(&[ProjectionInvalid]);
        /// Compares two projections at one position on the answering node.
        DiffProjections = Member Get paths::PROJECTION_DIFF, |spec| of_projection(read(spec))
            .query::<v1::DiffQuery>().gives::<v1::ComparisonView>(200).fails(&[ProjectionVirtual]);
        /// Holds a projection on the answering node, or tells its digest at a position.
        GetProjectionDigest = Member Post paths::PROJECTION_DIGEST, |spec| of_projection(read(spec))
            .body::<v1::DigestBody>().gives::<v1::DigestView>(200).fails(&[PositionPassed, ProjectionVirtual]);
        /// Reads one partition's state as it was at a position or a time, by a fold beside what answers.
        GetPastState = Member Get paths::PROJECTION_PAST, |spec| of_projection(read(spec))
            .query::<v1::PastQuery>().gives::<v1::PastView>(200).gives::<v1::PastView>(202)
            .fails(&[ProjectionParked, ProjectionVirtual, Overloaded]);
        /// Reads all partitions as they were at a position or a time.
        ListPastStates = Member Get paths::PROJECTION_PAST_PARTITIONS, |spec| of_projection(read(spec))
            .query::<v1::PastPageQuery>().gives::<v1::PastPage>(200).gives::<v1::PastPage>(202)
            .fails(&[ProjectionParked, ProjectionVirtual, Overloaded, TooLarge]);
        /// Lists what a projection passed without folding it.
        ListProjectionDeadLetters = Member Get paths::PROJECTION_DEAD_LETTERS, |spec| of_projection(read(spec))
            .query::<v1::ProjectionDeadLettersQuery>().gives::<v1::ProjectionDeadLetters>(200).fails(&[ProjectionVirtual]);
        /// Asks about the tables of projections, in SQL.
        QuerySql = Member Post paths::SQL, |spec| of_projection(read(spec))
            .body::<v1::SqlBody>().gives::<v1::SqlResult>(200)
            .fails(&[SqlInvalid, ProjectionPaused, Overloaded, TooLarge, Unimplemented]);
        /// Lists the partitions of a projection.
        ListPartitions = Member Get paths::PROJECTION_PARTITIONS, |spec| of_projection(read(spec))
            .query::<v1::PartitionsQuery>().gives::<v1::PartitionsPage>(200).fails(&[ProjectionVirtual]);
        /// The states of a projection, as they come, as server-sent events.
        SubscribeToProjection = Live Get paths::PROJECTION_SUBSCRIBE, |spec| spec.query::<v1::StatesQuery>()
            .gives_text("text/event-stream", "the newest state of each partition, and then every new one")
            .fails(&[InvalidRequest, InvalidName, ProjectionNotFound, ProjectionVirtual, SubscriptionsFull, StorageFailed]);
        /// Waits until a projection has folded a position.
        WaitForProjection = Live Get paths::PROJECTION_CATCHUP, |spec| wait(spec)
            .query::<v1::CatchupQuery>().gives::<v1::WaitResult>(200)
            .fails(&[ProjectionNotFound, ProjectionParked, ProjectionVirtual]);
        /// Waits until several projections have folded a position each.
        WaitForProjections = Live Post paths::PROJECTIONS_CATCHUP, |spec| wait(spec)
            .body::<v1::CatchupBatchBody>().gives::<v1::CatchupBatchResult>(200).fails(&[TooLarge]);
        /// Waits until a projection has folded an event.
        WaitForEvent = Live Post paths::PROJECTIONS_WAIT_FOR_EVENT, |spec| wait(spec)
            .body::<v1::WaitForEventBody>().gives::<v1::WaitResult>(200)
            .fails(&[ProjectionNotFound, ProjectionParked, ProjectionVirtual, EventNotFound, StorageFailed, StorageDamaged]);
    }
    workers {
        /// Makes a projection that workers fold, or changes what was asked for.
        RegisterProjection = Leader Post paths::PROJECTION_WORKER, |spec| change(spec)
            .body::<connect::RegisterProjectionRequest>().gives::<connect::RegisterProjectionResponse>(200)
            .fails(&[ProjectionInvalid, ProjectionKindConflict, ProjectionsFull]);
        /// Takes events of a projection that workers fold: of one partition, with its state.
        PollProjection = Leader Post paths::PROJECTION_POLL, |spec| of_projection(change(spec))
            .query::<v1::PollQuery>().gives::<connect::PollProjectionResponse>(200);
        /// Saves the state of a partition with its checkpoint, or says that its events had their effect.
        SaveProjection = Leader Post paths::PROJECTION_SAVE, |spec| of_projection(change(spec))
            .body::<connect::SaveProjectionRequest>().gives::<connect::OkResponse>(200).fails(&[LeaseLost, TooLarge]);
        /// Lists what workers could not fold, or what a webhook did not take.
        ListWorkerLetters = Leader Get paths::PROJECTION_LETTERS, |spec| of_projection(lead(spec))
            .query::<v1::DeadLettersQuery>().gives::<v1::WorkerLetters>(200).fails(&[InvalidRequest, InvalidName]);
        /// Sends dead letters to the webhook again.
        ReplayWorkerLetters = Leader Post paths::PROJECTION_LETTERS_REPLAY, |spec| of_projection(lead(spec))
            .body::<v1::ReplayBody>().gives::<v1::ReplayResult>(200).fails(&[InvalidRequest, InvalidName]);
        /// Gives the lease of a projection up, where it is still this one.
        ReleaseProjection = Leader Delete paths::PROJECTION_LEASE, |spec| of_projection(lead(spec))
            .query::<v1::LeaseQuery>().gives_nothing(204, "given up").fails(&[InvalidRequest, InvalidName]);
        /// A worker says that it is there.
        RegisterWorker = Leader Post paths::WORKER_REGISTER, |spec| lead(spec)
            .gives::<v1::WorkerHeard>(200).fails(&[InvalidRequest]);
        /// A worker says that it is still there, by which its leases go on.
        HeartbeatWorker = Leader Post paths::WORKER_HEARTBEAT, |spec| lead(spec)
            .gives::<v1::WorkerHeard>(200).fails(&[InvalidRequest]);
        /// Work other than projections, of which there is none.
        GetJobs = Process Get paths::WORKER_JOBS, |spec| spec.gives_nothing(204, "there is none");
    }
    cluster {
        /// The cluster as this node sees it.
        GetCluster = Process Get paths::CLUSTER, |spec| spec.gives::<v1::ClusterStatus>(200);
        /// Makes a cluster of nodes that belong to none.
        InitCluster = Process Post paths::CLUSTER_INIT, |spec| spec
            .body::<v1::InitBody>().gives::<v1::ClusterStatus>(200)
            .fails(&[InvalidRequest, AlreadyInitialized, MembershipConflict]);
        /// Adds a member.
        AddMember = Leader Post paths::CLUSTER_MEMBERS, |spec| members(spec)
            .body::<v1::MemberBody>().gives::<v1::ClusterStatus>(200);
        /// Removes a member.
        RemoveMember = Leader Delete paths::CLUSTER_MEMBER, |spec| members(spec).gives::<v1::ClusterStatus>(200);
        /// Hands leadership over.
        TransferLeadership = Leader Post paths::CLUSTER_TRANSFER, |spec| members(spec)
            .body::<v1::TransferBody>().gives::<v1::ClusterStatus>(200);
        /// How far the outbox is.
        GetOutbox = Leader Get paths::OUTBOX, |spec| lead(spec).gives::<v1::OutboxStatus>(200);
        /// Publishes everything again.
        RebuildOutbox = Leader Post paths::OUTBOX_REBUILD, |spec| lead(spec)
            .gives::<v1::OutboxStatus>(200).fails(&[BusUnavailable]);
    }
    server {
        /// Whether the process answers.
        GetHealth = Process Get paths::HEALTH, |spec| spec.gives::<v1::Health>(200);
        /// Whether the process answers, for Kubernetes.
        GetLivez = Process Get paths::LIVEZ, |spec| spec.gives::<v1::Health>(200);
        /// Whether the node may be sent requests.
        GetReady = Process Get paths::READY, |spec| spec.gives::<v1::Health>(200).gives::<v1::Health>(503);
        /// Whether the node may be sent requests, for Kubernetes.
        GetReadyz = Process Get paths::READYZ, |spec| spec.gives::<v1::Health>(200).gives::<v1::Health>(503);
        /// Metrics for Prometheus.
        GetMetrics = Process Get paths::METRICS, |spec| spec.gives_text("text/plain", "in the text format");
        /// What the server can do.
        GetCapabilities = Process Get paths::CAPABILITIES, |spec| spec.gives::<v1::Capabilities>(200);
        /// The limits that the server keeps.
        GetLimits = Process Get paths::LIMITS, |spec| spec.gives::<v1::Limits>(200);
        /// This document.
        GetOpenApi = Process Get paths::OPENAPI, |spec| spec.gives::<serde_json::Map<String, serde_json::Value>>(200);
    }
    rpc {
        /// `ironflow.v1.EntityStreamService`, in the Connect protocol with JSON.
        CallEntityStreams = Connect Post "/ironflow.v1.EntityStreamService/{method}", |spec| spec.trace().protobuf();
        /// `ironflow.v1.ProjectionService`, in the Connect protocol with JSON.
        CallProjections = Live Post "/ironflow.v1.ProjectionService/{method}", |spec| spec.protobuf();
        /// `ironflow.v1.EventSchemaService`, in the Connect protocol with JSON.
        CallSchemas = Connect Post "/ironflow.v1.EventSchemaService/{method}", |spec| spec.protobuf();
        /// `ironflow.v1.PubSubService`: calls and streams in the Connect protocol with JSON.
        CallPubSub = Live Post "/ironflow.v1.PubSubService/{method}", |spec| spec.protobuf();
        /// `weir.v1.StreamService`, over gRPC, gRPC-Web and Connect.
        CallStreams = Rpc Post "/weir.v1.StreamService/{method}", |spec| spec.trace().protobuf();
        /// `weir.v1.ReadService`, over gRPC, gRPC-Web and Connect.
        CallReads = Rpc Post "/weir.v1.ReadService/{method}", |spec| spec.protobuf();
        /// `weir.v1.SubscriptionService`, over gRPC, gRPC-Web and Connect.
        CallSubscriptions = Rpc Post "/weir.v1.SubscriptionService/{method}", |spec| spec.protobuf();
    }
}

fn append(spec: Spec<'_>) -> Spec<'_> {
    let key = "the key by which a repeat is recognised, where the body has none";
    let spec = spec.header("Idempotency-Key", key).trace();
    change(spec).fails(&[
        EmptyAppend,
        IdempotencyConflict,
        TooLarge,
        Overloaded,
        EventInvalid,
        InvariantViolated,
        InvariantFailed,
    ])
}

/// A change that the leader makes, and that any node takes.
fn change(spec: Spec<'_>) -> Spec<'_> {
    spec.fails(&[InvalidRequest, InvalidName, NotLeader, OutcomeUnknown, StorageFailed])
}

fn read(spec: Spec<'_>) -> Spec<'_> {
    spec.fails(&[InvalidRequest, InvalidName, TooLarge, Stale, StorageFailed, StorageDamaged])
}

/// A read of events, which are upcast.
fn events(spec: Spec<'_>) -> Spec<'_> {
    read(spec).fails(&[UpcastGap, UpcastFailed])
}

fn subscribe(spec: Spec<'_>) -> Spec<'_> {
    let spec = spec.query::<v1::SubscribeQuery>().header("Last-Event-ID", "the cursor to go on at");
    spec.gives_text("text/event-stream", "events, each with its cursor as id").fails(&[
        InvalidRequest,
        InvalidName,
        InvalidPattern,
        InvalidFilter,
        InvalidCursor,
        TooLarge,
        SubscriptionsFull,
    ])
}

/// What the leader alone answers.
fn lead(spec: Spec<'_>) -> Spec<'_> {
    spec.fails(&[NotLeader, OutcomeUnknown])
}

fn of_group(spec: Spec<'_>) -> Spec<'_> {
    spec.fails(&[InvalidRequest, InvalidName, ConsumerGroupNotFound, NotLeader])
}

fn of_bucket(spec: Spec<'_>) -> Spec<'_> {
    spec.fails(&[BucketNotFound])
}

fn guarded(spec: Spec<'_>) -> Spec<'_> {
    spec.header("If-None-Match", "`*`: the key must hold nothing")
        .header("If-Match", "the key must be at this revision, or with `*` hold a value")
        .fails(&[RevisionConflict])
}

fn set_rules(spec: Spec<'_>) -> Spec<'_> {
    change(spec).body::<v1::RulesBody>().gives::<v1::RulesResult>(200).fails(&[
        RulesInvalid,
        RulesFull,
        TooLarge,
    ])
}

fn of_projection(spec: Spec<'_>) -> Spec<'_> {
    spec.fails(&[ProjectionNotFound])
}

/// A wait for projections.
fn wait(spec: Spec<'_>) -> Spec<'_> {
    spec.fails(&[InvalidRequest, InvalidName, Overloaded])
}

fn members(spec: Spec<'_>) -> Spec<'_> {
    lead(spec).fails(&[InvalidRequest, MembershipConflict])
}
