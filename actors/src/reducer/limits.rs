use std::time::Duration;

use weir_types::limits::{REDUCER_MEMORY_BYTES_MAX, VIEW_STATE_BYTES_MAX};

/// What a reducer may use. All replicas of a group should run with equal limits:
/// an event that is a fault on one node should be a fault on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReducerLimits {
    /// Bytes of the JavaScript heap.
    pub memory_bytes_max: usize,
    /// Bytes of the JavaScript stack.
    pub stack_bytes_max: usize,
    /// Steps for one event, in units of the engine's own tick count (about
    /// 10,000 loop turns or calls each). It counts what is executed, so it is
    /// reached at the same event, give or take one unit, on every machine.
    pub ticks_per_event_max: u32,
    /// Time that its thread may work for one event, and up to twice of it: a safety stop for what is not counted by ticks.
    pub event_time_max: Duration,
    /// How much more time the first event of a fresh engine gets. An event that
    /// was stopped is tried once more on a fresh engine before it is a fault.
    pub first_event_factor: u32,
    /// Bytes of JSON of one partition's state.
    pub state_bytes_max: usize,
    /// Partitions whose states stay in the engine between batches.
    pub resident_partitions_max: usize,
    /// Bytes of JSON of the states that stay in the engine between batches.
    pub resident_bytes_max: usize,
}

impl Default for ReducerLimits {
    fn default() -> Self {
        Self {
            memory_bytes_max: REDUCER_MEMORY_BYTES_MAX,
            stack_bytes_max: 512 * 1024,
            ticks_per_event_max: 1_000,
            event_time_max: Duration::from_millis(250),
            first_event_factor: 10,
            state_bytes_max: VIEW_STATE_BYTES_MAX,
            resident_partitions_max: 10_000,
            resident_bytes_max: 4 * 1024 * 1024,
        }
    }
}
