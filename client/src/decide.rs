//! Load, decide, append; again when somebody else was faster.

use futures::TryStreamExt as _;
use weir_api::{ErrorCode, v1::EventView};
use weir_types::AppendAck;

use crate::{Append, Client, ClientError, ReadOptions};

/// Times that a decision is made anew before the conflict is given to the caller.
const TRIES_MAX: u32 = 20;

/// Why nothing was decided or appended.
#[derive(Debug, thiserror::Error)]
pub enum DecideError<E> {
    /// The decision was no.
    #[error("{0}")]
    Refused(E),
    /// Reading or appending failed; ask it whether the outcome is known.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Client {
    /// Folds a stream, decides on the state, and appends what was decided at
    /// exactly the version that it was decided on. When somebody else appended
    /// meanwhile, it loads and decides again.
    ///
    /// `decide` gets the state and an append to the stream without events, and
    /// gives it back with events, or `None` when nothing is to be done. It may
    /// be called many times. The answer is what was appended, if anything.
    ///
    /// # Errors
    /// [`DecideError`]; `version_conflict` when others were faster 20 times.
    pub async fn decide<S, E>(
        &self,
        entity_id: &str,
        entity_type: &str,
        fold: impl Fn(Option<S>, &EventView) -> S,
        decide: impl Fn(Option<&S>, Append) -> Result<Option<Append>, E>,
    ) -> Result<Option<AppendAck>, DecideError<E>> {
        let mut tries = 0;
        loop {
            let events: Vec<EventView> = self.read(entity_id, ReadOptions::default()).try_collect().await?;
            let version = events.last().map_or(0, |last| last.version);
            let state = events.iter().fold(None, |state, event| Some(fold(state, event)));
            let append = Append::to(entity_id, entity_type).expect_version(version);
            let decided = decide(state.as_ref(), append).map_err(DecideError::Refused)?;
            let Some(append) = decided else { return Ok(None) };
            tries += 1;
            match self.append(&append.build()?).await {
                Ok(ack) => return Ok(Some(ack)),
                Err(error) if error.code() == Some(ErrorCode::VersionConflict) && tries < TRIES_MAX => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
