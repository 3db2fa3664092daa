//! Feeds projections from JetStream: one durable pull consumer per node and
//! deployment. It keeps nothing that matters: whatever NATS forgets, the
//! projection has in its checkpoint and in the local log. So NATS keeps it in
//! memory and once (ADR 0018), and one whose server is gone is made anew elsewhere.

use std::time::Duration;

use async_nats::jetstream::{
    AckKind, ErrorCode, Message,
    consumer::{AckPolicy, Consumer, DeliverPolicy, Info, pull},
    context::ConsumerInfoErrorKind,
    message::Acker,
    stream::{ConsumerErrorKind, Stream},
};
use async_trait::async_trait;
use futures::{FutureExt as _, StreamExt as _};
use tracing::debug;
use weir_types::{
    GroupId, NodeId, Position, ProjectionId, RecordedEvent,
    ports::{BusError, Feed, Subscription},
    subject_token,
};

use super::{
    Connection,
    envelope::{self, Decoded},
};

/// Messages that may be given out and not acknowledged.
const ACK_PENDING_MAX: i64 = 8 * 1024;
/// Messages of one batch, at most.
const BATCH_MESSAGES_MAX: usize = 1_000;
/// Bytes that NATS sends ahead of what is folded, about.
const AHEAD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long a pull request lives, and how often NATS says that it still does.
const PULL_EXPIRES: Duration = Duration::from_secs(30);
const PULL_HEARTBEAT: Duration = Duration::from_secs(2);
/// After how long NATS drops a consumer that nobody pulls from.
const INACTIVE_MAX: Duration = Duration::from_secs(60 * 60);

/// A feed of one node from JetStream.
#[derive(Clone)]
pub struct JetStreamFeed {
    connection: Connection,
    node: NodeId,
}

impl JetStreamFeed {
    /// A feed over a connection; `node` keeps its consumers apart from other nodes'.
    #[must_use]
    pub fn new(connection: Connection, node: NodeId) -> Self {
        Self { connection, node }
    }

    /// The name of the consumer of a deployment on this node.
    #[must_use]
    pub fn consumer_name(&self, projection: &ProjectionId) -> String {
        format!("weir-{}-{}-{}", self.node, subject_token(projection.name.as_str()), projection.deployed)
    }

    async fn stream(&self, group: GroupId) -> Result<Stream<()>, BusError> {
        let context = self.connection.jetstream()?;
        context.get_stream_no_info(self.connection.topology().stream_name(group)).await.map_err(unavailable)
    }

    /// The consumer that stands, if it would go on exactly after `checkpoint`.
    async fn standing(
        &self,
        stream: &Stream<()>,
        name: &str,
        checkpoint: Position,
    ) -> Result<Option<Consumer<pull::Config>>, BusError> {
        let info: Info = match stream.consumer_info(name).await {
            Ok(info) => info,
            Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => return Ok(None),
            Err(error) => {
                // The one server that has it may be down, and nobody answers for it: without it the next try
                // makes another. NATS may be down as a whole; then this does nothing. Nobody may wait any more.
                let (stream, name) = (stream.clone(), name.to_owned());
                tokio::spawn(async move { delete(&stream, &name).await });
                return Err(unavailable(error));
            }
        };
        let given = info.delivered.stream_sequence;
        if given == checkpoint.0 && info.num_ack_pending == 0 {
            let consumer = stream.get_consumer(name).await;
            return consumer.map(Some).map_err(|error| BusError::Unavailable { reason: error.to_string() });
        }
        debug!(consumer = name, given, %checkpoint, "consumer is made again");
        delete(stream, name).await?;
        Ok(None)
    }
}

#[async_trait]
impl Feed for JetStreamFeed {
    async fn subscribe(
        &self,
        group: GroupId,
        projection: &ProjectionId,
        checkpoint: Position,
    ) -> Result<Box<dyn Subscription>, BusError> {
        let stream = self.stream(group).await?;
        let name = self.consumer_name(projection);
        let consumer = match self.standing(&stream, &name, checkpoint).await? {
            Some(consumer) => consumer,
            None => stream.create_consumer(consumer_config(&name, checkpoint)).await.map_err(unavailable)?,
        };
        let messages = consumer
            .stream()
            .max_messages_per_batch(BATCH_MESSAGES_MAX)
            .max_bytes_per_batch(AHEAD_BYTES_MAX)
            .expires(PULL_EXPIRES)
            .heartbeat(PULL_HEARTBEAT)
            .messages();
        let messages = Box::new(messages.await.map_err(unavailable)?);
        Ok(Box::new(JetStreamSubscription { messages, last: None }))
    }

