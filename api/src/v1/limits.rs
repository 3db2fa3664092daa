use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::limits;

/// GET of `/api/v1/limits`: the bounds that a client can meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "each is documented under its name in weir_types::limits")]
pub struct Limits {
    pub entity_id_bytes_max: usize,
    pub name_bytes_max: usize,
    pub idempotency_key_bytes_max: usize,
    pub idempotency_window_events: u64,
    pub event_data_bytes_max: usize,
    pub metadata_bytes_max: usize,
    pub json_depth_max: usize,
    pub append_events_max: usize,
    pub append_bytes_max: usize,
    pub body_bytes_max: usize,
    pub read_events_max: usize,
    pub read_bytes_max: usize,
    pub read_wait_ms_max: u64,
    pub list_streams_max: usize,
    pub projections_max: usize,
    pub projection_patterns_max: usize,
    pub projection_source_bytes_max: usize,
    pub partition_key_bytes_max: usize,
    pub view_state_bytes_max: usize,
    pub subscriptions_max: usize,
    pub subscription_pattern_bytes_max: usize,
    /// Bytes of UTF-8 in a filter.
    pub filter_bytes_max: usize,
    /// Steps that a filter may take for one event.
    pub filter_steps_max: u64,
    pub subscription_events_max: usize,
    pub subscription_bytes_max: usize,
    pub subscription_last_max: u64,
    pub subscription_look_back_max: u64,
    pub socket_subscriptions_max: usize,
    pub socket_frame_bytes_max: usize,
    pub consumer_groups_max: usize,
    pub consumer_in_flight_max: u32,
    pub consumer_window_events_max: usize,
    pub consumer_window_bytes_max: usize,
    pub consumer_settled_max: usize,
    pub consumer_pull_max: usize,
    pub consumer_settle_max: usize,
    pub consumer_redeliveries_max: u32,
    pub consumer_replays_max: usize,
    pub consumer_dead_letters_page_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entity_id_bytes_max: limits::ENTITY_ID_BYTES_MAX,
            name_bytes_max: limits::NAME_BYTES_MAX,
            idempotency_key_bytes_max: limits::IDEMPOTENCY_KEY_BYTES_MAX,
            idempotency_window_events: limits::IDEMPOTENCY_WINDOW_EVENTS,
            event_data_bytes_max: limits::EVENT_DATA_BYTES_MAX,
            metadata_bytes_max: limits::METADATA_BYTES_MAX,
            json_depth_max: limits::JSON_DEPTH_MAX,
            append_events_max: limits::APPEND_EVENTS_MAX,
            append_bytes_max: limits::APPEND_BYTES_MAX,
            body_bytes_max: limits::BODY_BYTES_MAX,
            read_events_max: limits::READ_EVENTS_MAX,
            read_bytes_max: limits::READ_BYTES_MAX,
            read_wait_ms_max: limits::READ_WAIT_MS_MAX,
            list_streams_max: limits::LIST_STREAMS_MAX,
            projections_max: limits::PROJECTIONS_MAX,
            projection_patterns_max: limits::PROJECTION_PATTERNS_MAX,
            projection_source_bytes_max: limits::PROJECTION_SOURCE_BYTES_MAX,
            partition_key_bytes_max: limits::PARTITION_KEY_BYTES_MAX,
            view_state_bytes_max: limits::VIEW_STATE_BYTES_MAX,
            subscriptions_max: limits::SUBSCRIPTIONS_MAX,
            subscription_pattern_bytes_max: limits::SUBSCRIPTION_PATTERN_BYTES_MAX,
            filter_bytes_max: limits::FILTER_BYTES_MAX,
            filter_steps_max: limits::FILTER_STEPS_MAX,
            subscription_events_max: limits::SUBSCRIPTION_EVENTS_MAX,
            subscription_bytes_max: limits::SUBSCRIPTION_BYTES_MAX,
            subscription_last_max: limits::SUBSCRIPTION_LAST_MAX,
            subscription_look_back_max: limits::SUBSCRIPTION_LOOK_BACK_MAX,
            socket_subscriptions_max: limits::SOCKET_SUBSCRIPTIONS_MAX,
            socket_frame_bytes_max: limits::SOCKET_FRAME_BYTES_MAX,
            consumer_groups_max: limits::CONSUMER_GROUPS_MAX,
            consumer_in_flight_max: limits::CONSUMER_IN_FLIGHT_MAX,
            consumer_window_events_max: limits::CONSUMER_WINDOW_EVENTS_MAX,
            consumer_window_bytes_max: limits::CONSUMER_WINDOW_BYTES_MAX,
            consumer_settled_max: limits::CONSUMER_SETTLED_MAX,
            consumer_pull_max: limits::CONSUMER_PULL_MAX,
            consumer_settle_max: limits::CONSUMER_SETTLE_MAX,
            consumer_redeliveries_max: limits::CONSUMER_REDELIVERIES_MAX,
            consumer_replays_max: limits::CONSUMER_REPLAYS_MAX,
            consumer_dead_letters_page_max: limits::CONSUMER_DEAD_LETTERS_PAGE_MAX,
        }
    }
}
