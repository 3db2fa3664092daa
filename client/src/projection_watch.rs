use std::time::Duration;

use futures::{Stream, stream};
use serde::Deserialize;
use weir_api::v1::{StateUpdate, StatesQuery, SubscriptionMark, paths, sse};
use weir_types::limits::SUBSCRIPTION_HEARTBEAT_MS_DEFAULT;

use crate::{
    Client, ClientError,
    frames::{Cut, Frames},
    sse::Message,
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
    path: String,
    query: StatesQuery,
    frames: Frames,
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
            path: paths::fill(paths::PROJECTION_SUBSCRIBE, name),
            query: StatesQuery { partition: partition.map(str::to_owned), ..StatesQuery::default() },
            frames: Frames::new(self.clone()),
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
                    if let Some(reason) = self.frames.lost(&error).await {
                        return Ok(StateNotice::Lost(reason));
                    }
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
        let heartbeat = Duration::from_millis(SUBSCRIPTION_HEARTBEAT_MS_DEFAULT);
        match self.frames.next(&self.path, &self.query, heartbeat).await? {
            Some(message) => self.take(&message),
            None => Ok(None),
        }
    }

    fn take(&mut self, message: &Message) -> Result<Option<StateNotice>, Cut> {
        let notice = match message.name.as_str() {
            sse::END => return Err(Cut::ended(self.frames.parsed(message)?)),
            "" if message.id.is_empty() => return Ok(None),
            "" => StateNotice::State(self.frames.parsed(message)?),
            sse::CAUGHT_UP => StateNotice::CaughtUp(self.frames.parsed(message)?),
            sse::HEARTBEAT => StateNotice::Heartbeat(self.frames.parsed(message)?),
            sse::REDEPLOYED => {
                let Deployed { deployed } = self.frames.parsed(message)?;
                StateNotice::Redeployed(deployed)
            }
            // Of a later version.
            _ => return Ok(None),
        };
        self.frames.goes_on();
        Ok(Some(notice))
    }
}
