use std::time::Duration;

use futures::{Stream, stream};
use reqwest::Response;
use serde::Deserialize;
use tokio::time::timeout;
use uuid::Uuid;
use weir_api::v1::{StateUpdate, StatesQuery, SubscriptionEnd, SubscriptionMark, paths, sse};
use weir_types::limits::SUBSCRIPTION_HEARTBEAT_MS_DEFAULT;

use crate::{
    Client, ClientError,
    retry::pause,
    sse::{Message, Reader},
    subscribe::{Cut, SILENCE, ended},
};

/// What a follower of a projection's states is told.
#[derive(Debug, Clone, PartialEq)]
pub enum StateNotice {
    /// A partition's newest state.
    State(Box<StateUpdate>),
    /// All that a node had when it was asked is given; once for each node.
    CaughtUp(SubscriptionMark),
    /// Nothing new.
    Heartbeat(SubscriptionMark),
    /// Another deployment has taken the place of the one before; its states follow when it has folded as far.
    Redeployed(u64),
    /// The node was lost; another one is asked, which begins with the newest states.
    Lost(String),
}

/// Follows the states of a projection, and goes on at any node when it is cut: the newest state of each partition,
/// first as it is and then whenever it is another. States that this client is slow to take are left out.
#[derive(Debug)]
pub struct ProjectionWatch {
    client: Client,
    path: String,
    query: StatesQuery,
    open: Option<(String, Response, Reader)>,
    tries: u32,
}

/// What is said of a redeployment.
#[derive(Debug, Deserialize)]
struct Deployed {
    deployed: u64,
}

impl Client {
    /// Follows the states of a projection, of one partition or of all. Nothing is sent before the first
    /// [`ProjectionWatch::next`].
    #[must_use]
    pub fn watch_projection(&self, name: &str, partition: Option<&str>) -> ProjectionWatch {
        ProjectionWatch {
            client: self.clone(),
            path: paths::fill(paths::PROJECTION_SUBSCRIBE, name),
            query: StatesQuery { partition: partition.map(str::to_owned), ..StatesQuery::default() },
            open: None,
            tries: 0,
        }
    }
}

impl ProjectionWatch {
    /// Only states that changed after a position.
    #[must_use]
    pub fn after(mut self, position: u64) -> Self {
        self.query.after_position = Some(position);
        self
    }

    /// The next that is said. Waits for it, over lost nodes, for as long as it takes.
    ///
    /// # Errors
    /// [`ClientError`] that no node and no waiting heals, such as `projection_not_found` when it is removed.
    pub async fn next(&mut self) -> Result<StateNotice, ClientError> {
        loop {
            match self.step().await {
                Ok(Some(notice)) => return Ok(notice),
                Ok(None) => {}
                Err(Cut::Final(error)) => return Err(error),
                Err(Cut::Lost(error)) => {
                    if let Some((url, ..)) = self.open.take() {
                        self.client.node_failed(&url);
                    }
                    self.tries += 1;
                    if self.tries == 1 {
                        return Ok(StateNotice::Lost(error.to_string()));
                    }
                    tokio::time::sleep(pause(self.tries, Uuid::new_v4().as_bytes()[0])).await;
                }
            }
        }
    }

    /// The states alone, as a stream that ends after an error.
    pub fn states(self) -> impl Stream<Item = Result<StateUpdate, ClientError>> + Send {
        stream::unfold(Some(self), |watch| async move {
            let mut watch = watch?;
            loop {
                match watch.next().await {
                    Ok(StateNotice::State(state)) => return Some((Ok(*state), Some(watch))),
                    Ok(_) => {}
                    Err(error) => return Some((Err(error), None)),
                }
            }
        })
    }

    async fn step(&mut self) -> Result<Option<StateNotice>, Cut> {
        if self.open.is_none() {
            let url = self.client.current_url();
            let opened = self.client.open(&url, &self.path, &self.query).await;
            let response = opened.map_err(|error| {
                self.client.node_failed(&url);
                Cut::of(error)
            })?;
            self.open = Some((url, response, Reader::default()));
        }
        let Some((url, response, reader)) = &mut self.open else { return Ok(None) };
        if let Some(message) = reader.next() {
            return self.take(&message);
        }
        let lost = |reason: &str| Cut::lost(url, reason);
        let silence = Duration::from_millis(SUBSCRIPTION_HEARTBEAT_MS_DEFAULT) * 2 + SILENCE;
        match timeout(silence, response.chunk()).await {
            Err(_) => Err(lost("it is silent")),
            Ok(Err(error)) => Err(lost(&error.to_string())),
            Ok(Ok(None)) => Err(lost("it ended the answer")),
            Ok(Ok(Some(bytes))) => match reader.push(&bytes) {
                Ok(()) => Ok(None),
                Err(_) => Err(lost("a state has no end")),
            },
        }
    }

    fn take(&mut self, message: &Message) -> Result<Option<StateNotice>, Cut> {
        let read = |what: &str| {
            let url = self.open.as_ref().map_or(String::new(), |(url, ..)| url.clone());
            Cut::Final(ClientError::NotUnderstood { url, reason: what.to_owned() })
        };
        let text = message.data.as_str();
        let notice = match message.name.as_str() {
            sse::END => {
                let end: SubscriptionEnd =
                    serde_json::from_str(text).map_err(|error| read(&error.to_string()))?;
                return Err(ended(&end));
            }
            "" if message.id.is_empty() => return Ok(None),
            "" => serde_json::from_str(text).map(StateNotice::State),
            sse::CAUGHT_UP => serde_json::from_str(text).map(StateNotice::CaughtUp),
            sse::HEARTBEAT => serde_json::from_str(text).map(StateNotice::Heartbeat),
            sse::REDEPLOYED => {
                serde_json::from_str(text).map(|Deployed { deployed }| StateNotice::Redeployed(deployed))
            }
            // Of a later version.
            _ => return Ok(None),
        };
        let notice = notice.map_err(|error| read(&error.to_string()))?;
        self.tries = 0;
        Ok(Some(notice))
    }
}