    async fn unsubscribe(&self, group: GroupId, projection: &ProjectionId) -> Result<(), BusError> {
        delete(&self.stream(group).await?, &self.consumer_name(projection)).await
    }
}

fn consumer_config(name: &str, checkpoint: Position) -> pull::Config {
    pull::Config {
        durable_name: Some(name.into()),
        name: Some(name.into()),
        description: Some("one projection of one Weir node".into()),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: checkpoint.next().0 },
        // A batch is folded and stored whole, so its last message speaks for all before it.
        ack_policy: AckPolicy::All,
        max_ack_pending: ACK_PENDING_MAX,
        inactive_threshold: INACTIVE_MAX,
        num_replicas: 1,
        memory_storage: true,
        ..pull::Config::default()
    }
}

async fn delete(stream: &Stream<()>, name: &str) -> Result<(), BusError> {
    let gone = |kind: &ConsumerErrorKind| match kind {
        ConsumerErrorKind::JetStream(cause) => {
            matches!(cause.error_code(), ErrorCode::CONSUMER_NOT_FOUND | ErrorCode::STREAM_NOT_FOUND)
        }
        _ => false,
    };
    match stream.delete_consumer(name).await {
        Ok(_) => Ok(()),
        Err(error) if gone(&error.kind()) => Ok(()),
        Err(error) => Err(unavailable(error)),
    }
}

struct JetStreamSubscription {
    messages: Box<pull::Stream>,
    /// How to acknowledge the last message that was given out, and its position.
    last: Option<(Position, Acker)>,
}

impl JetStreamSubscription {
    /// Takes one message in. One without its data is left for the log to fill.
    fn take(&mut self, message: Message, batch: &mut Vec<RecordedEvent>) -> Result<(), BusError> {
        let diverged = |reason: String| BusError::Diverged { reason };
        let sequence = message.info().map_err(|error| diverged(error.to_string()))?.stream_sequence;
        let (message, acker) = message.split();
        let decoded = envelope::decode(&message.payload);
        let decoded = decoded.map_err(|error| diverged(format!("message {sequence}: {error}")))?;
        let position = match &decoded {
            Decoded::Event(event) => event.position,
            Decoded::Omitted(position) => *position,
        };
        if position.0 != sequence {
            return Err(diverged(format!("message {sequence} holds position {position}")));
        }
        if let Decoded::Event(event) = decoded {
            batch.push(*event);
        }
        self.last = Some((position, acker));
        Ok(())
    }
}

#[async_trait]
impl Subscription for JetStreamSubscription {
    // Nothing is awaited once the first message is out, so dropping the future loses none.
    async fn next(&mut self) -> Result<Vec<RecordedEvent>, BusError> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.is_empty() {
            let mut next = self.messages.next().await;
            loop {
                let ended = || BusError::Unavailable { reason: "subscription ended".into() };
                let message = next.ok_or_else(ended)?.map_err(unavailable)?;
                bytes += message.length;
                self.take(message, &mut batch)?;
                if batch.len() >= BATCH_MESSAGES_MAX || bytes >= AHEAD_BYTES_MAX {
                    break;
                }
                match self.messages.next().now_or_never() {
                    Some(more) => next = more,
                    None => break,
                }
            }
        }
        // A redelivery may have stepped back.
        batch.sort_by_key(|event| event.position);
        Ok(batch)
    }

    async fn done(&mut self, position: Position) -> Result<(), BusError> {
        match self.last.take() {
            Some((last, acker)) if last <= position => acker
                .ack_with(AckKind::Ack)
                .await
                .map_err(|error| BusError::Unavailable { reason: error.to_string() }),
            later => {
                self.last = later;
                Ok(())
            }
        }
    }
}

fn unavailable(error: impl std::error::Error) -> BusError {
    BusError::Unavailable { reason: error.to_string() }
}
