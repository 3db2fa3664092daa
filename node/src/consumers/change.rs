use std::sync::Arc;

use weir_api::{ApiError, ErrorCode};
use weir_types::{ConsumerGroup, ConsumerGroupName, KvError, KvGuard, KvOutcome};

use super::{Consumers, Open, keys, odd, stored, stored::StoredGroup};
use crate::{deciding::deciding, slots::Held};

/// A desk that may not know what is written of its group. Dropped before it was told, it is of no more use: the next
/// one reads what is written. Whoever asked may not wait for the answer.
struct Untold<'a> {
    held: Held<'a, ConsumerGroupName, Arc<Open>>,
    is_told: bool,
}

impl Drop for Untold<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.held.set(None);
        }
    }
}

impl Consumers {
    /// Changes a group to what `change` makes of it. Its desk goes on by the new terms, with all that is in flight; when
    /// this is answered, nothing is handed out by those before, here or by an earlier leader.
    ///
    /// # Errors
    /// `consumer_group_not_found`, `invalid_filter`, what `change` says, and what a change of a bucket may meet.
    pub async fn change(
        &self,
        name: &ConsumerGroupName,
        change: impl FnOnce(&ConsumerGroup) -> Result<ConsumerGroup, ApiError>,
    ) -> Result<ConsumerGroup, ApiError> {
        let seen = deciding(&*self.parts.ports.leadership, self.parts.node).await?;
        let mut held = self.desks.hold(name).await;
        // It takes the group from the desk of an earlier leader, which could still hand out.
        let open = self.open_held(&mut held, name, seen.term).await?;
        self.lead_and_ready().await?;
        let before = self.group(name).await?;
        let changed = change(&before.group)?;
        if changed.filter != before.group.filter {
            super::check_filter(&changed).await?;
        }
        let mut untold = Untold { held, is_told: false };
        if changed != before.group
            && let Err(error) = self.replace(&before, &changed).await
        {
            // Then alone it is certain that the desk knows what is written.
            untold.is_told = error.code == ErrorCode::Overloaded;
            return Err(error);
        }
        // One that has ended is opened anew by whoever asks next.
        untold.is_told = open.desk.change(&changed).await.is_ok();
        Ok(changed)
    }

    /// Writes a group in the place of what it was.
    async fn replace(&self, before: &StoredGroup, changed: &ConsumerGroup) -> Result<(), ApiError> {
        let text = stored::to_text(changed, Some(before.id)).map_err(|error| super::internal(&error))?;
        let guard = KvGuard::Revision(before.revision);
        match self.put(keys::group(&changed.name), text.into(), guard).await? {
            KvOutcome::Put { .. } => Ok(()),
            KvOutcome::Refused(KvError::RevisionConflict { .. }) => {
                let message = "another leader changes the consumer group";
                Err(ApiError::new(ErrorCode::Unavailable, message))
            }
            other => Err(odd(other)),
        }
    }
}
