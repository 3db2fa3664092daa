//! Doors to what is private, for fuzz targets and benchmarks.

use weir_types::{AppendError, AppendRequest, DecidedAppend, PartitionKey, Timestamp};

use crate::{
    EventIds,
    reducer::PartitionPath,
    stream::inside::{Decision, StreamState, decide},
};

/// One stream whose appends are decided one after another, without its actor.
#[derive(Default)]
pub struct Decider {
    state: StreamState,
}

impl Decider {
    /// Decides an append, and takes it into the state as if it were durable at once.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn decide(
        &mut self,
        request: &AppendRequest,
        now: Timestamp,
        ids: &EventIds,
    ) -> Result<Option<DecidedAppend>, AppendError> {
        let version = self.state.version();
        match decide(&self.state, version, request, None, now, || ids.next(now)) {
            Decision::Append(append) => {
                self.state.accept(&append);
                self.state.settle(self.state.version());
                Ok(Some(append))
            }
            Decision::Repeated(_) | Decision::KeyInFlight | Decision::Moved => Ok(None),
            Decision::Refuse(error) | Decision::RefuseNow(error) => Err(error),
        }
    }
}

/// The partition that a JSONPath gives an event, which is JSON.
///
/// # Errors
/// Why the path is none, the event is no JSON, or the key is not legal.
pub fn partition(path: &str, event: &str) -> Result<Option<PartitionKey>, String> {
    PartitionPath::parse(path)?.key_in(event)
}
