//! JetStream, the bus: a derived copy of the log, one message per event,
//! stream sequence = position.

mod connection;
pub mod envelope;
mod feed;
mod publisher;
mod subject;
pub mod topology;

pub use connection::{ConnectError, Connection, Credentials, JetStreamConfig};
pub use feed::JetStreamFeed;
pub use publisher::JetStreamPublisher;
pub use subject::{SubjectMessage, Subjects};
