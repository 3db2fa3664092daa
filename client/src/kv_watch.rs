use std::time::Duration;

use reqwest::Response;
use tokio::time::timeout;
use uuid::Uuid;
use weir_api::{
    ErrorBody,
    v1::{KvUpdate, KvWatchQuery, paths},
};

use crate::{Client, ClientError, retry::pause, sse::Reader};

/// A watch that says nothing for so long is lost: there is a sign of life every 15 s.
const SILENCE: Duration = Duration::from_secs(40);

/// The changes of a bucket's keys, over lost nodes and changes of leader. Of a key that changes several times while no
/// node is reached, what the bucket does not keep is not told.
#[derive(Debug)]
pub struct KvWatch {
    client: Client,
    path: String,
    query: KvWatchQuery,
    open: Option<(String, Response, Reader)>,
    tries: u32,
}

impl Client {
    /// Watches a bucket. Nothing is sent before the first [`KvWatch::next`].
    #[must_use]
    pub fn kv_watch(&self, bucket: &str, query: KvWatchQuery) -> KvWatch {
        let path = paths::fill(paths::KV_WATCH, bucket);
        KvWatch { client: self.clone(), path, query, open: None, tries: 0 }
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
                Err(error) if !error.is_retryable() => return Err(error),
                Err(_) => {
                    if let Some((url, ..)) = self.open.take() {
                        self.client.node_failed(&url);
                    }
                    self.tries += 1;
                    tokio::time::sleep(pause(self.tries, Uuid::new_v4().as_bytes()[0])).await;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Option<KvUpdate>, ClientError> {
        if self.open.is_none() {
            let url = self.client.current_url();
            let response = self.client.open(&url, &self.path, &self.query).await;
            let response = response.inspect_err(|_| self.client.node_failed(&url))?;
            self.open = Some((url, response, Reader::default()));
        }
        let Some((url, response, reader)) = &mut self.open else { return Ok(None) };
        if let Some(message) = reader.next() {
            if message.data.is_empty() {
                return Ok(None);
            }
            let illegal = |error: serde_json::Error| ClientError::NotUnderstood {
                url: url.clone(),
                reason: error.to_string(),
            };
            if message.name == "end" {
                let end: End = serde_json::from_str(&message.data).map_err(illegal)?;
                let body = ErrorBody {
                    error: String::new(),
                    message: end.message,
                    code: end.code,
                    details: serde_json::Map::default(),
                };
                return Err(ClientError::Api(body.into_error(503)));
            }
            let update: KvUpdate = serde_json::from_str(&message.data).map_err(illegal)?;
            self.query.since = Some(self.query.since.unwrap_or(0).max(update.entry.revision));
            self.tries = 0;
            return Ok(Some(update));
        }
        let lost = |reason: &str| ClientError::Lost { url: url.clone(), reason: reason.into() };
        let bytes = match timeout(SILENCE, response.chunk()).await {
            Err(_) => return Err(lost("it is silent")),
            Ok(Err(error)) => return Err(lost(&error.to_string())),
            Ok(Ok(None)) => return Err(lost("it ended the answer")),
            Ok(Ok(Some(bytes))) => bytes,
        };
        reader.push(&bytes).map_err(|_| lost("an event has no end"))?;
        Ok(None)
    }
}

/// Why a node ended a watch.
#[derive(serde::Deserialize)]
struct End {
    code: String,
    message: String,
}
