//! Publishes to JetStream.
//!
//! Invariant O1. Sequence = position: every publish expects the sequence before
//! its own, so that JetStream itself refuses a hole and a repeat, and a second
//! publisher can only write what this one would have written. Publishes are sent
//! without waiting for each other. Where a stranger's message took a sequence,
//! those behind it may still be accepted; therefore what was not acknowledged in
//! full is read back, message by message, before the next batch.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use async_nats::{
    HeaderMap,
    jetstream::{
        Context, ErrorCode,
        context::{
            CreateStreamErrorKind, GetStreamErrorKind, PublishAckFuture, PublishError, PublishErrorKind,
        },
        message::PublishMessage,
        stream::{LastRawMessageErrorKind, Stream},
    },
};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use uuid::Uuid;
use weir_types::{
    EventId, GroupId, Planted, Position, RecordedEvent, planted,
    ports::{BusError, Publisher},
};

use super::{
    Connection,
    envelope::{self, Data},
    topology::{self, EVENT_ID_HEADER, FORMAT, FORMAT_HEADER, POSITION_HEADER},
};

/// Messages that are read back at once.
const READS_IN_FLIGHT: usize = 64;

/// The bus as an outbox sees it, in JetStream.
pub struct JetStreamPublisher {
    connection: Connection,
    progress: Mutex<HashMap<GroupId, Progress>>,
}

#[derive(Default, Clone, Copy)]
struct Progress {
    /// Up to this position every message is known to be what an outbox published.
    verified: Position,
    /// Up to this position messages carry no message id, because JetStream took
    /// one for a duplicate of a message that it may not hold.
    unnamed: Position,
}

impl JetStreamPublisher {
    /// A publisher over a connection.
    #[must_use]
    pub fn new(connection: Connection) -> Self {
        Self { connection, progress: Mutex::default() }
    }

    fn progress(&self) -> MutexGuard<'_, HashMap<GroupId, Progress>> {
        self.progress.lock().expect("no holder of the lock panics")
    }

    async fn stream(&self, group: GroupId) -> Result<Stream, BusError> {
        let context = self.connection.jetstream()?;
        let topology = self.connection.topology();
        let wanted = topology.stream_config(group);
        match context.get_stream(&wanted.name).await {
            Ok(stream) => match topology.unfit(&stream.cached_info().config, group) {
                None => Ok(stream),
                Some(reason) => Err(BusError::Diverged { reason }),
            },
            Err(error) if is_missing(&error.kind()) => match context.create_stream(wanted).await {
                Ok(stream) => Ok(stream),
                Err(error) => match error.kind() {
                    // Another stream is in the way: only an operator can help.
                    CreateStreamErrorKind::JetStream(cause)
                        if cause.error_code() == ErrorCode::STREAM_SUBJECT_OVERLAP =>
                    {
                        Err(BusError::Diverged { reason: cause.to_string() })
                    }
                    _ => Err(unavailable(error)),
                },
            },
            Err(error) => Err(unavailable(error)),
        }
    }

    /// What the bus holds, every message of it vouched for.
    async fn read_back(&self, group: GroupId) -> Result<Position, BusError> {
        let stream = self.stream(group).await?;
        let held = Position(stream.cached_info().state.last_sequence);
        let verified = self.progress().entry(group).or_default().verified.min(held);
        let unverified = topology::unverified(verified, held);
        let messages = unverified.map(|sequence| {
            let stream = &stream;
            async move { Ok((sequence, headers_of(stream, sequence).await?)) }
        });
        let mut messages = futures::stream::iter(messages).buffered(READS_IN_FLIGHT);
        while let Some((sequence, headers)) = messages.try_next().await? {
            topology::vouch(sequence, headers.as_ref()).map_err(|reason| BusError::Diverged { reason })?;
        }
        self.progress().entry(group).or_default().verified = held;
        Ok(held)
    }

    /// Sends a batch and awaits the acknowledgements in order. Stops at the
    /// first that does not prove its message stored; an error proves nothing.
    async fn send(&self, group: GroupId, events: &[RecordedEvent]) -> Result<(), BusError> {
        let context = self.connection.jetstream()?;
        let mut acks = Vec::with_capacity(events.len());
        for event in events {
            let ack = self.send_one(context, group, event).await.map_err(unavailable)?;
            acks.push((event.position, ack));
        }
        for (position, ack) in acks {
            let ack = ack.await.map_err(unavailable)?;
            if ack.duplicate {
                // No proof that it is stored. If it is not, the next try must
                // not be taken for a duplicate again.
                self.progress().entry(group).or_default().unnamed = position;
                return Err(BusError::Unavailable { reason: format!("position {position} is a duplicate") });
            }
            if ack.sequence != position.0 {
                let sequence = ack.sequence;
                let reason = format!("position {position} was stored as sequence {sequence}");
                return Err(BusError::Diverged { reason });
            }
        }
        Ok(())
    }

    async fn send_one(
        &self,
        context: &Context,
        group: GroupId,
        event: &RecordedEvent,
    ) -> Result<PublishAckFuture, PublishError> {
        let subject = self.connection.topology().subject(group, event);
        let named = event.position > self.progress().entry(group).or_default().unnamed;
        let sent = context.send_publish(subject.clone(), message(event, Data::Whole, named)).await;
        match sent {
            // Larger than this NATS takes: its readers fetch the data from the log.
            Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                context.send_publish(subject, message(event, Data::Omitted, named)).await
            }
            other => other,
        }
    }
}

