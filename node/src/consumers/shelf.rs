use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{sync::Mutex, time::sleep};
use weir_actors::consumers::{DeskEnded, DeskStore, Ledger, LedgerError, Writing};
use weir_api::v1::DeadLetterView;
use weir_types::{
    AppendError, ConsumerGroupName, KvCommand, KvError, KvGuard, KvKey, KvOutcome, Revision, Term,
};

use super::keys;
use crate::buckets::Buckets;

/// Between tries while the node has too much in flight.
const OVERLOADED_PAUSE: Duration = Duration::from_millis(20);
/// How often it is tried.
const TRIES: usize = 250;

/// Where one desk writes.
pub(super) struct Shelf {
    buckets: Arc<Buckets>,
    name: ConsumerGroupName,
    id: Revision,
    key: KvKey,
    owner: String,
    /// The term in which it writes.
    term: Term,
    /// The revision of the ledger as this desk wrote it last.
    revision: Mutex<Revision>,
}

/// The ledger in a stored text: a line with its owner is before it.
pub(super) fn ledger_of(text: &str) -> Result<Ledger, LedgerError> {
    Ledger::from_text(text.split_once('\n').map_or("", |(_, ledger)| ledger))
}

impl Shelf {
    pub(super) fn new(
        buckets: Arc<Buckets>,
        (name, id): (ConsumerGroupName, Revision),
        (owner, term): (String, Term),
        revision: Revision,
    ) -> Self {
        let key = keys::ledger(&name, id);
        Self { buckets, name, id, key, owner, term, revision: Mutex::new(revision) }
    }

    pub(super) fn key(&self) -> &KvKey {
        &self.key
    }

    /// Whether a stored ledger is of this desk.
    pub(super) fn is_owner(&self, text: &str) -> bool {
        text.split_once('\n').is_some_and(|(owner, _)| owner == self.owner)
    }

    /// Takes the group from whoever had it, with a revision that no other claim has.
    pub(super) async fn claim(&self, ledger: &Ledger) -> Result<Revision, DeskEnded> {
        self.put_ledger(ledger).await?;
        Ok(*self.revision.lock().await)
    }

    async fn put_ledger(&self, ledger: &Ledger) -> Result<(), DeskEnded> {
        let mut revision = self.revision.lock().await;
        let value = Bytes::from(format!("{}\n{}", self.owner, ledger.to_text()));
        match self.put(self.key.clone(), value, KvGuard::Revision(*revision)).await? {
            KvOutcome::Put { revision: written, .. } => {
                *revision = written;
                Ok(())
            }
            KvOutcome::Refused(KvError::RevisionConflict { .. }) => {
                Err(DeskEnded("another leader serves it, or it is deleted".to_owned()))
            }
            other => Err(odd(&other)),
        }
    }

    async fn put(&self, key: KvKey, value: Bytes, guard: KvGuard) -> Result<KvOutcome, DeskEnded> {
        self.change(KvCommand::Put { bucket: keys::bucket(), key, value, guard, ttl: None }).await
    }

    /// Waits while the node has too much in flight; everything else ends the desk.
    async fn change(&self, command: KvCommand) -> Result<KvOutcome, DeskEnded> {
        for _ in 0..TRIES {
            // A desk of an earlier term could leave a dead letter that the one of today knows nothing of.
            if !self.buckets.decides_in(self.term) {
                return Err(DeskEnded("node leads no more".to_owned()));
            }
            match self.buckets.decide(command.clone()).await {
                Ok(outcome) => return Ok(outcome),
                Err(AppendError::Overloaded) => sleep(OVERLOADED_PAUSE).await,
                Err(error) => return Err(DeskEnded(error.to_string())),
            }
        }
        Err(DeskEnded("node has too much in flight".to_owned()))
    }
}

#[async_trait]
impl DeskStore for Shelf {
    async fn write(&self, writing: Writing) -> Result<(), DeskEnded> {
        for letter in &writing.dead {
            let value = serde_json::to_vec(&DeadLetterView::from(letter)).map_err(|error| ended(&error))?;
            let key = keys::dead(&self.name, self.id, letter.position);
            match self.put(key, value.into(), KvGuard::Any).await? {
                KvOutcome::Put { .. } => {}
                other => return Err(odd(&other)),
            }
        }
        self.put_ledger(&writing.ledger).await?;
        for position in &writing.revived {
            let key = keys::dead(&self.name, self.id, *position);
            let bucket = keys::bucket();
            let purge = KvCommand::Delete { bucket, key, guard: KvGuard::Any, purge: true };
            match self.change(purge).await? {
                KvOutcome::Deleted { .. } | KvOutcome::Refused(KvError::KeyNotFound) => {}
                other => return Err(odd(&other)),
            }
        }
        Ok(())
    }

    fn leads(&self) -> bool {
        self.buckets.decides_in(self.term)
    }
}

fn ended(error: &dyn std::error::Error) -> DeskEnded {
    DeskEnded(error.to_string())
}

fn odd(outcome: &KvOutcome) -> DeskEnded {
    DeskEnded(format!("a write was answered with {outcome:?}"))
}
