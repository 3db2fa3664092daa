//! Every bound that Weir keeps, by name. A request over one of these is
//! refused with an error that names the bound; nothing is cut short silently.

/// Bytes of UTF-8 in an entity id.
pub const ENTITY_ID_BYTES_MAX: usize = 512;
/// Bytes of UTF-8 in an entity type or an event name.
pub const NAME_BYTES_MAX: usize = 256;
/// Bytes of UTF-8 in a projection name.
pub const PROJECTION_NAME_BYTES_MAX: usize = 128;
/// Bytes of UTF-8 in a projection's partition key.
pub const PARTITION_KEY_BYTES_MAX: usize = 512;
/// Bytes of UTF-8 in an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;
/// Bytes of one event's data.
pub const EVENT_DATA_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one event's metadata.
pub const METADATA_BYTES_MAX: usize = 64 * 1024;
/// Levels of nesting in an event's JSON, so that every reader can hold it.
pub const JSON_DEPTH_MAX: usize = 96;
/// Bytes of UTF-8 in a content type.
pub const CONTENT_TYPE_BYTES_MAX: usize = 128;
/// Events in one append.
pub const APPEND_EVENTS_MAX: usize = 1_000;
/// Bytes of data and metadata in one append, all events together.
pub const APPEND_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Tags of one event.
pub const EVENT_TAGS_MAX: usize = 16;
/// Bytes of UTF-8 in a tag.
pub const TAG_BYTES_MAX: usize = 256;
/// Streams that one transaction writes.
pub const TRANSACTION_STREAMS_MAX: usize = 100;
/// Streams that one transaction checks and does not write.
pub const TRANSACTION_CHECKS_MAX: usize = 100;
/// Conditions of one transaction.
pub const TRANSACTION_CONDITIONS_MAX: usize = 4;
/// Names and tags of one condition.
pub const CONDITION_TERMS_MAX: usize = 8;
/// Events with the rarest tag of a condition, after its position, that are looked at.
pub const CONDITION_EVENTS_MAX: usize = 1_000;
/// Bytes of one HTTP request body. JSON may spell an append's bytes longer than they are.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Events in one page of a read.
pub const READ_EVENTS_MAX: usize = 4_096;
/// Threads of a process for what may block. A thread more than the disk can use costs memory and gains nothing.
pub const BLOCKING_THREADS_MAX: usize = 8;
/// Reads that have such a thread at once; the others wait, so that apply and peers always find one.
pub const READS_AT_ONCE_MAX: usize = BLOCKING_THREADS_MAX - 2;
/// Events that one page of a filtered read of the log looks at.
pub const SEARCH_EVENTS_MAX: usize = 10_000;
/// Event names that one prefix of a filtered read stands for.
pub const SEARCH_NAMES_MAX: usize = 256;
/// Events in one page of a read that names no limit.
pub const READ_EVENTS_DEFAULT: usize = 1_000;
/// Bytes of data and metadata in one page of a read; a page holds at least one event.
pub const READ_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Milliseconds that a read may wait for an event that is not there yet.
pub const READ_WAIT_MS_MAX: u64 = 30_000;
/// Streams in one page of a listing.
pub const LIST_STREAMS_MAX: usize = 1_000;
/// Appends that a proposer puts into one log entry.
pub const ENTRY_APPENDS_MAX: usize = 1_024;
/// Bytes that a proposer puts into one log entry, unless one append alone is larger.
pub const ENTRY_BYTES_MAX: usize = 1024 * 1024;
/// Entries that a proposer keeps in flight.
pub const ENTRIES_IN_FLIGHT_MAX: usize = 2;
/// Appends that must wait for an entry to leave while another is in flight.
pub const ENTRY_BESIDE_MIN: usize = 128;
/// How long what waits is kept for the callers that were just answered.
pub const COHORT_WAIT_MAX: std::time::Duration = std::time::Duration::from_millis(1);
/// Bytes of appends in flight on one node, admitted and not yet answered.
pub const IN_FLIGHT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Appends in flight on one node, admitted and not yet answered.
pub const IN_FLIGHT_APPENDS_MAX: usize = 16 * 1024;
/// Appends that may wait for admission to one node.
pub const ADMISSION_QUEUE_MAX: usize = 4 * 1024;
/// Bytes of the appends that may wait for admission to one node.
pub const ADMISSION_QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long an append may wait for admission.
pub const ADMISSION_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(2);
/// Appends that may wait in one stream actor.
pub const STREAM_QUEUE_MAX: usize = 4 * 1024;
/// Stream actors alive at once on one node; the idlest are passivated beyond it.
pub const ACTIVE_STREAMS_MAX: usize = 20_000;
/// How long a stream actor may be idle before it is passivated.
pub const STREAM_IDLE_MAX: std::time::Duration = std::time::Duration::from_secs(30);
/// Events that an outbox publishes before it waits for their acknowledgements.
pub const OUTBOX_BATCH_MAX: usize = 500;
/// Longest pause of an outbox before it asks a bus again that did not answer.
pub const OUTBOX_BACKOFF_MAX: std::time::Duration = std::time::Duration::from_secs(5);
/// Events over which an idempotency key is remembered, counted in positions of its group.
pub const IDEMPOTENCY_WINDOW_EVENTS: u64 = 1_000_000;
/// Projections of one group.
pub const PROJECTIONS_MAX: usize = 256;
/// Event patterns of one projection.
pub const PROJECTION_PATTERNS_MAX: usize = 64;
/// Bytes of a projection's source.
pub const PROJECTION_SOURCE_BYTES_MAX: usize = 256 * 1024;
/// Generations of one projection that the registry knows: the newest, and those that may answer meanwhile.
pub const PROJECTION_GENERATIONS_MAX: usize = 3;
/// Rebuilds of single partitions that the registry knows of one projection: a node that missed more does the last of them.
pub const PARTITION_REBUILDS_MAX: usize = 64;
/// Dead letters of one deployment; at the next bad event it is parked.
pub const PROJECTION_DEAD_LETTERS_MAX: u64 = 1_000;
/// Dead letters of a projection in one page.
pub const PROJECTION_DEAD_LETTERS_PAGE_MAX: usize = 256;
/// Schemas of events of one group, all versions counted.
pub const EVENT_SCHEMAS_MAX: usize = 1_024;
/// Bytes of a schema of events.
pub const EVENT_SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// Levels of nesting in a schema of events.
pub const EVENT_SCHEMA_DEPTH_MAX: usize = 64;
/// Subschemas of a schema of events, each counted as often as it is referred to: what one value is checked against.
pub const EVENT_SCHEMA_NODES_MAX: usize = 4_096;
/// Bytes that a schema's patterns may take once they are compiled, each.
pub const EVENT_SCHEMA_PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of UTF-8 in the description of a schema.
pub const DESCRIPTION_BYTES_MAX: usize = 1_024;
/// Scopes of one group that have rules.
pub const RULES_MAX: usize = 256;
/// Metadata keys that the rules of one scope name.
pub const RULES_METADATA_KEYS_MAX: usize = 64;
/// Faults that one refusal tells.
pub const RULE_FAULTS_MAX: usize = 100;
/// Bytes of UTF-8 in a fault's words, and in its path.
pub const RULE_FAULT_BYTES_MAX: usize = 512;
/// Bytes of an append's data beyond which its schemas are checked off the runtime.
pub const RULES_ON_RUNTIME_BYTES_MAX: usize = 16 * 1024;
/// Invariants of one group. Each has a thread on the leader while it is used.
pub const INVARIANTS_MAX: usize = 32;
/// Bytes of JSON of the state that an invariant folds.
pub const INVARIANT_STATE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of such states that a node keeps in memory, so that a judgement costs one event.
pub const INVARIANT_STATES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Events of a stream whose state is not in memory that an invariant folds.
pub const INVARIANT_EVENTS_MAX: usize = 1_000_000;
/// Events of a stream that an invariant puts in the order in which they occurred.
pub const INVARIANT_SORTED_EVENTS_MAX: usize = 100_000;
/// Bytes of their data and metadata.
pub const INVARIANT_SORTED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Events of a stream that are folded for one answer, beyond a state that is kept.
pub const STATE_EVENTS_MAX: usize = 100_000;
/// Virtual projections whose engines a node keeps ready.
pub const VIRTUAL_ENGINES_MAX: usize = 16;
/// How long a virtual projection may take over one page of a stream.
pub const VIRTUAL_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(5);
/// States of streams that a node folds at once.
pub const STATES_AT_ONCE_MAX: usize = 32;
/// Bytes of such states that a node keeps, so that the next fold goes on from them.
pub const STATES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long an invariant may take over one append, or over one page of a stream.
pub const INVARIANT_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(5);
/// Bytes of an invariant's source.
pub const INVARIANT_SOURCE_BYTES_MAX: usize = 256 * 1024;
/// Upcasters of one group.
pub const UPCASTERS_MAX: usize = 256;
/// The same with those before them that projections still fold by, and with removals.
pub const UPCASTER_RECORDS_MAX: usize = 1_024;
/// Bytes of an upcaster's source.
pub const UPCASTER_SOURCE_BYTES_MAX: usize = 64 * 1024;
/// How long events are upcast in one go, beyond the first.
pub const UPCAST_TURN_MAX: std::time::Duration = std::time::Duration::from_secs(2);
/// Bytes of one partition's state, as JSON.
pub const VIEW_STATE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Folds of a projection's past that a node keeps at once.
pub const PAST_FOLDS_MAX: usize = 8;
/// And that it folds at once.
pub const PAST_FOLDS_RUNNING_MAX: usize = 2;
/// Partitions in a page of a projection's past.
pub const PAST_PAGE_MAX: usize = 100;
/// Bytes of their states, unless one alone is larger.
pub const PAST_PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Characters in the name of a sink.
pub const SINK_NAME_BYTES_MAX: usize = 63;
/// Projections whose tables one query sees.
pub const SQL_PROJECTIONS_MAX: usize = 10;
/// Bytes of one SQL statement, and of one value.
pub const SQL_TEXT_BYTES_MAX: usize = 1024 * 1024;
/// Statements that one event may lead to.
pub const SQL_STATEMENTS_MAX: usize = 1_000;
/// Units of 10,000 steps of the SQL engine that the statements of one event may take.
pub const SQL_UNITS_MAX: u32 = 1_000;
/// Rows of the answer to a query.
pub const SQL_ROWS_MAX: usize = 10_000;
/// Bytes of the answer to a query.
pub const SQL_ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Milliseconds that a query may take.
pub const SQL_QUERY_MS_MAX: u64 = 5_000;
/// Queries that a node carries out at once.
pub const SQL_QUERIES_MAX: usize = 4;
/// Waits for projections at once on one node.
pub const PROJECTION_WAITS_MAX: usize = 1_024;
/// Waits that one request may hold.
pub const PROJECTION_WAIT_BATCH_MAX: usize = 16;
/// Milliseconds that a wait for a projection takes at most which names no time.
pub const PROJECTION_WAIT_MS_DEFAULT: u64 = 30_000;
/// The longest such wait; one that asks for more is given this.
pub const PROJECTION_WAIT_MS_MAX: u64 = 60_000;
/// The longest such wait whose progress is streamed.
pub const PROJECTION_WAIT_STREAM_MS_MAX: u64 = 300_000;
/// Followers of projections' states at once on one node.
pub const PROJECTION_WATCHES_MAX: usize = 4_096;
/// Positions in which an event is looked for by its id, back from the end.
pub const EVENT_LOOK_BACK_MAX: u64 = 200_000;
/// Bytes of data and metadata that are read in that look back.
pub const EVENT_LOOK_BACK_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Keys that one page of a projection's partitions looks at, whether they match or not.
pub const PARTITIONS_SCAN_MAX: usize = 10_000;
/// Key-value buckets of one group.
pub const KV_BUCKETS_MAX: usize = 1_000;
/// Buckets whose names begin so are Weir's own.
pub const KV_RESERVED_PREFIX: &str = "_weir";
/// Characters in a bucket's name.
pub const KV_BUCKET_NAME_BYTES_MAX: usize = 128;
/// Bytes of UTF-8 in a bucket's description.
pub const KV_DESCRIPTION_BYTES_MAX: usize = 1_024;
/// Bytes of UTF-8 in a key, or in a filter over keys.
pub const KV_KEY_BYTES_MAX: usize = 512;
/// Bytes of one value, unless its bucket takes less.
pub const KV_VALUE_BYTES_MAX: usize = 1024 * 1024;
/// Values that are kept of one key, the newest included.
pub const KV_HISTORY_MAX: usize = 64;
/// Seconds that an entry may be told to live: 100 years.
pub const KV_TTL_SECONDS_MAX: u64 = 3_155_760_000;
/// Keys that one change checks, and that it writes.
pub const KV_CHANGE_KEYS_MAX: usize = 64;
/// Bytes of the values that one change writes.
pub const KV_CHANGE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Changes of buckets that a node keeps in memory for all who watch.
pub const KV_FEED_ITEMS_MAX: usize = 8_192;
/// Bytes of their keys and values.
pub const KV_FEED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Entries that a watch begins with, at most.
pub const KV_WATCH_BEGIN_MAX: usize = 10_000;
/// Watches of buckets at once on one node.
pub const KV_WATCHES_MAX: usize = 1_024;
/// Snapshots that are kept of one stream; the oldest go.
pub const SNAPSHOTS_MAX: usize = 16;
/// Bytes of the state of a snapshot, as JSON.
pub const SNAPSHOT_STATE_BYTES_MAX: usize = KV_VALUE_BYTES_MAX - 8 * 1024;
/// Keys in one page of a listing.
pub const KV_LIST_MAX: usize = 1_000;
/// Keys that one page of a listing looks at, whether they match its filter or not.
pub const KV_SCAN_MAX: usize = 50_000;
/// Keys that are dropped by one command of a leader's keeper.
pub const KV_SWEEP_KEYS_MAX: u32 = 500;
/// Key-value commands in flight on one node.
pub const KV_IN_FLIGHT_MAX: usize = 4 * 1024;
/// Bytes of the key-value commands in flight on one node.
pub const KV_IN_FLIGHT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Events that wait in memory for the worker of one projection.
pub const WORKER_WINDOW_EVENTS_MAX: usize = 4_096;
/// Bytes of data and metadata of the same.
pub const WORKER_WINDOW_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Events that a worker gets at once.
pub const WORKER_BATCH_MAX: usize = 1_000;
/// The same where it does not say how many.
pub const WORKER_BATCH_DEFAULT: usize = 100;
/// Bytes of data and metadata of the same.
pub const WORKER_BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes of the state of a partition that a worker saves, as JSON.
pub const WORKER_STATE_BYTES_MAX: usize = KV_VALUE_BYTES_MAX - 4 * 1024;
/// Bytes of a partition's key of a projection that a worker folds.
pub const WORKER_PARTITION_BYTES_MAX: usize = 448;
/// Bytes of the name that a worker gives itself.
pub const WORKER_ID_BYTES_MAX: usize = 128;
/// How long a worker that polls may be let wait, in milliseconds.
pub const WORKER_WAIT_MS_MAX: u64 = 25_000;
/// The shortest time for which a worker may have a projection to itself, in milliseconds.
pub const WORKER_LEASE_MS_MIN: u64 = 500;
/// The longest.
pub const WORKER_LEASE_MS_MAX: u64 = 3_600_000;
/// The same of a projection that names none.
pub const WORKER_LEASE_MS_DEFAULT: u64 = 30_000;
/// How often the same events may be handed out before they count as not to be folded.
pub const WORKER_DELIVERIES_MAX: u32 = 1_000;
/// The same of a projection that names no number.
pub const WORKER_DELIVERIES_DEFAULT: u32 = 10;
/// Dead letters of one projection that a worker folds; beyond them it is parked.
pub const WORKER_DEAD_LETTERS_MAX: u64 = 10_000;
/// Bytes of the address of a webhook.
pub const WEBHOOK_URL_BYTES_MAX: usize = 2_048;
/// Bytes of the secret with which it is signed.
pub const WEBHOOK_SECRET_BYTES_MAX: usize = 256;
/// Bytes of a subject of NATS to which a projection's events go.
pub const SUBJECT_BYTES_MAX: usize = 255;
/// Projections of one group that workers fold.
pub const WORKER_PROJECTIONS_MAX: usize = 256;
/// Bytes of memory of one projection's JavaScript runtime.
pub const REDUCER_MEMORY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Subscriptions at once on one node.
pub const SUBSCRIPTIONS_MAX: usize = 4_096;
/// Bytes of UTF-8 in a subscription's pattern.
pub const SUBSCRIPTION_PATTERN_BYTES_MAX: usize = 1_100;
/// Bytes of UTF-8 in a filter of events.
pub const FILTER_BYTES_MAX: usize = 1_024;
/// Levels of brackets in a filter.
pub const FILTER_BRACKETS_MAX: usize = 32;
/// Levels of a filter as it is read.
pub const FILTER_DEPTH_MAX: usize = 64;
/// Levels of `all`, `exists`, `exists_one`, `map` and `filter` within each other.
pub const FILTER_LOOPS_MAX: usize = 2;
/// Steps that a filter may take for one event.
pub const FILTER_STEPS_MAX: u64 = 200_000;
/// Bytes that a regular expression of a filter may be compiled to.
pub const FILTER_REGEX_BYTES_MAX: usize = 64 * 1024;
/// Events that may wait for one subscriber that follows; beyond it, it is slow.
pub const SUBSCRIPTION_EVENTS_MAX: usize = 10_000;
/// Bytes of data and metadata of the same.
pub const SUBSCRIPTION_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Newest events that a subscription may ask to begin with.
pub const SUBSCRIPTION_LAST_MAX: u64 = 1_000;
/// Positions in which a pattern's newest events are looked for, back from the end.
pub const SUBSCRIPTION_LOOK_BACK_MAX: u64 = 200_000;
/// Bytes of data and metadata that are read in that look back.
pub const SUBSCRIPTION_LOOK_BACK_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long it may take.
pub const SUBSCRIPTION_LOOK_BACK_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(3);
/// Events of one page of history that a subscription reads.
pub const SUBSCRIPTION_PAGE_EVENTS_MAX: usize = 512;
/// Bytes of such a page beyond which the next one asks for fewer events.
pub const SUBSCRIPTION_PAGE_BYTES_MAX: usize = 512 * 1024;
/// Events that a node keeps in memory for all who follow.
pub const SUBSCRIPTION_RING_EVENTS_MAX: usize = 8_192;
/// Bytes of the same.
pub const SUBSCRIPTION_RING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Milliseconds between heartbeats of a subscription that names none.
pub const SUBSCRIPTION_HEARTBEAT_MS_DEFAULT: u64 = 15_000;
/// The shortest time between heartbeats, in milliseconds.
pub const SUBSCRIPTION_HEARTBEAT_MS_MIN: u64 = 100;
/// The longest.
pub const SUBSCRIPTION_HEARTBEAT_MS_MAX: u64 = 300_000;
/// Subscriptions of one WebSocket.
pub const SOCKET_SUBSCRIPTIONS_MAX: usize = 64;
/// Bytes of one WebSocket frame from a client.
pub const SOCKET_FRAME_BYTES_MAX: usize = 64 * 1024;
/// How long a connection may take no byte of what is to be sent, before it is cut.
pub const SEND_STALL_MAX: std::time::Duration = std::time::Duration::from_secs(30);
/// Consumer groups of one group.
pub const CONSUMER_GROUPS_MAX: usize = 256;
/// Characters in a consumer group's name.
pub const CONSUMER_GROUP_NAME_BYTES_MAX: usize = 128;
/// Events of a consumer group that may be with consumers at once.
pub const CONSUMER_IN_FLIGHT_MAX: u32 = 1_000;
/// The same of a group that names no number.
pub const CONSUMER_IN_FLIGHT_DEFAULT: u32 = 100;
/// The shortest time that a consumer may be given for an event, in milliseconds.
pub const CONSUMER_ACK_DEADLINE_MS_MIN: u64 = 100;
/// The longest.
pub const CONSUMER_ACK_DEADLINE_MS_MAX: u64 = 3_600_000;
/// The same of a group that names none.
pub const CONSUMER_ACK_DEADLINE_MS_DEFAULT: u64 = 30_000;
/// How often an event may be handed out again before it is dead.
pub const CONSUMER_REDELIVERIES_MAX: u32 = 1_000;
/// The same of a group that names no number.
pub const CONSUMER_REDELIVERIES_DEFAULT: u32 = 3;
/// The longest rest of an event that a consumer could not do, in milliseconds.
pub const CONSUMER_REDELIVER_DELAY_MS_MAX: u64 = 3_600_000;
/// The rest after a `nak` where neither it nor its group names one.
pub const CONSUMER_REDELIVER_DELAY_MS_DEFAULT: u64 = 5_000;
/// Events that a consumer group holds in memory: with consumers, resting, or waiting for their turn.
pub const CONSUMER_WINDOW_EVENTS_MAX: usize = 4_096;
/// Bytes of data and metadata of the same.
pub const CONSUMER_WINDOW_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Events that may be settled after one that is not.
pub const CONSUMER_SETTLED_MAX: usize = 10_000;
/// Events that one pull gives at most.
pub const CONSUMER_PULL_MAX: usize = 256;
/// Verdicts that one request may hold.
pub const CONSUMER_SETTLE_MAX: usize = 1_000;
/// Dead letters of a consumer group that are handed out again at once.
pub const CONSUMER_REPLAYS_MAX: usize = 1_000;
/// Dead letters in one page of a listing.
pub const CONSUMER_DEAD_LETTERS_PAGE_MAX: usize = 256;
/// Bytes of one log record's payload.
pub const LOG_RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of a stored vote.
pub const VOTE_BYTES_MAX: usize = 512;
/// Bytes of one peer message.
pub const PEER_MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

const _: () = {
    assert!(APPEND_BYTES_MAX >= EVENT_DATA_BYTES_MAX + METADATA_BYTES_MAX);
    assert!(BODY_BYTES_MAX >= APPEND_BYTES_MAX);
    assert!(PEER_MESSAGE_BYTES_MAX >= 2 * APPEND_BYTES_MAX + ENTRY_BYTES_MAX);
    assert!(LOG_RECORD_BYTES_MAX >= 2 * APPEND_BYTES_MAX + ENTRY_BYTES_MAX);
    assert!(PEER_MESSAGE_BYTES_MAX > LOG_RECORD_BYTES_MAX);
    assert!(READ_BYTES_MAX >= APPEND_BYTES_MAX);
    assert!(IN_FLIGHT_BYTES_MAX >= APPEND_BYTES_MAX);
};