#[async_trait]
impl Publisher for JetStreamPublisher {
    async fn published(&self, group: GroupId) -> Result<Position, BusError> {
        self.connection.while_connected(self.read_back(group)).await
    }

    async fn publish(
        &self,
        group: GroupId,
        after: Position,
        events: &[RecordedEvent],
    ) -> Result<Position, BusError> {
        for (offset, event) in events.iter().enumerate() {
            assert_eq!(event.position, after.plus(offset as u64 + 1), "a batch has a hole (O1)");
        }
        let end = after.plus(events.len() as u64);
        match self.connection.while_connected(self.send(group, events)).await {
            Ok(()) => {
                self.progress().entry(group).or_default().verified = end;
                Ok(end)
            }
            Err(error @ BusError::Diverged { .. }) => Err(error),
            // It proves nothing: what the bus holds now does.
            Err(error) => match self.published(group).await? {
                held if held > after => Ok(held),
                _ => Err(error),
            },
        }
    }

    async fn event_at(&self, group: GroupId, position: Position) -> Result<Option<EventId>, BusError> {
        let context = self.connection.jetstream()?;
        let name = self.connection.topology().stream_name(group);
        let stream = context.get_stream_no_info(name).await.map_err(unavailable)?;
        let headers = headers_of(&stream, position.0).await?;
        let id = headers.and_then(|headers| Uuid::parse_str(headers.get(EVENT_ID_HEADER)?.as_str()).ok());
        Ok(id.map(EventId))
    }

    async fn reset(&self, group: GroupId) -> Result<(), BusError> {
        let context = self.connection.jetstream()?;
        let topology = self.connection.topology();
        let name = topology.stream_name(group);
        match context.get_stream(&name).await {
            // It is another cluster's copy, and none of ours to throw away.
            Ok(stream) if let Some(reason) = topology.foreign(&stream.cached_info().config) => {
                return Err(BusError::Diverged { reason });
            }
            Ok(_) => {}
            Err(error) if is_missing(&error.kind()) => return Ok(()),
            Err(error) => return Err(unavailable(error)),
        }
        match context.delete_stream(&name).await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error.kind()) => Ok(()),
            Err(error) => Err(unavailable(error)),
        }
    }
}

fn message(event: &RecordedEvent, data: Data, named: bool) -> PublishMessage {
    let mut headers = HeaderMap::new();
    headers.insert(POSITION_HEADER, event.position.to_string());
    headers.insert(EVENT_ID_HEADER, event.id.to_string());
    headers.insert(FORMAT_HEADER, FORMAT);
    let mut message = PublishMessage::build().payload(envelope::encode(event, data)).headers(headers);
    if !planted(Planted::OutboxWithoutFence) {
        message = message.expected_last_sequence(event.position.0 - 1);
    }
    match named {
        true => message.message_id(event.position.to_string()),
        false => message,
    }
}

/// The headers of the message at a sequence, from the stream's leader; `None`
/// when it is trimmed or deleted.
async fn headers_of<T>(stream: &Stream<T>, sequence: u64) -> Result<Option<HeaderMap>, BusError> {
    match stream.get_raw_message(sequence).await {
        Ok(message) => Ok(Some(message.headers)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(unavailable(error)),
    }
}

fn is_missing(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

pub(super) fn unavailable(error: impl std::error::Error) -> BusError {
    BusError::Unavailable { reason: error.to_string() }
}
