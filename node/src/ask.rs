//! Small HTTP calls to another node's edge.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{StatusCode, header::HOST},
    response::Response,
};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// How long a node may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of an answer that [`get`] reads.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// An edge that cannot be reached: nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("{edge} cannot be reached: {reason}")]
pub(crate) struct Unreachable {
    edge: String,
    reason: String,
}

/// A connection to an edge, `host:port`.
pub(crate) struct Edge(SendRequest<Body>);

impl Edge {
    /// Connects.
    pub(crate) async fn connect(edge: &str) -> Result<Self, Unreachable> {
        let unreachable =
            |error: &dyn std::fmt::Display| Unreachable { edge: edge.to_owned(), reason: error.to_string() };
        let socket = match timeout(CONNECT_TIMEOUT, TcpStream::connect(edge)).await {
            Ok(socket) => socket.map_err(|error| unreachable(&error))?,
            Err(error) => return Err(unreachable(&error)),
        };
        let handshake = http1::handshake::<_, Body>(TokioIo::new(socket)).await;
        let (sender, connection) = handshake.map_err(|error| unreachable(&error))?;
        // It ends when the answer is read or dropped; its error is the answer's error.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self(sender))
    }

    /// Sends one request, whose URI is a path, and gives the answer.
    pub(crate) async fn send(mut self, request: Request) -> Result<Response, hyper::Error> {
        Ok(self.0.send_request(request).await?.map(Body::new))
    }
}

/// The answer to a GET, or `None` when there is none within `wait`.
pub(crate) async fn get(edge: &str, path: &str, wait: Duration) -> Option<(StatusCode, Bytes)> {
    let asked = async {
        let request = Request::builder().uri(path).header(HOST, edge).body(Body::empty()).ok()?;
        let answer = Edge::connect(edge).await.ok()?.send(request).await.ok()?;
        let status = answer.status();
        Some((status, to_bytes(answer.into_body(), ANSWER_BYTES_MAX).await.ok()?))
    };
    timeout(wait, asked).await.ok().flatten()
}
