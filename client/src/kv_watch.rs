use std::time::Duration;

use weir_api::v1::{KvUpdate, KvWatchQuery, paths, sse};

use crate::{
    Client, ClientError,
    frames::{Cut, Frames},
};

/// Between two signs of life of a node.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The changes of a bucket's keys, over lost nodes and changes of leader. Of a key that changes several times while no
/// node is reached, what the bucket does not keep is not told.
#[derive(Debug)]
pub struct KvWatch {
    path: String,
    query: KvWatchQuery,
    frames: Frames,
}

impl Client {
    /// Watches a bucket. Nothing is sent before the first [`KvWatch::next`].
    #[must_use]
    pub fn kv_watch(&self, bucket: &str, query: KvWatchQuery) -> KvWatch {
        let path = paths::fill(paths::KV_WATCH, bucket);
        KvWatch { path, query, frames: Frames::new(self.clone()) }
    }
}

impl KvWatch {
    /// The next change. Waits for it, for as long as it takes.
    ///
    /// # Errors
    /// [`ClientError`] that no node and no waiting heals: the bucket is gone, what is asked for is not legal.
    pub async fn next(&mut self) -> Result<KvUpdate, ClientError> {
        loop {
            match self.step().await {
                Ok(Some(update)) => return Ok(update),
                Ok(None) => {}
                Err(Cut::Final(error)) => return Err(error),
                Err(Cut::Lost(error)) => drop(self.frames.lost(&error).await),
            }
        }
    }

    async fn step(&mut self) -> Result<Option<KvUpdate>, Cut> {
        let Some(message) = self.frames.next(&self.path, &self.query, HEARTBEAT).await? else {
            return Ok(None);
        };
        if message.data.is_empty() {
            return Ok(None);
        }
        if message.name == sse::END {
            return Err(Cut::ended(self.frames.parsed(&message)?));
        }
        let update: KvUpdate = self.frames.parsed(&message)?;
        self.query.since = Some(self.query.since.unwrap_or(0).max(update.entry.revision));
        self.frames.goes_on();
        Ok(Some(update))
    }
}
