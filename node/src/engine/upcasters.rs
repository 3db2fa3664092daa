//! Upcasters: changed through the leader like rules, tried on the node that is asked.

use weir_actors::{reducer::inspect_upcaster, upcast::Tested};
use weir_api::{ApiError, ErrorCode};
use weir_types::{
    Consistency, EventName, LogIndex, RecordedEvent, RulesChanged, RulesCommand, RulesError, Upcaster,
};

use super::{Engine, inspected::inspected};

impl Engine {
    /// Checks an upcaster and sets it.
    ///
    /// # Errors
    /// `upcaster_invalid`, `rules_full`, or what an append may be refused with.
    pub async fn set_upcaster(&self, upcaster: Upcaster) -> Result<RulesChanged, ApiError> {
        upcaster.check_limits()?;
        let source = upcaster.source.clone();
        inspected(ErrorCode::UpcasterInvalid, "upcaster", move || inspect_upcaster(&source)).await?;
        self.change_rules(RulesCommand::SetUpcaster(upcaster)).await
    }

    /// The upcaster of a name from a schema version, and the log index that set it.
    ///
    /// # Errors
    /// `upcaster_not_found`, or those of a linearizable read.
    pub async fn upcaster(&self, name: &EventName, from: u32) -> Result<(LogIndex, Upcaster), ApiError> {
        let all = self.rules().await?.upcasters;
        let found = all.standing().find(|(_, one)| one.name == *name && one.from == from);
        found.map(|(set, one)| (set, one.clone())).ok_or_else(|| RulesError::UpcasterNotFound.into())
    }

    /// Tries the upcasters of an event's name on it, up to a schema version or to the newest.
    ///
    /// # Errors
    /// `upcaster_not_found` where the name has none, or those of a linearizable read.
    pub async fn try_upcasters(&self, event: RecordedEvent, to: Option<u32>) -> Result<Tested, ApiError> {
        self.ready(Consistency::Linearizable).await?;
        let upcasts = self.live.upcasting().newest().await?;
        upcasts.test(event, to).await.ok_or_else(|| RulesError::UpcasterNotFound.into())
    }
}
