//! One HTTP/2 connection to one node, for its gRPC services.

use std::time::Duration;

use connectrpc::{
    ConnectError, Protocol,
    client::{ClientConfig, Http2Connection, SharedHttp2Connection},
};

use crate::ClientError;

/// Bytes of the HTTP/2 windows: room for as much as a node admits at once.
const WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Calls that wait for the connection.
const QUEUE: usize = 16;

/// Connects to `url`, which is checked.
pub(crate) async fn open(url: &str) -> Result<(SharedHttp2Connection, ClientConfig), ClientError> {
    let uri = url
        .parse()
        .map_err(|_| ClientError::Address { url: url.into(), reason: "it is no address".into() })?;
    let config = ClientConfig::new(uri).with_protocol(Protocol::Grpc);
    let connection = Http2Connection::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .keep_alive_interval(Duration::from_secs(2))
        .keep_alive_timeout(Duration::from_secs(4))
        .keep_alive_while_idle(true)
        .connect_plaintext(config.base_uri().clone())
        .await
        .map_err(|error| refused(url, &error))?;
    Ok((connection.shared(QUEUE), config))
}

/// What became of a connection that was never there.
pub(crate) fn refused(url: &str, error: &ConnectError) -> ClientError {
    ClientError::NoConnection { url: url.into(), reason: reason_of(error) }
}

pub(crate) fn reason_of(error: &ConnectError) -> String {
    error.message.clone().unwrap_or_else(|| error.code.as_str().to_owned())
}
