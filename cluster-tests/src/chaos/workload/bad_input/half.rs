//! Requests that end too early, or whose answer nobody waits for.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};
use weir_api::v1::paths;

use super::super::draft::Draft;
use crate::edge::Edge;

/// How long it may take to send.
const SEND: Duration = Duration::from_secs(1);

/// Sends an append, whole or this many per cent of its bytes, and hangs up.
///
/// # Errors
/// When not even that could be sent: nobody knows how much was.
pub(super) async fn send(edge: &Edge, draft: &Draft, whole: bool, percent: u64) -> Result<()> {
    let bytes = request(edge, draft);
    let length = match whole {
        true => bytes.len(),
        // One byte less than the whole is still not the whole.
        false => (bytes.len() * usize::try_from(percent)? / 100).min(bytes.len() - 1),
    };
    let host = edge.base().trim_start_matches("http://");
    let sent = async {
        let mut stream = TcpStream::connect(host).await?;
        stream.write_all(&bytes[..length]).await?;
        stream.flush().await
    };
    Ok(timeout(SEND, sent).await.context("not sent in time")??)
}

fn request(edge: &Edge, draft: &Draft) -> Vec<u8> {
    let (path, body) = (paths::fill(paths::STREAM_EVENTS, &draft.stream), draft.rest().to_string());
    let host = edge.base().trim_start_matches("http://");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}
