use std::time::Duration;

use futures::{Stream, stream};
use weir_api::v1::{EventView, SubscribeQuery, SubscriptionMark, paths, sse};
use weir_types::limits::SUBSCRIPTION_HEARTBEAT_MS_DEFAULT;

use crate::{
    Client, ClientError,
    frames::{Cut, Frames},
    sse::Message,
};

/// What to subscribe to, and from where on: from now, unless it is said.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribe {
    path: String,
    query: SubscribeQuery,
}

impl Subscribe {
    /// To one stream.
    #[must_use]
    pub fn stream(entity_id: &str) -> Self {
        let path = paths::fill(paths::STREAM_SUBSCRIBE, entity_id);
        Self { path, query: SubscribeQuery::default() }
    }

    /// To what a pattern takes: `entity:order.*`, `events:order.placed`, or `>` for all.
    #[must_use]
    pub fn pattern(pattern: &str) -> Self {
        let query = SubscribeQuery { pattern: Some(pattern.to_owned()), ..SubscribeQuery::default() };
        Self { path: paths::SUBSCRIBE.to_owned(), query }
    }

    /// Those of its events alone that an expression of CEL takes: `data.amount > 100`.
    #[must_use]
    pub fn filter(mut self, expression: &str) -> Self {
        self.query.filter = Some(expression.to_owned());
        self
    }

    /// From the beginning.
    #[must_use]
    pub fn from_start(mut self) -> Self {
        self.query.from = Some("start".to_owned());
        self
    }

    /// With the newest events, at most so many.
    #[must_use]
    pub fn last(mut self, count: u64) -> Self {
        self.query.last = Some(count);
        self
    }

    /// After a version of the stream.
    #[must_use]
    pub fn after_version(mut self, version: u64) -> Self {
        self.query.after = Some(version);
        self
    }

    /// After a position.
    #[must_use]
    pub fn after_position(mut self, position: u64) -> Self {
        self.query.after_position = Some(position);
        self
    }

    /// Where an earlier subscription to the same was.
    #[must_use]
    pub fn cursor(mut self, cursor: &str) -> Self {
        self.query.cursor = Some(cursor.to_owned());
        self
    }

    /// With so much time between heartbeats. A node that is silent for twice as long and 3 s is left.
    #[must_use]
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.query.heartbeat_ms = u64::try_from(heartbeat.as_millis()).ok();
        self
    }

    /// Of each stream only the newest event, where this client is slow.
    #[must_use]
    pub fn conflate(mut self) -> Self {
        self.query.slow = Some("conflate".to_owned());
        self
    }

    fn heartbeat_every(&self) -> Duration {
        Duration::from_millis(self.query.heartbeat_ms.unwrap_or(SUBSCRIPTION_HEARTBEAT_MS_DEFAULT))
    }
}

/// What a subscription says.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// Once: where it begins, and how many of the last events there are.
    Opened(SubscriptionMark),
    /// An event.
    Event(Box<EventView>),
    /// Once: history has ended.
    CaughtUp(SubscriptionMark),
    /// Nothing new up to here.
    Heartbeat(SubscriptionMark),
    /// So many events are left out before those that follow.
    LeftOut(SubscriptionMark),
    /// The node was lost; the subscription goes on at another by itself.
    Lost(String),
}

/// A subscription that goes on at any node when it is cut: each event once, in order.
#[derive(Debug)]
pub struct Subscription {
    what: Subscribe,
    frames: Frames,
    told_opened: bool,
    told_caught_up: bool,
}

impl Client {
    /// Subscribes. Nothing is sent before the first [`Subscription::next`].
    #[must_use]
    pub fn subscribe(&self, what: Subscribe) -> Subscription {
        let frames = Frames::new(self.clone());
        Subscription { what, frames, told_opened: false, told_caught_up: false }
    }
}

impl Subscription {
    /// Where it is: good at every node, and for another subscription to the same. `None` before it opened.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        self.what.query.cursor.as_deref()
    }

    /// The next that is said. Waits for it, over lost nodes and changes of leader, for as long as it takes.
    ///
    /// # Errors
    /// [`ClientError`] that no node and no waiting heals: what is asked for is not legal, or cannot be read.
    pub async fn next(&mut self) -> Result<Notice, ClientError> {
        loop {
            match self.step().await {
                Ok(Some(notice)) => return Ok(notice),
                Ok(None) => {}
                Err(Cut::Final(error)) => return Err(error),
                Err(Cut::Lost(error)) => {
                    if let Some(reason) = self.frames.lost(&error).await {
                        return Ok(Notice::Lost(reason));
                    }
                }
            }
        }
    }

    /// What is said, as a stream that ends after an error.
    pub fn notices(self) -> impl Stream<Item = Result<Notice, ClientError>> + Send {
        stream::unfold(Some(self), |subscription| async move {
            let mut subscription = subscription?;
            match subscription.next().await {
                Ok(notice) => Some((Ok(notice), Some(subscription))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    /// The events alone.
    pub fn events(self) -> impl Stream<Item = Result<EventView, ClientError>> + Send {
        use futures::StreamExt as _;
        self.notices().filter_map(|notice| async {
            match notice {
                Ok(Notice::Event(event)) => Some(Ok(*event)),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            }
        })
    }

    async fn step(&mut self) -> Result<Option<Notice>, Cut> {
        let (path, query) = (&self.what.path, &self.what.query);
        match self.frames.next(path, query, self.what.heartbeat_every()).await? {
            Some(message) => self.take(message),
            None => Ok(None),
        }
    }

    fn take(&mut self, message: Message) -> Result<Option<Notice>, Cut> {
        if message.name == sse::END {
            return Err(Cut::ended(self.frames.parsed(&message)?));
        }
        let notice = match message.name.as_str() {
            "" if message.id.is_empty() => return Ok(None),
            "" => Some(Notice::Event(Box::new(self.frames.parsed(&message)?))),
            sse::OPENED => {
                let mark = self.frames.parsed(&message)?;
                (!std::mem::replace(&mut self.told_opened, true)).then_some(Notice::Opened(mark))
            }
            sse::CAUGHT_UP => {
                let mark = self.frames.parsed(&message)?;
                (!std::mem::replace(&mut self.told_caught_up, true)).then_some(Notice::CaughtUp(mark))
            }
            sse::HEARTBEAT => Some(Notice::Heartbeat(self.frames.parsed(&message)?)),
            sse::LEFT_OUT => Some(Notice::LeftOut(self.frames.parsed(&message)?)),
            // Of a later version.
            _ => None,
        };
        if !message.id.is_empty() {
            self.what.query.cursor = Some(message.id);
        }
        // A node that opens and ends at once has given nothing: the pause before the next try stays.
        if message.name != sse::OPENED {
            self.frames.goes_on();
        }
        Ok(notice)
    }
}
