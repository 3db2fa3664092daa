//! A server of HTTP/1.1 that takes events, refuses some, and falls silent at some that it took.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use weir_api::connect::ProjectionEvent;
use weir_check::{
    effects::{Heard, Reply},
    rng::Rng,
};

/// Bytes of a body; what nodes send here is short.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The server. It ends when it is dropped.
pub(super) struct Hook {
    heard: Arc<Mutex<Vec<Heard>>>,
    task: JoinHandle<()>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hook {
    pub(super) fn serve(listener: TcpListener, mut rng: Rng) -> Self {
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let hears = heard.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (hears, rng) = (hears.clone(), Rng::new(rng.draw()));
                // The node is gone, or it was hung up on.
                tokio::spawn(async move { drop(attend(stream, &hears, rng).await) });
            }
        });
        Self { heard, task }
    }

    /// All that came, in order.
    pub(super) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn attend(stream: TcpStream, heard: &Mutex<Vec<Heard>>, mut rng: Rng) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (key, body) = request(&mut stream).await?;
        let event: ProjectionEvent = serde_json::from_slice(&body)?;
        let reply = match rng.within(0..100) {
            0..5 => Reply::Refused,
            5..8 => Reply::Silence,
            _ => Reply::Taken,
        };
        let one = Heard { position: event.seq, id: event.id, key, reply };
        heard.lock().unwrap_or_else(PoisonError::into_inner).push(one);
        let status = match reply {
            Reply::Taken => "204 No Content",
            Reply::Refused => "503 Service Unavailable",
            Reply::Silence => return Ok(()),
        };
        stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await?;
    }
}

/// The idempotency key and the body of the next request.
async fn request(stream: &mut BufReader<TcpStream>) -> Result<(String, Vec<u8>)> {
    let (mut key, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        anyhow::ensure!(stream.read_line(&mut line).await? > 0, "the node has hung up");
        if line == "\r\n" {
            break;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("idempotency-key") => value.clone_into(&mut key),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
            _ => {}
        }
    }
    anyhow::ensure!(length <= BODY_BYTES_MAX, "a body has {length} bytes");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.context("the node has hung up")?;
    Ok((key, body))
}
