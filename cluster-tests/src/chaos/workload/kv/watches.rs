//! Watches of the buckets, each at one node for a while, and then at another from where it was. The revisions of a key
//! rise, what a revision holds is the same for everybody, and in the end every watcher has the newest.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use tokio::time::{Instant, timeout_at};
use weir_api::{
    ErrorCode,
    v1::{KvEntryView, KvWatchQuery, paths},
};
use weir_client::{Client, ClientOptions};

use super::{BUCKETS, KEY, bucket};
use crate::{
    PATIENCE,
    chaos::workload::{Context, caller::Caller},
    edge::{CallError, Edge},
    eventually,
};

/// Between two stretches of one watcher.
const PACE: Duration = Duration::from_millis(120);
/// How long a last stretch takes.
const LAST: Duration = Duration::from_millis(500);

/// What watchers were told.
#[derive(Default)]
pub(super) struct Watches {
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// By bucket and revision: the operation, and the value.
    entries: BTreeMap<(u64, u64), (String, String)>,
    /// The last revision of each watcher, by its bucket.
    last: BTreeMap<u64, u64>,
}

impl Watches {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a watcher of a bucket is told.
    ///
    /// # Errors
    /// When it cannot be so.
    fn note(&self, number: u64, entry: &KvEntryView) -> Result<()> {
        let (mut told, revision) = (self.told(), entry.revision);
        let last = told.last.entry(number).or_default();
        ensure!(revision > *last, "bucket {number}: revision {revision} came after {last}");
        *last = revision;
        let this = (entry.operation.clone(), entry.value.clone());
        let known = told.entries.entry((number, revision)).or_insert_with(|| this.clone());
        ensure!(*known == this, "bucket {number}: revision {revision} is {this:?} here, and was {known:?}");
        Ok(())
    }

    /// Follows a bucket at one node, until then or until it is cut.
    async fn stretch(&self, number: u64, edge: &Edge, until: Instant) -> Result<u64> {
        let options = ClientOptions { deadline: Duration::from_secs(1), ..ClientOptions::default() };
        let since = Some(self.told().last.get(&number).copied().unwrap_or(0));
        let client = Client::new([edge.base()], options)?;
        let mut watch = client.kv_watch(&bucket(number), KvWatchQuery { key: None, since });
        let mut count = 0;
        while let Ok(Ok(update)) = timeout_at(until, watch.next()).await {
            self.note(number, &update.entry)?;
            count += 1;
        }
        Ok(count)
    }

    /// Every watcher comes to what each node holds.
    pub(super) async fn check(&self, context: &Context) -> Result<()> {
        for (node, edge) in context.nodes.all() {
            for number in 0..BUCKETS {
                eventually(
                    &format!("the watcher of bucket {number} has what node {node} holds"),
                    PATIENCE,
                    || self.comes_to_the_newest(number, &edge),
                )
                .await?;
            }
        }
        Ok(())
    }

    async fn comes_to_the_newest(&self, number: u64, edge: &Edge) -> Result<()> {
        if self.has_the_newest(number, edge).await.is_ok() {
            return Ok(());
        }
        self.stretch(number, edge, Instant::now() + LAST).await?;
        self.has_the_newest(number, edge).await
    }

    async fn has_the_newest(&self, number: u64, edge: &Edge) -> Result<()> {
        let newest = edge.get(&paths::kv_key(&bucket(number), KEY)).await;
        let told = self.told();
        let last = told.last.get(&number).copied().unwrap_or(0);
        match (newest, told.entries.get(&(number, last))) {
            (Ok(held), Some((_, value))) => {
                ensure!(held["revision"] == last && held["value"] == *value, "{last} {value}, not {held}");
            }
            (Err(CallError::Refused { error, .. }), Some((operation, _))) => {
                ensure!(
                    error.code == ErrorCode::KeyNotFound && operation == "delete",
                    "{operation}: {error}"
                );
            }
            (Err(silent), Some(_)) => bail!("{silent}"),
            (_, None) => bail!("it was told nothing"),
        }
        Ok(())
    }
}

/// Watches a bucket until the end.
pub(super) async fn watch(mut caller: Caller, number: u64, watches: Arc<Watches>) -> Result<()> {
    while caller.pace(PACE).await {
        let (_, edge) = caller.node();
        let lasts = Duration::from_millis(caller.rng.within(300..4_000));
        match watches.stretch(number, &edge, Instant::now() + lasts).await {
            Ok(count) => (0..count).for_each(|_| caller.count("watched")),
            Err(error) => caller.wrong(format!("{error:#}")),
        }
    }
    caller.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_comes_once_and_is_the_same_for_everybody() {
        let entry = |revision, value: &str| KvEntryView {
            key: KEY.to_owned(),
            value: value.to_owned(),
            revision,
            created_at: String::new(),
            expires_at: None,
            operation: "put".to_owned(),
        };
        let watches = Watches::default();
        watches.note(1, &entry(3, "a")).unwrap();
        watches.note(1, &entry(5, "b")).unwrap();
        assert!(watches.note(1, &entry(5, "b")).is_err());
        watches.told().last.insert(1, 0);
        assert!(watches.note(1, &entry(3, "c")).is_err());
        watches.note(2, &entry(3, "c")).unwrap();
    }
}
