//! Publishes to subjects that are not Weir's own, where other applications keep a stream.

use async_nats::{HeaderMap, jetstream::message::PublishMessage};
use bytes::Bytes;
use weir_types::ports::BusError;

use super::{Connection, publisher::unavailable, topology::EVENT_ID_HEADER};

/// The header that names the projection whose event it is.
const PROJECTION_HEADER: &str = "Weir-Projection";
/// The header that says which delivery of the event it is; the first is 1.
const DELIVERY_HEADER: &str = "Weir-Delivery";

/// An event for a subject.
#[derive(Debug, Clone)]
pub struct SubjectMessage {
    /// The event's id, by which its stream knows a repeat.
    pub event_id: String,
    /// The projection whose event it is.
    pub projection: String,
    /// Which delivery of it this is; the first is 1.
    pub delivery: u32,
    /// The event.
    pub body: Bytes,
}

/// Subjects of NATS, over the connection that the outbox has.
#[derive(Clone)]
pub struct Subjects {
    connection: Connection,
}

impl Subjects {
    /// Subjects over a connection.
    #[must_use]
    pub fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// Whether a subject is one of the copy of the log, which only the outbox writes.
    #[must_use]
    pub fn is_own(&self, subject: &str) -> bool {
        let prefix = self.connection.topology().prefix();
        subject.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Publishes a message and waits until the stream that has its subject has stored it, now or before.
    ///
    /// # Errors
    /// [`BusError::Unavailable`], also where no stream has the subject.
    pub async fn publish(&self, subject: &str, message: SubjectMessage) -> Result<(), BusError> {
        let context = self.connection.jetstream()?;
        let mut headers = HeaderMap::new();
        headers.insert(EVENT_ID_HEADER, message.event_id.as_str());
        headers.insert(PROJECTION_HEADER, message.projection.as_str());
        headers.insert(DELIVERY_HEADER, message.delivery.to_string());
        let message =
            PublishMessage::build().payload(message.body).headers(headers).message_id(message.event_id);
        let publish = async {
            let ack = context.send_publish(subject.to_owned(), message).await.map_err(unavailable)?;
            ack.await.map_err(unavailable)
        };
        self.connection.while_connected(publish).await.map(drop)
    }
}
